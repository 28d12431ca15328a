//! The lock of one owner as a type: what reads and then writes an owner's rows needs an [`OwnerTx`], and
//! an [`OwnerTx`] can only be had with the lock.

use std::sync::Arc;

use packnback_proto::ids::OwnerId;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use serde::Serialize;

use super::Store;
use super::counts::Changes;
use super::disk::{Batch, Table};
use super::error::StoreError;
use super::stored::encode;

/// The lock of an owner, not taken yet.
pub(super) struct OwnerLock<'s> {
    store: &'s Store,
    owner: OwnerId,
    lock: Arc<RwLock<()>>,
}

/// While it is there nothing of the owner is freed.
pub(super) struct OwnerRead<'l> {
    _guard: RwLockReadGuard<'l, ()>,
}

/// Nobody else changes anything of the owner while it is there. What it gathers is written at once, or
/// not at all if it is dropped before.
pub(super) struct OwnerTx<'l> {
    pub(super) store: &'l Store,
    pub(super) owner: OwnerId,
    /// What will be written, beside the rows of objects.
    pub(super) batch: Batch,
    /// The rows of objects, with who needs them.
    pub(super) counts: Changes<'l>,
    _guard: RwLockWriteGuard<'l, ()>,
}

impl<'s> OwnerLock<'s> {
    pub(super) fn new(store: &'s Store, owner: &OwnerId, lock: Arc<RwLock<()>>) -> Self {
        Self {
            store,
            owner: *owner,
            lock,
        }
    }

    /// Waits until nobody writes.
    pub(super) fn read(&self) -> OwnerRead<'_> {
        OwnerRead {
            _guard: self.lock.read(),
        }
    }

    /// Waits for the lock.
    pub(super) fn write(&self) -> OwnerTx<'_> {
        OwnerTx {
            store: self.store,
            owner: self.owner,
            batch: Batch::default(),
            counts: Changes::new(self.store, self.owner),
            _guard: self.lock.write(),
        }
    }
}

impl OwnerTx<'_> {
    pub(super) fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.batch.put(table, key, value);
    }

    /// Sets a row of the state.
    pub(super) fn put_row<T: Serialize>(
        &mut self,
        key: Vec<u8>,
        row: &T,
    ) -> Result<(), StoreError> {
        self.batch.put(Table::State, key, encode(row)?);
        Ok(())
    }

    pub(super) fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.batch.delete(table, key);
    }

    /// Takes what is gathered, rows of objects and all; more can be gathered then.
    pub(super) fn take(&mut self) -> Batch {
        let fresh = Changes::new(self.store, self.owner);
        let mut batch = std::mem::take(&mut self.batch);
        std::mem::replace(&mut self.counts, fresh).finish(&mut batch);
        batch
    }

    /// Writes what is gathered, durable on return. For rows that are charged to nobody: those of objects
    /// and what follows from them. Records and what follows from them: [`OwnerTx::write_charged`].
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        let batch = self.take();
        if batch.is_empty() {
            return Ok(());
        }
        Ok(self.store.disk.tables.write(batch)?)
    }
}
