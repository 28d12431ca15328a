//! Keys of the tables. Every key of an owner's data begins with the owner, so that no lookup for
//! one owner can reach another's.
//!
//! | Table | Key | Value |
//! |---|---|---|
//! | objects | owner, object | the object |
//! | meta | owner, object | [`super::stored::ObjectMeta`] |
//! | nodes | owner, object | its references |
//! | records | owner, record | the envelope |
//! | lots | lot, owner, object | its length |
//! | state | `m` owner, device, object | view of a device that may not see the others': a [`super::stored::ObjectMeta`] |
//! | state | `s` owner, snapshot | [`super::stored::SnapRow`] |
//! | state | `h` owner, device, inverted log number | snapshot id: newest first |
//! | state | `q` owner, snapshot, host | id of the host's receipt |
//! | state | `l` owner | [`super::stored::LogHead`] |
//! | state | `u` owner, device | [`packnback_proto::machine::budget::Usage`] |
//! | state | `t` owner | [`super::stored::Totals`] |
//! | state | `c` owner, device | newest certificate: [`super::stored::CertRow`] |
//! | state | `S` owner, device, serial | id of the certificate with it |
//! | state | `r` owner, device | id of the order that revoked it |
//! | state | `o` owner, order id | [`super::stored::OrderRow`] |
//! | state | `H` owner | [`super::stored::HostsRow`] |
//! | state | `g` owner, grant | bytes read under it |
//! | state | `z` owner, due, object | nobody needs this object: may be freed from then on |
//! | state | `x` owner, object | bytes to be dropped unless the object is claimed: [`super::unclaimed::Note`] |
//! | state | `U` owner | [`super::charges::Charged`] |
//! | state | `D` owner, object | its bytes are damaged or gone, or it is not complete again yet |
//! | state | `L` lot | bytes once written to it |
//! | state | `B` owner, device | a device that may not see what others put |
//! | state | `k` owner, snapshot, cause | [`super::stored::MarkRow`]: an order id, or zeros for the policy |
//! | state | `E` owner, snapshot | [`super::stored::EndedRow`] |
//! | state | `b` owner, snapshot | [`super::stored::HoldRow`] |
//! | state | `p` owner, device or zeros | [`super::stored::PolicyRow`] |
//! | state | `v` owner, device | [`super::stored::DeviceState`] |
//! | state | `w` owner, order id | an order in its grace |
//! | state | `R` owner, device, order id | [`super::stored::RangeRow`]: what a range of times makes go |
//! | state | `e` owner, snapshot, host | [`super::stored::ElsewhereRow`]: ended at that host |
//! | state | `C` owner, order id | an order taken back, perhaps before it came |
//! | state | `A` owner | [`super::stored::AdminRow`] |
//! | state | `W` owner | the clocks as last seen on behalf of this owner |
//! | state | `V` | version of these tables |
//! | state | `Z` | how far the reading of everything is: [`super::ScrubRow`] |
//! | state | `a` number | an alarm; `a` alone: the number of the last one |
//! | state | `y` snapshot | made on this machine; `y` alone: every such snapshot has its row |
//! | state | `d` | this node as a device: [`super::stored::DeviceRow`] |
//! | state | `n` ... | kept for the network: peers, invites, replication |

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SnapshotId};

/// Prefix of alarms, and the number of the last one.
pub(super) const ALARMS: &[u8] = b"a";
/// Prefix of the list of snapshots made here, and the mark that it is complete.
pub(super) const MADE_HERE: &[u8] = b"y";
/// This node as a device.
pub(super) const DEVICE: &[u8] = b"d";
/// Prefix of what the network keeps.
pub(super) const NETWORK: &[u8] = b"n";
/// Prefix of the totals of every owner.
pub(super) const TOTALS: &[u8] = b"t";

/// Prefix of the rows of bytes to be dropped.
pub(super) const DROPS: &[u8] = b"x";
/// How far the reading of everything is.
pub(super) const SCRUB: &[u8] = b"Z";
/// Version of the tables.
pub(super) const VERSION: &[u8] = b"V";
/// Stands for the policy among the causes of marks, and for all devices among the policies.
pub(super) const NO_ORDER: [u8; 16] = [0; 16];
const ALL_DEVICES: [u8; 32] = [0; 32];

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

pub(super) fn alarm(number: u64) -> Vec<u8> {
    [ALARMS, &number.to_be_bytes()].concat()
}

pub(super) fn made_here(snap: &SnapshotId) -> Vec<u8> {
    [MADE_HERE, &snap.0].concat()
}

pub(super) fn network(key: &[u8]) -> Vec<u8> {
    [NETWORK, key].concat()
}

pub(super) fn loose(owner: &OwnerId, due: u64, id: &ObjectId) -> Vec<u8> {
    join(b'z', &[&owner.0, &due.to_be_bytes(), &id.0])
}

pub(super) fn loose_of(owner: &OwnerId) -> Vec<u8> {
    join(b'z', &[&owner.0])
}

pub(super) fn to_drop(owner: &OwnerId, id: &ObjectId) -> Vec<u8> {
    join(b'x', &[&owner.0, &id.0])
}

pub(super) fn charged(owner: &OwnerId) -> Vec<u8> {
    join(b'U', &[&owner.0])
}

pub(super) fn damaged(owner: &OwnerId, id: &ObjectId) -> Vec<u8> {
    join(b'D', &[&owner.0, &id.0])
}

pub(super) fn all_damaged(owner: &OwnerId) -> Vec<u8> {
    join(b'D', &[&owner.0])
}

pub(super) fn lot(lot: u64) -> Vec<u8> {
    join(b'L', &[&lot.to_be_bytes()])
}

pub(super) fn in_lot(lot: u64, owner: &OwnerId, id: &ObjectId) -> Vec<u8> {
    [&lot.to_be_bytes(), owner.0.as_slice(), &id.0].concat()
}

pub(super) fn blind(owner: &OwnerId, device: &NodeId) -> Vec<u8> {
    join(b'B', &[&owner.0, &device.0])
}

pub(super) fn blinds(owner: &OwnerId) -> Vec<u8> {
    join(b'B', &[&owner.0])
}

pub(super) fn mark(owner: &OwnerId, snap: &SnapshotId, cause: &[u8; 16]) -> Vec<u8> {
    join(b'k', &[&owner.0, &snap.0, cause])
}

pub(super) fn marks_of(owner: &OwnerId, snap: &SnapshotId) -> Vec<u8> {
    join(b'k', &[&owner.0, &snap.0])
}

pub(super) fn marks(owner: &OwnerId) -> Vec<u8> {
    join(b'k', &[&owner.0])
}

pub(super) fn ended(owner: &OwnerId, snap: &SnapshotId) -> Vec<u8> {
    join(b'E', &[&owner.0, &snap.0])
}

pub(super) fn hold(owner: &OwnerId, snap: &SnapshotId) -> Vec<u8> {
    join(b'b', &[&owner.0, &snap.0])
}

pub(super) fn policy(owner: &OwnerId, device: Option<&NodeId>) -> Vec<u8> {
    let device = device.map_or(&ALL_DEVICES, NodeId::as_bytes);
    join(b'p', &[&owner.0, device])
}

pub(super) fn device_state(owner: &OwnerId, device: &NodeId) -> Vec<u8> {
    join(b'v', &[&owner.0, &device.0])
}

pub(super) fn certs(owner: &OwnerId) -> Vec<u8> {
    join(b'c', &[&owner.0])
}

pub(super) fn waiting(owner: &OwnerId, oid: &[u8; 16]) -> Vec<u8> {
    join(b'w', &[&owner.0, oid])
}

pub(super) fn range(owner: &OwnerId, device: &NodeId, oid: &[u8; 16]) -> Vec<u8> {
    join(b'R', &[&owner.0, &device.0, oid])
}

pub(super) fn all_ranges(owner: &OwnerId) -> Vec<u8> {
    join(b'R', &[&owner.0])
}

pub(super) fn ranges(owner: &OwnerId, device: &NodeId) -> Vec<u8> {
    join(b'R', &[&owner.0, &device.0])
}

pub(super) fn ended_at(owner: &OwnerId, snap: &SnapshotId, host: &NodeId) -> Vec<u8> {
    join(b'e', &[&owner.0, &snap.0, &host.0])
}

pub(super) fn ended_elsewhere(owner: &OwnerId, snap: &SnapshotId) -> Vec<u8> {
    join(b'e', &[&owner.0, &snap.0])
}

pub(super) fn all_waiting(owner: &OwnerId) -> Vec<u8> {
    join(b'w', &[&owner.0])
}

pub(super) fn taken_back(owner: &OwnerId, oid: &[u8; 16]) -> Vec<u8> {
    join(b'C', &[&owner.0, oid])
}

pub(super) fn cancel(owner: &OwnerId, oid: &[u8; 16]) -> Vec<u8> {
    join(b'T', &[&owner.0, oid])
}

pub(super) fn cancels(owner: &OwnerId) -> Vec<u8> {
    join(b'T', &[&owner.0])
}

pub(super) fn admin(owner: &OwnerId) -> Vec<u8> {
    join(b'A', &[&owner.0])
}

pub(super) fn clock(owner: &OwnerId) -> Vec<u8> {
    join(b'W', &[&owner.0])
}

pub(super) fn cert_serial(owner: &OwnerId, device: &NodeId, serial: u64) -> Vec<u8> {
    join(b'S', &[&owner.0, &device.0, &serial.to_be_bytes()])
}
