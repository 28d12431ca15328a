//! The database of objects.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::ObjectId;
use parking_lot::{Mutex, RwLock};
use rocksdb::{
    BottommostLevelCompaction, CompactOptions, DB, FlushOptions, ReadOptions, WriteOptions,
};

use super::super::disk::{Damage, DiskError, Keys, Objects, Visit};
use super::blobs::{Blobs, Index};
use super::files::{files_of, numbered};
use super::tables::RocksTables;
use super::{Home, OBJECT_BUFFER, marks};

/// See the module.
pub(super) struct RocksObjects {
    home: Arc<Home>,
    db: DB,
    /// What is noted there is durable before the objects that follow it.
    tables: Arc<RocksTables>,
    /// Held for reading by puts, for writing while the memtable is switched.
    gate: RwLock<()>,
    /// Bytes put since then.
    unflushed: AtomicU64,
    /// Where objects lie, made when the database first fails to find one.
    index: Mutex<Option<Index>>,
}

impl RocksObjects {
    pub(super) fn new(home: Arc<Home>, db: DB, tables: Arc<RocksTables>) -> Self {
        Self {
            home,
            db,
            tables,
            gate: RwLock::new(()),
            unflushed: AtomicU64::new(0),
            index: Mutex::default(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.home.dir.join("objects")
    }

    fn bad(&self) -> impl Fn(rocksdb::Error) -> DiskError + '_ {
        |error| self.home.saw(error, |marks| marks.objects = true)
    }

    /// The bytes of an object the database cannot find, from its file. Written once more, so that the
    /// database finds them next time.
    fn rescue(&self, key: &[u8]) -> Option<Vec<u8>> {
        let found = {
            let mut index = self.index.lock();
            if index.is_none() {
                *index = Index::read(&self.dir()).ok();
            }
            index.as_ref()?.get(key)?
        };
        let id = key.last_chunk().copied().map(ObjectId);
        if id != Some(object_id(&found)) {
            return None;
        }
        if let Err(error) = self.put(key, &found) {
            tracing::warn!(%error, "what was found again could not be written");
        }
        Some(found)
    }

    /// Makes what was noted durable, then gives the objects put so far to the disk. `wait`: until they
    /// are durable.
    fn switch(&self, wait: bool) -> Result<(), DiskError> {
        let _shut = self.gate.write();
        let unflushed = self.unflushed.swap(0, Ordering::Relaxed);
        // Somebody else was faster.
        if !wait && unflushed < OBJECT_BUFFER {
            self.unflushed.store(unflushed, Ordering::Relaxed);
            return Ok(());
        }
        self.tables.sync()?;
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        self.db.flush_opt(&options).map_err(self.bad())
    }
}

impl Drop for RocksObjects {
    /// The database writes objects out when it is closed: the notes first.
    fn drop(&mut self) {
        if !self.home.writable {
            return;
        }
        match self.switch(true) {
            Ok(()) => marks::end(&self.home.dir),
            Err(error) => {
                tracing::warn!(%error, "what was noted last may be lost if the power fails now");
            }
        }
    }
}

fn no_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// Every object is checked against its address by who asked for it.
fn unchecked() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(false);
    options.fill_cache(false);
    options
}

impl Objects for RocksObjects {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        let len = u64::try_from(value.len()).unwrap_or(u64::MAX);
        let unflushed = {
            let _open = self.gate.read();
            let put = self.db.put_opt(key, value, &no_log());
            put.map_err(self.bad())?;
            self.unflushed.fetch_add(len, Ordering::Relaxed)
        };
        if unflushed.saturating_add(len) >= OBJECT_BUFFER {
            self.switch(false)?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.switch(true)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.db.get_opt(key, &unchecked())?)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Result<Option<Vec<u8>>, DiskError>> {
        let found = self.db.multi_get_opt(keys, &unchecked()).into_iter();
        found.map(|found| Ok(found?)).collect()
    }

    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.rescue(key))
    }

    fn delete(&self, key: &[u8]) -> Result<(), DiskError> {
        self.db.delete_opt(key, &no_log()).map_err(self.bad())
    }

    fn reclaim(&self) -> Result<(), DiskError> {
        // Only keys and pointers are rewritten, about a hundred bytes an object. A blob file goes
        // once no pointer into it is left; blobs themselves are never copied here.
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        options.set_exclusive_manual_compaction(false);
        self.db
            .compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    fn each_key(&self, which: Keys, visit: &mut Visit<'_>) -> Result<(), DiskError> {
        let first = match which {
            Keys::All => 0,
            Keys::Unsure if self.damage().strays => self.home.opened.unsure_from,
            Keys::Unsure => return Ok(()),
        };
        self.flush()?;
        for file in files_of(&self.dir(), "blob")? {
            // Files are numbered in the order in which they are made.
            if numbered(&file).is_some_and(|number| number < first) {
                continue;
            }
            let mut blobs = Blobs::open(&file)?;
            while let Some(blob) = blobs.next()? {
                visit(&blob.key)?;
            }
        }
        Ok(())
    }

    fn used(&self) -> Result<u64, DiskError> {
        self.home.used("objects")
    }

    fn free(&self) -> Result<u64, DiskError> {
        let stat = rustix::fs::statvfs(&self.home.dir)
            .map_err(|e| DiskError::Io(format!("cannot ask for free space: {e}")))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn damage(&self) -> Damage {
        let marks = self.home.marks.lock();
        Damage {
            rows: false,
            objects: marks.objects || marks.bytes,
            strays: marks.strays,
        }
    }

    fn mended(&self) -> Result<(), DiskError> {
        self.home.mended(|marks, opened| {
            marks.bytes &= !opened.bytes;
            marks.strays = false;
        })
    }
}
