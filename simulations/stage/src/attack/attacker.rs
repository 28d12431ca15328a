//! The attacker: the stolen identity, and conversations under it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use packnback_cli::parts::system::now;
use packnback_node::identity;
use packnback_node::net::{
    Multiaddr, NetConfig, NetHandle, PeerStream, Protocol, keypair_from_seed, parse_peer_addr,
};
use packnback_node::replicate::{ClientError, Greeting, StoreClient};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SnapshotId};
use packnback_proto::record::{Cert, Signed, Snap, decode_cert};
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use packnback_proto::wire::{Bytes, Role};

use super::junk::Object;
use super::socket::OwnNode;
use super::spec::{Loot, Spec};

/// Longest wait for a stream, so that a host that does not answer ends an attack.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// A conversation with a host.
pub(super) type Talk = StoreClient<PeerStream>;
/// An answer of a host.
pub(super) type Answer = Result<(StoreReply, Vec<u8>), ClientError>;

/// A host under attack.
pub(super) struct Target {
    pub(super) host: NodeId,
    pub(super) addrs: Vec<Multiaddr>,
}

/// Everything an attacker has.
pub(super) struct Attacker {
    pub(super) spec: Spec,
    pub(super) net: NetHandle,
    /// The device key.
    pub(super) key: SigningKey,
    /// The certificate of the device.
    pub(super) cert: Signed<Cert>,
    /// Snapshots of the device, oldest first.
    pub(super) snaps: Vec<Signed<Snap>>,
    /// An object of the device's newest snapshot.
    pub(super) stored: Object,
    noise: AtomicU64,
}

impl Attacker {
    /// Takes identity and certificate from the stolen home and its running node.
    pub(super) async fn start(spec: Spec) -> anyhow::Result<Self> {
        let dir = spec.home.join("node");
        if !dir.join(identity::KEY_NAME).is_file() {
            bail!("there is no identity in {}", dir.display());
        }
        let seed = identity::load_or_create(&dir)?;
        let mut own = OwnNode::connect(&spec.socket).await?;
        let cert = decode_cert(&own.open().await?).context("the stolen certificate")?;
        let mut snaps = own.snaps().await?;
        snaps.retain(|snap| snap.value().device == cert.value().device);
        snaps.sort_by_key(|snap| snap.value().seq);
        let newest = snaps.last().context("the device has no snapshot")?;
        let stored = own.object(newest.value().root).await?;
        Ok(Self {
            net: connect_as(&seed, &spec.hosts).await?,
            key: SigningKey::from_seed(&seed),
            cert,
            snaps,
            stored,
            noise: AtomicU64::new(now()),
            spec,
        })
    }

    pub(super) fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let parse = |addr: &String| {
            let (host, addr) = parse_peer_addr(addr)?;
            Ok(Target {
                host,
                addrs: vec![addr],
            })
        };
        self.spec.hosts.iter().map(parse).collect()
    }

    pub(super) fn owner(&self) -> OwnerId {
        self.cert.value().owner
    }

    pub(super) fn device(&self) -> NodeId {
        self.key.node_id()
    }

    /// A number that was not used before.
    pub(super) fn fresh(&self) -> u64 {
        self.noise.fetch_add(1, Ordering::Relaxed)
    }

    /// A key nobody knows.
    pub(super) fn fresh_key(&self) -> SigningKey {
        let hash = blake3::derive_key("packnback drill key", &self.fresh().to_le_bytes());
        SigningKey::from_seed(&Secret32::new(hash))
    }

    pub(super) fn snap_ids(&self) -> Vec<SnapshotId> {
        self.snaps.iter().map(Signed::id).collect()
    }

    /// The envelopes of this kind that were captured.
    pub(super) fn loot(&self, what: Loot) -> Result<Vec<Bytes>, String> {
        let found = self.spec.captured.iter().filter(|one| one.what == what);
        let decoded: Result<Vec<Bytes>, String> = found
            .map(|one| {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(one.envelope.as_bytes());
                bytes.map(Bytes).map_err(|e| format!("{what:?}: {e}"))
            })
            .collect();
        match decoded {
            Ok(all) if all.is_empty() => Err(format!("the drill gave no {what:?}")),
            other => other,
        }
    }

    /// A conversation in which nothing but the greeting was said.
    pub(super) async fn greet(&self, target: &Target) -> Result<(Talk, Greeting), String> {
        let opened = self.net.open(target.host, &target.addrs, Protocol::Store);
        let stream = opened.await.map_err(|e| e.to_string())?.stream;
        StoreClient::hello(stream, &target.host)
            .await
            .map_err(|e| e.to_string())
    }

    /// Presents a certificate.
    pub(super) async fn open_with(&self, target: &Target, cert: Bytes) -> Result<Answer, String> {
        let (mut talk, _) = self.greet(target).await?;
        Ok(talk
            .ask(&StoreRequest::Open { cert, base: None }, &[])
            .await)
    }

    /// A session under the stolen certificate: this much every device may.
    pub(super) async fn session(&self, target: &Target) -> Result<Talk, String> {
        let (mut talk, _) = self.greet(target).await?;
        let cert = self.cert.envelope().into();
        match talk.open(cert, None).await {
            Ok(_) => Ok(talk),
            Err(error) => Err(format!("no session: {error}")),
        }
    }

    /// One request in a session of its own.
    pub(super) async fn ask(
        &self,
        target: &Target,
        request: StoreRequest,
        body: &[u8],
    ) -> Result<Answer, String> {
        Ok(self.session(target).await?.ask(&request, body).await)
    }

    /// Puts objects in a session, and asks whether all were taken.
    pub(super) async fn put_all(talk: &mut Talk, objects: &[Object]) -> Answer {
        for object in objects {
            let put = StoreRequest::Put { id: object.id };
            talk.send(&put, &object.bytes).await?;
        }
        talk.ask(&StoreRequest::Sync, &[]).await
    }

    /// Puts bytes under an address that may not be theirs.
    pub(super) async fn put_under(
        &self,
        target: &Target,
        id: ObjectId,
        bytes: Vec<u8>,
    ) -> Result<Answer, String> {
        let mut talk = self.session(target).await?;
        Ok(Self::put_all(&mut talk, &[Object { id, bytes }]).await)
    }
}

/// A swarm that only dials, under this key.
pub(super) async fn connect_as(seed: &Secret32, hosts: &[String]) -> anyhow::Result<NetHandle> {
    let mut config = NetConfig::new(keypair_from_seed(*seed.expose())?, Vec::new());
    config.open_timeout = OPEN_TIMEOUT;
    let (net, _incoming, _task) = NetHandle::start(config).await?;
    for addr in hosts {
        net.admit(parse_peer_addr(addr)?.0, Role::Friend, None)?;
    }
    Ok(net)
}
