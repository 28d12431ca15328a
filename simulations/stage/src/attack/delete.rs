//! Orders that delete, by anybody but the owner.

use packnback_proto::ids::SnapshotId;
use packnback_proto::record::{Body as _, Op, PolicyArg, encode_body};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::store::StoreRequest;

use super::attacker::{Attacker, Target};
use super::junk::{envelope, parts, signed_by};
use super::tried::{Outcome, Tried, attacks, judge};

attacks! {
    "order-by-device", "every deleting order, signed with the device key", by_device;
    "order-by-new-key", "a delete order signed with a new key", by_new_key;
    "order-of-other-owner", "a delete order, rightly signed, of an owner who was just made up", of_other_owner;
    "signer-claimed", "a delete order that names the owner as signer, signed with the device key", signer_claimed;
    "signature-moved", "a delete order under the owner's signature of the certificate", signature_moved;
    "signature-empty", "a delete order in the owner's name with an empty signature", signature_empty;
    "cert-as-order", "the owner's certificate, sent as an order", cert_as_order;
    "order-by-other-device", "a delete order signed with a key that the owner never certified, for the other device", for_other_device;
}

impl Attacker {
    /// The device's snapshots as an order lists them.
    pub(super) fn snap_ids_sorted(&self) -> Vec<SnapshotId> {
        let mut ids = self.snap_ids();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// Every order that would lose something, or let the attacker in.
pub(super) fn destructive(a: &Attacker) -> Vec<Op> {
    let range = |device| Op::DeleteRange {
        device,
        recv_from: 0,
        recv_to: u64::MAX,
        max_count: u64::MAX,
    };
    let keep_nothing = PolicyArg {
        pseq: u64::MAX,
        device: None,
        min_age_d: 0,
        keep: [0; 5],
        keep_last: 1,
        grace_d: 0,
    };
    vec![
        Op::DeleteIds(a.snap_ids_sorted()),
        range(a.device()),
        range(a.spec.other_device),
        Op::Policy(keep_nothing),
        Op::Unhold(a.snap_ids_sorted()),
        Op::Cancel(vec![[1; 16]]),
        Op::Revoke {
            device: a.spec.other_device,
            reason: "drill".to_owned(),
        },
        Op::Hosts {
            hseq: u64::MAX,
            hosts: vec![a.device()],
        },
        Op::DropOwner,
    ]
}

async fn send(a: &Attacker, t: &Target, envelope: Bytes) -> Outcome {
    judge(a.ask(t, StoreRequest::Order { envelope }, &[]).await?)
}

async fn by_device(a: &Attacker, t: &Target) -> Outcome {
    let mut all = Vec::new();
    for op in destructive(a) {
        all.push(send(a, t, signed_by(&a.order(t, op), &a.key)?).await?);
    }
    Tried::worst(all)
}

async fn by_new_key(a: &Attacker, t: &Target) -> Outcome {
    let order = a.order(t, Op::DeleteIds(a.snap_ids_sorted()));
    send(a, t, signed_by(&order, &a.fresh_key())?).await
}

async fn of_other_owner(a: &Attacker, t: &Target) -> Outcome {
    let key = a.fresh_key();
    let mut order = a.order(t, Op::DeleteIds(a.snap_ids_sorted()));
    order.owner = key.owner_id();
    send(a, t, signed_by(&order, &key)?).await
}

/// Body of a delete order, and what a signature of the device over it looks like.
fn body_and_signature(a: &Attacker, t: &Target) -> Result<(Vec<u8>, [u8; 64]), String> {
    let order = a.order(t, Op::DeleteIds(a.snap_ids_sorted()));
    let body = encode_body(&order).map_err(|e| e.to_string())?;
    let signed = signed_by(&order, &a.key)?;
    Ok((body, parts(&signed)?.signature))
}

async fn signer_claimed(a: &Attacker, t: &Target) -> Outcome {
    let (body, signature) = body_and_signature(a, t)?;
    let forged = envelope(
        packnback_proto::record::Order::KIND,
        &body,
        &a.owner().0,
        &signature,
    );
    send(a, t, forged).await
}

async fn signature_moved(a: &Attacker, t: &Target) -> Outcome {
    let (body, _) = body_and_signature(a, t)?;
    let cert = parts(a.cert.envelope())?;
    let forged = envelope(
        packnback_proto::record::Order::KIND,
        &body,
        &cert.signer,
        &cert.signature,
    );
    send(a, t, forged).await
}

async fn signature_empty(a: &Attacker, t: &Target) -> Outcome {
    let (body, _) = body_and_signature(a, t)?;
    let forged = envelope(
        packnback_proto::record::Order::KIND,
        &body,
        &a.owner().0,
        &[0; 64],
    );
    send(a, t, forged).await
}

async fn cert_as_order(a: &Attacker, t: &Target) -> Outcome {
    send(a, t, a.cert.envelope().into()).await
}

async fn for_other_device(a: &Attacker, t: &Target) -> Outcome {
    let op = Op::DeleteRange {
        device: a.spec.other_device,
        recv_from: 0,
        recv_to: u64::MAX,
        max_count: u64::MAX,
    };
    send(a, t, signed_by(&a.order(t, op), &a.fresh_key())?).await
}
