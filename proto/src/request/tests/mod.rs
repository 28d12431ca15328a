//! Requests: what comes back, what a plan says, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod form;
mod plans;
mod refused;

use super::{DeviceEvidence, Request, SnapEvidence, Wanted};
use crate::crypto::keys::OwnerSeed;
use crate::crypto::secret::Secret32;
use crate::crypto::sign::SigningKey;
use crate::ids::{NodeId, ObjectId, OwnerId, SetId, SnapshotId};
use crate::record::{Body, Cert, Op, Order, Receipt, Signed, Snap, decode_snap, perms, seal_label};

const DAY: u64 = 86_400;
const START: u64 = 1_800_000_000;

fn seed() -> OwnerSeed {
    OwnerSeed::from_bytes([1; 32])
}

fn owner() -> OwnerId {
    seed().owner_id()
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&Secret32::new([n; 32]))
}

fn device() -> NodeId {
    key(20).node_id()
}

fn signed<T: Body>(value: &T, key: &SigningKey) -> Vec<u8> {
    Signed::sign(value, key).unwrap().envelope().to_vec()
}

fn cert(of: NodeId, serial: u64) -> Vec<u8> {
    let sealed = seal_label(&seed().label_key(0), &owner(), &of, "laptop").unwrap();
    let cert = Cert {
        owner: owner(),
        device: of,
        serial,
        perms: perms::ALL,
        not_before: START,
        expires: START + 1000 * DAY,
        quota_bytes: 1 << 40,
        new_bytes_per_day: 1 << 40,
        snaps_per_day: 48,
        group: 0,
        epoch: 0,
        sealed_label: sealed,
        recovery: seed().recovery_id(),
    };
    signed(&cert, &seed().sign_key())
}

fn snap_record(seq: u64, prev: Option<SnapshotId>) -> Snap {
    Snap {
        owner: owner(),
        device: device(),
        seq,
        prev,
        root: ObjectId([u8::try_from(seq).unwrap(); 32]),
        time: START + seq * DAY,
        cert_serial: 1,
        set: SetId([1; 16]),
    }
}

fn receipt(snap: SnapshotId, host: u8, received: u64) -> Vec<u8> {
    let receipt = Receipt {
        snap,
        host: key(host).node_id(),
        received,
        log_seq: 1,
        log_prev: None,
        n_objects: 7,
        bytes: 7000,
        policy_seq: 0,
    };
    signed(&receipt, &key(host))
}

fn evidence(snap: &Snap) -> SnapEvidence {
    let envelope = signed(snap, &key(20));
    let id = decode_snap(&envelope).unwrap().id();
    SnapEvidence {
        snap: envelope,
        receipts: vec![
            receipt(id, 30, snap.time + 60),
            receipt(id, 31, snap.time + 90),
        ],
    }
}

fn id_of(evidence: &SnapEvidence) -> SnapshotId {
    decode_snap(&evidence.snap).unwrap().id()
}

/// Snapshots 1 to `count` of the device, a line without gaps.
fn line(count: u64) -> Vec<SnapEvidence> {
    let mut snaps: Vec<SnapEvidence> = Vec::new();
    for seq in 1..=count {
        let prev = snaps.last().map(id_of);
        snaps.push(evidence(&snap_record(seq, prev)));
    }
    snaps
}

fn heads(snaps: &[SnapEvidence]) -> Vec<(u64, SnapshotId)> {
    let last = snaps.last().unwrap();
    let snap = decode_snap(&last.snap).unwrap();
    vec![(snap.value().seq, snap.id())]
}

fn view(snaps: Vec<SnapEvidence>) -> DeviceEvidence {
    DeviceEvidence {
        device: device(),
        certs: vec![cert(device(), 1)],
        heads: heads(&snaps),
        snaps,
        more: 0,
    }
}

/// Asks to delete the snapshots at these places of a line of five.
fn request(delete: &[usize]) -> Request {
    let snaps = line(5);
    let mut ids: Vec<SnapshotId> = delete.iter().map(|at| id_of(&snaps[*at])).collect();
    ids.sort_unstable();
    Request {
        owner: owner(),
        created: START + 9 * DAY,
        wanted: vec![Wanted::any_host(Op::DeleteIds(ids))],
        orders: Vec::new(),
        devices: vec![view(snaps)],
    }
}

fn order(oid: u8, op: Op) -> Vec<u8> {
    let order = Order {
        owner: owner(),
        oid: [oid; 16],
        issued: START,
        audience: None,
        op,
        not_before: None,
    };
    signed(&order, &seed().sign_key())
}
