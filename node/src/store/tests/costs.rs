//! What a small message may cost: counted in reads of the tables, not in time.

use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::format::frame::FRAME_MIN;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::{RecordId, SnapshotId};
use packnback_proto::record::{Cert, Op, Order, PolicyArg, Scope, Signed, Snap};
use packnback_proto::wire::Bytes;

use std::sync::Arc;

use super::*;
use crate::replicate::{Source, StoreSource};
use crate::service::testkit::{self, NOW, host_key, key};
use crate::store::ending::{Cause, Ended, Why};
use crate::store::lines::Newcomer;
use crate::store::{CommitOutcome, Intake, StoreError};

struct Here {
    engine: MemoryDisk,
    store: Arc<Store>,
    intake: Intake,
}

fn owner() -> OwnerId {
    key(1).owner_id()
}

impl Here {
    fn new() -> Self {
        let engine = MemoryDisk::default();
        let store = Store::new(engine.disk(), host_key(), DiskReserve(0));
        store.check_version().unwrap();
        let store = Arc::new(store);
        let intake = store.intake(store.own_access(&owner())).unwrap();
        Self {
            engine,
            store,
            intake,
        }
    }

    fn put(&self, kind: Kind, height: u8, mut refs: Vec<ObjectId>, noise: u32) -> ObjectId {
        refs.sort();
        let header = Header {
            kind,
            height,
            epoch: 0,
            epk: (kind != Kind::Chunk).then_some([7; 32]),
            refs,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes).unwrap();
        let mut body = vec![0; FRAME_MIN + OVERHEAD];
        body[..4].copy_from_slice(&noise.to_le_bytes());
        bytes.extend(body);
        let id = object_id(&bytes);
        self.store.put(&self.intake, &id, &bytes, NOW).unwrap();
        id
    }

    fn leaves(&self, from: u32, count: u32) -> Vec<ObjectId> {
        let leaf = |n| self.put(Kind::Chunk, 0, Vec::new(), n);
        (from..from + count).map(leaf).collect()
    }

    fn sync(&self) {
        self.store.sync(&self.intake, NOW).unwrap();
    }

    /// Reads since it was asked last.
    fn reads(&self) -> u64 {
        self.engine.take_reads()
    }

    fn cert(&self) -> Cert {
        Cert {
            owner: owner(),
            device: self.store.node_id(),
            ..testkit::cert()
        }
    }

    fn snap(&self, root: ObjectId, seq: u64, prev: Option<SnapshotId>) -> Signed<Snap> {
        let snap = Snap {
            owner: owner(),
            device: self.store.node_id(),
            seq,
            prev,
            root,
            time: NOW,
            cert_serial: 1,
            set: testkit::SET,
        };
        Signed::sign(&snap, &host_key()).unwrap()
    }

    fn try_take(&self, snap: &Signed<Snap>) -> Result<CommitOutcome, StoreError> {
        let access = self.store.own_access(&owner());
        let cert = self.cert();
        self.store.commit(&access, &cert, snap.envelope(), NOW)
    }

    fn take(&self, snap: &Signed<Snap>) -> Vec<u8> {
        match self.try_take(snap).unwrap() {
            CommitOutcome::Accepted(accepted) => accepted.receipt,
            CommitOutcome::Missing(missing) => unreachable!("{missing:?}"),
        }
    }

    fn commit(&self, root: ObjectId, seq: u64) -> Vec<u8> {
        let prev = seq.checked_sub(1).map(|seq| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&seq.to_le_bytes());
            RecordId(id)
        });
        self.take(&self.snap(root, seq, prev))
    }

    fn order(&self, op: Op) -> Vec<u8> {
        let order = Order {
            owner: owner(),
            oid: [1; 16],
            issued: NOW,
            audience: Some(vec![self.store.node_id()]),
            op,
            not_before: None,
        };
        let signed = Signed::sign(&order, &key(1)).unwrap();
        signed.envelope().to_vec()
    }

    fn end(&self, snap: SnapshotId) {
        let cause = Cause {
            why: Why::Admin,
            even_held: true,
            now: NOW,
        };
        let ended = self.store.end_snaps(&owner(), &[snap], cause).unwrap();
        assert_eq!(ended, [Ended::Now]);
    }
}

#[test]
fn n25_a_commit_costs_what_is_new_in_it() {
    let here = Here::new();
    let segment = |from| {
        let leaves = here.leaves(from, 100);
        here.put(Kind::Segment, 2, leaves, from)
    };
    let mut segments: Vec<ObjectId> = (0..60).map(|n| segment(n * 100)).collect();
    let first = here.put(Kind::Root, 8, segments.clone(), 1);
    here.sync();
    let receipt = here.commit(first, 1);
    let said = packnback_proto::record::decode_receipt(&receipt).unwrap();
    assert_eq!(said.value().n_objects, 6061);
    assert_eq!(
        said.value().bytes,
        here.store.totals(&owner()).unwrap().bytes
    );
    // One of sixty is another one now.
    let mut changed = here.leaves(0, 99);
    changed.extend(here.leaves(9000, 1));
    segments[0] = here.put(Kind::Segment, 2, changed, 9000);
    let second = here.put(Kind::Root, 8, segments, 2);
    here.sync();
    here.reads();
    let receipt = here.commit(second, 2);
    let reads = here.reads();
    assert!(reads < 800, "{reads} reads for one of sixty segments");
    let said = packnback_proto::record::decode_receipt(&receipt).unwrap();
    assert_eq!(said.value().n_objects, 6061);
    // A grant of both snapshots looks at what they share once.
    here.reads();
    let scope = Scope::Devices(vec![here.store.node_id()]);
    let covered = here.store.scope_objects(&owner(), &scope).unwrap().unwrap();
    assert_eq!(covered.len(), 6064);
    let reads = here.reads();
    assert!(reads < 7000, "{reads} reads for 6,064 objects");
}

#[test]
fn n25_many_questions_about_one_tree_are_one() {
    let here = Here::new();
    let mut leaves = here.leaves(0, 2000);
    leaves.push(ObjectId([0xff; 32]));
    let node = here.put(Kind::Segment, 2, leaves, 1);
    here.sync();
    here.reads();
    let answers = here.store.have(&here.intake, &[node; 500], NOW).unwrap();
    assert_eq!(answers, [false; 500]);
    let reads = here.reads();
    assert!(reads < 4000, "{reads} reads");
    let work = here.intake.take_work();
    assert!((2000..4000).contains(&work), "{work} steps are told");
    assert_eq!(here.intake.take_work(), 0);
}

/// 80,000 small files, twenty to an object, a thousand to a segment; ten of them change, each in another
/// segment.
#[test]
fn a_snapshot_of_which_little_changed_costs_what_changed() {
    let here = Here::new();
    let segment = |from| {
        let leaves = here.leaves(from, 50);
        here.put(Kind::Segment, 2, leaves, from)
    };
    let mut segments: Vec<ObjectId> = (0..80).map(|n| segment(n * 50)).collect();
    let first = here.put(Kind::Root, 8, segments.clone(), 1);
    here.sync();
    here.commit(first, 1);
    for n in 0..10u32 {
        let mut changed = here.leaves(n * 50, 49);
        changed.extend(here.leaves(100_000 + n, 1));
        let at = usize::try_from(n).unwrap();
        segments[at] = here.put(Kind::Segment, 2, changed, 100_000 + n);
    }
    let second = here.put(Kind::Root, 8, segments, 2);
    here.sync();
    here.reads();
    let _ = here.engine.take_syncs();
    here.commit(second, 2);
    let reads = here.reads();
    assert!(reads < 1300, "{reads} reads for ten of eighty segments");
    assert_eq!(here.engine.take_syncs(), 1, "one write");
}

/// However many there were before.
#[test]
fn a_commit_does_not_read_the_snapshots_before_it() {
    let here = Here::new();
    let leaves = here.leaves(0, 3);
    let root = |noise| here.put(Kind::Root, 8, leaves.clone(), noise);
    let roots: Vec<ObjectId> = (0..300).map(root).collect();
    here.sync();
    let mut reads = Vec::new();
    for (n, root) in (1..).zip(roots) {
        here.reads();
        here.commit(root, n);
        reads.push(here.reads());
    }
    assert!(reads[299] <= reads[9], "{} {}", reads[9], reads[299]);
    // A policy looks at what is marked.
    let policy = |pseq| {
        let policy = PolicyArg {
            pseq,
            device: None,
            min_age_d: 1,
            keep: [1, 1, 1, 1, 1],
            keep_last: 1,
            grace_d: 1,
        };
        here.order(Op::Policy(policy))
    };
    let cert = Signed::sign(&here.cert(), &key(1)).unwrap();
    here.store.adopt(&cert).unwrap();
    here.reads();
    here.store.put_order(&owner(), &policy(1), NOW).unwrap();
    let reads = here.reads();
    assert!(reads < 60, "{reads} reads for a policy");
}

/// What was logged since the last look is read, and not what is on record.
#[test]
fn a_look_for_work_follows_the_log() {
    let here = Here::new();
    let cert = Signed::sign(&here.cert(), &key(1)).unwrap();
    here.store.adopt(&cert).unwrap();
    let leaves = here.leaves(0, 3);
    let root = |noise| here.put(Kind::Root, 8, leaves.clone(), noise);
    let roots: Vec<ObjectId> = (0..200).map(root).collect();
    here.sync();
    for (n, root) in (1..).zip(&roots[..199]) {
        here.commit(*root, n);
    }
    let order = here.order(Op::Unhold(vec![RecordId([1; 32])]));
    here.store.put_order(&owner(), &order, NOW).unwrap();
    let source = StoreSource::new(Arc::clone(&here.store));
    let seqs = || -> Vec<u64> {
        let snaps = source.own_snaps().unwrap();
        snaps.iter().map(|snap| snap.seq).collect()
    };
    assert_eq!(seqs(), (1..200).collect::<Vec<_>>());
    here.reads();
    assert_eq!(seqs().len(), 199);
    assert!(here.reads() <= 2, "nothing happened");
    let orders = source.orders().unwrap();
    assert_eq!(orders, [Bytes(order)]);
    let reads = here.reads();
    assert!(reads < 6, "{reads} reads for one order");
    // One more, and one fewer.
    here.commit(roots[199], 200);
    let first = source.own_snaps().unwrap()[0].id;
    here.end(first);
    assert_eq!(seqs(), (2..=200).collect::<Vec<_>>());
}

/// What is remembered of a device's snapshots keeps up with what is there.
#[test]
fn a_second_line_is_seen_whatever_is_remembered() {
    let here = Here::new();
    let leaves = here.leaves(0, 3);
    let root = |noise| here.put(Kind::Root, 8, leaves.clone(), noise);
    let roots: Vec<ObjectId> = (0..6).map(root).collect();
    here.sync();
    let device = here.store.node_id();
    let frozen = || here.store.freezes(&owner(), &device).unwrap().len();
    let first = here.snap(roots[0], 1, None);
    here.take(&first);
    let second = here.snap(roots[1], 2, Some(first.id()));
    here.take(&second);
    // Ended, its number is free, and nothing follows it.
    here.end(second.id());
    let (seq, prev, set) = (2, Some(first.id()), testkit::SET);
    let newcomer = Newcomer { seq, prev, set };
    let known = here.store.known_line(&owner(), &device, newcomer).unwrap();
    assert!(!known.forks, "it is forgotten");
    here.take(&here.snap(roots[2], 2, Some(first.id())));
    assert_eq!(frozen(), 0);
    // The disk fails: nobody knows what is there until it is read again.
    let third = here.snap(roots[3], 3, Some(second.id()));
    here.engine.fail_after(0);
    assert!(here.try_take(&third).is_err());
    here.engine.kill();
    here.take(&third);
    assert_eq!(frozen(), 0);
    here.take(&here.snap(roots[4], 3, Some(third.id())));
    assert_eq!(frozen(), 1, "the number is taken");
}
