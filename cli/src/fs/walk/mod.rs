//! Listing trees: every file once, in the order of the format, whatever goes wrong on the way.

use std::path::PathBuf;
use std::sync::Arc;

use super::dir::Dir;
use super::error::Problem;
use super::exclude::Excludes;
use super::stat::Stat;

/// What to walk and what to leave out.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions {
    /// Patterns of what is left out. The roots themselves are never left out.
    pub excludes: Excludes,
    /// Directories marked by a valid `CACHEDIR.TAG` are saved empty but for the tag.
    pub exclude_caches: bool,
    /// Regular files larger than this many bytes are left out.
    pub exclude_larger_than: Option<u64>,
    /// Directories on another file system than their root are saved empty.
    pub one_file_system: bool,
    /// Files left out by (device, inode), with what is below them: our own folders.
    pub exclude_inodes: Vec<(u64, u64)>,
    /// Helper threads; 0 does everything in the caller's thread. Default: as many as there are cores, at most 4.
    pub threads: Option<usize>,
}

/// A file system node the walk has found.
#[derive(Debug, Clone)]
pub struct Item {
    /// The directory it is in: opens it without a path.
    pub dir: Arc<Dir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its attributes.
    pub stat: Stat,
}

impl Item {
    /// Stored path.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_path(&mut out);
        out
    }

    /// Appends the stored path to `out`.
    pub fn push_path(&self, out: &mut Vec<u8>) {
        self.dir.push_child_path(&self.name, out);
    }
}

/// Why a file is not saved although it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Sockets have no content and belong to a running program.
    Socket,
    /// A kind of file this program does not know.
    UnknownKind,
}

/// One step of the walk.
#[derive(Debug)]
pub enum WalkItem {
    /// A node to save. A directory comes before what is in it.
    Entry(Item),
    /// A node that is never saved; worth a note.
    Skipped {
        /// The node.
        item: Item,
        /// Why.
        reason: SkipReason,
    },
    /// Something could not be read. The walk goes on.
    Problem(Problem),
}

/// A walk over one or several roots. See the module documentation.
#[derive(Debug)]
pub struct Walk {}

impl Walk {
    /// Starts a walk. Relative roots are relative to `cwd`.
    #[must_use]
    pub fn new(_roots: &[PathBuf], _cwd: &std::path::Path, _options: WalkOptions) -> Walk {
        Walk {}
    }

    /// The roots as stored paths: clean, sorted, each once.
    #[must_use]
    pub fn roots(&self) -> &[Vec<u8>] {
        &[]
    }

    /// Files left out so far by patterns, size, cache tags or file system.
    #[must_use]
    pub fn excluded(&self) -> u64 {
        0
    }
}

impl Iterator for Walk {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
        None
    }
}
