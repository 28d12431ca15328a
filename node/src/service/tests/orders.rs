//! Numbers 4 to 7: orders.

use std::collections::BTreeSet;

use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::limits::{DROP_OWNER_GRACE_D, GRACE_D, ORDERS_TOLD_MAX};
use packnback_proto::machine::budget::DAY_S;
use packnback_proto::policy::Moment;
use packnback_proto::record::{Op, Order, PolicyArg, RecordError, Signed, Snap, decode_order};

use crate::service::testkit::*;
use crate::store::stored::OrderStand;
use crate::store::{Round, Store, StoreError};

pub(super) const GRACE: u64 = GRACE_D * DAY_S;

/// What a policy keeps nothing by.
pub(super) fn policy(pseq: u64) -> PolicyArg {
    PolicyArg {
        pseq,
        device: None,
        min_age_d: 0,
        keep: [0; 5],
        keep_last: 1,
        grace_d: GRACE_D,
    }
}

pub(super) fn order(oid: u8, op: Op) -> Order {
    Order {
        owner: owner().owner_id(),
        oid: [oid; 16],
        issued: NOW + u64::from(oid),
        audience: None,
        op,
        not_before: None,
    }
}

pub(super) fn to_this_host(order: Order) -> Order {
    Order {
        audience: Some(vec![host_key().node_id()]),
        ..order
    }
}

pub(super) fn submit(world: &World, order: &Order, now: u64) -> Result<bool, StoreError> {
    let signed = Signed::sign(order, &owner()).unwrap();
    let owner = owner().owner_id();
    world.store().put_order(&owner, signed.envelope(), now)
}

pub(super) fn stand(world: &World, oid: u8) -> OrderStand {
    let rows = world.store().order_rows(&owner().owner_id()).unwrap();
    let id = |row: &crate::store::stored::OrderRow| {
        let envelope = world.store().record(&owner().owner_id(), &row.id).unwrap();
        packnback_proto::record::decode_order(&envelope.unwrap())
            .unwrap()
            .value()
            .oid
    };
    rows.iter().find(|row| id(row) == [oid; 16]).unwrap().stand
}

/// A moment of a machine that runs since long before the tests.
pub(super) fn at(now: u64) -> Moment {
    Moment {
        wall: now,
        boot: now - NOW + 10_000_000,
        boot_id: [1; 16],
    }
}

pub(super) fn collect(store: &Store, now: u64) -> Round {
    let round = store.collect(at(now), true).unwrap();
    assert_eq!(round.failed, []);
    round
}

pub(super) fn snaps(world: &World) -> BTreeSet<SnapshotId> {
    let stats = world.store().stats(&owner().owner_id(), 0).unwrap();
    stats.snaps.iter().map(|snap| snap.snap).collect()
}

/// Every object of the tree is here to the last byte.
pub(super) fn is_whole(world: &World, tree: &[Object]) -> bool {
    let owner = owner().owner_id();
    tree.iter()
        .all(|object| world.store().get(&owner, &object.id) == Ok(Some(object.bytes.clone())))
}

async fn two_snapshots(world: &World) -> [SnapshotId; 2] {
    let mut conn = world.session().await;
    let first = back_up(&mut conn, &tree(1), 1).await;
    let second = back_up_after(&mut conn, &tree(2), 2, Some(first)).await;
    drop(conn);
    world.quiet().await;
    collect(world.store(), NOW);
    [first, second]
}

#[tokio::test]
async fn n04_the_same_order_id_again_has_no_effect() {
    let world = World::new();
    let [first, second] = two_snapshots(&world).await;
    assert_eq!(
        submit(&world, &order(1, Op::DeleteIds(vec![first])), NOW),
        Ok(true)
    );
    let before = world.engine.snapshot();
    for op in [Op::DeleteIds(vec![first]), Op::DeleteIds(vec![second])] {
        assert_eq!(submit(&world, &order(1, op), NOW + 5), Ok(false));
        assert_eq!(world.engine.snapshot(), before);
    }
    collect(world.store(), NOW + GRACE);
    assert_eq!(snaps(&world), BTreeSet::from([second]));
    assert!(is_whole(&world, &tree(2)));
}

#[tokio::test]
async fn n04_an_order_signed_by_a_device_or_another_owner() {
    let world = World::new();
    let [first, _] = two_snapshots(&world).await;
    let before = world.engine.snapshot();
    let order = order(1, Op::DeleteIds(vec![first]));
    for signer in [device(), key(8), host_key()] {
        let forged = Signed::sign(&order, &signer);
        let refused = match forged {
            Ok(forged) => world
                .store()
                .put_order(&owner().owner_id(), forged.envelope(), NOW),
            Err(error) => Err(StoreError::Record(error)),
        };
        assert!(
            matches!(refused, Err(StoreError::Record(RecordError::WrongSigner))),
            "{refused:?}"
        );
    }
    let other = Order {
        owner: key(8).owner_id(),
        ..order
    };
    let other = Signed::sign(&other, &key(8)).unwrap();
    let refused = world
        .store()
        .put_order(&owner().owner_id(), other.envelope(), NOW);
    assert!(matches!(refused, Err(StoreError::Unknown(_))));
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n05_an_old_policy_does_not_come_back() {
    let world = World::new();
    two_snapshots(&world).await;
    let keeps_much = PolicyArg {
        keep: [0, 0, 0, 60, 0],
        min_age_d: 30,
        ..policy(7)
    };
    let new = to_this_host(order(1, Op::Policy(keeps_much)));
    assert_eq!(submit(&world, &new, NOW), Ok(true));
    let in_force = world
        .store()
        .policy(&owner().owner_id(), &device().node_id());
    for (oid, pseq) in [(2, 1), (3, 6), (4, 7)] {
        let old = to_this_host(order(oid, Op::Policy(policy(pseq))));
        assert_eq!(submit(&world, &old, NOW + 1), Ok(true));
        assert_eq!(stand(&world, oid), OrderStand::Refused);
        let still = world
            .store()
            .policy(&owner().owner_id(), &device().node_id());
        assert_eq!(still, in_force);
    }
    collect(world.store(), NOW + DAY_S);
    collect(world.store(), NOW + DAY_S + GRACE);
    assert_eq!(snaps(&world).len(), 2);
}

#[tokio::test]
async fn n05_a_policy_without_hosts_or_for_other_hosts() {
    let world = World::new();
    two_snapshots(&world).await;
    let nobody = Signed::sign(&order(1, Op::Policy(policy(1))), &owner());
    assert_eq!(nobody.err(), Some(RecordError::AudienceRequired));
    let elsewhere = Order {
        audience: Some(vec![key(40).node_id()]),
        ..order(2, Op::Policy(policy(1)))
    };
    assert_eq!(submit(&world, &elsewhere, NOW), Ok(true));
    assert_eq!(stand(&world, 2), OrderStand::NotForUs);
    let owner = owner().owner_id();
    assert_eq!(world.store().policy(&owner, &device().node_id()), Ok(None));
    collect(world.store(), NOW + 400 * DAY_S - GRACE);
    assert_eq!(snaps(&world).len(), 2);
}

fn range(oid: u8, device: NodeId, max_count: u64) -> Order {
    let (recv_from, recv_to) = (NOW - 10, NOW + 10);
    order(
        oid,
        Op::DeleteRange {
            device,
            recv_from,
            recv_to,
            max_count,
        },
    )
}

#[tokio::test]
async fn n05_a_range_that_matches_more_than_it_says() {
    let world = World::new();
    two_snapshots(&world).await;
    assert_eq!(
        submit(&world, &range(1, device().node_id(), 1), NOW),
        Ok(true)
    );
    assert_eq!(stand(&world, 1), OrderStand::Refused);
    assert_eq!(
        submit(&world, &range(2, key(40).node_id(), 9), NOW),
        Ok(true)
    );
    collect(world.store(), NOW + GRACE);
    assert_eq!(
        snaps(&world).len(),
        2,
        "nothing of what it named, nor of another device"
    );
    assert_eq!(
        submit(&world, &range(3, device().node_id(), 2), NOW),
        Ok(true)
    );
    assert!(matches!(stand(&world, 3), OrderStand::Waiting(_)));
    collect(world.store(), NOW + GRACE);
    assert_eq!(snaps(&world).len(), 0);
}

#[tokio::test]
async fn n06_deletes_played_to_a_host_that_was_rebuilt() {
    let lost = World::new();
    let [first, second] = two_snapshots(&lost).await;
    let delete = order(1, Op::DeleteIds(vec![first]));
    assert_eq!(submit(&lost, &delete, NOW), Ok(true));
    let taken_back = order(2, Op::DeleteIds(vec![second]));
    assert_eq!(submit(&lost, &taken_back, NOW), Ok(true));
    let cancel = order(3, Op::Cancel(vec![[2; 16]]));
    assert_eq!(submit(&lost, &cancel, NOW), Ok(true));
    // The rebuilt host has what the owner kept. Somebody plays it all orders, the old ones last.
    let rebuilt = World::new();
    let mut conn = rebuilt.session().await;
    back_up_after(&mut conn, &tree(2), 2, Some(first)).await;
    collect(rebuilt.store(), NOW);
    for order in [&cancel, &taken_back, &delete] {
        assert_eq!(submit(&rebuilt, order, NOW + DAY_S), Ok(true));
    }
    assert_eq!(stand(&rebuilt, 2), OrderStand::Cancelled);
    collect(rebuilt.store(), NOW + DAY_S + GRACE);
    assert_eq!(snaps(&rebuilt), BTreeSet::from([second]));
    assert!(is_whole(&rebuilt, &tree(2)));
    // And what was deleted does not come back either.
    let refused = conn.commit(&snap(root(&tree(1)), 1)).await.0;
    assert_refused(&refused, packnback_proto::wire::ErrorCode::Record);
    assert_eq!(snaps(&rebuilt), BTreeSet::from([second]));
}

#[tokio::test]
async fn n07_cancel_in_the_grace_and_after_it() {
    let world = World::new();
    let [first, second] = two_snapshots(&world).await;
    for (oid, snap) in [(1, first), (2, second)] {
        submit(&world, &order(oid, Op::DeleteIds(vec![snap])), NOW).unwrap();
    }
    collect(world.store(), NOW + GRACE - 1);
    assert_eq!(snaps(&world).len(), 2, "one second of grace is left");
    let going = world.store().going(&owner().owner_id(), &first).unwrap();
    assert_eq!(going.unwrap().due, NOW + GRACE);
    submit(
        &world,
        &order(3, Op::Cancel(vec![[1; 16]])),
        NOW + GRACE - 1,
    )
    .unwrap();
    assert_eq!(stand(&world, 1), OrderStand::Cancelled);
    assert_eq!(world.store().going(&owner().owner_id(), &first), Ok(None));
    collect(world.store(), NOW + GRACE);
    assert_eq!(snaps(&world), BTreeSet::from([first]));
    assert!(is_whole(&world, &tree(1)));
    let before = snaps(&world);
    submit(&world, &order(4, Op::Cancel(vec![[2; 16]])), NOW + GRACE).unwrap();
    assert_eq!(stand(&world, 2), OrderStand::Done, "too late");
    assert_eq!(snaps(&world), before);
    assert!(!is_whole(&world, &tree(2)));
}

/// Given at one device, it reaches the others through the host: one of them may know the deletion.
#[tokio::test]
async fn n07_devices_are_told_of_a_cancel_as_long_as_the_deletion_may_wait() {
    let world = World::new();
    let [first, _] = two_snapshots(&world).await;
    let told = |now| {
        let told = world.store().orders_to_tell(&owner().owner_id(), now);
        let oid = |envelope: &Vec<u8>| decode_order(envelope).unwrap().value().oid[0];
        told.unwrap().iter().map(oid).collect::<Vec<u8>>()
    };
    submit(&world, &order(1, Op::DeleteIds(vec![first])), NOW).unwrap();
    assert_eq!(told(NOW), [1]);
    submit(&world, &order(2, Op::Cancel(vec![[1; 16]])), NOW + 5).unwrap();
    assert_eq!(told(NOW + 5), [2], "the deletion waits no more");
    assert_eq!(told(NOW + GRACE), [2], "it may have come to a device later");
    assert_eq!(told(NOW + 5 + GRACE), [0; 0]);
    // Neither kind keeps the other from being told.
    for oid in 10..30 {
        let op = Op::DeleteIds(vec![first]);
        submit(&world, &order(oid, op), NOW + u64::from(oid)).unwrap();
    }
    assert_eq!(told(NOW + 40).len(), ORDERS_TOLD_MAX);
    assert_eq!(told(NOW + 40)[..2], [2, 29]);
    for oid in 40..60 {
        let op = Op::Cancel(vec![[oid + 100; 16]]);
        submit(&world, &order(oid, op), NOW + u64::from(oid)).unwrap();
    }
    let both = told(NOW + 70);
    assert_eq!(both.len(), ORDERS_TOLD_MAX);
    assert_eq!((both[0], both[8]), (59, 29));
    // Those whose time is over are told no more.
    submit(
        &world,
        &order(70, Op::Cancel(vec![[9; 16]])),
        NOW + 100 * DAY_S,
    )
    .unwrap();
    assert_eq!(told(NOW + 100 * DAY_S)[..2], [70, 29]);
}

/// A taking back that comes before what it names ends a deletion, and nothing else: a revocation is in
/// force whatever came before it.
#[tokio::test]
async fn n27_a_cancel_that_came_first_does_not_end_a_revocation() {
    let world = World::new();
    let [first, second] = two_snapshots(&world).await;
    let (owner, device) = (owner().owner_id(), device().node_id());
    submit(
        &world,
        &order(9, Op::Cancel(vec![[1; 16], [2; 16], [3; 16]])),
        NOW,
    )
    .unwrap();
    let revoke = Op::Revoke {
        device,
        reason: String::new(),
    };
    submit(&world, &order(1, revoke), NOW).unwrap();
    assert_eq!(stand(&world, 1), OrderStand::Done);
    assert!(world.store().is_revoked(&owner, &device).unwrap());
    submit(&world, &order(2, Op::Hold(vec![first])), NOW).unwrap();
    assert!(world.store().is_held(&owner, &first).unwrap());
    // And a cancel that comes behind it changes nothing either.
    submit(&world, &order(10, Op::Cancel(vec![[1; 16]])), NOW).unwrap();
    assert!(world.store().is_revoked(&owner, &device).unwrap());
    submit(&world, &order(3, Op::DeleteIds(vec![second])), NOW).unwrap();
    assert_eq!(stand(&world, 3), OrderStand::Cancelled);
    collect(world.store(), NOW + GRACE);
    assert_eq!(snaps(&world).len(), 2);
}

#[tokio::test]
async fn n07_a_hold_takes_a_snapshot_out_of_every_order() {
    let world = World::new();
    let [first, second] = two_snapshots(&world).await;
    submit(&world, &order(1, Op::DeleteIds(vec![first])), NOW).unwrap();
    submit(&world, &order(2, Op::Hold(vec![first, second])), NOW).unwrap();
    submit(&world, &order(3, Op::DeleteIds(vec![second])), NOW).unwrap();
    // An older end of the hold, played afterwards, changes nothing.
    let old = Order {
        issued: NOW,
        ..order(4, Op::Unhold(vec![first, second]))
    };
    submit(&world, &old, NOW).unwrap();
    collect(world.store(), NOW + GRACE);
    assert_eq!(snaps(&world), BTreeSet::from([first, second]));
    assert!(is_whole(&world, &tree(1)) && is_whole(&world, &tree(2)));
}

#[tokio::test]
async fn n07_an_order_from_before_a_hold_does_not_take_when_the_hold_ends() {
    let world = World::new();
    let [first, second] = two_snapshots(&world).await;
    submit(&world, &order(1, Op::DeleteIds(vec![first])), NOW).unwrap();
    submit(&world, &order(2, Op::Hold(vec![first])), NOW).unwrap();
    submit(&world, &order(3, Op::Unhold(vec![first])), NOW).unwrap();
    collect(world.store(), NOW + GRACE);
    assert_eq!(stand(&world, 1), OrderStand::Done);
    assert_eq!(snaps(&world), BTreeSet::from([first, second]));
    assert!(is_whole(&world, &tree(1)));
}

#[tokio::test]
async fn n07_a_held_snapshot_that_comes_after_its_deletion_stays() {
    let world = World::new();
    let mut conn = world.session().await;
    let first = back_up(&mut conn, &tree(1), 1).await;
    collect(world.store(), NOW);
    // Both orders come before the snapshot they are about.
    let coming = Snap {
        prev: Some(first),
        ..snap(root(&tree(2)), 2).value().clone()
    };
    let coming = Signed::sign(&coming, &device()).unwrap().id();
    submit(&world, &order(1, Op::Hold(vec![coming])), NOW).unwrap();
    submit(&world, &order(2, Op::DeleteIds(vec![coming])), NOW).unwrap();
    world
        .clock
        .0
        .store(NOW + 60, std::sync::atomic::Ordering::Relaxed);
    let came = back_up_after(&mut conn, &tree(2), 2, Some(first)).await;
    assert_eq!(came, coming);
    drop(conn);
    world.quiet().await;
    collect(world.store(), NOW + GRACE);
    assert_eq!(stand(&world, 2), OrderStand::Done);
    assert_eq!(snaps(&world), BTreeSet::from([first, coming]));
    assert!(is_whole(&world, &tree(2)));
}

#[tokio::test]
async fn n07_dropping_an_owner_waits_longest_and_names_its_hosts() {
    let world = World::new();
    two_snapshots(&world).await;
    let unnamed = Signed::sign(&order(1, Op::DropOwner), &owner());
    assert_eq!(unnamed.err(), Some(RecordError::AudienceRequired));
    submit(&world, &to_this_host(order(2, Op::DropOwner)), NOW).unwrap();
    let due = NOW + DROP_OWNER_GRACE_D * DAY_S;
    collect(world.store(), due - 1);
    assert_eq!(snaps(&world).len(), 2);
    collect(world.store(), due);
    assert_eq!(snaps(&world).len(), 0);
    let totals = world.store().totals(&owner().owner_id()).unwrap();
    assert_eq!((totals.objects, totals.bytes), (0, 0));
}
