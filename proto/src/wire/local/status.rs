//! What replies show of friends, snapshots and the node itself.

use serde::{Deserialize, Serialize};

use super::super::admin::AlarmInfo;
use super::super::{ErrorCode, Role};
use crate::ids::{NodeId, OwnerId, SetId, SnapshotId};
use crate::text;

/// How far a snapshot is on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCopy {
    /// The host.
    pub host: NodeId,
    /// Name to show.
    #[serde(deserialize_with = "text::cleaned")]
    pub name: String,
    /// Where it stands.
    pub state: CopyState,
    /// Whether its receipt is here.
    pub receipt: bool,
    /// Objects still to be sent, as far as known.
    pub objects_left: u64,
    /// Their bytes.
    pub bytes_left: u64,
    /// Why the last try failed.
    #[serde(default, deserialize_with = "text::cleaned_option")]
    pub last_error: Option<String>,
    /// Whether the host cannot be reached now.
    #[serde(default)]
    pub away: bool,
    /// Unix seconds of the last contact with it.
    #[serde(default)]
    pub last_seen: Option<u64>,
}

/// State of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyState {
    /// Not started.
    Waiting,
    /// Under way.
    Sending,
    /// Receipted.
    Done,
    /// The last try failed; it will be repeated.
    Failing,
}

/// Another node, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Its identity.
    pub node: NodeId,
    /// Name to show.
    #[serde(deserialize_with = "text::cleaned")]
    pub name: String,
    /// What it may do here.
    pub role: Role,
    /// Where it can be dialled, the best first, complete with `/p2p/`.
    #[serde(deserialize_with = "text::cleaned_list")]
    pub addrs: Vec<String>,
    /// Whether a connection is up.
    pub connected: bool,
    /// Bytes we store for it at most.
    pub quota_given: u64,
    /// Bytes we store for it now.
    pub used_given: u64,
    /// Bytes it offers us.
    pub quota_taken: u64,
    /// Its owner, if known.
    pub owner: Option<OwnerId>,
    /// Unix seconds of the last contact.
    pub last_seen: Option<u64>,
    /// Why the last contact failed.
    #[serde(default, deserialize_with = "text::cleaned_option")]
    pub last_error: Option<String>,
    /// So many of the addresses, from the front, are where it is now; behind them is where it was found before.
    #[serde(default)]
    pub fresh: u64,
    /// Unix seconds since when it is a friend.
    #[serde(default)]
    pub added: u64,
    /// When it said that it ended the friendship.
    #[serde(default)]
    pub ended: Option<u64>,
    /// Why it refuses what we send, as long as it does.
    #[serde(default)]
    pub refusal: Option<RefusalInfo>,
}

/// Why a friend refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalInfo {
    /// Kind.
    pub code: ErrorCode,
    /// In its words.
    #[serde(deserialize_with = "text::cleaned")]
    pub text: String,
    /// Unix seconds since when.
    pub since: u64,
}

/// What a person set, or the usual where nothing was set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSettings {
    /// Where to listen; empty: a port of its own on every interface.
    pub listen: Vec<String>,
    /// What it calls itself to friends.
    #[serde(deserialize_with = "text::cleaned")]
    pub name: String,
    /// Whether that name was set; else it is that of the machine.
    pub name_is_set: bool,
}

/// The node at a glance: body of `Status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusInfo {
    /// Version of the node program.
    pub version: String,
    /// Its identity.
    pub node: NodeId,
    /// Its owner, once adopted.
    pub owner: Option<OwnerId>,
    /// Process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Addresses it listens on.
    #[serde(deserialize_with = "text::cleaned_list")]
    pub listen: Vec<String>,
    /// Objects stored, all owners.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Free bytes of the disk.
    pub disk_free: u64,
    /// Below this the node refuses to store.
    pub disk_reserve: u64,
    /// Snapshots of this device, newest first.
    pub snaps: Vec<SnapInfo>,
    /// Owners stored for, this node's own included.
    pub owners: Vec<OwnerInfo>,
    /// Other nodes.
    pub peers: Vec<PeerInfo>,
    /// What a person has to look at.
    #[serde(default)]
    pub alarms: Vec<AlarmInfo>,
    /// Orders in their grace on this node.
    #[serde(default)]
    pub orders_waiting: u64,
}

/// One snapshot of this device and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapInfo {
    /// Its id.
    pub snap: SnapshotId,
    /// Its sequence number.
    pub seq: u64,
    /// When the backup started.
    pub time: u64,
    /// The backup set it belongs to.
    pub set: SetId,
    /// Objects reachable from it.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Its copies on hosts.
    pub copies: Vec<HostCopy>,
}

/// What is stored for one owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerInfo {
    /// Whose.
    pub owner: OwnerId,
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
    /// Snapshots.
    pub snaps: u64,
}
