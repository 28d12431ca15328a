//! The storage session between nodes, stream protocol [`super::STORE_PROTOCOL`].
//!
//! The dialer asks, the host answers, in order. Three ways to get anywhere:
//!
//! ```text
//! device:  Hello, Open(cert), then any of Have, Put.., Sync, Commit, Receipt, Order, HostAddrs, Stands
//! reader:  Hello, Grant, then any of Records, Get
//! host:    Hello, Replicate(owner), then any of Records, Get
//! ```
//!
//! `Put` has no reply of its own: puts are pipelined, `Sync` answers for all before it. If one is
//! refused, the host answers [`StoreReply::Refused`] at once and closes the stream; what was
//! synced before stays.

use serde::{Deserialize, Serialize};

use super::admin::EvictInfo;
use super::{Bytes, ErrorCode, Nonce16};
use crate::ids::{NodeId, ObjectId, OwnerId, RecordId, SnapshotId};
use crate::text::{Addrs, Text};

/// Version of these messages, told in `Hello`. A message is sent only to a host whose version has
/// it: an unknown one ends the conversation.
pub const STORE_VERSION: u32 = 3;
/// First version with `Replicate` and `HostAddrs`.
pub const STORE_VERSION_REPLICATE: u32 = 2;
/// First version with `Stands`.
pub const STORE_VERSION_STANDS: u32 = 3;

/// Asked by the dialing node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreRequest {
    /// First message.
    Hello {
        /// [`STORE_VERSION`] of the dialer.
        version: u32,
    },
    /// Opens a device session. The certificate must name the authenticated peer.
    Open {
        /// Certificate envelope.
        cert: Bytes,
        /// Snapshot the device builds on: pinned for the session.
        base: Option<SnapshotId>,
    },
    /// Body: ids, at most [`crate::limits::HAVE_IDS_MAX`]. Reply: `Bitmap`.
    Have,
    /// Body: the object. No reply unless refused.
    Put {
        /// Its address.
        id: ObjectId,
    },
    /// Reply `Synced` once everything put before is durable.
    Sync,
    /// Commits a snapshot. Reply: `Missing` or `Committed`.
    Commit {
        /// Snapshot envelope.
        snap: Bytes,
    },
    /// Receipt of another host, kept so that readers learn of it.
    Receipt {
        /// Receipt envelope.
        envelope: Bytes,
    },
    /// Owner-signed order, carried by anybody with a session.
    Order {
        /// Order envelope.
        envelope: Bytes,
    },
    /// Presents a grant. Its reader must be the authenticated peer.
    Grant {
        /// Grant envelope.
        envelope: Bytes,
    },
    /// Records of the owner of the session or grant, in order of their ids.
    Records {
        /// Start behind this one.
        after: Option<RecordId>,
    },
    /// Body: ids, at most [`crate::limits::GET_IDS_MAX`]. Reply: one `Object` per id, in order.
    Get,
    /// Another host of the owner, by the owner's own list, copies what is here. Reply: `Ok`.
    Replicate {
        /// Whose.
        owner: OwnerId,
    },
    /// In a device session: where the owner's other hosts, and the device itself, can be dialled.
    /// Hints only: who answers there proves who it is. Reply: `Ok`.
    HostAddrs {
        /// At most [`crate::limits::AUDIENCE_MAX`] nodes, each with at most
        /// [`crate::limits::PEER_ADDRS_MAX`] multiaddresses.
        hosts: Vec<(NodeId, Addrs)>,
    },
    /// In a device session: whether snapshots of it are still here, and what ended those that are not.
    /// Body: their ids, at most [`crate::limits::STANDS_MAX`]. Reply: `Stands`.
    Stands,
}

/// What became of a snapshot at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stand {
    /// Complete here.
    Here,
    /// It ended here: by this order, or under this policy order; `None`: the host's administrator ended it.
    Ended {
        /// Its record.
        order: Option<RecordId>,
    },
    /// The host knows nothing of it. If it gave a receipt, it has lost it.
    Unknown,
}

/// The last snapshot the host knows of a device, and the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its sequence number.
    pub seq: u64,
    /// Its id.
    pub id: SnapshotId,
}

/// Answers of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreReply {
    /// To `Hello`.
    Hello {
        /// Host clock, unix seconds.
        time: u64,
        /// A grant for this host carries this nonce.
        nonce: Nonce16,
        /// [`STORE_VERSION`] of the host.
        version: u32,
        /// The host, as it signs receipts.
        host: NodeId,
    },
    /// To `Open`.
    Opened {
        /// Number of the session, for logs.
        session: u64,
        /// Collection epoch at open.
        epoch: u64,
        /// Whether everything below `base` is here.
        base_complete: bool,
        /// Newest snapshots of this device here, newest first.
        heads: Vec<Head>,
        /// Their envelopes, in the same order: a snapshot without one is a claim and no proof.
        #[serde(default)]
        head_records: Vec<Bytes>,
        /// Orders not carried out yet.
        pending_orders: u32,
        /// Bytes this device may still store.
        quota_left: u64,
        /// Orders of the owner in their grace here (envelopes), the newest first, not all if many.
        #[serde(default)]
        orders: Vec<Bytes>,
        /// The end of hosting, if it was announced.
        #[serde(default)]
        notice: Option<EvictInfo>,
    },
    /// To `Have`. Body: [`super::ids::encode_bitmap`].
    Bitmap,
    /// To `Sync`.
    Synced {
        /// Objects put in this session so far, all durable now.
        objects: u64,
    },
    /// To `Commit`: these are not here. Body: ids, at most [`crate::limits::HAVE_IDS_MAX`] of them.
    Missing {
        /// How many are listed.
        count: u32,
    },
    /// To `Commit`: complete and durable.
    Committed {
        /// Receipt envelope.
        receipt: Bytes,
    },
    /// To `Receipt`, `Order`, `Grant`, `Replicate`, `HostAddrs`.
    Ok,
    /// To `Records`. Body: [`super::ids::push_record`] list.
    Records {
        /// Ask again, starting behind `last`.
        more: bool,
        /// Last record in the body.
        last: Option<RecordId>,
    },
    /// To `Stands`, in the order of the question. Body: the orders named, a
    /// [`super::ids::push_record`] list.
    Stands {
        /// One for each id.
        stands: Vec<Stand>,
    },
    /// To `Get`, one per id. Body: the object if found.
    Object {
        /// Which one.
        id: ObjectId,
        /// Whether it is here and intact.
        found: bool,
    },
    /// The request was refused. After a refused `Put` the stream ends.
    Refused {
        /// Why.
        code: ErrorCode,
        /// For people and logs.
        message: Text,
        /// The object it is about.
        id: Option<ObjectId>,
    },
}
