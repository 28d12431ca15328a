//! Owners, devices, objects and connections for tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::frame::FRAME_MIN;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::ids::{NodeId, ObjectId, SetId, SnapshotId};
use packnback_proto::policy::Moment;
use packnback_proto::record::{Cert, Grant, Op, Order, Scope, Signed, Snap, perms};
use packnback_proto::wire::ids::encode_ids;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use packnback_proto::wire::{ErrorCode, Role};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::DuplexStream;

use super::{Host, serve_session};
use crate::frames::{read_frame, write_frame};
use crate::ports::{Binding, Clock, Env, Failure, PeerBook, Reach, Standing, SystemClock};
use crate::store::memory::MemoryDisk;
use crate::store::{DiskReserve, Store};

pub(crate) const NOW: u64 = 1_800_000_000;
/// The backup set of everything here that says nothing else.
pub(crate) const SET: SetId = SetId([1; 16]);

pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&Secret32::new([n; 32]))
}

pub(crate) fn owner() -> SigningKey {
    key(1)
}

pub(crate) fn device() -> SigningKey {
    key(2)
}

pub(crate) fn host_key() -> SigningKey {
    key(3)
}

pub(crate) struct TestClock(pub(crate) AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn moment(&self) -> Moment {
        Moment {
            wall: self.now(),
            ..SystemClock.moment()
        }
    }
}

/// Who is known, and of whom addresses were learned (and whether from itself).
#[derive(Default)]
pub(crate) struct TestPeers(
    pub(crate) Mutex<HashMap<NodeId, Standing>>,
    pub(crate) Mutex<Vec<(NodeId, bool)>>,
);

impl TestPeers {
    pub(crate) fn know(&self, peer: NodeId, role: Role, quota: u64) {
        self.0.lock().insert(
            peer,
            Standing {
                role,
                quota,
                owner: None,
            },
        );
    }
}

impl PeerBook for TestPeers {
    fn standing(&self, peer: &NodeId) -> Option<Standing> {
        self.0.lock().get(peer).copied()
    }

    fn may_bind(&self, peer: &NodeId, binding: &Binding) -> Result<(), Failure> {
        let bound = self.standing(peer).and_then(|standing| standing.owner);
        if bound.is_some_and(|owner| owner != binding.owner) || binding.recovery == *peer {
            return Err(Failure::new(
                ErrorCode::OtherOwner,
                "bound to another owner",
            ));
        }
        Ok(())
    }

    fn bind(&self, peer: &NodeId, binding: &Binding) -> Result<(), Failure> {
        let Binding {
            owner, recovery, ..
        } = binding;
        let mut peers = self.0.lock();
        let standing = peers.get_mut(peer).unwrap();
        standing.owner.get_or_insert(*owner);
        let recovery_standing = Standing {
            role: Role::Recovery,
            quota: 0,
            owner: Some(*owner),
        };
        peers.entry(*recovery).or_insert(recovery_standing);
        Ok(())
    }

    fn learn_addrs(&self, node: &NodeId, _: &[String], own: bool, _: Reach) -> Result<(), Failure> {
        self.1.lock().push((*node, own));
        Ok(())
    }
}

/// A host with a disk in memory.
pub(crate) struct World {
    pub(crate) engine: Arc<MemoryDisk>,
    pub(crate) peers: Arc<TestPeers>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) host: Arc<Host>,
}

impl World {
    pub(crate) fn new() -> Self {
        let engine = Arc::new(MemoryDisk::default());
        let peers = Arc::new(TestPeers::default());
        let clock = Arc::new(TestClock(AtomicU64::new(NOW)));
        peers.know(device().node_id(), Role::Friend, u64::MAX);
        let host = start(&engine, &peers, &clock);
        Self {
            engine,
            peers,
            clock,
            host,
        }
    }

    /// Waits no time for peers that show nothing.
    pub(crate) fn impatient(&mut self) {
        Arc::get_mut(&mut self.host).unwrap().unproven = std::time::Duration::from_millis(1);
    }

    /// Loses power and starts again.
    pub(crate) fn crash(&mut self) {
        self.engine.crash();
        self.host = start(&self.engine, &self.peers, &self.clock);
    }

    /// Waits until the tasks of closed connections have ended.
    pub(crate) async fn quiet(&self) {
        while self.store().sessions_open(&owner().owner_id()) > 0 {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.host.store
    }

    pub(crate) fn connect(&self, peer: NodeId) -> Conn {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let host = Arc::clone(&self.host);
        tokio::spawn(serve_session(theirs, peer, Reach::Private, host));
        Conn(ours)
    }

    /// A session of the device, open.
    pub(crate) async fn session(&self) -> Conn {
        self.session_with(cert()).await
    }

    pub(crate) async fn session_with(&self, cert: Cert) -> Conn {
        let mut conn = self.connect(cert.device);
        conn.hello().await;
        let reply = conn.open(cert).await;
        assert!(matches!(reply, StoreReply::Opened { .. }), "{reply:?}");
        conn
    }
}

fn start(engine: &Arc<MemoryDisk>, peers: &Arc<TestPeers>, clock: &Arc<TestClock>) -> Arc<Host> {
    let store = Arc::new(Store::new(engine.disk(), host_key(), DiskReserve(1000)));
    let (peers, clock) = (Arc::clone(peers), Arc::clone(clock));
    Arc::new(Host::new(store, peers, Env::system().with_clock(clock)))
}

/// The client side of a connection.
pub(crate) struct Conn(pub(crate) DuplexStream);

impl Conn {
    pub(crate) async fn send<T: Serialize>(&mut self, request: T, body: &[u8]) {
        write_frame(&mut self.0, &request, body).await.unwrap();
    }

    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> (T, Vec<u8>) {
        read_frame(&mut self.0).await.unwrap()
    }

    pub(crate) async fn ask(
        &mut self,
        request: StoreRequest,
        body: &[u8],
    ) -> (StoreReply, Vec<u8>) {
        self.send(request, body).await;
        self.receive().await
    }

    pub(crate) async fn hello(&mut self) -> [u8; 16] {
        match self.ask(StoreRequest::Hello { version: 1 }, &[]).await.0 {
            StoreReply::Hello { nonce, .. } => nonce.0,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn open(&mut self, cert: Cert) -> StoreReply {
        let cert = Signed::sign(&cert, &owner_of(&cert))
            .unwrap()
            .envelope()
            .into();
        self.ask(StoreRequest::Open { cert, base: None }, &[])
            .await
            .0
    }

    /// Whether the other side has hung up.
    pub(crate) async fn at_end(&mut self) -> Option<bool> {
        use tokio::io::AsyncReadExt as _;
        let mut byte = [0];
        self.0.read(&mut byte).await.ok().map(|n| n == 0)
    }

    pub(crate) async fn put(&mut self, object: &Object) {
        self.send(StoreRequest::Put { id: object.id }, &object.bytes)
            .await;
    }

    pub(crate) async fn sync(&mut self) -> StoreReply {
        self.ask(StoreRequest::Sync, &[]).await.0
    }

    pub(crate) async fn commit(&mut self, snap: &Signed<Snap>) -> (StoreReply, Vec<u8>) {
        self.ask(
            StoreRequest::Commit {
                snap: snap.envelope().into(),
            },
            &[],
        )
        .await
    }

    pub(crate) async fn have(&mut self, ids: &[ObjectId]) -> Vec<bool> {
        let (reply, body) = self.ask(StoreRequest::Have, &encode_ids(ids)).await;
        assert_eq!(reply, StoreReply::Bitmap);
        packnback_proto::wire::ids::decode_bitmap(&body, ids.len()).unwrap()
    }
}

/// Asserts a refusal of this kind.
pub(crate) fn assert_refused(reply: &StoreReply, expected: ErrorCode) {
    match reply {
        StoreReply::Refused { code, .. } if *code == expected => {}
        other => panic!("expected {expected}, got {other:?}"),
    }
}

fn owner_of(cert: &Cert) -> SigningKey {
    (1..=250)
        .map(key)
        .find(|key| key.owner_id() == cert.owner)
        .unwrap()
}

pub(crate) fn cert() -> Cert {
    Cert {
        owner: owner().owner_id(),
        device: device().node_id(),
        serial: 1,
        perms: perms::ALL,
        not_before: NOW - 1000,
        expires: NOW + 100_000_000,
        quota_bytes: u64::MAX / 4,
        new_bytes_per_day: u64::MAX / 4,
        snaps_per_day: 48,
        group: 0,
        epoch: 0,
        sealed_label: packnback_proto_label(),
        recovery: key(9).node_id(),
    }
}

/// Bytes as long as a sealed label.
fn packnback_proto_label() -> Vec<u8> {
    vec![0; packnback_proto::record::SEALED_LABEL_LEN]
}

pub(crate) fn snap(root: &Object, seq: u64) -> Signed<Snap> {
    snap_by(&device(), &owner(), root.id, seq)
}

pub(crate) fn snap_by(
    device: &SigningKey,
    owner: &SigningKey,
    root: ObjectId,
    seq: u64,
) -> Signed<Snap> {
    let snap = Snap {
        owner: owner.owner_id(),
        device: device.node_id(),
        seq,
        prev: None,
        root,
        time: NOW,
        cert_serial: 1,
        set: SET,
    };
    Signed::sign(&snap, device).unwrap()
}

pub(crate) fn grant(reader: NodeId, nonce: [u8; 16]) -> Grant {
    Grant {
        owner: owner().owner_id(),
        reader,
        scope: Scope::All,
        not_before: NOW - 10,
        expires: NOW + 1000,
        audience: Some(vec![host_key().node_id()]),
        nonce,
        max_bytes: None,
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) id: ObjectId,
    pub(crate) bytes: Vec<u8>,
}

/// Legal object bytes as a host sees them: the payload is noise.
pub(crate) fn object(kind: Kind, height: u8, refs: &[&Object], noise: u8) -> Object {
    let mut refs: Vec<ObjectId> = refs.iter().map(|object| object.id).collect();
    refs.sort();
    let epk = (kind != Kind::Chunk).then_some([7; 32]);
    let header = Header {
        kind,
        height,
        epoch: 0,
        epk,
        refs,
    };
    let mut bytes = Vec::new();
    header.write(&mut bytes).unwrap();
    bytes.extend(vec![noise; FRAME_MIN + OVERHEAD]);
    Object {
        id: object_id(&bytes),
        bytes,
    }
}

pub(crate) fn chunk(noise: u8) -> Object {
    object(Kind::Chunk, 0, &[], noise)
}

/// An order of [`owner`] for any host.
pub(crate) fn order(oid: u8, mut op: Op) -> Signed<Order> {
    if let Op::Hosts { hosts, .. } = &mut op {
        hosts.sort();
    }
    let order = Order {
        owner: owner().owner_id(),
        oid: [oid; 16],
        issued: NOW,
        audience: None,
        op,
        not_before: None,
    };
    Signed::sign(&order, &owner()).unwrap()
}

/// A small snapshot: root, segment, map, two chunks, pack. Children first.
pub(crate) fn tree(noise: u8) -> Vec<Object> {
    let (a, b) = (chunk(noise), chunk(noise.wrapping_add(100)));
    let pack = object(Kind::Pack, 0, &[], noise);
    let map = object(Kind::Map, 1, &[&b], noise);
    let segment = object(Kind::Segment, 2, &[&a, &pack, &map], noise);
    let root = object(Kind::Root, 8, &[&segment], noise);
    vec![a, b, pack, map, segment, root]
}

pub(crate) fn root(tree: &[Object]) -> &Object {
    tree.last().unwrap()
}

/// Puts and commits a whole tree; returns the snapshot.
pub(crate) async fn back_up(conn: &mut Conn, tree: &[Object], seq: u64) -> SnapshotId {
    back_up_after(conn, tree, seq, None).await
}

/// The same, behind another snapshot.
pub(crate) async fn back_up_after(
    conn: &mut Conn,
    tree: &[Object],
    seq: u64,
    prev: Option<SnapshotId>,
) -> SnapshotId {
    for object in tree {
        conn.put(object).await;
    }
    let snap = Snap {
        prev,
        ..snap(root(tree), seq).value().clone()
    };
    let snap = Signed::sign(&snap, &device()).unwrap();
    let (reply, _) = conn.commit(&snap).await;
    assert!(matches!(reply, StoreReply::Committed { .. }), "{reply:?}");
    snap.id()
}
