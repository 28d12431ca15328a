//! What the last run knew, so that the next one reads only what changed.
//!
//! Everything in here is keyed ([`CacheKey`]) and nothing opens anything: no content, no chunk key,
//! no session key, no file name. It is written only for what the node has acknowledged as durable.
//! Losing it costs time, never data: an unusable cache is a warning.
//!
//! ```text
//! f dir8 path8    -> FileRecord      what was seen of a path, and where its content is
//! s content16     -> place, files    content of small files of the last run
//! c chunk16       -> object, len     chunks of large files
//! p pack32        -> PackUse         how much of a pack is still needed
//! g fingerprint16 -> SegmentRecord   a run of entries that was stored as it is now
//! t scope8        -> day             up to when what looks unchanged was read again
//! ```

mod db;
mod facts;
mod key;
mod record;

pub use facts::{Facts, FileFact};
pub use key::{CacheKey, DirKey, FileKey, Hash16, PathHash};
pub use record::{DataRef, FileRecord, PackUse, PartRef, SegmentRecord, SmallRef, objects};

use std::path::Path;

use packnback_proto::ids::ObjectId;

use db::Db;

/// The cache of this device, or nothing that behaves like an empty one.
pub struct Cache {
    db: Option<Db>,
    warning: Option<String>,
}

/// Start of the keys of each kind.
pub(crate) mod kind {
    /// Files.
    pub(crate) const FILE: u8 = b'f';
    /// Content of small files.
    pub(crate) const SMALL: u8 = b's';
    /// Chunks.
    pub(crate) const CHUNK: u8 = b'c';
    /// Packs.
    pub(crate) const PACK: u8 = b'p';
    /// Segments.
    pub(crate) const SEGMENT: u8 = b'g';
    /// Days of reading again.
    pub(crate) const TURNS: u8 = b't';
}

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(rest.len().saturating_add(1));
    key.push(kind);
    key.extend_from_slice(rest);
    key
}

impl Cache {
    /// Opens the cache in `dir`, makes it if needed, rebuilds it if damaged. If all fails (another
    /// run holds it, for one) the result knows nothing and keeps nothing; [`Cache::warning`] says why.
    #[must_use]
    pub fn open(dir: &Path) -> Self {
        match Db::open(dir) {
            Ok(db) => Self {
                db: Some(db),
                warning: None,
            },
            Err(db::OpenError::Busy) => Self {
                db: None,
                warning: Some(
                    "another run uses the cache: going on without, which takes longer".into(),
                ),
            },
            Err(db::OpenError::Damaged(reason)) => Self::rebuild(dir, &reason),
        }
    }

    fn rebuild(dir: &Path, reason: &str) -> Self {
        let removed = std::fs::remove_dir_all(dir).map_err(|e| e.to_string());
        let opened = removed.and_then(|()| Db::open(dir).map_err(|e| e.to_string()));
        let (db, what) = match opened {
            Ok(db) => (Some(db), "it was emptied; this run takes longer".to_owned()),
            Err(error) => (
                None,
                format!("going on without, which takes longer ({error})"),
            ),
        };
        Self {
            db,
            warning: Some(format!("the cache was damaged: {reason}; {what}")),
        }
    }

    /// Knows nothing, keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            db: None,
            warning: None,
        }
    }

    /// Why the cache is not in use, or that it was rebuilt.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Whether there is nothing in it worth asking for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.db.as_ref().is_none_or(Db::was_empty)
    }

    fn ask(&self) -> Option<&Db> {
        self.db.as_ref().filter(|db| !db.was_empty())
    }

    /// What is known of some paths.
    #[must_use]
    pub fn files(&self, keys: &[FileKey]) -> Vec<Option<FileRecord>> {
        let Some(db) = self.ask() else {
            return vec![None; keys.len()];
        };
        let keys: Vec<Vec<u8>> = keys.iter().map(|k| key(kind::FILE, k)).collect();
        let values = db.get_many(&keys);
        values
            .into_iter()
            .map(|value| FileRecord::decode(&value?))
            .collect()
    }

    /// Everything known in a directory: the path's part of the key, and the record.
    #[must_use]
    pub fn dir(&self, dir: DirKey) -> Vec<(FileKey, FileRecord)> {
        let mut found = Vec::new();
        if let Some(db) = self.ask() {
            db.scan(&key(kind::FILE, &dir), |key, value| {
                let key = key.get(1..).and_then(|k| FileKey::try_from(k).ok());
                if let (Some(key), Some(record)) = (key, FileRecord::decode(value)) {
                    found.push((key, record));
                }
            });
        }
        found
    }

    /// Where a small file with this content is.
    #[must_use]
    pub fn small(&self, content: &Hash16) -> Option<SmallRef> {
        let value = self.ask()?.get(&key(kind::SMALL, content))?;
        record::decode_small(&value).map(|(at, _)| at)
    }

    /// The object of a chunk.
    #[must_use]
    pub fn chunk(&self, chunk: &Hash16) -> Option<(ObjectId, u32)> {
        record::decode_chunk(&self.ask()?.get(&key(kind::CHUNK, chunk))?)
    }

    /// All packs and how much of them is in use.
    #[must_use]
    pub fn packs(&self) -> Vec<(ObjectId, PackUse)> {
        let mut packs = Vec::new();
        if let Some(db) = self.ask() {
            db.scan(&[kind::PACK], |key, value| {
                let id = key.get(1..).and_then(|k| ObjectId::from_slice(k).ok());
                if let (Some(id), Some(pack)) = (id, PackUse::decode(value)) {
                    packs.push((id, pack));
                }
            });
        }
        packs
    }

    /// Up to which day, since 1970, runs with these roots have read again what had its turn.
    #[must_use]
    pub fn turns(&self, scope: &[u8; 8]) -> Option<u32> {
        let value = self.ask()?.get(&key(kind::TURNS, scope))?;
        value.try_into().ok().map(u32::from_le_bytes)
    }

    /// All runs of entries stored as segments.
    #[must_use]
    pub fn segments(&self) -> Vec<(Hash16, SegmentRecord)> {
        let mut segments = Vec::new();
        if let Some(db) = self.ask() {
            db.scan(&[kind::SEGMENT], |key, value| {
                let print = key.get(1..).and_then(|k| Hash16::try_from(k).ok());
                if let (Some(print), Some(record)) = (print, SegmentRecord::decode(value)) {
                    segments.push((print, record));
                }
            });
        }
        segments
    }
}
