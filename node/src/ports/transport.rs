//! Streams between nodes.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::{
    CONTACT_PROTOCOL, ErrorCode, INVITE_PROTOCOL, Role, STORE_PROTOCOL, SecretBytes,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, watch};

use super::book::Sponsor;

/// The stream protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}

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

/// Bytes both ways. Shutting it down ends one way only; dropping it ends both.
pub trait Duplex: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Duplex for S {}

/// A stream to a peer. Boxed once, when it is opened.
pub type ByteStream = Box<dyn Duplex>;

/// Which connection. Never used twice by one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u64);

/// A live connection to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Which.
    pub id: PathId,
    /// The peer.
    pub node: NodeId,
    /// Whether it runs through a relay.
    pub relayed: bool,
    /// Whether this node dialled it.
    pub outbound: bool,
    /// The address of the other end.
    pub remote: String,
}

/// A stream a peer opened here; its role allowed the protocol when it arrived.
#[derive(Debug)]
pub struct Arrived {
    /// Who.
    pub peer: NodeId,
    /// As what.
    pub role: Role,
    /// For what.
    pub protocol: Protocol,
    /// Over which connection.
    pub path: Path,
    /// The bytes.
    pub stream: ByteStream,
}

/// A stream this node opened.
#[derive(Debug)]
pub struct Opened {
    /// Over which connection.
    pub path: Path,
    /// The bytes.
    pub stream: ByteStream,
}

/// A peer came, went, or is reached another way. For each peer they come in order: [`Connected`]
/// first, then any number of [`Moved`], then [`Gone`].
///
/// [`Connected`]: PathEvent::Connected
/// [`Moved`]: PathEvent::Moved
/// [`Gone`]: PathEvent::Gone
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathEvent {
    /// There is a connection to this node; there was none.
    Connected(NodeId),
    /// There is one more connection to this node, or one less.
    Moved(NodeId),
    /// The last connection to this node closed.
    Gone(NodeId),
}

/// What can go wrong between two nodes, and whether trying again helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The key is not a valid Ed25519 key.
    #[error("not a valid node key: {0}")]
    BadKey(String),
    /// An address cannot be used.
    #[error("unusable address {addr}: {reason}")]
    BadAddress {
        /// The address as given.
        addr: String,
        /// Why.
        reason: String,
    },
    /// No address of the peer is known.
    #[error("no address known for node {0:?}")]
    NoAddress(NodeId),
    /// The peer could not be reached.
    #[error("node {node:?} cannot be reached: {reason}")]
    Unreachable {
        /// The peer.
        node: NodeId,
        /// What the transports said.
        reason: String,
    },
    /// The peer is not on our allow-list.
    #[error("node {0:?} is not on the allow-list")]
    NotAllowed(NodeId),
    /// The peer does not offer this protocol to us: our role there does not allow it.
    #[error("node {node:?} refuses {protocol}")]
    Refused {
        /// The peer.
        node: NodeId,
        /// The protocol asked for.
        protocol: &'static str,
    },
    /// The connection closed before the stream was open.
    #[error("the connection to node {0:?} closed")]
    Closed(NodeId),
    /// No answer in time.
    #[error("node {0:?} did not answer in time")]
    Timeout(NodeId),
    /// Too many streams to this peer are being opened.
    #[error("too many pending streams to node {0:?}")]
    Busy(NodeId),
    /// A listen address could not be opened.
    #[error("cannot listen on {addr}: {reason}")]
    Listen {
        /// The address.
        addr: String,
        /// What the system said.
        reason: String,
    },
    /// The transports could not be set up.
    #[error("cannot set up the network: {0}")]
    Setup(String),
    /// The network has ended.
    #[error("the network has been shut down")]
    Down,
}

impl NetError {
    /// Kind of the error, as others are told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable { .. } | Self::Timeout(_) | Self::Closed(_) | Self::NoAddress(_) => {
                ErrorCode::Unreachable
            }
            Self::Refused { .. } | Self::NotAllowed(_) => ErrorCode::Denied,
            Self::BadAddress { .. } => ErrorCode::Protocol,
            Self::Busy(_) => ErrorCode::Busy,
            Self::BadKey(_) | Self::Setup(_) | Self::Down | Self::Listen { .. } => {
                ErrorCode::Internal
            }
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Closed(_) | Self::Timeout(_) | Self::Busy(_)
        )
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

/// The allow-list of the network.
pub trait Gate: Send + Sync + 'static {
    /// Lets a peer connect in a role, until a time in unix seconds if given.
    ///
    /// # Errors
    /// [`NetError::BadKey`] if the id is no public key.
    fn admit(&self, node: NodeId, role: Role, until: Option<u64>) -> Result<(), NetError>;

    /// Lets a peer open nothing more. Its open streams are left to end by themselves.
    fn withdraw(&self, node: NodeId);

    /// From now on the connections of this node, which is no friend, count for whoever brought it.
    fn sponsor(&self, _node: NodeId, _sponsor: Sponsor) {}
}

/// Connections to other nodes and streams over them. Strangers reach nothing: who may connect is what
/// the [`Gate`] was told.
///
/// Addresses are text as people write it (`/ip4/192.0.2.1/tcp/4117`), without the peer; what an
/// implementation cannot use it passes over.
pub trait Transport: Gate {
    /// This node.
    fn node(&self) -> NodeId;

    /// Opens a stream over the best connection to a peer; dials `addrs` if there is none.
    ///
    /// # Errors
    /// Always within a bounded time; see [`NetError`].
    fn open<'a>(
        &'a self,
        node: NodeId,
        addrs: &'a [String],
        protocol: Protocol,
    ) -> BoxFuture<'a, Result<Opened, NetError>>;

    /// The next stream a peer opens here; `None` once the network has ended. Few wait, more are reset:
    /// who takes them must not wait for anything else.
    fn accept(&self) -> BoxFuture<'_, Option<Arrived>>;

    /// The role of a peer now.
    fn role(&self, node: NodeId) -> Option<Role>;

    /// A person named the address of this node: a name in it may lead into the local network.
    fn trust_names_of(&self, node: NodeId);

    /// Makes a peer a stranger again and closes its connections.
    ///
    /// # Errors
    /// [`NetError::BadKey`] if the id is no public key, [`NetError::Down`].
    fn expel(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>>;

    /// Stays connected to a peer: dials it now and again after every loss, with growing pauses.
    /// Without addresses it only waits for the peer to come.
    ///
    /// # Errors
    /// [`NetError::BadKey`], [`NetError::Down`].
    fn keep(&self, node: NodeId, addrs: Vec<String>) -> BoxFuture<'_, Result<(), NetError>>;

    /// Ends [`Transport::keep`]; leaves connections alone.
    ///
    /// # Errors
    /// [`NetError::BadKey`], [`NetError::Down`].
    fn unkeep(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>>;

    /// Closes one connection: it stalled. No error if it is closed already.
    ///
    /// # Errors
    /// [`NetError::Down`].
    fn close(&self, path: PathId) -> BoxFuture<'_, Result<(), NetError>>;

    /// Addresses this node listens on.
    fn listen_addrs(&self) -> Vec<String>;

    /// Changes whenever [`Transport::listen_addrs`] do.
    fn listen_changed(&self) -> watch::Receiver<Vec<String>>;

    /// The live connections, in a fixed order.
    fn paths(&self) -> Vec<Path>;

    /// Whether there is a connection to this node.
    fn is_connected(&self, node: NodeId) -> bool {
        self.paths().iter().any(|path| path.node == node)
    }

    /// Connections coming and going, from now on. Who falls behind misses some and is told so.
    fn events(&self) -> broadcast::Receiver<PathEvent>;

    /// Returns once a connection to this node is established, from now on.
    fn comes_back(&self, node: NodeId) -> BoxFuture<'static, ()> {
        let mut events = self.events();
        Box::pin(async move {
            // An overflow of events may hide the one we wait for, so it counts as it. One more
            // connection counts too: the first may be dead without anybody knowing.
            while let Ok(event) = events.recv().await {
                if matches!(event, PathEvent::Connected(n) | PathEvent::Moved(n) if n == node) {
                    return;
                }
            }
        })
    }

    /// Counters.
    fn stats(&self) -> NetStats;

    /// The network under another key, which only dials: for the guest of an invite and for recovery. It
    /// ends when it is dropped.
    ///
    /// # Errors
    /// [`NetError`].
    fn visit(&self, seed: SecretBytes) -> BoxFuture<'_, Result<Arc<dyn Transport>, NetError>>;

    /// Closes all connections; returns when that is done. All streams break.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}
