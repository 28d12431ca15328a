use packnback_proto::crypto::hash::object_id;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::OBJECT_MAX;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use tokio::io::AsyncWriteExt as _;

use super::super::testkit::*;

/// Puts bytes under an id and expects the session to end with a refusal that names the id.
async fn put_is_refused(bytes: Vec<u8>, id: Option<ObjectId>) {
    let world = World::new();
    let mut conn = world.session().await;
    let before = world.engine.snapshot();
    let id = id.unwrap_or_else(|| object_id(&bytes));
    conn.put(&Object { id, bytes }).await;
    match conn.sync().await {
        StoreReply::Refused {
            code: ErrorCode::Object,
            id: Some(named),
            ..
        } => {
            assert_eq!(named, id);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.engine.snapshot(), before);
    assert_eq!(
        world.store().object_meta(&owner().owner_id(), &id),
        Ok(None)
    );
}

#[tokio::test]
async fn n01_put_under_a_wrong_id() {
    put_is_refused(chunk(1).bytes, Some(chunk(2).id)).await;
}

#[tokio::test]
async fn n01_put_with_a_flipped_bit() {
    for bit in [0, 33, 90, 200] {
        let mut object = chunk(1);
        object.bytes[bit / 8] ^= 1 << (bit % 8);
        put_is_refused(object.bytes, Some(object.id)).await;
    }
}

#[tokio::test]
async fn n01_put_of_malformed_headers() {
    let segment = object(Kind::Segment, 2, &[&chunk(1), &chunk(2)], 1).bytes;
    let change = |at: usize, byte: u8| {
        let mut bytes = segment.clone();
        bytes[at] = byte;
        bytes
    };
    for bytes in [
        change(0, b'X'),  // magic
        change(4, 6),     // unknown kind
        change(4, 255),   // unknown kind
        change(5, 2),     // unknown suite
        change(6, 3),     // height of another kind
        change(6, 0),     // height of a leaf
        change(7, 1),     // reserved byte
        change(4, 0),     // a chunk with references
        change(8, 3),     // one reference more than there are
        change(11, 0x80), // two thousand million references
    ] {
        put_is_refused(bytes, None).await;
    }
}

#[tokio::test]
async fn n01_put_with_unsorted_or_repeated_references() {
    let bytes = object(Kind::Segment, 2, &[&chunk(1), &chunk(2)], 1).bytes;
    let (first, second) = (48..80, 80..112);
    let mut swapped = bytes.clone();
    swapped.copy_within(second.clone(), first.start);
    swapped[second.clone()].copy_from_slice(&bytes[first.clone()]);
    put_is_refused(swapped, None).await;
    let mut repeated = bytes.clone();
    repeated.copy_within(first, second.start);
    put_is_refused(repeated, None).await;
}

#[tokio::test]
async fn n01_put_cut_short_or_with_trailing_bytes() {
    let bytes = chunk(1).bytes;
    for cut in [0, 3, 15, 16, bytes.len() - 1] {
        put_is_refused(bytes[..cut].to_vec(), None).await;
    }
    put_is_refused([&bytes[..], &[0]].concat(), None).await;
}

#[tokio::test]
async fn n01_put_over_the_size_limit_is_refused_before_it_is_read() {
    let world = World::new();
    let mut conn = world.session().await;
    let before = world.engine.snapshot();
    let request = StoreRequest::Put { id: chunk(1).id };
    let mut frame = packnback_proto::wire::frame::encode(&request, OBJECT_MAX).unwrap();
    let over = u32::try_from(OBJECT_MAX + 1).unwrap().to_le_bytes();
    frame[4..8].copy_from_slice(&over);
    conn.0.write_all(&frame).await.unwrap();
    let (reply, _) = conn.receive().await;
    assert_refused(&reply, ErrorCode::Protocol);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n01_put_refused_takes_nothing_after_it_and_keeps_what_was_synced() {
    let world = World::new();
    let mut conn = world.session().await;
    let (good, bad, later) = (
        chunk(1),
        Object {
            id: chunk(2).id,
            ..chunk(3)
        },
        chunk(4),
    );
    conn.put(&good).await;
    assert_eq!(conn.sync().await, StoreReply::Synced { objects: 1 });
    conn.put(&bad).await;
    conn.put(&later).await;
    assert_refused(&conn.sync().await, ErrorCode::Object);
    let mut conn = world.session().await;
    assert_eq!(
        conn.have(&[good.id, bad.id, later.id]).await,
        [true, false, false]
    );
}

#[tokio::test]
async fn n01_put_without_a_session() {
    let world = World::new();
    let before = world.engine.snapshot();
    let mut conn = world.connect(device().node_id());
    conn.hello().await;
    conn.put(&chunk(1)).await;
    assert_refused(&conn.receive().await.0, ErrorCode::NotOpen);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n09_put_over_quota_and_over_the_budget_of_the_day() {
    let size = u64::try_from(chunk(1).bytes.len()).unwrap();
    let world = World::new();
    let mut small = cert();
    (small.quota_bytes, small.new_bytes_per_day) = (3 * size, 2 * size);
    let mut conn = world.session_with(small.clone()).await;
    for n in [1, 1, 2, 2] {
        conn.put(&chunk(n)).await; // the same object again costs nothing
    }
    assert!(matches!(conn.sync().await, StoreReply::Synced { .. }));
    let before = world.engine.snapshot();
    conn.put(&chunk(3)).await;
    assert_refused(&conn.sync().await, ErrorCode::DayBudget);
    assert_eq!(world.engine.snapshot(), before);
    world
        .clock
        .0
        .fetch_add(86_400, std::sync::atomic::Ordering::Relaxed);
    let mut conn = world.session_with(small.clone()).await;
    conn.put(&chunk(3)).await;
    assert!(matches!(conn.sync().await, StoreReply::Synced { .. }));
    let before = world.engine.snapshot();
    conn.put(&chunk(4)).await;
    assert_refused(&conn.sync().await, ErrorCode::Quota);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads() {
    let world = World::new();
    let mut conn = world.session().await;
    let first = tree(1);
    back_up(&mut conn, &first, 1).await;
    let before = world.engine.snapshot();
    world.engine.set_full(true);
    conn.put(&chunk(9)).await;
    assert_refused(&conn.sync().await, ErrorCode::DiskFull);
    assert_eq!(world.engine.snapshot(), before);
    let owner = owner().owner_id();
    assert_eq!(
        world.store().get(&owner, &first[0].id),
        Ok(Some(first[0].bytes.clone()))
    );
    world.engine.set_full(false);
    let mut conn = world.session().await;
    back_up(&mut conn, &tree(2), 2).await;
    // Short of the reserve: the same, before the disk is really full.
    let mut world = world;
    world.crash();
    world.engine.set_free_space(1000);
    let mut conn = world.session().await;
    let before = world.engine.snapshot();
    conn.put(&chunk(9)).await;
    assert_refused(&conn.sync().await, ErrorCode::DiskFull);
    assert_eq!(world.engine.snapshot(), before);
}
