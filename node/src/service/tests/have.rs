use packnback_proto::ids::ObjectId;
use packnback_proto::record::perms;
use packnback_proto::wire::Role;
use packnback_proto::wire::store::StoreReply;

use super::super::testkit::*;

fn ids(tree: &[Object]) -> Vec<ObjectId> {
    tree.iter().map(|object| object.id).collect()
}

#[tokio::test]
async fn n03_have_answers_no_before_sync_and_after_a_crash_without_it() {
    let mut world = World::new();
    let mut conn = world.session().await;
    conn.put(&chunk(1)).await;
    assert_eq!(conn.have(&[chunk(1).id]).await, [false]);
    world.crash();
    let mut conn = world.session().await;
    assert_eq!(conn.have(&[chunk(1).id]).await, [false]);
    conn.put(&chunk(1)).await;
    assert_eq!(conn.sync().await, StoreReply::Synced { objects: 1 });
    world.crash();
    let mut conn = world.session().await;
    assert_eq!(conn.have(&[chunk(1).id]).await, [true]);
}

#[tokio::test]
async fn n03_have_of_a_node_means_everything_below_it() {
    let tree = tree(1);
    for gone in 0..tree.len() {
        let world = World::new();
        let mut conn = world.session().await;
        for (at, object) in tree.iter().enumerate().rev() {
            if at != gone {
                conn.put(object).await;
            }
        }
        conn.sync().await;
        let answers = conn.have(&ids(&tree)).await;
        assert!(!answers[gone] && !answers[5], "{gone}: {answers:?}");
        let segment_whole = gone == 5;
        assert_eq!(answers[4], segment_whole, "{gone}: {answers:?}");
        conn.put(&tree[gone]).await;
        conn.sync().await;
        assert_eq!(conn.have(&ids(&tree)).await, [true; 6]);
    }
}

#[tokio::test]
async fn n03_have_yes_on_a_node_then_commit_over_it_finds_the_closure_there() {
    let mut world = World::new();
    let mut conn = world.session().await;
    let old = tree(1);
    back_up(&mut conn, &old, 1).await;
    world.crash();
    let mut conn = world.session().await;
    let segment = &old[4];
    assert_eq!(conn.have(&[segment.id]).await, [true]);
    let new_root = object(
        packnback_proto::format::header::Kind::Root,
        8,
        &[segment],
        9,
    );
    back_up(&mut conn, std::slice::from_ref(&new_root), 2).await;
    let owner = owner().owner_id();
    let seen = world.store().all_below(&owner, &new_root.id).unwrap();
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn n16_have_tells_a_device_without_dedup_only_what_it_put() {
    let world = World::new();
    let mut conn = world.session().await;
    let tree = tree(1);
    back_up(&mut conn, &tree, 1).await;
    let mut blind = cert();
    blind.device = key(5).node_id();
    blind.perms = perms::PUT;
    world.peers.know(blind.device, Role::Friend, u64::MAX);
    let mut conn = world.session_with(blind.clone()).await;
    let before = world.engine.snapshot();
    assert_eq!(conn.have(&ids(&tree)).await, [false; 6]);
    assert_eq!(world.engine.snapshot(), before);
    conn.put(&tree[0]).await;
    conn.sync().await;
    let answers = conn.have(&ids(&tree)).await;
    assert_eq!(answers, [true, false, false, false, false, false]);
    // It pays like for any other object, so that its quota tells nothing either.
    let used = world
        .store()
        .usage(&blind.owner, &blind.device)
        .unwrap()
        .bytes;
    assert_eq!(used, u64::try_from(tree[0].bytes.len()).unwrap());
}

#[tokio::test]
async fn n16_have_and_put_know_nothing_of_other_owners() {
    let world = World::new();
    let mut conn = world.session().await;
    let tree = tree(1);
    back_up(&mut conn, &tree, 1).await;
    let mut foreign = cert();
    (foreign.owner, foreign.device) = (key(6).owner_id(), key(5).node_id());
    world.peers.know(foreign.device, Role::Friend, u64::MAX);
    let mut conn = world.session_with(foreign.clone()).await;
    let before = world.engine.snapshot();
    assert_eq!(conn.have(&ids(&tree)).await, [false; 6]);
    assert_eq!(world.engine.snapshot(), before);
    conn.put(&tree[0]).await;
    conn.sync().await;
    let totals = world.store().totals(&foreign.owner).unwrap();
    assert_eq!(
        totals.bytes,
        u64::try_from(tree[0].bytes.len()).unwrap(),
        "uploaded in full"
    );
    assert_eq!(
        world.store().totals(&owner().owner_id()).unwrap().objects,
        6
    );
}
