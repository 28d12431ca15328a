//! What a person has to look at, and which snapshots were made on this machine.
//!
//! Alarms come from what others say (hosts, orders), so their number is bounded: a host that makes
//! things up must not fill the disk.

use packnback_proto::ids::{NodeId, OwnerId, RecordId, SnapshotId};
use packnback_proto::wire::admin::{AlarmInfo, AlarmKind};
use serde::{Deserialize, Serialize};

use super::disk::{Batch, Table};
use super::error::StoreError;
use super::stored::{decode, encode};
use super::{Store, keys};

/// Alarms kept about one host.
const PER_HOST_MAX: usize = 64;
/// Alarms kept in all.
const ALARMS_MAX: usize = 1024;

/// An alarm to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlarm {
    /// Kind.
    pub kind: AlarmKind,
    /// The host that told, or that it is about.
    pub host: Option<NodeId>,
    /// The device it is about.
    pub device: Option<NodeId>,
    /// The snapshot it is about.
    pub snap: Option<SnapshotId>,
    /// The order it is about.
    pub order: Option<RecordId>,
    /// For people. The same words for the same thing: other words are a new alarm.
    pub text: String,
}

/// A stored alarm. Acknowledged ones stay, so that they are not raised again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AlarmRow {
    kind: AlarmKind,
    host: Option<NodeId>,
    device: Option<NodeId>,
    snap: Option<SnapshotId>,
    order: Option<RecordId>,
    since: u64,
    text: String,
    acknowledged: bool,
}

impl AlarmRow {
    /// About the same thing, whatever the words.
    fn is_about(&self, alarm: &NewAlarm) -> bool {
        self.kind == alarm.kind
            && self.host == alarm.host
            && self.device == alarm.device
            && self.snap == alarm.snap
            && self.order == alarm.order
    }
}

impl Store {
    /// Raises an alarm, durable on return. The same alarm again has no effect, acknowledged or not;
    /// with other words it is raised anew. Returns whether it is new.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] if too many are kept already; failures of the disk.
    pub fn raise_alarm(&self, alarm: &NewAlarm, now: u64) -> Result<bool, StoreError> {
        let _one = self.alarms.lock();
        let rows = self.alarm_rows()?;
        let known = rows.iter().find(|(_, row)| row.is_about(alarm));
        if known.is_some_and(|(_, row)| row.text == alarm.text) {
            return Ok(false);
        }
        let of_host = || rows.iter().filter(|(_, row)| row.host == alarm.host);
        let mut batch = Batch::default();
        if let Some((old, _)) = known {
            batch.delete(Table::State, keys::alarm(*old));
        } else if rows.len() >= ALARMS_MAX || of_host().count() >= PER_HOST_MAX {
            // What a person has seen makes room; what nobody has seen is loud enough.
            let (seen, _) = of_host()
                .find(|(_, row)| row.acknowledged)
                .ok_or(StoreError::TooMany("alarms"))?;
            batch.delete(Table::State, keys::alarm(*seen));
        }
        let counter = self
            .disk
            .tables
            .get(Table::State, keys::ALARMS)?
            .map_or(Ok(0), |row| decode::<u64>(&row, "number of alarms"))?;
        let number = counter.saturating_add(1);
        let row = AlarmRow {
            kind: alarm.kind,
            host: alarm.host,
            device: alarm.device,
            snap: alarm.snap,
            order: alarm.order,
            since: known.map_or(now, |(_, row)| row.since),
            text: alarm.text.clone(),
            acknowledged: false,
        };
        batch.put(Table::State, keys::ALARMS, encode(&number)?);
        batch.put(Table::State, keys::alarm(number), encode(&row)?);
        self.disk.tables.write(batch)?;
        Ok(true)
    }

    /// The cause of these alarms is gone: they go by themselves, acknowledged or not.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn end_alarms(&self, kind: AlarmKind, host: Option<&NodeId>) -> Result<(), StoreError> {
        let _one = self.alarms.lock();
        let mut batch = Batch::default();
        for (number, row) in self.alarm_rows()? {
            if row.kind == kind && row.host.as_ref() == host {
                batch.delete(Table::State, keys::alarm(number));
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        Ok(self.disk.tables.write(batch)?)
    }

    /// Alarms nobody has acknowledged, the oldest first.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn alarms(&self) -> Result<Vec<AlarmInfo>, StoreError> {
        let open = self.alarm_rows()?.into_iter();
        Ok(open
            .filter(|(_, row)| !row.acknowledged)
            .map(|(number, row)| AlarmInfo {
                kind: row.kind,
                number: Some(number),
                host: row.host,
                device: row.device,
                snap: row.snap,
                order: row.order,
                since: row.since,
                text: row.text,
            })
            .collect())
    }

    /// A person has seen this alarm. Again has no effect.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] if there is no such alarm; failures of the disk.
    pub fn acknowledge(&self, number: u64) -> Result<(), StoreError> {
        let _one = self.alarms.lock();
        let key = keys::alarm(number);
        let row: Option<AlarmRow> = self.row(&key, "alarm")?;
        let row = row.ok_or(StoreError::Unknown("there is no alarm of this number"))?;
        let mut batch = Batch::default();
        let seen = AlarmRow {
            acknowledged: true,
            ..row
        };
        Self::put_row(&mut batch, key, &seen)?;
        Ok(self.disk.tables.write(batch)?)
    }

    fn alarm_rows(&self) -> Result<Vec<(u64, AlarmRow)>, StoreError> {
        // One more: the counter has the same prefix.
        let rows = self
            .disk
            .tables
            .scan(Table::State, keys::ALARMS, None, ALARMS_MAX + 1)?;
        let rows = rows.into_iter().filter(|(key, _)| key != keys::ALARMS);
        rows.map(|(key, row)| {
            let number = key.get(keys::ALARMS.len()..).unwrap_or_default();
            let number = number.try_into().map(u64::from_be_bytes);
            let number = number.map_err(|_| StoreError::Stored("key of an alarm"))?;
            Ok((number, decode(&row, "alarm")?))
        })
        .collect()
    }

    /// Whether a snapshot under this node's key was made by this node. Remembered for good, however
    /// many snapshots are deleted.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn was_made_here(&self, snap: &SnapshotId) -> Result<bool, StoreError> {
        Ok(self
            .disk
            .tables
            .get(Table::State, &keys::made_here(snap))?
            .is_some())
    }

    /// Goes into the batch that accepts a snapshot made here.
    pub(super) fn note_made_here(batch: &mut Batch, snap: &SnapshotId) {
        batch.put(Table::State, keys::made_here(snap), [1]);
    }

    /// For a store of an earlier version, which kept no such list: whatever is here under the own
    /// key was made here, because such a store imported nothing. Call once, before any import.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn note_earlier_snaps(&self) -> Result<(), StoreError> {
        if self
            .disk
            .tables
            .get(Table::State, keys::MADE_HERE)?
            .is_some()
        {
            return Ok(());
        }
        let mut batch = Batch::default();
        if let Some(device) = self.device()? {
            let owner: OwnerId = device.owner;
            for head in self.heads(&owner, &self.node_id(), usize::MAX)? {
                Self::note_made_here(&mut batch, &head.id);
            }
        }
        batch.put(Table::State, keys::MADE_HERE, [1]);
        Ok(self.disk.tables.write(batch)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {

    use packnback_proto::crypto::secret::Secret32;
    use packnback_proto::crypto::sign::SigningKey;

    use super::super::DiskReserve;
    use super::super::memory::MemoryDisk;
    use super::*;

    fn store(engine: &MemoryDisk) -> Store {
        let key = SigningKey::from_seed(&Secret32::new([3; 32]));
        Store::new(engine.disk(), key, DiskReserve(0))
    }

    fn alarm(host: u8, snap: u8) -> NewAlarm {
        NewAlarm {
            kind: AlarmKind::UnknownHead,
            host: Some(NodeId([host; 32])),
            device: None,
            snap: Some(RecordId([snap; 32])),
            order: None,
            text: "look".to_owned(),
        }
    }

    #[test]
    fn an_alarm_is_raised_once_and_stays_acknowledged() {
        let engine = MemoryDisk::default();
        let store = store(&engine);
        assert!(store.raise_alarm(&alarm(1, 1), 10).unwrap());
        assert!(!store.raise_alarm(&alarm(1, 1), 11).unwrap());
        assert!(store.raise_alarm(&alarm(2, 1), 12).unwrap());
        let open = store.alarms().unwrap();
        assert_eq!(open.len(), 2);
        assert_eq!((open[0].number, open[0].since), (Some(1), 10));
        store.acknowledge(1).unwrap();
        assert!(!store.raise_alarm(&alarm(1, 1), 13).unwrap());
        let open = store.alarms().unwrap();
        assert_eq!(open.iter().map(|a| a.number).collect::<Vec<_>>(), [Some(2)]);
        assert!(matches!(store.acknowledge(9), Err(StoreError::Unknown(_))));
        // Other words are news, under a number of their own.
        let louder = NewAlarm {
            text: "look now".to_owned(),
            ..alarm(1, 1)
        };
        assert!(store.raise_alarm(&louder, 20).unwrap());
        let open = store.alarms().unwrap();
        assert_eq!((open[1].number, open[1].since), (Some(3), 10));
        assert_eq!(open.len(), 2);
    }

    #[test]
    fn alarms_survive_a_restart_and_go_with_their_cause() {
        let engine = MemoryDisk::default();
        store(&engine).raise_alarm(&alarm(1, 1), 10).unwrap();
        let store = store(&engine);
        assert_eq!(store.alarms().unwrap().len(), 1);
        let (one, two) = (NodeId([1; 32]), NodeId([2; 32]));
        store.end_alarms(AlarmKind::Evict, Some(&one)).unwrap();
        store
            .end_alarms(AlarmKind::UnknownHead, Some(&two))
            .unwrap();
        assert_eq!(store.alarms().unwrap().len(), 1);
        store
            .end_alarms(AlarmKind::UnknownHead, Some(&one))
            .unwrap();
        assert!(store.alarms().unwrap().is_empty());
        // A number is never given twice: somebody may have written it down.
        store.raise_alarm(&alarm(1, 1), 10).unwrap();
        assert_eq!(store.alarms().unwrap()[0].number, Some(2));
    }

    #[test]
    fn a_host_that_makes_things_up_fills_no_disk() {
        let engine = MemoryDisk::default();
        let store = store(&engine);
        let raise = |host, n| store.raise_alarm(&alarm(host, n), 10);
        for n in 0..64 {
            raise(1, n).unwrap();
        }
        let before = engine.snapshot();
        assert!(matches!(raise(1, 64), Err(StoreError::TooMany(_))));
        assert_eq!(engine.snapshot(), before);
        // Others are still heard, and what was seen makes room.
        assert!(raise(2, 64).unwrap());
        store.acknowledge(1).unwrap();
        assert!(raise(1, 64).unwrap());
        assert_eq!(store.alarms().unwrap().len(), 65);
    }
}
