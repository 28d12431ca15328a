//! The vocabulary of the network: roles, protocols, connections, streams.

use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::swarm::{ConnectionId, StreamProtocol};
use libp2p::{Multiaddr, Stream};
use packnback_proto::ids::NodeId;
use packnback_proto::wire::Role;
use tokio_util::compat::Compat;

use crate::ports::{Path, PathId, Protocol};

/// A stream to a peer, for tokio.
pub type PeerStream = Compat<Stream>;

/// A protocol for libp2p.
#[must_use]
pub(crate) const fn stream_protocol(protocol: Protocol) -> StreamProtocol {
    StreamProtocol::new(protocol.name())
}

/// How bytes travel.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// TCP, Noise, Yamux.
    Tcp,
    /// QUIC version 1.
    Quic,
    /// Anything else (tests).
    Other,
}

/// One live connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnInfo {
    /// libp2p's number for it.
    pub id: ConnectionId,
    /// Our own.
    pub path: PathId,
    /// The peer.
    pub node: NodeId,
    /// Whether it runs through a relay.
    pub relayed: bool,
    /// How bytes travel.
    pub transport: Carrier,
    /// Whether we dialled it.
    pub outbound: bool,
    /// The other end.
    pub remote: Multiaddr,
}

impl ConnInfo {
    /// The same without libp2p.
    pub(crate) fn as_path(&self) -> Path {
        Path {
            id: self.path,
            node: self.node,
            relayed: self.relayed,
            outbound: self.outbound,
            remote: self.remote.to_string(),
        }
    }
}

/// A stream a peer opened here; its role allowed the protocol when it arrived.
#[derive(Debug)]
pub struct InboundStream {
    /// Who.
    pub peer: NodeId,
    /// As what.
    pub role: Role,
    /// For what.
    pub protocol: Protocol,
    /// Over which connection.
    pub conn: ConnInfo,
    /// The bytes.
    pub stream: PeerStream,
}

/// A stream we opened.
#[derive(Debug)]
pub struct OutboundStream {
    /// Over which connection.
    pub conn: ConnInfo,
    /// The bytes.
    pub stream: PeerStream,
}

/// How to run the network.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// This node's identity.
    pub key: Keypair,
    /// Where to listen; empty for a client-only swarm.
    pub listen: Vec<Multiaddr>,
    /// Whether to start although some of the addresses cannot be listened on (no IPv6, say). One
    /// always has to work.
    pub listen_some: bool,
    /// The transport dialled first when a peer has addresses for both.
    pub prefer: Carrier,
    /// Time between pings on a connection.
    pub ping_interval: Duration,
    /// A connection whose ping takes longer is closed.
    pub ping_timeout: Duration,
    /// A connection that nobody uses and nobody wants to keep is closed after this.
    pub idle_timeout: Duration,
    /// Longest time to open a stream, dialling included.
    pub open_timeout: Duration,
    /// First pause before a lost friend is dialled again.
    pub redial_first: Duration,
    /// Longest pause between dials.
    pub redial_max: Duration,
}

impl NetConfig {
    /// The defaults for an identity and its listen addresses.
    #[must_use]
    pub fn new(key: Keypair, listen: Vec<Multiaddr>) -> Self {
        Self {
            key,
            listen,
            listen_some: false,
            prefer: Carrier::Quic,
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(120),
            open_timeout: Duration::from_secs(30),
            redial_first: Duration::from_secs(1),
            redial_max: Duration::from_secs(300),
        }
    }
}
