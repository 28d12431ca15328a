//! Reading and writing single rows, and what the network keeps.

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SnapshotId};
use packnback_proto::machine::budget::{Limits, Usage};
use packnback_proto::machine::grant::ReadRight;
use packnback_proto::machine::session::{self, Presented};
use packnback_proto::record::{Cert, Signed};
use packnback_proto::wire::store::Head;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::charges::Writes;
use super::disk::{Batch, Row, Table};
use super::error::StoreError;
use super::stored::{CertRow, DeviceRow, HostsRow, LogHead, SnapRow, Totals, decode, encode};
use super::tx::OwnerTx;
use super::{Access, Store, keys};
use crate::ports::Standing;

impl OwnerTx<'_> {
    /// The newest certificate of a device is the one that counts; older ones verify snapshots.
    pub(super) fn record_cert(&mut self, cert: &Signed<Cert>) -> Result<(), StoreError> {
        let (value, store, owner) = (cert.value(), self.store, self.owner);
        let row = CertRow {
            serial: value.serial,
            id: cert.id(),
        };
        let serial = keys::cert_serial(&owner, &value.device, value.serial);
        self.put(Table::State, serial, cert.id().0);
        let record = keys::record(&owner, &cert.id());
        self.put(Table::Records, record, cert.envelope());
        let key = keys::cert(&owner, &value.device);
        let known: Option<CertRow> = store.row(&key, "certificate row")?;
        if known.is_none_or(|known| known.serial <= row.serial) {
            self.put_row(key, &row)?;
        }
        // Also marks the owner as served.
        self.put_row(keys::totals(&owner), &store.totals(&owner)?)
    }
}

impl Store {
    pub(super) fn row<T: DeserializeOwned>(
        &self,
        key: &[u8],
        what: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let bytes = self.disk.tables.get(Table::State, key)?;
        bytes.map(|bytes| decode(&bytes, what)).transpose()
    }

    pub(super) fn put_row<T: Serialize>(
        batch: &mut Batch,
        key: Vec<u8>,
        row: &T,
    ) -> Result<(), StoreError> {
        batch.put(Table::State, key, encode(row)?);
        Ok(())
    }

    /// What a device has used.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn usage(&self, owner: &OwnerId, device: &NodeId) -> Result<Usage, StoreError> {
        Ok(self
            .row(&keys::usage(owner, device), "usage")?
            .unwrap_or_default())
    }

    /// What is stored for an owner.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn totals(&self, owner: &OwnerId) -> Result<Totals, StoreError> {
        Ok(self
            .row(&keys::totals(owner), "totals")?
            .unwrap_or_default())
    }

    /// An accepted snapshot.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snap(&self, owner: &OwnerId, snap: &SnapshotId) -> Result<Option<SnapRow>, StoreError> {
        self.row(&keys::snap(owner, snap), "snapshot row")
    }

    /// Newest snapshots of a device, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn heads(
        &self,
        owner: &OwnerId,
        device: &NodeId,
        limit: usize,
    ) -> Result<Vec<Head>, StoreError> {
        let rows = self
            .disk
            .tables
            .scan(Table::State, &keys::heads(owner, device), None, limit)?;
        rows.into_iter()
            .map(|(_, id)| {
                let id = RecordId::from_slice(&id).map_err(|_| StoreError::Stored("head"))?;
                let row = self.snap(owner, &id)?.ok_or(StoreError::Stored("head"))?;
                Ok(Head { seq: row.seq, id })
            })
            .collect()
    }

    /// Number of the last entry of the log kept for an owner: another one whenever a snapshot was accepted
    /// or ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log_number(&self, owner: &OwnerId) -> Result<u64, StoreError> {
        let last: Option<LogHead> = self.row(&keys::log(owner), "log head")?;
        Ok(last.map_or(0, |last| last.seq))
    }

    /// Every snapshot of a device that is here, newest first, without reading their rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snap_ids(
        &self,
        owner: &OwnerId,
        device: &NodeId,
    ) -> Result<Vec<SnapshotId>, StoreError> {
        let mut ids = Vec::new();
        self.each_row(Table::State, &keys::heads(owner, device), |_, id| {
            ids.push(RecordId::from_slice(&id).map_err(|_| StoreError::Stored("head"))?);
            Ok(())
        })?;
        Ok(ids)
    }

    /// The same with their envelopes, which show that the device made them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn heads_with_records(
        &self,
        owner: &OwnerId,
        device: &NodeId,
        limit: usize,
    ) -> Result<(Vec<Head>, Vec<Vec<u8>>), StoreError> {
        let heads = self.heads(owner, device, limit)?;
        let records = heads.iter().map(|head| {
            let record = self.record(owner, &head.id)?;
            record.ok_or(StoreError::Stored("head"))
        });
        let records = records.collect::<Result<_, _>>()?;
        Ok((heads, records))
    }

    /// The snapshots of a device that are here, newest first.
    pub(super) fn snaps_of(
        &self,
        owner: &OwnerId,
        device: &NodeId,
    ) -> Result<Vec<(SnapshotId, SnapRow)>, StoreError> {
        self.snap_ids(owner, device)?
            .into_iter()
            .map(|id| {
                let row = self.snap(owner, &id)?.ok_or(StoreError::Stored("head"))?;
                Ok((id, row))
            })
            .collect()
    }

    /// The order that revoked a device, if any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_revoked(&self, owner: &OwnerId, device: &NodeId) -> Result<bool, StoreError> {
        Ok(self
            .disk
            .tables
            .get(Table::State, &keys::revoked(owner, device))?
            .is_some())
    }

    /// The order that revoked a device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn revoked_by(
        &self,
        owner: &OwnerId,
        device: &NodeId,
    ) -> Result<Option<RecordId>, StoreError> {
        let order = self
            .disk
            .tables
            .get(Table::State, &keys::revoked(owner, device))?;
        order
            .map(|id| RecordId::from_slice(&id).map_err(|_| StoreError::Stored("revocation")))
            .transpose()
    }

    /// The newest certificate of a device (envelope).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_cert(
        &self,
        owner: &OwnerId,
        device: &NodeId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<CertRow> = self.row(&keys::cert(owner, device), "certificate row")?;
        match row {
            Some(row) => self.record(owner, &row.id),
            None => Ok(None),
        }
    }

    /// Number of snapshots of a device that are here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snap_count(&self, owner: &OwnerId, device: &NodeId) -> Result<u64, StoreError> {
        let prefix = keys::heads(owner, device);
        Ok(u64::try_from(self.all_rows(&prefix)?.len()).unwrap_or(u64::MAX))
    }

    /// The owner's hosts by its newest order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn hosts(&self, owner: &OwnerId) -> Result<Option<HostsRow>, StoreError> {
        self.row(&keys::hosts(owner), "hosts")
    }

    /// Whether a device session may be opened: decides, and writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Open`] and failures of the disk.
    pub fn may_admit(
        &self,
        cert: &Signed<Cert>,
        peer: &NodeId,
        standing: Option<Standing>,
        now: u64,
    ) -> Result<(), StoreError> {
        let value = cert.value();
        let known: Option<CertRow> =
            self.row(&keys::cert(&value.owner, &value.device), "certificate row")?;
        session::may_open(
            Presented {
                cert: value,
                peer: *peer,
                role: standing.map(|standing| standing.role),
                bound: standing.and_then(|standing| standing.owner),
                revoked: self.is_revoked(&value.owner, &value.device)?,
                serial_seen: known.map_or(0, |row| row.serial),
            },
            now,
        )?;
        Ok(())
    }

    /// Admits a device session: from now on the certificate is on record here and the owner is served.
    /// Only after everything else was decided, because of a refused session nothing may stay.
    ///
    /// # Errors
    /// As [`Store::may_admit`], which is asked again; nothing is written then.
    pub fn admit(
        &self,
        cert: &Signed<Cert>,
        peer: &NodeId,
        standing: Option<Standing>,
        now: u64,
    ) -> Result<(), StoreError> {
        let owner = cert.value().owner;
        let lock = self.owner_lock(&owner);
        let mut tx = lock.write();
        self.may_admit(cert, peer, standing, now)?;
        let known: Option<CertRow> =
            self.row(&keys::cert(&owner, &cert.value().device), "certificate row")?;
        if known.is_none_or(|row| row.id != cert.id()) {
            tx.record_cert(cert)?;
        }
        tx.note_session(now)?;
        let access = self.access_of(cert.value(), standing)?;
        tx.write_within(&access, Writes::Records)
    }

    /// What the device of a certificate may use here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn access_of(&self, cert: &Cert, standing: Option<Standing>) -> Result<Access, StoreError> {
        let quota = self.admin(&cert.owner)?.quota;
        Ok(Access {
            owner: cert.owner,
            device: cert.device,
            sees_all: session::sees_all_of_owner(cert),
            limits: Limits::new(cert, standing.map_or(0, |standing| standing.quota)),
            owner_max: quota.unwrap_or(u64::MAX),
        })
    }

    /// This node as a device, once adopted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn device(&self) -> Result<Option<DeviceRow>, StoreError> {
        self.row(keys::DEVICE, "device row")
    }

    /// Makes this node a device of the owner, or renews its certificate. The caller has checked
    /// that the certificate names this node and no other owner holds it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn adopt(&self, cert: &Signed<Cert>) -> Result<(), StoreError> {
        let lock = self.owner_lock(&cert.value().owner);
        let mut tx = lock.write();
        let known: Option<CertRow> = self.row(
            &keys::cert(&cert.value().owner, &cert.value().device),
            "certificate row",
        )?;
        if let Some(known) = known.filter(|known| known.serial > cert.value().serial) {
            // An old certificate, played again, may allow more than the newest does.
            return Err(session::OpenRefusal::Superseded(known.serial).into());
        }
        let last = self.device()?.and_then(|row| row.last);
        let row = DeviceRow {
            owner: cert.value().owner,
            cert: cert.envelope().into(),
            last,
        };
        tx.put_row(keys::DEVICE.to_vec(), &row)?;
        tx.record_cert(cert)?;
        tx.write_charged()
    }

    /// A value the network keeps.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn network_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.disk.tables.get(Table::State, &keys::network(key))?)
    }

    /// Sets (or with `None` removes) values the network keeps: all or none, durable on return.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn network_put(
        &self,
        changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(Table::State, keys::network(&key), value),
                None => batch.delete(Table::State, keys::network(&key)),
            }
        }
        Ok(self.disk.tables.write(batch)?)
    }

    /// Values the network keeps, by prefix, in order, starting behind `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn network_scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let after = after.map(keys::network);
        let prefix = keys::network(prefix);
        let rows = self
            .disk
            .tables
            .scan(Table::State, &prefix, after.as_deref(), limit)?;
        let strip = |(mut key, value): Row| (key.split_off(keys::NETWORK.len()), value);
        Ok(rows.into_iter().map(strip).collect())
    }

    /// Free bytes of the disk, and those kept in reserve.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn disk(&self) -> Result<(u64, u64), StoreError> {
        Ok((self.disk.objects.free()?, self.space.reserve()))
    }

    /// Bytes read under a grant so far.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn grant_bytes(&self, owner: &OwnerId, grant: &RecordId) -> Result<u64, StoreError> {
        Ok(self
            .row(&keys::grant(owner, grant), "grant row")?
            .unwrap_or(0))
    }

    /// Charges bytes about to be read to a grant that limits them, over all conversations.
    ///
    /// # Errors
    /// [`StoreError::Grant`] if they do not fit: then nothing is charged.
    pub fn charge_grant(
        &self,
        right: &ReadRight,
        grant: &RecordId,
        bytes: u64,
        now: u64,
    ) -> Result<(), StoreError> {
        if right.max_bytes.is_none() {
            return Ok(right.may_read(bytes, now)?);
        }
        let lock = self.owner_lock(&right.owner);
        let mut tx = lock.write();
        let bytes_read = self.grant_bytes(&right.owner, grant)?;
        let right = ReadRight {
            bytes_read,
            ..right.clone()
        };
        right.may_read(bytes, now)?;
        let key = keys::grant(&right.owner, grant);
        tx.put_row(key, &bytes_read.saturating_add(bytes))?;
        tx.write_charged()
    }

    /// Whether anything of this owner may be stored here: it was adopted or admitted once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn serves(&self, owner: &OwnerId) -> Result<bool, StoreError> {
        Ok(self
            .disk
            .tables
            .get(Table::State, &keys::totals(owner))?
            .is_some())
    }

    pub(super) fn has_record(&self, owner: &OwnerId, id: &RecordId) -> Result<bool, StoreError> {
        Ok(self
            .disk
            .tables
            .get(Table::Records, &keys::record(owner, id))?
            .is_some())
    }

    /// An object's row, whoever put it; `None` if it is not here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn object_meta(
        &self,
        owner: &OwnerId,
        id: &ObjectId,
    ) -> Result<Option<super::stored::ObjectMeta>, StoreError> {
        let row = self
            .disk
            .tables
            .get(Table::Meta, &keys::object(owner, id))?;
        row.map(|row| super::stored::ObjectMeta::decode(&row))
            .transpose()
    }
}
