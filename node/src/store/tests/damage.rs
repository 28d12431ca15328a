//! Damaged files: the store opens, serves what is not touched, names what is, and takes it in again.

use std::path::PathBuf;

use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::format::frame::FRAME_MIN;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::SnapshotId;
use packnback_proto::policy::Moment;
use packnback_proto::record::{Cert, Signed, Snap};

use super::*;
use crate::service::testkit::{self, NOW, host_key, key};
use crate::store::disk::{Disk, Table};
use crate::store::{CommitOutcome, Intake, keys};

fn owner(n: u8) -> OwnerId {
    key(n).owner_id()
}

fn store_on(disk: Disk) -> Store {
    let store = Store::new(disk, host_key(), DiskReserve(0));
    store.check_version().unwrap();
    store.mend(NOW).unwrap();
    store
}

/// Some kilobytes.
fn leaf(noise: u8) -> (ObjectId, Vec<u8>) {
    let mut bytes = Vec::new();
    Header::chunk().write(&mut bytes).unwrap();
    bytes.extend(vec![noise; padded_len(20_000) + OVERHEAD]);
    (object_id(&bytes), bytes)
}

fn tree(noises: &[u8]) -> (ObjectId, Vec<u8>) {
    let mut refs: Vec<ObjectId> = noises.iter().map(|noise| leaf(*noise).0).collect();
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
    bytes.extend(vec![noises[0]; FRAME_MIN + OVERHEAD]);
    (object_id(&bytes), bytes)
}

fn put_tree(store: &Store, intake: &Intake, noises: &[u8]) -> ObjectId {
    for noise in noises {
        let (id, bytes) = leaf(*noise);
        store.put(intake, &id, &bytes, NOW).unwrap();
    }
    let (root, bytes) = tree(noises);
    store.put(intake, &root, &bytes, NOW).unwrap();
    store.sync(intake, NOW).unwrap();
    root
}

fn commit(store: &Store, of: u8, root: ObjectId, seq: u64) -> Result<CommitOutcome, StoreError> {
    let cert = Cert {
        owner: owner(of),
        device: store.node_id(),
        ..testkit::cert()
    };
    let snap = Snap {
        owner: owner(of),
        device: store.node_id(),
        seq,
        prev: None,
        root,
        time: NOW,
        cert_serial: 1,
        set: testkit::SET,
    };
    let snap = Signed::sign(&snap, &host_key()).unwrap();
    store.commit(&store.own_access(&owner(of)), &cert, snap.envelope(), NOW)
}

fn snapshot(store: &Store, of: u8, noises: &[u8], seq: u64) -> SnapshotId {
    let mut cert = Cert {
        owner: owner(of),
        device: store.node_id(),
        ..testkit::cert()
    };
    cert.recovery = cert.device;
    let cert = Signed::sign(&cert, &key(of)).unwrap();
    store
        .import_record(&owner(of), cert.envelope(), NOW)
        .unwrap();
    let intake = store.intake(store.own_access(&owner(of))).unwrap();
    let root = put_tree(store, &intake, noises);
    match commit(store, of, root, seq).unwrap() {
        CommitOutcome::Accepted(accepted) => accepted.snap,
        CommitOutcome::Missing(missing) => unreachable!("{missing:?}"),
    }
}

fn collect(store: &Store) -> crate::store::Round {
    let moment = Moment {
        wall: NOW,
        boot: 1_000_000,
        boot_id: [1; 16],
    };
    store.collect(moment, true).unwrap()
}

const OWNERS: [u8; 2] = [1, 9];
const TREES: [&[u8]; 3] = [&[1, 2, 3], &[2, 3, 4], &[5, 6]];

fn fill(store: &Store, which: std::ops::Range<usize>) {
    for of in OWNERS {
        for n in which.clone() {
            snapshot(store, of, TREES[n], u64::try_from(n).unwrap() + 1);
        }
    }
}

/// How many snapshots and how many objects of all owners are there and sound.
fn look(store: &Store) -> (usize, usize) {
    let (mut snaps, mut sound) = (0, 0);
    for of in OWNERS {
        snaps += store.all_snaps(&owner(of)).unwrap().len();
        let all = (1..7u8).map(leaf).chain(TREES.map(tree));
        for (id, bytes) in all {
            match store.get(&owner(of), &id) {
                Ok(Some(got)) => {
                    assert_eq!(got, bytes, "wrong bytes are never served");
                    sound += 1;
                }
                Ok(None) | Err(StoreError::AddressMismatch { .. }) => {}
                Err(error) => unreachable!("{error}"),
            }
        }
    }
    (snaps, sound)
}

/// Everything put again is taken, and then nothing is damaged any more.
fn heal(store: &Store) {
    for of in OWNERS {
        let intake = store.intake(store.own_access(&owner(of))).unwrap();
        for noises in TREES {
            let root = put_tree(store, &intake, noises);
            let done = commit(store, of, root, 77).unwrap();
            assert!(matches!(done, CommitOutcome::Accepted(_)), "{done:?}");
        }
    }
    let round = collect(store);
    assert_eq!((round.failed, round.done.damaged), (vec![], 0));
    assert_eq!(look(store).1, 18);
}

fn copy(from: &Path, to: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let target = to.join(&name);
        if path.is_dir() {
            files.extend(copy(&path, &target));
            continue;
        }
        std::fs::copy(&path, &target).unwrap();
        // What the database keeps for people, and its locks.
        if !name.starts_with("LOG") && !name.starts_with("OPTIONS") && name != "LOCK" {
            files.push(target);
        }
    }
    files.sort();
    files
}

fn filled_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for which in [0..1, 1..2, 2..3] {
        fill(&open_at(dir.path()), which);
    }
    dir
}

fn open_at(dir: &Path) -> Store {
    store_on(rocks::open(dir).unwrap())
}

fn trial(dir: &Path, what: &str) {
    let store = open_at(dir);
    let (snaps, sound) = look(&store);
    let round = collect(&store);
    let named = round.done.damaged;
    assert!(
        sound >= 17,
        "{what}: one byte, and {} objects are gone",
        18 - sound
    );
    assert!(
        snaps >= 5,
        "{what}: one byte, and {} snapshots are gone",
        6 - snaps
    );
    assert!(
        sound == 18 || named > 0,
        "{what}: an object is gone and nobody says so"
    );
    assert_eq!(round.failed, [], "{what}");
    heal(&store);
}

/// One byte of one file, anywhere: each file at its beginning, its end and places between.
#[test]
fn one_damaged_byte_anywhere_keeps_no_store_from_opening() {
    let good = filled_dir();
    let scratch = tempfile::tempdir().unwrap();
    let mut seed = 7u64;
    let files = copy(good.path(), &scratch.path().join("count")).len();
    for n in 0..files {
        for place in 0..4u64 {
            let dir = scratch.path().join(format!("{n}-{place}"));
            let path = copy(good.path(), &dir)[n].clone();
            let mut bytes = std::fs::read(&path).unwrap();
            if bytes.is_empty() {
                continue;
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let len = u64::try_from(bytes.len()).unwrap();
            let at = match place {
                0 => seed % len.min(40),
                1 => len - 1 - seed % len.min(50),
                _ => (seed >> 20) % len,
            };
            bytes[usize::try_from(at).unwrap()] ^= 1 << (seed >> 61);
            std::fs::write(&path, bytes).unwrap();
            trial(&dir, &format!("{} at {at}", path.display()));
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

/// A file that is gone, or cut in the middle.
#[test]
fn a_lost_or_cut_file_keeps_no_store_from_opening() {
    let good = filled_dir();
    let scratch = tempfile::tempdir().unwrap();
    let files = copy(good.path(), &scratch.path().join("count")).len();
    for n in 0..files {
        for cut in [false, true] {
            let dir = scratch.path().join(format!("{n}-{cut}"));
            let path = copy(good.path(), &dir)[n].clone();
            let half = std::fs::metadata(&path).unwrap().len() / 2;
            match cut {
                true => std::fs::File::options()
                    .write(true)
                    .open(&path)
                    .and_then(|file| file.set_len(half))
                    .unwrap(),
                false => std::fs::remove_file(&path).unwrap(),
            }
            let store = open_at(&dir);
            let (_, sound) = look(&store);
            let round = collect(&store);
            let what = format!("{} {cut}", path.display());
            // A log that ends at the end of a record says nothing of what came behind.
            let silent = cut && path.extension().is_some_and(|e| e == "log");
            let named = round.done.damaged > 0;
            assert!(sound == 18 || named || silent, "{what}: {sound}");
            assert_eq!(round.failed, [], "{what}");
            heal(&store);
            drop(store);
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

#[test]
fn lost_rows_of_objects_are_made_again_from_the_objects() {
    for table in [Table::Meta, Table::Nodes, Table::Lots] {
        let engine = MemoryDisk::default();
        let store = store_on(engine.disk());
        fill(&store, 0..3);
        let totals = store.totals(&owner(1)).unwrap();
        engine.lose_rows(table, &[]);
        let store = store_on(engine.disk());
        assert_eq!(look(&store), (6, 18), "{table:?}");
        assert_eq!(store.totals(&owner(1)), Ok(totals));
        assert_eq!(collect(&store).done.damaged, 0);
        assert!(!engine.disk().damage().is_some());
        heal(&store);
    }
}

#[test]
fn lost_rows_of_snapshots_are_made_again_from_the_records() {
    for tag in [b"s", b"h", b"q", b"t", b"u", b"c", b"l", b"z"] {
        let engine = MemoryDisk::default();
        let store = store_on(engine.disk());
        fill(&store, 0..3);
        let snaps = store.all_snaps(&owner(1)).unwrap();
        let rows: Vec<_> = snaps
            .iter()
            .map(|snap| store.snap(&owner(1), snap).unwrap())
            .collect();
        let (usage, heads) = (
            store.usage(&owner(1), &store.node_id()).unwrap().bytes,
            store.heads(&owner(1), &store.node_id(), 9).unwrap(),
        );
        engine.lose_rows(Table::State, tag);
        let store = store_on(engine.disk());
        assert_eq!(look(&store), (6, 18));
        let again: Vec<_> = snaps
            .iter()
            .map(|snap| store.snap(&owner(1), snap).unwrap())
            .collect();
        assert_eq!(again, rows);
        let device = store.node_id();
        assert_eq!(store.usage(&owner(1), &device).unwrap().bytes, usage);
        assert_eq!(store.heads(&owner(1), &device, 9), Ok(heads));
        assert!(store.newest_cert(&owner(1), &device).unwrap().is_some());
        heal(&store);
    }
}

/// What is below a damaged object's snapshot stays; nothing new is acknowledged that needs the object;
/// once it is put again, everything is as before.
#[test]
fn nothing_is_acknowledged_over_damage() {
    let engine = MemoryDisk::default();
    let store = store_on(engine.disk());
    fill(&store, 0..3);
    let (lost, bytes) = leaf(1);
    engine.lose_object(&keys::object(&owner(1), &lost));
    let store = store_on(engine.disk());
    assert_eq!(store.damaged(&owner(1)), Ok(vec![lost]));
    let intake = store.intake(store.own_access(&owner(1))).unwrap();
    let ask = |ids: &[ObjectId]| store.have(&intake, ids, NOW).unwrap();
    let roots = TREES.map(|noises| tree(noises).0);
    assert_eq!(ask(&roots), [false, true, true], "only what needs it");
    let again = commit(&store, 1, roots[0], 9).unwrap();
    assert_eq!(again, CommitOutcome::Missing(vec![lost]));
    assert_eq!(collect(&store).done.damaged, 1);
    assert_eq!(store.alarms().unwrap().len(), 1);
    assert!(matches!(
        commit(&store, 9, roots[0], 9),
        Ok(CommitOutcome::Accepted(_))
    ));
    store.put(&intake, &lost, &bytes, NOW).unwrap();
    store.sync(&intake, NOW).unwrap();
    assert_eq!(ask(&roots), [true; 3]);
    assert_eq!(collect(&store).done.damaged, 0);
    assert_eq!(store.alarms(), Ok(vec![]));
    heal(&store);
}
