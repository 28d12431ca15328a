//! The vocabulary of the network: roles, protocols, connections, streams.

use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::swarm::{ConnectionId, StreamProtocol};
use libp2p::{Multiaddr, Stream};
use packnback_proto::ids::NodeId;
use packnback_proto::wire::{CONTACT_PROTOCOL, INVITE_PROTOCOL, Role, STORE_PROTOCOL};
use tokio_util::compat::Compat;

/// A stream to a peer, for tokio.
pub type PeerStream = Compat<Stream>;

/// Whether a peer of this role may open a stream of this protocol. A connection alone implies no
/// right: every stream checks.
///
/// A friend may open the invite protocol too: an invitee whose answer got lost comes back under its
/// real key, and gets the same answer again.
#[must_use]
pub const fn may_open(role: Role, protocol: Protocol) -> bool {
    match protocol {
        Protocol::Store => matches!(role, Role::Friend | Role::Recovery | Role::Replica),
        Protocol::Invite => matches!(role, Role::Friend | Role::Guest),
        Protocol::Contact => matches!(role, Role::Friend | Role::Replica | Role::Former),
    }
}

/// The stream protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Objects, records, commits, reads.
    Store,
    /// Taking up an invite.
    Invite,
    /// Saying where one is, and what the other is to one.
    Contact,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::Store, Self::Invite, Self::Contact];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => STORE_PROTOCOL,
            Self::Invite => INVITE_PROTOCOL,
            Self::Contact => CONTACT_PROTOCOL,
        }
    }

    /// For libp2p.
    #[must_use]
    pub const fn id(self) -> StreamProtocol {
        StreamProtocol::new(self.name())
    }
}

/// How bytes travel.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
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
    /// The peer.
    pub node: NodeId,
    /// Whether it runs through a relay.
    pub relayed: bool,
    /// How bytes travel.
    pub transport: Transport,
    /// Whether we dialled it.
    pub outbound: bool,
    /// The other end.
    pub remote: Multiaddr,
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
    pub prefer: Transport,
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
            prefer: Transport::Quic,
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(120),
            open_timeout: Duration::from_secs(30),
            redial_first: Duration::from_secs(1),
            redial_max: Duration::from_secs(300),
        }
    }
}

/// Counters of the network, for `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetStats {
    /// Connections refused by the gate.
    pub refused_connections: u64,
    /// Inbound streams reset because nobody took them in time.
    pub dropped_streams: u64,
    /// Inbound streams whose role had changed on arrival.
    pub refused_streams: u64,
    /// Connections closed because a ping got no answer.
    pub stalled_connections: u64,
    /// Times the network task had to be started anew.
    pub restarts: u64,
}
