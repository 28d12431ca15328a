//! What can go wrong between two nodes, and whether trying again helps.

use packnback_proto::ids::NodeId;

/// A network operation failed.
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
    /// The network task has ended.
    #[error("the network has been shut down")]
    Down,
}

impl NetError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Closed(_) | Self::Timeout(_) | Self::Busy(_)
        )
    }
}
