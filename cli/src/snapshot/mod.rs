//! The reading room: a snapshot as files and folders, out of sealed objects that come from anywhere.
//!
//! ```text
//! ObjectSource (local node, a host, many hosts, a raw export)
//!      └─> Reader: asks ahead, checks the address, opens ─> tree: segments in path order ─> entries
//!                                                        └> layout: where the bytes of a file are ─> read_at
//! ```
//! Restore, ls, export and recover read through here, and so does whatever comes next. Nothing that comes
//! from a source is used before its address, its seal and its place are checked.

mod cache;
mod entries;
mod export;
mod file;
mod layout;
mod locate;
mod many;
mod open;
mod records;
mod sessions;
mod source;
mod tree;

#[cfg(test)]
mod tests;

pub use entries::{Entries, Node};
pub use export::RawFolder;
pub(crate) use export::{object_path, records_dir};
pub use file::File;
pub(crate) use layout::{Layout, Piece, Place, Stretch};
pub use locate::ReadDir;
pub use many::{Dropped, Host, Many};
pub use open::Fault;
pub(crate) use open::{Asked, Reader, Room};
pub use records::{named, snapshots};
pub use sessions::{closed_sessions, visible_sessions};
pub use source::{Coming, ObjectSource, Remote};
pub(crate) use tree::{Found, Part, Tables};

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::root::Root;
use packnback_proto::ids::SnapshotId;
use parking_lot::Mutex;

use crate::keys::ReaderKeys;
use crate::records::LoadedSnapshot;
use cache::Cache;
use tree::{Parts, Tree};

/// Bytes of opened objects that are kept, unless said otherwise.
const KEPT_BYTES: usize = 48 << 20;

/// One snapshot, open for reading. To be shared by threads.
pub struct Snapshot<'a> {
    reader: Reader<'a>,
    tree: Tree<'a>,
    cache: Cache<'a>,
    decompressors: Mutex<Vec<Decompressor>>,
    /// Of each group of hard links, the path where its content is listed; once somebody asked.
    links: Mutex<Option<HashMap<[u8; 8], Vec<u8>>>>,
}

impl<'a> Snapshot<'a> {
    /// Opens a snapshot whose record is verified.
    ///
    /// # Errors
    /// [`Fault`] if the keys open no names, or its root is not to be had.
    pub fn open(
        source: &'a dyn ObjectSource,
        keys: &'a ReaderKeys,
        snapshot: &LoadedSnapshot,
    ) -> Result<Self, Fault> {
        let root = snapshot.snap.root;
        keys.check_names()
            .map_err(|lack| Fault::Closed(root, lack))?;
        Self::read(Reader::new(source, keys), snapshot)
    }

    /// As [`Snapshot::open`], of the records of the source itself.
    ///
    /// # Errors
    /// The same; `None` if the source lists no such snapshot of the owner of the keys.
    pub fn find(
        source: &'a dyn ObjectSource,
        keys: &'a ReaderKeys,
        id: SnapshotId,
    ) -> Result<Option<Self>, Fault> {
        let listed = snapshots(source, keys).map_err(Fault::Source)?;
        let found = listed.iter().find(|snapshot| snapshot.id == id);
        found
            .map(|snapshot| Self::open(source, keys, snapshot))
            .transpose()
    }

    /// With a reader of its own, which may count.
    pub(crate) fn read(reader: Reader<'a>, snapshot: &LoadedSnapshot) -> Result<Self, Fault> {
        Tree::open(reader, snapshot.snap.root).map(|tree| Self::of(reader, tree))
    }

    fn of(reader: Reader<'a>, tree: Tree<'a>) -> Self {
        Self {
            reader,
            tree,
            cache: Cache::new(KEPT_BYTES),
            decompressors: Mutex::default(),
            links: Mutex::default(),
        }
    }

    /// The same snapshot with nothing kept yet, for who borrows from what this one said.
    pub(crate) fn fresh<'b>(&self) -> Snapshot<'b>
    where
        'a: 'b,
    {
        Snapshot::of(self.reader, self.tree.clone())
    }

    /// Keeps at most so many bytes of opened objects, however few; one is always kept.
    #[must_use]
    pub fn keeping(self, bytes: usize) -> Self {
        Self {
            cache: Cache::new(bytes),
            ..self
        }
    }

    /// What the snapshot says of itself.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.tree.root
    }

    pub(crate) fn shared_root(&self) -> Arc<Root> {
        Arc::clone(&self.tree.root)
    }

    /// The entries in path order, from the first that is not before `from`; all if it is empty. A part of
    /// the tree that is lost is an error in its place; what comes behind it follows.
    #[must_use]
    pub fn entries(&self, from: &[u8]) -> Entries<'_> {
        Entries::new(self.tree.parts(tree::Want::From(from.to_vec())), from)
    }

    /// The entries at or below a path.
    #[must_use]
    pub fn below(&self, path: &[u8]) -> Entries<'_> {
        Entries::below(self.parts(Some(path)), path)
    }

    /// The parts of the tree that may hold something at or below a path, or a folder above it.
    pub(crate) fn parts(&self, below: Option<&[u8]>) -> Parts<'_> {
        self.tree.parts(match below {
            Some(path) => tree::Want::Below(path.to_vec()),
            None => tree::Want::All,
        })
    }

    pub(crate) fn reader(&self) -> Reader<'a> {
        self.reader
    }
}
