//! The local API: a program asks its node over a Unix socket (mode 0600, same user or root only).
//!
//! One request, one reply, in order, but for `Put` (no reply unless refused, which ends the
//! connection; `Sync` answers for all before it) and `Get` (one `Object` per id).
//! A backup is `Hello, Open, (Have | Put)*, Sync, Commit, Copies*`.

use serde::{Deserialize, Serialize};

use super::admin::{AlarmInfo, PolicyInfo};
use super::{Bytes, ErrorCode, Nonce16, Role, SecretBytes};
use crate::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use crate::text;

/// Version of these messages. A node refuses any other.
pub const API_VERSION: u32 = 3;

/// Asked by the program.
#[derive(Debug, Serialize, Deserialize)]
pub enum LocalRequest {
    /// First message. Reply: `Hello`.
    Hello {
        /// [`API_VERSION`] of the program.
        api: u32,
    },
    /// Makes this node a device of the owner. Reply: `Ok`.
    Adopt {
        /// Certificate envelope; its device must be this node.
        cert: Bytes,
    },
    /// Starts a backup session. Reply: `Opened`.
    Open,
    /// Body: ids, at most [`crate::limits::HAVE_IDS_MAX`]. Reply: `Bitmap`.
    Have,
    /// Body: the object. No reply unless refused.
    Put {
        /// Its address.
        id: ObjectId,
    },
    /// Reply `Synced` once everything put before on this connection is durable.
    Sync,
    /// Commits a snapshot with this root. The node fills in owner, device, sequence, predecessor
    /// and certificate from its own state, and signs. Reply: `Missing` or `Committed`.
    Commit {
        /// The root object.
        root: ObjectId,
        /// The backup set it belongs to.
        set: SetId,
        /// When the backup started, unix seconds.
        time: u64,
    },
    /// Records of an owner, in order of their ids. Reply: `Records`.
    Records {
        /// Whose; `None` = of this node's owner. Ignored if `remote`: the grant says whose.
        owner: Option<OwnerId>,
        /// Start behind this one.
        after: Option<RecordId>,
        /// From the host of the last `RemoteOpen` on this connection.
        remote: bool,
    },
    /// Body: ids, at most [`crate::limits::GET_IDS_MAX`]. Reply: one `Object` per id, in order.
    Get {
        /// From the host of the last `RemoteOpen` on this connection; else from this node, which
        /// asks nobody.
        remote: bool,
    },
    /// Waits until a snapshot is on `wait_hosts` hosts or the time is up. Reply: `Copies`.
    Copies {
        /// Which snapshot.
        snap: SnapshotId,
        /// Enough hosts. Zero: answer at once.
        wait_hosts: u32,
        /// Longest wait. The node answers earlier when something changed, so that progress can be shown.
        timeout_ms: u64,
    },
    /// Connects to a host to read from it. Reply: `RemoteOpened`.
    RemoteOpen {
        /// Multiaddress with `/p2p/`, or the id of a known peer.
        addr: String,
        /// Connect as the owner's recovery peer, not as this node.
        recovery_seed: Option<SecretBytes>,
    },
    /// Presents a grant to that host. Reply: `Ok`.
    RemoteGrant {
        /// Grant envelope.
        grant: Bytes,
    },
    /// Makes an invite. Reply: `Invited`.
    Invite {
        /// Bytes offered to the friend; `None`: as before if it is one already, else the usual.
        quota: Option<u64>,
        /// Lifetime in seconds.
        expires_s: u64,
        /// Name to show for the friend.
        name: String,
    },
    /// Accepts an invite. Reply: `Peer`.
    Accept {
        /// The token as text.
        token: String,
        /// Bytes offered in return; `None`: as before if it is a friend already, else the usual.
        quota: Option<u64>,
        /// Name to show for the friend.
        name: String,
    },
    /// Reply: `Peers`.
    Peers,
    /// Ends a friendship. Its stored data stays until an order says otherwise. Reply: `Removed`.
    RemovePeer {
        /// Which one.
        node: NodeId,
    },
    /// Says where a friend can be dialled; these come first from now on. Reply: `Peer`.
    PeerAddrs {
        /// Which one.
        node: NodeId,
        /// Multiaddresses, with or without `/p2p/`.
        addrs: Vec<String>,
    },
    /// Changes the settings of this node that are given, for good. Reply: `Info`, body: [`NodeSettings`] as they are
    /// now.
    Configure {
        /// Where to listen from the next start on; empty: as if never said.
        listen: Option<Vec<String>>,
        /// What this node calls itself to friends; empty: as if never said.
        name: Option<String>,
    },
    /// Stores an owner-signed order here and carries it to the hosts. Reply: `Ok`.
    Order {
        /// Order envelope.
        envelope: Bytes,
    },
    /// Reply: `Status`, body: [`StatusInfo`].
    Status,
    /// Devices of this node's owner. Reply: `Info`, body: list of [`super::admin::DeviceInfo`].
    Devices,
    /// Orders of this node's owner. Reply: `Info`, body: list of [`super::admin::OrderInfo`].
    Orders,
    /// What retention says of each snapshot here. Reply: `Info`, body: list of
    /// [`super::admin::RetentionInfo`].
    Retention {
        /// Only this device.
        device: Option<NodeId>,
        /// Try this policy out, without freezes and daily caps; `None` = what is in force.
        policy: Option<PolicyInfo>,
        /// Leave out so many of the newest snapshots of each device: a reply lists a limited number
        /// of them, and says how many there are.
        skip: u64,
    },
    /// Reply: `Info`, body: list of [`super::admin::HostedOwner`].
    HostOwners,
    /// Sets the most bytes this host stores for an owner; `None` takes the limit off. Reply: `Ok`.
    HostQuota {
        /// Whose.
        owner: OwnerId,
        /// Bytes.
        bytes: Option<u64>,
    },
    /// Announces the end of hosting an owner, or takes it back. Reply: `Info`, body:
    /// [`super::admin::HostedOwner`].
    HostEvict {
        /// Whose.
        owner: OwnerId,
        /// Days of warning, then days without writes; `None` takes it back.
        days: Option<(u32, u32)>,
    },
    /// Sizes. Reply: `Info`, body: [`super::admin::OwnerStats`].
    Stats {
        /// Whose; `None` = this node's owner.
        owner: Option<OwnerId>,
        /// Leave out so many of the newest snapshots, as in [`LocalRequest::Retention`].
        skip: u64,
    },
    /// Carries out what is due and frees space now, instead of at the next regular time. Reply:
    /// `Info`, body: [`super::admin::CollectInfo`].
    Collect,
    /// The workers of this node. Reply: `Info`, body: list of [`super::work::WorkerInfo`].
    Workers,
    /// A person has seen this alarm. Reply: `Ok`.
    Acknowledge {
        /// Its number.
        alarm: u64,
    },
    /// Ends the node. Reply: `Ok`, then the connection closes.
    Shutdown,
}

/// Answers of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalReply {
    /// To `Hello`.
    Hello {
        /// Version of the node program.
        version: String,
        /// [`API_VERSION`] of the node.
        api: u32,
        /// Its identity.
        node: NodeId,
        /// Its owner, once adopted.
        owner: Option<OwnerId>,
        /// Addresses it listens on, with `/p2p/`.
        #[serde(deserialize_with = "text::cleaned_list")]
        listen: Vec<String>,
    },
    /// To `Open`.
    Opened {
        /// Newest snapshot of this device that is complete here.
        base: Option<SnapshotId>,
        /// Its sequence number, 0 if none.
        last_seq: u64,
        /// Its root object.
        last_root: Option<ObjectId>,
        /// Orders not carried out yet.
        pending_orders: u32,
        /// The certificate in use (envelope).
        cert: Bytes,
        /// What a person has to look at.
        #[serde(default)]
        alarms: Vec<AlarmInfo>,
    },
    /// To `Have`. Body: [`super::ids::encode_bitmap`].
    Bitmap,
    /// To `Sync`.
    Synced {
        /// Objects put on this connection so far, all durable now.
        objects: u64,
    },
    /// To `Commit`: these are not here. Body: ids.
    Missing {
        /// How many are listed.
        count: u32,
    },
    /// To `Commit`: complete and durable here.
    Committed {
        /// Id of the snapshot.
        snap: SnapshotId,
        /// Snapshot envelope.
        envelope: Bytes,
        /// This node's own receipt.
        receipt: Bytes,
    },
    /// To `Records`. Body: [`super::ids::push_record`] list.
    Records {
        /// Ask again, starting behind `last`.
        more: bool,
        /// Last record in the body.
        last: Option<RecordId>,
    },
    /// To `Get`, one per id. Body: the object if found.
    Object {
        /// Which one.
        id: ObjectId,
        /// Whether it is there and intact.
        found: bool,
    },
    /// To `Copies`.
    Copies {
        /// Whether `wait_hosts` hosts have it.
        done: bool,
        /// Every host of the owner.
        hosts: Vec<HostCopy>,
    },
    /// To `RemoteOpen`.
    RemoteOpened {
        /// The host.
        host: NodeId,
        /// Its clock, unix seconds.
        time: u64,
        /// Its nonce, for the grant.
        nonce: Nonce16,
        /// Who this side is there: the reader a grant must name.
        reader: NodeId,
    },
    /// To `Invite`.
    Invited {
        /// The token, to be given to the friend.
        token: String,
        /// Bytes offered: what was asked for, as far as there is space.
        #[serde(default)]
        quota: u64,
    },
    /// To `Accept`.
    Peer {
        /// The new friend.
        peer: PeerInfo,
    },
    /// To `RemovePeer`.
    Removed {
        /// Whether the other node was told already. If not, it is told when it comes.
        told: bool,
    },
    /// To `Peers`.
    Peers {
        /// All of them.
        peers: Vec<PeerInfo>,
    },
    /// To `Status`. Body: [`StatusInfo`] by [`super::frame::encode_body`].
    Status,
    /// To the requests that say so. Body: what they name, by [`super::frame::encode_body`].
    Info,
    /// Done.
    Ok,
    /// No answer yet, but one is being worked on: sent every few seconds while a request is answered, before
    /// its reply. Who waits and hears neither this nor a reply for much longer may give the node up.
    Working,
    /// It did not work: what happened, what is safe, what to do next.
    Error {
        /// Kind.
        code: ErrorCode,
        /// What happened.
        #[serde(deserialize_with = "text::cleaned")]
        message: String,
        /// What is safe in spite of it.
        #[serde(deserialize_with = "text::cleaned")]
        safe: String,
        /// What to do next.
        #[serde(deserialize_with = "text::cleaned")]
        next: String,
    },
}

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
