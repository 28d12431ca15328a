//! RocksDB as the cache uses it: one column family, no log, small buffers.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache as BlockCache, DB, Direction, Env, IteratorMode, Options, ReadOptions,
    WriteBatch, WriteOptions,
};

/// Memory for blocks read.
const BLOCK_CACHE: usize = 12 << 20;
/// Memory for writes before they go to disk; two of them at most.
const WRITE_BUFFER: usize = 8 << 20;

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
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&BlockCache::new_lru_cache(BLOCK_CACHE));
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_block_size(8 << 10);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_max_write_buffer_number(2);
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
        Ok(Self { db, was_empty })
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

    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), String> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db
            .write_opt(batch, &options)
            .map_err(|e| e.to_string())
    }

    pub(super) fn flush(&self) -> Result<(), String> {
        self.db.flush().map_err(|e| e.to_string())
    }
}
