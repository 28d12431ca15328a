//! What a backup is asked to do.

use std::io::Read;
use std::path::PathBuf;

use crate::fs::WalkOptions;
use crate::pipeline::Cancel;

/// How far content is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dedup {
    /// With every machine of the dedup group.
    #[default]
    Owner,
    /// With nothing outside one run: large files are sealed under keys of that run as well.
    Session,
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
