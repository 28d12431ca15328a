//! Snapshots from the past, the future, and beyond all sequence numbers.

use packnback_proto::record::Snap;
use packnback_proto::wire::store::StoreRequest;

use super::attacker::{Attacker, Target};
use super::junk::{signed_by, tree};
use super::tried::{Outcome, allow, attacks};

/// The last second of the year 9999.
const YEAR_9999: u64 = 253_402_300_799;

attacks! {
    "back-dated", "a snapshot of the year 1970", back_dated;
    "forward-dated", "a snapshot of the year 9999", forward_dated;
    "end-of-time", "a snapshot of the last second there is", end_of_time;
    "last-number", "a snapshot with the highest sequence number, so that none can follow", last_number;
    "number-again", "two snapshots with one sequence number", number_again;
}

const OWN_TIME: &str = "the host goes by its own time of receipt";
const ANY_NUMBER: &str =
    "numbers decide nothing: the next good snapshot is taken whatever its number";

/// Puts a tree of nothing and commits it as `change` says.
pub(super) async fn commit_junk(
    a: &Attacker,
    t: &Target,
    because: &str,
    change: impl Fn(&mut Snap) + Send,
) -> Outcome {
    let objects = tree(a.fresh())?;
    let root = objects.last().ok_or("no root")?.id;
    let mut talk = a.session(t).await?;
    let put = Attacker::put_all(&mut talk, &objects).await;
    put.map_err(|e| e.to_string())?;
    let mut snap = a.snap(root);
    change(&mut snap);
    let snap = signed_by(&snap, &a.key)?;
    allow(talk.ask(&StoreRequest::Commit { snap }, &[]).await, because)
}

async fn back_dated(a: &Attacker, t: &Target) -> Outcome {
    commit_junk(a, t, OWN_TIME, |snap| snap.time = 0).await
}

async fn forward_dated(a: &Attacker, t: &Target) -> Outcome {
    commit_junk(a, t, OWN_TIME, |snap| snap.time = YEAR_9999).await
}

async fn end_of_time(a: &Attacker, t: &Target) -> Outcome {
    commit_junk(a, t, OWN_TIME, |snap| snap.time = u64::MAX).await
}

async fn last_number(a: &Attacker, t: &Target) -> Outcome {
    commit_junk(a, t, ANY_NUMBER, |snap| snap.seq = u64::MAX).await
}

async fn number_again(a: &Attacker, t: &Target) -> Outcome {
    let because = "both are kept; the fork is an alarm for the owner";
    for _ in 0..2 {
        commit_junk(a, t, because, |snap| snap.seq = 1).await?;
    }
    commit_junk(a, t, because, |snap| snap.prev = None).await
}
