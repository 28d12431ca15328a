//! Reading back what was stored.

use packnback_cli::parts::system::now;
use packnback_node::net::Protocol;
use packnback_proto::ids::NodeId;
use packnback_proto::record::{Grant, Record, Scope, decode_record};
use packnback_proto::wire::ids::{encode_ids, split_records};
use packnback_proto::wire::store::{StoreReply, StoreRequest};

use super::attacker::{Attacker, Target, connect_as};
use super::junk::signed_by;
use super::spec::Loot;
use super::tried::{Outcome, Tried, attacks, judge, judge_connection};

attacks! {
    "get-in-session", "fetch an object in a device session", get_in_session;
    "get-in-silence", "fetch an object without any session", get_in_silence;
    "records-without-session", "list records without any session", records_without_session;
    "records-of-other-device", "find the other device's records in a listing", records_of_other_device;
    "grant-by-device", "a grant signed with the device key", grant_by_device;
    "grant-by-new-owner", "a grant of an owner who was just made up", grant_by_new_owner;
    "grant-expired", "a grant of the owner whose time is over", grant_expired;
    "grant-other-reader", "a grant of the owner for another reader", grant_other_reader;
    "grant-other-host", "a grant of the owner for another host", grant_other_host;
    "grant-other-talk", "a grant of the owner from an earlier conversation", grant_other_talk;
    "as-stranger", "connect under a key the host does not know", as_stranger;
}

async fn get_in_session(a: &Attacker, t: &Target) -> Outcome {
    judge(
        a.ask(t, StoreRequest::Get, &encode_ids(&[a.stored.id]))
            .await?,
    )
}

async fn get_in_silence(a: &Attacker, t: &Target) -> Outcome {
    let (mut talk, _) = a.greet(t).await?;
    let body = encode_ids(&[a.stored.id]);
    judge(talk.ask(&StoreRequest::Get, &body).await)
}

async fn records_without_session(a: &Attacker, t: &Target) -> Outcome {
    let (mut talk, _) = a.greet(t).await?;
    judge(talk.ask(&StoreRequest::Records { after: None }, &[]).await)
}

async fn records_of_other_device(a: &Attacker, t: &Target) -> Outcome {
    let mut talk = a.session(t).await?;
    let (mut seen, mut foreign, mut after) = (0u32, 0u32, None);
    loop {
        let (more, last, body) = talk.records(after).await.map_err(|e| e.to_string())?;
        for envelope in split_records(&body).map_err(|e| e.to_string())? {
            seen = seen.saturating_add(1);
            let device = match decode_record(envelope) {
                Ok(Record::Cert(cert)) => cert.value().device,
                Ok(Record::Snap(snap)) => snap.value().device,
                _ => a.device(),
            };
            foreign = foreign.saturating_add(u32::from(device != a.device()));
        }
        if !more || last == after {
            break;
        }
        after = last;
    }
    Ok(match foreign {
        0 => Tried::Refused(format!(
            "{seen} records were shown, all about this device or orders"
        )),
        n => Tried::Worked(format!("{n} records of other devices were shown")),
    })
}

/// A grant as a restore would ask the owner for.
pub(super) fn grant(
    a: &Attacker,
    host: NodeId,
    reader: NodeId,
    scope: Scope,
    nonce: [u8; 16],
) -> Grant {
    Grant {
        owner: a.owner(),
        reader,
        scope,
        not_before: now().saturating_sub(60),
        expires: now().saturating_add(3600),
        audience: Some(vec![host]),
        nonce,
        max_bytes: None,
    }
}

async fn grant_by_device(a: &Attacker, t: &Target) -> Outcome {
    let (mut talk, greeting) = a.greet(t).await?;
    let grant = grant(a, t.host, a.device(), Scope::All, greeting.nonce.0);
    let envelope = signed_by(&grant, &a.key)?;
    judge(talk.ask(&StoreRequest::Grant { envelope }, &[]).await)
}

/// Rightly signed, and for nothing that is there: what counts is that no object comes.
async fn grant_by_new_owner(a: &Attacker, t: &Target) -> Outcome {
    let key = a.fresh_key();
    let (mut talk, greeting) = a.greet(t).await?;
    let mut grant = grant(a, t.host, a.device(), Scope::All, greeting.nonce.0);
    grant.owner = key.owner_id();
    let envelope = signed_by(&grant, &key)?;
    judge(talk.ask(&StoreRequest::Grant { envelope }, &[]).await)
}

async fn captured(a: &Attacker, t: &Target, what: Loot) -> Outcome {
    let mut all = Vec::new();
    for envelope in a.loot(what)? {
        let (mut talk, _) = a.greet(t).await?;
        let tried = judge(talk.ask(&StoreRequest::Grant { envelope }, &[]).await)?;
        // It may be for the other host: then reading has to fail all the same.
        let body = encode_ids(&[a.stored.id]);
        let read = match talk.ask(&StoreRequest::Get, &body).await {
            Ok((StoreReply::Object { found: false, .. }, _)) => {
                Tried::Refused("no object comes".to_owned())
            }
            other => judge(other)?,
        };
        all.extend([read, tried]);
    }
    Tried::worst(all)
}

async fn grant_expired(a: &Attacker, t: &Target) -> Outcome {
    captured(a, t, Loot::GrantExpired).await
}

async fn grant_other_reader(a: &Attacker, t: &Target) -> Outcome {
    captured(a, t, Loot::GrantOtherReader).await
}

async fn grant_other_host(a: &Attacker, t: &Target) -> Outcome {
    captured(a, t, Loot::GrantOtherHost).await
}

async fn grant_other_talk(a: &Attacker, t: &Target) -> Outcome {
    captured(a, t, Loot::GrantOtherConversation).await
}

async fn as_stranger(a: &Attacker, t: &Target) -> Outcome {
    let seed = a.fresh_key().seed();
    let net = connect_as(&seed, &a.spec.hosts)
        .await
        .map_err(|e| format!("{e:#}"))?;
    let opened = net.open(t.host, &t.addrs, Protocol::Store).await;
    let tried = match opened {
        // A stream may look open before the other side has said anything.
        Ok(opened) => {
            match packnback_node::replicate::StoreClient::hello(opened.stream, &t.host).await {
                Ok(_) => Ok(Tried::Worked("the host greets a stranger".to_owned())),
                Err(error) => Ok(Tried::Refused(error.to_string())),
            }
        }
        Err(error) => judge_connection::<()>(Err(error)),
    };
    net.shutdown().await;
    tried
}
