//! Lots: objects written at about the same time lie in the same files of the database. A file goes
//! when nothing in it is live, so what is left of a lot that lost most of its objects is written
//! once more, at the end, and the file goes.
//!
//! A lot is moved only when less than half of it is live: moving writes less than was freed.

use std::sync::atomic::{AtomicU64, Ordering};

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::{ID_LEN, ObjectId, OwnerId};
use parking_lot::Mutex;

use super::disk::{Batch, Table};
use super::error::StoreError;
use super::reclaim::Reclaim;
use super::stored::ObjectMeta;
use super::{Store, keys};

/// A lot is closed at the first flush after this many bytes: half a memtable of the database.
const LOT_BYTES: u64 = 8 << 20;
/// Objects of one lot moved at most: a lot of the smallest objects.
const LOT_ROWS: usize = 1 << 17;
/// Lots numbered apart within one second.
const PER_SECOND: u64 = 1 << 16;

#[derive(Default)]
struct Current {
    /// Zero: none is open.
    number: u64,
    bytes: u64,
}

/// The lot objects are written to now.
#[derive(Default)]
pub(super) struct Lots {
    current: Mutex<Current>,
    opened: AtomicU64,
}

impl Lots {
    /// Number of the open lot. Numbers need not be unique: lots of one number are one lot.
    pub(super) fn number(&self, now: u64) -> u64 {
        let mut current = self.current.lock();
        if current.number == 0 {
            let nth = self.opened.fetch_add(1, Ordering::Relaxed) % PER_SECOND;
            let number = now.saturating_mul(PER_SECOND).saturating_add(nth);
            current.number = number.max(1);
        }
        current.number
    }

    pub(super) fn add(&self, bytes: u32) {
        let mut current = self.current.lock();
        current.bytes = current.bytes.saturating_add(bytes.into());
    }

    /// After everything written was flushed: closes the lot if it is full.
    pub(super) fn turn(&self, batch: &mut Batch, _now: u64) -> Result<(), StoreError> {
        let mut current = self.current.lock();
        if current.number != 0 && current.bytes >= LOT_BYTES {
            Store::put_row(batch, keys::lot(current.number), &current.bytes)?;
            *current = Current::default();
        }
        Ok(())
    }

    fn is_open(&self, lot: u64) -> bool {
        self.current.lock().number == lot
    }
}

/// Bytes written once more before they are flushed and the rows say so: half a memtable, so that a
/// flush is not paid for each lot.
const MOVE_BYTES: u64 = 8 << 20;

/// A lot of which everything live was written once more.
struct Copied {
    lot: u64,
    objects: Vec<(OwnerId, ObjectId)>,
    bytes: u64,
}

/// What moving did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// Whether a lot is worth moving: less than half of it is live. Of a lot whose size is not known
/// (the node ended while it was open) the size of a full one is assumed.
fn is_sparse(live: u64, written: Option<u64>) -> bool {
    live.saturating_mul(2) < written.unwrap_or(LOT_BYTES)
}

impl Reclaim<'_> {
    /// Writes what is live of sparse lots once more. Damaged objects stay where they are.
    ///
    /// # Errors
    /// Failures of the disk: what was moved so far is still where it was, too.
    pub(super) fn move_lots(
        &self,
        lots: impl IntoIterator<Item = u64>,
        now: u64,
    ) -> Result<Moved, StoreError> {
        let (mut moved, mut waiting, mut bytes) = (Moved::default(), Vec::new(), 0u64);
        for lot in lots {
            let Some(copied) = self.copy_lot(lot)? else {
                continue;
            };
            bytes = bytes.saturating_add(copied.bytes);
            waiting.push(copied);
            if bytes >= MOVE_BYTES {
                self.settle(std::mem::take(&mut waiting), now, &mut moved)?;
                bytes = 0;
            }
        }
        self.settle(waiting, now, &mut moved)?;
        Ok(moved)
    }

    /// Makes copies durable, then tells the rows where they are.
    fn settle(&self, lots: Vec<Copied>, now: u64, moved: &mut Moved) -> Result<(), StoreError> {
        if lots.iter().any(|lot| !lot.objects.is_empty()) {
            self.store.disk.objects.flush()?;
        }
        let mut empty = Batch::default();
        for Copied { lot, objects, .. } in lots {
            self.note_moved(lot, &objects, now, moved)?;
            let left = self
                .store
                .disk
                .tables
                .scan(Table::Lots, &lot.to_be_bytes(), None, 1)?;
            if left.is_empty() {
                empty.delete(Table::State, keys::lot(lot));
            }
        }
        if !empty.is_empty() {
            self.store.disk.tables.write(empty)?;
        }
        Ok(())
    }

    /// `None`: it is not worth it, or not to be done now.
    fn copy_lot(&self, lot: u64) -> Result<Option<Copied>, StoreError> {
        if self.store.lots.is_open(lot) {
            return Ok(None);
        }
        let prefix = lot.to_be_bytes();
        let rows = self
            .store
            .disk
            .tables
            .scan(Table::Lots, &prefix, None, LOT_ROWS)?;
        let mut live = Vec::with_capacity(rows.len());
        let mut bytes = 0u64;
        for (key, size) in rows {
            let (owner, id) = lot_key(&key)?;
            let size = <[u8; 4]>::try_from(size.as_slice());
            let size = u32::from_le_bytes(size.map_err(|_| StoreError::Stored("lot row"))?);
            bytes = bytes.saturating_add(size.into());
            live.push((owner, id));
        }
        let written = self.store.row(&keys::lot(lot), "size of a lot")?;
        if !is_sparse(bytes, written) {
            return Ok(None);
        }
        // Room for the copy: below the reserve space comes only from lots with nothing live.
        if bytes > 0
            && self
                .store
                .space
                .check(&*self.store.disk.objects, bytes)
                .is_err()
        {
            return Ok(None);
        }
        let mut objects = Vec::new();
        for (owner, id) in live {
            if self.rewrite(&owner, &id, lot)? {
                objects.push((owner, id));
            }
        }
        Ok(Some(Copied {
            lot,
            objects,
            bytes,
        }))
    }

    /// Whether the bytes were written once more.
    fn rewrite(&self, owner: &OwnerId, id: &ObjectId, lot: u64) -> Result<bool, StoreError> {
        let lock = self.store.owner_lock(owner);
        // Not freed between the look and the write. It may be put again meanwhile: the same bytes, and
        // the row then names another lot, which is looked at again under the lock of the rows.
        let _guard = lock.read();
        let meta = self.store.object_meta(owner, id)?;
        if meta.is_none_or(|meta| meta.lot != lot || meta.damaged) {
            return Ok(false);
        }
        let key = keys::object(owner, id);
        match self.store.disk.objects.get(&key)? {
            Some(bytes) if object_id(&bytes) == *id => {
                self.store.disk.objects.put(&key, &bytes)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn note_moved(
        &self,
        from: u64,
        moved: &[(OwnerId, ObjectId)],
        now: u64,
        sum: &mut Moved,
    ) -> Result<(), StoreError> {
        for group in moved.chunk_by(|a, b| a.0 == b.0) {
            let Some((owner, _)) = group.first() else {
                continue;
            };
            let lock = self.store.owner_lock(owner);
            let mut tx = lock.write();
            for (_, id) in group {
                let Some(meta) = tx.counts.meta(id)?.filter(|meta| meta.lot == from) else {
                    continue;
                };
                let lot = self.store.lots.number(now);
                self.store.lots.add(meta.size);
                tx.counts.set(id, Some(ObjectMeta { lot, ..meta }))?;
                sum.objects = sum.objects.saturating_add(1);
                sum.bytes = sum.bytes.saturating_add(meta.size.into());
            }
            tx.write()?;
        }
        Ok(())
    }
}

fn lot_key(key: &[u8]) -> Result<(OwnerId, ObjectId), StoreError> {
    let wrong = StoreError::Stored("key of a lot");
    let rest = key.get(8..).ok_or(wrong.clone())?;
    let (owner, id) = rest.split_first_chunk::<ID_LEN>().ok_or(wrong.clone())?;
    Ok((
        OwnerId(*owner),
        ObjectId::from_slice(id).map_err(|_| wrong)?,
    ))
}
