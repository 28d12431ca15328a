#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use packnback_proto::ids::ObjectId;
use packnback_proto::record::{Cert, Op, Order, Signed, decode_receipt, decode_snap};
use packnback_proto::wire::ids::{decode_bitmap, decode_ids, encode_ids, split_records};
use packnback_proto::wire::local::{API_VERSION, LocalReply, LocalRequest, StatusInfo};
use packnback_proto::wire::{ErrorCode, frame};
use tokio::sync::Notify;

use super::offline::Offline;
use super::socket::{HomeLock, LOCK_NAME, SOCKET_NAME, SocketError};
use super::{LocalNode, serve_connection};
use crate::service::testkit::{
    Conn, NOW, SET, World, cert, chunk, host_key, key, owner, root, tree,
};

/// The node's own device is the key that signs receipts.
fn own_cert() -> Cert {
    Cert {
        device: host_key().node_id(),
        ..cert()
    }
}

fn adopt(cert: &Cert, by: u8) -> LocalRequest {
    LocalRequest::Adopt {
        cert: Signed::sign(cert, &key(by)).unwrap().envelope().into(),
    }
}

struct Local {
    world: World,
    node: Arc<LocalNode>,
}

impl Local {
    fn new() -> Self {
        let world = World::new();
        let node = LocalNode::new(
            Arc::clone(&world.host),
            Arc::new(Offline::default()),
            Arc::new(Notify::new()),
        );
        Self {
            world,
            node: Arc::new(node),
        }
    }

    fn connect_raw(&self) -> Conn {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (input, output) = tokio::io::split(theirs);
        tokio::spawn(serve_connection(input, output, Arc::clone(&self.node)));
        Conn(ours)
    }

    async fn connect(&self) -> Conn {
        let mut conn = self.connect_raw();
        let (reply, _) = ask(&mut conn, LocalRequest::Hello { api: API_VERSION }, &[]).await;
        assert!(matches!(reply, LocalReply::Hello { .. }), "{reply:?}");
        conn
    }

    async fn adopted(&self) -> Conn {
        let mut conn = self.connect().await;
        assert_eq!(
            ask(&mut conn, adopt(&own_cert(), 1), &[]).await.0,
            LocalReply::Ok
        );
        conn
    }
}

async fn ask(conn: &mut Conn, request: LocalRequest, body: &[u8]) -> (LocalReply, Vec<u8>) {
    conn.send(request, body).await;
    loop {
        match conn.receive().await {
            (LocalReply::Working, _) => {}
            answer => return answer,
        }
    }
}

#[tokio::test]
async fn who_waits_hears_that_the_node_works() {
    let local = Local::new();
    let mut conn = local.adopted().await;
    let request = LocalRequest::Copies {
        snap: [1; 32].into(),
        wait_hosts: 1,
        timeout_ms: 12_000,
    };
    conn.send(request, &[]).await;
    let (first, _) = conn.receive::<LocalReply>().await;
    assert_eq!(first, LocalReply::Working);
    // The answer comes all the same, and after it nothing that was not asked for.
    let (status, _) = ask(&mut conn, LocalRequest::Peers, &[]).await;
    assert!(matches!(status, LocalReply::Copies { .. }), "{status:?}");
    let (peers, _) = conn.receive::<LocalReply>().await;
    assert!(matches!(peers, LocalReply::Peers { .. }), "{peers:?}");
}

#[tokio::test]
async fn a_node_on_a_disk_that_cannot_be_written_answers_questions_only() {
    let world = World::new();
    let node = LocalNode::new(
        Arc::clone(&world.host),
        Arc::new(Offline::default()),
        Arc::new(Notify::new()),
    );
    let local = Local {
        world,
        node: Arc::new(node.read_only()),
    };
    for question in [LocalRequest::Status, LocalRequest::Peers] {
        let (reply, _) = ask(&mut local.connect().await, question, &[]).await;
        assert!(!matches!(reply, LocalReply::Error { .. }), "{reply:?}");
    }
    for deed in [
        adopt(&own_cert(), 1),
        LocalRequest::Open,
        LocalRequest::Put { id: [1; 32].into() },
        LocalRequest::Sync,
        LocalRequest::Collect,
        LocalRequest::Acknowledge { alarm: 1 },
    ] {
        let (reply, _) = ask(&mut local.connect().await, deed, &[]).await;
        assert_error(&reply, ErrorCode::Denied);
    }
    assert!(local.world.host.store.device().unwrap().is_none());
}

fn assert_error(reply: &LocalReply, expected: ErrorCode) {
    match reply {
        LocalReply::Error {
            code,
            message,
            safe,
            ..
        } if *code == expected => {
            assert!(!message.is_empty() && !safe.is_empty(), "{reply:?}");
        }
        other => panic!("expected {expected}, got {other:?}"),
    }
}

async fn commit(conn: &mut Conn, root: ObjectId) -> (LocalReply, Vec<u8>) {
    ask(
        conn,
        LocalRequest::Commit {
            root,
            set: SET,
            time: NOW,
        },
        &[],
    )
    .await
}

#[tokio::test]
async fn a_backup_from_adoption_to_reading_back() {
    let local = Local::new();
    let mut conn = local.adopted().await;
    let (reply, _) = ask(&mut conn, LocalRequest::Open, &[]).await;
    assert!(
        matches!(
            reply,
            LocalReply::Opened {
                base: None,
                last_seq: 0,
                ..
            }
        ),
        "{reply:?}"
    );
    for seq in 1..=2u8 {
        let tree = tree(seq);
        for object in &tree[1..] {
            conn.send(LocalRequest::Put { id: object.id }, &object.bytes)
                .await;
        }
        let (reply, body) = commit(&mut conn, root(&tree).id).await;
        assert_eq!(reply, LocalReply::Missing { count: 1 });
        assert_eq!(decode_ids(&body, 9).unwrap(), [tree[0].id]);
        conn.send(LocalRequest::Put { id: tree[0].id }, &tree[0].bytes)
            .await;
        let synced = LocalReply::Synced {
            objects: u64::from(seq) * 6,
        };
        assert_eq!(ask(&mut conn, LocalRequest::Sync, &[]).await.0, synced);
        let (reply, _) = commit(&mut conn, root(&tree).id).await;
        let LocalReply::Committed {
            snap,
            envelope,
            receipt,
        } = reply
        else {
            panic!("{reply:?}")
        };
        let signed = decode_snap(&envelope).unwrap();
        assert_eq!((signed.id(), signed.value().seq), (snap, seq.into()));
        assert_eq!(signed.value().prev.is_some(), seq == 2);
        assert_eq!(decode_receipt(&receipt).unwrap().value().snap, snap);
        let (reply, _) = ask(&mut conn, LocalRequest::Open, &[]).await;
        assert!(matches!(reply, LocalReply::Opened { base, .. } if base == Some(snap)));
    }
    let ids: Vec<ObjectId> = tree(1)
        .iter()
        .map(|object| object.id)
        .chain([chunk(99).id])
        .collect();
    let (_, body) = ask(&mut conn, LocalRequest::Have, &encode_ids(&ids)).await;
    let expected = [true, true, true, true, true, true, false];
    assert_eq!(decode_bitmap(&body, 7).unwrap(), expected);
    conn.send(LocalRequest::Get { remote: false }, &encode_ids(&ids))
        .await;
    for (at, expected) in tree(1).iter().enumerate() {
        let (reply, body) = conn.receive::<LocalReply>().await;
        assert_eq!(
            reply,
            LocalReply::Object {
                id: ids[at],
                found: true
            }
        );
        assert_eq!(body, expected.bytes);
    }
    let (reply, _) = conn.receive::<LocalReply>().await;
    assert_eq!(
        reply,
        LocalReply::Object {
            id: ids[6],
            found: false
        }
    );
    let records = LocalRequest::Records {
        owner: None,
        after: None,
        remote: false,
    };
    let (_, body) = ask(&mut conn, records, &[]).await;
    assert_eq!(
        split_records(&body).unwrap().len(),
        5,
        "certificate, two snapshots, two receipts"
    );
    let (_, body) = ask(&mut conn, LocalRequest::Status, &[]).await;
    let status: StatusInfo = frame::decode_body(&body).unwrap();
    assert_eq!(
        (status.objects, status.snaps.len(), status.snaps[0].seq),
        (12, 2, 2)
    );
}

#[tokio::test]
async fn adoption_refuses_other_machines_and_other_owners() {
    let local = Local::new();
    let mut conn = local.connect().await;
    let before = local.world.engine.snapshot();
    let other_machine = Cert {
        device: key(7).node_id(),
        ..cert()
    };
    let reply = ask(&mut conn, adopt(&other_machine, 1), &[]).await.0;
    assert_error(&reply, ErrorCode::Certificate);
    assert_eq!(local.world.engine.snapshot(), before);
    assert_eq!(
        ask(&mut conn, adopt(&own_cert(), 1), &[]).await.0,
        LocalReply::Ok
    );
    let before = local.world.engine.snapshot();
    let other_owner = Cert {
        owner: key(6).owner_id(),
        ..own_cert()
    };
    let reply = ask(&mut conn, adopt(&other_owner, 6), &[]).await.0;
    assert_error(&reply, ErrorCode::OtherOwner);
    let records = LocalRequest::Records {
        owner: Some(key(6).owner_id()),
        after: None,
        remote: false,
    };
    assert_error(&ask(&mut conn, records, &[]).await.0, ErrorCode::OtherOwner);
    assert_eq!(local.world.engine.snapshot(), before);
    let renewed = Cert {
        serial: 2,
        ..own_cert()
    };
    assert_eq!(
        ask(&mut conn, adopt(&renewed, 1), &[]).await.0,
        LocalReply::Ok
    );
    // The old one, played again, may allow more.
    let before = local.world.engine.snapshot();
    let reply = ask(&mut conn, adopt(&own_cert(), 1), &[]).await.0;
    assert_error(&reply, ErrorCode::Certificate);
    assert_eq!(local.world.engine.snapshot(), before);
}

#[tokio::test]
async fn requests_before_hello_before_adoption_or_without_a_host_are_refused() {
    let local = Local::new();
    let mut conn = local.connect_raw();
    assert_error(
        &ask(&mut conn, LocalRequest::Open, &[]).await.0,
        ErrorCode::Protocol,
    );
    let mut conn = local.connect_raw();
    let newer = LocalRequest::Hello {
        api: API_VERSION + 1,
    };
    assert_error(&ask(&mut conn, newer, &[]).await.0, ErrorCode::Version);
    let mut conn = local.connect().await;
    let before = local.world.engine.snapshot();
    assert_error(
        &ask(&mut conn, LocalRequest::Open, &[]).await.0,
        ErrorCode::NotOpen,
    );
    let get = LocalRequest::Get { remote: true };
    let ids = encode_ids(&[chunk(1).id]);
    assert_error(&ask(&mut conn, get, &ids).await.0, ErrorCode::NotOpen);
    assert_error(
        &ask(&mut conn, LocalRequest::Get { remote: false }, &ids)
            .await
            .0,
        ErrorCode::NotOpen,
    );
    conn.send(LocalRequest::Put { id: chunk(1).id }, &chunk(1).bytes)
        .await;
    assert_error(&conn.receive().await.0, ErrorCode::NotOpen);
    assert_eq!(local.world.engine.snapshot(), before);
}

#[tokio::test]
async fn n01_put_refused_locally_changes_nothing() {
    let local = Local::new();
    let mut conn = local.adopted().await;
    let before = local.world.engine.snapshot();
    conn.send(LocalRequest::Put { id: chunk(1).id }, &chunk(2).bytes)
        .await;
    assert_error(
        &ask(&mut conn, LocalRequest::Sync, &[]).await.0,
        ErrorCode::Object,
    );
    assert_eq!(local.world.engine.snapshot(), before);
}

#[tokio::test]
async fn a_full_disk_is_said_clearly_and_what_was_kept_is_readable() {
    let local = Local::new();
    let mut conn = local.adopted().await;
    let tree = tree(1);
    for object in &tree {
        conn.send(LocalRequest::Put { id: object.id }, &object.bytes)
            .await;
    }
    assert!(matches!(
        commit(&mut conn, root(&tree).id).await.0,
        LocalReply::Committed { .. }
    ));
    local.world.engine.set_full(true);
    conn.send(LocalRequest::Put { id: chunk(8).id }, &chunk(8).bytes)
        .await;
    assert_error(
        &ask(&mut conn, LocalRequest::Sync, &[]).await.0,
        ErrorCode::DiskFull,
    );
    let mut conn = local.connect().await;
    conn.send(
        LocalRequest::Get { remote: false },
        &encode_ids(&[tree[0].id]),
    )
    .await;
    assert_eq!(conn.receive::<LocalReply>().await.1, tree[0].bytes);
}

/// The power fails at every write of a backup: the next one follows what was acknowledged.
#[tokio::test]
async fn n02_commit_crash_keeps_sequence_and_predecessor_in_step() {
    for writes in 0..12 {
        let mut local = Local::new();
        local.adopted().await;
        local.world.engine.fail_after(writes);
        let mut acknowledged = None;
        for n in 1..=3u8 {
            let mut conn = local.connect().await;
            let tree = tree(n);
            for object in &tree {
                conn.send(LocalRequest::Put { id: object.id }, &object.bytes)
                    .await;
            }
            if let LocalReply::Committed { snap, .. } = commit(&mut conn, root(&tree).id).await.0 {
                acknowledged = Some(snap);
            }
        }
        local.world.crash();
        let device = local.world.store().device().unwrap().unwrap();
        assert_eq!(
            device.last.map(|last| last.snap),
            acknowledged,
            "after {writes} writes"
        );
        let heads = local
            .world
            .store()
            .heads(&owner().owner_id(), &host_key().node_id(), 9)
            .unwrap();
        assert_eq!(heads.first().map(|head| head.id), acknowledged);
    }
}

#[test]
fn one_home_has_one_node_and_a_dead_nodes_socket_is_replaced() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let dir = tempfile::tempdir().unwrap();
    // As a killed node leaves it.
    std::fs::write(dir.path().join(LOCK_NAME), b"").unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join(SOCKET_NAME)).unwrap());
    let lock = HomeLock::take(dir.path()).unwrap();
    let listener = lock.listen().unwrap();
    assert!(matches!(
        HomeLock::take(dir.path()),
        Err(SocketError::InUse(_))
    ));
    let connected = std::os::unix::net::UnixStream::connect(dir.path().join(SOCKET_NAME));
    assert!(connected.is_ok());
    drop(listener);
    lock.close();
    drop(lock);
    assert!(!dir.path().join(SOCKET_NAME).exists());
    assert!(HomeLock::take(dir.path()).is_ok());
}

#[test]
fn a_home_of_any_depth_can_be_listened_on() {
    use std::os::unix::fs::PermissionsExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("d".repeat(200));
    std::fs::create_dir(&dir).unwrap();
    let lock = HomeLock::take(&dir).unwrap();
    let _listener = lock.listen().unwrap();
    let mode = std::fs::metadata(dir.join(SOCKET_NAME))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// The order may come while a backup runs: what was sent stays without a snapshot.
#[tokio::test]
async fn a_revoked_device_saves_nothing_more_on_its_own_disk() {
    let local = Local::new();
    let mut conn = local.adopted().await;
    let tree = tree(3);
    for object in &tree {
        conn.send(LocalRequest::Put { id: object.id }, &object.bytes)
            .await;
    }
    ask(&mut conn, LocalRequest::Sync, &[]).await;
    let order = Order {
        owner: owner().owner_id(),
        oid: [1; 16],
        issued: NOW,
        audience: None,
        op: Op::Revoke {
            device: host_key().node_id(),
            reason: String::new(),
        },
        not_before: None,
    };
    let order = Signed::sign(&order, &key(1)).unwrap();
    let request = LocalRequest::Order {
        envelope: order.envelope().into(),
    };
    assert_eq!(ask(&mut conn, request, &[]).await.0, LocalReply::Ok);
    let before = local.world.engine.snapshot();
    let reply = commit(&mut conn, root(&tree).id).await.0;
    assert_error(&reply, ErrorCode::Certificate);
    let reply = ask(&mut conn, LocalRequest::Open, &[]).await.0;
    assert_error(&reply, ErrorCode::Certificate);
    assert_eq!(local.world.engine.snapshot(), before);
}
