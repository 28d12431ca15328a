//! What a restore is asked to do, and what it did.

use std::path::PathBuf;

use packnback_proto::ids::{ObjectId, SnapshotId};
use packnback_proto::newest::Standing;
use packnback_proto::record::Snap;

use crate::backup::{Cancel, FileNote};
use crate::client::ClientError;

/// A snapshot whose record is verified: signed by a device that the owner certified.
#[derive(Debug, Clone)]
pub struct LoadedSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The record.
    pub snap: Snap,
    /// Label of the device, opened from its certificate.
    pub device_label: Option<String>,
    /// When hosts that count received it first, unix seconds.
    pub received: Option<u64>,
    /// Whether it may be taken for the newest.
    pub standing: Standing,
}

/// What to restore and where to.
pub struct RestoreOptions {
    /// Which snapshot.
    pub snapshot: LoadedSnapshot,
    /// Only what is at or below this stored path. The path is kept below the target.
    pub below: Option<Vec<u8>>,
    /// Only what matches one of these globs (on stored paths), if any.
    pub include: Option<globset::GlobSet>,
    /// Nothing that matches one of these globs, nor anything below it.
    pub exclude: Option<globset::GlobSet>,
    /// Where to.
    pub target: PathBuf,
    /// How to write: what to do with files that are there, ids by number, devices, ...
    pub write: crate::fs::RestoreOptions,
    /// Remove what is in the target but not in the snapshot.
    pub delete: bool,
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
        self.damage.is_empty()
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
