//! A friend as attacker.

use packnback_proto::limits::HAVE_IDS_PER_HOUR;
use packnback_proto::wire::store::StoreRequest;
use packnback_proto::wire::{ErrorCode, Role};

use super::super::testkit::*;
use crate::ports::{PeerBook as _, Sponsor};

#[tokio::test]
async fn n25_refused_opens_leave_no_row() {
    let world = World::new();
    drop(world.session().await);
    world.quiet().await;
    let before = world.engine.snapshot();
    // The friend is bound to its owner, and comes with certificates of others that it made itself.
    for n in 100..140 {
        let mut cert = cert();
        cert.owner = key(n).owner_id();
        let mut conn = world.connect(cert.device);
        conn.hello().await;
        assert_refused(&conn.open(cert).await, ErrorCode::OtherOwner);
    }
    // A recovery key that can be nobody's.
    let mut bad = cert();
    bad.serial = 2;
    bad.recovery = bad.device;
    let mut conn = world.connect(bad.device);
    conn.hello().await;
    assert_refused(&conn.open(bad).await, ErrorCode::OtherOwner);
    // Who is no friend.
    let mut foreign = cert();
    foreign.device = key(50).node_id();
    world.peers.know(foreign.device, Role::Replica, 0);
    let mut conn = world.connect(foreign.device);
    conn.hello().await;
    assert_refused(&conn.open(foreign).await, ErrorCode::Denied);
    assert_eq!(world.engine.snapshot(), before);
    // An honest second friend goes on.
    let mut honest = cert();
    (honest.owner, honest.device) = (key(6).owner_id(), key(5).node_id());
    world.peers.know(honest.device, Role::Friend, u64::MAX);
    drop(world.session_with(honest).await);
}

#[tokio::test]
async fn n25_a_new_session_brings_no_new_questions() {
    let world = World::new();
    let me = device().node_id();
    assert!(world.host.shares.may_ask(me, HAVE_IDS_PER_HOUR, NOW));
    for _ in 0..3 {
        let mut conn = world.session().await;
        let ids = packnback_proto::wire::ids::encode_ids(&[chunk(1).id]);
        let asked = conn.ask(StoreRequest::Have, &ids);
        assert_refused(&asked.await.0, ErrorCode::Busy);
    }
}

#[tokio::test]
async fn n25_a_friend_counts_for_its_owner_once_that_is_known() {
    let world = World::new();
    let me = device().node_id();
    assert_eq!(world.peers.sponsor(&me), Some(Sponsor::Peer(me)));
    drop(world.session().await);
    let owner = Sponsor::Owner(owner().owner_id());
    assert_eq!(world.peers.sponsor(&me), Some(owner));
    // Its recovery key is not somebody else.
    assert_eq!(world.peers.sponsor(&cert().recovery), Some(owner));
}

#[tokio::test]
async fn n25_who_says_nothing_does_not_hold_a_place_for_an_hour() {
    let mut world = World::new();
    world.impatient();
    let mut silent = world.connect(device().node_id());
    // Long before the hour that others have: else this would hang, not fail.
    let at_end = tokio::time::timeout(std::time::Duration::from_secs(120), silent.at_end());
    assert_eq!(at_end.await, Ok(Some(true)));
    // The constant that applies elsewhere.
    assert!(super::super::UNPROVEN < std::time::Duration::from_secs(60));
}
