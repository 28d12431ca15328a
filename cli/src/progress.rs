//! How a long run shows where it stands: counters to look at, and notes on single files.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that only grow; a display looks at them as often as it likes.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries found (backup: by the walk; restore: in the snapshot).
    pub entries_found: AtomicU64,
    /// Bytes of the files found.
    pub bytes_found: AtomicU64,
    /// Whether the two above are final.
    pub found_all: AtomicU64,
    /// Entries done.
    pub entries_done: AtomicU64,
    /// Bytes of the files done, read or not.
    pub bytes_done: AtomicU64,
    /// Bytes sent to or fetched from the node.
    pub bytes_moved: AtomicU64,
}

impl Counters {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Reads a counter.
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Where a run reports to. Called from many threads.
pub trait Progress: Send + Sync {
    /// The numbers.
    fn counters(&self) -> &Counters;

    /// Something about one file that a person should see at once. `path` is a stored path.
    fn problem(&self, path: &[u8], reason: &str) {
        // Nothing to show it on.
        let _ = (path, reason);
    }

    /// A file that is being worked on, for `-v`.
    fn file(&self, path: &[u8]) {
        // Nothing to show it on.
        let _ = path;
    }
}

/// Counts and shows nothing.
#[derive(Debug, Default)]
pub struct Silent(Counters);

impl Progress for Silent {
    fn counters(&self) -> &Counters {
        &self.0
    }
}
