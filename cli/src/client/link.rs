//! What a backup needs of a node, so that it runs against a stand-in in tests.

use packnback_proto::ids::{ObjectId, SetId, SnapshotId};
use packnback_proto::wire::admin::AlarmInfo;

use super::ClientError;

/// Answer to `Open`.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// Newest snapshot of this device that is complete on the node.
    pub base: Option<SnapshotId>,
    /// Its sequence number, 0 if none.
    pub last_seq: u64,
    /// Its root object.
    pub last_root: Option<ObjectId>,
    /// Orders not carried out yet.
    pub pending_orders: u32,
    /// The certificate in use (envelope).
    pub cert: Vec<u8>,
    /// What a person has to look at.
    pub alarms: Vec<AlarmInfo>,
}

/// Answer to `Commit`.
#[derive(Debug, Clone)]
pub enum Committed {
    /// Complete and durable on the node.
    Done {
        /// Id of the snapshot.
        snap: SnapshotId,
        /// Snapshot envelope.
        envelope: Vec<u8>,
        /// The node's own receipt (envelope).
        receipt: Vec<u8>,
    },
    /// These objects are not on the node: nothing was committed.
    Missing(Vec<ObjectId>),
}

/// The node side of a backup. Calls from many threads; puts keep their order towards `sync`.
pub trait NodeLink: Send + Sync {
    /// Starts a session.
    ///
    /// # Errors
    /// [`ClientError`].
    fn open(&self) -> Result<Opened, ClientError>;

    /// Which of these objects are on the node (complete with all they refer to). Any number.
    ///
    /// # Errors
    /// [`ClientError`].
    fn have(&self, ids: &[ObjectId]) -> Result<Vec<bool>, ClientError>;

    /// Sends an object. Returns once it is queued; waits while too much is queued. A refusal shows
    /// up in a later call.
    ///
    /// # Errors
    /// [`ClientError`].
    fn put(&self, id: ObjectId, object: Vec<u8>) -> Result<(), ClientError>;

    /// Returns once everything put before is durable.
    ///
    /// # Errors
    /// [`ClientError`].
    fn sync(&self) -> Result<u64, ClientError>;

    /// Commits a snapshot of `root`, started at `time` (unix seconds).
    ///
    /// # Errors
    /// [`ClientError`].
    fn commit(&self, root: ObjectId, set: SetId, time: u64) -> Result<Committed, ClientError>;
}
