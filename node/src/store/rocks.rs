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
//! The tables use a synced log. The two databases never wait for each other: an object is flushed
//! first, the table row that says so is written after.

use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor,
    CompactOptions, DB, Direction, ErrorKind, FlushOptions, IteratorMode, Options, ReadOptions,
    WriteBatch, WriteOptions,
};

use super::engine::{Batch, Engine, EngineError, Row, Table};

/// One memtable of objects; two may exist. Also the size of a blob file.
const OBJECT_BUFFER: usize = 16 << 20;
/// One memtable of a small table.
const TABLE_BUFFER: usize = 4 << 20;
/// Log kept before the oldest memtables of the tables are flushed.
const TABLE_LOG_MAX: u64 = 16 << 20;
/// Index blocks and small values kept in memory.
const BLOCK_CACHE: usize = 12 << 20;
/// Files kept open.
const OPEN_FILES: i32 = 256;
/// Values from this size go to blob files.
const BLOB_MIN: u64 = 4096;

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
            _ => Self::Io(text),
        }
    }
}

/// See the module.
pub struct RocksEngine {
    objects: DB,
    tables: DB,
    dir: PathBuf,
}

impl RocksEngine {
    /// Opens or creates the databases below `dir`.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        std::fs::create_dir_all(dir)
            .map_err(|e| EngineError::Io(format!("cannot create {}: {e}", dir.display())))?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let objects = DB::open(&object_options(&cache), dir.join("objects"))?;
        let mut options = common_options();
        options.create_missing_column_families(true);
        options.set_max_total_wal_size(TABLE_LOG_MAX);
        let families = Table::ALL
            .map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(&cache)));
        let tables = DB::open_cf_descriptors(&options, dir.join("tables"), families)?;
        Ok(Self {
            objects,
            tables,
            dir: dir.to_owned(),
        })
    }

    /// Opens a store on a disk that cannot be written: every write is refused.
    ///
    /// # Errors
    /// [`EngineError`], also if there is no store.
    pub fn open_read_only(dir: &Path) -> Result<Self, EngineError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let objects = DB::open_for_read_only(&object_options(&cache), dir.join("objects"), false)?;
        let families = Table::ALL
            .map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(&cache)));
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
        })
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
        Ok(self.tables.write_opt(out, &options)?)
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
    options.set_write_buffer_size(OBJECT_BUFFER);
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

impl Engine for RocksEngine {
    fn put_object(&self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        Ok(self.objects.put_opt(key, value, &options)?)
    }

    fn flush_objects(&self) -> Result<(), EngineError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        Ok(self.objects.flush_opt(&options)?)
    }

    fn get_object(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(false);
        options.fill_cache(false);
        Ok(self.objects.get_opt(key, &options)?)
    }

    fn delete_object(&self, key: &[u8]) -> Result<(), EngineError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        Ok(self.objects.delete_opt(key, &options)?)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.tables.get_cf(self.family(table)?, key)?)
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
            let (key, value) = row?;
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
