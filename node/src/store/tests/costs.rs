//! What a small message may cost: counted in reads of the tables, not in time.

use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::format::frame::FRAME_MIN;
use packnback_proto::format::header::Kind;
use packnback_proto::record::{Cert, Scope, Signed, Snap};

use super::*;
use crate::service::testkit::{self, NOW, host_key, key};
use crate::store::{CommitOutcome, Intake};

struct Here {
    engine: MemoryDisk,
    store: Store,
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
        let intake = store.intake(store.own_access(&owner())).unwrap();
        Self {
            engine,
            store,
            intake,
        }
    }

    fn put(&self, kind: Kind, height: u8, mut refs: Vec<ObjectId>, noise: u16) -> ObjectId {
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
        body[..2].copy_from_slice(&noise.to_le_bytes());
        bytes.extend(body);
        let id = object_id(&bytes);
        self.store.put(&self.intake, &id, &bytes, NOW).unwrap();
        id
    }

    fn leaves(&self, from: u16, count: u16) -> Vec<ObjectId> {
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

    fn commit(&self, root: ObjectId, seq: u64) -> Vec<u8> {
        let cert = Cert {
            device: self.store.node_id(),
            ..testkit::cert()
        };
        let snap = Snap {
            owner: owner(),
            device: self.store.node_id(),
            seq,
            prev: None,
            root,
            time: NOW,
            cert_serial: 1,
            set: testkit::SET,
        };
        let snap = Signed::sign(&snap, &host_key()).unwrap();
        let access = self.store.own_access(&owner());
        let done = self.store.commit(&access, &cert, snap.envelope(), NOW);
        match done.unwrap() {
            CommitOutcome::Accepted(accepted) => accepted.receipt,
            CommitOutcome::Missing(missing) => unreachable!("{missing:?}"),
        }
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
