//! What became of snapshots: here, for the devices that ask; elsewhere, as hosts say when asked.
//!
//! What ended is remembered for good, with the order that ended it. A device that was off while an
//! order waited learns of it from any host that carried it out, however late.

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::limits::ORDERS_MAX;
use packnback_proto::wire::store::Stand;

use super::disk::Table;
use super::error::StoreError;
use super::stored::{ElsewhereRow, EndedRow, RangeRow, decode};
use super::{Store, keys};

/// Hosts noted for one snapshot.
const HOSTS_MAX: usize = 4096;

impl Store {
    /// What became of snapshots of a device here, and the envelopes of the orders that ended some of
    /// them, each once.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn stands(
        &self,
        owner: &OwnerId,
        device: &NodeId,
        snaps: &[SnapshotId],
    ) -> Result<(Vec<Stand>, Vec<Vec<u8>>), StoreError> {
        let (mut stands, mut orders) = (Vec::with_capacity(snaps.len()), Vec::new());
        let mut told = std::collections::BTreeSet::new();
        for snap in snaps {
            let here = self.snap(owner, snap)?;
            if here.is_some_and(|row| row.device == *device) {
                stands.push(Stand::Here);
                continue;
            }
            let Some(ended) = self.ended(owner, snap)? else {
                stands.push(Stand::Unknown);
                continue;
            };
            let order = ended.order;
            if let Some(order) = order.filter(|order| told.insert(*order)) {
                orders.extend(self.record(owner, &order)?);
            }
            stands.push(Stand::Ended { order });
        }
        Ok((stands, orders))
    }

    /// A host said that it no longer has a snapshot: its receipt does not count any more. `ended`: it
    /// ended it there, and is not brought again; else it lost it, and gets it again.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn withdraw(
        &self,
        owner: &OwnerId,
        snap: &SnapshotId,
        host: &NodeId,
        ended: Option<ElsewhereRow>,
    ) -> Result<(), StoreError> {
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        for (of, receipt) in self.receipts(owner, snap)? {
            if of == *host {
                tx.delete(Table::Records, keys::record(owner, &receipt));
                tx.delete(Table::State, keys::receipt(owner, snap, host));
            }
        }
        // One that has ended here needs no note: it is brought nowhere.
        if let Some(row) = ended
            && self.snap(owner, snap)?.is_some()
        {
            tx.put_row(keys::ended_at(owner, snap, host), &row)?;
        }
        tx.write_charged()
    }

    /// The hosts at which a snapshot ended, as they said.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn ended_elsewhere(
        &self,
        owner: &OwnerId,
        snap: &SnapshotId,
    ) -> Result<Vec<(NodeId, ElsewhereRow)>, StoreError> {
        let prefix = keys::ended_elsewhere(owner, snap);
        let rows = self
            .disk
            .tables
            .scan(Table::State, &prefix, None, HOSTS_MAX)?;
        rows.iter()
            .map(|(key, row)| {
                let host = key.get(prefix.len()..);
                let host = host.and_then(|host| NodeId::from_slice(host).ok());
                let host = host.ok_or(StoreError::Stored("key of an ended snapshot"))?;
                Ok((host, decode(row, "ended row")?))
            })
            .collect()
    }

    /// Whether a snapshot is marked to go here, by an order or by the policy.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn is_going(&self, owner: &OwnerId, snap: &SnapshotId) -> Result<bool, StoreError> {
        Ok(!self.marks_of(owner, snap)?.is_empty())
    }

    /// Whether a snapshot is to be copied from another host: it is not here, was not deleted here, and
    /// no order of the owner makes it go. An order that is taken back in its grace leaves it to the next
    /// copy.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn wants_import(&self, owner: &OwnerId, snap: &SnapshotId) -> Result<bool, StoreError> {
        Ok(self.ended(owner, snap)?.is_none()
            && self.snap(owner, snap)?.is_none()
            && self.marks_of(owner, snap)?.is_empty())
    }

    /// How a snapshot ended here, if it did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ended(
        &self,
        owner: &OwnerId,
        snap: &SnapshotId,
    ) -> Result<Option<EndedRow>, StoreError> {
        self.row(&keys::ended(owner, snap), "ended row")
    }

    /// Whether an order of the owner makes everything go that hosts received from this device at this
    /// time, carried out here or waiting: no copy of it is taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn goes_by_range(
        &self,
        owner: &OwnerId,
        device: &NodeId,
        received: u64,
    ) -> Result<bool, StoreError> {
        let prefix = keys::ranges(owner, device);
        for (_, row) in self
            .disk
            .tables
            .scan(Table::State, &prefix, None, ORDERS_MAX)?
        {
            let row: RangeRow = decode(&row, "range row")?;
            if (row.from..row.to).contains(&received) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
