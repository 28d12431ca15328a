//! Bytes on the disk that no row claims: put and not yet synced, left by sessions that ended, freed and
//! not yet dropped. They count against the quota like any others until they are gone.
//!
//! A note (`keys::to_drop`) says of each whose it is and how long. Here is their sum, made from the
//! notes when it is first asked for, so that a crash forgets none of them.

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::ids::{ID_LEN, NodeId, ObjectId, OwnerId};
use parking_lot::{Mutex, MutexGuard};

use super::disk::Table;
use super::error::StoreError;
use super::{Store, keys};

/// Whose bytes are of which it is not known any more: they count for their owner only.
pub(super) const NOBODY: NodeId = NodeId([0; ID_LEN]);

/// What a note says of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    /// Whose quota they count against.
    pub(super) device: NodeId,
    /// How many.
    pub(super) size: u32,
    /// The lot they lie in.
    pub(super) lot: u64,
}

impl Note {
    pub(super) fn encode(&self) -> Vec<u8> {
        [
            self.device.0.as_slice(),
            &self.size.to_le_bytes(),
            &self.lot.to_le_bytes(),
        ]
        .concat()
    }

    /// A note that cannot be read is still a note: of nobody's bytes.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let read = || {
            let (device, rest) = bytes.split_first_chunk::<ID_LEN>()?;
            let (size, rest) = rest.split_first_chunk::<4>()?;
            Some(Self {
                device: NodeId(*device),
                size: u32::from_le_bytes(*size),
                lot: u64::from_le_bytes(rest.try_into().ok()?),
            })
        };
        read().unwrap_or(Self {
            device: NOBODY,
            size: 0,
            lot: 0,
        })
    }
}

/// The sums of one owner.
#[derive(Debug, Default)]
pub(super) struct Sums {
    by_device: HashMap<NodeId, u64>,
    total: u64,
}

impl Sums {
    pub(super) fn of(&self, device: &NodeId) -> u64 {
        self.by_device.get(device).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn add(&mut self, device: NodeId, bytes: u64) {
        let sum = self.by_device.entry(device).or_default();
        *sum = sum.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
    }

    pub(super) fn take(&mut self, device: &NodeId, bytes: u64) {
        if let Some(sum) = self.by_device.get_mut(device) {
            *sum = sum.saturating_sub(bytes);
            if *sum == 0 {
                self.by_device.remove(device);
            }
        }
        self.total = self.total.saturating_sub(bytes);
    }
}

type OwnerSums = Arc<Mutex<Sums>>;

/// The sums of all owners; `None` until they were made from the notes.
#[derive(Default)]
pub(super) struct Unclaimed(Mutex<Option<HashMap<OwnerId, OwnerSums>>>);

impl Store {
    /// The sums of one owner. Ask before a note is written, so that it is counted once.
    pub(super) fn unclaimed(&self, owner: &OwnerId) -> Result<OwnerSums, StoreError> {
        let mut all = self.unclaimed.0.lock();
        let sums = self.loaded(&mut all)?;
        Ok(Arc::clone(sums.entry(*owner).or_default()))
    }

    fn loaded<'a>(
        &self,
        all: &'a mut MutexGuard<'_, Option<HashMap<OwnerId, OwnerSums>>>,
    ) -> Result<&'a mut HashMap<OwnerId, OwnerSums>, StoreError> {
        if all.is_none() {
            let mut sums: HashMap<OwnerId, OwnerSums> = HashMap::new();
            self.each_row(Table::State, keys::DROPS, |key, value| {
                let (owner, _) = note_key(&key)?;
                let note = Note::decode(&value);
                let sums = sums.entry(owner).or_default();
                sums.lock().add(note.device, note.size.into());
                Ok(())
            })?;
            **all = Some(sums);
        }
        Ok(all.get_or_insert_default())
    }

    /// Bytes of an owner that are on the disk and claimed by nothing.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn unclaimed_bytes(&self, owner: &OwnerId) -> Result<u64, StoreError> {
        Ok(self.unclaimed(owner)?.lock().total())
    }

    /// The note about an object.
    pub(super) fn note_of(
        &self,
        owner: &OwnerId,
        id: &ObjectId,
    ) -> Result<Option<Note>, StoreError> {
        let note = self
            .disk
            .tables
            .get(Table::State, &keys::to_drop(owner, id))?;
        Ok(note.map(|note| Note::decode(&note)))
    }
}

/// Owner and object of a note.
pub(super) fn note_key(key: &[u8]) -> Result<(OwnerId, ObjectId), StoreError> {
    let wrong = StoreError::Stored("note of bytes to drop");
    let rest = key.get(keys::DROPS.len()..).ok_or(wrong.clone())?;
    let (owner, id) = rest.split_first_chunk::<ID_LEN>().ok_or(wrong.clone())?;
    Ok((
        OwnerId(*owner),
        ObjectId::from_slice(id).map_err(|_| wrong)?,
    ))
}
