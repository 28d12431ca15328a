//! Ending snapshots, some at once: one lock and one write for many, so that neither backups that run
//! meanwhile nor the disk are in the way for each of them.

use std::collections::BTreeSet;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::{NodeId, OwnerId, RecordId, SnapshotId};

use super::disk::Table;
use super::error::StoreError;
use super::stored::{EndedRow, LogHead, SnapRow, Totals};
use super::tx::OwnerTx;
use super::{Store, keys};

/// Snapshots ended in one write.
const AT_ONCE: usize = 64;
/// Hosts noted for one snapshot.
const HOSTS_MAX: usize = 4096;

/// What became of a snapshot that was to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is gone now.
    Now,
    /// It was not here; it will not be taken in.
    NotHere,
    /// An open session builds on it: later.
    InUse,
    /// The owner holds it.
    Held,
}

/// How many of these are gone now.
pub(super) fn gone(ended: &[Ended]) -> u64 {
    let gone = ended.iter().filter(|ended| **ended == Ended::Now).count();
    u64::try_from(gone).unwrap_or(u64::MAX)
}

/// Whose doing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// An order of the owner.
    Order(RecordId),
    /// The owner's policy in force for the device.
    Policy,
    /// The administrator of this host.
    Admin,
}

/// Why snapshots end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cause {
    /// Whose doing it is.
    pub(super) why: Why,
    /// Held ones as well: the owner drops everything, or the administrator does.
    pub(super) even_held: bool,
    /// Unix seconds.
    pub(super) now: u64,
}

impl Store {
    /// Ends snapshots. Returns what became of each, in order.
    ///
    /// # Errors
    /// Failures of the disk, counts that do not fit: then nothing of that write changed, and what was
    /// written before stays so.
    pub(super) fn end_snaps(
        &self,
        owner: &OwnerId,
        snaps: &[SnapshotId],
        cause: Cause,
    ) -> Result<Vec<Ended>, StoreError> {
        let mut all = Vec::with_capacity(snaps.len());
        for snaps in snaps.chunks(AT_ONCE) {
            let lock = self.owner_lock(owner);
            let mut ending = Ending::new(lock.write(), cause)?;
            for snap in snaps {
                all.push(ending.end(snap)?);
            }
            ending.write()?;
        }
        Ok(all)
    }
}

/// One write being put together.
struct Ending<'a> {
    tx: OwnerTx<'a>,
    cause: Cause,
    totals: Totals,
    log: Option<LogHead>,
    seen: BTreeSet<SnapshotId>,
    ended: Vec<(SnapshotId, SnapRow)>,
}

impl<'a> Ending<'a> {
    fn new(tx: OwnerTx<'a>, cause: Cause) -> Result<Self, StoreError> {
        let (store, owner) = (tx.store, tx.owner);
        Ok(Self {
            tx,
            cause,
            totals: store.totals(&owner)?,
            log: store.row(&keys::log(&owner), "log head")?,
            seen: BTreeSet::new(),
            ended: Vec::new(),
        })
    }

    fn end(&mut self, snap: &SnapshotId) -> Result<Ended, StoreError> {
        let (store, owner) = (self.tx.store, &{ self.tx.owner });
        // What this write ends is still in the rows.
        if !self.seen.insert(*snap) {
            return Ok(Ended::NotHere);
        }
        let Some(row) = store.snap(owner, snap)? else {
            self.note_ended(snap, None)?;
            self.forget_marks(snap)?;
            return Ok(Ended::NotHere);
        };
        if !self.cause.even_held && store.is_held(owner, snap)? {
            return Ok(Ended::Held);
        }
        if store.pins.of(owner).iter().any(|pin| pin.holds_snap(snap)) {
            return Ok(Ended::InUse);
        }
        self.note_ended(snap, Some(&row.device))?;
        self.forget_marks(snap)?;
        let batch = &mut self.tx.batch;
        let prefix = keys::ended_elsewhere(owner, snap);
        for (key, _) in store
            .disk
            .tables
            .scan(Table::State, &prefix, None, HOSTS_MAX)?
        {
            batch.delete(Table::State, key);
        }
        for (host, receipt) in store.receipts(owner, snap)? {
            batch.delete(Table::Records, keys::record(owner, &receipt));
            batch.delete(Table::State, keys::receipt(owner, snap, &host));
        }
        batch.delete(Table::Records, keys::record(owner, snap));
        batch.delete(Table::State, keys::head(owner, &row.device, row.log_seq));
        batch.delete(Table::State, keys::snap(owner, snap));
        self.totals.snaps = self.totals.snaps.saturating_sub(1);
        self.log_end(snap);
        // Of a snapshot whose root was lost to damage nothing is counted.
        if self.tx.counts.meta(&row.root)?.is_some() {
            self.tx.counts.release(&row.root, self.cause.now)?;
        }
        self.ended.push((*snap, row));
        Ok(Ended::Now)
    }

    fn forget_marks(&mut self, snap: &SnapshotId) -> Result<(), StoreError> {
        for (key, _) in self.tx.store.marks_of(&self.tx.owner, snap)? {
            self.tx.delete(Table::State, key);
        }
        Ok(())
    }

    /// It stays known by its id, with the order that ended it, and does not come back.
    fn note_ended(&mut self, snap: &SnapshotId, of: Option<&NodeId>) -> Result<(), StoreError> {
        let policy = |device| self.tx.store.policy(&self.tx.owner, device);
        let order = match (self.cause.why, of) {
            (Why::Order(order), _) => Some(order),
            (Why::Policy, Some(device)) => policy(device)?.map(|row| row.order),
            (Why::Policy, None) | (Why::Admin, _) => None,
        };
        let at = self.cause.now;
        let key = keys::ended(&self.tx.owner, snap);
        self.tx.put_row(key, &EndedRow { at, order })
    }

    /// The next entry of the log: later receipts name it, so a host cannot deny that it ended the
    /// snapshot. Its id is the hash of the entry before, the snapshot, the cause and the time.
    fn log_end(&mut self, snap: &SnapshotId) {
        let before = self.log.map_or([0; 32], |last| last.id.0);
        let cause = match self.cause.why {
            Why::Order(order) => order.0,
            Why::Policy | Why::Admin => [0; 32],
        };
        let entry = [
            b"packnback log end 1".as_slice(),
            &before,
            &snap.0,
            &cause,
            &self.cause.now.to_le_bytes(),
        ]
        .concat();
        self.log = Some(LogHead {
            seq: self.log.map_or(1, |last| last.seq.saturating_add(1)),
            id: RecordId(object_id(&entry).0),
        });
    }

    fn write(mut self) -> Result<(), StoreError> {
        let (store, owner) = (self.tx.store, self.tx.owner);
        if !self.ended.is_empty() {
            self.tx.put_row(keys::totals(&owner), &self.totals)?;
            if let Some(log) = &self.log {
                self.tx.put_row(keys::log(&owner), log)?;
            }
        }
        if let Err(error) = self.tx.write_charged() {
            store.lines.forget(&owner);
            return Err(error);
        }
        for (snap, row) in self.ended {
            store.lines.take(&owner, &row);
            let by_order = matches!(self.cause.why, Why::Order(_));
            tracing::info!(snapshot = %snap.short(), by_order, "snapshot ended");
        }
        Ok(())
    }
}
