//! Space, from what nobody needs any more to the file system: loose objects are freed (`free.rs`), their
//! bytes dropped (`drops.rs`), what is left of sparse lots moved (`lots.rs`), and files given back.

use super::Store;
use super::error::StoreError;

/// Bytes freed after which files are given back without being asked.
const RECLAIM_FROM: u64 = 16 << 20;

/// What gives space back. Needs nothing but the store, and takes the locks it needs, owner by owner.
#[derive(Clone, Copy)]
pub(super) struct Reclaim<'s> {
    pub(super) store: &'s Store,
}

impl Store {
    /// The part of the store that gives space back.
    pub(super) fn reclaim(&self) -> Reclaim<'_> {
        Reclaim { store: self }
    }
}

impl Reclaim<'_> {
    /// Gives files back to the file system when it is worth it: what earlier rounds left behind counts
    /// as well, and what a process before this one left behind.
    pub(super) fn give_files_back(
        &self,
        freed: u64,
        thorough: bool,
        disk: u64,
    ) -> Result<(), StoreError> {
        let waiting = {
            let mut garbage = self.store.garbage.lock();
            let before = match *garbage {
                Some(before) => before,
                None => disk.saturating_sub(self.live_bytes()?),
            };
            *garbage.insert(before.saturating_add(freed))
        };
        if waiting >= RECLAIM_FROM || (thorough && waiting > 0) {
            self.store.disk.objects.reclaim()?;
            *self.store.garbage.lock() = Some(0);
        }
        Ok(())
    }

    fn live_bytes(&self) -> Result<u64, StoreError> {
        let owners = self.store.owners()?.into_iter();
        Ok(owners.fold(0, |sum, (_, totals)| sum.saturating_add(totals.bytes)))
    }
}
