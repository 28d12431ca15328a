//! The end of a snapshot: after its grace, its rows go and what only it needed becomes loose.
//!
//! How they end: `ending.rs`.

use packnback_proto::ids::{OwnerId, RecordId, SnapshotId};
use packnback_proto::record::{Op, decode_order};

use super::disk::Table;
use super::ending::{Cause, Ended, Why, gone};
use super::error::StoreError;
use super::orders::{Oid, mark_key};
use super::stored::{DeviceState, MarkRow, OrderRow, OrderStand, decode};
use super::{Store, keys};

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
        let (prefix, mut due) = (keys::marks(owner), Vec::new());
        for (key, mark) in self.all_rows(&prefix)? {
            let (snap, cause) = mark_key(&prefix, &key)?;
            let mark: MarkRow = decode(&mark, "mark")?;
            if cause == keys::NO_ORDER && mark.due <= now {
                due.push(snap);
            }
        }
        let cause = Cause {
            why: Why::Policy,
            even_held: false,
            now,
        };
        let by_policy = self.end_snaps(owner, &due, cause)?;
        Ok(ended.saturating_add(gone(&by_policy)))
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
            Op::DeleteIds(ids) => self.still_wanted_gone(owner, oid, ids)?,
            Op::DeleteRange { .. } => {
                let marked = self.marks_by(owner, oid)?;
                marked.into_iter().map(|(_, snap)| snap).collect()
            }
            Op::DropOwner => self.all_snaps(owner)?,
            _ => Vec::new(),
        };
        let cause = Cause {
            why: Why::Order(row.id),
            even_held: drop_all,
            now,
        };
        let became = self.end_snaps(owner, &snaps, cause)?;
        let ended = gone(&became);
        if became.contains(&Ended::InUse) {
            return Ok(ended);
        }
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        // It may have been taken back while snapshots were ended: those that ended, ended.
        let known: Option<OrderRow> = self.row(&key, "order row")?;
        if let Some(known) = known.filter(|row| matches!(row.stand, OrderStand::Waiting(_))) {
            let stand = OrderStand::Done;
            tx.put_row(key, &OrderRow { stand, ..known })?;
            tx.delete(Table::State, keys::waiting(owner, oid));
            tx.write_charged()?;
        }
        Ok(ended)
    }

    /// Those of the named snapshots that the order still ends: marked by it, here or not, and whenever
    /// they came. A hold took the mark off, and an order does not put it back.
    fn still_wanted_gone(
        &self,
        owner: &OwnerId,
        oid: &Oid,
        ids: &[SnapshotId],
    ) -> Result<Vec<SnapshotId>, StoreError> {
        let mut wanted = Vec::with_capacity(ids.len());
        for id in ids {
            let marked = self
                .disk
                .tables
                .get(Table::State, &keys::mark(owner, id, oid))?
                .is_some();
            if marked {
                wanted.push(*id);
            }
        }
        Ok(wanted)
    }

    pub(super) fn all_snaps(&self, owner: &OwnerId) -> Result<Vec<SnapshotId>, StoreError> {
        let prefix = keys::snaps(owner);
        let rows = self.all_rows(&prefix)?;
        rows.iter()
            .map(|(key, _)| {
                let id = key.get(prefix.len()..);
                let id = id.and_then(|id| RecordId::from_slice(id).ok());
                id.ok_or(StoreError::Stored("key of a snapshot"))
            })
            .collect()
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
