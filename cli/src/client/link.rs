//! What backup and restore need of a node, so that they run against a stand-in in tests.

use packnback_proto::ids::{ObjectId, OwnerId, SetId};
use packnback_proto::wire::local::{CommitAnswer, Opened};

use super::ClientError;
use crate::records::Viewpoint;
use crate::system;

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

/// Where a restore reads from.
pub trait ObjectSource: Send + Sync {
    /// Every record of the owner this source holds (envelopes), unchecked.
    ///
    /// # Errors
    /// [`ClientError`].
    fn records(&self, owner: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError>;

    /// The objects with these ids, in order, at most [`packnback_proto::limits::GET_IDS_MAX`];
    /// `None` for those not there. Unchecked: the caller verifies.
    ///
    /// # Errors
    /// [`ClientError`].
    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError>;

    /// Whose word counts for what is read here.
    fn viewpoint(&self) -> Viewpoint {
        Viewpoint {
            now: system::now(),
            ..Viewpoint::default()
        }
    }
}
