//! Everything is read, slowly, and what is damaged is found, named and not served.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::frame::padded_len;
use packnback_proto::format::header::Header;
use packnback_proto::ids::{ObjectId, OwnerId};
use packnback_proto::wire::admin::AlarmKind;
use packnback_proto::wire::work::WorkState;
use tokio::time::{Instant, sleep};

use super::*;
use crate::ports::Env;
use crate::ports::memory::VirtualClock;
use crate::store::memory::MemoryDisk;
use crate::store::{DiskReserve, StoreError};

const OWNER: OwnerId = OwnerId([1; 32]);
const START: u64 = 1_700_000_000;

fn runner() -> Runner {
    Runner::new(Env::system().with_clock(Arc::new(VirtualClock::new(START))))
}

fn store_on(disk: &MemoryDisk) -> Arc<Store> {
    let key = SigningKey::from_seed(&Secret32::new([3; 32]));
    Arc::new(Store::new(disk.disk(), key, DiskReserve(0)))
}

/// Puts objects of about a megabyte each.
fn fill(store: &Store, noises: std::ops::Range<u8>) -> Vec<ObjectId> {
    let intake = store.intake(store.own_access(&OWNER)).unwrap();
    let put = noises.map(|noise| {
        let mut bytes = Vec::new();
        Header::chunk().write(&mut bytes).unwrap();
        bytes.extend(vec![noise; padded_len(1_000_000) + OVERHEAD]);
        let id = object_id(&bytes);
        store.put(&intake, &id, &bytes, START).unwrap();
        id
    });
    let ids = put.collect();
    store.sync(&intake, START).unwrap();
    ids
}

/// Until a reading is over; how long it took.
async fn whole_reading(runner: &Runner) -> Duration {
    let began = Instant::now();
    loop {
        let worker = runner.workers().remove(0);
        if worker.state == WorkState::Waiting && worker.note.starts_with("last time") {
            return began.elapsed();
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_is_found_named_and_not_served() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    let ids = fill(&store, 0..6);
    let bad = ids[2];
    assert!(disk.flip_bit(&[OWNER.0, bad.0].concat(), 4_000_000));
    let runner = runner();
    start(&runner, &store, 30);
    whole_reading(&runner).await;
    let row = store.scrub_row().unwrap();
    assert_eq!((row.objects, row.damaged, row.unread), (6, 1, 0));
    assert!(row.bytes > 5_000_000, "{row:?}");
    assert_eq!(
        store.get(&OWNER, &bad),
        Err(StoreError::AddressMismatch { id: bad })
    );
    let alarms = store.alarms().unwrap();
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].kind, AlarmKind::Damage);
    assert!(
        alarms[0].text.contains(&bad.to_string()),
        "{}",
        alarms[0].text
    );
    // The others are.
    for id in ids.iter().filter(|id| **id != bad) {
        assert!(store.get(&OWNER, id).unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_read_again_after_thirty_days_and_not_before() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    let ids = fill(&store, 0..2);
    let runner = runner();
    start(&runner, &store, 30);
    whole_reading(&runner).await;
    let steps = runner.workers()[0].runs;
    assert!(disk.flip_bit(&[OWNER.0, ids[1].0].concat(), 80_000));
    sleep(Duration::from_secs(29 * DAY_S)).await;
    assert_eq!(runner.workers()[0].runs, steps);
    assert_eq!(store.scrub_row().unwrap().damaged, 0);
    sleep(Duration::from_secs(2 * DAY_S)).await;
    whole_reading(&runner).await;
    let row = store.scrub_row().unwrap();
    assert_eq!((row.objects, row.damaged), (2, 1));
    assert!(row.finished > Some(START + 30 * DAY_S - 1));
}

#[tokio::test(start_paused = true)]
async fn reading_is_slow() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    fill(&store, 0..40);
    let runner = runner();
    start(&runner, &store, 30);
    let took = whole_reading(&runner).await;
    let bytes = store.scrub_row().unwrap().bytes;
    assert!(
        took >= Duration::from_secs(bytes / RATE),
        "{took:?} for {bytes}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reading_goes_on_where_it_was() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    let mut ids = fill(&store, 0..5);
    ids.sort();
    let began = ScrubRow::default().begun(START);
    let first = store.scrub(&began, 1, START, &|| false).unwrap();
    assert_eq!(first.row.objects, 1);
    store.keep_scrub_row(&first.row).unwrap();
    drop(store);
    disk.kill();
    let store = store_on(&disk);
    // The first one was read already.
    assert!(disk.flip_bit(&[OWNER.0, ids[0].0].concat(), 80_000));
    let runner = runner();
    start(&runner, &store, 30);
    whole_reading(&runner).await;
    let row = store.scrub_row().unwrap();
    assert_eq!((row.objects, row.damaged, row.began), (5, 0, START));
}

#[test]
fn a_clock_that_went_back_puts_nothing_off_for_ever() {
    let store = store_on(&MemoryDisk::default());
    let scrub = Scrub::new(store, 30);
    let row = |finished| ScrubRow {
        finished,
        ..ScrubRow::default()
    };
    assert_eq!(scrub.due_in(&row(None), 5), 0);
    assert_eq!(scrub.due_in(&row(Some(0)), 31 * DAY_S), 0);
    assert_eq!(scrub.due_in(&row(Some(DAY_S)), 2 * DAY_S), 29 * DAY_S);
    assert_eq!(scrub.due_in(&row(Some(u64::MAX)), 2 * DAY_S), 30 * DAY_S);
}

#[test]
fn a_reading_that_is_told_to_end_ends() {
    let store = store_on(&MemoryDisk::default());
    fill(&store, 0..3);
    let began = ScrubRow::default().begun(START);
    let done = store.scrub(&began, u64::MAX, START, &|| true).unwrap();
    assert_eq!((done.row.objects, done.row), (0, began));
}

#[test]
fn one_owner_after_the_other_is_read_and_nothing_twice() {
    let store = store_on(&MemoryDisk::default());
    fill(&store, 0..4);
    let other = OwnerId([9; 32]);
    let intake = store.intake(store.own_access(&other)).unwrap();
    let mut bytes = Vec::new();
    Header::chunk().write(&mut bytes).unwrap();
    bytes.extend(vec![77; padded_len(20_000) + OVERHEAD]);
    store
        .put(&intake, &object_id(&bytes), &bytes, START)
        .unwrap();
    store.sync(&intake, START).unwrap();
    let mut row = ScrubRow::default().begun(START);
    let mut pieces = 0;
    while row.place.is_some() {
        row = store.scrub(&row, 1_500_000, START, &|| false).unwrap().row;
        pieces += 1;
    }
    assert_eq!((row.objects, row.finished), (5, Some(START)));
    assert_eq!(pieces, 3);
}
