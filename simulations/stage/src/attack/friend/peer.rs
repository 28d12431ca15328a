//! The hostile friend: an identity that was invited, an owner of its own, and conversations with the host.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use packnback_cli::parts::system::now;
use packnback_node::identity;
use packnback_node::net::{
    Multiaddr, NetConfig, NetHandle, Protocol, keypair_from_seed, parse_peer_addr,
};
use packnback_node::replicate::StoreClient;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::record::{Cert, Op, Order, perms};
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use packnback_proto::wire::{Bytes, Role};
use parking_lot::Mutex;

use super::super::attacker::{Answer, Talk, Target, connect_as};
use super::super::junk::signed_by;
use super::scheme::Spec;
use super::serving::Server;

/// A day, in seconds.
const DAY_S: u64 = 86_400;
/// Longest wait for a stream and for any one answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Where it can be reached by who is told to.
const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";

/// See the module.
pub(super) struct Friend {
    pub(super) spec: Spec,
    pub(super) net: NetHandle,
    /// What it answers when it is asked.
    pub(super) server: Server,
    /// Its identity.
    pub(super) key: SigningKey,
    /// Its owner.
    pub(super) owner: SigningKey,
    /// The newest certificate of its own owner.
    cert: Mutex<Bytes>,
    pub(super) host: Target,
    pub(super) device: Target,
    noise: AtomicU64,
}

fn target(addr: &str) -> anyhow::Result<Target> {
    let (host, addr) = parse_peer_addr(addr)?;
    let addrs = vec![addr];
    Ok(Target { host, addrs })
}

impl Friend {
    /// Comes up under the invited identity.
    pub(super) async fn start(spec: Spec) -> anyhow::Result<Self> {
        let seed = identity::load_or_create(&spec.home.join("node"))?;
        let listen: Multiaddr = LISTEN.parse()?;
        let config = NetConfig::new(keypair_from_seed(*seed.expose())?, vec![listen]);
        let (net, incoming, _task) = NetHandle::start(config).await?;
        let (host, device) = (target(&spec.host)?, target(&spec.device)?);
        for peer in [host.host, device.host] {
            net.admit(peer, Role::Friend, None)?;
        }
        net.admit(spec.recovery, Role::Recovery, None)?;
        let key = SigningKey::from_seed(&seed);
        let owner = key_from("owner", now());
        let first = CertParts {
            device: key.node_id(),
            serial: 1,
            recovery: key_from("recovery", 0).node_id(),
        };
        let cert = sign_cert(&owner, first).map_err(|e| anyhow::anyhow!(e))?;
        Ok(Self {
            server: Server::start(incoming, key.node_id()),
            owner,
            cert: Mutex::new(cert),
            noise: AtomicU64::new(now().wrapping_mul(1_000_000)),
            net,
            key,
            host,
            device,
            spec,
        })
    }

    /// Where it can be reached, with its identity.
    pub(super) fn address(&self) -> String {
        let addrs = self.net.listen_addrs();
        let first = addrs.first().map(|addr| {
            packnback_node::net::format_peer_addr(&self.key.node_id(), addr).unwrap_or_default()
        });
        first.unwrap_or_default()
    }

    /// A number that was not used before.
    pub(super) fn fresh(&self) -> u64 {
        self.noise.fetch_add(1, Ordering::Relaxed)
    }

    /// A key nobody knows.
    pub(super) fn fresh_key(&self) -> SigningKey {
        key_from("other", self.fresh())
    }

    /// A certificate for this peer, signed by any owner.
    pub(super) fn cert_of(&self, owner: &SigningKey, recovery: NodeId) -> Result<Bytes, String> {
        let parts = CertParts {
            device: self.key.node_id(),
            serial: self.fresh(),
            recovery,
        };
        sign_cert(owner, parts)
    }

    /// The newest certificate of its own owner.
    pub(super) fn cert(&self) -> Bytes {
        self.cert.lock().clone()
    }

    /// Makes a new one, after others were shown: of a device only the newest counts.
    pub(super) fn renew_cert(&self) -> Result<(), String> {
        let recovery = key_from("recovery", 0).node_id();
        *self.cert.lock() = self.cert_of(&self.owner, recovery)?;
        Ok(())
    }

    /// An order of its own owner.
    pub(super) fn order(&self, op: Op) -> Result<Bytes, String> {
        let mut oid = [0; 16];
        let number = self.fresh().to_le_bytes();
        oid.iter_mut().zip(number).for_each(|(to, from)| *to = from);
        let order = Order {
            owner: OwnerId(self.owner.public()),
            oid,
            issued: now(),
            audience: None,
            op,
            not_before: None,
        };
        signed_by(&order, &self.owner)
    }

    /// A conversation in which nothing but the greeting was said, over this network.
    pub(super) async fn greet_over(&self, net: &NetHandle) -> Result<Talk, String> {
        let open = async {
            let opened = net.open(self.host.host, &self.host.addrs, Protocol::Store);
            let stream = opened.await.map_err(|e| e.to_string())?.stream;
            let greeted = StoreClient::hello(stream, &self.host.host).await;
            greeted.map(|(talk, _)| talk).map_err(|e| e.to_string())
        };
        let done = tokio::time::timeout(PATIENCE, open).await;
        done.map_err(|_| "no answer: it has to wait".to_owned())?
    }

    /// [`Friend::greet_over`] its own network.
    pub(super) async fn greet(&self) -> Result<Talk, String> {
        self.greet_over(&self.net).await
    }

    /// Presents a certificate.
    pub(super) async fn open_with(&self, cert: Bytes) -> Result<Answer, String> {
        let mut talk = self.greet().await?;
        let open = StoreRequest::Open { cert, base: None };
        answer(&mut talk, &open, &[]).await
    }

    /// A session under its own certificate: this much every friend may.
    pub(super) async fn session(&self) -> Result<Talk, String> {
        let mut talk = self.greet().await?;
        let cert = self.cert();
        let open = StoreRequest::Open { cert, base: None };
        match answer(&mut talk, &open, &[]).await? {
            Ok((StoreReply::Opened { .. }, _)) => Ok(talk),
            Ok((other, _)) => Err(format!("no session: {other:?}")),
            Err(error) => Err(format!("no session: {error}")),
        }
    }

    /// A swarm under another identity, which only dials.
    pub(super) async fn as_another(&self, key: &SigningKey) -> Result<NetHandle, String> {
        let hosts = [self.spec.host.clone()];
        let net = connect_as(&key.seed(), &hosts).await;
        net.map_err(|e| format!("{e:#}"))
    }
}

/// What differs between its certificates.
struct CertParts {
    device: NodeId,
    serial: u64,
    recovery: NodeId,
}

/// A certificate that allows everything.
fn sign_cert(owner: &SigningKey, parts: CertParts) -> Result<Bytes, String> {
    let now = now();
    let cert = Cert {
        owner: OwnerId(owner.public()),
        device: parts.device,
        serial: parts.serial,
        perms: perms::ALL,
        not_before: now.saturating_sub(DAY_S),
        expires: now.saturating_add(DAY_S.saturating_mul(300)),
        quota_bytes: u64::from(u32::MAX).saturating_mul(1000),
        new_bytes_per_day: u64::from(u32::MAX).saturating_mul(1000),
        snaps_per_day: 48,
        group: 0,
        epoch: 0,
        sealed_label: vec![7; 64],
        recovery: parts.recovery,
    };
    signed_by(&cert, owner)
}

/// A key made from a number.
pub(super) fn key_from(what: &str, number: u64) -> SigningKey {
    let seed = blake3::derive_key(
        "packnback drill friend key",
        &[what.as_bytes(), &number.to_le_bytes()].concat(),
    );
    SigningKey::from_seed(&Secret32::new(seed))
}

/// One request and its answer, within a bound.
pub(super) async fn answer(
    talk: &mut Talk,
    request: &StoreRequest,
    body: &[u8],
) -> Result<Answer, String> {
    let asked = tokio::time::timeout(PATIENCE, talk.ask(request, body)).await;
    asked.map_err(|_| "no answer: it has to wait".to_owned())
}
