//! RocksDB behind the port: one database for objects, one for the small tables.
//!
//! Objects go without a log: the memtable is flushed into blob files before anything is
//! acknowledged, so each byte is written to the disk once. Measured with
//! `node/examples/store_bench.rs` (350 MiB of random 2 MiB objects, flushed every 64 MiB, 2 shared
//! cores, ext4):
//!
//! | Way | write | cpu | on disk | peak memory | reopen |
//! |---|---|---|---|---|---|
//! | SST, no log, flush | 472 MiB/s | 0.72 s | 680 MiB | 100 MB | 10 ms |
//! | SST, log | 392 MiB/s | 0.96 s | 654 MiB | 130 MB | 114 ms |
//! | blobs, log | 351 MiB/s | 1.02 s | 350 MiB | 91 MB | 270 ms |
//! | **blobs, no log, flush** | 442 MiB/s | 0.70 s | 350 MiB | 51 to 81 MB | 6 ms |
//!
//! SSTs are rewritten by every compaction (twice the disk after 350 MiB already), a log writes
//! everything twice. Nearly half of the cpu time is CRC32C in software: built with
//! `CXXFLAGS_x86_64_unknown_linux_gnu="-msse4.2 -mpclmul"` it disappears. Reads skip it, because
//! every object is checked against its BLAKE3 address anyway.
//!
//! The tables use a synced log. An object is flushed first, the table row that says so is written
//! after. The other way round for notes: the note that bytes may be unclaimed is synced before the
//! bytes can be durable, so that no loss of power leaves bytes nobody knows of. The database would
//! flush a full memtable by itself at any moment; therefore memtables are switched here, at
//! [`OBJECT_BUFFER`], with the log of the tables synced first and no put in between.

mod blobs;
mod crc;
mod files;
mod log;
mod marks;
mod open;
mod salvage;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::ObjectId;
use parking_lot::{Mutex, RwLock};
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, CompactOptions, DB,
    Direction, ErrorKind, FlushOptions, IteratorMode, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

use self::blobs::{Blobs, Index};
use self::files::{files_of, io_failed};
use self::marks::Marks;
use self::open::{open_objects, open_tables};
use super::engine::{Batch, Damage, Engine, EngineError, Row, Table};

/// Bytes of objects after which the memtable is switched and flushed; two may exist. Also the size of
/// a blob file.
const OBJECT_BUFFER: u64 = 16 << 20;
/// Size at which the database itself would flush: never reached, because the bytes of puts under way
/// at the same time are bounded.
const MEMTABLE_MAX: usize = 96 << 20;
/// One memtable of a small table.
const TABLE_BUFFER: usize = 4 << 20;
/// Log kept before the oldest memtables of the tables are flushed.
const TABLE_LOG_MAX: u64 = 16 << 20;
/// Index blocks and small values kept in memory.
const BLOCK_CACHE: usize = 12 << 20;
/// Files kept open.
const OPEN_FILES: i32 = 256;
/// Values from this size go to blob files: all of them, so that each object can be found again without
/// the database (`blobs.rs`).
const BLOB_MIN: u64 = 0;

impl From<rocksdb::Error> for EngineError {
    fn from(error: rocksdb::Error) -> Self {
        let kind = error.kind();
        let text = error.into_string();
        match kind {
            _ if text.contains("No space left") || text.contains("NoSpace") => Self::Full,
            ErrorKind::IOError
                if text.contains("While lock file") || text.contains("lock hold by") =>
            {
                Self::InUse(text)
            }
            ErrorKind::Corruption => Self::Corrupt(text),
            // A file of the database is gone.
            ErrorKind::IOError if text.contains("No such file") => Self::Corrupt(text),
            _ => Self::Io(text),
        }
    }
}

/// See the module.
pub struct RocksEngine {
    objects: DB,
    tables: DB,
    dir: PathBuf,
    /// Held for reading by puts, for writing while the memtable of objects is switched.
    gate: RwLock<()>,
    /// Bytes put since then.
    unflushed: AtomicU64,
    marks: Mutex<Marks>,
    /// Where objects lie, made when the database first fails to find one.
    index: Mutex<Option<Index>>,
    /// How it was opened: damage seen later is mended at the next start.
    opened: Marks,
}

impl RocksEngine {
    /// Opens or creates the databases below `dir`. What is damaged is put aside and saved as far as it
    /// can be read: [`Engine::damage`] tells of it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        std::fs::create_dir_all(dir).map_err(|e| io_failed(dir, e))?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let mut marks = Marks::read(dir)?;
        let tables = open_tables(dir, &cache, &mut marks)?;
        let objects = open_objects(dir, &cache, &mut marks, &tables)?;
        marks::note_boot(dir)?;
        Ok(Self {
            objects,
            tables,
            dir: dir.to_owned(),
            gate: RwLock::new(()),
            unflushed: AtomicU64::new(0),
            marks: Mutex::new(marks),
            index: Mutex::default(),
            opened: marks,
        })
    }

    /// Opens a store on a disk that cannot be written: every write is refused.
    ///
    /// # Errors
    /// [`EngineError`], also if there is no store.
    pub fn open_read_only(dir: &Path) -> Result<Self, EngineError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let marks = Marks::read(dir)?;
        let objects = DB::open_for_read_only(&object_options(&cache), dir.join("objects"), false)?;
        let families = Table::ALL
            .map(|table| rocksdb::ColumnFamilyDescriptor::new(table.name(), table_options(&cache)));
        let tables = DB::open_cf_descriptors_read_only(
            &common_options(),
            dir.join("tables"),
            families,
            false,
        )?;
        Ok(Self {
            objects,
            tables,
            dir: dir.to_owned(),
            gate: RwLock::new(()),
            unflushed: AtomicU64::new(0),
            marks: Mutex::new(marks),
            index: Mutex::default(),
            opened: marks,
        })
    }

    /// Remembers that files are damaged, so that they are saved at the next start.
    fn saw(&self, error: rocksdb::Error, mark: fn(&mut Marks)) -> EngineError {
        let error = EngineError::from(error);
        if matches!(error, EngineError::Corrupt(_)) {
            let mut marks = self.marks.lock();
            let before = *marks;
            mark(&mut marks);
            if *marks != before {
                tracing::error!(%error, "the store is damaged; it is mended when the node starts again");
                if let Err(error) = marks.save(&self.dir) {
                    tracing::error!(%error, "that it is damaged could not be noted");
                }
            }
        }
        error
    }

    /// The bytes of an object the database cannot find, from its file. Written once more, so that the
    /// database finds them next time.
    fn rescue(&self, key: &[u8]) -> Option<Vec<u8>> {
        let found = {
            let mut index = self.index.lock();
            if index.is_none() {
                *index = Index::read(&self.dir.join("objects")).ok();
            }
            index.as_ref()?.get(key)?
        };
        let id = key.last_chunk().copied().map(ObjectId);
        if id != Some(object_id(&found)) {
            return None;
        }
        if let Err(error) = self.put_object(key, &found) {
            tracing::warn!(%error, "what was found again could not be written");
        }
        Some(found)
    }

    fn bad_tables(&self) -> impl Fn(rocksdb::Error) -> EngineError + '_ {
        |error| self.saw(error, |marks| marks.tables = true)
    }

    fn bad_objects(&self) -> impl Fn(rocksdb::Error) -> EngineError + '_ {
        |error| self.saw(error, |marks| marks.objects = true)
    }

    /// Makes what was noted durable, then gives the objects put so far to the disk. `wait`: until they
    /// are durable.
    fn switch(&self, wait: bool) -> Result<(), EngineError> {
        let _shut = self.gate.write();
        let unflushed = self.unflushed.swap(0, Ordering::Relaxed);
        // Somebody else was faster.
        if !wait && unflushed < OBJECT_BUFFER {
            self.unflushed.store(unflushed, Ordering::Relaxed);
            return Ok(());
        }
        self.tables.flush_wal(true).map_err(self.bad_tables())?;
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        let flushed = self.objects.flush_opt(&options);
        flushed.map_err(self.bad_objects())
    }

    fn apply(&self, batch: Batch, sync: bool) -> Result<(), EngineError> {
        let mut out = WriteBatch::default();
        for change in batch.changes {
            let family = self.family(change.table)?;
            match change.value {
                Some(value) => out.put_cf(family, change.key, value),
                None => out.delete_cf(family, change.key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        let written = self.tables.write_opt(out, &options);
        written.map_err(self.bad_tables())
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, EngineError> {
        self.tables
            .cf_handle(table.name())
            .ok_or_else(|| EngineError::Corrupt(format!("table {} is missing", table.name())))
    }
}

fn common_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options
}

fn block_options(cache: &Cache) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_bloom_filter(10.0, false);
    blocks
}

fn object_options(cache: &Cache) -> Options {
    let mut options = common_options();
    options.set_block_based_table_factory(&block_options(cache));
    options.set_write_buffer_size(MEMTABLE_MAX);
    options.set_max_write_buffer_number(2);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(BLOB_MIN);
    options.set_bytes_per_sync(4 << 20);
    options
}

fn table_options(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_block_based_table_factory(&block_options(cache));
    options.set_write_buffer_size(TABLE_BUFFER);
    options.set_max_write_buffer_number(2);
    options
}

impl Drop for RocksEngine {
    /// The database flushes objects when it is closed: the notes first.
    fn drop(&mut self) {
        if let Err(error) = self.tables.flush_wal(true) {
            tracing::warn!(%error, "what was noted last may be lost if the power fails now");
        }
    }
}

impl Engine for RocksEngine {
    fn put_object(&self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let len = u64::try_from(value.len()).unwrap_or(u64::MAX);
        let unflushed = {
            let _open = self.gate.read();
            let put = self.objects.put_opt(key, value, &options);
            put.map_err(self.bad_objects())?;
            self.unflushed.fetch_add(len, Ordering::Relaxed)
        };
        if unflushed.saturating_add(len) >= OBJECT_BUFFER {
            self.switch(false)?;
        }
        Ok(())
    }

    fn flush_objects(&self) -> Result<(), EngineError> {
        self.switch(true)
    }

    fn get_object(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(false);
        options.fill_cache(false);
        Ok(self.objects.get_opt(key, &options)?)
    }

    fn find_object(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.rescue(key))
    }

    fn delete_object(&self, key: &[u8]) -> Result<(), EngineError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let deleted = self.objects.delete_opt(key, &options);
        deleted.map_err(self.bad_objects())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let got = self.tables.get_cf(self.family(table)?, key);
        got.map_err(self.bad_tables())
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.apply(batch, true)
    }

    fn note(&self, batch: Batch) -> Result<(), EngineError> {
        self.apply(batch, false)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError> {
        let start = after.filter(|after| *after >= prefix).unwrap_or(prefix);
        let mode = IteratorMode::From(start, Direction::Forward);
        let mut rows = Vec::new();
        for row in self.tables.iterator_cf(self.family(table)?, mode) {
            let (key, value) = row.map_err(self.bad_tables())?;
            if rows.len() >= limit || !key.starts_with(prefix) {
                break;
            }
            if after != Some(&*key) {
                rows.push((key.into_vec(), value.into_vec()));
            }
        }
        Ok(rows)
    }

    fn reclaim(&self) -> Result<(), EngineError> {
        // Only keys and pointers are rewritten, about a hundred bytes an object. A blob file goes
        // once no pointer into it is left; blobs themselves are never copied here.
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        options.set_exclusive_manual_compaction(false);
        self.objects
            .compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    fn damage(&self) -> Damage {
        self.marks.lock().damage()
    }

    fn mended(&self) -> Result<(), EngineError> {
        let mut marks = self.marks.lock();
        marks.rows &= !self.opened.rows;
        marks.bytes &= !self.opened.bytes;
        marks.save(&self.dir)
    }

    fn object_keys(
        &self,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.flush_objects()?;
        for file in files_of(&self.dir.join("objects"), "blob")? {
            let mut blobs = Blobs::open(&file)?;
            while let Some(blob) = blobs.next()? {
                visit(&blob.key)?;
            }
        }
        Ok(())
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        let mut bytes = 0u64;
        for part in ["objects", "tables"] {
            let dir = self.dir.join(part);
            let failed = |e| EngineError::Io(format!("cannot list {}: {e}", dir.display()));
            for entry in std::fs::read_dir(&dir).map_err(failed)? {
                // A file that went meanwhile takes no space.
                if let Ok(meta) = entry.map_err(failed)?.metadata() {
                    bytes = bytes.saturating_add(meta.len());
                }
            }
        }
        Ok(bytes)
    }

    fn free_space(&self) -> Result<u64, EngineError> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|e| EngineError::Io(format!("cannot ask for free space: {e}")))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
