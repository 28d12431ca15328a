//! Sorting what another host lists: what is taken over at once, and which snapshots are to be
//! copied.

use std::collections::BTreeMap;

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::limits::MIB;
use packnback_proto::record::{
    Kind, Receipt, Signed, Snap, decode_body, decode_receipt, decode_snap, parse_envelope,
    record_id,
};
use packnback_proto::wire::ids::split_records;

use super::PULLERS_MAX;
use crate::store::{Store, StoreError};

/// Receipts remembered per snapshot.
const RECEIPTS_MAX: usize = 64;
/// Bytes remembered of one list; what is over is found the next time. So many conversations run at once
/// ([`PULLERS_MAX`]), so this bounds what all of them remember.
const LISTED_BYTES_MAX: usize = 16 * MIB;
/// Counted for each record beside its envelope.
const RECORD_COST: usize = 512;

const _: () = assert!(PULLERS_MAX * LISTED_BYTES_MAX <= 64 * MIB);

/// A snapshot that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) snap: Signed<Snap>,
    /// Receipts for it that the other host listed, its own among them.
    pub(super) receipts: Vec<Vec<u8>>,
    /// When the other host received it, by its own receipt.
    pub(super) received: Option<u64>,
}

/// What a page is read with.
struct About<'a> {
    store: &'a Store,
    owner: &'a OwnerId,
    /// The hosts that the owner listed.
    hosts: &'a [NodeId],
    now: u64,
}

/// What a list held.
#[derive(Debug, Default)]
pub(super) struct Listed {
    snaps: BTreeMap<SnapshotId, Signed<Snap>>,
    receipts: BTreeMap<SnapshotId, Vec<(Receipt, Vec<u8>)>>,
    /// Orders that were unknown here.
    pub(super) new_orders: u32,
    /// Records that were refused: not signed right, or another owner's. And why the last one was.
    pub(super) refused: u32,
    pub(super) why_refused: Option<StoreError>,
    /// Bytes remembered.
    bytes: usize,
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
        let hosts = store.hosts(owner)?.map_or(Vec::new(), |row| row.hosts);
        let about = About {
            store,
            owner,
            hosts: &hosts,
            now,
        };
        for envelope in records {
            match self.record(&about, envelope) {
                Ok(()) => {}
                Err(error @ (StoreError::Disk(_) | StoreError::Stored(_))) => return Err(error),
                Err(error) => {
                    self.refused = self.refused.saturating_add(1);
                    self.why_refused = Some(error);
                }
            }
        }
        Ok(())
    }

    /// Room for one more record, if there is any.
    fn has_room(&mut self, envelope: &[u8]) -> bool {
        let bytes = self
            .bytes
            .saturating_add(envelope.len())
            .saturating_add(RECORD_COST);
        let fits = bytes <= LISTED_BYTES_MAX;
        if fits {
            self.bytes = bytes;
        }
        fits
    }

    fn record(&mut self, about: &About<'_>, envelope: &[u8]) -> Result<(), StoreError> {
        let About {
            store, owner, now, ..
        } = *about;
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
                if !self.snaps.contains_key(&id) && store.wants_import(owner, &id)? {
                    // Verified before it is remembered.
                    let snap = decode_snap(envelope)?;
                    if snap.value().owner == *owner && self.has_room(envelope) {
                        self.snaps.insert(id, snap);
                    }
                }
                Ok(())
            }
            Kind::Receipt => self.receipt(about, parsed.body, envelope),
            Kind::Grant => Ok(()),
        }
    }

    fn receipt(
        &mut self,
        about: &About<'_>,
        body: &[u8],
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        let receipt: Receipt = decode_body(body)?;
        if about.store.snap(about.owner, &receipt.snap)?.is_some() {
            let imported = about.store.copy_record(about.owner, envelope, about.now);
            return imported.map(|_| ());
        }
        // Its snapshot may come on a later page. Only what counts is remembered: signed by the host it
        // names, one of those that the owner listed, and once.
        if !about.hosts.contains(&receipt.host) {
            return Ok(());
        }
        let known = self
            .receipts
            .get(&receipt.snap)
            .map_or(&[][..], Vec::as_slice);
        let is_known = known.iter().any(|(other, _)| other.host == receipt.host);
        if is_known || known.len() >= RECEIPTS_MAX {
            return Ok(());
        }
        let receipt = decode_receipt(envelope)?.into_value();
        if self.has_room(envelope) {
            let list = self.receipts.entry(receipt.snap).or_default();
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
