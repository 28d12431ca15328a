use packnback_proto::ids::NodeId;
use packnback_proto::record::{Grant, Scope, Signed, perms};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::ids::{encode_ids, split_records};
use packnback_proto::wire::store::{StoreReply, StoreRequest};

use super::super::testkit::*;

fn reader() -> NodeId {
    key(9).node_id()
}

/// A world with one snapshot in it, whose certificate named the recovery key [`reader`].
async fn world() -> (World, Vec<Object>) {
    let world = World::new();
    let tree = tree(1);
    back_up(&mut world.session().await, &tree, 1).await;
    (world, tree)
}

fn present(grant: &Grant) -> StoreRequest {
    StoreRequest::Grant {
        envelope: Signed::sign(grant, &owner()).unwrap().envelope().into(),
    }
}

async fn get(conn: &mut Conn, objects: &[Object]) -> Vec<Option<Vec<u8>>> {
    let ids: Vec<_> = objects.iter().map(|object| object.id).collect();
    conn.send(StoreRequest::Get, &encode_ids(&ids)).await;
    let mut got = Vec::new();
    for expected in &ids {
        let (reply, body) = conn.receive().await;
        let StoreReply::Object { id, found } = reply else {
            panic!("{reply:?}")
        };
        assert_eq!(id, *expected);
        got.push(found.then_some(body));
    }
    got
}

#[tokio::test]
async fn a_granted_reader_gets_everything_and_nothing_else() {
    let (world, tree) = world().await;
    let mut conn = world.connect(reader());
    let nonce = conn.hello().await;
    assert_eq!(
        conn.ask(present(&grant(reader(), nonce)), &[]).await.0,
        StoreReply::Ok
    );
    let (reply, body) = conn.ask(StoreRequest::Records { after: None }, &[]).await;
    assert!(matches!(reply, StoreReply::Records { more: false, .. }));
    assert_eq!(
        split_records(&body).unwrap().len(),
        3,
        "certificate, snapshot, receipt"
    );
    let mut wanted = tree.clone();
    wanted.push(chunk(77));
    let got = get(&mut conn, &wanted).await;
    let expected: Vec<_> = tree
        .iter()
        .map(|object| Some(object.bytes.clone()))
        .collect();
    assert_eq!(got[..6], expected);
    assert_eq!(got[6], None);
    conn.put(&chunk(1)).await;
    assert_refused(&conn.receive().await.0, ErrorCode::NotOpen);
}

#[tokio::test]
async fn n17_get_and_records_without_a_grant() {
    let (world, tree) = world().await;
    let before = world.engine.snapshot();
    let mut by_device = world.session().await;
    let ids = encode_ids(&[tree[0].id]);
    assert_refused(
        &by_device.ask(StoreRequest::Get, &ids).await.0,
        ErrorCode::Denied,
    );
    let mut by_reader = world.connect(reader());
    by_reader.hello().await;
    assert_refused(
        &by_reader.ask(StoreRequest::Get, &ids).await.0,
        ErrorCode::Denied,
    );
    let records = StoreRequest::Records { after: None };
    assert_refused(&by_reader.ask(records, &[]).await.0, ErrorCode::Denied);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n17_grant_for_another_reader_host_time_or_conversation() {
    let (world, tree) = world().await;
    let before = world.engine.snapshot();
    let good = |nonce| grant(reader(), nonce);
    type Change = fn(&mut Grant);
    let changes: [(Change, ErrorCode); 6] = [
        (|grant| grant.reader = key(8).node_id(), ErrorCode::Record),
        (
            |grant| grant.audience = Some(vec![key(8).node_id()]),
            ErrorCode::Record,
        ),
        (|grant| grant.nonce[0] ^= 1, ErrorCode::Record),
        (|grant| grant.not_before = NOW + 1, ErrorCode::Record),
        (
            |grant| (grant.not_before, grant.expires) = (NOW - 9, NOW - 1),
            ErrorCode::Record,
        ),
        (|grant| grant.max_bytes = Some(10), ErrorCode::Quota),
    ];
    for (at, (change, code)) in changes.into_iter().enumerate() {
        let mut conn = world.connect(reader());
        let mut grant = good(conn.hello().await);
        change(&mut grant);
        let (reply, _) = conn.ask(present(&grant), &[]).await;
        let get = conn
            .ask(StoreRequest::Get, &encode_ids(&[tree[0].id]))
            .await
            .0;
        if at == 5 {
            assert_eq!(
                reply,
                StoreReply::Ok,
                "the grant holds, its bytes do not suffice"
            );
            assert_refused(&get, code);
        } else {
            assert_refused(&reply, code);
            assert_refused(&get, ErrorCode::Denied);
        }
    }
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n17_grant_by_a_stranger_or_not_signed_by_the_owner() {
    let (world, _) = world().await;
    let before = world.engine.snapshot();
    let mut conn = world.connect(key(8).node_id());
    let nonce = conn.hello().await;
    let reply = conn
        .ask(present(&grant(key(8).node_id(), nonce)), &[])
        .await
        .0;
    assert_refused(&reply, ErrorCode::Denied);
    let mut conn = world.connect(reader());
    let nonce = conn.hello().await;
    let body = packnback_proto::record::encode_body(&grant(reader(), nonce)).unwrap();
    let kind = packnback_proto::record::Kind::Grant;
    let envelope = packnback_proto::record::sign(kind, &body, &device()).into();
    let reply = conn.ask(StoreRequest::Grant { envelope }, &[]).await.0;
    assert_refused(&reply, ErrorCode::Record);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n17_get_and_records_outside_the_scope() {
    let (world, tree) = world().await;
    let other = super::super::testkit::tree(50);
    back_up(&mut world.session().await, &other, 2).await;
    let before = world.engine.snapshot();
    let mut conn = world.connect(reader());
    let nonce = conn.hello().await;
    let scope = Scope::Snaps(vec![snap(root(&tree), 1).id()]);
    let limited = Grant {
        scope,
        ..grant(reader(), nonce)
    };
    assert_eq!(conn.ask(present(&limited), &[]).await.0, StoreReply::Ok);
    let got = get(&mut conn, &tree).await;
    assert!(got.iter().all(Option::is_some));
    let ids = encode_ids(&[tree[0].id, other[0].id]);
    assert_refused(
        &conn.ask(StoreRequest::Get, &ids).await.0,
        ErrorCode::Denied,
    );
    let (_, body) = conn.ask(StoreRequest::Records { after: None }, &[]).await;
    assert_eq!(
        split_records(&body).unwrap().len(),
        3,
        "certificate, one snapshot, its receipt"
    );
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n17_bytes_of_a_grant_count_over_all_conversations() {
    let (world, tree) = world().await;
    let size = u64::try_from(tree[0].bytes.len()).unwrap();
    let offline = Grant {
        audience: None,
        max_bytes: Some(size),
        ..grant(reader(), [1; 16])
    };
    let mut conn = world.connect(reader());
    conn.hello().await;
    assert_eq!(conn.ask(present(&offline), &[]).await.0, StoreReply::Ok);
    assert!(get(&mut conn, &tree[..1]).await[0].is_some());
    let before = world.engine.snapshot();
    let mut conn = world.connect(reader());
    conn.hello().await;
    assert_eq!(conn.ask(present(&offline), &[]).await.0, StoreReply::Ok);
    let ids = encode_ids(&[tree[0].id]);
    assert_refused(&conn.ask(StoreRequest::Get, &ids).await.0, ErrorCode::Quota);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn a_device_lists_its_own_records_and_only_with_permission() {
    let (world, _) = world().await;
    let mut other = cert();
    other.device = key(5).node_id();
    world
        .peers
        .know(other.device, packnback_proto::wire::Role::Friend, u64::MAX);
    let mut conn = world.session_with(other.clone()).await;
    let (_, body) = conn.ask(StoreRequest::Records { after: None }, &[]).await;
    assert_eq!(
        split_records(&body).unwrap().len(),
        1,
        "its own certificate"
    );
    other.perms &= !perms::LIST;
    other.serial = 2;
    let mut conn = world.session_with(other).await;
    let (reply, _) = conn.ask(StoreRequest::Records { after: None }, &[]).await;
    assert_refused(&reply, ErrorCode::Denied);
}
