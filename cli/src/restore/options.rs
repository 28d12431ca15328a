//! What a restore is asked to do, and what it did.

use std::path::PathBuf;

use packnback_proto::ids::ObjectId;

use crate::client::ClientError;
use crate::pipeline::{Cancel, FileNote, RunError};
use crate::records::LoadedSnapshot;
use crate::snapshot::Fault;

/// What to restore and where to.
pub struct RestoreOptions {
    /// Which snapshot.
    pub snapshot: LoadedSnapshot,
    /// Only what is at or below this stored path. The path is kept below the target.
    pub below: Option<Vec<u8>>,
    /// Only what these patterns ask for, with everything below it, if any.
    pub include: Option<crate::fs::Excludes>,
    /// Nothing that matches these patterns, nor anything below it.
    pub exclude: Option<crate::fs::Excludes>,
    /// Where to.
    pub target: PathBuf,
    /// How to write: what to do with files that are there, ids by number, devices, ...
    pub write: crate::fs::RestoreOptions,
    /// Remove what is in the target and not in the snapshot, though it would have been saved.
    pub delete: bool,
    /// Start even if there seems to be too little room.
    pub ignore_space: bool,
    /// Report only, write nothing.
    pub dry_run: bool,
    /// Read back what was written and compare.
    pub verify: bool,
    /// Worker threads; 0 = one per core.
    pub threads: usize,
    /// Ends the run early.
    pub cancel: Cancel,
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct RestoreReport {
    /// Entries restored or found in place.
    pub entries: u64,
    /// Regular files written.
    pub files_written: u64,
    /// Regular files already there as they should be.
    pub files_kept: u64,
    /// Bytes of content written.
    pub bytes_written: u64,
    /// Removed because not in the snapshot.
    pub deleted: u64,
    /// Their stored paths: all of them in a dry run, else the first.
    pub removed: Vec<Vec<u8>>,
    /// Not in the snapshot and left all the same: it would not have been saved.
    pub left: Vec<FileNote>,
    /// Left beyond what is listed.
    pub left_more: u64,
    /// Patterns that asked for nothing that is there.
    pub unmatched: Vec<Vec<u8>>,
    /// Damage that another copy of the snapshot may not have: something in the source is missing or wrong.
    pub source_at_fault: bool,
    /// Objects fetched.
    pub objects: u64,
    /// Their bytes.
    pub bytes_fetched: u64,
    /// Files missing or not as saved: exit code 3 if any. An empty path: names are lost as well.
    pub damage: Vec<FileNote>,
    /// Damage beyond what is listed.
    pub damage_more: u64,
    /// Attributes that could not be set (not root, file system without xattrs, ...).
    pub notes: Vec<FileNote>,
    /// Notes beyond those listed.
    pub notes_more: u64,
}

impl RestoreReport {
    /// Whether everything asked for is in place.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.damage.is_empty() && !self.is_nothing()
    }

    /// Whether nothing was found to be restored.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.entries == 0 && self.damage.is_empty() && self.deleted == 0
    }
}

/// What a raw export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawExport {
    /// Records written.
    pub records: u64,
    /// Objects written.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that are missing or damaged in the source.
    pub missing: u64,
}

/// A restore could not be done at all.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RestoreError {
    /// The source could not be talked to, or refused.
    #[error(transparent)]
    Node(#[from] ClientError),
    /// The key at hand does not open this.
    #[error(transparent)]
    Key(#[from] packnback_proto::crypto::keyset::KeyLack),
    /// There is no (such) snapshot.
    #[error("there is no such snapshot")]
    NoSnapshot,
    /// The path is not in the snapshot.
    #[error("{0} is not in the snapshot")]
    NoPath(String),
    /// A part of the tree is missing or damaged.
    #[error("object {id} of the snapshot is unusable: {reason}")]
    Object {
        /// Which one.
        id: ObjectId,
        /// What is wrong.
        reason: String,
    },
    /// What the snapshot holds is more than it says.
    #[error("the snapshot holds more than its own record says ({0}): it is damaged or forged")]
    Excess(String),
    /// There is too little room.
    #[error("there is too little room in {}: {needed} bytes are needed, {free} are free", path.display())]
    Space {
        /// The target.
        path: PathBuf,
        /// Bytes to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The snapshot does not say what it left out, so nothing can be removed.
    #[error("nothing can be removed after this snapshot: {0}")]
    Untold(String),
    /// The target could not be used.
    #[error("cannot restore into {}: {reason}", path.display())]
    Target {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Interrupted; the next run goes on where this one stopped.
    #[error("interrupted: every file restored so far is complete; run it again to go on")]
    Cancelled,
    /// A thread of the pipeline ended early.
    #[error("a part of the restore failed: {0}")]
    Internal(String),
}

impl From<Fault> for RestoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing(id) => Self::Object {
                id,
                reason: "it is missing".into(),
            },
            Fault::Bad(id, reason) => Self::Object { id, reason },
            Fault::Closed(_, lack) => Self::Key(lack),
            Fault::Source(error) => error.into(),
        }
    }
}

impl RunError for RestoreError {
    fn cancelled() -> Self {
        Self::Cancelled
    }
}
