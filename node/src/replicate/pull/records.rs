//! Sorting what another host lists: what is taken over at once, and which snapshots are to be
//! copied.

use std::collections::HashMap;

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::record::{
    Kind, Receipt, Signed, Snap, decode_body, decode_snap, parse_envelope, record_id,
};
use packnback_proto::wire::ids::split_records;

use crate::store::{Store, StoreError};

/// Snapshots remembered in one go; what is over is found the next time.
const SNAPS_MAX: usize = 1 << 14;
/// Receipts remembered per snapshot.
const RECEIPTS_MAX: usize = 64;

/// A snapshot that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) snap: Signed<Snap>,
    /// Receipts for it that the other host listed, its own among them.
    pub(super) receipts: Vec<Vec<u8>>,
    /// When the other host received it, by its own receipt.
    pub(super) received: Option<u64>,
}

/// What a list held.
#[derive(Debug, Default)]
pub(super) struct Listed {
    snaps: HashMap<SnapshotId, Signed<Snap>>,
    receipts: HashMap<SnapshotId, Vec<(Receipt, Vec<u8>)>>,
    /// Orders that were unknown here.
    pub(super) new_orders: u32,
    /// Records that were refused: not signed right, or another owner's.
    pub(super) refused: u32,
}

impl Listed {
    /// Takes over the certificates, orders and receipts of a page, and remembers the snapshots
    /// that are not here. Blocks on the disk.
    ///
    /// # Errors
    /// Failures of the disk, and a page that is no list of records.
    pub(super) fn page(
        &mut self,
        store: &Store,
        owner: &OwnerId,
        body: &[u8],
        now: u64,
    ) -> Result<(), StoreError> {
        let records = split_records(body).map_err(|_| StoreError::Unknown("a page of records"))?;
        for envelope in records {
            match self.record(store, owner, envelope, now) {
                Ok(()) => {}
                Err(error @ (StoreError::Engine(_) | StoreError::Stored(_))) => return Err(error),
                Err(error) => {
                    self.refused = self.refused.saturating_add(1);
                    tracing::warn!(%error, "a record of another host is not taken over");
                }
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        store: &Store,
        owner: &OwnerId,
        envelope: &[u8],
        now: u64,
    ) -> Result<(), StoreError> {
        let parsed = parse_envelope(envelope)?;
        match parsed.kind {
            Kind::Cert => store.copy_record(owner, envelope, now).map(|_| ()),
            Kind::Order => {
                let is_new = store.copy_record(owner, envelope, now)?;
                self.new_orders = self.new_orders.saturating_add(u32::from(is_new));
                Ok(())
            }
            Kind::Snap => {
                let id = record_id(parsed.kind, parsed.body);
                if self.snaps.len() < SNAPS_MAX && store.wants_import(owner, &id)? {
                    self.snaps.insert(id, decode_snap(envelope)?);
                }
                Ok(())
            }
            Kind::Receipt => self.receipt(store, owner, parsed.body, envelope, now),
            Kind::Grant => Ok(()),
        }
    }

    fn receipt(
        &mut self,
        store: &Store,
        owner: &OwnerId,
        body: &[u8],
        envelope: &[u8],
        now: u64,
    ) -> Result<(), StoreError> {
        let receipt: Receipt = decode_body(body)?;
        if store.snap(owner, &receipt.snap)?.is_some() {
            return store.copy_record(owner, envelope, now).map(|_| ());
        }
        // Its snapshot may come on a later page. Signatures are checked when it is taken in.
        let known = self.receipts.len();
        let list = match self.receipts.get_mut(&receipt.snap) {
            Some(list) => list,
            None if known < SNAPS_MAX => self.receipts.entry(receipt.snap).or_default(),
            None => return Ok(()),
        };
        if list.len() < RECEIPTS_MAX {
            list.push((receipt, envelope.to_vec()));
        }
        Ok(())
    }

    /// The snapshots to copy, each device's oldest first, so that they come in here in the order in
    /// which they were made.
    pub(super) fn into_offers(mut self, host: &NodeId) -> Vec<Offered> {
        let mut offers: Vec<Offered> = Vec::with_capacity(self.snaps.len());
        for (id, snap) in self.snaps {
            let receipts = self.receipts.remove(&id).unwrap_or_default();
            let own = receipts.iter().find(|(receipt, _)| receipt.host == *host);
            offers.push(Offered {
                received: own.map(|(receipt, _)| receipt.received),
                receipts: receipts.into_iter().map(|(_, envelope)| envelope).collect(),
                snap,
            });
        }
        offers.sort_by_key(|offer| {
            let snap = offer.snap.value();
            (snap.device, snap.seq, snap.time, offer.snap.id())
        });
        offers
    }
}
