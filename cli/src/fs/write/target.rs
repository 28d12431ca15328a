//! The directory everything is restored below.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use packnback_proto::format::entry::Entry;

use super::{Created, Done, Report, RestoreOptions};
use crate::fs::error::WriteError;

/// An open directory below the target.
#[derive(Debug)]
pub struct TargetDir {}

/// The directory everything is restored below. Share it by reference or `Arc`.
#[derive(Debug)]
pub struct Target {}

impl Target {
    /// Opens the target directory, creating it if needed (not in a dry run).
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub fn open(_dir: &Path, _options: RestoreOptions) -> Result<Target, WriteError> {
        Ok(Target {})
    }

    /// The directory at `path`, made with all its parents if missing. Cached.
    ///
    /// # Errors
    /// A refusal if the path is bad or leads through a symbolic link; else what the system says.
    pub fn dir(&self, _path: &[u8]) -> Result<Arc<TargetDir>, WriteError> {
        Ok(Arc::new(TargetDir {}))
    }

    /// Makes the directory of an entry. Its attributes are set by [`Target::finish`], when nothing below changes any more.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn add_dir(&self, _entry: &Entry) -> Result<Done, WriteError> {
        Ok(Done::Created)
    }

    /// Starts a regular file.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn create_file(&self, _entry: &Entry) -> Result<Created, WriteError> {
        Ok(Created::No(Done::Kept))
    }

    /// A regular file in one go, if its content is at hand (small files).
    ///
    /// # Errors
    /// As [`Target::create_file`] and [`super::FileSink::finish`].
    pub fn write_file(&self, _entry: &Entry, _content: &[u8]) -> Result<Done, WriteError> {
        Ok(Done::Created)
    }

    /// Makes `entry` one more name of the file restored at `first`.
    ///
    /// # Errors
    /// A refusal (also when `first` leads out of the target) or what the system says.
    pub fn add_hard_link(&self, _entry: &Entry, _first: &[u8]) -> Result<Done, WriteError> {
        Ok(Done::Created)
    }

    /// Makes a symbolic link, named pipe or device node.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn add_special(&self, _entry: &Entry) -> Result<Done, WriteError> {
        Ok(Done::Created)
    }

    /// Opens a regular file that is there, to compare its content (`--verify`).
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn open_existing(&self, path: &[u8]) -> Result<OwnedFd, WriteError> {
        Err(WriteError::NotADirectory {
            path: path.to_vec(),
        })
    }

    /// Removes the file or the whole directory at `path`, following no link.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn remove(&self, _path: &[u8]) -> Result<(), WriteError> {
        Ok(())
    }

    /// Sets the attributes of all directories, deepest first, and tells what was worth a note. To be called
    /// when all files are finished.
    #[must_use]
    pub fn finish(&self) -> Report {
        Report::default()
    }
}

/// `--delete`: removes what is in the target but not in the snapshot. It is told every path of the snapshot in
/// order ([`crate::fs::path_cmp`]); what is not told, in a directory that is at or below one of the saved roots, goes.
#[derive(Debug)]
pub struct Pruner {}

impl Pruner {
    /// `roots` are the saved roots, as stored paths; directories above them are never touched.
    #[must_use]
    pub fn new(_roots: &[Vec<u8>]) -> Pruner {
        Pruner {}
    }

    /// The next path of the snapshot. Returns the stored paths that were (or, in a dry run, would be) removed.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn visit(
        &mut self,
        _target: &Target,
        _path: &[u8],
        _is_dir: bool,
    ) -> Result<Vec<Vec<u8>>, WriteError> {
        Ok(Vec::new())
    }

    /// After the last path.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn finish(self, _target: &Target) -> Result<Vec<Vec<u8>>, WriteError> {
        Ok(Vec::new())
    }
}
