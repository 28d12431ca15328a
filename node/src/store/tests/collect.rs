//! Collection: space, doubt, a full disk.

use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::format::frame::FRAME_MIN;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::SnapshotId;
use packnback_proto::policy::Moment;
use packnback_proto::record::{Cert, Op, Order, Signed, Snap};

use super::*;
use crate::service::testkit::{self, NOW, host_key, key};
use crate::store::disk::{Batch, Disk, DiskError, Table};
use crate::store::ending::{Cause, Ended, Why, gone};
use crate::store::keys;
use crate::store::{CommitOutcome, Round};

const OWNER: u8 = 1;

fn owner() -> OwnerId {
    key(OWNER).owner_id()
}

fn new_store(disk: Disk) -> Store {
    let store = Store::new(disk, host_key(), DiskReserve(1000)).with_grace(0);
    store.check_version().unwrap();
    store
}

/// A root over these chunks of about a megabyte each, committed.
fn snapshot(store: &Store, noises: &[u8], seq: u64) -> SnapshotId {
    let access = store.own_access(&owner());
    let intake = store.intake(access).unwrap();
    let mut refs = Vec::new();
    for noise in noises {
        let (id, bytes) = chunk(*noise);
        store.put(&intake, &id, &bytes, NOW).unwrap();
        refs.push(id);
    }
    refs.sort();
    let header = Header {
        kind: Kind::Root,
        height: 8,
        epoch: 0,
        epk: Some([7; 32]),
        refs,
    };
    let mut bytes = Vec::new();
    header.write(&mut bytes).unwrap();
    bytes.extend(vec![u8::try_from(seq).unwrap(); FRAME_MIN + OVERHEAD]);
    let root = object_id(&bytes);
    store.put(&intake, &root, &bytes, NOW).unwrap();
    store.sync(&intake, NOW).unwrap();
    let cert = Cert {
        device: store.node_id(),
        ..testkit::cert()
    };
    let snap = Snap {
        owner: owner(),
        device: store.node_id(),
        seq,
        prev: None,
        root,
        time: NOW,
        cert_serial: 1,
        set: testkit::SET,
    };
    let snap = Signed::sign(&snap, &host_key()).unwrap();
    let done = store.commit(&access, &cert, snap.envelope(), NOW).unwrap();
    assert!(matches!(done, CommitOutcome::Accepted(_)));
    snap.id()
}

fn delete(store: &Store, snap: SnapshotId) {
    let order = Order {
        owner: owner(),
        oid: *snap.0.first_chunk().unwrap(),
        issued: NOW,
        audience: None,
        op: Op::DeleteIds(vec![snap]),
        not_before: None,
    };
    let order = Signed::sign(&order, &key(OWNER)).unwrap();
    assert_eq!(store.put_order(&owner(), order.envelope(), NOW), Ok(true));
}

fn round(store: &Store) -> Result<Round, StoreError> {
    let moment = Moment {
        wall: NOW,
        boot: 1_000_000,
        boot_id: [1; 16],
    };
    store.collect(moment, true)
}

fn has(store: &Store, noise: u8) -> bool {
    let (id, bytes) = chunk(noise);
    store.get(&owner(), &id) == Ok(Some(bytes))
}

#[test]
fn lots_with_little_alive_are_moved_and_their_files_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = new_store(rocks::open(dir.path()).unwrap());
    let all: Vec<u8> = (0..40).collect();
    let first = snapshot(&store, &all, 1);
    snapshot(&store, &[3, 17], 2);
    delete(&store, first);
    let done = round(&store).unwrap();
    assert_eq!(done.failed, []);
    let done = done.done;
    assert_eq!((done.snaps, done.objects), (1, 39));
    assert!(done.moved_bytes <= done.bytes, "{done:?}");
    assert!(
        done.disk_before > 40_000_000 && done.disk_after < 12_000_000,
        "{done:?}"
    );
    assert!(has(&store, 3) && has(&store, 17) && !has(&store, 4));
    drop(store);
    let store = new_store(rocks::open(dir.path()).unwrap());
    assert!(has(&store, 3) && has(&store, 17));
}

#[test]
fn lots_with_much_alive_stay_where_they_are() {
    let store = new_store(MemoryDisk::default().disk());
    let first = snapshot(&store, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 1);
    snapshot(&store, &[1, 2, 3, 4, 5, 6, 7, 8, 9], 2);
    delete(&store, first);
    let done = round(&store).unwrap().done;
    assert_eq!((done.objects, done.moved_objects), (2, 0));
    assert!(has(&store, 9) && !has(&store, 10));
}

fn rows(engine: &MemoryDisk, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    engine
        .disk()
        .tables
        .scan(table, &[], None, usize::MAX)
        .unwrap()
}

#[test]
fn in_doubt_about_a_count_nothing_is_freed() {
    let engine = MemoryDisk::default();
    let store = new_store(engine.disk());
    snapshot(&store, &[1, 2], 1);
    // A row that says "nobody needs this" about an object of a snapshot.
    let mut batch = Batch::default();
    batch.put(Table::State, keys::loose(&owner(), 1, &chunk(1).0), []);
    engine.disk().tables.write(batch).unwrap();
    let before = rows(&engine, Table::Meta);
    let done = round(&store).unwrap();
    assert!(
        matches!(done.failed.as_slice(), [(_, StoreError::Stored(_))]),
        "{:?}",
        done.failed
    );
    assert_eq!(rows(&engine, Table::Meta), before);
    assert!(has(&store, 1) && has(&store, 2));
}

#[test]
fn in_doubt_about_what_a_node_names_nothing_is_freed() {
    let engine = MemoryDisk::default();
    let store = new_store(engine.disk());
    let snap = snapshot(&store, &[1, 2], 1);
    let root = store.snap(&owner(), &snap).unwrap().unwrap().root;
    delete(&store, snap);
    let mut batch = Batch::default();
    batch.delete(Table::Nodes, keys::object(&owner(), &root));
    engine.disk().tables.write(batch).unwrap();
    let before = rows(&engine, Table::Meta).len();
    let done = round(&store).unwrap();
    assert!(matches!(
        done.failed.as_slice(),
        [(_, StoreError::AddressMismatch { .. })]
    ));
    assert_eq!(rows(&engine, Table::Meta).len(), before);
    assert!(has(&store, 1) && has(&store, 2));
}

#[test]
fn a_note_about_a_claimed_object_drops_nothing() {
    let engine = MemoryDisk::default();
    let store = new_store(engine.disk());
    snapshot(&store, &[1, 2], 1);
    let mut batch = Batch::default();
    // One that makes no sense stops nothing either.
    batch.put(Table::State, keys::to_drop(&owner(), &chunk(1).0), []);
    engine.disk().tables.write(batch).unwrap();
    round(&store).unwrap();
    assert!(has(&store, 1) && has(&store, 2));
    let notes = engine
        .disk()
        .tables
        .scan(Table::State, keys::DROPS, None, 9)
        .unwrap();
    assert_eq!(notes, []);
}

#[test]
fn collecting_works_below_the_reserve_and_not_on_a_disk_that_takes_nothing() {
    let engine = MemoryDisk::default();
    let store = new_store(engine.disk());
    let all: Vec<u8> = (0..20).collect();
    let first = snapshot(&store, &all, 1);
    snapshot(&store, &[0], 2);
    delete(&store, first);
    engine.set_full(true);
    assert_eq!(
        round(&store).map(|round| round.failed.len()).unwrap_or(1),
        1
    );
    assert!(
        all.iter().all(|noise| has(&store, *noise)),
        "nothing is lost"
    );
    engine.set_full(false);
    engine.set_free_space(0);
    let intake = store.intake(store.own_access(&owner())).unwrap();
    let (id, bytes) = chunk(99);
    let full: Vec<_> = (0..40)
        .map(|_| store.put(&intake, &id, &bytes, NOW))
        .collect();
    assert!(
        full.iter().any(Result::is_err),
        "below the reserve nothing is stored"
    );
    drop(intake);
    let done = round(&store).unwrap();
    assert_eq!((done.failed, done.done.objects), (vec![], 20));
    assert_eq!(done.done.moved_objects, 0, "a copy needs room");
    assert!(has(&store, 0) && !has(&store, 7));
    assert_ne!(Err(DiskError::Full), engine.disk().objects.free());
}

/// Two snapshots share a chunk: each ends once, however often it is named, and more of them than one
/// write takes end all the same.
#[test]
fn ending_counts_each_snapshot_once() {
    let store = new_store(MemoryDisk::default().disk());
    let snaps: Vec<SnapshotId> = (1..=100).map(|seq| snapshot(&store, &[1], seq)).collect();
    let cause = Cause {
        why: Why::Policy,
        even_held: false,
        now: NOW,
    };
    let twice = [snaps[0], snaps[0], snaps[1], snaps[0]];
    let became = store.end_snaps(&owner(), &twice, cause).unwrap();
    assert_eq!(
        became,
        [Ended::Now, Ended::NotHere, Ended::Now, Ended::NotHere]
    );
    assert!(has(&store, 1));
    let became = store.end_snaps(&owner(), &snaps[..99], cause).unwrap();
    assert_eq!((became.len(), gone(&became)), (99, 97));
    round(&store).unwrap();
    assert!(has(&store, 1));
    assert_eq!(store.totals(&owner()).unwrap().snaps, 1);
    store.end_snaps(&owner(), &snaps[99..], cause).unwrap();
    round(&store).unwrap();
    assert!(!has(&store, 1));
}
