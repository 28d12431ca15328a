use packnback_proto::format::header::Kind;
use packnback_proto::ids::ObjectId;
use packnback_proto::record::decode_receipt;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::ids::decode_ids;
use packnback_proto::wire::store::{StoreReply, StoreRequest};

use super::super::testkit::*;
use crate::store::Access;

fn everything_is_there(world: &World, tree: &[Object]) -> bool {
    let owner = owner().owner_id();
    tree.iter()
        .all(|object| world.store().get(&owner, &object.id).unwrap().is_some())
}

#[tokio::test]
async fn n02_commit_with_anything_missing_names_it_and_changes_nothing() {
    let tree = tree(1);
    for gone in 0..tree.len() {
        let world = World::new();
        let mut conn = world.session().await;
        for (at, object) in tree.iter().enumerate() {
            if at != gone {
                conn.put(object).await;
            }
        }
        conn.sync().await;
        let before = world.engine.snapshot();
        let snap = snap(root(&tree), 1);
        let (reply, body) = conn.commit(&snap).await;
        assert_eq!(reply, StoreReply::Missing { count: 1 });
        assert_eq!(decode_ids(&body, 9).unwrap(), [tree[gone].id]);
        assert_eq!(world.engine.snapshot(), before);
        assert_eq!(
            world.store().snap(&owner().owner_id(), &snap.id()),
            Ok(None)
        );
        conn.put(&tree[gone]).await;
        let (reply, _) = conn.commit(&snap).await;
        assert!(matches!(reply, StoreReply::Committed { .. }), "{reply:?}");
    }
}

#[tokio::test]
async fn n02_commit_of_a_tree_that_is_malformed() {
    let world = World::new();
    let mut conn = world.session().await;
    let (chunk, other) = (chunk(1), object(Kind::Segment, 2, &[], 2));
    let not_lower = object(Kind::Segment, 2, &[&chunk, &other], 1);
    let bad_root = object(Kind::Root, 8, &[&not_lower], 1);
    for object in [&chunk, &other, &not_lower, &bad_root] {
        conn.put(object).await;
    }
    conn.sync().await;
    let before = world.engine.snapshot();
    for id in [bad_root.id, not_lower.id, chunk.id] {
        let snap = snap_by(&device(), &owner(), id, 1);
        assert_refused(&conn.commit(&snap).await.0, ErrorCode::Object);
    }
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n02_commit_signed_by_or_for_somebody_else() {
    let world = World::new();
    let mut conn = world.session().await;
    let tree = tree(1);
    for object in &tree {
        conn.put(object).await;
    }
    conn.sync().await;
    let before = world.engine.snapshot();
    let other_device = snap_by(&key(7), &owner(), root(&tree).id, 1);
    let other_owner = snap_by(&device(), &key(7), root(&tree).id, 1);
    for snap in [other_device, other_owner] {
        assert_refused(&conn.commit(&snap).await.0, ErrorCode::Record);
    }
    let mut flipped = snap(root(&tree), 1).envelope().to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let (reply, _) = conn
        .ask(
            StoreRequest::Commit {
                snap: flipped.into(),
            },
            &[],
        )
        .await;
    assert_refused(&reply, ErrorCode::Record);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n02_commit_over_the_snapshots_of_the_day() {
    let world = World::new();
    let mut limited = cert();
    limited.snaps_per_day = 1;
    let mut conn = world.session_with(limited).await;
    let tree = tree(1);
    back_up(&mut conn, &tree, 1).await;
    let before = world.engine.snapshot();
    assert_refused(
        &conn.commit(&snap(root(&tree), 2)).await.0,
        ErrorCode::DayBudget,
    );
    assert_eq!(world.engine.snapshot(), before);
}

/// The power fails at every single write of two backups, one after the other. Whatever was
/// acknowledged is there afterwards, complete; nothing is half there; and going on works.
#[tokio::test]
async fn n02_commit_crash_at_every_write() {
    let (first, second) = (tree(1), tree(2));
    let mut acknowledged_all = false;
    for writes in 0.. {
        let mut world = World::new();
        world.engine.fail_after(writes);
        let mut acknowledged = Vec::new();
        for (tree, seq) in [(&first, 1), (&second, 2)] {
            let snap = snap(root(tree), seq);
            if attempt(&world, tree, &snap).await {
                acknowledged.push((tree, snap.id()));
            }
        }
        acknowledged_all = acknowledged.len() == 2;
        world.crash();
        for (tree, id) in &acknowledged {
            let row = world.store().snap(&owner().owner_id(), id).unwrap();
            assert!(
                row.is_some() && everything_is_there(&world, tree),
                "after {writes} writes"
            );
        }
        for (tree, seq) in [(&first, 1), (&second, 2)] {
            check_claims(&world, tree);
            let snap = snap(root(tree), seq);
            assert!(attempt(&world, tree, &snap).await, "after {writes} writes");
            assert!(everything_is_there(&world, tree));
        }
        if acknowledged_all {
            break;
        }
    }
    assert!(acknowledged_all);
}

/// One backup that gives up at the first refusal; whether it was acknowledged.
async fn attempt(
    world: &World,
    tree: &[Object],
    snap: &packnback_proto::record::Signed<packnback_proto::record::Snap>,
) -> bool {
    let mut conn = world.connect(device().node_id());
    conn.hello().await;
    if !matches!(conn.open(cert()).await, StoreReply::Opened { .. }) {
        return false;
    }
    for object in tree {
        conn.put(object).await;
        if !matches!(conn.sync().await, StoreReply::Synced { .. }) {
            return false;
        }
    }
    matches!(conn.commit(snap).await.0, StoreReply::Committed { .. })
}

/// What the store says it has, it has: present objects can be read, complete nodes have all below.
fn check_claims(world: &World, tree: &[Object]) {
    let owner = owner().owner_id();
    let store = world.store();
    for object in tree {
        let Some(meta) = store.object_meta(&owner, &object.id).unwrap() else {
            continue;
        };
        assert_eq!(
            store.get(&owner, &object.id).unwrap().as_ref(),
            Some(&object.bytes)
        );
        if meta.complete {
            assert!(store.all_below(&owner, &object.id).is_ok());
        }
    }
}

#[tokio::test]
async fn receipts_form_a_chain_and_a_repeated_commit_answers_the_same() {
    let world = World::new();
    let mut conn = world.session().await;
    let mut last = None;
    for seq in 1..=3u8 {
        let tree = tree(seq);
        back_up(&mut conn, &tree, seq.into()).await;
        let (reply, _) = conn.commit(&snap(root(&tree), seq.into())).await;
        let before = world.engine.snapshot();
        let (again, _) = conn.commit(&snap(root(&tree), seq.into())).await;
        assert_eq!(reply, again);
        assert_eq!(world.engine.snapshot(), before);
        let StoreReply::Committed { receipt } = reply else {
            panic!("{reply:?}")
        };
        let receipt = decode_receipt(&receipt).unwrap();
        let value = receipt.value();
        assert_eq!((value.log_seq, value.log_prev), (u64::from(seq), last));
        assert_eq!((value.n_objects, value.host), (6, host_key().node_id()));
        let bytes: usize = tree.iter().map(|object| object.bytes.len()).sum();
        assert_eq!(value.bytes, u64::try_from(bytes).unwrap());
        last = Some(receipt.id());
    }
}

#[tokio::test]
async fn n10_any_sequence_number_is_accepted() {
    let world = World::new();
    let mut conn = world.session().await;
    back_up(&mut conn, &tree(1), u64::MAX).await;
    back_up(&mut conn, &tree(2), 2).await;
}

#[tokio::test]
async fn damage_is_found_on_read_never_served_and_healed_by_a_new_put() {
    let world = World::new();
    let mut conn = world.session().await;
    let tree = tree(1);
    back_up(&mut conn, &tree, 1).await;
    let owner_id = owner().owner_id();
    let key: Vec<u8> = [owner_id.0, tree[0].id.0].concat();
    for bit in [0, 77, 4000] {
        assert!(world.engine.flip_bit(&key, bit));
        let read = world.store().get(&owner_id, &tree[0].id);
        assert_eq!(
            read,
            Err(crate::store::StoreError::AddressMismatch { id: tree[0].id })
        );
        assert_eq!(conn.have(&[tree[0].id]).await, [false]);
        conn.put(&tree[0]).await;
        conn.sync().await;
        assert_eq!(conn.have(&[tree[0].id]).await, [true]);
        assert_eq!(
            world.store().get(&owner_id, &tree[0].id),
            Ok(Some(tree[0].bytes.clone()))
        );
    }
    let used = world
        .store()
        .usage(&owner_id, &device().node_id())
        .unwrap()
        .bytes;
    let bytes: usize = tree.iter().map(|object| object.bytes.len()).sum();
    assert_eq!(
        used,
        u64::try_from(bytes).unwrap(),
        "healing is not charged"
    );
}

#[tokio::test]
async fn n02_commit_of_a_known_tree_by_a_device_that_may_not_see_it() {
    let world = World::new();
    let mut conn = world.session().await;
    let tree = tree(1);
    back_up(&mut conn, &tree, 1).await;
    let (mut other_cert, other) = (cert(), key(5));
    other_cert.device = other.node_id();
    other_cert.perms &= !packnback_proto::record::perms::DEDUP;
    world.peers.know(
        other.node_id(),
        packnback_proto::wire::Role::Friend,
        u64::MAX,
    );
    let mut conn = world.session_with(other_cert).await;
    let before = world.engine.snapshot();
    let snap = snap_by(&other, &owner(), root(&tree).id, 1);
    let (reply, body) = conn.commit(&snap).await;
    assert_eq!(reply, StoreReply::Missing { count: 1 });
    assert_eq!(decode_ids(&body, 9).unwrap(), [root(&tree).id]);
    assert_eq!(world.engine.snapshot(), before);
    for object in &tree {
        conn.put(object).await;
    }
    assert!(matches!(
        conn.commit(&snap).await.0,
        StoreReply::Committed { .. }
    ));
    let access = Access {
        owner: owner().owner_id(),
        device: other.node_id(),
        sees_all: false,
        owner_max: u64::MAX,
        limits: packnback_proto::machine::budget::Limits::NONE,
    };
    let ids: Vec<ObjectId> = tree.iter().map(|object| object.id).collect();
    assert_eq!(
        world
            .store()
            .have(&world.store().intake(access).unwrap(), &ids, NOW),
        Ok(vec![true; ids.len()])
    );
}
