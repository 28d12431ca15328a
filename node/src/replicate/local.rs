//! The store of this node as the source of replication.

use std::sync::{Arc, OnceLock};

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SnapshotId};
use packnback_proto::record::{Kind, decode_order, parse_envelope};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::admin::AlarmKind;
use packnback_proto::wire::ids::split_records;

use super::source::{Fate, OwnSnap, Shape, Source};
use crate::ports::Failure;
use crate::store::stored::ElsewhereRow;
use crate::store::{NewAlarm, RecordFilter, Store, StoreError};

/// Snapshots of this device that are looked at.
const SNAPS_MAX: usize = 1 << 20;

/// See the module.
pub struct StoreSource {
    store: Arc<Store>,
    /// A node belongs to its first owner for good, so it is looked up once.
    owner: OnceLock<OwnerId>,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl StoreSource {
    /// The source over a store.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            owner: OnceLock::new(),
        }
    }

    fn owner(&self) -> Result<Option<OwnerId>, StoreError> {
        if let Some(owner) = self.owner.get() {
            return Ok(Some(*owner));
        }
        let owner = self.store.device()?.map(|device| device.owner);
        Ok(owner.map(|owner| *self.owner.get_or_init(|| owner)))
    }

    fn record(&self, owner: &OwnerId, id: &SnapshotId) -> Result<Bytes, StoreError> {
        let envelope = self.store.record(owner, id)?;
        envelope.map(Bytes).ok_or(StoreError::Stored("record"))
    }

    fn snaps(&self, owner: &OwnerId) -> Result<Vec<OwnSnap>, StoreError> {
        let heads = self.store.heads(owner, &self.store.node_id(), SNAPS_MAX)?;
        let mut snaps = Vec::with_capacity(heads.len());
        for head in heads.into_iter().rev() {
            let row = self
                .store
                .snap(owner, &head.id)?
                .ok_or(StoreError::Stored("snapshot row"))?;
            let envelope = self.record(owner, &head.id)?;
            snaps.push(OwnSnap {
                id: head.id,
                seq: row.seq,
                root: row.root,
                set: row.set,
                time: row.time,
                envelope,
            });
        }
        Ok(snaps)
    }

    fn order_envelopes(&self, owner: &OwnerId) -> Result<Vec<Bytes>, StoreError> {
        let (mut orders, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .store
                .records(owner, &RecordFilter::All, after.as_ref())?;
            let records =
                split_records(&page.body).map_err(|_| StoreError::Stored("page of records"))?;
            let is_order =
                |record: &&[u8]| parse_envelope(record).is_ok_and(|e| e.kind == Kind::Order);
            orders.extend(records.into_iter().filter(is_order).map(Bytes::from));
            if !page.more || page.last.is_none() {
                return Ok(orders);
            }
            after = page.last;
        }
    }
}

impl Source for StoreSource {
    fn cert(&self) -> Result<Option<Bytes>, Failure> {
        Ok(self.store.device()?.map(|device| device.cert))
    }

    fn owner_id(&self) -> Result<Option<OwnerId>, Failure> {
        Ok(self.owner()?)
    }

    fn own_snaps(&self) -> Result<Vec<OwnSnap>, Failure> {
        let Some(owner) = self.owner()? else {
            return Ok(Vec::new());
        };
        Ok(self.snaps(&owner)?)
    }

    fn receipts(&self, snap: &SnapshotId) -> Result<Vec<(NodeId, Bytes)>, Failure> {
        let Some(owner) = self.owner()? else {
            return Ok(Vec::new());
        };
        let rows = self.store.receipts(&owner, snap)?.into_iter();
        Ok(rows
            .map(|(host, id)| Ok((host, self.record(&owner, &id)?)))
            .collect::<Result<_, StoreError>>()?)
    }

    fn fate(&self, snap: &SnapshotId) -> Result<Fate, Failure> {
        let Some(owner) = self.owner()? else {
            return Ok(Fate::default());
        };
        let elsewhere = self.store.ended_elsewhere(&owner, snap)?;
        Ok(Fate {
            goes: elsewhere.iter().any(|(_, row)| row.everywhere)
                || self.store.is_going(&owner, snap)?,
            ended_at: elsewhere.into_iter().map(|(host, _)| host).collect(),
        })
    }

    fn withdraw(
        &self,
        snap: &SnapshotId,
        host: &NodeId,
        ended: Option<ElsewhereRow>,
    ) -> Result<(), Failure> {
        let owner = self
            .owner()?
            .ok_or(StoreError::Unknown("this node belongs to no owner"))?;
        Ok(self.store.withdraw(&owner, snap, host, ended)?)
    }

    fn add_receipt(&self, envelope: &[u8]) -> Result<(), Failure> {
        let owner = self
            .owner()?
            .ok_or(StoreError::Unknown("this node belongs to no owner"))?;
        Ok(self.store.put_receipt(&owner, None, envelope)?)
    }

    fn orders(&self) -> Result<Vec<Bytes>, Failure> {
        let Some(owner) = self.owner()? else {
            return Ok(Vec::new());
        };
        Ok(self.order_envelopes(&owner)?)
    }

    fn shape(&self, id: &ObjectId) -> Result<Option<Shape>, Failure> {
        let Some(owner) = self.owner()? else {
            return Ok(None);
        };
        let Some(meta) = self.store.object_meta(&owner, id)? else {
            return Ok(None);
        };
        let refs = if meta.height > 0 {
            self.store.refs(&owner, id)?
        } else {
            Vec::new()
        };
        Ok(Some(Shape {
            len: meta.size.into(),
            height: meta.height,
            refs,
        }))
    }

    fn object(&self, id: &ObjectId) -> Result<Option<Vec<u8>>, Failure> {
        let Some(owner) = self.owner()? else {
            return Ok(None);
        };
        Ok(self.store.get(&owner, id)?)
    }

    fn hosts(&self) -> Result<Vec<NodeId>, Failure> {
        let Some(owner) = self.owner()? else {
            return Ok(Vec::new());
        };
        Ok(self
            .store
            .hosts(&owner)?
            .map_or(Vec::new(), |row| row.hosts))
    }

    fn was_made_here(&self, snap: &SnapshotId) -> Result<bool, Failure> {
        Ok(self.store.was_made_here(snap)?)
    }

    fn take_order(&self, envelope: &[u8], now: u64) -> Result<bool, Failure> {
        let owner = self
            .owner()?
            .ok_or(StoreError::Unknown("this node belongs to no owner"))?;
        // Anything but an order has no business here, signed or not.
        decode_order(envelope).map_err(StoreError::from)?;
        Ok(self.store.import_record(&owner, envelope, now)?)
    }

    fn raise_alarm(&self, alarm: &NewAlarm, now: u64) -> Result<bool, Failure> {
        Ok(self.store.raise_alarm(alarm, now)?)
    }

    fn end_alarms(&self, kind: AlarmKind, host: &NodeId) -> Result<(), Failure> {
        Ok(self.store.end_alarms(kind, Some(host))?)
    }
}
