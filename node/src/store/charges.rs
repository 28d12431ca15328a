//! What records cost. Certificates, snapshots, receipts, orders, and the rows that follow from them
//! (marks, holds, notes of what ended) are charged to their owner like objects, so that nobody fills a
//! disk with them.
//!
//! Every write of an owner's rows goes through here; the sum is exact because it is the difference of
//! what was there and what is there now, in the same batch. Rows of objects are not counted: they are
//! in proportion to the objects, which are.

use std::collections::HashMap;

use packnback_proto::ids::{ID_LEN, OwnerId};
use packnback_proto::machine::budget::BudgetRefusal;
use serde::{Deserialize, Serialize};

use super::disk::{Batch, Table};
use super::error::StoreError;
use super::tx::OwnerTx;
use super::{Access, Store, keys};

/// Bytes of records every owner has beside its quota.
pub const RECORDS_FREE: u64 = 4 << 20;
/// Bytes above a quota that is used up, for orders only: who is full must be able to delete.
pub const ORDERS_SPARE: u64 = 16 << 20;
/// Bytes of records of an owner above [`RECORDS_FREE`] that are copied from its other hosts at most.
pub(super) const RECORDS_COPIED: u64 = 64 << 20;
/// What a row takes beside its key and its value, about.
const ROW: u64 = 32;
/// Kinds of rows of the state that follow from records.
const CHARGED: &[u8] = b"shqcSrowCkEebpvgHR";

/// What an owner's records take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Charged {
    /// Bytes, with their rows.
    pub bytes: u64,
    /// Orders.
    pub orders: u64,
}

impl Charged {
    /// What counts against a quota.
    #[must_use]
    pub const fn above_free(&self) -> u64 {
        self.bytes.saturating_sub(RECORDS_FREE)
    }
}

/// What is written, as far as it matters how much may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    /// Certificates, snapshots, receipts.
    Records,
    /// Orders of the owner.
    Orders,
}

fn is_charged(owner: &OwnerId, table: Table, key: &[u8]) -> bool {
    match table {
        Table::Records => key.starts_with(&owner.0),
        Table::State => {
            let tag = key.first().is_some_and(|tag| CHARGED.contains(tag));
            tag && key.get(1..1 + ID_LEN) == Some(owner.0.as_slice())
        }
        _ => false,
    }
}

fn cost(key: &[u8], value: &[u8]) -> u64 {
    let len = key.len().saturating_add(value.len());
    u64::try_from(len).unwrap_or(u64::MAX).saturating_add(ROW)
}

impl OwnerTx<'_> {
    /// Writes what is gathered and keeps the sum of what the owner's records take.
    pub(super) fn write_charged(&mut self) -> Result<(), StoreError> {
        let mut batch = self.take();
        self.settle_charge(&mut batch)?;
        if batch.is_empty() {
            return Ok(());
        }
        Ok(self.store.disk.tables.write(batch)?)
    }

    /// The same, if there is room.
    ///
    /// # Errors
    /// [`StoreError::Budget`] if it does not fit: then nothing is written.
    pub(super) fn write_within(&mut self, access: &Access, what: Writes) -> Result<(), StoreError> {
        let mut batch = self.take();
        let (before, after) = self.settle_charge(&mut batch)?;
        if after.bytes > before.bytes {
            self.store.room_for(access, what, after)?;
        }
        Ok(self.store.disk.tables.write(batch)?)
    }

    /// After rows were lost.
    pub(super) fn charge_anew(&mut self) -> Result<(), StoreError> {
        let sum = self.store.records_taken(&self.owner)?;
        self.put_row(keys::charged(&self.owner), &sum)?;
        self.write()
    }

    /// Adds the new sum to a batch; what it was and what it will be.
    fn settle_charge(&self, batch: &mut Batch) -> Result<(Charged, Charged), StoreError> {
        let (store, owner) = (self.store, &self.owner);
        let mut last: HashMap<(Table, &[u8]), Option<&[u8]>> = HashMap::new();
        for change in &batch.changes {
            if is_charged(owner, change.table, &change.key) {
                let value = change.value.as_deref();
                last.insert((change.table, change.key.as_slice()), value);
            }
        }
        let before = store.charged(owner)?;
        let (mut more, mut less) = (0u64, 0u64);
        let mut orders = before.orders;
        for ((table, key), new) in last {
            let old = store.disk.tables.get(table, key)?;
            if let Some(old) = &old {
                less = less.saturating_add(cost(key, old));
            }
            if let Some(new) = new {
                more = more.saturating_add(cost(key, new));
            }
            if table == Table::State && key.first() == Some(&b'o') {
                let (had, has) = (u64::from(old.is_some()), u64::from(new.is_some()));
                orders = orders.saturating_add(has).saturating_sub(had);
            }
        }
        let bytes = before.bytes.saturating_add(more).saturating_sub(less);
        let after = Charged { bytes, orders };
        if after != before {
            Store::put_row(batch, keys::charged(owner), &after)?;
        }
        Ok((before, after))
    }
}

impl Store {
    /// What an owner's records take.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn charged(&self, owner: &OwnerId) -> Result<Charged, StoreError> {
        let row = self.row(&keys::charged(owner), "charge of records")?;
        Ok(row.unwrap_or_default())
    }

    /// What may be copied of an owner's records from its other hosts, whatever they have.
    pub(super) fn copies_access(&self, owner: &OwnerId) -> Result<Access, StoreError> {
        let stored = self.totals(owner)?.bytes;
        let stored = stored.saturating_add(self.unclaimed_bytes(owner)?);
        Ok(Access {
            owner_max: stored.saturating_add(RECORDS_COPIED),
            ..self.own_access(owner)
        })
    }

    fn room_for(&self, access: &Access, what: Writes, after: Charged) -> Result<(), StoreError> {
        let spare = match what {
            Writes::Records => 0,
            Writes::Orders => ORDERS_SPARE,
        };
        let owner = &access.owner;
        let records = after.above_free();
        let (of_device, of_owner) = {
            let sums = self.unclaimed(owner)?;
            let sums = sums.lock();
            (sums.of(&access.device), sums.total())
        };
        let device = self.usage(owner, &access.device)?.bytes;
        let all = self.totals(owner)?.bytes;
        for (stored, waiting, limit) in [
            (device, of_device, access.limits.bytes),
            (all, of_owner, access.owner_max),
        ] {
            let used = stored.saturating_add(waiting).saturating_add(records);
            // Records that cost nothing always fit.
            if records > 0 && used > limit.saturating_add(spare) {
                return Err(BudgetRefusal::Quota { used, limit }.into());
            }
        }
        Ok(())
    }

    /// What an owner's records take, counted from nothing.
    pub(super) fn records_taken(&self, owner: &OwnerId) -> Result<Charged, StoreError> {
        let mut sum = Charged::default();
        let mut add = |key: &[u8], value: &[u8]| {
            sum.bytes = sum.bytes.saturating_add(cost(key, value));
        };
        self.each_row(Table::Records, &owner.0, |key, value| {
            add(&key, &value);
            Ok(())
        })?;
        let mut orders = 0u64;
        for tag in CHARGED {
            let prefix = [[*tag].as_slice(), &owner.0].concat();
            self.each_row(Table::State, &prefix, |key, value| {
                add(&key, &value);
                orders = orders.saturating_add(u64::from(*tag == b'o'));
                Ok(())
            })?;
        }
        sum.orders = orders;
        Ok(sum)
    }
}
