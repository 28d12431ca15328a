//! Freeing objects nobody needs. Costs what is freed: loose objects are in a list, and freeing a
//! node releases what it names (docs/collection.md).
//!
//! Any doubt ends it: an unreadable row or a count that does not fit is an error, and nothing of
//! that batch is freed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId};

use super::disk::{Row, Table};
use super::error::StoreError;
use super::keys;
use super::pins::Pin;
use super::reclaim::Reclaim;
use super::stored::{ObjectMeta, Totals};
use super::tx::OwnerTx;
use super::unclaimed::Note;

/// Loose objects looked at under one lock.
const AT_ONCE: usize = 2048;
/// References followed under one lock, about: some 50 ms of counting in memory.
const EDGES: usize = 1 << 18;
/// Rows changed under one lock, about: 4 MiB of memory, and of one write. Snapshots of one tree name
/// mostly the same objects, so that many references change few rows: a row is read and written once
/// for all of them.
const ROWS: usize = 1 << 14;

/// What was freed.
#[derive(Debug, Default)]
pub(super) struct Freed {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// The lots it lay in.
    pub(super) lots: BTreeSet<u64>,
}

/// One batch being put together.
struct Freeing<'a> {
    tx: OwnerTx<'a>,
    now: u64,
    pins: Vec<Arc<Pin>>,
    blind: Vec<NodeId>,
    totals: Totals,
    credit: BTreeMap<NodeId, u64>,
    /// Bytes that are not the owner's any more, and still on the disk.
    noted: Vec<Note>,
    edges: usize,
}

fn loose_key(owner: &OwnerId, key: &[u8]) -> Result<(u64, ObjectId), StoreError> {
    let wrong = StoreError::Stored("list of loose objects");
    let rest = key.get(keys::loose_of(owner).len()..);
    let (due, id) = rest
        .and_then(|rest| rest.split_first_chunk::<8>())
        .ok_or(wrong.clone())?;
    Ok((
        u64::from_be_bytes(*due),
        ObjectId::from_slice(id).map_err(|_| wrong)?,
    ))
}

impl Reclaim<'_> {
    /// Frees everything of an owner that nobody needs, was not asked for lately, and no open session
    /// relies on.
    ///
    /// # Errors
    /// Failures of the disk and rows that do not fit together. What earlier batches freed is freed.
    pub(super) fn free_loose(
        &self,
        owner: &OwnerId,
        now: u64,
        freed_all: &mut Freed,
    ) -> Result<(), StoreError> {
        loop {
            let before = freed_all.objects;
            let mut after = None;
            while let Some(last) = self.free_batch(owner, now, after.as_deref(), freed_all)? {
                after = Some(last);
            }
            // What was released on the way may lie before where the pass was.
            if freed_all.objects == before {
                return Ok(());
            }
        }
    }

    /// One batch behind `after`; the last row looked at, or `None` at the end.
    fn free_batch(
        &self,
        owner: &OwnerId,
        now: u64,
        after: Option<&[u8]>,
        freed_all: &mut Freed,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let lock = self.store.owner_lock(owner);
        let tx = lock.write();
        let rows =
            self.store
                .disk
                .tables
                .scan(Table::State, &keys::loose_of(owner), after, AT_ONCE)?;
        let mut freeing = Freeing::new(tx, now)?;
        let (mut last, mut freed) = (None, Vec::new());
        for (key, _) in rows {
            let (due, id) = loose_key(owner, &key)?;
            if due > now {
                break;
            }
            if let Some(meta) = freeing.free(&id, due)? {
                freed.push(meta);
            }
            last = Some(key);
            if freeing.edges >= EDGES || freeing.tx.counts.len() >= ROWS {
                break;
            }
        }
        if !freed.is_empty() {
            freeing.write()?;
        }
        for meta in freed {
            freed_all.objects = freed_all.objects.saturating_add(1);
            freed_all.bytes = freed_all.bytes.saturating_add(meta.size.into());
            freed_all.lots.insert(meta.lot);
        }
        Ok(last)
    }

    fn blind_devices(&self, owner: &OwnerId) -> Result<Vec<NodeId>, StoreError> {
        let prefix = keys::blinds(owner);
        let rows = self.store.all_rows(&prefix)?;
        let device = |(key, _): Row| {
            let device = key.get(prefix.len()..);
            let device = device.and_then(|device| NodeId::from_slice(device).ok());
            device.ok_or(StoreError::Stored("device row"))
        };
        rows.into_iter().map(device).collect()
    }
}

impl<'a> Freeing<'a> {
    fn new(tx: OwnerTx<'a>, now: u64) -> Result<Self, StoreError> {
        let (store, owner) = (tx.store, tx.owner);
        Ok(Self {
            tx,
            now,
            pins: store.pins.of(&owner),
            blind: Reclaim { store }.blind_devices(&owner)?,
            totals: store.totals(&owner)?,
            credit: BTreeMap::new(),
            noted: Vec::new(),
            edges: 0,
        })
    }

    fn is_in_use(&self, id: &ObjectId) -> bool {
        self.tx.store.in_flight.has(&self.tx.owner, id) || self.pins.iter().any(|pin| pin.holds(id))
    }

    /// Takes one object out of the rows, unless a session relies on it.
    fn free(&mut self, id: &ObjectId, due: u64) -> Result<Option<ObjectMeta>, StoreError> {
        let doubt = StoreError::Stored("list of loose objects");
        let (store, owner) = (self.tx.store, self.tx.owner);
        let Some(meta) = self.tx.counts.meta(id)? else {
            return Err(doubt);
        };
        if meta.refs != 0 || meta.due != due {
            return Err(doubt);
        }
        if self.is_in_use(id) {
            return Ok(None);
        }
        if meta.height > 0 {
            if meta.complete {
                for child in store.refs(&owner, id)? {
                    self.tx.counts.release(&child, self.now)?;
                    self.edges = self.edges.saturating_add(1);
                }
            }
            self.tx.delete(Table::Nodes, keys::object(&owner, id));
        }
        self.tx.counts.set(id, None)?;
        if store.note_of(&owner, id)?.is_none() {
            let (device, size, lot) = (meta.device, meta.size, meta.lot);
            let note = Note { device, size, lot };
            let key = keys::to_drop(&owner, id);
            self.tx.put(Table::State, key, note.encode());
            self.noted.push(note);
        }
        self.give_back(meta.device, meta.size);
        for device in self.blind.clone() {
            let key = keys::mine(&owner, &device, id);
            if store.disk.tables.get(Table::State, &key)?.is_some() {
                self.tx.delete(Table::State, key);
                if device != meta.device {
                    self.give_back(device, meta.size);
                }
            }
        }
        self.totals.objects = self.totals.objects.saturating_sub(1);
        self.totals.bytes = self.totals.bytes.saturating_sub(meta.size.into());
        Ok(Some(meta))
    }

    /// The quota of the device that was charged.
    fn give_back(&mut self, device: NodeId, size: u32) {
        let credit = self.credit.entry(device).or_default();
        *credit = credit.saturating_add(size.into());
    }

    fn write(mut self) -> Result<(), StoreError> {
        let (store, owner) = (self.tx.store, self.tx.owner);
        for (device, bytes) in &self.credit {
            let mut usage = store.usage(&owner, device)?;
            usage.bytes = usage.bytes.saturating_sub(*bytes);
            self.tx.put_row(keys::usage(&owner, device), &usage)?;
        }
        self.tx.put_row(keys::totals(&owner), &self.totals)?;
        let sums = store.unclaimed(&owner)?;
        self.tx.write()?;
        let mut sums = sums.lock();
        for note in self.noted {
            sums.add(note.device, note.size.into());
        }
        Ok(())
    }
}
