//! Number 8: what an attacker, or a clock, cannot make a host let go.

use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::limits::GRACE_D;
use packnback_proto::machine::budget::DAY_S;
use packnback_proto::policy::Moment;
use packnback_proto::record::{Cert, Op, PolicyArg, Receipt, Signed, Snap};
use packnback_proto::wire::Role;
use packnback_proto::wire::store::StoreReply;

use super::orders::{at, collect, is_whole, order, policy, snaps, submit, to_this_host};
use crate::service::testkit::*;
use crate::store::CommitOutcome;

const GRACE: u64 = GRACE_D * DAY_S;

/// One snapshot a day, each another tree, in one line.
async fn days(world: &World, count: u8) -> Vec<SnapshotId> {
    let (mut made, mut prev) = (Vec::new(), None);
    for n in 0..count {
        let now = NOW + u64::from(n) * DAY_S;
        world
            .clock
            .0
            .store(now, std::sync::atomic::Ordering::Relaxed);
        let mut conn = world.session().await;
        let snap = back_up_after(&mut conn, &tree(n), n.into(), prev).await;
        collect(world.store(), now);
        made.push(snap);
        prev = Some(snap);
    }
    made
}

fn take(world: &World, oid: u8, policy: PolicyArg, now: u64) {
    let order = to_this_host(order(oid, Op::Policy(policy)));
    assert_eq!(submit(world, &order, now), Ok(true));
}

fn going(world: &World, all: &[SnapshotId]) -> usize {
    let owner = owner().owner_id();
    all.iter()
        .filter(|snap| world.store().going(&owner, snap).unwrap().is_some())
        .count()
}

#[tokio::test]
async fn a_policy_marks_few_a_day_and_ends_them_after_the_grace() {
    let world = World::new();
    let all = days(&world, 8).await;
    let now = NOW + 8 * DAY_S;
    take(&world, 1, policy(1), now);
    collect(world.store(), now);
    assert_eq!(going(&world, &all), 2, "the cap of the day");
    collect(world.store(), now + 60);
    assert_eq!(going(&world, &all), 2);
    collect(world.store(), now + DAY_S);
    assert_eq!(going(&world, &all), 4);
    assert_eq!(snaps(&world).len(), 8, "marks alone end nothing");
    for day in 2..30 {
        collect(world.store(), now + day * DAY_S);
    }
    assert_eq!(snaps(&world), [all[7]].into(), "the newest stays for ever");
    assert!(is_whole(&world, &tree(7)));
    assert!(!is_whole(&world, &tree(0)));
}

#[tokio::test]
async fn a_newer_policy_takes_the_marks_of_the_older_back() {
    let world = World::new();
    let all = days(&world, 6).await;
    let now = NOW + 6 * DAY_S;
    take(&world, 1, policy(1), now);
    collect(world.store(), now);
    assert_eq!(going(&world, &all), 2);
    let keeps_all = PolicyArg {
        min_age_d: 1000,
        ..policy(2)
    };
    take(&world, 2, keeps_all, now + GRACE - 1);
    assert_eq!(going(&world, &all), 0);
    collect(world.store(), now + GRACE);
    assert_eq!(snaps(&world).len(), 6);
}

/// The clock says `wall` although the machine ran on normally, or was started anew.
async fn clock_moves(wall: u64, same_start: bool) -> (World, Vec<SnapshotId>) {
    let world = World::new();
    let all = days(&world, 6).await;
    let now = NOW + 6 * DAY_S;
    take(&world, 1, policy(1), now);
    collect(world.store(), now);
    assert_eq!(going(&world, &all), 2);
    let mut moment = at(now + 60);
    if !same_start {
        moment = Moment {
            boot: 7200,
            boot_id: [2; 16],
            ..moment
        };
    }
    for step in 0..20 {
        let moved = Moment {
            wall: wall + step * 600,
            boot: moment.boot + step * 600,
            ..moment
        };
        let round = world.store().collect(moved, true).unwrap();
        assert_eq!(
            (round.marked, round.done.snaps, round.done.objects),
            (0, 0, 0)
        );
    }
    assert_eq!(
        snaps(&world).len(),
        6,
        "neither expiry nor the end of a grace"
    );
    let frozen = world
        .store()
        .freezes(&owner().owner_id(), &device().node_id());
    assert!(!frozen.unwrap().is_empty());
    (world, all)
}

#[tokio::test]
async fn n08_clock_ten_years_ahead_freezes() {
    let ahead = NOW + 3650 * DAY_S;
    let (world, _) = clock_moves(ahead, true).await;
    // Only a newer policy of the owner clears it, and then the clock is believed again.
    take(&world, 2, policy(2), NOW + 7 * DAY_S);
    let frozen = world
        .store()
        .freezes(&owner().owner_id(), &device().node_id());
    assert_eq!(frozen.unwrap(), vec![]);
    clock_moves(ahead, false).await;
}

#[tokio::test]
async fn n08_clock_ten_years_back_freezes() {
    clock_moves(NOW - 3650 * DAY_S, true).await;
    clock_moves(NOW - 3650 * DAY_S, false).await;
}

#[tokio::test]
async fn n08_clock_that_leaps_by_more_than_a_day_freezes() {
    clock_moves(NOW + 6 * DAY_S + GRACE + 3600, true).await;
    clock_moves(NOW + 6 * DAY_S + GRACE + 3600, false).await;
}

fn other_device() -> Cert {
    Cert {
        device: key(4).node_id(),
        ..cert()
    }
}

fn retention_of(world: &World, device: NodeId, now: u64) -> String {
    let info = world
        .store()
        .retention(&owner().owner_id(), Some(&device), None, 0, now)
        .unwrap();
    format!("{info:?}")
}

#[tokio::test]
async fn answers_come_in_pages_that_together_are_everything() {
    let world = World::new();
    days(&world, 5).await;
    let (owner, now) = (owner().owner_id(), NOW + 5 * DAY_S);
    let retention = |skip| {
        let infos = world.store().retention(&owner, None, None, skip, now);
        let info = infos.unwrap().remove(0);
        assert_eq!(info.total, 5);
        info.snaps
    };
    let stats = |skip| {
        let stats = world.store().stats(&owner, skip).unwrap();
        assert_eq!(stats.total, 5);
        stats.snaps
    };
    for skip in 0..7 {
        let at = usize::try_from(skip).unwrap().min(5);
        assert_eq!(retention(skip), retention(0)[at..]);
        assert_eq!(stats(skip), stats(0)[at..]);
    }
    assert!(retention(u64::MAX).is_empty() && stats(u64::MAX).is_empty());
}

#[tokio::test]
async fn n08_a_flood_of_one_device_leaves_the_other_and_the_past_alone() {
    let world = World::new();
    let all = days(&world, 4).await;
    let now = NOW + 4 * DAY_S;
    world
        .clock
        .0
        .store(now, std::sync::atomic::Ordering::Relaxed);
    world.peers.know(key(4).node_id(), Role::Friend, u64::MAX);
    let mut other = world.session_with(other_device()).await;
    let below = tree(90);
    for object in &below {
        other.put(object).await;
    }
    let theirs = snap_by(&key(4), &owner(), root(&below).id, 1);
    other.commit(&theirs).await;
    take(&world, 1, policy(1), now);
    let before = retention_of(&world, key(4).node_id(), now);
    // The first device floods: junk under its own key, as much as its certificate allows and more.
    let mut conn = world.session().await;
    let mut prev = all.last().copied();
    let mut taken = 0;
    for n in 0..60u8 {
        let junk = object(packnback_proto::format::header::Kind::Root, 8, &[], n);
        conn.put(&junk).await;
        let snap = Snap {
            prev,
            ..snap(&junk, 100 + u64::from(n)).value().clone()
        };
        let snap = Signed::sign(&snap, &device()).unwrap();
        if matches!(conn.commit(&snap).await.0, StoreReply::Committed { .. }) {
            taken += 1;
            prev = Some(snap.id());
        }
    }
    assert_eq!(taken, 48, "what its certificate allows a day");
    for day in 0..40 {
        collect(world.store(), now + day * DAY_S);
    }
    let left = snaps(&world);
    assert!(
        all.iter().all(|snap| left.contains(snap)),
        "frozen: nothing of the past went"
    );
    assert!(left.contains(&theirs.id()));
    assert_eq!(retention_of(&world, key(4).node_id(), now), before);
    drop(other);
    let mut other = world.session_with(other_device()).await;
    let next = tree(91);
    for object in &next {
        other.put(object).await;
    }
    let next = snap_by(&key(4), &owner(), root(&next).id, 2);
    let reply = other.commit(&next).await.0;
    assert!(matches!(reply, StoreReply::Committed { .. }), "{reply:?}");
}

#[tokio::test]
async fn n08_a_copy_keeps_the_time_of_the_earliest_receipt_of_a_listed_host() {
    let world = World::new();
    let mut conn = world.session().await;
    back_up(&mut conn, &tree(0), 1).await;
    let (listed, stranger) = (key(30), key(31));
    let hosts = Op::Hosts {
        hseq: 1,
        hosts: vec![listed.node_id()],
    };
    submit(&world, &order(1, hosts), NOW).unwrap();
    for object in &tree(5) {
        conn.put(object).await;
    }
    conn.sync().await;
    let snap = Snap {
        time: NOW - 100 * DAY_S,
        ..snap(root(&tree(5)), 7).value().clone()
    };
    let snap = Signed::sign(&snap, &device()).unwrap();
    let receipt = |host: &packnback_proto::crypto::sign::SigningKey, received| {
        let receipt = Receipt {
            snap: snap.id(),
            host: host.node_id(),
            received,
            log_seq: 1,
            log_prev: None,
            n_objects: 1,
            bytes: 1,
            policy_seq: 0,
        };
        Signed::sign(&receipt, host).unwrap().envelope().to_vec()
    };
    let receipts = [
        receipt(&stranger, NOW - 99 * DAY_S),
        receipt(&listed, NOW - 50 * DAY_S),
        receipt(&listed, NOW - 40 * DAY_S),
    ];
    let owner = owner().owner_id();
    let copied = world
        .store()
        .import_snap(&owner, snap.envelope(), &receipts, NOW);
    assert!(
        matches!(copied, Ok(CommitOutcome::Accepted(_))),
        "{copied:?}"
    );
    let row = world.store().snap(&owner, &snap.id()).unwrap().unwrap();
    assert_eq!(
        (row.kept_from, row.received, row.imported),
        (NOW - 50 * DAY_S, NOW, true)
    );
}

#[tokio::test]
async fn n10_two_lines_of_one_device_are_told_and_freeze_expiry() {
    let world = World::new();
    let all = days(&world, 5).await;
    let now = NOW + 5 * DAY_S;
    // The device, set back by three days, or a thief of its key: both build on the same snapshot.
    let mut conn = world.session().await;
    let twin = back_up_after(&mut conn, &tree(70), 99, Some(all[1])).await;
    let frozen = world
        .store()
        .freezes(&owner().owner_id(), &device().node_id());
    assert_eq!(frozen.unwrap().len(), 1);
    take_and_wait(&world, now).await;
    take(&world, 9, policy(9), now + 30 * DAY_S);
    collect(world.store(), now + 30 * DAY_S);
    assert!(
        going(&world, &all) > 0,
        "a newer policy of the owner clears it"
    );
    assert!(snaps(&world).contains(&twin));
}

/// A policy from before the fork does not clear what came after it.
async fn take_and_wait(world: &World, now: u64) {
    for day in 0..20 {
        collect(world.store(), now + day * DAY_S);
    }
    assert_eq!(snaps(world).len(), 6);
}
