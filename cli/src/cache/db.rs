//! RocksDB as the cache uses it: one column family, no log, small buffers.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache as BlockCache, DB, Direction, Env, IteratorMode,
    LruCacheOptions, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::fresh::Fresh;
use super::kind;

/// Memory for blocks read.
const BLOCK_CACHE: usize = 12 << 20;
/// It is divided into this many parts, as a power of two. Left to itself the database makes 16, and a block larger than
/// a part is never kept.
const BLOCK_CACHE_PARTS: i32 = 2;
/// Filters and indexes come in blocks of this size, so that those in use stay, however large a table is.
const FILTER_BLOCK: usize = 16 << 10;
/// Memory for writes before they go to disk; two of them at most.
const WRITE_BUFFER: usize = 4 << 20;
/// Written buffers that are merged into the tables below at a time: fewer would write those again and again.
const MERGED_AT_ONCE: i32 = 8;

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Another process has it.
    #[error("another run uses the cache")]
    Busy,
    /// Not now: what is in it may be as good as ever.
    #[error("{0}")]
    NotNow(String),
    /// What is in it cannot be used.
    #[error("{0}")]
    Damaged(String),
}

/// Tells what passes from what stays. Only what the database calls damage is taken for it, and only if the
/// system was not the one who refused: what is taken for damage is thrown away.
fn opening_failed(error: &rocksdb::Error) -> OpenError {
    use rocksdb::ErrorKind;
    const OF_THE_SYSTEM: [&str; 8] = [
        "Too many open files",
        "Cannot allocate memory",
        "No space left",
        "Disk quota exceeded",
        "Permission denied",
        "Operation not permitted",
        "Read-only file system",
        "Input/output error",
    ];
    let text = error.to_string();
    if text.contains("lock hold by") || text.contains("While lock file") {
        return OpenError::Busy;
    }
    let refused = OF_THE_SYSTEM.iter().any(|reason| text.contains(reason));
    // A file that is gone is an error of the system, but stays one.
    let gone = error.kind() == ErrorKind::IOError && text.contains("No such file");
    let unreadable = matches!(
        error.kind(),
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotSupported
    );
    if !refused && (gone || unreadable) {
        OpenError::Damaged(text)
    } else {
        OpenError::NotNow(text)
    }
}

pub(super) struct Db {
    db: DB,
    was_empty: bool,
    /// All that can be found by [`Db::get`], if nothing was there at the start.
    fresh: Option<Fresh>,
}

/// Rows to be written together.
pub(super) struct Batch<'a> {
    rows: WriteBatch,
    fresh: Option<&'a Fresh>,
}

impl Batch<'_> {
    pub(super) fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        if let Some(fresh) = self.fresh.filter(|_| is_asked_for(key.as_ref())) {
            fresh.note(key.as_ref());
        }
        self.rows.put(key, value);
    }

    pub(super) fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.rows.delete(key);
    }
}

/// Whether a key is one of those that are asked for one by one. Files are not: they come by the run or by the folder.
fn is_asked_for(key: &[u8]) -> bool {
    key.first() != Some(&kind::FILE)
}

fn options() -> Options {
    let mut blocks = LruCacheOptions::default();
    blocks.set_capacity(BLOCK_CACHE);
    blocks.set_num_shard_bits(BLOCK_CACHE_PARTS);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&BlockCache::new_lru_cache_opts(&blocks));
    table.set_bloom_filter(10.0, false);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(FILTER_BLOCK);
    table.set_pin_top_level_index_and_filter(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_block_size(8 << 10);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_max_write_buffer_number(2);
    options.set_level_zero_file_num_compaction_trigger(MERGED_AT_ONCE);
    options.set_max_open_files(128);
    options.set_max_background_jobs(1);
    options.set_keep_log_file_num(1);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_skip_stats_update_on_db_open(true);
    options.set_max_manifest_file_size(1 << 20);
    options
}

impl Db {
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        // Nobody else has any business in here.
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir);
        if let Err(error) = made {
            return Err(OpenError::NotNow(error.to_string()));
        }
        let mut options = options();
        if let Ok(env) = Env::new() {
            options.set_env(&env);
        }
        let db = DB::open(&options, dir).map_err(|error| opening_failed(&error))?;
        let was_empty = db.iterator(IteratorMode::Start).next().is_none();
        let fresh = was_empty.then(Fresh::default);
        Ok(Self {
            db,
            was_empty,
            fresh,
        })
    }

    /// Whether nothing was in it when it was opened.
    pub(super) fn was_empty(&self) -> bool {
        self.was_empty
    }

    /// It has been filled since.
    pub(super) fn is_filled(&mut self) {
        self.was_empty = false;
    }

    /// A read error counts as not there: the file is then simply read again.
    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let fresh = self.fresh.as_ref().filter(|_| is_asked_for(key));
        if fresh.is_some_and(|fresh| !fresh.may_have(key)) {
            return None;
        }
        self.db.get(key).ok().flatten()
    }

    pub(super) fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let mut read = ReadOptions::default();
        read.set_async_io(false);
        let values = self.db.multi_get_opt(keys, &read);
        values
            .into_iter()
            .map(|value| value.ok().flatten())
            .collect()
    }

    /// Everything whose key starts with `prefix`; stops at a read error.
    pub(super) fn scan(&self, prefix: &[u8], mut visit: impl FnMut(&[u8], &[u8])) {
        for item in self
            .db
            .iterator(IteratorMode::From(prefix, Direction::Forward))
        {
            let Ok((key, value)) = item else { return };
            if !key.starts_with(prefix) {
                return;
            }
            visit(&key, &value);
        }
    }

    /// Begins a batch.
    pub(super) fn batch(&self) -> Batch<'_> {
        Batch {
            rows: WriteBatch::default(),
            fresh: self.fresh.as_ref(),
        }
    }

    pub(super) fn write(&self, batch: Batch<'_>) -> Result<(), String> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db
            .write_opt(batch.rows, &options)
            .map_err(|e| e.to_string())
    }

    pub(super) fn flush(&self) -> Result<(), String> {
        self.db.flush().map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_written_to_an_empty_cache_is_found_at_once_and_after_it_was_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let key = |kind: u8, n: u32| [&[kind], n.to_le_bytes().as_slice()].concat();
        let kinds = [kind::SMALL, kind::CHUNK, kind::PACK, kind::META, kind::FILE];
        let check = |db: &Db, from: u32, to: u32| {
            for kind in kinds {
                for n in from..to {
                    assert_eq!(db.get(&key(kind, n)).unwrap(), [kind]);
                }
                assert_eq!(db.get(&key(kind, to)), None);
            }
        };
        let write = |db: &Db, from: u32, to: u32| {
            let mut batch = db.batch();
            for kind in kinds {
                (from..to).for_each(|n| batch.put(key(kind, n), [kind]));
            }
            db.write(batch).unwrap();
        };
        let mut db = Db::open(dir.path()).unwrap();
        assert!(db.fresh.is_some());
        write(&db, 0, 500);
        check(&db, 0, 500);
        // Taken over from the list: from now on it is asked.
        db.is_filled();
        write(&db, 500, 600);
        check(&db, 0, 600);
        db.flush().unwrap();
        drop(db);
        // What an earlier run wrote was noted by nobody.
        let db = Db::open(dir.path()).unwrap();
        assert!(db.fresh.is_none());
        write(&db, 600, 700);
        check(&db, 0, 700);
    }
}
