use packnback_proto::ids::NodeId;
use packnback_proto::record::{Cert, Op, Order, Receipt, Signed, perms};
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use packnback_proto::wire::{ErrorCode, Role};

use super::super::testkit::*;

async fn open_is_refused(world: &World, cert: Cert, peer: NodeId, code: ErrorCode) {
    let before = world.engine.snapshot();
    let mut conn = world.connect(peer);
    conn.hello().await;
    assert_refused(&conn.open(cert).await, code);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn open_refused_leaves_no_trace() {
    let world = World::new();
    let me = device().node_id();
    let stranger = Cert {
        device: key(8).node_id(),
        ..cert()
    };
    open_is_refused(&world, stranger, key(8).node_id(), ErrorCode::Denied).await;
    let stolen = Cert {
        device: key(8).node_id(),
        ..cert()
    };
    open_is_refused(&world, stolen, me, ErrorCode::Certificate).await;
    let old = Cert {
        not_before: 1,
        expires: 2,
        ..cert()
    };
    open_is_refused(&world, old, me, ErrorCode::Certificate).await;
    let reads_only = Cert {
        perms: perms::LIST,
        ..cert()
    };
    open_is_refused(&world, reads_only, me, ErrorCode::Certificate).await;
    drop(world.session().await);
    let other_owner = Cert {
        owner: key(7).owner_id(),
        ..cert()
    };
    open_is_refused(&world, other_owner, me, ErrorCode::OtherOwner).await;
    drop(
        world
            .session_with(Cert {
                serial: 5,
                ..cert()
            })
            .await,
    );
    open_is_refused(
        &world,
        Cert {
            serial: 4,
            ..cert()
        },
        me,
        ErrorCode::Certificate,
    )
    .await;
    let recovery = Cert {
        device: key(9).node_id(),
        serial: 9,
        ..cert()
    };
    open_is_refused(&world, recovery, key(9).node_id(), ErrorCode::Denied).await;
}

#[tokio::test]
async fn requests_out_of_order_are_refused() {
    let world = World::new();
    let mut conn = world.connect(device().node_id());
    assert_refused(&conn.open(cert()).await, ErrorCode::Protocol);
    conn.hello().await;
    assert_refused(
        &conn.ask(StoreRequest::Have, &[]).await.0,
        ErrorCode::NotOpen,
    );
    assert!(matches!(conn.open(cert()).await, StoreReply::Opened { .. }));
    assert_refused(&conn.open(cert()).await, ErrorCode::Protocol);
    assert_refused(
        &conn.ask(StoreRequest::Have, &[1]).await.0,
        ErrorCode::Protocol,
    );
}

#[tokio::test]
async fn unknown_request_is_answered_and_ends_the_session() {
    #[derive(serde::Serialize)]
    enum Newer {
        Teleport,
    }
    let world = World::new();
    let mut conn = world.connect(device().node_id());
    conn.send(Newer::Teleport, &[]).await;
    assert_refused(&conn.receive().await.0, ErrorCode::Version);
}

fn revoke(oid: u8) -> Order {
    Order {
        owner: owner().owner_id(),
        oid: [oid; 16],
        issued: NOW,
        audience: None,
        op: Op::Revoke {
            device: device().node_id(),
            reason: "stolen".into(),
        },
        not_before: None,
    }
}

#[tokio::test]
async fn a_revoked_device_can_neither_commit_nor_open() {
    let world = World::new();
    let mut conn = world.session().await;
    let tree = tree(1);
    for object in &tree {
        conn.put(object).await;
    }
    conn.sync().await;
    let envelope = Signed::sign(&revoke(1), &owner())
        .unwrap()
        .envelope()
        .into();
    assert_eq!(
        conn.ask(StoreRequest::Order { envelope }, &[]).await.0,
        StoreReply::Ok
    );
    let before = world.engine.snapshot();
    assert_refused(
        &conn.commit(&snap(root(&tree), 1)).await.0,
        ErrorCode::Certificate,
    );
    assert_eq!(world.engine.snapshot(), before);
    let newer = Cert {
        serial: 2,
        ..cert()
    };
    open_is_refused(&world, newer, device().node_id(), ErrorCode::Certificate).await;
}

#[tokio::test]
async fn n04_order_by_a_device_another_owner_or_with_a_flipped_bit() {
    let world = World::new();
    let mut conn = world.session().await;
    let before = world.engine.snapshot();
    let kind = packnback_proto::record::Kind::Order;
    let body = packnback_proto::record::encode_body(&revoke(1)).unwrap();
    let by_device = packnback_proto::record::sign(kind, &body, &device());
    let other = Order {
        owner: key(7).owner_id(),
        ..revoke(1)
    };
    let by_other = Signed::sign(&other, &key(7)).unwrap().envelope().to_vec();
    let mut flipped = packnback_proto::record::sign(kind, &body, &owner());
    flipped[40] ^= 1;
    let other_type =
        packnback_proto::record::sign(packnback_proto::record::Kind::Grant, &body, &owner());
    let expected = [
        ErrorCode::Record,
        ErrorCode::NotFound,
        ErrorCode::Record,
        ErrorCode::Record,
    ];
    for (envelope, code) in [by_device, by_other, flipped, other_type]
        .into_iter()
        .zip(expected)
    {
        let reply = conn
            .ask(
                StoreRequest::Order {
                    envelope: envelope.into(),
                },
                &[],
            )
            .await
            .0;
        assert_refused(&reply, code);
    }
    assert_eq!(world.engine.snapshot(), before);
    let order = Signed::sign(&revoke(1), &owner()).unwrap();
    let request = || StoreRequest::Order {
        envelope: order.envelope().into(),
    };
    assert_eq!(conn.ask(request(), &[]).await.0, StoreReply::Ok);
    let before = world.engine.snapshot();
    assert_eq!(conn.ask(request(), &[]).await.0, StoreReply::Ok);
    assert_eq!(
        world.engine.snapshot(),
        before,
        "the same order again has no effect"
    );
}

#[tokio::test]
async fn receipts_of_other_hosts_are_kept_for_own_snapshots_only() {
    let world = World::new();
    let mut conn = world.session().await;
    let id = back_up(&mut conn, &tree(1), 1).await;
    let receipt = |snap| {
        let receipt = Receipt {
            snap,
            host: key(8).node_id(),
            received: NOW,
            log_seq: 1,
            log_prev: None,
            n_objects: 6,
            bytes: 1,
            policy_seq: 0,
        };
        let signed = Signed::sign(&receipt, &key(8)).unwrap();
        StoreRequest::Receipt {
            envelope: signed.envelope().into(),
        }
    };
    let before = world.engine.snapshot();
    let unknown = snap(&chunk(9), 9).id();
    assert_refused(
        &conn.ask(receipt(unknown), &[]).await.0,
        ErrorCode::NotFound,
    );
    assert_eq!(world.engine.snapshot(), before);
    assert_eq!(conn.ask(receipt(id), &[]).await.0, StoreReply::Ok);
    let hosts = world.store().receipts(&owner().owner_id(), &id).unwrap();
    assert_eq!(hosts.len(), 2);
    let mut other = cert();
    other.device = key(5).node_id();
    world.peers.know(other.device, Role::Friend, u64::MAX);
    let mut conn = world.session_with(other).await;
    assert_refused(&conn.ask(receipt(id), &[]).await.0, ErrorCode::NotFound);
}

#[tokio::test]
async fn open_tells_heads_newest_first_and_the_quota_left() {
    let world = World::new();
    let mut conn = world.session().await;
    back_up(&mut conn, &tree(1), 1).await;
    let second = back_up(&mut conn, &tree(2), 2).await;
    let limited = Cert {
        serial: 2,
        quota_bytes: 100_000,
        ..cert()
    };
    let mut conn = world.connect(device().node_id());
    conn.hello().await;
    let envelope = Signed::sign(&limited, &owner()).unwrap().envelope().into();
    let request = StoreRequest::Open {
        cert: envelope,
        base: Some(second),
    };
    let StoreReply::Opened {
        heads,
        base_complete,
        quota_left,
        ..
    } = conn.ask(request, &[]).await.0
    else {
        panic!("not opened")
    };
    assert!(base_complete);
    assert_eq!(
        heads.iter().map(|head| head.seq).collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(heads[0].id, second);
    let used = world
        .store()
        .usage(&owner().owner_id(), &device().node_id())
        .unwrap()
        .bytes;
    assert_eq!(quota_left, 100_000 - used);
}
