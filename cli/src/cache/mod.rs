//! What the last run knew, so that the next one reads only what changed.
//!
//! Everything in here is keyed ([`CacheKey`]) and nothing opens anything: no content, no chunk key,
//! no session key, no file name. It is written only for what the node has acknowledged as durable.
//! Losing it costs time, never data: an unusable cache is a warning. That it costs no space either, a second list of
//! places sees to ([`kept`]).
//!
//! ```text
//! f dir8 path8    -> FileRecord      what was seen of a path, and where its content is
//! s content16     -> place, files    content of small files of the last run
//! c chunk16       -> object, len     chunks of large files
//! p pack32        -> PackUse         how much of a pack is still needed
//! g fingerprint16 -> SegmentRecord   a run of entries that was stored as it is now
//! h content16     -> scope, object   a segment by what it holds
//! t scope8        -> day             up to when what looks unchanged was read again
//! m name          -> value           how the cache stands to the second list
//! ```

mod db;
mod facts;
mod fresh;
mod kept;
mod key;
mod places;
mod record;

pub use facts::{Facts, FileFact};
pub use key::{CacheKey, DirKey, FileKey, Hash16, PathHash};
pub use record::{DataRef, FileRecord, PackUse, PartRef, SegmentRecord, SmallRef, objects};

use std::path::Path;

use packnback_proto::ids::ObjectId;

use parking_lot::Mutex;

use db::Db;

/// The cache of this device, or nothing that behaves like an empty one.
pub struct Cache {
    db: Option<Db>,
    warning: Option<String>,
    /// The second list of places, if there is one.
    kept: Mutex<Option<kept::Kept>>,
    /// What it says, where there is no database to hold it.
    memory: Mutex<places::Memory>,
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
    /// Segments by what they hold.
    pub(crate) const CONTENT: u8 = b'h';
    /// About the cache itself.
    pub(crate) const META: u8 = b'm';
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
    /// What does not open for a reason that may pass is left as it is.
    #[must_use]
    pub fn open(dir: &Path) -> Self {
        match Db::open(dir) {
            Ok(db) => Self::with(Some(db), None),
            Err(db::OpenError::Busy) => Self::with(
                None,
                Some("another run uses the cache: going on without, which takes longer".into()),
            ),
            Err(db::OpenError::NotNow(reason)) => Self::with(
                None,
                Some(format!(
                    "the cache cannot be used now and is left as it is: {reason}; going on without, which takes longer"
                )),
            ),
            Err(db::OpenError::Damaged(reason)) => Self::rebuild(dir, &reason),
        }
    }

    /// The same, with the second list of places in the file `kept`: what the cache does not know, it learns from there.
    #[must_use]
    pub fn open_kept(dir: &Path, kept: &Path) -> Self {
        let mut cache = Self::open(dir);
        if let Err(reason) = cache.take_over(kept) {
            let text = format!(
                "{} cannot be used: {reason}; should the cache be lost, small files are stored once more",
                kept.display()
            );
            cache.warning = Some(match cache.warning.take() {
                Some(first) => format!("{first}; {text}"),
                None => text,
            });
        }
        cache
    }

    fn with(db: Option<Db>, warning: Option<String>) -> Self {
        Self {
            db,
            warning,
            kept: Mutex::new(None),
            memory: Mutex::default(),
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
        Self::with(db, Some(format!("the cache was damaged: {reason}; {what}")))
    }

    /// Why the cache is not in use, or that it was rebuilt.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
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
        if self.db.is_none() {
            return self.memory.lock().small(content);
        }
        let value = self.ask()?.get(&key(kind::SMALL, content))?;
        record::decode_small(&value).map(|(at, _)| at)
    }

    /// A segment that holds exactly this.
    #[must_use]
    pub fn content(&self, content: &Hash16) -> Option<ObjectId> {
        if self.db.is_none() {
            return self.memory.lock().segment(content);
        }
        let value = self.ask()?.get(&key(kind::CONTENT, content))?;
        record::decode_content(&value).map(|(_, id)| id)
    }

    /// What the segments of runs with these roots hold, as far as known.
    #[must_use]
    pub fn contents(&self, scope: &[u8; 8]) -> Vec<Hash16> {
        let mut contents = Vec::new();
        if let Some(db) = self.ask() {
            db.scan(&[kind::CONTENT], |key, value| {
                let content = key.get(1..).and_then(|k| Hash16::try_from(k).ok());
                let of_scope = record::decode_content(value).is_some_and(|(s, _)| s == *scope);
                contents.extend(content.filter(|_| of_scope));
            });
        }
        contents
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
