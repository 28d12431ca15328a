//! Keys of the tables. Every key of an owner's data begins with the owner, so that no lookup for
//! one owner can reach another's.
//!
//! | Table | Key | Value |
//! |---|---|---|
//! | objects | owner, object | the object |
//! | meta | owner, object | [`super::stored::ObjectMeta`] |
//! | nodes | owner, object | its references |
//! | records | owner, record | the envelope |
//! | state | `m` owner, device, object | view of a device that may not see the others': a [`super::stored::ObjectMeta`] |
//! | state | `s` owner, snapshot | [`super::stored::SnapRow`] |
//! | state | `h` owner, device, inverted log number | snapshot id: newest first |
//! | state | `q` owner, snapshot, host | id of the host's receipt |
//! | state | `l` owner | [`super::stored::LogHead`] |
//! | state | `u` owner, device | [`packnback_proto::machine::budget::Usage`] |
//! | state | `t` owner | [`super::stored::Totals`] |
//! | state | `c` owner, device | newest certificate: [`super::stored::CertRow`] |
//! | state | `r` owner, device | id of the order that revoked it |
//! | state | `o` owner, order id | [`super::stored::OrderRow`] |
//! | state | `H` owner | [`super::stored::HostsRow`] |
//! | state | `g` owner, grant | bytes read under it |
//! | state | `d` | this node as a device: [`super::stored::DeviceRow`] |
//! | state | `n` ... | kept for the network: peers, invites, replication |

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SnapshotId};

/// This node as a device.
pub(super) const DEVICE: &[u8] = b"d";
/// Prefix of what the network keeps.
pub(super) const NETWORK: &[u8] = b"n";
/// Prefix of the totals of every owner.
pub(super) const TOTALS: &[u8] = b"t";

fn join(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(tag);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub(super) fn object(owner: &OwnerId, id: &ObjectId) -> Vec<u8> {
    [owner.0, id.0].concat()
}

pub(super) fn record(owner: &OwnerId, id: &RecordId) -> Vec<u8> {
    [owner.0, id.0].concat()
}

pub(super) fn mine(owner: &OwnerId, device: &NodeId, id: &ObjectId) -> Vec<u8> {
    join(b'm', &[&owner.0, &device.0, &id.0])
}

pub(super) fn snap(owner: &OwnerId, snap: &SnapshotId) -> Vec<u8> {
    join(b's', &[&owner.0, &snap.0])
}

pub(super) fn snaps(owner: &OwnerId) -> Vec<u8> {
    join(b's', &[&owner.0])
}

pub(super) fn head(owner: &OwnerId, device: &NodeId, log_seq: u64) -> Vec<u8> {
    join(
        b'h',
        &[&owner.0, &device.0, &(u64::MAX - log_seq).to_be_bytes()],
    )
}

pub(super) fn heads(owner: &OwnerId, device: &NodeId) -> Vec<u8> {
    join(b'h', &[&owner.0, &device.0])
}

pub(super) fn receipt(owner: &OwnerId, snap: &SnapshotId, host: &NodeId) -> Vec<u8> {
    join(b'q', &[&owner.0, &snap.0, &host.0])
}

pub(super) fn receipts(owner: &OwnerId, snap: &SnapshotId) -> Vec<u8> {
    join(b'q', &[&owner.0, &snap.0])
}

pub(super) fn log(owner: &OwnerId) -> Vec<u8> {
    join(b'l', &[&owner.0])
}

pub(super) fn usage(owner: &OwnerId, device: &NodeId) -> Vec<u8> {
    join(b'u', &[&owner.0, &device.0])
}

pub(super) fn totals(owner: &OwnerId) -> Vec<u8> {
    join(b't', &[&owner.0])
}

pub(super) fn cert(owner: &OwnerId, device: &NodeId) -> Vec<u8> {
    join(b'c', &[&owner.0, &device.0])
}

pub(super) fn revoked(owner: &OwnerId, device: &NodeId) -> Vec<u8> {
    join(b'r', &[&owner.0, &device.0])
}

pub(super) fn order(owner: &OwnerId, oid: &[u8; 16]) -> Vec<u8> {
    join(b'o', &[&owner.0, oid])
}

pub(super) fn orders(owner: &OwnerId) -> Vec<u8> {
    join(b'o', &[&owner.0])
}

pub(super) fn hosts(owner: &OwnerId) -> Vec<u8> {
    join(b'H', &[&owner.0])
}

pub(super) fn grant(owner: &OwnerId, id: &RecordId) -> Vec<u8> {
    join(b'g', &[&owner.0, &id.0])
}

pub(super) fn network(key: &[u8]) -> Vec<u8> {
    [NETWORK, key].concat()
}
