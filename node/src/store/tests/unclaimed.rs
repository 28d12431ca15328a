//! Bytes that are put and never synced: charged, found after a crash, dropped, given back.

use packnback_proto::ids::NodeId;
use packnback_proto::machine::budget::Limits;
use packnback_proto::policy::Moment;

use super::*;
use crate::service::testkit::NOW;
use crate::store::engine::Engine;
use crate::store::{Intake, StoreError};

const OWNER: OwnerId = OwnerId([1; 32]);
const MIB: u64 = 1 << 20;

fn store(engine: Arc<dyn Engine>) -> Store {
    let key = SigningKey::from_seed(&Secret32::new([3; 32]));
    let store = Store::new(engine, key, DiskReserve(0));
    store.check_version().unwrap();
    // Collection goes over the owners that are served.
    let mut batch = crate::store::engine::Batch::default();
    let totals = store.totals(&OWNER).unwrap();
    Store::put_row(&mut batch, crate::store::keys::totals(&OWNER), &totals).unwrap();
    store.engine.write(batch).unwrap();
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
fn attack(open: &dyn Fn() -> Arc<dyn Engine>) {
    let engine = open();
    let store = store(Arc::clone(&engine));
    let base = engine.disk_size().unwrap();
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
    engine.flush_objects().unwrap();
    let disk = engine.disk_size().unwrap() - base;
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
    let engine = Arc::new(MemoryEngine::default());
    attack(&|| Arc::<MemoryEngine>::clone(&engine));
}

#[test]
fn n25_unsynced_puts_are_charged_and_come_back_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    attack(&|| Arc::new(RocksEngine::open(dir.path()).unwrap()));
}

/// Rounds in which little is dropped add up, and what a killed process left behind is found: the
/// files shrink in the end.
#[test]
fn n25_the_space_of_unsynced_puts_comes_back_to_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..3u8 {
        let engine = Arc::new(RocksEngine::open(dir.path()).unwrap());
        let store = store(Arc::<RocksEngine>::clone(&engine));
        round(&store);
        for run in 0..3u8 {
            let intake = store.intake(within(u64::MAX)).unwrap();
            let first = (life * 3 + run) * 7;
            assert_eq!(put_all(&store, &intake, first..first + 7), 7);
            engine.flush_objects().unwrap();
            drop(intake);
            if run < 2 {
                round(&store);
            }
        }
        // The last session is left as it is: the process ends.
        assert_eq!(store.unclaimed_bytes(&OWNER).unwrap() / 7_000_000, 1);
    }
    let engine = Arc::new(RocksEngine::open(dir.path()).unwrap());
    let store = store(Arc::<RocksEngine>::clone(&engine));
    assert!(
        store.unclaimed_bytes(&OWNER).unwrap() > 7_000_000,
        "found again after the end of the process"
    );
    round(&store);
    assert_eq!(store.unclaimed_bytes(&OWNER), Ok(0));
    let disk = engine.disk_size().unwrap();
    assert!(disk < 10 * MIB, "{disk} bytes for nothing");
}

#[test]
fn n25_unsynced_bytes_are_found_after_the_process_or_the_power_is_lost() {
    for lose in [MemoryEngine::kill, MemoryEngine::crash] {
        let engine = Arc::new(MemoryEngine::default());
        let first = store(Arc::<MemoryEngine>::clone(&engine));
        let intake = first.intake(within(u64::MAX)).unwrap();
        put_all(&first, &intake, 0..20);
        lose(&engine);
        let again = store(Arc::<MemoryEngine>::clone(&engine));
        let on_disk = engine.disk_size().unwrap();
        assert!(on_disk > 0);
        assert!(again.unclaimed_bytes(&OWNER).unwrap() >= on_disk);
        round(&again);
        assert_eq!(again.unclaimed_bytes(&OWNER), Ok(0));
        assert_eq!(engine.disk_size(), Ok(0));
    }
}

/// What another session has under way, or left behind, is not written a second time.
#[test]
fn an_object_left_behind_is_taken_up_again() {
    let engine = Arc::new(MemoryEngine::default());
    let store = store(Arc::<MemoryEngine>::clone(&engine));
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
    assert_eq!(engine.disk_size(), Ok(size));
    assert_eq!(store.usage(&OWNER, &access.device).unwrap().bytes, size);
}

/// The administrator's limit for all devices of an owner holds at each put.
#[test]
fn n25_the_quota_of_an_owner_holds_before_anything_is_synced() {
    let store = store(Arc::new(MemoryEngine::default()));
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
