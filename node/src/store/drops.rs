//! Dropping bytes that no row claims: of freed objects, and of uploads that were broken off.
//!
//! A note in the tables comes before the bytes are written and goes with the claim, so whatever
//! happens in between, either the object is claimed or the note is still there.

use packnback_proto::ids::{ID_LEN, ObjectId, OwnerId};

use super::engine::{Batch, Table};
use super::error::StoreError;
use super::{Store, keys};

/// Notes worked off under one lock.
const AT_ONCE: usize = 8192;

fn note_key(key: &[u8]) -> Result<(OwnerId, ObjectId), StoreError> {
    let wrong = StoreError::Stored("note of bytes to drop");
    let rest = key.get(keys::DROPS.len()..).ok_or(wrong.clone())?;
    let (owner, id) = rest.split_first_chunk::<ID_LEN>().ok_or(wrong.clone())?;
    Ok((
        OwnerId(*owner),
        ObjectId::from_slice(id).map_err(|_| wrong)?,
    ))
}

impl Store {
    /// Drops all bytes that are noted and neither claimed nor being written. Durable on return.
    ///
    /// # Errors
    /// Failures of the disk: the notes stay, and it is tried again.
    pub(super) fn drop_unclaimed(&self) -> Result<(), StoreError> {
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
                    self.drop_group(owner, group)?;
                }
            }
        }
    }

    fn drop_group(&self, owner: &OwnerId, noted: &[(OwnerId, ObjectId)]) -> Result<(), StoreError> {
        let lock = self.owner_lock(owner);
        // Until the notes are gone nobody starts to write the same object.
        let _guard = lock.write();
        let mut batch = Batch::default();
        for (_, id) in noted {
            let note = keys::to_drop(owner, id);
            if self.in_flight.has(owner, id) || self.engine.get(Table::State, &note)?.is_none() {
                continue;
            }
            if self.object_meta(owner, id)?.is_none() {
                self.engine.delete_object(&keys::object(owner, id))?;
            }
            batch.delete(Table::State, note);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.engine.flush_objects()?;
        Ok(self.engine.write(batch)?)
    }
}
