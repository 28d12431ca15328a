//! Keeping and listing signed records.

use std::collections::HashSet;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SnapshotId};
use packnback_proto::machine::grant::{About, scope_shows};
use packnback_proto::record::{
    Body, Cert, Kind, Receipt, Record, Scope, Snap, decode_body, decode_receipt, decode_record,
    parse_envelope,
};
use packnback_proto::wire::ids::push_record;

use super::charges::Writes;
use super::disk::Table;
use super::error::StoreError;
use super::{Access, Store, keys};
use crate::ports::RecordPage;

/// Receipts kept per snapshot.
const RECEIPTS_MAX: usize = 64;
/// Bytes of records after which a page is full.
const PAGE_BYTES: usize = 1 << 20;
/// Rows read at once for a page.
const PAGE_ROWS: usize = 512;

/// Which records somebody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordFilter {
    /// All of the owner: this machine itself.
    All,
    /// A device lists what is its own.
    Device(NodeId),
    /// A reader with a grant of this scope.
    Granted(Scope),
}

impl RecordFilter {
    fn shows(&self, about: About) -> bool {
        match (self, about) {
            (Self::All, _) => true,
            (Self::Granted(scope), about) => scope_shows(scope, about),
            (Self::Device(_), About::Order) => true,
            (Self::Device(own), About::Cert(device) | About::Snap(device, _)) => *own == device,
        }
    }
}

/// Receipts of one snapshot: host and record.
pub type RecordList = Vec<(NodeId, RecordId)>;

impl Store {
    /// A record's envelope.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn record(&self, owner: &OwnerId, id: &RecordId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .disk
            .tables
            .get(Table::Records, &keys::record(owner, id))?)
    }

    /// A page of records, in order of their ids.
    ///
    /// # Errors
    /// Failures of the disk, malformed rows.
    pub fn records(
        &self,
        owner: &OwnerId,
        filter: &RecordFilter,
        after: Option<&RecordId>,
    ) -> Result<RecordPage, StoreError> {
        let mut page = RecordPage::default();
        let mut from = after.map(|after| keys::record(owner, after));
        loop {
            let rows =
                self.disk
                    .tables
                    .scan(Table::Records, &owner.0, from.as_deref(), PAGE_ROWS)?;
            let last_batch = rows.len() < PAGE_ROWS;
            for (key, envelope) in rows {
                let id = key
                    .get(owner.0.len()..)
                    .and_then(|id| RecordId::from_slice(id).ok());
                let id = id.ok_or(StoreError::Stored("key of a record"))?;
                if self
                    .about(owner, &id, &envelope)?
                    .is_some_and(|about| filter.shows(about))
                {
                    push_record(&mut page.body, &envelope)
                        .map_err(|_| StoreError::Stored("record"))?;
                }
                page.last = Some(id);
                if page.body.len() >= PAGE_BYTES {
                    page.more = true;
                    return Ok(page);
                }
                from = Some(key);
            }
            if last_batch {
                return Ok(page);
            }
        }
    }

    /// What a stored record is about. Its signature was verified before it was stored.
    fn about(
        &self,
        owner: &OwnerId,
        id: &RecordId,
        envelope: &[u8],
    ) -> Result<Option<About>, StoreError> {
        fn body<T: Body>(bytes: &[u8]) -> Result<T, StoreError> {
            decode_body(bytes).map_err(|_| StoreError::Stored("record"))
        }
        let envelope = parse_envelope(envelope).map_err(|_| StoreError::Stored("record"))?;
        Ok(match envelope.kind {
            Kind::Cert => Some(About::Cert(body::<Cert>(envelope.body)?.device)),
            Kind::Snap => Some(About::Snap(body::<Snap>(envelope.body)?.device, *id)),
            Kind::Receipt => {
                let snap = body::<Receipt>(envelope.body)?.snap;
                self.snap(owner, &snap)?
                    .map(|row| About::Snap(row.device, snap))
            }
            Kind::Order => Some(About::Order),
            Kind::Grant => None,
        })
    }

    /// Keeps a receipt of another host for a snapshot that is here. `device`: only for its own.
    /// One per host and snapshot: the first stays.
    ///
    /// # Errors
    /// [`StoreError::Record`], [`StoreError::Unknown`], [`StoreError::TooMany`], failures of the disk.
    pub fn put_receipt(
        &self,
        owner: &OwnerId,
        device: Option<&NodeId>,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        self.take_receipt(&self.own_access(owner), device, envelope)
    }

    /// The same on behalf of a device, within what it may use here.
    ///
    /// # Errors
    /// As [`Store::put_receipt`]; [`StoreError::Budget`].
    pub fn take_receipt(
        &self,
        access: &Access,
        device: Option<&NodeId>,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        let owner = &access.owner;
        let receipt = decode_receipt(envelope)?;
        let value = receipt.value();
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        let row = self.snap(owner, &value.snap)?;
        if row.is_none_or(|row| device.is_some_and(|device| row.device != *device)) {
            return Err(StoreError::Unknown(
                "a receipt for a snapshot that is not here",
            ));
        }
        let key = keys::receipt(owner, &value.snap, &value.host);
        if self.disk.tables.get(Table::State, &key)?.is_some() {
            return Ok(());
        }
        if self.receipts(owner, &value.snap)?.len() >= RECEIPTS_MAX {
            return Err(StoreError::TooMany("receipts for one snapshot"));
        }
        tx.put(Table::Records, keys::record(owner, &receipt.id()), envelope);
        tx.put(Table::State, key, receipt.id().0);
        tx.write_within(access, Writes::Records)
    }

    /// The receipts kept for a snapshot, our own included.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn receipts(&self, owner: &OwnerId, snap: &SnapshotId) -> Result<RecordList, StoreError> {
        let prefix = keys::receipts(owner, snap);
        let rows = self
            .disk
            .tables
            .scan(Table::State, &prefix, None, RECEIPTS_MAX)?;
        rows.into_iter()
            .map(|(key, id)| {
                let host = key
                    .get(prefix.len()..)
                    .and_then(|host| NodeId::from_slice(host).ok());
                match (host, RecordId::from_slice(&id)) {
                    (Some(host), Ok(id)) => Ok((host, id)),
                    _ => Err(StoreError::Stored("receipt row")),
                }
            })
            .collect()
    }

    /// The objects a limited grant covers; `None` = all of the owner. What several snapshots share is
    /// looked at once. Few are found out at the same time for one owner, and in all: a grant is small,
    /// and this is not.
    ///
    /// # Errors
    /// [`StoreError::Busy`]; failures of the disk, damage below a snapshot of the scope.
    pub fn scope_objects(
        &self,
        owner: &OwnerId,
        scope: &Scope,
    ) -> Result<Option<HashSet<ObjectId>>, StoreError> {
        let wanted = |snap: &SnapshotId, device: &NodeId| match scope {
            Scope::All => true,
            Scope::Devices(devices) => devices.contains(device),
            Scope::Snaps(snaps) => snaps.contains(snap),
        };
        if *scope == Scope::All {
            return Ok(None);
        }
        let _walk = self.walks.begin(owner)?;
        let prefix = keys::snaps(owner);
        let mut covered = HashSet::new();
        for (key, _) in self.all_rows(&prefix)? {
            let id = key
                .get(prefix.len()..)
                .and_then(|id| RecordId::from_slice(id).ok());
            let id = id.ok_or(StoreError::Stored("key of a snapshot"))?;
            let row = self
                .snap(owner, &id)?
                .ok_or(StoreError::Stored("snapshot row"))?;
            if wanted(&id, &row.device) {
                self.cover(owner, &row.root, u8::MAX, &mut covered)?;
            }
        }
        Ok(Some(covered))
    }

    /// Adds an object and everything below it, as far as it is not covered already.
    fn cover(
        &self,
        owner: &OwnerId,
        id: &ObjectId,
        below: u8,
        covered: &mut HashSet<ObjectId>,
    ) -> Result<(), StoreError> {
        if !covered.insert(*id) {
            return Ok(());
        }
        // What is gone cannot be read, and everything else can.
        let Some(meta) = self.object_meta(owner, id)? else {
            return Ok(());
        };
        if meta.height >= below {
            return Err(StoreError::Stored("tree"));
        }
        if meta.height > 0 {
            for child in self.refs(owner, id)? {
                self.cover(owner, &child, meta.height, covered)?;
            }
        }
        Ok(())
    }

    /// Keeps records fetched from elsewhere (recovery): each must verify and belong to the owner.
    /// Returns whether the record was new.
    ///
    /// # Errors
    /// [`StoreError::Record`], [`StoreError::Unknown`], failures of the disk.
    pub fn import_record(
        &self,
        owner: &OwnerId,
        envelope: &[u8],
        now: u64,
    ) -> Result<bool, StoreError> {
        self.take_record(&self.own_access(owner), envelope, now)
    }

    /// Keeps a record copied from another host of the owner, as long as they are not too many.
    ///
    /// # Errors
    /// As [`Store::import_record`]; [`StoreError::Budget`].
    pub fn copy_record(
        &self,
        owner: &OwnerId,
        envelope: &[u8],
        now: u64,
    ) -> Result<bool, StoreError> {
        self.take_record(&self.copies_access(owner)?, envelope, now)
    }

    /// The same on behalf of others, within what they may use here.
    ///
    /// # Errors
    /// As [`Store::import_record`]; [`StoreError::Budget`].
    pub fn take_record(
        &self,
        access: &Access,
        envelope: &[u8],
        now: u64,
    ) -> Result<bool, StoreError> {
        let owner = &access.owner;
        let record = decode_record(envelope)?;
        if self.has_record(owner, &record.id())? {
            return Ok(false);
        }
        match record {
            Record::Order(_) => self.take_order(access, envelope, now),
            Record::Receipt(_) => self.take_receipt(access, None, envelope).map(|()| true),
            Record::Cert(cert) if cert.value().owner == *owner => {
                let lock = self.owner_lock(owner);
                let mut tx = lock.write();
                tx.record_cert(&cert)?;
                tx.write_within(access, Writes::Records)?;
                Ok(true)
            }
            _ => Err(StoreError::Unknown("a record that cannot be imported")),
        }
    }
}
