//! Dropping bytes that no row claims: of freed objects, and of uploads that were broken off.
//!
//! A note in the tables comes before the bytes are written and goes with the claim, so whatever
//! happens in between, either the object is claimed or the note is still there.

use std::collections::HashMap;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId};

use super::engine::{Batch, Table};
use super::error::StoreError;
use super::unclaimed::{Note, note_key};
use super::{Store, keys};

/// Notes worked off under one lock.
const AT_ONCE: usize = 8192;

type Noted = (OwnerId, ObjectId);

/// Bytes that were dropped, and whose quota they still count against: until the file system has
/// them back.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// Bytes whose space is not given back yet.
    pub(super) bytes: u64,
    credit: HashMap<(OwnerId, NodeId), u64>,
}

impl Dropped {
    fn add(&mut self, owner: &OwnerId, note: &Note) {
        let credit = self.credit.entry((*owner, note.device)).or_default();
        *credit = credit.saturating_add(note.size.into());
    }
}

impl Store {
    /// Drops all bytes that are noted and neither claimed nor being written. Durable on return. What was
    /// dropped is still charged: [`Store::give_back`].
    ///
    /// # Errors
    /// Failures of the disk: the notes stay, and it is tried again.
    pub(super) fn drop_unclaimed(&self, dropped: &mut Dropped) -> Result<(), StoreError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self
                .engine
                .scan(Table::State, keys::DROPS, after.as_deref(), AT_ONCE)?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            let mut noted = Vec::with_capacity(rows.len());
            for (key, _) in &rows {
                noted.push(note_key(key)?);
            }
            for group in noted.chunk_by(|a, b| a.0 == b.0) {
                if let Some((owner, _)) = group.first() {
                    self.drop_group(owner, group, dropped)?;
                }
            }
        }
    }

    fn drop_group(
        &self,
        owner: &OwnerId,
        noted: &[Noted],
        dropped: &mut Dropped,
    ) -> Result<(), StoreError> {
        let lock = self.owner_lock(owner);
        // Until the notes are gone nobody starts to write the same object.
        let _guard = lock.write();
        let (mut batch, mut notes, mut bytes) = (Batch::default(), Vec::new(), 0u64);
        for (_, id) in noted {
            if self.in_flight.has(owner, id) {
                continue;
            }
            let Some(note) = self.note_of(owner, id)? else {
                continue;
            };
            if self.object_meta(owner, id)?.is_none() {
                self.engine.delete_object(&keys::object(owner, id))?;
                bytes = bytes.saturating_add(note.size.into());
            }
            batch.delete(Table::State, keys::to_drop(owner, id));
            notes.push(note);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.engine.flush_objects()?;
        self.engine.write(batch)?;
        for note in &notes {
            dropped.add(owner, note);
        }
        dropped.bytes = dropped.bytes.saturating_add(bytes);
        Ok(())
    }

    /// The bytes are gone: they count against nobody's quota any more.
    pub(super) fn give_back(&self, dropped: Dropped) -> Result<(), StoreError> {
        for ((owner, device), bytes) in dropped.credit {
            self.unclaimed(&owner)?.lock().take(&device, bytes);
        }
        Ok(())
    }
}
