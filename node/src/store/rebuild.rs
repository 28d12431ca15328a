//! Making the rows of the tables again after some of them were lost: those of objects from the
//! objects, those of snapshots, certificates and orders from the records. Counts are not repaired but
//! counted anew.
//!
//! What cannot be made again errs on the side of keeping: everything is loose for a while before it may
//! go, orders that were forgotten wait for their grace once more, and an object that is named but not
//! here has a row that says "damaged", so that what is still here below a snapshot stays.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::format::header::{Header, Kind, verify_object};
use packnback_proto::ids::{ID_LEN, NodeId, ObjectId, OwnerId, RecordId, SnapshotId};
use packnback_proto::limits::{HAVE_IDS_MAX, LOOSE_KEEP_S};
use packnback_proto::machine::closure::{self, Closure, Seen, Shelf};
use packnback_proto::record::{Op, Record, Signed, Snap, decode_record};

use super::damage::Mended;
use super::disk::{Batch, Keys, Table};
use super::error::StoreError;
use super::stored::{Below, LogHead, ObjectMeta, SnapRow, Totals};
use super::tx::OwnerTx;
use super::{Store, keys};

/// Changes gathered for one write.
const AT_ONCE: usize = 8192;

/// Everything of an owner, damaged or not: what is named needs a row, whatever state its bytes are in.
struct All<'a> {
    store: &'a Store,
    owner: &'a OwnerId,
}

impl Shelf for All<'_> {
    type Error = StoreError;

    fn look(&self, id: &ObjectId) -> Result<Option<Seen>, StoreError> {
        let meta = self.store.object_meta(self.owner, id)?;
        Ok(meta.map(|meta| Seen {
            height: meta.height,
            complete: meta.complete,
        }))
    }

    fn refs(&self, id: &ObjectId) -> Result<Vec<ObjectId>, StoreError> {
        self.store.refs(self.owner, id)
    }
}

/// The records of an owner that say what its rows must be.
#[derive(Default)]
struct Records {
    snaps: Vec<Signed<Snap>>,
    /// Snapshot, host, receipt; of this host also the row.
    receipts: Vec<(SnapshotId, NodeId, RecordId)>,
    own: BTreeMap<SnapshotId, (RecordId, packnback_proto::record::Receipt)>,
    orders: Vec<Vec<u8>>,
}

impl Store {
    pub(super) fn rebuild(&self, now: u64, mended: &mut Mended) -> Result<(), StoreError> {
        self.forget_lots()?;
        mended.rows = self.find_objects(now)?;
        for owner in self.owners_of_anything()? {
            let lock = self.owner_lock(&owner);
            let records = {
                let mut tx = lock.write();
                tx.count_anew(now)?;
                let records = tx.read_records()?;
                for snap in &records.snaps {
                    mended.snaps += u64::from(tx.snap_again(snap, &records)?);
                }
                tx.needs_again(now)?;
                records
            };
            self.lines.forget(&owner);
            self.orders_again(&owner, &records.orders, now)?;
            lock.write().charge_anew()?;
        }
        Ok(())
    }

    fn forget_lots(&self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.each_row(Table::Lots, &[], |key, _| {
            batch.delete(Table::Lots, key);
            self.write_some(&mut batch)
        })?;
        Ok(self.disk.tables.write(batch)?)
    }

    fn write_some(&self, batch: &mut Batch) -> Result<(), StoreError> {
        if batch.len() >= AT_ONCE {
            self.disk.tables.write(std::mem::take(batch))?;
        }
        Ok(())
    }

    /// Rows for objects that have none, and references for nodes that have none.
    fn find_objects(&self, now: u64) -> Result<u64, StoreError> {
        let mut unknown = BTreeSet::new();
        let mut failed = None;
        self.disk.objects.each_key(Keys::All, &mut |key| {
            let (Some(owner), Some(id)) = (key.first_chunk(), key.last_chunk()) else {
                return Ok(());
            };
            let (owner, id) = (OwnerId(*owner), ObjectId(*id));
            match self.is_known(&owner, &id) {
                Ok(true) => {}
                Ok(false) => {
                    unknown.insert((owner, id));
                }
                Err(error) => failed = Some(error),
            }
            Ok(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let (mut found, mut batch) = (0u64, Batch::default());
        let lot = self.lots.number(now);
        for (owner, id) in unknown {
            let Some(bytes) = self.sound_bytes(&owner, &id)? else {
                continue;
            };
            let Ok(header) = verify_object(&id, &bytes) else {
                continue;
            };
            let size = u32::try_from(bytes.len()).map_err(|_| StoreError::Stored("object size"))?;
            let meta = ObjectMeta {
                lot,
                due: now.saturating_add(LOOSE_KEEP_S).max(1),
                ..ObjectMeta::new(&header, size, self.node_id())
            };
            let key = keys::object(&owner, &id);
            if self.readable_meta(&owner, &id)?.is_none() {
                batch.put(Table::Meta, key.clone(), meta.encode());
            }
            if meta.height > 0 {
                let refs: Vec<u8> = header.refs.iter().flat_map(|id| id.0).collect();
                batch.put(Table::Nodes, key, refs);
            }
            batch.delete(Table::State, keys::to_drop(&owner, &id));
            found = found.saturating_add(1);
            self.write_some(&mut batch)?;
        }
        self.disk.tables.write(batch)?;
        Ok(found)
    }

    fn is_known(&self, owner: &OwnerId, id: &ObjectId) -> Result<bool, StoreError> {
        let Some(meta) = self.readable_meta(owner, id)? else {
            return Ok(self.note_of(owner, id)?.is_some());
        };
        let key = keys::object(owner, id);
        Ok(meta.height == 0 || self.disk.tables.get(Table::Nodes, &key)?.is_some())
    }

    /// A row that makes no sense is as good as none.
    fn readable_meta(
        &self,
        owner: &OwnerId,
        id: &ObjectId,
    ) -> Result<Option<ObjectMeta>, StoreError> {
        match self.object_meta(owner, id) {
            Err(StoreError::Stored(_)) => Ok(None),
            other => other,
        }
    }

    /// Owners by what is stored of them, whether or not a row says that they are served.
    fn owners_of_anything(&self) -> Result<BTreeSet<OwnerId>, StoreError> {
        let mut owners: BTreeSet<OwnerId> = self.owner_ids()?.into_iter().collect();
        for table in [Table::Records, Table::Meta] {
            let mut after: Option<Vec<u8>> = None;
            while let Some((key, _)) = self
                .disk
                .tables
                .scan(table, &[], after.as_deref(), 1)?
                .into_iter()
                .next()
            {
                let owner = key.first_chunk::<ID_LEN>();
                let owner = *owner.ok_or(StoreError::Stored("key of an owner"))?;
                owners.insert(OwnerId(owner));
                // Behind everything of this owner.
                after = Some([owner.as_slice(), &[u8::MAX; ID_LEN + 1]].concat());
            }
        }
        Ok(owners)
    }
}

impl OwnerTx<'_> {
    /// Nobody needs anything yet: rows, list of loose objects, lots, totals and usage from nothing.
    fn count_anew(&mut self, now: u64) -> Result<(), StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let mut batch = Batch::default();
        for (key, _) in store.all_rows(&keys::loose_of(owner))? {
            batch.delete(Table::State, key);
            store.write_some(&mut batch)?;
        }
        let due = now.saturating_add(LOOSE_KEEP_S).max(1);
        let mut totals = Totals::default();
        let mut used: BTreeMap<NodeId, u64> = BTreeMap::new();
        store.each_row(Table::Meta, &owner.0, |key, row| {
            let id = key.last_chunk().copied().map(ObjectId);
            let (Some(id), Ok(meta)) = (id, ObjectMeta::decode(&row)) else {
                batch.delete(Table::Meta, key);
                return Ok(());
            };
            let meta = ObjectMeta {
                complete: meta.height == 0,
                below: Below::default(),
                refs: 0,
                due,
                ..meta
            };
            totals.objects = totals.objects.saturating_add(1);
            totals.bytes = totals.bytes.saturating_add(meta.size.into());
            let of_device = used.entry(meta.device).or_default();
            *of_device = of_device.saturating_add(meta.size.into());
            batch.put(Table::Meta, key, meta.encode());
            batch.put(Table::State, keys::loose(owner, due, &id), []);
            let lot = keys::in_lot(meta.lot, owner, &id);
            batch.put(Table::Lots, lot, meta.size.to_le_bytes());
            store.write_some(&mut batch)
        })?;
        for device in store.devices_of(owner).unwrap_or_default() {
            used.entry(device).or_default();
        }
        for (device, bytes) in used {
            let usage = store.usage(owner, &device).unwrap_or_default();
            let usage = packnback_proto::machine::budget::Usage { bytes, ..usage };
            Store::put_row(&mut batch, keys::usage(owner, &device), &usage)?;
        }
        Store::put_row(&mut batch, keys::totals(owner), &totals)?;
        Ok(store.disk.tables.write(batch)?)
    }

    /// Reads all records; certificates are written down again at once.
    fn read_records(&mut self) -> Result<Records, StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let mut records = Records::default();
        let mut envelopes = Vec::new();
        store.each_row(Table::Records, &owner.0, |_, envelope| {
            envelopes.push(envelope);
            Ok(())
        })?;
        for envelope in envelopes {
            match decode_record(&envelope) {
                Ok(Record::Cert(cert)) if cert.value().owner == *owner => {
                    self.record_cert(&cert)?;
                    self.write()?;
                }
                Ok(Record::Snap(snap)) if snap.value().owner == *owner => records.snaps.push(snap),
                Ok(Record::Order(_)) => records.orders.push(envelope),
                Ok(Record::Receipt(receipt)) => {
                    let (id, value) = (receipt.id(), receipt.into_value());
                    records.receipts.push((value.snap, value.host, id));
                    if value.host == store.node_id() {
                        records.own.insert(value.snap, (id, value));
                    }
                }
                // What does not verify any more is damaged, and counts for nothing.
                _ => {}
            }
        }
        Ok(records)
    }

    /// The rows of an accepted snapshot. One without our receipt was not acknowledged, and stays out.
    fn snap_again(&mut self, snap: &Signed<Snap>, records: &Records) -> Result<bool, StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let id = snap.id();
        let known = store.snap(owner, &id).unwrap_or_default();
        let is_new = known.is_none();
        let ended = store
            .disk
            .tables
            .get(Table::State, &keys::ended(owner, &id))?;
        if is_new && ended.is_some() {
            return Ok(false);
        }
        let value = snap.value();
        let row = match (known, records.own.get(&id)) {
            (Some(row), _) => row,
            (None, Some((receipt, said))) => SnapRow {
                device: value.device,
                seq: value.seq,
                time: value.time,
                received: said.received,
                root: value.root,
                set: value.set,
                objects: said.n_objects,
                bytes: said.bytes,
                receipt: *receipt,
                log_seq: said.log_seq,
                prev: value.prev,
                kept_from: said.received,
                imported: false,
            },
            (None, None) => return Ok(false),
        };
        let mut batch = Batch::default();
        Store::put_row(&mut batch, keys::snap(owner, &id), &row)?;
        let head = keys::head(owner, &row.device, row.log_seq);
        batch.put(Table::State, head, id.0);
        for (of, host, receipt) in &records.receipts {
            if *of == id {
                batch.put(Table::State, keys::receipt(owner, &id, host), receipt.0);
            }
        }
        let log: Option<LogHead> = store.row(&keys::log(owner), "log head").unwrap_or_default();
        if log.is_none_or(|log| log.seq < row.log_seq) {
            let (seq, id) = (row.log_seq, row.receipt);
            Store::put_row(&mut batch, keys::log(owner), &LogHead { seq, id })?;
        }
        store.disk.tables.write(batch)?;
        Ok(is_new)
    }

    /// What the snapshots need is counted again.
    fn needs_again(&mut self, now: u64) -> Result<(), StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let all = All { store, owner };
        for snap in store.all_snaps(owner)? {
            let Ok(Some(row)) = store.snap(owner, &snap) else {
                store.disk.tables.write({
                    let mut batch = Batch::default();
                    batch.delete(Table::State, keys::snap(owner, &snap));
                    batch
                })?;
                continue;
            };
            self.references_or_none(&row.root)?;
            let nodes = loop {
                match closure::check(&all, &row.root, HAVE_IDS_MAX) {
                    Ok(Closure::Complete(nodes)) => break nodes,
                    Ok(Closure::Missing(missing)) => self.stand_ins(&missing, now)?,
                    Ok(Closure::NotLower { .. }) => break Vec::new(),
                    // A node whose references are lost: nothing is known below it.
                    Err(StoreError::AddressMismatch { id }) => {
                        self.references_or_none(&id)?;
                    }
                    Err(error) => return Err(error),
                }
            };
            for node in &nodes {
                self.counts.complete(node)?;
            }
            self.counts.need(&row.root)?;
            let mut totals = store.totals(owner)?;
            totals.snaps = totals.snaps.saturating_add(1);
            self.put_row(keys::totals(owner), &totals)?;
            self.write()?;
        }
        Ok(())
    }

    fn references_or_none(&mut self, id: &ObjectId) -> Result<(), StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let Some(meta) = store.object_meta(owner, id)? else {
            return Ok(());
        };
        let key = keys::object(owner, id);
        if meta.height == 0 || store.disk.tables.get(Table::Nodes, &key)?.is_some() {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.put(Table::Nodes, key, []);
        Store::mark_damaged(&mut batch, owner, (id, meta));
        Ok(store.disk.tables.write(batch)?)
    }

    /// Rows for objects that are named and gone.
    fn stand_ins(&mut self, missing: &[ObjectId], now: u64) -> Result<(), StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let header = Header {
            kind: Kind::Chunk,
            height: 0,
            epoch: 0,
            epk: None,
            refs: Vec::new(),
        };
        let mut totals = store.totals(owner)?;
        for id in missing {
            let meta = ObjectMeta {
                damaged: true,
                due: now.saturating_add(LOOSE_KEEP_S).max(1),
                lot: store.lots.number(now),
                ..ObjectMeta::new(&header, 0, store.node_id())
            };
            self.counts.set(id, Some(meta))?;
            self.put(Table::State, keys::damaged(owner, id), []);
            totals.objects = totals.objects.saturating_add(1);
        }
        self.put_row(keys::totals(owner), &totals)?;
        self.write()
    }
}

impl Store {
    /// Orders that are not known any more come in again; what those that are known put in force is put
    /// in force again, in case that was lost.
    fn orders_again(
        &self,
        owner: &OwnerId,
        orders: &[Vec<u8>],
        now: u64,
    ) -> Result<(), StoreError> {
        for envelope in orders {
            match self.put_order(owner, envelope, now) {
                Ok(false) => {}
                Ok(true) => continue,
                Err(StoreError::Disk(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(%error, "an order could not be taken up again");
                    continue;
                }
            }
            let Ok(order) = packnback_proto::record::decode_order(envelope) else {
                continue;
            };
            let is_lasting = matches!(
                order.value().op,
                Op::Policy(_) | Op::Revoke { .. } | Op::Hold(_) | Op::Unhold(_) | Op::Hosts { .. }
            );
            if is_lasting && order.value().is_for(&self.node_id()) {
                let lock = self.owner_lock(owner);
                let mut tx = lock.write();
                tx.take_effect(&order, now)?;
                tx.write()?;
            }
        }
        Ok(())
    }
}
