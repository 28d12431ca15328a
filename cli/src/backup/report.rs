//! What a backup did.

use std::collections::BTreeSet;

use packnback_proto::ids::{ObjectId, SetId, SnapshotId};
use packnback_proto::wire::admin::AlarmInfo;

use crate::client::ClientError;
use crate::pipeline::{FileNote, RunError};

/// Why a file is not in the snapshot as it is, by what a person can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// This user may not read it.
    Forbidden,
    /// The system could not read it.
    Failing,
    /// It was not there.
    Vanished,
    /// It changed while it was read; what was read is saved.
    Changed,
    /// Some attributes of it are not saved.
    Metadata,
}

/// Numbers of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Entries in the snapshot.
    pub entries: u64,
    /// Regular files in it.
    pub files: u64,
    /// Directories in it.
    pub dirs: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Files not in the last run, as far as the cache knows.
    pub files_new: u64,
    /// Files in the last run with other attributes or content.
    pub files_changed: u64,
    /// Files as they were in the last run, by all that shows without reading them.
    pub files_unmodified: u64,
    /// Of those unmodified: read all the same, because it was their turn.
    pub files_reread: u64,
    /// Of those read again: they had other content than at the last run.
    pub files_differ: u64,
    /// Bytes of content read.
    pub bytes_read: u64,
    /// Objects sent to the node.
    pub objects_new: u64,
    /// Their bytes.
    pub bytes_stored: u64,
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct BackupReport {
    /// The snapshot; `None` after a dry run.
    pub snapshot: Option<SnapshotId>,
    /// Its root object.
    pub root: Option<ObjectId>,
    /// Its backup set.
    pub set: Option<SetId>,
    /// What that is called: its name, or what it saves.
    pub set_label: String,
    /// The node's own receipt (envelope).
    pub receipt: Vec<u8>,
    /// Numbers.
    pub totals: Totals,
    /// Files that could not be saved as they are (unreadable, vanished, changed while read): exit
    /// code 3 if any.
    pub problems: Vec<FileNote>,
    /// Problems beyond those listed.
    pub problems_more: u64,
    /// The causes of all of them.
    pub causes: BTreeSet<Cause>,
    /// Left out on purpose (a socket, another file system, ...).
    pub skipped: Vec<FileNote>,
    /// Left out beyond those listed.
    pub skipped_more: u64,
    /// What a person should know of what was saved, though nothing is wrong with it (a link was followed).
    pub remarks: Vec<String>,
    /// What was odd but did no harm (a damaged cache rebuilt, ...).
    pub warnings: Vec<String>,
    /// Orders of the owner the node has not carried out yet.
    pub pending_orders: u32,
    /// What a person has to look at, as the node said at the start.
    pub alarms: Vec<AlarmInfo>,
}

impl BackupReport {
    /// Whether everything asked for is in the snapshot.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A backup ended without a snapshot.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackupError {
    /// The node could not be talked to, or refused.
    #[error(transparent)]
    Node(#[from] ClientError),
    /// Interrupted; what was already stored is used by the next run.
    #[error("interrupted: no snapshot was made; the next backup continues where this one stopped")]
    Cancelled,
    /// Nothing of what was asked for would be in the snapshot.
    #[error("nothing was saved: {0}")]
    Nothing(String),
    /// More paths than a snapshot can name.
    #[error("{0} paths are more than a snapshot can name")]
    Paths(usize),
    /// The name for what comes through a pipe could never be restored.
    #[error("{name:?} cannot be the name of a file: {reason}")]
    Name {
        /// As given.
        name: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What comes through a pipe ended with an error.
    #[error("cannot read what is to be saved as {name}: {reason}")]
    Pipe {
        /// The name it was to have.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The system gave no random numbers.
    #[error("the system gave no random numbers: {0}")]
    Random(String),
    /// The keys of this device are unusable.
    #[error("the keys of this device are unusable: {0}")]
    Keys(String),
    /// The node says that objects are missing although it had them before.
    #[error("the node misses {0} objects that it had; run the backup again with --full")]
    Missing(usize),
    /// An object of the snapshot could not be made.
    #[error("cannot build the snapshot: {0}")]
    Format(String),
    /// A thread of the pipeline ended early.
    #[error("a part of the backup failed: {0}")]
    Internal(String),
}

impl RunError for BackupError {
    fn cancelled() -> Self {
        Self::Cancelled
    }
}
