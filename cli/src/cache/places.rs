//! The cache and the second list of places ([`super::kept`]): what goes from one to the other, and when.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;

use packnback_proto::ids::ObjectId;

use super::db::{Batch, Db};
use super::kept::{Frames, Kept, Places, Position};
use super::key::Hash16;
use super::record::{self, SmallRef};
use super::{Cache, key, kind};
use crate::system;

/// How far the cache has taken over the list.
const POSITION: &[u8] = b"position";
/// Places in the list that nothing needs any more.
const GONE: &[u8] = b"gone";
/// The day on which places were taken over.
const TAKEN: &[u8] = b"taken";

/// Bytes of a place in the list, about.
const PLACE_BYTES: u64 = 28;
/// The list is not written anew for fewer.
const GONE_MIN: u64 = 4096;
/// Days after which a place that was taken over and that no file has needed since is forgotten: by then everything
/// saved has been read once.
const UNUSED_DAYS: u32 = 60;

/// What a write to the cache changes in the list.
#[derive(Default)]
pub(super) struct News {
    pub(super) places: Places,
    /// Places in it that nothing needs any more.
    pub(super) gone: u64,
}

/// The list, held in memory.
#[derive(Default)]
pub(super) struct Memory {
    small: HashMap<Hash16, SmallRef>,
    segments: HashMap<Hash16, ObjectId>,
}

impl Memory {
    pub(super) fn small(&self, content: &Hash16) -> Option<SmallRef> {
        self.small.get(content).copied()
    }

    pub(super) fn segment(&self, content: &Hash16) -> Option<ObjectId> {
        self.segments.get(content).copied()
    }

    pub(super) fn add(&mut self, places: &Places) {
        self.small.extend(places.small.iter().copied());
        self.segments.extend(places.segments.iter().copied());
    }

    pub(super) fn forget(&mut self, lost: &BTreeSet<ObjectId>) {
        self.small.retain(|_, at| !lost.contains(&at.pack));
        // Any of them may rest on what is lost.
        self.segments.clear();
    }
}

impl Cache {
    /// Opens the list and learns from it what the cache does not know.
    pub(super) fn take_over(&mut self, path: &Path) -> Result<(), String> {
        let mut kept = Kept::open(path).map_err(|e| e.to_string())?;
        match &mut self.db {
            None => {
                let memory = self.memory.get_mut();
                kept.read(None, |places| {
                    memory.add(&places);
                    Ok(())
                })?;
            }
            Some(db) => take_over(db, &mut kept)?,
        }
        *self.kept.get_mut() = Some(kept);
        Ok(())
    }

    /// Adds to the list what is new, and to the batch where the list stands then.
    pub(super) fn keep(&self, batch: &mut Batch<'_>, news: &News) -> Result<(), String> {
        let Some(db) = &self.db else { return Ok(()) };
        if news.gone > 0 {
            let gone = gone(db).saturating_add(news.gone);
            batch.put(key(kind::META, GONE), gone.to_le_bytes());
        }
        if news.places.is_empty() {
            return Ok(());
        }
        let mut kept = self.kept.lock();
        let Some(kept) = kept.as_mut() else {
            return Ok(());
        };
        kept.append(&news.places).map_err(|e| e.to_string())?;
        batch.put(key(kind::META, POSITION), kept.position().encode());
        Ok(())
    }

    /// Adds to the list.
    pub(super) fn append(&self, places: &Places) -> io::Result<()> {
        let mut kept = self.kept.lock();
        let kept = kept.as_mut().filter(|_| !places.is_empty());
        kept.map_or(Ok(()), |kept| kept.append(places))
    }

    /// Brings the list to disk.
    pub(super) fn sync_kept(&self) -> Result<(), String> {
        let kept = self.kept.lock();
        let kept = kept.as_ref();
        kept.map_or(Ok(()), |kept| kept.sync().map_err(|e| e.to_string()))
    }

    /// Writes the list anew once half of it is of no use.
    pub(super) fn shorten(&self) -> Result<(), String> {
        let Some(db) = &self.db else { return Ok(()) };
        let gone = gone(db);
        let len = match self.kept.lock().as_ref() {
            Some(kept) if gone >= GONE_MIN => kept.len().map_err(|e| e.to_string())?,
            _ => return Ok(()),
        };
        if gone.saturating_mul(2 * PLACE_BYTES) < len {
            return Ok(());
        }
        self.keep_anew()
    }

    /// Writes the list anew: it then has what the cache has.
    pub(super) fn keep_anew(&self) -> Result<(), String> {
        let Some(db) = &self.db else { return Ok(()) };
        let mut kept = self.kept.lock();
        kept.as_mut().map_or(Ok(()), |kept| anew(db, kept))
    }

    /// Forgets places that were taken over long ago and that no file has needed since.
    pub(super) fn drop_unused(&self, batch: &mut Batch<'_>, today: u32) {
        let Some(db) = &self.db else { return };
        let taken = db
            .get(&key(kind::META, TAKEN))
            .and_then(|day| day.try_into().ok())
            .map(u32::from_le_bytes);
        if taken.is_none_or(|day| today < day.saturating_add(UNUSED_DAYS)) {
            return;
        }
        db.scan(&[kind::SMALL], |key, value| {
            if record::decode_small(value).is_none_or(|(_, files)| files == 0) {
                batch.delete(key);
            }
        });
        batch.delete(key(kind::META, TAKEN));
    }
}

fn gone(db: &Db) -> u64 {
    let value = db.get(&key(kind::META, GONE));
    let value = value.and_then(|value| value.try_into().ok());
    value.map_or(0, u64::from_le_bytes)
}

fn take_over(db: &mut Db, kept: &mut Kept) -> Result<(), String> {
    let known = db
        .get(&key(kind::META, POSITION))
        .and_then(|value| Position::decode(&value));
    let mut learned = false;
    kept.read(known, |places| {
        learned = true;
        learn(db, &places)
    })?;
    if known == Some(kept.position()) {
        return Ok(());
    }
    let is_new = known.is_none_or(|known| known.id != kept.position().id) && !learned;
    if is_new && !db.was_empty() {
        // The list was lost, not the cache.
        return anew(db, kept);
    }
    if learned {
        db.is_filled();
    }
    let mut batch = db.batch();
    batch.put(key(kind::META, POSITION), kept.position().encode());
    if learned {
        let day = u32::try_from(system::now() / 86_400).unwrap_or(u32::MAX);
        batch.put(key(kind::META, TAKEN), day.to_le_bytes());
    }
    db.write(batch)
}

/// Takes places over, unless the cache knows better: of what a file of an earlier run needs it does.
fn learn(db: &Db, places: &Places) -> Result<(), String> {
    let mut batch = db.batch();
    for (content, at) in &places.small {
        let small = key(kind::SMALL, content);
        let known = db
            .get(&small)
            .and_then(|value| record::decode_small(&value));
        if known.is_none_or(|(_, files)| files == 0) {
            batch.put(small, record::encode_small(at, 0));
        }
    }
    for (content, id) in &places.segments {
        let segment = key(kind::CONTENT, content);
        if db.get(&segment).is_none() {
            batch.put(segment, record::encode_content(&[0; 8], id));
        }
    }
    db.write(batch)
}

fn anew(db: &Db, kept: &mut Kept) -> Result<(), String> {
    let written = kept.rewrite(|write| {
        let mut frames = Frames::new(write);
        db.scan(&[kind::SMALL], |key, value| {
            let content = key.get(1..).and_then(|k| Hash16::try_from(k).ok());
            if let (Some(content), Some((at, _))) = (content, record::decode_small(value)) {
                frames.small(content, at);
            }
        });
        db.scan(&[kind::CONTENT], |key, value| {
            let content = key.get(1..).and_then(|k| Hash16::try_from(k).ok());
            if let (Some(content), Some((_, id))) = (content, record::decode_content(value)) {
                frames.segment(content, id);
            }
        });
        frames.finish()
    });
    written.map_err(|e| e.to_string())?;
    let mut batch = db.batch();
    batch.put(key(kind::META, POSITION), kept.position().encode());
    batch.put(key(kind::META, GONE), 0u64.to_le_bytes());
    db.write(batch)
}
