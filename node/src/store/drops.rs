//! Dropping bytes that no row claims: of freed objects, and of uploads that were broken off.
//!
//! A note in the tables comes before the bytes are written and goes with the claim, so whatever
//! happens in between, either the object is claimed or the note is still there.

use std::collections::HashMap;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId};

use super::disk::Table;
use super::error::StoreError;
use super::keys;
use super::reclaim::Reclaim;
use super::unclaimed::{Note, note_key};

/// Notes worked off under one lock.
const AT_ONCE: usize = 8192;

type Noted = (OwnerId, ObjectId);

/// Bytes that were dropped, and whose quota they still count against: until the file system has
/// them back. What a round that was broken off had dropped waits for the next one.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    credit: HashMap<(OwnerId, NodeId), u64>,
}

impl Dropped {
    fn add(&mut self, owner: &OwnerId, note: &Note) {
        let credit = self.credit.entry((*owner, note.device)).or_default();
        *credit = credit.saturating_add(note.size.into());
    }
}

impl Reclaim<'_> {
    /// Drops all bytes that are noted and neither claimed nor being written. Durable on return. What was
    /// dropped is still charged: [`Reclaim::give_back`]. Returns how many bytes were dropped.
    ///
    /// # Errors
    /// Failures of the disk: the notes stay, and it is tried again.
    pub(super) fn drop_unclaimed(&self) -> Result<u64, StoreError> {
        let mut bytes = 0u64;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.store.disk.tables.scan(
                Table::State,
                keys::DROPS,
                after.as_deref(),
                AT_ONCE,
            )?;
            let Some((last, _)) = rows.last() else {
                return Ok(bytes);
            };
            after = Some(last.clone());
            let mut noted = Vec::with_capacity(rows.len());
            for (key, _) in &rows {
                noted.push(note_key(key)?);
            }
            for group in noted.chunk_by(|a, b| a.0 == b.0) {
                if let Some((owner, _)) = group.first() {
                    bytes = bytes.saturating_add(self.drop_group(owner, group)?);
                }
            }
        }
    }

    fn drop_group(&self, owner: &OwnerId, noted: &[Noted]) -> Result<u64, StoreError> {
        let lock = self.store.owner_lock(owner);
        // Until the notes are gone nobody starts to write the same object.
        let mut tx = lock.write();
        // Counted while the notes are there: what is given back later is in the sums.
        let _sums = self.store.unclaimed(owner)?;
        let (mut notes, mut bytes) = (Vec::new(), 0u64);
        for (_, id) in noted {
            if self.store.in_flight.has(owner, id) {
                continue;
            }
            let Some(note) = self.store.note_of(owner, id)? else {
                continue;
            };
            if self.store.object_meta(owner, id)?.is_none() {
                self.store.disk.objects.delete(&keys::object(owner, id))?;
                bytes = bytes.saturating_add(note.size.into());
            }
            tx.delete(Table::State, keys::to_drop(owner, id));
            notes.push(note);
        }
        if notes.is_empty() {
            return Ok(0);
        }
        self.store.disk.objects.flush()?;
        tx.write()?;
        let mut dropped = self.store.dropped.lock();
        for note in &notes {
            dropped.add(owner, note);
        }
        Ok(bytes)
    }

    /// The bytes are gone: they count against nobody's quota any more.
    pub(super) fn give_back(&self) -> Result<(), StoreError> {
        let dropped = std::mem::take(&mut *self.store.dropped.lock());
        for ((owner, device), bytes) in dropped.credit {
            self.store.unclaimed(&owner)?.lock().take(&device, bytes);
        }
        Ok(())
    }

    /// Bytes of a device that are dropped and still charged.
    #[cfg(test)]
    pub(super) fn not_given_back(&self, owner: &OwnerId, device: &NodeId) -> u64 {
        let dropped = self.store.dropped.lock();
        dropped.credit.get(&(*owner, *device)).copied().unwrap_or(0)
    }
}
