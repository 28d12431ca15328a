//! One random step.

use std::collections::BTreeSet;

use packnback_proto::ids::SnapshotId;
use packnback_proto::machine::commit::CommitRefusal;
use packnback_proto::machine::session::is_over;
use packnback_proto::record::Op;

use super::world::{Session, Twin, World, owner_id};
use crate::service::testkit::cert;
use crate::store::stored::{MarkRow, decode};
use crate::store::{CommitOutcome, StoreError};

const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

impl World {
    pub(super) fn step(&mut self) {
        if !self.faults {
            return self.any();
        }
        match self.dice.below(12) {
            0 => self.power_fails(false),
            1 => self.power_fails(true),
            2 => self.one_call_fails(),
            _ => self.any(),
        }
    }

    /// At one of the next writes; `tears`: that one may be there afterwards.
    fn power_fails(&mut self, tears: bool) {
        let writes = u64::try_from(self.dice.below(12)).unwrap();
        match tears {
            true => self.engine.tear_after(writes),
            false => self.engine.fail_after(writes),
        }
        for _ in 0..3 {
            self.any();
        }
        self.crash();
    }

    /// Everything goes on afterwards.
    fn one_call_fails(&mut self) {
        let calls = u64::try_from(self.dice.below(60)).unwrap();
        self.engine.fail_call(Some(calls));
        self.any();
        self.engine.fail_call(None);
    }

    fn any(&mut self) {
        match self.dice.below(16) {
            0 => self.open_session(),
            1 => {
                self.sessions.pop();
            }
            2..=5 => self.put(),
            6 => self.sync(),
            7 => self.have(),
            8..=10 => self.commit(),
            11 => self.delete(),
            12 => self.cancel_or_hold(),
            13 => self.pass_time(),
            _ => self.collect(),
        }
    }

    fn pass_time(&mut self) {
        self.now += HOUR * u64::try_from(1 + self.dice.below(60)).unwrap();
        // The service ends sessions that are open for too long.
        let now = self.now;
        self.sessions.retain(|session| !is_over(session.began, now));
    }

    pub(super) fn crash(&mut self) {
        self.sessions.clear();
        // The power goes, or only the process: what was noted last is lost, or not.
        match self.dice.below(5) {
            0 | 1 => self.engine.crash(),
            2 => self.engine.crash_out_of_order(),
            _ => self.engine.kill(),
        }
        self.store = super::world::open(&self.engine);
        // What was under way at the crash either happened or did not; the tables say which.
        let there: BTreeSet<SnapshotId> = self
            .store
            .all_snaps(&owner_id())
            .unwrap()
            .into_iter()
            .collect();
        for snap in self.snaps.keys() {
            assert!(
                there.contains(snap) || self.is_due(snap),
                "a crash lost snapshot {}",
                snap.short()
            );
        }
        let gone: Vec<_> = self
            .snaps
            .keys()
            .filter(|s| !there.contains(s))
            .copied()
            .collect();
        for snap in gone {
            self.snaps.remove(&snap);
            self.ended.insert(snap);
        }
        self.learn(&there);
    }

    /// What failed when the power went may be in force all the same.
    fn learn(&mut self, there: &BTreeSet<SnapshotId>) {
        for snap in there {
            let row = self.store.snap(&owner_id(), snap).unwrap().unwrap();
            let held = self.store.is_held(&owner_id(), snap).unwrap();
            let rows = self.store.marks_of(&owner_id(), snap).unwrap();
            let mark = |(key, row): &(Vec<u8>, Vec<u8>)| {
                let oid: [u8; 16] = key[key.len() - 16..].try_into().unwrap();
                let row: MarkRow = decode(row, "mark").unwrap();
                (oid, row.due)
            };
            let twin = Twin {
                root: row.root,
                held,
                marks: rows.iter().map(mark).collect(),
            };
            self.snaps.insert(*snap, twin);
        }
    }

    fn is_due(&self, snap: &SnapshotId) -> bool {
        let twin = &self.snaps[snap];
        !twin.held && twin.marks.values().any(|due| *due <= self.now)
    }

    fn open_session(&mut self) {
        if self.sessions.len() >= 3 {
            return;
        }
        let device = self.dice.below(2);
        let Ok(intake) = self.store.intake(self.access(device)) else {
            return;
        };
        let bases: Vec<SnapshotId> = self.snaps.keys().copied().collect();
        let base = (!bases.is_empty() && self.dice.below(2) == 0)
            .then(|| bases[self.dice.below(bases.len())]);
        if let Some(base) = base {
            intake.set_base(base);
        }
        self.sessions.push(Session {
            device,
            intake,
            relies: BTreeSet::new(),
            put: BTreeSet::new(),
            base,
            began: self.now,
        });
    }

    fn with_session(&mut self, work: impl FnOnce(&mut Self, &mut Session)) {
        if self.sessions.is_empty() {
            return self.open_session();
        }
        let at = self.dice.below(self.sessions.len());
        let mut session = self.sessions.swap_remove(at);
        work(self, &mut session);
        self.sessions.push(session);
    }

    fn put(&mut self) {
        self.with_session(|world, session| {
            for _ in 0..1 + world.dice.below(6) {
                let object = world.objects[world.dice.below(world.objects.len())].clone();
                let put = world
                    .store
                    .put(&session.intake, &object.id, &object.bytes, world.now);
                if put.is_ok() {
                    session.put.insert(object.id);
                }
            }
        });
    }

    fn sync(&mut self) {
        self.with_session(Self::sync_one);
    }

    fn sync_one(&mut self, session: &mut Session) {
        if self.store.sync(&session.intake, self.now).is_ok() {
            session.relies.append(&mut session.put);
        }
    }

    fn have(&mut self) {
        self.with_session(|world, session| {
            let ids: Vec<_> = world.objects.iter().map(|object| object.id).collect();
            let Ok(answers) = world.store.have(&session.intake, &ids, world.now) else {
                return;
            };
            let yes: Vec<_> = ids
                .iter()
                .zip(answers)
                .filter(|(_, yes)| *yes)
                .map(|(id, _)| *id)
                .collect();
            session.relies.extend(world.closure(yes));
        });
    }

    /// Puts what is missing, as an honest device does, and commits; or commits as it is.
    fn commit(&mut self) {
        self.with_session(|world, session| {
            let root = world.roots[world.dice.below(world.roots.len())];
            let honest = world.dice.below(3) > 0;
            if honest {
                let below = world.closure([root]);
                let objects = world.objects.clone();
                for object in objects.iter().filter(|object| below.contains(&object.id)) {
                    let put =
                        world
                            .store
                            .put(&session.intake, &object.id, &object.bytes, world.now);
                    if put.is_ok() {
                        session.put.insert(object.id);
                    }
                }
                world.sync_one(session);
            }
            let snap = world.snap(session.device, root);
            let access = world.access(session.device);
            let cert = packnback_proto::record::Cert {
                device: access.device,
                ..cert()
            };
            match world
                .store
                .commit(&access, &cert, snap.envelope(), world.now)
            {
                Ok(CommitOutcome::Accepted(_)) => {
                    let twin = Twin {
                        root,
                        held: false,
                        marks: Default::default(),
                    };
                    world.snaps.insert(snap.id(), twin);
                }
                Ok(CommitOutcome::Missing(missing)) => {
                    let all_there = world
                        .closure([root])
                        .iter()
                        .all(|id| session.relies.contains(id));
                    assert!(
                        !all_there,
                        "missing {missing:?} of what the session was told is here"
                    );
                }
                Err(StoreError::Commit(CommitRefusal::NotARoot | CommitRefusal::Malformed)) => {
                    panic!("a good tree was refused")
                }
                Err(_) => assert!(world.faults, "only a disk that fails refuses"),
            }
        });
    }

    fn delete(&mut self) {
        let all: Vec<SnapshotId> = self.snaps.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let mut picks: Vec<SnapshotId> = (0..1 + self.dice.below(3))
            .map(|_| all[self.dice.below(all.len())])
            .collect();
        picks.sort();
        picks.dedup();
        let (oid, envelope) = self.order(Op::DeleteIds(picks.clone()));
        if self
            .store
            .put_order(&owner_id(), &envelope, self.now)
            .is_err()
        {
            return assert!(self.faults);
        }
        for snap in &picks {
            let twin = self.snaps.get_mut(snap).unwrap();
            if !twin.held {
                twin.marks.insert(oid, self.now + 2 * DAY);
            }
        }
        self.orders.push((oid, picks));
    }

    fn cancel_or_hold(&mut self) {
        if self.dice.below(2) == 0 && !self.orders.is_empty() {
            let (oid, _) = self.orders[self.dice.below(self.orders.len())].clone();
            let (_, envelope) = self.order(Op::Cancel(vec![oid]));
            if self
                .store
                .put_order(&owner_id(), &envelope, self.now)
                .is_ok()
            {
                self.snaps.values_mut().for_each(|twin| {
                    twin.marks.remove(&oid);
                });
            }
            return;
        }
        let Some(snap) = self.snaps.keys().next().copied() else {
            return;
        };
        let held = !self.snaps[&snap].held;
        let op = if held {
            Op::Hold(vec![snap])
        } else {
            Op::Unhold(vec![snap])
        };
        let (_, envelope) = self.order(op);
        if self
            .store
            .put_order(&owner_id(), &envelope, self.now)
            .is_ok()
        {
            let twin = self.snaps.get_mut(&snap).unwrap();
            twin.held = held;
            if held {
                twin.marks.clear();
            }
        }
    }

    pub(super) fn collect(&mut self) {
        let round = self.store.collect(self.moment(), true);
        self.engine.fail_call(None);
        match round {
            Ok(round) if self.faults => drop(round),
            Ok(round) => assert!(round.failed.is_empty(), "{:?}", round.failed),
            Err(error) => assert!(self.faults, "{error}"),
        }
        let bases: BTreeSet<_> = self.sessions.iter().filter_map(|s| s.base).collect();
        let due: Vec<SnapshotId> = self
            .snaps
            .keys()
            .filter(|s| self.is_due(s))
            .copied()
            .collect();
        for snap in due {
            let there = self.store.snap(&owner_id(), &snap).unwrap().is_some();
            if bases.contains(&snap) {
                assert!(there, "a snapshot a session builds on ended");
            } else if !there {
                self.snaps.remove(&snap);
                self.ended.insert(snap);
            } else {
                assert!(self.faults, "a snapshot that was due is still there");
            }
        }
    }

    /// Everybody leaves, time passes, and nothing must be left that no snapshot needs.
    pub(super) fn end(&mut self) {
        if self.faults {
            self.crash();
        }
        self.sessions.clear();
        self.now += 30 * DAY;
        self.collect();
        self.check();
        self.check_unclaimed();
        self.check_nothing_left();
    }
}
