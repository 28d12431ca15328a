//! Records in other people's names.

use packnback_cli::parts::system::now;
use packnback_proto::record::{Cert, Receipt, Snap, perms};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::store::StoreRequest;

use super::attacker::{Attacker, Target};
use super::junk::signed_by;
use super::spec::Loot;
use super::tried::{Outcome, Tried, attacks, judge};

attacks! {
    "snapshot-of-other-device", "a snapshot in the name of the other device", snapshot_of_other_device;
    "snapshot-of-other-owner", "a snapshot for an owner who was just made up", snapshot_of_other_owner;
    "snapshot-by-new-key", "a snapshot of a device that was just made up", snapshot_by_new_key;
    "snapshot-passed-on", "the other device's own snapshot, sent by this one", snapshot_passed_on;
    "receipt-of-host", "a receipt in the host's name", receipt_of_host;
    "receipt-for-other-device", "a receipt of a made-up host for the other device's snapshot", receipt_for_other;
    "cert-by-device", "a certificate without limits, signed with the device key", cert_by_device;
    "cert-by-new-owner", "a certificate of an owner who was just made up", cert_by_new_owner;
    "cert-of-other-device", "the certificate of the other device", cert_of_other_device;
    "cert-for-accomplice", "a certificate for another machine, signed with the device key", cert_for_accomplice;
}

async fn commit(a: &Attacker, t: &Target, snap: Bytes) -> Outcome {
    judge(a.ask(t, StoreRequest::Commit { snap }, &[]).await?)
}

fn stolen_root(a: &Attacker) -> Snap {
    a.snap(a.stored.id)
}

async fn snapshot_of_other_device(a: &Attacker, t: &Target) -> Outcome {
    let snap = Snap {
        device: a.spec.other_device,
        ..stolen_root(a)
    };
    commit(a, t, signed_by(&snap, &a.key)?).await
}

async fn snapshot_of_other_owner(a: &Attacker, t: &Target) -> Outcome {
    let snap = Snap {
        owner: a.fresh_key().owner_id(),
        ..stolen_root(a)
    };
    commit(a, t, signed_by(&snap, &a.key)?).await
}

async fn snapshot_by_new_key(a: &Attacker, t: &Target) -> Outcome {
    let key = a.fresh_key();
    let snap = Snap {
        device: key.node_id(),
        ..stolen_root(a)
    };
    commit(a, t, signed_by(&snap, &key)?).await
}

async fn snapshot_passed_on(a: &Attacker, t: &Target) -> Outcome {
    let mut all = Vec::new();
    for snap in a.loot(Loot::OtherSnap)? {
        all.push(commit(a, t, snap).await?);
    }
    Tried::worst(all)
}

fn receipt(a: &Attacker, snap: packnback_proto::ids::SnapshotId) -> Receipt {
    Receipt {
        snap,
        host: a.device(),
        received: now(),
        log_seq: u64::MAX,
        log_prev: None,
        n_objects: 1,
        bytes: 1,
        policy_seq: u64::MAX,
    }
}

async fn send_receipt(a: &Attacker, t: &Target, envelope: Bytes) -> Outcome {
    judge(a.ask(t, StoreRequest::Receipt { envelope }, &[]).await?)
}

async fn receipt_of_host(a: &Attacker, t: &Target) -> Outcome {
    let newest = a.snaps.last().ok_or("no snapshot")?;
    let forged = Receipt {
        host: t.host,
        ..receipt(a, newest.id())
    };
    send_receipt(a, t, signed_by(&forged, &a.key)?).await
}

async fn receipt_for_other(a: &Attacker, t: &Target) -> Outcome {
    let mut all = Vec::new();
    for envelope in a.loot(Loot::OtherSnap)? {
        let snap = packnback_proto::record::decode_snap(&envelope).map_err(|e| e.to_string())?;
        let key = a.fresh_key();
        let forged = Receipt {
            host: key.node_id(),
            ..receipt(a, snap.id())
        };
        all.push(send_receipt(a, t, signed_by(&forged, &key)?).await?);
    }
    Tried::worst(all)
}

/// As wide as a certificate can be.
fn wide(a: &Attacker) -> Cert {
    Cert {
        serial: u64::MAX,
        perms: perms::ALL,
        expires: u64::MAX,
        quota_bytes: u64::MAX,
        new_bytes_per_day: u64::MAX,
        snaps_per_day: u64::MAX,
        ..a.cert.value().clone()
    }
}

async fn cert_by_device(a: &Attacker, t: &Target) -> Outcome {
    judge(a.open_with(t, signed_by(&wide(a), &a.key)?).await?)
}

async fn cert_by_new_owner(a: &Attacker, t: &Target) -> Outcome {
    let key = a.fresh_key();
    let cert = Cert {
        owner: key.owner_id(),
        ..wide(a)
    };
    judge(a.open_with(t, signed_by(&cert, &key)?).await?)
}

async fn cert_of_other_device(a: &Attacker, t: &Target) -> Outcome {
    let mut all = Vec::new();
    for cert in a.loot(Loot::OtherCert)? {
        all.push(judge(a.open_with(t, cert).await?)?);
    }
    Tried::worst(all)
}

async fn cert_for_accomplice(a: &Attacker, t: &Target) -> Outcome {
    let cert = Cert {
        device: a.fresh_key().node_id(),
        ..wide(a)
    };
    judge(a.open_with(t, signed_by(&cert, &a.key)?).await?)
}
