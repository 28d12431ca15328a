//! What the network task shares with its handles.

use std::sync::Arc;

use libp2p::Multiaddr;
use packnback_proto::ids::NodeId;
use parking_lot::RwLock;
use tokio::sync::{broadcast, watch};

use super::door::Waiting;
use super::guard::Inside;
use super::roles::Roles;
use super::stats::Counters;
use super::types::ConnInfo;

/// Events a slow listener may fall behind before it misses some; it can then look at the state.
const EVENT_BACKLOG: usize = 256;

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// A connection to this node was established.
    Connected(NodeId),
    /// The last connection to this node closed.
    Disconnected(NodeId),
    /// No address of this node answered.
    DialFailed {
        /// The node.
        node: NodeId,
        /// What the transports said.
        reason: String,
    },
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) roles: Roles,
    pub(crate) counters: Arc<Counters>,
    pub(crate) waiting: Waiting,
    pub(crate) inside: Inside,
    conns: RwLock<Vec<ConnInfo>>,
    pub(crate) listen: watch::Sender<Vec<Multiaddr>>,
    events: broadcast::Sender<NetEvent>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            roles: Roles::default(),
            counters: Arc::default(),
            waiting: Waiting::default(),
            inside: Inside::default(),
            conns: RwLock::default(),
            listen: watch::Sender::default(),
            events: broadcast::Sender::new(EVENT_BACKLOG),
        }
    }

    pub(crate) fn conns(&self) -> Vec<ConnInfo> {
        self.conns.read().clone()
    }

    pub(crate) fn set_conns(&self, conns: Vec<ConnInfo>) {
        *self.conns.write() = conns;
    }

    pub(crate) fn notify(&self, event: NetEvent) {
        // No listener is no error.
        let _ = self.events.send(event);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<NetEvent> {
        self.events.subscribe()
    }
}
