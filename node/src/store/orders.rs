//! Orders of the owner: kept for ever, carried out once, and only after their grace.
//!
//! What waits leaves everything as it is but for marks on snapshots: a mark is a row of its own for
//! each cause, so that taking one order back leaves the others in force.

use packnback_proto::ids::{NodeId, OwnerId, RecordId, SnapshotId};
use packnback_proto::limits::ORDERS_MAX;
use packnback_proto::machine::orders::{self, OrderRefusal};
use packnback_proto::record::{Op, Order, PolicyArg, Signed, decode_order};

use super::charges::Writes;
use super::disk::{Row, Table};
use super::error::StoreError;
use super::stored::{
    CancelRow, HoldRow, HostsRow, MarkRow, OrderRow, OrderStand, PolicyRow, RangeRow, decode,
};
use super::tx::OwnerTx;
use super::{Access, Store, keys};

/// Order id.
pub(super) type Oid = [u8; 16];

/// What an order did when it came.
pub(super) struct Effect {
    stand: OrderStand,
    snaps: u64,
    note: String,
}

impl Effect {
    fn done(note: impl Into<String>) -> Self {
        Self {
            stand: OrderStand::Done,
            snaps: 0,
            note: note.into(),
        }
    }
}

impl From<OrderRefusal> for Effect {
    fn from(refusal: OrderRefusal) -> Self {
        Self {
            stand: OrderStand::Refused,
            snaps: 0,
            note: refusal.to_string(),
        }
    }
}

pub(super) fn mark_key(prefix: &[u8], key: &[u8]) -> Result<(SnapshotId, Oid), StoreError> {
    let wrong = StoreError::Stored("key of a mark");
    let rest = key.get(prefix.len()..).ok_or(wrong.clone())?;
    let (snap, cause) = rest.split_first_chunk::<32>().ok_or(wrong.clone())?;
    Ok((RecordId(*snap), cause.try_into().map_err(|_| wrong)?))
}

impl OwnerTx<'_> {
    pub(super) fn take_effect(
        &mut self,
        order: &Signed<Order>,
        now: u64,
    ) -> Result<Effect, StoreError> {
        let (value, store) = (order.value(), self.store);
        let owner = &value.owner;
        let back = keys::taken_back(owner, &value.oid);
        // Only a deletion: a revocation that comes behind its cancellation is in force all the same.
        let came_before = store.disk.tables.get(Table::State, &back)?.is_some();
        if orders::can_be_taken_back(&value.op) && came_before {
            return Ok(Effect {
                stand: OrderStand::Cancelled,
                ..Effect::done("it was taken back before it came")
            });
        }
        Ok(match &value.op {
            Op::DeleteIds(ids) => self.mark_ids(order, ids, now)?,
            Op::DeleteRange { .. } => self.mark_range(order, now)?,
            Op::Policy(policy) => self.take_policy(order.id(), policy)?,
            Op::Revoke { device, .. } => {
                self.put(Table::State, keys::revoked(owner, device), order.id().0);
                self.freeze_revoked(device, now)?;
                Effect::done("the device is refused from now on")
            }
            Op::Hold(ids) => self.hold(value, ids, true)?,
            Op::Unhold(ids) => self.hold(value, ids, false)?,
            Op::Cancel(oids) => self.take_back(order, oids, now)?,
            Op::Hosts { hseq, hosts } => {
                let in_force = store.hosts(owner)?.map(|row| row.hseq);
                match orders::hosts_take(*hseq, in_force) {
                    Err(refusal) => refusal.into(),
                    Ok(()) => {
                        let (hseq, hosts) = (*hseq, hosts.clone());
                        self.put_row(keys::hosts(owner), &HostsRow { hseq, hosts })?;
                        Effect::done("in force")
                    }
                }
            }
            Op::DropOwner => {
                let due = store.due_of(value, None, now)?;
                Effect {
                    stand: OrderStand::Waiting(due),
                    snaps: store.totals(owner)?.snaps,
                    note: "everything of this owner".into(),
                }
            }
        })
    }

    fn mark_ids(
        &mut self,
        order: &Signed<Order>,
        ids: &[SnapshotId],
        now: u64,
    ) -> Result<Effect, StoreError> {
        let (value, store) = (order.value(), self.store);
        let (mut due, mut marked, mut held) = (store.due_of(value, None, now)?, Vec::new(), 0u64);
        let mut here = 0u64;
        for id in ids {
            if store.is_held(&value.owner, id)? {
                held = held.saturating_add(1);
                continue;
            }
            // One that is not here is marked as well: if it comes later, from whomever and in the same
            // second, it goes with the others, and the next host does not copy it.
            if let Some(row) = store.snap(&value.owner, id)? {
                due = due.max(store.due_of(value, Some(&row.device), now)?);
                here = here.saturating_add(1);
            }
            marked.push(*id);
        }
        let note = if held > 0 {
            format!("{held} of its snapshots are held and stay")
        } else {
            String::new()
        };
        self.mark(order, &marked, now, due)?;
        Ok(Effect {
            stand: OrderStand::Waiting(due),
            snaps: here,
            note,
        })
    }

    fn mark_range(&mut self, order: &Signed<Order>, now: u64) -> Result<Effect, StoreError> {
        let (value, store) = (order.value(), self.store);
        let Op::DeleteRange {
            device,
            recv_from,
            recv_to,
            max_count,
        } = &value.op
        else {
            return Ok(Effect::done(""));
        };
        let mut matching = Vec::new();
        for (id, row) in store.snaps_of(&value.owner, device)? {
            let inside = (*recv_from..*recv_to).contains(&row.kept_from);
            if inside && !store.is_held(&value.owner, &id)? {
                matching.push(id);
            }
        }
        let count = u64::try_from(matching.len()).unwrap_or(u64::MAX);
        if let Err(refusal) = orders::range_takes(count, *max_count) {
            return Ok(refusal.into());
        }
        let due = store.due_of(value, Some(device), now)?;
        self.mark(order, &matching, now, due)?;
        let range = RangeRow {
            from: *recv_from,
            to: *recv_to,
        };
        self.put_row(keys::range(&value.owner, device, &value.oid), &range)?;
        Ok(Effect {
            stand: OrderStand::Waiting(due),
            snaps: count,
            note: String::new(),
        })
    }

    fn mark(
        &mut self,
        order: &Signed<Order>,
        snaps: &[SnapshotId],
        since: u64,
        due: u64,
    ) -> Result<(), StoreError> {
        let value = order.value();
        let order = Some(order.id());
        let row = MarkRow { since, due, order };
        for snap in snaps {
            self.put_row(keys::mark(&value.owner, snap, &value.oid), &row)?;
        }
        Ok(())
    }

    fn take_policy(&mut self, order: RecordId, policy: &PolicyArg) -> Result<Effect, StoreError> {
        let (store, owner) = (self.store, self.owner);
        let key = keys::policy(&owner, policy.device.as_ref());
        let in_force: Option<PolicyRow> = store.row(&key, "policy row")?;
        if let Err(refusal) = orders::policy_takes(policy, in_force.map(|row| row.pseq)) {
            return Ok(refusal.into());
        }
        let row = PolicyRow {
            pseq: policy.pseq,
            min_age_d: policy.min_age_d,
            keep: policy.keep,
            keep_last: policy.keep_last,
            grace_d: policy.grace_d,
            order,
        };
        self.put_row(key, &row)?;
        self.thaw(policy.device.as_ref())?;
        Ok(Effect::done("in force"))
    }

    fn hold(
        &mut self,
        order: &Order,
        ids: &[SnapshotId],
        held: bool,
    ) -> Result<Effect, StoreError> {
        let (store, owner) = (self.store, &order.owner);
        let mut snaps = 0u64;
        for id in ids {
            let key = keys::hold(owner, id);
            let known: Option<HoldRow> = store.row(&key, "hold row")?;
            if !orders::hold_takes(order.issued, known.map(|row| row.issued)) {
                continue;
            }
            let issued = order.issued;
            self.put_row(key, &HoldRow { held, issued })?;
            snaps = snaps.saturating_add(1);
            if held {
                for (key, _) in store.marks_of(owner, id)? {
                    self.delete(Table::State, key);
                }
            }
        }
        Ok(Effect {
            snaps,
            ..Effect::done("in force")
        })
    }

    /// Takes back orders that wait, and those that may still come.
    fn take_back(
        &mut self,
        order: &Signed<Order>,
        oids: &[Oid],
        now: u64,
    ) -> Result<Effect, StoreError> {
        let (store, owner) = (self.store, &order.value().owner);
        let (mut taken, mut late) = (0u64, 0u64);
        // A device that knows a deletion need not know that it was taken back: it is told as long as the
        // deletion may wait there.
        let mut until = store.due_of(order.value(), None, now)?;
        for oid in oids {
            let key = keys::order(owner, oid);
            let row: Option<OrderRow> = store.row(&key, "order row")?;
            match row {
                Some(row) if let OrderStand::Waiting(due) = row.stand => {
                    until = until.max(due);
                    let stand = OrderStand::Cancelled;
                    self.put_row(key, &OrderRow { stand, ..row })?;
                    self.delete(Table::State, keys::waiting(owner, oid));
                    for (key, _) in store.marks_by(owner, oid)? {
                        self.delete(Table::State, key);
                    }
                    let ranges = keys::all_ranges(owner);
                    for (key, _) in
                        store
                            .disk
                            .tables
                            .scan(Table::State, &ranges, None, ORDERS_MAX)?
                    {
                        if key.ends_with(oid) {
                            self.delete(Table::State, key);
                        }
                    }
                    taken = taken.saturating_add(1);
                }
                Some(_) => late = late.saturating_add(1),
                None => self.put(Table::State, keys::taken_back(owner, oid), order.id().0),
            }
        }
        self.tell_of(
            order,
            CancelRow {
                id: order.id(),
                until,
            },
            now,
        )?;
        let note = match late {
            0 => format!("{taken} orders taken back"),
            _ => format!("{taken} orders taken back, {late} had taken effect before"),
        };
        Ok(Effect::done(note))
    }
}

impl Store {
    /// Keeps an owner-signed order. Revocations, policies, holds, lists of hosts and cancellations take
    /// effect at once, deletions are marked and wait. The same order id again has no effect.
    /// Returns whether it was new.
    ///
    /// # Errors
    /// [`StoreError::Record`], [`StoreError::Unknown`] if it is another owner's,
    /// [`StoreError::TooMany`], failures of the disk.
    pub fn put_order(
        &self,
        owner: &OwnerId,
        envelope: &[u8],
        now: u64,
    ) -> Result<bool, StoreError> {
        self.take_order(&self.own_access(owner), envelope, now)
    }

    /// The same on behalf of a device, within what it may use here.
    ///
    /// # Errors
    /// As [`Store::put_order`]; [`StoreError::Budget`].
    pub fn take_order(
        &self,
        access: &Access,
        envelope: &[u8],
        now: u64,
    ) -> Result<bool, StoreError> {
        let owner = &access.owner;
        let order = decode_order(envelope)?;
        let value = order.value();
        if value.owner != *owner {
            return Err(StoreError::Unknown("an order of another owner"));
        }
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        let key = keys::order(owner, &value.oid);
        if self.disk.tables.get(Table::State, &key)?.is_some() {
            return Ok(false);
        }
        let kept = usize::try_from(self.charged(owner)?.orders).unwrap_or(usize::MAX);
        if kept >= ORDERS_MAX {
            return Err(StoreError::TooMany("orders"));
        }
        let effect = if value.is_for(&self.node_id()) {
            tx.take_effect(&order, now)?
        } else {
            Effect {
                stand: OrderStand::NotForUs,
                snaps: 0,
                note: String::new(),
            }
        };
        if let OrderStand::Waiting(_) = effect.stand {
            tx.put(Table::State, keys::waiting(owner, &value.oid), []);
        }
        let row = OrderRow {
            id: order.id(),
            received: now,
            stand: effect.stand,
            snaps: effect.snaps,
            note: effect.note,
        };
        tx.put_row(key, &row)?;
        tx.put(Table::Records, keys::record(owner, &order.id()), envelope);
        tx.write_within(access, Writes::Orders)?;
        Ok(true)
    }

    fn count(&self, prefix: &[u8], max: usize) -> Result<usize, StoreError> {
        Ok(self
            .disk
            .tables
            .scan(Table::State, prefix, None, max)?
            .len())
    }

    fn due_of(&self, order: &Order, device: Option<&NodeId>, now: u64) -> Result<u64, StoreError> {
        let policy = match device {
            Some(device) => self.policy(&order.owner, device)?,
            None => self.row(&keys::policy(&order.owner, None), "policy row")?,
        };
        let days = orders::grace_d(self.grace_d(), policy.map(|policy| policy.grace_d));
        Ok(orders::due(now, &order.op, days, order.not_before))
    }

    /// The policy in force for a device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn policy(
        &self,
        owner: &OwnerId,
        device: &NodeId,
    ) -> Result<Option<PolicyRow>, StoreError> {
        let own = self.row(&keys::policy(owner, Some(device)), "policy row")?;
        match own {
            Some(own) => Ok(Some(own)),
            None => self.row(&keys::policy(owner, None), "policy row"),
        }
    }

    /// Whether a snapshot is held.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_held(&self, owner: &OwnerId, snap: &SnapshotId) -> Result<bool, StoreError> {
        let row: Option<HoldRow> = self.row(&keys::hold(owner, snap), "hold row")?;
        Ok(row.is_some_and(|row| row.held))
    }

    pub(super) fn marks_of(
        &self,
        owner: &OwnerId,
        snap: &SnapshotId,
    ) -> Result<Vec<Row>, StoreError> {
        let prefix = keys::marks_of(owner, snap);
        self.all_rows(&prefix)
    }

    /// Marks made by one order, with their keys.
    pub(super) fn marks_by(
        &self,
        owner: &OwnerId,
        oid: &Oid,
    ) -> Result<Vec<(Vec<u8>, SnapshotId)>, StoreError> {
        let prefix = keys::marks(owner);
        let mut found = Vec::new();
        for (key, _) in self.all_rows(&prefix)? {
            let (snap, cause) = mark_key(&prefix, &key)?;
            if cause == *oid {
                found.push((key, snap));
            }
        }
        Ok(found)
    }

    /// Orders in their grace, with their ids.
    pub(super) fn waiting_orders(
        &self,
        owner: &OwnerId,
    ) -> Result<Vec<(Oid, OrderRow)>, StoreError> {
        let prefix = keys::all_waiting(owner);
        let mut waiting = Vec::new();
        for (key, _) in self.all_rows(&prefix)? {
            let oid = key
                .get(prefix.len()..)
                .and_then(|oid| Oid::try_from(oid).ok());
            let oid = oid.ok_or(StoreError::Stored("order row"))?;
            let row = self.row(&keys::order(owner, &oid), "order row")?;
            waiting.push((oid, row.ok_or(StoreError::Stored("order row"))?));
        }
        Ok(waiting)
    }

    /// Number of orders in their grace.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending_orders(&self, owner: &OwnerId) -> Result<u32, StoreError> {
        let waiting = self.count(&keys::all_waiting(owner), ORDERS_MAX)?;
        Ok(u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    /// Envelopes of every order kept for an owner, in the order of their ids. Costs what there are of
    /// orders, whatever else is on record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn order_envelopes(&self, owner: &OwnerId) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = self.order_rows(owner)?;
        let mut ids: Vec<RecordId> = rows.into_iter().map(|row| row.id).collect();
        ids.sort_unstable();
        let envelope = |id: RecordId| {
            let envelope = self.record(owner, &id)?;
            envelope.ok_or(StoreError::Stored("order"))
        };
        ids.into_iter().map(envelope).collect()
    }

    /// Every order kept for an owner.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn order_rows(&self, owner: &OwnerId) -> Result<Vec<OrderRow>, StoreError> {
        let rows = self.all_rows(&keys::orders(owner))?;
        rows.into_iter()
            .map(|(_, row)| decode(&row, "order row"))
            .collect()
    }
}
