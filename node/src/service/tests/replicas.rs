use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::record::{Cert, Op, Signed, parse_envelope};
use packnback_proto::wire::ids::{encode_ids, split_records};
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use packnback_proto::wire::{ErrorCode, Role};

use super::super::testkit::*;

/// Another host.
fn other() -> NodeId {
    key(20).node_id()
}

fn hosts(hseq: u64, hosts: &[NodeId]) -> Op {
    Op::Hosts {
        hseq,
        hosts: hosts.to_vec(),
    }
}

/// A world with a snapshot, whose owner listed these hosts. [`other`] gets past the gate.
async fn world(listed: &[NodeId]) -> (World, Vec<Object>) {
    let world = World::new();
    let tree = tree(1);
    let mut conn = world.session().await;
    back_up(&mut conn, &tree, 1).await;
    let envelope = order(1, hosts(1, listed)).envelope().into();
    let told = conn.ask(StoreRequest::Order { envelope }, &[]).await.0;
    assert_eq!(told, StoreReply::Ok);
    world.peers.know(other(), Role::Replica, 0);
    (world, tree)
}

async fn replicate(world: &World, peer: NodeId, owner: OwnerId) -> (Conn, StoreReply) {
    let mut conn = world.connect(peer);
    conn.hello().await;
    let reply = conn.ask(StoreRequest::Replicate { owner }, &[]).await.0;
    (conn, reply)
}

/// Everything that would show or change something.
async fn gets_nothing(conn: &mut Conn, tree: &[Object], code: ErrorCode) {
    let records = conn.ask(StoreRequest::Records { after: None }, &[]).await.0;
    assert_refused(&records, code);
    let ids = encode_ids(&[tree[0].id]);
    assert_refused(&conn.ask(StoreRequest::Get, &ids).await.0, code);
}

#[tokio::test]
async fn a_listed_host_gets_everything_without_a_grant() {
    let (world, tree) = world(&[host_key().node_id(), other()]).await;
    let (mut conn, reply) = replicate(&world, other(), owner().owner_id()).await;
    assert_eq!(reply, StoreReply::Ok);
    let (reply, body) = conn.ask(StoreRequest::Records { after: None }, &[]).await;
    assert!(matches!(reply, StoreReply::Records { more: false, .. }));
    let mut kinds: Vec<_> = split_records(&body)
        .unwrap()
        .iter()
        .map(|record| parse_envelope(record).unwrap().kind.name())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["cert", "order", "receipt", "snap"]);
    let ids: Vec<_> = tree.iter().map(|object| object.id).collect();
    conn.send(StoreRequest::Get, &encode_ids(&ids)).await;
    for object in &tree {
        let (reply, body) = conn.receive::<StoreReply>().await;
        let id = object.id;
        assert_eq!(reply, StoreReply::Object { id, found: true });
        assert_eq!(body, object.bytes);
    }
}

#[tokio::test]
async fn n23_a_host_that_is_not_listed_learns_nothing() {
    let (world, tree) = world(&[host_key().node_id()]).await;
    // Another owner stores here as well, and does list it.
    let (theirs, device) = (key(7), key(5).node_id());
    world.peers.know(device, Role::Friend, u64::MAX);
    let cert = Cert {
        owner: theirs.owner_id(),
        device,
        recovery: key(6).node_id(),
        ..cert()
    };
    let mut conn = world.session_with(cert).await;
    let list = packnback_proto::record::Order {
        owner: theirs.owner_id(),
        ..order(2, hosts(1, &[host_key().node_id(), other()])).into_value()
    };
    let envelope = Signed::sign(&list, &theirs).unwrap().envelope().into();
    let told = conn.ask(StoreRequest::Order { envelope }, &[]).await.0;
    assert_eq!(told, StoreReply::Ok);

    let before = world.engine.snapshot();
    let (mut conn, listed) = replicate(&world, other(), theirs.owner_id()).await;
    assert_eq!(listed, StoreReply::Ok);
    // What is copied under one list is of that owner only.
    let (_, body) = conn.ask(StoreRequest::Records { after: None }, &[]).await;
    assert_eq!(split_records(&body).unwrap().len(), 2, "cert and order");
    conn.send(StoreRequest::Get, &encode_ids(&[tree[0].id]))
        .await;
    let (reply, body) = conn.receive::<StoreReply>().await;
    assert!(matches!(reply, StoreReply::Object { found: false, .. }) && body.is_empty());

    let mut said = Vec::new();
    for asked in [owner().owner_id(), key(99).owner_id()] {
        let (mut conn, reply) = replicate(&world, other(), asked).await;
        assert_refused(&reply, ErrorCode::Denied);
        gets_nothing(&mut conn, &tree, ErrorCode::Denied).await;
        said.push(reply);
    }
    // The same words whether the owner is here or not.
    assert_eq!(said[0], said[1]);
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n23_a_host_taken_off_the_list_gets_nothing_more() {
    let (world, tree) = world(&[host_key().node_id(), other()]).await;
    let (mut conn, reply) = replicate(&world, other(), owner().owner_id()).await;
    assert_eq!(reply, StoreReply::Ok);
    let newer = order(2, hosts(2, &[host_key().node_id()]));
    let owner = owner().owner_id();
    world
        .store()
        .put_order(&owner, newer.envelope(), NOW)
        .unwrap();
    let before = world.engine.snapshot();
    gets_nothing(&mut conn, &tree, ErrorCode::Denied).await;
    // Nor with the older list, brought once more.
    let older = order(1, hosts(1, &[host_key().node_id(), other()]));
    world
        .store()
        .put_order(&owner, older.envelope(), NOW)
        .unwrap();
    let (mut conn, reply) = replicate(&world, other(), owner).await;
    assert_refused(&reply, ErrorCode::Denied);
    gets_nothing(&mut conn, &tree, ErrorCode::Denied).await;
    assert_eq!(world.engine.snapshot(), before);
}

#[tokio::test]
async fn n23_a_listed_host_can_only_read() {
    let (world, tree) = world(&[host_key().node_id(), other()]).await;
    let before = world.engine.snapshot();
    // A certificate, even one of the owner, opens no session in this role.
    let mut conn = world.connect(other());
    conn.hello().await;
    let own = Cert {
        device: other(),
        ..cert()
    };
    assert_refused(&conn.open(own).await, ErrorCode::Denied);

    let (mut conn, reply) = replicate(&world, other(), owner().owner_id()).await;
    assert_eq!(reply, StoreReply::Ok);
    let revoke = Op::Revoke {
        device: device().node_id(),
        reason: String::new(),
    };
    let snap = snap(root(&tree), 9).envelope().into();
    let envelope = order(9, revoke).envelope().into();
    for request in [
        StoreRequest::Have,
        StoreRequest::Commit { snap },
        StoreRequest::Order { envelope },
        StoreRequest::HostAddrs { hosts: Vec::new() },
    ] {
        assert_refused(&conn.ask(request, &[]).await.0, ErrorCode::NotOpen);
    }
    let other_owner = key(99).owner_id();
    let again = StoreRequest::Replicate { owner: other_owner };
    assert_refused(&conn.ask(again, &[]).await.0, ErrorCode::Protocol);
    conn.put(&chunk(55)).await;
    assert_refused(&conn.receive().await.0, ErrorCode::NotOpen);
    assert_eq!(world.engine.snapshot(), before);
    assert!(world.peers.1.lock().is_empty());
}

#[tokio::test]
async fn addresses_are_learned_of_listed_hosts_and_of_the_device_itself() {
    let (world, _) = world(&[host_key().node_id(), other()]).await;
    let mut conn = world.session().await;
    let me = device().node_id();
    let named = |node| (node, vec!["/ip4/192.0.2.1/tcp/1".to_owned()].into());
    let hosts = vec![named(other()), named(key(77).node_id()), named(me)];
    let told = conn.ask(StoreRequest::HostAddrs { hosts }, &[]).await.0;
    assert_eq!(told, StoreReply::Ok);
    assert_eq!(*world.peers.1.lock(), [(other(), false), (me, true)]);
    let hosts = vec![named(other()); packnback_proto::limits::AUDIENCE_MAX + 1];
    let told = conn.ask(StoreRequest::HostAddrs { hosts }, &[]).await.0;
    assert_refused(&told, ErrorCode::Protocol);
    assert_eq!(world.peers.1.lock().len(), 2);
}
