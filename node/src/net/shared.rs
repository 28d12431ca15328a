//! What the network task shares with its handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;
use tokio::sync::{broadcast, watch};

use super::door::Waiting;
use super::guard::Inside;
use super::roles::Roles;
use super::stats::Counters;
use super::types::ConnInfo;
use crate::ports::{PathEvent, PathId};

/// Events a slow listener may fall behind before it misses some; it can then look at the state.
const EVENT_BACKLOG: usize = 256;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) roles: Roles,
    pub(crate) counters: Arc<Counters>,
    pub(crate) waiting: Waiting,
    pub(crate) inside: Inside,
    conns: RwLock<Vec<ConnInfo>>,
    pub(crate) listen: watch::Sender<Vec<String>>,
    events: broadcast::Sender<PathEvent>,
    paths: AtomicU64,
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
            paths: AtomicU64::new(0),
        }
    }

    pub(crate) fn conns(&self) -> Vec<ConnInfo> {
        self.conns.read().clone()
    }

    pub(crate) fn set_conns(&self, conns: Vec<ConnInfo>) {
        *self.conns.write() = conns;
    }

    /// Here and not with the connections: a swarm that is built later starts from nothing.
    pub(crate) fn next_path(&self) -> PathId {
        PathId(self.paths.fetch_add(1, Relaxed))
    }

    /// The swarm broke: none of its connections is left.
    pub(crate) fn lose_all(&self) {
        let mut nodes: Vec<_> = self.conns().iter().map(|conn| conn.node).collect();
        self.set_conns(Vec::new());
        nodes.dedup();
        for node in nodes {
            self.notify(PathEvent::Gone(node));
        }
    }

    pub(crate) fn notify(&self, event: PathEvent) {
        // No listener is no error.
        let _ = self.events.send(event);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<PathEvent> {
        self.events.subscribe()
    }
}
