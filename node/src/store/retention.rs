//! Retention at a host: carries out what `packnback_proto::policy` decides, and remembers what it
//! must (docs/retention.md).

use std::collections::{BTreeSet, HashMap};

use packnback_proto::ids::{NodeId, OwnerId, RecordId, SnapshotId};
use packnback_proto::limits::SETS_MAX;
use packnback_proto::machine::budget::DAY_S;
use packnback_proto::machine::commit::CommitRefusal;
use packnback_proto::machine::orders::grace_d;
use packnback_proto::policy::{
    ClockMark, ClockState, Freeze, Frozen, Link, Moment, Rules, SnapFact, Verdict, advance,
    cleared, evaluate, expire, fork,
};
use packnback_proto::record::{Signed, Snap};
use packnback_proto::wire::admin::{GoingInfo, KeepInfo, PolicyInfo, RetentionInfo};

use super::disk::Table;
use super::error::StoreError;
use super::lines::Newcomer;
use super::orders::mark_key;
use super::stored::{DeviceState, MarkRow, PolicyRow, SnapRow, decode};
use super::tx::OwnerTx;
use super::{Store, keys};

/// Snapshots listed in one answer, of all devices together: about half a kilobyte each.
const LISTED_MAX: usize = 4096;

impl From<&PolicyRow> for Rules {
    fn from(row: &PolicyRow) -> Self {
        Self {
            min_age_d: row.min_age_d,
            keep: row.keep,
            keep_last: row.keep_last,
        }
    }
}

impl OwnerTx<'_> {
    /// A newer policy: freezes of the devices it is for end, and what the older one had marked stays
    /// until the new one says otherwise.
    pub(super) fn thaw(&mut self, device: Option<&NodeId>) -> Result<(), StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let devices = match device {
            Some(device) => vec![*device],
            None => store.devices_of(owner)?,
        };
        for device in &devices {
            let state = store.device_state(owner, device)?;
            if !state.freezes.is_empty() {
                let freezes = Vec::new();
                let key = keys::device_state(owner, device);
                self.put_row(key, &DeviceState { freezes, ..state })?;
            }
        }
        for snap in store.marked_by_policy(owner, &devices)? {
            self.delete(Table::State, keys::mark(owner, &snap, &keys::NO_ORDER));
        }
        let mark: Option<ClockMark> = store.row(&keys::clock(owner), "clock row")?;
        if let Some(mark) = mark {
            self.put_row(keys::clock(owner), &cleared(mark))?;
        }
        Ok(())
    }

    pub(super) fn freeze_revoked(&mut self, device: &NodeId, since: u64) -> Result<(), StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let mut state = store.device_state(owner, device)?;
        if !state.freezes.iter().any(|f| f.freeze == Freeze::Revoked) {
            let freeze = Freeze::Revoked;
            state.freezes.push(Frozen { freeze, since });
            self.put_row(keys::device_state(owner, device), &state)?;
        }
        Ok(())
    }

    /// A snapshot is about to be accepted: notes what must stop expiry, and refuses a backup set too
    /// many. `flood`: if too many came today.
    pub(super) fn watch(
        &mut self,
        snap: &Signed<Snap>,
        flood: Option<Freeze>,
        now: u64,
    ) -> Result<(), StoreError> {
        let (store, owner) = (self.store, &{ self.owner });
        let value = snap.value();
        let device = &value.device;
        let before = store.device_state(owner, device)?;
        let mut state = before.clone();
        let (seq, prev, set) = (value.seq, value.prev, value.set);
        let known = store.known_line(owner, device, Newcomer { seq, prev, set })?;
        if known.sets >= SETS_MAX && known.is_new_set {
            return Err(CommitRefusal::TooManySets.into());
        }
        let is = |freezes: &[Frozen], kind: fn(&Freeze) -> bool| {
            freezes.iter().any(|frozen| kind(&frozen.freeze))
        };
        let since = now;
        if known.forks
            && !is(&state.freezes, |f| matches!(f, Freeze::Fork { .. }))
            && let Some(other) = store.other_line(owner, snap)?
        {
            let (a, b) = (other, snap.id());
            tracing::warn!(device = %device.short(), "two lines of snapshots: expiry is frozen");
            let freeze = Freeze::Fork { a, b };
            state.freezes.push(Frozen { freeze, since });
        }
        if let Some(freeze) = flood
            && !is(&state.freezes, |f| matches!(f, Freeze::Flood { .. }))
        {
            tracing::warn!(device = %device.short(), "many snapshots in a day: expiry is frozen");
            state.freezes.push(Frozen { freeze, since });
        }
        if state != before {
            self.put_row(keys::device_state(owner, device), &state)?;
        }
        Ok(())
    }
}

impl Store {
    /// The devices of an owner that have shown a certificate here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn devices_of(&self, owner: &OwnerId) -> Result<Vec<NodeId>, StoreError> {
        let prefix = keys::certs(owner);
        let rows = self.all_rows(&prefix)?;
        rows.iter()
            .map(|(key, _)| {
                let device = key.get(prefix.len()..);
                let device = device.and_then(|device| NodeId::from_slice(device).ok());
                device.ok_or(StoreError::Stored("certificate row"))
            })
            .collect()
    }

    /// Looks at the clocks on behalf of one owner: each has a mark of its own, so that the order of
    /// one owner says nothing for another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn look_at_clock(
        &self,
        owner: &OwnerId,
        moment: Moment,
    ) -> Result<ClockState, StoreError> {
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        let mark: Option<ClockMark> = self.row(&keys::clock(owner), "clock row")?;
        let (next, state) = advance(mark, moment);
        if mark != Some(next) {
            tx.put_row(keys::clock(owner), &next)?;
            tx.write()?;
        }
        Ok(state)
    }

    /// Snapshots of these devices that the policy has marked.
    fn marked_by_policy(
        &self,
        owner: &OwnerId,
        devices: &[NodeId],
    ) -> Result<Vec<SnapshotId>, StoreError> {
        let prefix = keys::marks(owner);
        let mut marked = Vec::new();
        for (key, _) in self.all_rows(&prefix)? {
            let (snap, cause) = mark_key(&prefix, &key)?;
            if cause != keys::NO_ORDER {
                continue;
            }
            let row = self.snap(owner, &snap)?;
            if row.is_some_and(|row| devices.contains(&row.device)) {
                marked.push(snap);
            }
        }
        Ok(marked)
    }

    /// A snapshot that is here and has the number of this one, or the same one before it.
    fn other_line(
        &self,
        owner: &OwnerId,
        snap: &Signed<Snap>,
    ) -> Result<Option<SnapshotId>, StoreError> {
        let value = snap.value();
        let known = self.snaps_of(owner, &value.device)?;
        let known: Vec<Link> = known.iter().map(|(id, row)| link_of(*id, row)).collect();
        let link = Link {
            id: snap.id(),
            prev: value.prev,
            seq: value.seq,
        };
        Ok(fork(&known, &link))
    }

    fn marked(&self, owner: &OwnerId) -> Result<BTreeSet<SnapshotId>, StoreError> {
        let prefix = keys::marks(owner);
        let rows = self.all_rows(&prefix)?;
        rows.iter()
            .map(|(key, _)| mark_key(&prefix, key).map(|(snap, _)| snap))
            .collect()
    }

    fn facts(
        &self,
        owner: &OwnerId,
        snaps: &[(SnapshotId, SnapRow)],
        marked: &BTreeSet<SnapshotId>,
    ) -> Result<Vec<SnapFact>, StoreError> {
        let mut facts = Vec::with_capacity(snaps.len());
        for (id, row) in snaps {
            if !marked.contains(id) {
                facts.push(SnapFact {
                    id: *id,
                    set: row.set,
                    t: row.kept_from,
                    arrival: row.log_seq,
                    held: self.is_held(owner, id)?,
                });
            }
        }
        Ok(facts)
    }

    /// Marks what the policies of an owner let go today. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`]: nothing of that device was marked then.
    pub(super) fn retain(
        &self,
        owner: &OwnerId,
        clock: ClockState,
        now: u64,
    ) -> Result<u64, StoreError> {
        let mut count = 0u64;
        for device in self.devices_of(owner)? {
            let lock = self.owner_lock(owner);
            let mut tx = lock.write();
            let Some(policy) = self.policy(owner, &device)? else {
                continue;
            };
            let state = self.device_state(owner, &device)?;
            let frozen = state.freezes.iter().map(|frozen| frozen.freeze.clone());
            let freezes: Vec<Freeze> = frozen.chain(clock.freeze()).collect();
            let facts = self.facts(owner, &self.snaps_of(owner, &device)?, &self.marked(owner)?)?;
            let (marked, day) = expire(&facts, &Rules::from(&policy), state.day, &freezes, now);
            if marked.is_empty() {
                continue;
            }
            let days = grace_d(self.grace_d(), Some(policy.grace_d));
            let row = MarkRow {
                since: now,
                due: now.saturating_add(days.saturating_mul(DAY_S)),
                order: None,
            };
            for snap in &marked {
                tx.put_row(keys::mark(owner, snap, &keys::NO_ORDER), &row)?;
            }
            let key = keys::device_state(owner, &device);
            tx.put_row(key, &DeviceState { day, ..state })?;
            tx.write_charged()?;
            count = count.saturating_add(u64::try_from(marked.len()).unwrap_or(u64::MAX));
        }
        Ok(count)
    }

    /// What retention says of every snapshot here, the newest `skip` of each device left out, and no
    /// more than fit into an answer. With `other`, as if that policy were in force and nothing were
    /// frozen.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn retention(
        &self,
        owner: &OwnerId,
        only: Option<&NodeId>,
        other: Option<&PolicyInfo>,
        (skip, now): (u64, u64),
    ) -> Result<Vec<RetentionInfo>, StoreError> {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut room = LISTED_MAX;
        let mut infos = Vec::new();
        for device in self.devices_of(owner)? {
            if only.is_some_and(|only| *only != device) {
                continue;
            }
            let in_force = self.policy(owner, &device)?;
            let policy = match other {
                Some(other) => Some(other.clone()),
                None => in_force.map(|row| policy_info(&row)),
            };
            let frozen = self.freezes(owner, &device)?;
            let snaps = self.snaps_of(owner, &device)?;
            let marked = self.marked(owner)?;
            let facts = self.facts(owner, &snaps, &marked)?;
            let verdicts = match &policy {
                Some(policy) => evaluate(&facts, &rules(policy), now),
                None => Vec::new(),
            };
            let verdicts = verdicts
                .iter()
                .map(|verdict| (verdict.id, verdict))
                .collect();
            let total = u64::try_from(snaps.len()).unwrap_or(u64::MAX);
            let listed: Vec<_> = snaps.into_iter().skip(skip).take(room).collect();
            room = room.saturating_sub(listed.len());
            infos.push(RetentionInfo {
                device,
                policy,
                frozen: frozen.iter().map(ToString::to_string).collect(),
                total,
                snaps: listed
                    .into_iter()
                    .map(|(id, row)| self.keep_info(owner, id, &row, &verdicts))
                    .collect::<Result<_, _>>()?,
            });
        }
        Ok(infos)
    }

    fn keep_info(
        &self,
        owner: &OwnerId,
        snap: SnapshotId,
        row: &SnapRow,
        verdicts: &HashMap<SnapshotId, &Verdict>,
    ) -> Result<KeepInfo, StoreError> {
        let going = self.going(owner, &snap)?;
        let verdict = verdicts.get(&snap).copied();
        let mut reasons: Vec<String> = match verdict {
            Some(verdict) => verdict.reasons.iter().map(ToString::to_string).collect(),
            None => Vec::new(),
        };
        let no_rule = verdict.is_none() && going.is_none();
        if no_rule && self.is_held(owner, &snap)? {
            reasons.push("held".into());
        } else if no_rule {
            reasons.push("no policy".into());
        }
        Ok(KeepInfo {
            snap,
            set: row.set,
            time: row.time,
            received: row.kept_from,
            goes: verdict.and_then(|verdict| verdict.goes),
            reasons,
            going,
        })
    }

    /// The earliest mark of a snapshot.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn going(
        &self,
        owner: &OwnerId,
        snap: &SnapshotId,
    ) -> Result<Option<GoingInfo>, StoreError> {
        let mut first: Option<MarkRow> = None;
        for (_, mark) in self.marks_of(owner, snap)? {
            let mark: MarkRow = decode(&mark, "mark")?;
            if first.is_none_or(|first| mark.due < first.due) {
                first = Some(mark);
            }
        }
        Ok(first.map(|MarkRow { since, due, order }| GoingInfo { since, due, order }))
    }

    /// Why nothing of a device expires, and since when.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn freezes(&self, owner: &OwnerId, device: &NodeId) -> Result<Vec<Frozen>, StoreError> {
        let clock: Option<ClockMark> = self.row(&keys::clock(owner), "clock row")?;
        let mut freezes = self.device_state(owner, device)?.freezes;
        if let Some(mark) = clock
            && let Some(freeze) = mark.state().freeze()
        {
            // The base was set when the clock moved. One that is wrong is dated by what it should
            // have shown.
            let since = mark.jumped.map_or(mark.base_wall, |jump| jump.expected);
            freezes.push(Frozen { freeze, since });
        }
        Ok(freezes)
    }
}

fn link_of(id: RecordId, row: &SnapRow) -> Link {
    Link {
        id,
        prev: row.prev,
        seq: row.seq,
    }
}

fn rules(policy: &PolicyInfo) -> Rules {
    Rules {
        min_age_d: policy.min_age_d,
        keep: policy.keep,
        keep_last: policy.keep_last,
    }
}

fn policy_info(row: &PolicyRow) -> PolicyInfo {
    PolicyInfo {
        pseq: row.pseq,
        device: None,
        min_age_d: row.min_age_d,
        keep: row.keep,
        keep_last: row.keep_last,
        grace_d: row.grace_d,
    }
}
