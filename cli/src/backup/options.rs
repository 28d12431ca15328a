//! What a backup is asked to do, and with which keys.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use packnback_proto::crypto::keys::DeviceKeys;
use packnback_proto::crypto::secret::Secret32;

use crate::fs::WalkOptions;

/// How far content is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dedup {
    /// With every machine of the dedup group.
    #[default]
    Owner,
    /// With nothing outside one run: large files are sealed under keys of that run as well.
    Session,
}

/// A flag set by a signal handler: the run ends at the next file, keeping what is already durable.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes that come from a pipe instead of a file.
pub struct StdinFile {
    /// Name to save it under: a path, made absolute from `/`.
    pub name: PathBuf,
    /// Where the bytes come from.
    pub reader: Box<dyn Read + Send>,
}

/// What to save.
pub struct BackupOptions {
    /// Files and directories; relative ones are relative to `cwd`.
    pub roots: Vec<PathBuf>,
    /// Where relative roots start.
    pub cwd: PathBuf,
    /// What to leave out.
    pub walk: WalkOptions,
    /// Instead of or beside the roots.
    pub stdin: Option<StdinFile>,
    /// Label of the snapshot.
    pub label: String,
    /// Name of the backup set; `None`: it goes by what is saved.
    pub set: Option<String>,
    /// When it starts, unix seconds.
    pub time: u64,
    /// Program name and version, for the record.
    pub tool: String,
    /// Read everything, believe no cache.
    pub full: bool,
    /// Read a share of what looks unchanged, about 2 % a day; otherwise it is put off to a later run.
    pub reread: bool,
    /// How far content is shared.
    pub dedup: Dedup,
    /// Walk and read, but store nothing.
    pub dry_run: bool,
    /// Worker threads; 0 = one per core.
    pub threads: usize,
    /// Ends the run early.
    pub cancel: Cancel,
}

/// What a device holds: it can write and deduplicate with this, not read.
pub struct DeviceBundleKeys {
    /// From the owner.
    pub device: DeviceKeys,
    /// Random, of this device alone: keys the cache and the places where segments are cut.
    pub cache_key: Secret32,
}
