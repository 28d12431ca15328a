//! Writing to the cache: facts that have become durable on the node.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::ObjectId;

use super::db::{self, Batch};
use super::places::News;
use super::record::{self, DataRef, FileRecord, PackUse, SegmentRecord, SmallRef};
use super::{Cache, FileKey, Hash16, key, kind};

/// What became known of one path.
#[derive(Debug, Clone)]
pub struct FileFact {
    /// Where its record is.
    pub key: FileKey,
    /// What was known before: mostly nothing, of a first backup, and many facts wait at a time.
    pub old: Option<Box<FileRecord>>,
    /// What is known now; `None` = it is gone.
    pub new: Option<FileRecord>,
}

/// Facts to be written together.
#[derive(Debug, Default)]
pub struct Facts {
    /// Files seen or gone.
    pub files: Vec<FileFact>,
    /// Chunks stored.
    pub chunks: Vec<(Hash16, ObjectId, u32)>,
    /// Packs stored, with their size.
    pub packs: Vec<(ObjectId, u32)>,
    /// Segments stored, complete with all they refer to.
    pub segments: Vec<(Hash16, SegmentRecord)>,
    /// Segments that are no longer part of a run.
    pub segments_gone: Vec<Hash16>,
    /// Segments stored, by what they hold,
    pub contents: Vec<(Hash16, ObjectId)>,
    /// of runs with these roots.
    pub scope: [u8; 8],
    /// What no segment of these runs holds any more.
    pub contents_gone: Vec<Hash16>,
    /// Runs with these roots have read again what had its turn up to this day since 1970.
    pub turns: Option<([u8; 8], u32)>,
}

impl Facts {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        let stored = self.chunks.len().saturating_add(self.packs.len());
        let segments = self.segments.len().saturating_add(self.segments_gone.len());
        self.files
            .len()
            .saturating_add(self.contents.len())
            .saturating_add(self.contents_gone.len())
            .saturating_add(stored)
            .saturating_add(segments)
            .saturating_add(usize::from(self.turns.is_some()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How the number of files with one content changes.
struct Change {
    at: SmallRef,
    files: i64,
    /// A file of this run has its content at `at`.
    current: bool,
}

type Changes = BTreeMap<Hash16, Change>;

fn count(changes: &mut Changes, record: Option<&FileRecord>, step: i64) {
    if let Some(FileRecord {
        data: DataRef::Small { content, at },
        ..
    }) = record
    {
        let change = changes.entry(*content).or_insert(Change {
            at: *at,
            files: 0,
            current: false,
        });
        change.files = change.files.saturating_add(step);
        if step > 0 {
            change.at = *at;
            change.current = true;
        }
    }
}

impl Cache {
    /// Writes facts, all or nothing. An error is worth a warning, no more.
    ///
    /// # Errors
    /// What the database says.
    pub fn apply(&self, facts: &Facts) -> Result<(), String> {
        if facts.is_empty() {
            return Ok(());
        }
        let mut changes = Changes::new();
        for fact in &facts.files {
            count(&mut changes, fact.old.as_deref(), -1);
            count(&mut changes, fact.new.as_ref(), 1);
        }
        let Some(db) = &self.db else {
            return self.remember(&changes, facts);
        };
        let mut batch = db.batch();
        for fact in &facts.files {
            let file = key(kind::FILE, &fact.key);
            match &fact.new {
                Some(new) => batch.put(file, new.encode()),
                None => batch.delete(file),
            }
        }
        for (chunk, id, len) in &facts.chunks {
            batch.put(key(kind::CHUNK, chunk), record::encode_chunk(id, *len));
        }
        let mut news = self.apply_small(&mut batch, &changes, &facts.packs);
        for (print, segment) in &facts.segments {
            batch.put(key(kind::SEGMENT, print), segment.encode());
        }
        for print in &facts.segments_gone {
            batch.delete(key(kind::SEGMENT, print));
        }
        for content in &facts.contents_gone {
            batch.delete(key(kind::CONTENT, content));
        }
        for (content, id) in &facts.contents {
            let value = record::encode_content(&facts.scope, id);
            batch.put(key(kind::CONTENT, content), value);
        }
        news.places.segments.clone_from(&facts.contents);
        news.gone = news
            .gone
            .saturating_add(u64::try_from(facts.contents_gone.len()).unwrap_or(0));
        if let Some((scope, day)) = &facts.turns {
            batch.put(key(kind::TURNS, scope), day.to_le_bytes());
            self.drop_unused(&mut batch, *day);
        }
        let kept = self.keep(&mut batch, &news);
        db.write(batch)?;
        kept.and_then(|()| self.shorten())
    }

    /// Without a database: what is stored now is known to this run, and to later ones from the second list.
    fn remember(&self, changes: &Changes, facts: &Facts) -> Result<(), String> {
        let mut news = News::default();
        let mut memory = self.memory.lock();
        for (content, change) in changes {
            if change.current && memory.small(content) != Some(change.at) {
                news.places.small.push((*content, change.at));
            }
        }
        news.places.segments.clone_from(&facts.contents);
        memory.add(&news.places);
        drop(memory);
        self.append(&news.places).map_err(|e| e.to_string())
    }

    /// The index of small files counts the files with each content; a pack, the bytes still counted.
    fn apply_small(
        &self,
        batch: &mut Batch<'_>,
        changes: &Changes,
        new: &[(ObjectId, u32)],
    ) -> News {
        let mut news = News::default();
        let Some(db) = &self.db else { return news };
        let mut packs: BTreeMap<ObjectId, (u32, i64)> =
            new.iter().map(|(id, total)| (*id, (*total, 0))).collect();
        for (content, change) in changes {
            let small = key(kind::SMALL, content);
            let old = db
                .get(&small)
                .and_then(|value| record::decode_small(&value));
            let before = old.map_or(0, |(_, files)| i64::from(files));
            let after = before.saturating_add(change.files).max(0);
            let moved = old.filter(|(at, _)| *at != change.at && change.current);
            let at = match old {
                Some((at, _)) if moved.is_none() => at,
                _ => change.at,
            };
            if let Some((old_at, _)) = moved {
                add(&mut packs, old_at.pack, -i64::from(old_at.len));
            }
            let was = before > 0 && moved.is_none();
            match (was, after > 0) {
                (false, true) => add(&mut packs, at.pack, i64::from(at.len)),
                (true, false) => add(&mut packs, at.pack, -i64::from(at.len)),
                _ => {}
            }
            if old.is_none_or(|(old_at, _)| old_at != at) && after > 0 {
                news.places.small.push((*content, at));
            }
            let is_gone = moved.is_some() || (old.is_some() && after == 0);
            news.gone = news.gone.saturating_add(u64::from(is_gone));
            match u32::try_from(after) {
                Ok(0) => batch.delete(small),
                Ok(files) => batch.put(small, record::encode_small(&at, files)),
                Err(_) => {}
            }
        }
        for (id, (total, change)) in packs {
            let pack = key(kind::PACK, id.as_bytes());
            let old = db
                .get(&pack)
                .and_then(|value| PackUse::decode(&value))
                .unwrap_or_default();
            let live = i64::from(old.live).saturating_add(change).max(0);
            let total = old.total.max(total);
            match u32::try_from(live) {
                Ok(0) if change < 0 => batch.delete(pack),
                Ok(live) => batch.put(pack, PackUse { total, live }.encode()),
                Err(_) => {}
            }
        }
        news
    }

    /// Forgets everything that rests on these objects: the node does not have them.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_objects(&self, lost: &BTreeSet<ObjectId>) -> Result<(), String> {
        self.memory.lock().forget(lost);
        let Some(db) = &self.db else { return Ok(()) };
        let mut batch = db.batch();
        db.scan(&[kind::FILE], |key, value| {
            let record = FileRecord::decode(value);
            if record.is_none_or(|r| r.objects().iter().any(|id| lost.contains(id))) {
                batch.delete(key);
            }
        });
        db.scan(&[kind::SMALL], |key, value| {
            if record::decode_small(value).is_none_or(|(at, _)| lost.contains(&at.pack)) {
                batch.delete(key);
            }
        });
        db.scan(&[kind::CHUNK], |key, value| {
            if record::decode_chunk(value).is_none_or(|(id, _)| lost.contains(&id)) {
                batch.delete(key);
            }
        });
        // A segment names its packs and chunks only in itself: any of them may be concerned.
        db.scan(&[kind::SEGMENT], |key, _| batch.delete(key));
        db.scan(&[kind::CONTENT], |key, _| batch.delete(key));
        for id in lost {
            batch.delete(key(kind::PACK, id.as_bytes()));
        }
        db.write(batch)?;
        self.keep_anew()
    }

    /// Brings everything written to disk.
    ///
    /// # Errors
    /// What the database says.
    pub fn flush(&self) -> Result<(), String> {
        self.sync_kept()?;
        self.db.as_ref().map_or(Ok(()), db::Db::flush)
    }
}

fn add(packs: &mut BTreeMap<ObjectId, (u32, i64)>, id: ObjectId, bytes: i64) {
    let entry = packs.entry(id).or_insert((0, 0));
    entry.1 = entry.1.saturating_add(bytes);
}
