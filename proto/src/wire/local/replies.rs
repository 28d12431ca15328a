//! What the node answers.

use serde::{Deserialize, Serialize};

use super::status::{HostCopy, PeerInfo};
use crate::ids::{NodeId, ObjectId, OwnerId, RecordId, SnapshotId};
use crate::text;
use crate::wire::admin::AlarmInfo;
use crate::wire::{Bytes, ErrorCode, Nonce16};

/// Answers of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalReply {
    /// To `Hello`.
    Hello(Hello),
    /// To `Open`.
    Opened(Opened),
    /// To `Have`. Body: [`encode_bitmap`](crate::wire::ids::encode_bitmap).
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
    Committed(Committed),
    /// To `Records`. Body: [`push_record`](crate::wire::ids::push_record) list.
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
    Copies(Copies),
    /// To `RemoteOpen`.
    RemoteOpened(RemoteOpened),
    /// To `Invite`.
    Invited(Invited),
    /// To `Accept` and `PeerAddrs`.
    Peer {
        /// The friend.
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
    /// To `Status`. Body: [`StatusInfo`](super::StatusInfo) by [`encode_body`](crate::wire::frame::encode_body).
    Status,
    /// To the requests that say so. Body: what they name, by [`encode_body`](crate::wire::frame::encode_body).
    Info,
    /// Done.
    Ok,
    /// No answer yet, but one is being worked on: sent every few seconds while a request is answered, before
    /// its reply. Who waits and hears neither this nor a reply for much longer may give the node up. Of no request
    /// ([`NO_TAG`](super::NO_TAG)): the node takes no more until something under way is done.
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

/// Who the node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the node program.
    pub version: String,
    /// [`API_VERSION`](super::API_VERSION) of the node.
    pub api: u32,
    /// Its identity.
    pub node: NodeId,
    /// Its owner, once adopted.
    pub owner: Option<OwnerId>,
    /// Addresses it listens on, with `/p2p/`.
    #[serde(deserialize_with = "text::cleaned_list")]
    pub listen: Vec<String>,
}

/// What a backup begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Newest snapshot of this device that is complete here.
    pub base: Option<SnapshotId>,
    /// Its sequence number, 0 if none.
    pub last_seq: u64,
    /// Its root object.
    pub last_root: Option<ObjectId>,
    /// Orders not carried out yet.
    pub pending_orders: u32,
    /// The certificate in use (envelope).
    pub cert: Bytes,
    /// What a person has to look at.
    #[serde(default)]
    pub alarms: Vec<AlarmInfo>,
}

/// A snapshot is complete and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Id of the snapshot.
    pub snap: SnapshotId,
    /// Snapshot envelope.
    pub envelope: Bytes,
    /// This node's own receipt (envelope).
    pub receipt: Bytes,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitAnswer {
    /// Done.
    Committed(Committed),
    /// These objects are not here: nothing was committed.
    Missing(Vec<ObjectId>),
}

/// One page of records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordPage {
    /// Whether there are more behind [`RecordPage::last`].
    pub more: bool,
    /// The last record in the body.
    pub last: Option<RecordId>,
    /// Envelopes in the form of [`push_record`](crate::wire::ids::push_record).
    pub body: Vec<u8>,
}

/// Where a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// Whether enough hosts have it.
    pub done: bool,
    /// Every host of the owner.
    pub hosts: Vec<HostCopy>,
}

/// A host was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteOpened {
    /// The host.
    pub host: NodeId,
    /// Its clock, unix seconds.
    pub time: u64,
    /// Its nonce, for the grant.
    pub nonce: Nonce16,
    /// Who this side is there: the reader a grant must name.
    pub reader: NodeId,
}

/// An invite was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// The token, to be given to the friend.
    pub token: String,
    /// Bytes offered: what was asked for, as far as there is space.
    #[serde(default)]
    pub quota: u64,
}
