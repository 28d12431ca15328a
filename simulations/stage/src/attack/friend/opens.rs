//! Opening sessions as whoever one likes.

use std::time::{Duration, Instant};

use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::wire::store::StoreReply;

use super::super::tried::{Outcome, Tried};
use super::peer::Friend;
use super::scheme::{Played, nothing_held, schemes};

/// More than any list of a host shows at once; all of them before the honest friend's in the order of ids.
const OWNERS: u64 = 1100;
/// More than any table of a host takes.
const KEYS: u64 = 1100;
/// A host that takes its time is left.
const LONGEST: Duration = Duration::from_secs(60);

schemes! {
    "many-owners", "open 1,100 sessions, each as another owner with a certificate of its own making", many_owners;
    "recovery-keys", "bring 1,100 recovery keys of its own owner", recovery_keys;
    "recovery-of-another", "claim the recovery key of the honest friend's owner", recovery_of_another;
}

async fn many_owners(friend: &Friend) -> Played {
    nothing_held(try_owners(friend).await)
}

async fn try_owners(friend: &Friend) -> Outcome {
    drop(friend.session().await?);
    let (mut taken, mut last) = (0u32, String::new());
    let started = Instant::now();
    for _ in 0..OWNERS {
        if started.elapsed() > LONGEST {
            break;
        }
        let owner = owner_before(friend);
        let recovery = friend.fresh_key().node_id();
        match friend.open_with(friend.cert_of(&owner, recovery)?).await {
            Ok(Ok((StoreReply::Opened { .. }, _))) => taken = taken.saturating_add(1),
            Ok(Ok((other, _))) => last = format!("{other:?}"),
            Ok(Err(error)) => last = error.to_string(),
            Err(error) => last = error,
        }
    }
    Ok(match taken {
        0 => Tried::Refused(format!("all of them; the last: {last}")),
        taken => Tried::Worked(format!("{taken} of {OWNERS} owners were taken")),
    })
}

/// An owner that stands before the honest friend's in every list.
fn owner_before(friend: &Friend) -> SigningKey {
    let honest = friend.spec.owner.0;
    loop {
        let key = friend.fresh_key();
        // Keys below the lowest 32nd of all are too rare to look for.
        if key.public() < honest || honest < [8; 32] {
            return key;
        }
    }
}

async fn recovery_keys(friend: &Friend) -> Played {
    nothing_held(try_keys(friend).await)
}

/// Its own owner may name a new recovery key at any time; the host remembers a few at most.
async fn try_keys(friend: &Friend) -> Outcome {
    let mut taken = 0u32;
    let started = Instant::now();
    for _ in 0..KEYS {
        if started.elapsed() > LONGEST {
            break;
        }
        let recovery = friend.fresh_key().node_id();
        let cert = friend.cert_of(&friend.owner, recovery)?;
        if let Ok(Ok((StoreReply::Opened { .. }, _))) = friend.open_with(cert).await {
            taken = taken.saturating_add(1);
        }
    }
    friend.renew_cert()?;
    Ok(Tried::Allowed(format!(
        "{taken} of {KEYS} certificates were taken; how many identities come in by them is tried next"
    )))
}

async fn recovery_of_another(friend: &Friend) -> Played {
    let opened = async {
        let cert = friend.cert_of(&friend.owner, friend.spec.recovery)?;
        let first = friend.open_with(cert).await?;
        // And back: its own row must not end that of the other owner.
        friend.renew_cert()?;
        drop(friend.open_with(friend.cert()).await?);
        Ok::<_, String>(match first {
            Ok(_) => Tried::Allowed(
                "the key opens nothing of another owner; recovering with it is tried below".into(),
            ),
            Err(error) => Tried::Refused(error.to_string()),
        })
    };
    nothing_held(opened.await)
}
