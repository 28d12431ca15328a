//! Whole nodes in one process: real stores on temporary homes, real swarms on loopback.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use packnback_node::net::{Libp2p, NetConfig, NetError, now_s};
use packnback_node::network::{P2p, P2pConfig};
use packnback_node::ports::Env;
use packnback_node::ports::{Network as _, Remote};
use packnback_node::store::disk::{Batch, Disk, DiskError, Table};
use packnback_node::store::rocks;
use packnback_node::store::{CommitOutcome, DiskReserve, Store};
use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::frame::padded_len;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::ids::{NodeId, ObjectId, RecordId, SetId, SnapshotId};
use packnback_proto::record::{
    Cert, Grant, Op, Order, Receipt, SEALED_LABEL_LEN, Scope, Signed, decode_receipt,
    parse_envelope, perms,
};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::ids::split_records;
use packnback_proto::wire::local::{CopyState, HostCopy};

pub const GIB: u64 = 1 << 30;
/// Longer than anything here takes on a busy machine; reached only by a hang.
const HANG: Duration = Duration::from_secs(120);

/// One node; its home outlives it.
pub struct Node {
    pub home: PathBuf,
    pub seed: Secret32,
    pub listen: Vec<String>,
    pub store: Arc<Store>,
    pub p2p: Arc<P2p>,
}

fn config() -> P2pConfig {
    let mut config = P2pConfig::default();
    config.timing.retry_first = Duration::from_millis(50);
    config.timing.retry_max = Duration::from_millis(500);
    config.timing.lacking = Duration::from_millis(100);
    config.timing.pull_every = Duration::from_secs(1);
    config.timing.pull_after = Duration::ZERO;
    config
}

fn tune(net: &mut NetConfig) {
    net.redial_first = Duration::from_millis(50);
    net.redial_max = Duration::from_millis(500);
    net.open_timeout = Duration::from_secs(20);
}

/// Whoever held the disk before may be about to let go of it.
async fn open(home: &Path) -> Disk {
    loop {
        match rocks::open(home) {
            Ok(disk) => return disk,
            Err(DiskError::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

impl Node {
    /// A new node listening on free ports.
    pub async fn new(dir: &tempfile::TempDir, n: u8) -> Self {
        let home = dir.path().join(format!("node{n}"));
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];
        let listen = listen.map(str::to_owned).to_vec();
        let mut node = Self::start(home, Secret32::new([n; 32]), listen).await;
        // A restart must come back at the same place.
        node.listen = node.p2p.net().listen_addrs();
        node
    }

    pub async fn start(home: PathBuf, seed: Secret32, listen: Vec<String>) -> Self {
        let engine = tokio::time::timeout(HANG, open(&home));
        let engine = engine.await.expect("the disk is free again");
        let key = SigningKey::from_seed(&seed);
        let store = Arc::new(Store::new(engine, key, DiskReserve(0)));
        let start = async {
            loop {
                match Libp2p::start(&seed, &listen, tune).await {
                    Ok(net) => {
                        let (store, env) = (Arc::clone(&store), Env::system());
                        let started = P2p::start(&config(), net, &seed, store, env);
                        return started.unwrap().1;
                    }
                    // A QUIC socket outlives its swarm until all connections are drained; between
                    // two processes that is no matter.
                    Err(NetError::Listen { .. }) => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        };
        let p2p = tokio::time::timeout(HANG, start)
            .await
            .expect("the port is free again");
        Self {
            home,
            seed,
            listen,
            store,
            p2p,
        }
    }

    pub fn id(&self) -> NodeId {
        self.store.node_id()
    }

    /// Ends the node; everything not durable is gone, as far as one process can lose it.
    pub async fn stop(self) -> Stopped {
        self.p2p.shutdown().await;
        let Self {
            home,
            seed,
            listen,
            store,
            p2p,
        } = self;
        drop(p2p);
        // Sessions still being served hold the store for a moment.
        let weak = Arc::downgrade(&store);
        drop(store);
        let gone = async {
            while weak.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(HANG, gone)
            .await
            .expect("the store is released");
        Stopped { home, seed, listen }
    }

    /// A full address.
    pub fn addr(&self) -> String {
        self.p2p.listen_addrs().first().unwrap().clone()
    }

    pub async fn befriend(&self, other: &Self) {
        let token = self
            .p2p
            .invite(GIB, 600, "invitee".to_owned())
            .await
            .unwrap();
        other
            .p2p
            .accept(token, GIB, "inviter".to_owned())
            .await
            .unwrap();
    }

    /// Makes this node a device of the owner.
    pub fn adopt(&self, owner: &OwnerSeed) {
        let cert = Signed::sign(&cert(owner, self.id()), &owner.sign_key()).unwrap();
        self.store.adopt(&cert).unwrap();
    }

    /// Gives an order of the owner on this machine.
    pub fn order(&self, owner: &OwnerSeed, oid: u8, op: Op) -> RecordId {
        let order = Order {
            owner: owner.owner_id(),
            oid: [oid; 16],
            issued: now_s(),
            audience: None,
            op,
            not_before: None,
        };
        let order = Signed::sign(&order, &owner.sign_key()).unwrap();
        let id = owner.owner_id();
        self.store
            .put_order(&id, order.envelope(), now_s())
            .unwrap();
        self.p2p.wake_replication();
        order.id()
    }

    /// A snapshot of these objects, the root last.
    pub fn back_up(&self, owner: &OwnerSeed, objects: &[Object]) -> SnapshotId {
        let access = self.store.own_access(&owner.owner_id());
        let intake = self.store.intake(access).unwrap();
        for object in objects {
            self.store
                .put(&intake, &object.id, &object.bytes, now_s())
                .unwrap();
        }
        self.store.sync(&intake, now_s()).unwrap();
        let root = objects.last().unwrap().id;
        let snap = match self
            .store
            .commit_own(root, SetId([1; 16]), now_s(), now_s())
            .unwrap()
        {
            CommitOutcome::Accepted(accepted) => accepted.snap,
            CommitOutcome::Missing(ids) => panic!("missing {ids:?}"),
        };
        self.p2p.wake_replication();
        snap
    }

    /// Waits until the copies of a snapshot look as wanted.
    pub async fn wait_copies(&self, snap: &SnapshotId, wanted: impl Fn(&[HostCopy]) -> bool) {
        let mut changed = self.p2p.copies_changed();
        let wait = async {
            loop {
                changed.mark_unchanged();
                if wanted(&self.p2p.copies(snap)) {
                    return;
                }
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(HANG, wait).await.is_err() {
            panic!("copies: {:?}", self.p2p.copies(snap));
        }
    }

    pub async fn wait_done(&self, snap: &SnapshotId, hosts: usize) {
        self.wait_copies(snap, |copies| {
            copies
                .iter()
                .filter(|copy| copy.state == CopyState::Done)
                .count()
                >= hosts
        })
        .await;
    }
}

/// Waits until something holds; nothing tells when it does.
pub async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(HANG, wait).await.is_err() {
        panic!("never: {what}");
    }
}

/// A node that does not run.
pub struct Stopped {
    home: PathBuf,
    seed: Secret32,
    listen: Vec<String>,
}

impl Stopped {
    /// The disk of the node loses these objects, and everything it knew of them.
    pub fn lose(&self, owner: &OwnerSeed, objects: &[Object]) {
        // Whoever held it before may be about to let go of it.
        let engine = loop {
            match rocks::open(&self.home) {
                Err(DiskError::InUse(_)) => std::thread::sleep(Duration::from_millis(10)),
                other => break other.unwrap(),
            }
        };
        let mut batch = Batch::default();
        for object in objects {
            batch.delete(Table::Meta, [owner.owner_id().0, object.id.0].concat());
        }
        engine.tables.write(batch).unwrap();
    }

    /// The same node, on other ports from its next start on.
    pub fn elsewhere(self) -> Self {
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];
        let listen = listen.map(str::to_owned).to_vec();
        Self { listen, ..self }
    }

    /// A new disk under the same identity, at the same place.
    pub fn on_a_new_disk(self, dir: &tempfile::TempDir, name: &str) -> Self {
        let home = dir.path().join(name);
        Self { home, ..self }
    }

    pub async fn start(self) -> Node {
        Node::start(self.home, self.seed, self.listen).await
    }
}

fn cert(owner: &OwnerSeed, device: NodeId) -> Cert {
    Cert {
        owner: owner.owner_id(),
        device,
        serial: 1,
        perms: perms::ALL,
        not_before: now_s() - 1000,
        expires: now_s() + 1_000_000,
        quota_bytes: 1 << 40,
        new_bytes_per_day: 1 << 40,
        snaps_per_day: 48,
        group: 0,
        epoch: 0,
        sealed_label: vec![0; SEALED_LABEL_LEN],
        recovery: owner.recovery_id(),
    }
}

/// A grant as a restore signs it after asking the host.
pub fn grant(owner: &OwnerSeed, remote: &dyn Remote) -> Grant {
    let info = remote.info();
    Grant {
        owner: owner.owner_id(),
        reader: info.reader,
        scope: Scope::All,
        not_before: info.time - 10,
        expires: info.time + 3600,
        audience: Some(vec![info.host]),
        nonce: info.nonce.0,
        max_bytes: None,
    }
}

pub fn signed(owner: &OwnerSeed, grant: &Grant) -> Bytes {
    Signed::sign(grant, &owner.sign_key())
        .unwrap()
        .envelope()
        .into()
}

/// All records a host shows.
pub async fn records(remote: &dyn Remote) -> Vec<Vec<u8>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = remote.records(after).await.unwrap();
        all.extend(
            split_records(&page.body)
                .unwrap()
                .into_iter()
                .map(<[u8]>::to_vec),
        );
        if !page.more {
            return all;
        }
        after = page.last;
    }
}

pub fn receipts(records: &[Vec<u8>]) -> Vec<Receipt> {
    let is_receipt = |r: &&Vec<u8>| parse_envelope(r).unwrap().kind.name() == "receipt";
    let decode = |r: &Vec<u8>| decode_receipt(r).unwrap().into_value();
    records.iter().filter(is_receipt).map(decode).collect()
}

#[derive(Debug, Clone)]
pub struct Object {
    pub id: ObjectId,
    pub bytes: Vec<u8>,
}

/// Legal object bytes as a host sees them: the payload is noise.
fn object(kind: Kind, height: u8, refs: &[&Object], noise: u64, len: usize) -> Object {
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
    let end = bytes.len() + OVERHEAD + padded_len(len);
    let mut block = blake3::hash(&noise.to_le_bytes());
    while bytes.len() < end {
        bytes.extend_from_slice(block.as_bytes());
        block = blake3::hash(block.as_bytes());
    }
    bytes.truncate(end);
    Object {
        id: object_id(&bytes),
        bytes,
    }
}

/// A snapshot of `segments` segments with `chunks` chunks of `len` bytes each. Children first.
pub fn tree(noise: u64, segments: u64, chunks: u64, len: usize) -> Vec<Object> {
    let (mut all, mut tops) = (Vec::new(), Vec::new());
    for s in 0..segments {
        let base = noise * 1_000_000 + s * 1000;
        let leaves: Vec<Object> = (0..chunks)
            .map(|c| object(Kind::Chunk, 0, &[], base + c, len))
            .collect();
        let pack = object(Kind::Pack, 0, &[], base, 100);
        let map = object(Kind::Map, 1, &[&leaves[0]], base, 100);
        let mut refs: Vec<&Object> = leaves.iter().collect();
        refs.extend([&pack, &map]);
        tops.push(object(Kind::Segment, 2, &refs, base, 100));
        all.extend(leaves);
        all.extend([pack, map]);
    }
    let root = object(Kind::Root, 8, &tops.iter().collect::<Vec<_>>(), noise, 100);
    all.extend(tops);
    all.push(root);
    all
}
