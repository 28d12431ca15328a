//! Taking in a snapshot from another host instead of its device (docs/protocol.md).

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::policy::effective_time;
use packnback_proto::record::{decode_receipt, decode_snap};

use super::commit::Origin;
use super::engine::{Batch, Table};
use super::error::StoreError;
use super::{CommitOutcome, Store, keys};

impl Store {
    /// Takes in a snapshot copied from another host; everything below it is put already. Its device
    /// must have a certificate of this owner here. `receipts`: envelopes of what hosts said of it;
    /// the earliest of a host the owner lists is the time retention goes by, so that a new host does
    /// not take a whole history for one day's work.
    ///
    /// # Errors
    /// [`StoreError::Record`], [`StoreError::Unknown`] without a certificate,
    /// [`StoreError::Commit`] if it was deleted here; failures of the disk. Nothing changed then.
    pub fn import_snap(
        &self,
        owner: &OwnerId,
        envelope: &[u8],
        receipts: &[Vec<u8>],
        now: u64,
    ) -> Result<CommitOutcome, StoreError> {
        let snap = decode_snap(envelope)?;
        let value = snap.value();
        if value.owner != *owner {
            return Err(StoreError::Unknown("a snapshot of another owner"));
        }
        if !self.has_cert_for(owner, &value.device, value.cert_serial)? {
            return Err(StoreError::Unknown(
                "a snapshot whose device has no certificate here",
            ));
        }
        let kept_from = self.time_of_copy(owner, (&snap.id(), value.time), receipts, now)?;
        let lock = self.owner_lock(owner);
        let _guard = lock.write();
        let access = self.own_access(owner);
        let origin = Origin::Copy { kept_from };
        self.accept(&access, &snap, Batch::default(), (origin, now))
    }

    fn time_of_copy(
        &self,
        owner: &OwnerId,
        (snap, started): (&SnapshotId, u64),
        receipts: &[Vec<u8>],
        now: u64,
    ) -> Result<u64, StoreError> {
        let mut times: Vec<(NodeId, u64)> = Vec::with_capacity(receipts.len());
        for envelope in receipts {
            // What does not verify counts for nothing.
            if let Ok(receipt) = decode_receipt(envelope)
                && receipt.value().snap == *snap
            {
                times.push((receipt.value().host, receipt.value().received));
            }
        }
        let listed = self.hosts(owner)?.map(|row| row.hosts);
        let me = self.node_id();
        Ok(effective_time(
            now,
            true,
            started,
            &times,
            listed.as_deref(),
            &me,
        ))
    }

    /// Whether a certificate of this device with this serial is on record: a reader accepts a
    /// snapshot only with it (docs/format.md, 8.2).
    fn has_cert_for(
        &self,
        owner: &OwnerId,
        device: &NodeId,
        serial: u64,
    ) -> Result<bool, StoreError> {
        let key = keys::cert_serial(owner, device, serial);
        Ok(self.engine.get(Table::State, &key)?.is_some())
    }
}
