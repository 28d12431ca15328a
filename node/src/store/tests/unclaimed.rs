//! Bytes that are put and never synced: charged, found after a crash, dropped, given back.

use packnback_proto::ids::NodeId;
use packnback_proto::machine::budget::Limits;
use packnback_proto::policy::Moment;

use super::*;
use crate::service::testkit::NOW;
use crate::store::disk::{Batch, Disk, Table};
use crate::store::{Intake, StoreError, keys};

const OWNER: OwnerId = OwnerId([1; 32]);
const MIB: u64 = 1 << 20;

fn store(disk: Disk) -> Store {
    let key = SigningKey::from_seed(&Secret32::new([3; 32]));
    let store = Store::new(disk, key, DiskReserve(0));
    store.check_version().unwrap();
    // Collection goes over the owners that are served.
    let mut batch = Batch::default();
    let totals = store.totals(&OWNER).unwrap();
    Store::put_row(&mut batch, keys::totals(&OWNER), &totals).unwrap();
    store.disk.tables.write(batch).unwrap();
    store
}

fn within(bytes: u64) -> Access {
    Access {
        owner: OWNER,
        device: NodeId([7; 32]),
        sees_all: true,
        limits: Limits {
            bytes,
            ..Limits::NONE
        },
        owner_max: u64::MAX,
    }
}

fn round(store: &Store) {
    let moment = Moment {
        wall: NOW,
        boot: 1_000_000,
        boot_id: [1; 16],
    };
    store.collect(moment, false).unwrap();
}

/// Puts about a megabyte each until it is refused; how many were taken.
fn put_all(store: &Store, intake: &Intake, noises: std::ops::Range<u8>) -> usize {
    let mut taken = 0;
    for noise in noises {
        let (id, bytes) = chunk(noise);
        match store.put(intake, &id, &bytes, NOW) {
            Ok(()) => taken += 1,
            Err(error) => assert!(matches!(error, StoreError::Budget(_)), "{error}"),
        }
    }
    taken
}

/// Session after session that never syncs: the quota holds for all of them together, on the disk as
/// well, and everything comes back.
fn attack(open: &dyn Fn() -> Disk) {
    let engine = open();
    let store = store(engine.clone());
    let base = engine.used().unwrap();
    let access = within(5 * MIB + MIB / 2);
    for run in 0..8 {
        let intake = store.intake(access).unwrap();
        // The same ones again, and others.
        let taken = put_all(&store, &intake, 0..30);
        assert_eq!(taken, 5, "in run {run}");
        assert!(store.left(&intake, NOW).unwrap() < MIB);
        // A session that begins with nothing of its own put has no room of its own either.
        let fresh = store.intake(access).unwrap();
        let others = 100 + run * 5;
        assert_eq!(
            put_all(&store, &fresh, others..others + 5),
            0,
            "in run {run}"
        );
    }
    engine.objects.flush().unwrap();
    let disk = engine.used().unwrap() - base;
    assert!(disk < 7 * MIB, "{disk} bytes of 5.5 MiB are on the disk");
    // Another device of the same owner has its own quota.
    let other = Access {
        device: NodeId([8; 32]),
        ..access
    };
    let intake = store.intake(other).unwrap();
    assert_eq!(put_all(&store, &intake, 40..44), 4);
    store.sync(&intake, NOW).unwrap();
    drop(intake);
    round(&store);
    assert_eq!(store.unclaimed_bytes(&OWNER), Ok(0));
    let intake = store.intake(access).unwrap();
    assert_eq!(put_all(&store, &intake, 60..90), 5, "it was given back");
    store.sync(&intake, NOW).unwrap();
    assert!(store.usage(&OWNER, &access.device).unwrap().bytes > 4 * MIB);
    assert_eq!(put_all(&store, &intake, 90..91), 0);
}

#[test]
fn n25_unsynced_puts_are_charged_and_come_back() {
    let engine = MemoryDisk::default();
    attack(&|| engine.disk());
}

#[test]
fn n25_unsynced_puts_are_charged_and_come_back_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    attack(&|| rocks::open(dir.path()).unwrap());
}

/// Rounds in which little is dropped add up, and what a killed process left behind is found: the
/// files shrink in the end.
#[test]
fn n25_the_space_of_unsynced_puts_comes_back_to_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..3u8 {
        let engine = rocks::open(dir.path()).unwrap();
        let store = store(engine.clone());
        round(&store);
        for run in 0..3u8 {
            let intake = store.intake(within(u64::MAX)).unwrap();
            let first = (life * 3 + run) * 7;
            assert_eq!(put_all(&store, &intake, first..first + 7), 7);
            engine.objects.flush().unwrap();
            drop(intake);
            if run < 2 {
                round(&store);
            }
        }
        // The last session is left as it is: the process ends.
        assert_eq!(store.unclaimed_bytes(&OWNER).unwrap() / 7_000_000, 1);
    }
    let engine = rocks::open(dir.path()).unwrap();
    let store = store(engine.clone());
    assert!(
        store.unclaimed_bytes(&OWNER).unwrap() > 7_000_000,
        "found again after the end of the process"
    );
    round(&store);
    assert_eq!(store.unclaimed_bytes(&OWNER), Ok(0));
    let disk = engine.used().unwrap();
    assert!(disk < 10 * MIB, "{disk} bytes for nothing");
}

#[test]
fn n25_unsynced_bytes_are_found_after_the_process_or_the_power_is_lost() {
    for lose in [MemoryDisk::kill, MemoryDisk::crash] {
        let engine = MemoryDisk::default();
        let first = store(engine.disk());
        let intake = first.intake(within(u64::MAX)).unwrap();
        put_all(&first, &intake, 0..20);
        lose(&engine);
        let again = store(engine.disk());
        let on_disk = engine.disk().objects.used().unwrap();
        assert!(on_disk > 0);
        assert!(again.unclaimed_bytes(&OWNER).unwrap() >= on_disk);
        round(&again);
        assert_eq!(again.unclaimed_bytes(&OWNER), Ok(0));
        assert_eq!(engine.disk().objects.used(), Ok(0));
    }
}

/// What another session has under way, or left behind, is not written a second time.
#[test]
fn an_object_left_behind_is_taken_up_again() {
    let engine = MemoryDisk::default();
    let store = store(engine.disk());
    let (id, bytes) = chunk(1);
    let access = within(3 * MIB / 2);
    for _ in 0..3 {
        let intake = store.intake(access).unwrap();
        store.put(&intake, &id, &bytes, NOW).unwrap();
    }
    let intake = store.intake(access).unwrap();
    store.put(&intake, &id, &bytes, NOW).unwrap();
    store.sync(&intake, NOW).unwrap();
    assert_eq!(store.get(&OWNER, &id), Ok(Some(bytes.clone())));
    assert_eq!(store.unclaimed_bytes(&OWNER), Ok(0));
    let size = u64::try_from(bytes.len()).unwrap();
    assert_eq!(engine.disk().objects.used(), Ok(size));
    assert_eq!(store.usage(&OWNER, &access.device).unwrap().bytes, size);
}

/// The administrator's limit for all devices of an owner holds at each put.
#[test]
fn n25_the_quota_of_an_owner_holds_before_anything_is_synced() {
    let store = store(MemoryDisk::default().disk());
    let mut taken = 0;
    for device in 1..6u8 {
        let access = Access {
            device: NodeId([device; 32]),
            owner_max: 5 * MIB + MIB / 2,
            ..within(u64::MAX)
        };
        let intake = store.intake(access).unwrap();
        taken += put_all(&store, &intake, device * 10..device * 10 + 4);
    }
    assert_eq!(taken, 5);
}

fn unclaimed_is_all_there_is(store: &Store, disk: &Disk) -> bool {
    store.unclaimed_bytes(&OWNER).unwrap() >= disk.objects.used().unwrap()
}

/// A disk that said "written" too early: objects are there, what was noted before them is not.
#[test]
fn objects_whose_note_went_with_the_power_are_found_and_dropped() {
    let engine = MemoryDisk::default();
    let first = store(engine.disk());
    put_all(&first, &first.intake(within(u64::MAX)).unwrap(), 0..20);
    engine.crash_out_of_order();
    let disk = engine.disk();
    assert!(
        !unclaimed_is_all_there_is(&store(disk.clone()), &disk),
        "nothing was lost"
    );
    let again = store(disk.clone());
    again.mend(NOW).unwrap();
    assert!(unclaimed_is_all_there_is(&again, &disk));
    assert!(!disk.damage().is_some());
    round(&again);
    assert_eq!(again.unclaimed_bytes(&OWNER), Ok(0));
    assert_eq!(disk.objects.used(), Ok(0));
    // A start after which there is nothing to find reads nothing.
    let _ = engine.take_reads();
    again.mend(NOW).unwrap();
    assert_eq!(engine.take_reads(), 0);
}

#[test]
fn objects_whose_note_went_with_the_power_are_found_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let kept = {
        let first = store(rocks::open(dir.path()).unwrap());
        let intake = first.intake(within(u64::MAX)).unwrap();
        put_all(&first, &intake, 0..3);
        first.sync(&intake, NOW).unwrap();
        put_all(&first, &intake, 10..16);
        first.disk.objects.flush().unwrap();
        let mut lost = Batch::default();
        for (key, _) in first.all_rows(keys::DROPS).unwrap() {
            lost.delete(Table::State, key);
        }
        first.disk.tables.write(lost).unwrap();
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        copied
    };
    restart_machine(kept.path());
    let disk = rocks::open(kept.path()).unwrap();
    let again = store(disk.clone());
    assert_eq!(again.unclaimed_bytes(&OWNER), Ok(0), "nobody knows of it");
    let again = {
        drop(again);
        store(disk.clone())
    };
    again.mend(NOW).unwrap();
    assert_eq!(again.unclaimed_bytes(&OWNER).unwrap() / 6_000_000, 1);
    let moment = Moment {
        wall: NOW,
        boot: 1_000_000,
        boot_id: [1; 16],
    };
    again.collect(moment, true).unwrap();
    assert_eq!(again.unclaimed_bytes(&OWNER), Ok(0));
    for noise in 0..3 {
        let (id, bytes) = chunk(noise);
        assert_eq!(again.get(&OWNER, &id), Ok(Some(bytes)), "claimed");
    }
    let gone = keys::object(&OWNER, &chunk(10).0);
    assert_eq!(disk.objects.get(&gone), Ok(None));
}
