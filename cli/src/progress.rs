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

/// How many bytes of one file were counted while it was worked on. A file that is read twice, or that grew, counts
/// once and as large as it was found, so that the sum comes out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    size: u64,
    told: u64,
}

impl Shown {
    /// Nothing yet of a file of this size.
    #[must_use]
    pub const fn of(size: u64) -> Self {
        Self { size, told: 0 }
    }

    /// What to add for so many more bytes.
    pub fn more(&mut self, bytes: u64) -> u64 {
        let more = bytes.min(self.size.saturating_sub(self.told));
        self.told = self.told.saturating_add(more);
        more
    }

    /// What is left to add at the end of the file.
    pub fn rest(&mut self) -> u64 {
        self.more(u64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_once_however_often_it_is_read() {
        let mut shown = Shown::of(100);
        assert_eq!((shown.more(30), shown.more(30)), (30, 30));
        // It changed: once more from the start, and longer than before.
        assert_eq!((shown.more(30), shown.more(80), shown.rest()), (30, 10, 0));
        let mut shown = Shown::of(100);
        assert_eq!((shown.more(1), shown.rest(), shown.rest()), (1, 99, 0));
        assert_eq!(Shown::default().rest(), 0);
    }
}
