//! The signed records of format 1 as domain types. Encoding and decoding: [`super::codec`].
//! Times are unix seconds. Field numbers in the docs are the CBOR map keys.

use crate::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId, SnapshotId};

/// Permission bits of a certificate (field 4).
pub mod perms {
    /// May put objects and commit snapshots.
    pub const PUT: u64 = 1;
    /// May ask `have` for any object of the owner.
    pub const DEDUP: u64 = 2;
    /// May list its own records.
    pub const LIST: u64 = 4;
    /// May audit.
    pub const AUDIT: u64 = 8;
    /// Every bit this version knows.
    pub const ALL: u64 = PUT | DEDUP | LIST | AUDIT;
}

/// `cert`: the owner lets a device write. Signed by the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cert {
    /// 1: the owner.
    pub owner: OwnerId,
    /// 2: the device.
    pub device: NodeId,
    /// 3: serial number, rising per owner.
    pub serial: u64,
    /// 4: permissions, see [`perms`].
    pub perms: u64,
    /// 5: not valid before.
    pub not_before: u64,
    /// 6: not valid after.
    pub expires: u64,
    /// 7: most bytes this device may have stored.
    pub quota_bytes: u64,
    /// 8: most new bytes per day.
    pub new_bytes_per_day: u64,
    /// 9: most snapshots per day.
    pub snaps_per_day: u64,
    /// 10: dedup group.
    pub group: u32,
    /// 11: key epoch.
    pub epoch: u32,
    /// 12: device label, sealed under the list key of the owner; hosts cannot read it.
    pub sealed_label: Vec<u8>,
    /// 13: public key of the owner's recovery peer: hosts admit it to the network so that a blank
    /// machine with the owner seed can reach them. It reads nothing without a grant.
    pub recovery: NodeId,
}

/// `snap`: one snapshot. Signed by the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snap {
    /// 1: the owner.
    pub owner: OwnerId,
    /// 2: the device.
    pub device: NodeId,
    /// 3: sequence number on this device; informational.
    pub seq: u64,
    /// 4: the device's previous snapshot.
    pub prev: Option<SnapshotId>,
    /// 5: the root object.
    pub root: ObjectId,
    /// 6: when the backup started, by the device's clock.
    pub time: u64,
    /// 7: serial of the certificate in use.
    pub cert_serial: u64,
    // 8: format, always 1.
    /// 9: the backup set it belongs to.
    pub set: SetId,
}

/// `receipt`: a host says that a snapshot is complete and durable there. Signed by the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// 1: the snapshot.
    pub snap: SnapshotId,
    /// 2: the host.
    pub host: NodeId,
    /// 3: when it was received, by the host's clock.
    pub received: u64,
    /// 4: position in the host's log for this owner.
    pub log_seq: u64,
    /// 5: record id of the previous log entry.
    pub log_prev: Option<RecordId>,
    /// 6: objects reachable from the snapshot.
    pub n_objects: u64,
    /// 7: their stored bytes.
    pub bytes: u64,
    /// 8: policy sequence number in force.
    pub policy_seq: u64,
}

/// `order`: an owner-signed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// 1: the owner.
    pub owner: OwnerId,
    /// 2: random id; an order is carried out once.
    pub oid: [u8; 16],
    /// 3: when it was signed.
    pub issued: u64,
    /// 4: the hosts it is for; `None` = any.
    pub audience: Option<Vec<NodeId>>,
    /// 5 and 6: what to do.
    pub op: Op,
    /// 7: not to be carried out before.
    pub not_before: Option<u64>,
}

/// Retention rule of a policy order (op 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyArg {
    /// 1: policy sequence number.
    pub pseq: u64,
    /// 2: the device; `None` = every device without a policy of its own.
    pub device: Option<NodeId>,
    /// 3: nothing younger expires, days.
    pub min_age_d: u64,
    /// 4: periods kept: hourly, daily, weekly, monthly, yearly.
    pub keep: [u64; 5],
    /// 5: newest snapshots kept.
    pub keep_last: u64,
    /// 6: grace before bytes go, days.
    pub grace_d: u64,
}

/// What an order says (fields 5 and 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// 0: delete these snapshots.
    DeleteIds(Vec<SnapshotId>),
    /// 1: delete what a host received from a device in a time range; refused if more match.
    DeleteRange {
        /// 1: the device.
        device: NodeId,
        /// 2: received at or after.
        recv_from: u64,
        /// 3: received before.
        recv_to: u64,
        /// 4: most snapshots that may match.
        max_count: u64,
    },
    /// 2: retention policy. Audience required.
    Policy(PolicyArg),
    /// 3: stop a device.
    Revoke {
        /// 1: the device.
        device: NodeId,
        /// 2: why, for people.
        reason: String,
    },
    /// 4: never delete these.
    Hold(Vec<SnapshotId>),
    /// 5: end a hold.
    Unhold(Vec<SnapshotId>),
    /// 6: take back orders still in grace.
    Cancel(Vec<[u8; 16]>),
    /// 7: the owner's hosts.
    Hosts {
        /// 1: sequence number; the highest wins.
        hseq: u64,
        /// 2: the hosts.
        hosts: Vec<NodeId>,
    },
    /// 8: delete everything of this owner. Audience required.
    DropOwner,
}

/// What a grant allows to read (field 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything of the owner.
    All,
    /// Snapshots of these devices.
    Devices(Vec<NodeId>),
    /// These snapshots.
    Snaps(Vec<SnapshotId>),
}

/// `grant`: the owner lets a reader fetch ciphertext and records. Signed by the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// 1: the owner.
    pub owner: OwnerId,
    /// 2: who may read: the authenticated peer of the connection.
    pub reader: NodeId,
    /// 3: what.
    pub scope: Scope,
    /// 4: not valid before.
    pub not_before: u64,
    /// 5: not valid after; at most [`crate::limits::GRANT_LIFETIME_MAX_S`] later.
    pub expires: u64,
    /// 6: the hosts it is for; `None` = any.
    pub audience: Option<Vec<NodeId>>,
    /// 7: nonce given by the host, or random for an offline grant.
    pub nonce: [u8; 16],
    /// 8: most bytes to read.
    pub max_bytes: Option<u64>,
}
