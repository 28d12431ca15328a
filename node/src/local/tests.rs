#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod home;
mod tagged;

use std::sync::Arc;

use packnback_proto::ids::ObjectId;
use packnback_proto::record::{Cert, Op, Order, Signed, decode_receipt, decode_snap};
use packnback_proto::wire::ids::{decode_bitmap, decode_ids, encode_ids, split_records};
use packnback_proto::wire::local::{
    API_VERSION, Committed, LocalReply, LocalRequest, Opened, StatusInfo,
};
use packnback_proto::wire::{ErrorCode, frame};
use tokio::sync::Notify;

use super::offline::Offline;
use super::serve_connection;
use crate::api::Api;
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

fn api_of(world: &World) -> Api {
    Api::new(
        Arc::clone(&world.host),
        Arc::new(Offline::default()),
        Arc::new(Notify::new()),
    )
}

/// A program that was greeted.
struct Program {
    conn: Conn,
    tag: u64,
}

impl Program {
    /// Sends a request under the next number.
    async fn send(&mut self, request: LocalRequest, body: &[u8]) -> u64 {
        self.tag += 1;
        self.conn.send((self.tag, request), body).await;
        self.tag
    }

    async fn receive_tagged(&mut self) -> (u64, LocalReply, Vec<u8>) {
        let ((tag, reply), body) = self.conn.receive().await;
        (tag, reply, body)
    }

    async fn receive(&mut self) -> (LocalReply, Vec<u8>) {
        let (_, reply, body) = self.receive_tagged().await;
        (reply, body)
    }
}

struct Local {
    world: World,
    api: Arc<Api>,
}

impl Local {
    fn new() -> Self {
        let world = World::new();
        let api = api_of(&world);
        Self {
            world,
            api: Arc::new(api),
        }
    }

    fn connect_raw(&self) -> Conn {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (input, output) = tokio::io::split(theirs);
        tokio::spawn(serve_connection(input, output, Arc::clone(&self.api)));
        Conn(ours)
    }

    async fn connect(&self) -> Program {
        let mut conn = self.connect_raw();
        let reply = greet(&mut conn, LocalRequest::Hello { api: API_VERSION }).await;
        assert!(matches!(reply, LocalReply::Hello(_)), "{reply:?}");
        Program { conn, tag: 0 }
    }

    async fn adopted(&self) -> Program {
        let mut conn = self.connect().await;
        assert_eq!(
            ask(&mut conn, adopt(&own_cert(), 1), &[]).await.0,
            LocalReply::Ok
        );
        conn
    }
}

/// Says something before anything has a number.
async fn greet(conn: &mut Conn, request: LocalRequest) -> LocalReply {
    conn.send(request, &[]).await;
    conn.receive().await.0
}

/// Asks, and takes the next thing that is said of it.
async fn ask(conn: &mut Program, request: LocalRequest, body: &[u8]) -> (LocalReply, Vec<u8>) {
    let asked = conn.send(request, body).await;
    loop {
        match conn.receive_tagged().await {
            (_, LocalReply::Working, _) => {}
            (tag, reply, body) if tag == asked => return (reply, body),
            // The refusal of a put before.
            (_, reply @ LocalReply::Error { .. }, body) => return (reply, body),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_node_on_a_disk_that_cannot_be_written_answers_questions_only() {
    let world = World::new();
    let api = Arc::new(api_of(&world).read_only());
    let local = Local { world, api };
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

async fn commit(conn: &mut Program, root: ObjectId) -> (LocalReply, Vec<u8>) {
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
            LocalReply::Opened(Opened {
                base: None,
                last_seq: 0,
                ..
            })
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
        let LocalReply::Committed(Committed {
            snap,
            envelope,
            receipt,
        }) = reply
        else {
            panic!("{reply:?}")
        };
        let signed = decode_snap(&envelope).unwrap();
        assert_eq!((signed.id(), signed.value().seq), (snap, seq.into()));
        assert_eq!(signed.value().prev.is_some(), seq == 2);
        assert_eq!(decode_receipt(&receipt).unwrap().value().snap, snap);
        let (reply, _) = ask(&mut conn, LocalRequest::Open, &[]).await;
        assert!(matches!(reply, LocalReply::Opened(opened) if opened.base == Some(snap)));
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
        let (reply, body) = conn.receive().await;
        assert_eq!(
            reply,
            LocalReply::Object {
                id: ids[at],
                found: true
            }
        );
        assert_eq!(body, expected.bytes);
    }
    let (reply, _) = conn.receive().await;
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
        &greet(&mut conn, LocalRequest::Open).await,
        ErrorCode::Protocol,
    );
    let mut conn = local.connect_raw();
    let newer = LocalRequest::Hello {
        api: API_VERSION + 1,
    };
    assert_error(&greet(&mut conn, newer).await, ErrorCode::Version);
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
        LocalReply::Committed(_)
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
    assert_eq!(conn.receive().await.1, tree[0].bytes);
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
            if let LocalReply::Committed(done) = commit(&mut conn, root(&tree).id).await.0 {
                acknowledged = Some(done.snap);
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
