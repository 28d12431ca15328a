//! One round of everything that goes with time: expiry, orders at the end of their grace, space.
//!
//! Runs beside backups, restores and other rounds; there is no lock over all. What fails for one
//! owner is told and does not stop the others.

use std::collections::BTreeSet;

use packnback_proto::ids::OwnerId;
use packnback_proto::policy::{ClockState, Moment};
use packnback_proto::wire::admin::{AlarmKind, CollectInfo};

use super::damage::Toll;
use super::error::StoreError;
use super::free::Freed;
use super::{NewAlarm, Store, keys};

/// What a round did, and what stopped it where.
#[derive(Debug, Default)]
pub struct Round {
    /// What was done.
    pub done: CollectInfo,
    /// Snapshots the policies marked.
    pub marked: u64,
    /// Owners for whom it stopped at an error. Nothing in doubt was freed.
    pub failed: Vec<(OwnerId, StoreError)>,
}

impl Store {
    /// Does one round at this moment. `thorough`: also gives back small amounts of space.
    ///
    /// # Errors
    /// Failures of the disk that concern all owners.
    pub fn collect(&self, moment: Moment, thorough: bool) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let now = moment.wall;
        round.done.disk_before = self.disk.used()?;
        let mut lots = BTreeSet::new();
        let mut toll = Toll::default();
        for owner in self.owner_ids()? {
            let mut freed = Freed::default();
            if let Err(error) = self.collect_owner(&owner, moment, &mut round, &mut freed) {
                self.tell_doubt(&owner, &error, now);
                round.failed.push((owner, error));
            }
            match self.look_at_damage(&owner) {
                Ok(damaged) => toll.add(&damaged),
                Err(error) => tracing::error!(%error, "damage could not be looked at"),
            }
            round.done.objects = round.done.objects.saturating_add(freed.objects);
            round.done.bytes = round.done.bytes.saturating_add(freed.bytes);
            lots.append(&mut freed.lots);
        }
        round.done.damaged = toll.objects;
        self.tell_damage(&toll, now);
        round.done.stopped = u64::try_from(round.failed.len()).unwrap_or(u64::MAX);
        if round.failed.is_empty() {
            self.end_alarms(AlarmKind::Collect, None)?;
        }
        let dropped = self.reclaim().drop_unclaimed()?;
        let moved = self.reclaim().move_lots(lots, now)?;
        round.done.moved_objects = moved.objects;
        round.done.moved_bytes = moved.bytes;
        let given = dropped.saturating_add(moved.bytes);
        self.reclaim()
            .give_files_back(given, thorough, round.done.disk_before)?;
        self.reclaim().give_back()?;
        round.done.disk_after = self.disk.used()?;
        Ok(round)
    }

    /// In the log, and as an alarm as long as it lasts.
    fn tell_doubt(&self, owner: &OwnerId, error: &StoreError, now: u64) {
        tracing::error!(owner = %owner.short(), %error, "collecting stopped: nothing in doubt is freed");
        let alarm = NewAlarm {
            kind: AlarmKind::Collect,
            host: None,
            device: None,
            snap: None,
            order: None,
            text: format!(
                "collecting space stopped for owner {}: {error}. Nothing in doubt was freed. Stop and start this node: it mends what it can; check its disk",
                owner.short()
            ),
        };
        if let Err(error) = self.raise_alarm(&alarm, now) {
            tracing::error!(%error, "the alarm could not be kept");
        }
    }

    fn collect_owner(
        &self,
        owner: &OwnerId,
        moment: Moment,
        round: &mut Round,
        freed: &mut Freed,
    ) -> Result<(), StoreError> {
        let now = moment.wall;
        let clock = self.look_at_clock(owner, moment)?;
        // By a clock that is not believed nothing may end.
        if clock == ClockState::Steady {
            let marked = self.retain(owner, clock, now)?;
            round.marked = round.marked.saturating_add(marked);
            let ended = self.carry_out(owner, now)?;
            round.done.snaps = round.done.snaps.saturating_add(ended);
            let dropped = self.carry_out_eviction(owner, now)?;
            round.done.snaps = round.done.snaps.saturating_add(dropped);
        }
        self.reclaim().free_loose(owner, now, freed)
    }

    /// Checks that these tables are of this version, and marks new ones so.
    ///
    /// # Errors
    /// [`StoreError::OtherVersion`]; failures of the disk.
    pub fn check_version(&self) -> Result<(), StoreError> {
        /// 2: objects are counted. 3: snapshots are of backup sets. 4: notes of bytes say whose they are.
        const TABLES: u64 = 4;
        match self.row::<u64>(keys::VERSION, "version of the tables")? {
            Some(TABLES) => Ok(()),
            Some(other) => Err(StoreError::OtherVersion(other)),
            None if self.owner_ids()?.is_empty() || self.disk.damage().rows => {
                let mut batch = super::disk::Batch::default();
                Self::put_row(&mut batch, keys::VERSION.to_vec(), &TABLES)?;
                Ok(self.disk.tables.write(batch)?)
            }
            None => Err(StoreError::OtherVersion(1)),
        }
    }
}
