//! Genuine records, at the wrong time.

use packnback_proto::record::{Body as _, Order, decode_order, encode_body};
use packnback_proto::wire::store::{StoreReply, StoreRequest};

use super::attacker::{Attacker, Target};
use super::junk::{envelope, parts};
use super::spec::Loot;
use super::tried::{Outcome, Tried, allow, attacks, judge};

attacks! {
    "old-cert", "an earlier certificate of this device, with wider limits", old_cert;
    "old-policy", "a policy the owner has replaced since", old_policy;
    "cancelled-order", "a delete order the owner has taken back", cancelled_order;
    "order-new-name", "that order under another name, to have it carried out again", order_new_name;
    "old-snapshot", "an old snapshot of this device, committed again", old_snapshot;
    "base-of-other-device", "open a session over the other device's snapshot", base_of_other_device;
}

async fn old_cert(a: &Attacker, t: &Target) -> Outcome {
    let mut all = Vec::new();
    for cert in a.loot(Loot::OldCert)? {
        all.push(judge(a.open_with(t, cert).await?)?);
    }
    Tried::worst(all)
}

/// A host may keep an old order as a record. Whether it has an effect is checked by the drill: what is in force and
/// what is kept must be as before.
async fn orders(a: &Attacker, t: &Target, what: Loot, because: &str) -> Outcome {
    let mut all = Vec::new();
    for envelope in a.loot(what)? {
        let answer = a.ask(t, StoreRequest::Order { envelope }, &[]).await?;
        all.push(allow(answer, because)?);
    }
    Tried::worst(all)
}

async fn old_policy(a: &Attacker, t: &Target) -> Outcome {
    let because = "kept as a record; a newer policy is in force and stays (checked below)";
    orders(a, t, Loot::OldPolicy, because).await
}

async fn cancelled_order(a: &Attacker, t: &Target) -> Outcome {
    let because = "known and cancelled; it is not carried out again (checked below)";
    orders(a, t, Loot::CancelledDelete, because).await
}

async fn order_new_name(a: &Attacker, t: &Target) -> Outcome {
    let mut all = Vec::new();
    for known in a.loot(Loot::CancelledDelete)? {
        let order = decode_order(&known).map_err(|e| e.to_string())?;
        let mut renamed = order.value().clone();
        renamed.oid = [0xab; 16];
        let body = encode_body(&renamed).map_err(|e| e.to_string())?;
        let known = parts(&known)?;
        let envelope = envelope(Order::KIND, &body, &known.signer, &known.signature);
        all.push(judge(
            a.ask(t, StoreRequest::Order { envelope }, &[]).await?,
        )?);
    }
    Tried::worst(all)
}

async fn old_snapshot(a: &Attacker, t: &Target) -> Outcome {
    let oldest = a.snaps.first().ok_or("no snapshot")?;
    let snap = oldest.envelope().into();
    let answer = a.ask(t, StoreRequest::Commit { snap }, &[]).await?;
    allow(
        answer,
        "it is there already: the host repeats its receipt, with the old time",
    )
}

async fn base_of_other_device(a: &Attacker, t: &Target) -> Outcome {
    let mut all = Vec::new();
    for envelope in a.loot(Loot::OtherSnap)? {
        let snap = packnback_proto::record::decode_snap(&envelope).map_err(|e| e.to_string())?;
        let (mut talk, _) = a.greet(t).await?;
        let open = StoreRequest::Open {
            cert: a.cert.envelope().into(),
            base: Some(snap.id()),
        };
        all.push(match talk.ask(&open, &[]).await {
            Ok((
                StoreReply::Opened {
                    base_complete: false,
                    ..
                },
                _,
            )) => Tried::Refused("the host says that this base is not here".to_owned()),
            other => judge(other)?,
        });
    }
    Tried::worst(all)
}
