//! Backup sets at a host: each for itself, and only so many.

use std::sync::atomic::Ordering;

use packnback_proto::ids::{SetId, SnapshotId};
use packnback_proto::machine::budget::DAY_S;
use packnback_proto::record::{Op, Signed, Snap};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::store::StoreReply;

use super::orders::order;
use super::orders::*;
use crate::service::testkit::*;

fn in_set(set: u16, seq: u64) -> Signed<Snap> {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&set.to_be_bytes());
    let snap = Snap {
        set: SetId(id),
        ..snap(root(&tree(1)), seq).value().clone()
    };
    Signed::sign(&snap, &device()).unwrap()
}

/// A day's certificate is used up between two jumps of the clock.
async fn commit(world: &World, conn: &mut Conn, snap: &Signed<Snap>) -> StoreReply {
    let (reply, _) = conn.commit(snap).await;
    world.clock.0.fetch_add(DAY_S / 30, Ordering::Relaxed);
    reply
}

#[tokio::test]
async fn n08_a_host_keeps_so_many_sets_apart_and_an_order_makes_room() {
    let world = World::new();
    let mut conn = world.session().await;
    back_up(&mut conn, &tree(1), 1).await;
    let mut last = SnapshotId::from([0; 32]);
    // The tree came in a set of its own.
    for n in 2..=256u16 {
        if n % 60 == 0 {
            conn = world.session().await;
        }
        let snap = in_set(n, n.into());
        let reply = commit(&world, &mut conn, &snap).await;
        assert!(
            matches!(reply, StoreReply::Committed { .. }),
            "{n}: {reply:?}"
        );
        last = snap.id();
    }
    let one_more = in_set(999, 257);
    let before = world.engine.snapshot();
    let reply = conn.commit(&one_more).await.0;
    assert_refused(&reply, ErrorCode::Quota);
    assert_eq!(world.engine.snapshot(), before);
    // Into a set that is there: as ever.
    let same = in_set(256, 258);
    let reply = commit(&world, &mut conn, &same).await;
    assert!(matches!(reply, StoreReply::Committed { .. }), "{reply:?}");
    drop(conn);
    world.quiet().await;
    let now = world.host.clock.now();
    collect(world.store(), now);
    let mut ids = vec![last, same.id()];
    ids.sort_unstable();
    submit(&world, &order(1, Op::DeleteIds(ids)), now).unwrap();
    collect(world.store(), now + GRACE);
    world.clock.0.store(now + GRACE, Ordering::Relaxed);
    let mut conn = world.session().await;
    let reply = conn.commit(&one_more).await.0;
    assert!(matches!(reply, StoreReply::Committed { .. }), "{reply:?}");
}

#[tokio::test]
async fn n08_a_policy_keeps_the_last_of_each_set() {
    let world = World::new();
    let mut conn = world.session().await;
    let documents = back_up(&mut conn, &tree(1), 1).await;
    let mut pictures = Vec::new();
    for n in 2..=6 {
        let snap = in_set(7, n);
        conn.commit(&snap).await;
        pictures.push(snap.id());
    }
    drop(conn);
    world.quiet().await;
    submit(&world, &to_this_host(order(1, Op::Policy(policy(1)))), NOW).unwrap();
    for day in 0..30 {
        collect(world.store(), NOW + day * DAY_S);
    }
    let left: Vec<_> = snaps(&world).into_iter().collect();
    let mut expected = vec![documents, pictures[4]];
    expected.sort_unstable();
    assert_eq!(left, expected);
}
