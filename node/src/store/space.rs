//! Free space on the disk: writes stop before it is really full, so that the node itself goes on.

use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::Objects;
use super::error::StoreError;

/// Bytes of free disk below which nothing is stored any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskReserve(pub u64);

impl Default for DiskReserve {
    /// Enough for both memtables of objects, the logs of the tables and a compaction of them.
    fn default() -> Self {
        Self(192 << 20)
    }
}

/// Bytes put between two questions to the file system.
const ASK_EVERY: u64 = 16 << 20;

pub(super) struct Space {
    reserve: u64,
    /// Bytes that may be put before asking again.
    unasked: AtomicU64,
}

impl Space {
    pub(super) fn new(reserve: DiskReserve) -> Self {
        Self {
            reserve: reserve.0,
            unasked: AtomicU64::new(0),
        }
    }

    pub(super) fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Before `bytes` are put. While space is short every put asks, so that it is noticed at once
    /// when there is room again.
    pub(super) fn check(&self, objects: &dyn Objects, bytes: u64) -> Result<(), StoreError> {
        let paid = self
            .unasked
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        if paid.is_ok() {
            return Ok(());
        }
        let free = objects.free()?;
        if free < self.reserve.saturating_add(bytes) {
            self.unasked.store(0, Ordering::Relaxed);
            return Err(StoreError::Reserve {
                free,
                reserve: self.reserve,
            });
        }
        self.unasked.store(ASK_EVERY, Ordering::Relaxed);
        Ok(())
    }
}
