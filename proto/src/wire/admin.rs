//! What the local API tells about devices, orders, retention, hosting and space: bodies of replies.
//!
//! Times are unix seconds, sizes are bytes. Fields may be added: a missing one has its default.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::types::text_enum;
use super::{Bytes, Nonce16};
use crate::ids::{NodeId, OwnerId, RecordId, SetId, SnapshotId};
use crate::text;

text_enum! {
    /// Where an order stands on this host.
    OrderState, Unknown, {
        /// In its grace: nothing is lost yet, `cancel` takes it back.
        Waiting = "waiting",
        /// Carried out.
        Done = "done",
        /// Taken back in time.
        Cancelled = "cancelled",
        /// Against a rule, or older than what is in force: has no effect.
        Refused = "refused",
        /// For other hosts: kept and carried.
        NotForUs = "not-for-us",
    }
}

text_enum! {
    /// Something a person has to look at.
    AlarmKind, Unknown, {
        /// A host knows a snapshot under this device's key that this device did not make.
        UnknownHead = "unknown-head",
        /// A host says something of this device's key that it cannot show: no proof of anything but that the
        /// host is wrong.
        FalseClaim = "false-claim",
        /// A host lacks the newest snapshot it gave a receipt for.
        Withheld = "withheld",
        /// Two lines of snapshots of one device: its key is in use in two places, or its state was set back.
        Fork = "fork",
        /// Nothing expires here until the owner looks.
        Frozen = "frozen",
        /// An order waits that was not submitted on this machine.
        ForeignOrder = "foreign-order",
        /// Collecting stopped at an error and freed nothing.
        Collect = "collect",
        /// A host is going to end storage.
        Evict = "evict",
        /// Something stored here is damaged.
        Damage = "damage",
        /// A friend ended the friendship: nothing new is stored there.
        FriendEnded = "friend-ended",
        /// What a friend offers is used up, or its disk is full.
        FriendFull = "friend-full",
        /// A friend refuses what is sent to it.
        FriendRefuses = "friend-refuses",
        /// A friend has not been seen for long.
        FriendAway = "friend-away",
        /// Nothing was backed up for long.
        NoBackup = "no-backup",
        /// The node could not listen where it should.
        Listen = "listen",
    }
}

/// Something a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmInfo {
    /// Kind.
    pub kind: AlarmKind,
    /// Number under which it is acknowledged; `None`: it goes by itself when its cause is gone.
    pub number: Option<u64>,
    /// The host that told, or that it is about.
    pub host: Option<NodeId>,
    /// The device it is about.
    pub device: Option<NodeId>,
    /// The snapshot it is about.
    pub snap: Option<SnapshotId>,
    /// The order it is about.
    pub order: Option<RecordId>,
    /// When it was first seen.
    pub since: u64,
    /// For people.
    #[serde(deserialize_with = "text::cleaned")]
    pub text: String,
}

/// A device of the owner, as this node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// The device.
    pub device: NodeId,
    /// Its newest certificate (envelope).
    pub cert: Bytes,
    /// The order that revoked it.
    pub revoked: Option<RecordId>,
    /// Bytes charged to it here.
    pub bytes: u64,
    /// Of these, new today.
    pub day_bytes: u64,
    /// Snapshots taken in today.
    pub day_snaps: u64,
    /// Snapshots here.
    pub snaps: u64,
    /// When the newest was received here.
    pub last_received: Option<u64>,
    /// Why nothing of it expires, if so.
    #[serde(deserialize_with = "text::cleaned_list")]
    pub frozen: Vec<String>,
}

/// An order of the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderInfo {
    /// Its record.
    pub id: RecordId,
    /// Its order id.
    pub oid: Nonce16,
    /// The envelope.
    pub envelope: Bytes,
    /// When it came to this node.
    pub received: u64,
    /// State on this node.
    pub state: OrderState,
    /// When it takes effect for good.
    pub due: Option<u64>,
    /// Snapshots it marked here.
    pub snaps: u64,
    /// Why it was refused, or what it did.
    #[serde(deserialize_with = "text::cleaned")]
    pub note: String,
    /// Friends that have taken it from this node since it started; at each start all are told again.
    pub told: Vec<NodeId>,
}

/// A retention policy, as in an order with op 2.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyInfo {
    /// Sequence number; 0 for one that is only tried out.
    pub pseq: u64,
    /// The device; `None` = every device without a policy of its own.
    pub device: Option<NodeId>,
    /// Nothing younger expires, days.
    pub min_age_d: u64,
    /// Periods kept: hourly, daily, weekly, monthly, yearly.
    pub keep: [u64; 5],
    /// Newest snapshots kept.
    pub keep_last: u64,
    /// Grace before bytes go, days.
    pub grace_d: u64,
}

/// A snapshot marked to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoingInfo {
    /// Since when.
    pub since: u64,
    /// When it is gone.
    pub due: u64,
    /// The order that marked it; `None` = the policy.
    pub order: Option<RecordId>,
}

/// What retention says of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepInfo {
    /// The snapshot.
    pub snap: SnapshotId,
    /// The backup set it belongs to.
    pub set: SetId,
    /// Start of the backup by the device's clock.
    pub time: u64,
    /// The time retention goes by: received here, or the earliest receipt of a listed host.
    pub received: u64,
    /// Why it stays ("held", "younger than 30 days", "daily 2026-11-25", "newest 3"); empty: it goes.
    #[serde(deserialize_with = "text::cleaned_list")]
    pub reasons: Vec<String>,
    /// Earliest day (start, unix seconds) on which it may go if nothing new comes; `None` = it stays.
    pub goes: Option<u64>,
    /// Whether it is marked to go.
    pub going: Option<GoingInfo>,
}

/// Retention of one device on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionInfo {
    /// The device.
    pub device: NodeId,
    /// The policy in force; `None`: everything is kept.
    pub policy: Option<PolicyInfo>,
    /// Why nothing expires, if so.
    #[serde(deserialize_with = "text::cleaned_list")]
    pub frozen: Vec<String>,
    /// Snapshots of it there are.
    pub total: u64,
    /// Its snapshots, newest first; a reply may hold a part of them.
    pub snaps: Vec<KeepInfo>,
}

/// How far the end of hosting an owner has come, by this host's administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictInfo {
    /// `warned`, `frozen` (no more writes, reading and handing over go on), or `dropped`.
    #[serde(deserialize_with = "text::cleaned")]
    pub stage: String,
    /// When it was announced.
    pub since: u64,
    /// Writes end.
    pub freeze_at: u64,
    /// Everything goes.
    pub drop_at: u64,
}

/// An owner this node stores for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedOwner {
    /// Whose.
    pub owner: OwnerId,
    /// Whether it is this node's own.
    pub own: bool,
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Snapshots.
    pub snaps: u64,
    /// Most bytes this host stores for all devices together, set by its administrator.
    pub quota: Option<u64>,
    /// Devices that have stored here.
    pub devices: Vec<NodeId>,
    /// When a session was last opened.
    pub last_session: Option<u64>,
    /// The end of hosting, if announced.
    pub evict: Option<EvictInfo>,
}

/// Sizes of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapStats {
    /// The snapshot.
    pub snap: SnapshotId,
    /// Its device.
    pub device: NodeId,
    /// Start of the backup by the device's clock.
    pub time: u64,
    /// Its root object.
    pub root: crate::ids::ObjectId,
    /// Objects reachable from it.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Objects only it needs.
    pub unique_objects: u64,
    /// Their stored bytes: what deleting it would free.
    pub unique_bytes: u64,
}

/// Sizes of one owner's data on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerStats {
    /// Whose.
    pub owner: OwnerId,
    /// Objects stored.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, bytes nothing refers to (uploads under way or broken off, and what is about to be freed).
    pub loose_bytes: u64,
    /// Snapshots there are.
    pub total: u64,
    /// Snapshots, newest first; a reply may hold a part of them.
    pub snaps: Vec<SnapStats>,
}

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectInfo {
    /// Snapshots that ended.
    pub snaps: u64,
    /// Objects freed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Live objects moved, so that files with little left in them could go.
    pub moved_objects: u64,
    /// Their bytes.
    pub moved_bytes: u64,
    /// Bytes of the store's files before.
    pub disk_before: u64,
    /// Bytes of the store's files after.
    pub disk_after: u64,
    /// Objects whose stored bytes are known to be damaged or gone.
    #[serde(default)]
    pub damaged: u64,
    /// Owners for whom it stopped because something could not be read.
    #[serde(default)]
    pub stopped: u64,
}
