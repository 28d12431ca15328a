//! What is damaged here: named, told, and mended as far as this node alone can.
//!
//! Damage never stops the node. What is damaged counts as missing, so that devices bring it again and
//! nothing new is acknowledged that needs it; everything else is served as before.

use std::collections::HashSet;

use packnback_proto::ids::{ObjectId, OwnerId};
use packnback_proto::wire::admin::AlarmKind;

use super::disk::{Batch, Keys, Table};
use super::error::StoreError;
use super::stored::ObjectMeta;
use super::unclaimed::{NOBODY, Note};
use super::{NewAlarm, Store, keys};

/// What was found and done when damaged files were put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended {
    /// Rows of objects that were made again.
    pub rows: u64,
    /// Snapshots whose rows were made again.
    pub snaps: u64,
    /// Objects whose bytes are gone.
    pub lost: u64,
}

/// Enough of a key to tell it from others.
fn short(key: &[u8]) -> Option<[u8; 24]> {
    let (owner, id) = (key.get(..8)?, key.get(32..48)?);
    [owner, id].concat().try_into().ok()
}

impl Store {
    /// Whether something of an owner is known to be damaged.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn has_damage(&self, owner: &OwnerId) -> Result<bool, StoreError> {
        let rows = self
            .disk
            .tables
            .scan(Table::State, &keys::all_damaged(owner), None, 1)?;
        Ok(!rows.is_empty())
    }

    /// Objects of an owner whose stored bytes are damaged or gone.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn damaged(&self, owner: &OwnerId) -> Result<Vec<ObjectId>, StoreError> {
        let prefix = keys::all_damaged(owner);
        let id = |key: &[u8]| {
            let id = key.get(prefix.len()..).map(ObjectId::from_slice);
            id.and_then(Result::ok)
                .ok_or(StoreError::Stored("list of damaged objects"))
        };
        let rows = self.all_rows(&prefix)?;
        rows.iter().map(|(key, _)| id(key)).collect()
    }

    pub(super) fn mark_damaged(
        batch: &mut Batch,
        owner: &OwnerId,
        (id, meta): (&ObjectId, ObjectMeta),
    ) {
        let damaged = true;
        let row = ObjectMeta { damaged, ..meta }.encode();
        batch.put(Table::Meta, keys::object(owner, id), row);
        batch.put(Table::State, keys::damaged(owner, id), []);
    }

    /// Puts in order what the disk said to be damaged when it was opened. Call once, before anything is
    /// served.
    ///
    /// # Errors
    /// Failures of the disk. Then it is done at the next start.
    pub fn mend(&self, now: u64) -> Result<Option<Mended>, StoreError> {
        let damage = self.disk.damage();
        if !damage.is_some() {
            return Ok(None);
        }
        // Where rows are made again, they are for everything that is here.
        if damage.strays && !damage.rows {
            self.note_strays(now)?;
        }
        if !damage.rows && !damage.objects {
            self.disk.mended()?;
            return Ok(None);
        }
        let mut mended = Mended::default();
        if damage.rows {
            self.rebuild(now, &mut mended)?;
        }
        mended.lost = self.find_lost_bytes()?;
        if damage.rows {
            self.tell_lost_rows(&mended, now)?;
        }
        self.disk.mended()?;
        tracing::error!(?mended, "the store was damaged, and was put in order");
        Ok(Some(mended))
    }

    /// Objects that are here although neither a row nor a note says so: what was noted of them went with
    /// the power. They are noted again, as nobody's, and dropped with the next round like any others that
    /// nobody claimed.
    fn note_strays(&self, now: u64) -> Result<u64, StoreError> {
        let mut keys = Vec::new();
        self.disk.objects.each_key(Keys::Unsure, &mut |key| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        let (mut found, mut batch) = (0u64, Batch::default());
        for key in keys {
            let (Some(owner), Some(id)) = (key.first_chunk(), key.last_chunk()) else {
                continue;
            };
            let (owner, id) = (OwnerId(*owner), ObjectId(*id));
            let known = self.disk.tables.get(Table::Meta, &key)?.is_some()
                || self.note_of(&owner, &id)?.is_some();
            if known {
                continue;
            }
            // A key may be all that is left of it.
            let Some(bytes) = self.disk.objects.get(&key)? else {
                continue;
            };
            let note = Note {
                device: NOBODY,
                size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                lot: self.lots.number(now),
            };
            batch.put(Table::State, keys::to_drop(&owner, &id), note.encode());
            found = found.saturating_add(1);
        }
        if found > 0 {
            tracing::warn!(
                found,
                "objects that were noted when the power went are here, and are dropped"
            );
            self.disk.tables.write(batch)?;
        }
        Ok(found)
    }

    /// Marks every object whose bytes are gone. Returns how many there are.
    fn find_lost_bytes(&self) -> Result<u64, StoreError> {
        let mut there = HashSet::new();
        self.disk.objects.each_key(Keys::All, &mut |key| {
            there.extend(short(key));
            Ok(())
        })?;
        let (mut lost, mut batch) = (0u64, Batch::default());
        self.each_row(Table::Meta, &[], |key, row| {
            if short(&key).is_some_and(|key| there.contains(&key)) {
                return Ok(());
            }
            let (Some(owner), Some(id)) = (key.first_chunk(), key.last_chunk()) else {
                return Ok(());
            };
            let (owner, id) = (OwnerId(*owner), ObjectId(*id));
            Self::mark_damaged(&mut batch, &owner, (&id, ObjectMeta::decode(&row)?));
            lost = lost.saturating_add(1);
            Ok(())
        })?;
        if !batch.is_empty() {
            self.disk.tables.write(batch)?;
        }
        Ok(lost)
    }

    /// What was damaged and put again, and is whole again down to the last object, is damaged no more.
    pub(super) fn look_at_damage(&self, owner: &OwnerId) -> Result<u64, StoreError> {
        let damaged = self.damaged(owner)?;
        if damaged.is_empty() {
            return Ok(0);
        }
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        let view = self.view(&self.own_access(owner))?.remembering();
        let mut survey = packnback_proto::machine::closure::Survey::new(&view);
        let mut left = 0u64;
        for id in damaged {
            // An object nobody needed any more may have gone meanwhile.
            let gone = self.object_meta(owner, &id)?.is_none();
            if gone || survey.is_complete(&id)? {
                tx.delete(Table::State, keys::damaged(owner, &id));
            } else {
                left = left.saturating_add(1);
            }
        }
        let (nodes, _) = survey.into_done();
        tx.set_complete(view, &nodes)?;
        tx.write()?;
        Ok(left)
    }

    /// What only the tables held cannot be known to be whole again: an alarm until somebody has seen it. It is about
    /// this node as a host, so that mended objects do not end it.
    fn tell_lost_rows(&self, mended: &Mended, now: u64) -> Result<(), StoreError> {
        let text = format!(
            "the tables of this node's store were damaged and made again: {} objects and {} snapshots were found again. Other snapshots, orders and friends of this node may be missing here; copies on other nodes are not touched. Look at `packnback snapshots` and `packnback peer list`, run a backup, and check the disk of this node",
            mended.rows, mended.snaps
        );
        let alarm = NewAlarm {
            kind: AlarmKind::Damage,
            host: Some(self.node_id()),
            device: None,
            snap: None,
            order: None,
            text,
        };
        self.raise_alarm(&alarm, now).map(|_| ())
    }

    /// As an alarm as long as it lasts.
    pub(super) fn tell_damage(&self, objects: u64, owners: usize, now: u64) {
        let told = if objects == 0 {
            self.end_alarms(AlarmKind::Damage, None)
        } else {
            let text = format!(
                "{objects} stored objects of {owners} owners are damaged or gone on this node: snapshots that need them cannot be restored whole from here. Everything else is served as before, and copies on other nodes are not touched. Backups bring the objects again where the files still exist; check the disk of this node"
            );
            let alarm = NewAlarm {
                kind: AlarmKind::Damage,
                host: None,
                device: None,
                snap: None,
                order: None,
                text,
            };
            self.raise_alarm(&alarm, now).map(|_| ())
        };
        if let Err(error) = told {
            tracing::error!(%error, "the alarm could not be kept");
        }
    }
}
