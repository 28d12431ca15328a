//! What a backup needs of a node, so that it runs against a stand-in in tests.

use packnback_proto::ids::{ObjectId, SetId};
use packnback_proto::wire::local::{CommitAnswer, Opened};

use super::ClientError;

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
    fn commit(&self, root: ObjectId, set: SetId, time: u64) -> Result<CommitAnswer, ClientError>;
}
