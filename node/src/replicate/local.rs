//! The store of this node as the source of replication.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SnapshotId};
use packnback_proto::record::decode_order;
use packnback_proto::wire::Bytes;
use packnback_proto::wire::admin::AlarmKind;

use super::source::{Fate, OwnSnap, Shape, Source};
use crate::ports::Failure;
use crate::store::stored::ElsewhereRow;
use crate::store::{NewAlarm, Store, StoreError};

/// See the module.
pub struct StoreSource {
    store: Arc<Store>,
    /// A node belongs to its first owner for good, so it is looked up once.
    owner: OnceLock<OwnerId>,
    /// The snapshots as they were at the last look: only what was logged since is read.
    followed: Mutex<Followed>,
}

/// Snapshots of this device, as of an entry of the log.
#[derive(Default)]
struct Followed {
    /// Number of that entry.
    number: u64,
    /// Oldest first.
    snaps: Vec<OwnSnap>,
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
            followed: Mutex::default(),
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
        let mut followed = self.followed.lock();
        // Asked before the list is read: what is logged meanwhile is read again with the next look.
        let number = self.store.log_number(owner)?;
        if followed.number != number {
            let ids = self.store.snap_ids(owner, &self.store.node_id())?;
            let known = std::mem::take(&mut *followed).snaps.into_iter();
            let mut known: HashMap<SnapshotId, OwnSnap> =
                known.map(|snap| (snap.id, snap)).collect();
            let mut snaps = Vec::with_capacity(ids.len());
            for id in ids.into_iter().rev() {
                snaps.push(match known.remove(&id) {
                    Some(snap) => snap,
                    None => self.snap(owner, id)?,
                });
            }
            *followed = Followed { number, snaps };
        }
        Ok(followed.snaps.clone())
    }

    fn snap(&self, owner: &OwnerId, id: SnapshotId) -> Result<OwnSnap, StoreError> {
        let row = self.store.snap(owner, &id)?;
        let row = row.ok_or(StoreError::Stored("snapshot row"))?;
        Ok(OwnSnap {
            id,
            seq: row.seq,
            root: row.root,
            set: row.set,
            time: row.time,
            envelope: self.record(owner, &id)?,
        })
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
        let orders = self.store.order_envelopes(&owner)?;
        Ok(orders.into_iter().map(Bytes).collect())
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
