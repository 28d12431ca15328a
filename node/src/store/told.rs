//! Which orders a host tells devices of that may not know them.

use packnback_proto::ids::{OwnerId, RecordId};
use packnback_proto::limits::{ORDERS_TOLD_BYTES, ORDERS_TOLD_MAX};
use packnback_proto::record::{Order, Signed};

use super::disk::Table;
use super::error::StoreError;
use super::stored::{CancelRow, decode};
use super::tx::OwnerTx;
use super::{Store, keys};

impl OwnerTx<'_> {
    /// Devices are told of a cancellation for some time; those whose time is over are forgotten.
    pub(super) fn tell_of(
        &mut self,
        order: &Signed<Order>,
        row: CancelRow,
        now: u64,
    ) -> Result<(), StoreError> {
        let owner = &order.value().owner;
        for (key, value) in self.store.all_rows(&keys::cancels(owner))? {
            if decode::<CancelRow>(&value, "cancel row")?.until <= now {
                self.delete(Table::State, key);
            }
        }
        self.put_row(keys::cancel(owner, &order.value().oid), &row)
    }
}

impl Store {
    /// Envelopes of orders that devices have to know of: those that take a deletion back while it may
    /// still wait somewhere, then those in their grace, each the last ones first, at most
    /// [`ORDERS_TOLD_MAX`] and no more than go into one message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn orders_to_tell(&self, owner: &OwnerId, now: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut cancels = Vec::new();
        for (_, row) in self.all_rows(&keys::cancels(owner))? {
            let row: CancelRow = decode(&row, "cancel row")?;
            if row.until > now {
                cancels.push(row);
            }
        }
        cancels.sort_by_key(|row| std::cmp::Reverse(row.until));
        let mut waiting = self.waiting_orders(owner)?;
        waiting.sort_by_key(|(_, row)| std::cmp::Reverse(row.received));
        let cancels = cancels.into_iter().map(|row| row.id);
        let waiting = waiting.into_iter().map(|(_, row)| row.id);
        let mut told = Vec::new();
        let mut room = ORDERS_TOLD_BYTES;
        // Half of the places are for each kind, so that neither keeps the other from being told.
        for id in half_each(cancels.collect(), waiting.collect()) {
            let Some(order) = self.record(owner, &id)? else {
                continue;
            };
            if order.len() <= room {
                room = room.saturating_sub(order.len());
                told.push(order);
            }
        }
        Ok(told)
    }
}

/// At most [`ORDERS_TOLD_MAX`] of both, half of them of each kind where there are that many.
fn half_each(mut first: Vec<RecordId>, mut second: Vec<RecordId>) -> Vec<RecordId> {
    let half = ORDERS_TOLD_MAX / 2;
    first.truncate(ORDERS_TOLD_MAX.saturating_sub(second.len().min(half)));
    second.truncate(ORDERS_TOLD_MAX.saturating_sub(first.len()));
    first.append(&mut second);
    first
}
