//! The end of a snapshot: after its grace, its rows go and what only it needed becomes loose.
//!
//! Each snapshot ends in one write. What has ended stays known by its id, and does not come back.

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::{OwnerId, RecordId, SnapshotId};
use packnback_proto::limits::SNAPS_MAX;
use packnback_proto::record::{Op, decode_order};

use super::counts::Changes;
use super::engine::{Batch, Table};
use super::error::StoreError;
use super::orders::{Oid, mark_key};
use super::stored::{DeviceState, EndedRow, LogHead, MarkRow, OrderRow, OrderStand, decode};
use super::{Store, keys};

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

impl Store {
    /// Carries out what is due: orders at the end of their grace, and marks of the policy. Returns how
    /// many snapshots ended.
    ///
    /// # Errors
    /// Failures of the disk. What was carried out stays so, the rest is tried again.
    pub(super) fn carry_out(&self, owner: &OwnerId, now: u64) -> Result<u64, StoreError> {
        let mut ended = 0u64;
        for (oid, row) in self.waiting_orders(owner)? {
            if matches!(row.stand, OrderStand::Waiting(due) if due <= now) {
                ended = ended.saturating_add(self.carry_out_order(owner, &oid, now)?);
            }
        }
        let prefix = keys::marks(owner);
        for (key, mark) in self.engine.scan(Table::State, &prefix, None, SNAPS_MAX)? {
            let (snap, cause) = mark_key(&prefix, &key)?;
            let mark: MarkRow = decode(&mark, "mark")?;
            if cause == keys::NO_ORDER
                && mark.due <= now
                && self.end_snap(owner, &snap, None, now, false)? == Ended::Now
            {
                ended = ended.saturating_add(1);
            }
        }
        Ok(ended)
    }

    fn carry_out_order(&self, owner: &OwnerId, oid: &Oid, now: u64) -> Result<u64, StoreError> {
        let key = keys::order(owner, oid);
        let row: Option<OrderRow> = self.row(&key, "order row")?;
        let Some(row) = row.filter(|row| matches!(row.stand, OrderStand::Waiting(_))) else {
            return Ok(0);
        };
        let envelope = self.record(owner, &row.id)?;
        let order = decode_order(&envelope.ok_or(StoreError::Stored("order"))?)?;
        let drop_all = matches!(order.value().op, Op::DropOwner);
        let snaps = match &order.value().op {
            Op::DeleteIds(ids) => self.still_wanted_gone(owner, (oid, &row), ids)?,
            Op::DeleteRange { .. } => {
                let marked = self.marks_by(owner, oid)?;
                marked.into_iter().map(|(_, snap)| snap).collect()
            }
            Op::DropOwner => self.all_snaps(owner)?,
            _ => Vec::new(),
        };
        let (mut ended, mut in_use) = (0u64, false);
        for snap in &snaps {
            match self.end_snap(owner, snap, Some(row.id), now, drop_all)? {
                Ended::Now => ended = ended.saturating_add(1),
                Ended::InUse => in_use = true,
                Ended::NotHere | Ended::Held => {}
            }
        }
        if in_use {
            return Ok(ended);
        }
        let lock = self.owner_lock(owner);
        let _guard = lock.write();
        // It may have been taken back while snapshots were ended: those that ended, ended.
        let known: Option<OrderRow> = self.row(&key, "order row")?;
        if let Some(known) = known.filter(|row| matches!(row.stand, OrderStand::Waiting(_))) {
            let stand = OrderStand::Done;
            let mut batch = Batch::default();
            Self::put_row(&mut batch, key, &OrderRow { stand, ..known })?;
            batch.delete(Table::State, keys::waiting(owner, oid));
            self.engine.write(batch)?;
        }
        Ok(ended)
    }

    /// Those of the named snapshots that the order still ends: marked by it, not here at all, or
    /// here only since it came. A hold took the mark off, and an order does not put it back.
    fn still_wanted_gone(
        &self,
        owner: &OwnerId,
        (oid, order): (&Oid, &OrderRow),
        ids: &[SnapshotId],
    ) -> Result<Vec<SnapshotId>, StoreError> {
        let mut wanted = Vec::with_capacity(ids.len());
        for id in ids {
            let marked = self
                .engine
                .get(Table::State, &keys::mark(owner, id, oid))?
                .is_some();
            let came_later = self
                .snap(owner, id)?
                .is_none_or(|row| row.received > order.received);
            if marked || came_later {
                wanted.push(*id);
            }
        }
        Ok(wanted)
    }

    pub(super) fn all_snaps(&self, owner: &OwnerId) -> Result<Vec<SnapshotId>, StoreError> {
        let prefix = keys::snaps(owner);
        let rows = self.engine.scan(Table::State, &prefix, None, SNAPS_MAX)?;
        rows.iter()
            .map(|(key, _)| {
                let id = key.get(prefix.len()..);
                let id = id.and_then(|id| RecordId::from_slice(id).ok());
                id.ok_or(StoreError::Stored("key of a snapshot"))
            })
            .collect()
    }

    /// Ends one snapshot. `order`: by which order, else by the policy. `even_held`: the owner drops
    /// everything, or the administrator does.
    ///
    /// # Errors
    /// Failures of the disk, counts that do not fit: then nothing changed.
    pub(super) fn end_snap(
        &self,
        owner: &OwnerId,
        snap: &SnapshotId,
        order: Option<RecordId>,
        now: u64,
        even_held: bool,
    ) -> Result<Ended, StoreError> {
        let lock = self.owner_lock(owner);
        let _guard = lock.write();
        let mut batch = Batch::default();
        let at = now;
        Self::put_row(
            &mut batch,
            keys::ended(owner, snap),
            &EndedRow { at, order },
        )?;
        let Some(row) = self.snap(owner, snap)? else {
            self.engine.write(batch)?;
            return Ok(Ended::NotHere);
        };
        if !even_held && self.is_held(owner, snap)? {
            return Ok(Ended::Held);
        }
        if self.pins.of(owner).iter().any(|pin| pin.holds_snap(snap)) {
            return Ok(Ended::InUse);
        }
        for (key, _) in self.marks_of(owner, snap)? {
            batch.delete(Table::State, key);
        }
        for (host, receipt) in self.receipts(owner, snap)? {
            batch.delete(Table::Records, keys::record(owner, &receipt));
            batch.delete(Table::State, keys::receipt(owner, snap, &host));
        }
        batch.delete(Table::Records, keys::record(owner, snap));
        batch.delete(Table::State, keys::head(owner, &row.device, row.log_seq));
        batch.delete(Table::State, keys::snap(owner, snap));
        let mut totals = self.totals(owner)?;
        totals.snaps = totals.snaps.saturating_sub(1);
        Self::put_row(&mut batch, keys::totals(owner), &totals)?;
        self.log_end(&mut batch, owner, snap, order, now)?;
        let mut changes = Changes::new(self, *owner);
        changes.release(&row.root, now)?;
        changes.finish(&mut batch);
        self.engine.write(batch)?;
        tracing::info!(snapshot = %snap.short(), by_order = order.is_some(), "snapshot ended");
        Ok(Ended::Now)
    }

    /// The next entry of the log: later receipts name it, so a host cannot deny that it ended the
    /// snapshot. Its id is the hash of the entry before, the snapshot, the cause and the time.
    fn log_end(
        &self,
        batch: &mut Batch,
        owner: &OwnerId,
        snap: &SnapshotId,
        order: Option<RecordId>,
        now: u64,
    ) -> Result<(), StoreError> {
        let last: Option<LogHead> = self.row(&keys::log(owner), "log head")?;
        let before = last.map_or([0; 32], |last| last.id.0);
        let cause = order.map_or([0; 32], |order| order.0);
        let entry = [
            b"packnback log end 1".as_slice(),
            &before,
            &snap.0,
            &cause,
            &now.to_le_bytes(),
        ]
        .concat();
        let head = LogHead {
            seq: last.map_or(1, |last| last.seq.saturating_add(1)),
            id: RecordId(object_id(&entry).0),
        };
        Self::put_row(batch, keys::log(owner), &head)
    }

    pub(super) fn device_state(
        &self,
        owner: &OwnerId,
        device: &packnback_proto::ids::NodeId,
    ) -> Result<DeviceState, StoreError> {
        let row = self.row(&keys::device_state(owner, device), "device state")?;
        Ok(row.unwrap_or_default())
    }
}
