//! Number 9: one device cannot starve another.

use std::sync::atomic::Ordering;

use futures::FutureExt as _;
use packnback_proto::limits::{HAVE_IDS_MAX, HAVE_IDS_PER_HOUR, LOOSE_KEEP_S, SESSIONS_PER_DEVICE};
use packnback_proto::machine::budget::DAY_S;
use packnback_proto::record::{Cert, Signed};
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use packnback_proto::wire::{ErrorCode, Role};

use super::orders::collect;
use crate::service::testkit::*;
use crate::store::Access;

fn other_device() -> Cert {
    Cert {
        device: key(4).node_id(),
        ..cert()
    }
}

/// The other device makes a backup as if nothing were.
async fn the_other_device_backs_up(world: &World, noise: u8) {
    world.peers.know(key(4).node_id(), Role::Friend, u64::MAX);
    let mut conn = world.session_with(other_device()).await;
    let tree = tree(noise);
    for object in &tree {
        conn.put(object).await;
    }
    let snap = snap_by(&key(4), &owner(), root(&tree).id, noise.into());
    let reply = conn.commit(&snap).await.0;
    assert!(matches!(reply, StoreReply::Committed { .. }), "{reply:?}");
}

#[tokio::test]
async fn n09_a_session_too_many_is_refused_and_the_other_device_goes_on() {
    let world = World::new();
    let mut open = Vec::new();
    for _ in 0..SESSIONS_PER_DEVICE {
        open.push(world.session().await);
    }
    let before = world.engine.snapshot();
    let mut third = world.connect(device().node_id());
    third.hello().await;
    assert_refused(&third.open(cert()).await, ErrorCode::Busy);
    assert_eq!(world.engine.snapshot(), before);
    the_other_device_backs_up(&world, 1).await;
    // One of them ends: there is a place again.
    open.pop();
    let mut again = world.connect(device().node_id());
    again.hello().await;
    loop {
        match again.open(cert()).await {
            StoreReply::Opened { .. } => break,
            reply => assert_refused(&reply, ErrorCode::Busy),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn n09_a_session_of_a_week_ends_and_holds_nothing_back() {
    let world = World::new();
    let mut conn = world.session().await;
    let tree = tree(1);
    for object in &tree {
        conn.put(object).await;
    }
    conn.sync().await;
    let owner = owner().owner_id();
    world
        .clock
        .0
        .store(NOW + LOOSE_KEEP_S - 1, Ordering::Relaxed);
    collect(world.store(), NOW + LOOSE_KEEP_S - 1);
    assert_eq!(conn.have(&[tree[0].id]).await, [true], "one second is left");
    world.clock.0.store(NOW + LOOSE_KEEP_S, Ordering::Relaxed);
    assert_refused(&conn.sync().await, ErrorCode::Busy);
    drop(conn);
    world.quiet().await;
    // Asked for a moment ago: kept for another week, then gone.
    collect(world.store(), NOW + LOOSE_KEEP_S);
    assert_ne!(world.store().totals(&owner).unwrap().objects, 0);
    collect(world.store(), NOW + 2 * LOOSE_KEEP_S);
    let totals = world.store().totals(&owner).unwrap();
    assert_eq!((totals.objects, totals.bytes), (0, 0));
    let usage = world.store().usage(&owner, &device().node_id()).unwrap();
    assert_eq!(usage.bytes, 0, "what was freed does not count any more");
    the_other_device_backs_up(&world, 2).await;
}

#[tokio::test]
async fn n09_a_device_at_its_quota_leaves_room_for_the_other() {
    let world = World::new();
    let small = Cert {
        quota_bytes: 2000,
        ..cert()
    };
    let mut conn = world.session_with(small).await;
    for n in 0..9 {
        conn.put(&chunk(n)).await;
    }
    assert_refused(&conn.sync().await, ErrorCode::Quota);
    the_other_device_backs_up(&world, 3).await;
}

#[tokio::test]
async fn n09_questions_without_end_are_refused_for_a_while() {
    let world = World::new();
    let mut conn = world.session().await;
    let ids: Vec<_> = (0..HAVE_IDS_MAX)
        .map(|n| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            packnback_proto::ids::ObjectId(id)
        })
        .collect();
    let body = packnback_proto::wire::ids::encode_ids(&ids);
    let rounds = HAVE_IDS_PER_HOUR / u64::try_from(HAVE_IDS_MAX).unwrap();
    for _ in 0..rounds {
        assert_eq!(
            conn.ask(StoreRequest::Have, &body).await.0,
            StoreReply::Bitmap
        );
    }
    assert_refused(
        &conn.ask(StoreRequest::Have, &body).await.0,
        ErrorCode::Busy,
    );
    world.clock.0.store(NOW + 3600, Ordering::Relaxed);
    assert_eq!(
        conn.ask(StoreRequest::Have, &body).await.0,
        StoreReply::Bitmap
    );
    the_other_device_backs_up(&world, 4).await;
}

#[tokio::test]
async fn n09_the_administrators_quota_holds_for_all_devices_together() {
    let world = World::new();
    let owner_id = owner().owner_id();
    let mut conn = world.session().await;
    back_up(&mut conn, &tree(1), 1).await;
    let used = world.store().totals(&owner_id).unwrap().bytes;
    world.store().set_quota(&owner_id, Some(used)).unwrap();
    drop(conn);
    let mut conn = world.session().await;
    let before = world.store().totals(&owner_id).unwrap();
    conn.put(&chunk(77)).await;
    assert_refused(&conn.sync().await, ErrorCode::Quota);
    assert_eq!(world.store().totals(&owner_id).unwrap(), before);
    world.store().set_quota(&owner_id, None).unwrap();
    the_other_device_backs_up(&world, 5).await;
}

#[tokio::test]
async fn the_end_of_hosting_goes_in_steps() {
    let world = World::new();
    let owner_id = owner().owner_id();
    let mut conn = world.session().await;
    back_up(&mut conn, &tree(1), 1).await;
    drop(conn);
    world.quiet().await;
    collect(world.store(), NOW);
    world.store().evict(&owner_id, Some((30, 20)), NOW).unwrap();
    let mut warned = world.connect(device().node_id());
    warned.hello().await;
    let StoreReply::Opened { notice, .. } = warned.open(cert()).await else {
        panic!("a warning refuses nothing")
    };
    assert_eq!(notice.unwrap().stage, "warned");
    // Nothing new any more, in sessions that were open and in new ones.
    let frozen = NOW + 30 * DAY_S;
    world.clock.0.store(frozen, Ordering::Relaxed);
    let access = Access {
        device: device().node_id(),
        ..world.store().own_access(&owner_id)
    };
    let commit = |seq, now| {
        let snap = Signed::sign(snap(root(&tree(1)), seq).value(), &device()).unwrap();
        let store = world.store();
        store.commit(&access, &cert(), snap.envelope(), now)
    };
    // What is refused is taken a second before.
    commit(8, frozen - 1).unwrap();
    let before = world.store().totals(&owner_id).unwrap();
    assert!(commit(9, frozen).is_err());
    assert_eq!(world.store().totals(&owner_id).unwrap(), before);
    let mut refused = world.connect(device().node_id());
    refused.hello().await;
    assert_refused(&refused.open(cert()).await, ErrorCode::Denied);
    drop((warned, refused));
    world.quiet().await;
    collect(world.store(), frozen + 20 * DAY_S - 1);
    assert!(
        super::orders::is_whole(&world, &tree(1)),
        "reading goes on to the last day"
    );
    collect(world.store(), frozen + 20 * DAY_S);
    assert_eq!(world.store().totals(&owner_id).unwrap().objects, 0);
}

/// While requests of an owner hold everything that may work for it, its next one takes no thread.
#[tokio::test]
async fn n25_requests_wait_for_their_owner_outside_of_the_threads() {
    let world = World::new();
    let mut conn = world.session().await;
    let owner = owner().owner_id();
    let mut working = Vec::new();
    while let Some(lane) = world.host.lanes.enter(&owner).now_or_never() {
        working.push(lane.unwrap());
    }
    let ids = [chunk(1).id];
    let mut asked = Box::pin(conn.have(&ids));
    let waiting = async {
        while world.host.lanes.waiting(&owner) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = &mut asked => panic!("it did not wait"),
        () = waiting => {}
    }
    drop(working);
    assert_eq!(asked.await, [false]);
}
