//! Who needs an object: the counts behind collection (docs/collection.md).
//!
//! An object is needed by every *complete* node that names it and by every snapshot whose root it
//! is. The rules, true after every batch:
//! 1. `refs` of an object is the number of those.
//! 2. A node is complete only if everything it names is here.
//! 3. An object with no `refs` has a `due` time and a row in the list of loose objects, any other
//!    has neither.
//!
//! [`Changes`] gathers what one batch does to the rows, so that an object touched twice is counted
//! right and all of it is written at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;
use packnback_proto::ids::{ObjectId, OwnerId};

use super::disk::{Batch, Table};
use super::error::StoreError;
use super::stored::{Below, ObjectMeta};
use super::{Store, keys};

struct Row {
    old: Option<ObjectMeta>,
    new: Option<ObjectMeta>,
}

/// Changes to the rows of one owner's objects: part of an [`super::tx::OwnerTx`].
pub(super) struct Changes<'a> {
    store: &'a Store,
    owner: OwnerId,
    rows: HashMap<ObjectId, Row, RandomState>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(store: &'a Store, owner: OwnerId) -> Self {
        Self {
            store,
            owner,
            rows: HashMap::default(),
        }
    }

    /// What was read of the tables under the same lock need not be read again.
    pub(super) fn remember(&mut self, seen: impl IntoIterator<Item = (ObjectId, ObjectMeta)>) {
        for (id, meta) in seen {
            let (old, new) = (Some(meta), Some(meta));
            self.rows.entry(id).or_insert(Row { old, new });
        }
    }

    fn row(&mut self, id: &ObjectId) -> Result<&mut Row, StoreError> {
        Ok(match self.rows.entry(*id) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(free) => {
                let old = self.store.object_meta(&self.owner, id)?;
                free.insert(Row { old, new: old })
            }
        })
    }

    /// The row as it will be.
    pub(super) fn meta(&mut self, id: &ObjectId) -> Result<Option<ObjectMeta>, StoreError> {
        Ok(self.row(id)?.new)
    }

    /// Sets or removes a row. Counts are up to the caller.
    pub(super) fn set(
        &mut self,
        id: &ObjectId,
        meta: Option<ObjectMeta>,
    ) -> Result<(), StoreError> {
        self.row(id)?.new = meta;
        Ok(())
    }

    /// How many rows are gathered: what memory and the write at the end go by.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    fn present(&mut self, id: &ObjectId) -> Result<&mut ObjectMeta, StoreError> {
        let row = self.row(id)?;
        row.new
            .as_mut()
            .ok_or(StoreError::AddressMismatch { id: *id })
    }

    /// One more needs this object.
    ///
    /// # Errors
    /// [`StoreError::AddressMismatch`] if it is not here.
    pub(super) fn need(&mut self, id: &ObjectId) -> Result<(), StoreError> {
        let meta = self.present(id)?;
        meta.refs = meta.refs.saturating_add(1);
        meta.due = 0;
        Ok(())
    }

    /// One fewer needs this object; if it was the last, it may be freed from `due` on.
    ///
    /// # Errors
    /// [`StoreError::AddressMismatch`] if it is not here, [`StoreError::Stored`] if nobody needed it:
    /// then the counts are not to be trusted and nothing may be freed.
    pub(super) fn release(&mut self, id: &ObjectId, due: u64) -> Result<(), StoreError> {
        let meta = self.present(id)?;
        meta.refs = match meta.refs {
            0 => return Err(StoreError::Stored("count of an object")),
            u32::MAX => u32::MAX,
            refs => refs.saturating_sub(1),
        };
        meta.due = if meta.refs == 0 { due.max(1) } else { 0 };
        Ok(())
    }

    /// A node whose references are all here becomes complete and needs them from now on. A node
    /// that was complete before stays as it is.
    ///
    /// # Errors
    /// [`StoreError::AddressMismatch`] if something is not here.
    pub(super) fn complete(&mut self, id: &ObjectId) -> Result<(), StoreError> {
        if self.present(id)?.complete {
            return Ok(());
        }
        let mut below = Below::default();
        for child in self.store.refs(&self.owner, id)? {
            self.need(&child)?;
            below = below.and(self.present(&child)?);
        }
        let meta = self.present(id)?;
        (meta.complete, meta.below) = (true, below);
        Ok(())
    }

    /// Adds the changed rows to a batch, with the lists that follow from them.
    pub(super) fn finish(self, batch: &mut Batch) {
        let owner = &self.owner;
        for (id, Row { old, new }) in self.rows {
            if old == new {
                continue;
            }
            let key = keys::object(owner, &id);
            match &new {
                Some(meta) => batch.put(Table::Meta, key, meta.encode()),
                None => batch.delete(Table::Meta, key),
            }
            let due = |meta: &Option<ObjectMeta>| meta.map_or(0, |meta| meta.due);
            if due(&old) != due(&new) {
                if due(&old) > 0 {
                    batch.delete(Table::State, keys::loose(owner, due(&old), &id));
                }
                if due(&new) > 0 {
                    batch.put(Table::State, keys::loose(owner, due(&new), &id), []);
                }
            }
            let lot = |meta: &Option<ObjectMeta>| meta.map(|meta| (meta.lot, meta.size));
            if lot(&old) != lot(&new) {
                if let Some((old, _)) = lot(&old) {
                    batch.delete(Table::Lots, keys::in_lot(old, owner, &id));
                }
                if let Some((new, size)) = lot(&new) {
                    let key = keys::in_lot(new, owner, &id);
                    batch.put(Table::Lots, key, size.to_le_bytes());
                }
            }
        }
    }
}
