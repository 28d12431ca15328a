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
mod objects;
mod open;
mod salvage;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rocksdb::{BlockBasedOptions, Cache, DB, ErrorKind, Options};

use self::files::io_failed;
use self::marks::Marks;
use self::objects::RocksObjects;
use self::open::{open_objects, open_tables};
use self::tables::RocksTables;
use super::disk::{Disk, DiskError, Table};

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

impl From<rocksdb::Error> for DiskError {
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

/// What both databases of a store have in common.
struct Home {
    dir: PathBuf,
    /// What is known to be damaged now.
    marks: Mutex<Marks>,
    /// What was when it was opened: damage seen later is mended at the next start.
    opened: Marks,
    /// Whether anything can be written.
    writable: bool,
}

impl Home {
    /// Remembers that files are damaged, so that they are saved at the next start.
    fn saw(&self, error: rocksdb::Error, mark: fn(&mut Marks)) -> DiskError {
        let error = DiskError::from(error);
        if matches!(error, DiskError::Corrupt(_)) {
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

    /// Forgets marks, unless they were set since.
    fn mended(&self, forget: impl FnOnce(&mut Marks, &Marks)) -> Result<(), DiskError> {
        let mut marks = self.marks.lock();
        forget(&mut marks, &self.opened);
        marks.save(&self.dir)
    }

    /// Bytes of the files of one of the databases.
    fn used(&self, part: &str) -> Result<u64, DiskError> {
        let dir = self.dir.join(part);
        let mut bytes = 0u64;
        for entry in std::fs::read_dir(&dir).map_err(|e| io_failed(&dir, e))? {
            // A file that went meanwhile takes no space.
            if let Ok(meta) = entry.map_err(|e| io_failed(&dir, e))?.metadata() {
                bytes = bytes.saturating_add(meta.len());
            }
        }
        Ok(bytes)
    }
}

/// Opens or creates the databases below `dir`. What is damaged is put aside and saved as far as it
/// can be read: [`Disk::damage`] tells of it.
///
/// # Errors
/// [`DiskError`].
pub fn open(dir: &Path) -> Result<Disk, DiskError> {
    std::fs::create_dir_all(dir).map_err(|e| io_failed(dir, e))?;
    let cache = Cache::new_lru_cache(BLOCK_CACHE);
    let mut marks = Marks::read(dir)?;
    let tables = open_tables(dir, &cache, &mut marks)?;
    let objects = open_objects(dir, &cache, &mut marks, &tables)?;
    marks::begin(dir, &mut marks)?;
    let home = Home {
        dir: dir.to_owned(),
        marks: Mutex::new(marks),
        opened: marks,
        writable: true,
    };
    Ok(put_together(home, tables, objects))
}

/// Opens a store on a disk that cannot be written: every write is refused.
///
/// # Errors
/// [`DiskError`], also if there is no store.
pub fn open_read_only(dir: &Path) -> Result<Disk, DiskError> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE);
    let marks = Marks::read(dir)?;
    let objects = DB::open_for_read_only(&object_options(&cache), dir.join("objects"), false)?;
    let families = Table::ALL
        .map(|table| rocksdb::ColumnFamilyDescriptor::new(table.name(), table_options(&cache)));
    let tables =
        DB::open_cf_descriptors_read_only(&common_options(), dir.join("tables"), families, false)?;
    let home = Home {
        dir: dir.to_owned(),
        marks: Mutex::new(marks),
        opened: marks,
        writable: false,
    };
    Ok(put_together(home, tables, objects))
}

fn put_together(home: Home, tables: DB, objects: DB) -> Disk {
    let home = Arc::new(home);
    let tables = Arc::new(RocksTables::new(Arc::clone(&home), tables));
    let objects = Arc::new(RocksObjects::new(home, objects, Arc::clone(&tables)));
    Disk { tables, objects }
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
