//! What lies between nodes: who listens where, how good each way is, and the connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use packnback_proto::ids::NodeId;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::pipe::{End, Pipe};
use super::station::{Inner, Station};
use super::tuning::Tuning;
use crate::ports::{Env, PathId, Transport};

/// A connection over which nothing comes back for this long is given up.
const SILENCE: Duration = Duration::from_secs(20);

/// How good the way from one node to another is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Whether anything gets through. What is under way meanwhile waits.
    pub is_open: bool,
    /// How long a byte takes.
    pub delay: Duration,
    /// Bytes per second, over all streams; `None`: any number.
    pub rate: Option<u64>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            is_open: true,
            delay: Duration::ZERO,
            rate: None,
        }
    }
}

/// The way from one node to another.
#[derive(Debug)]
pub(super) struct Way {
    line: watch::Sender<Line>,
    busy_until: Mutex<Instant>,
    pipes: Mutex<Vec<Weak<Pipe>>>,
}

impl Way {
    fn new(line: Line) -> Self {
        Self {
            line: watch::Sender::new(line),
            busy_until: Mutex::new(Instant::now()),
            pipes: Mutex::default(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.line.borrow().is_open
    }

    /// When so many bytes that are sent now are there.
    pub(super) fn arrival(&self, bytes: usize) -> Instant {
        let line = *self.line.borrow();
        let mut busy_until = self.busy_until.lock();
        let start = (*busy_until).max(Instant::now());
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let takes = line
            .rate
            .map_or(0, |rate| bytes.saturating_mul(1_000_000_000) / rate.max(1));
        *busy_until = start + Duration::from_nanos(takes);
        *busy_until + line.delay
    }

    /// Returns when something sent now has arrived.
    pub(super) async fn travel(&self) {
        let mut line = self.line.subscribe();
        // An error means that the wire is gone, and so is whoever waits.
        let _ = line.wait_for(|line| line.is_open).await;
        tokio::time::sleep_until(self.arrival(0)).await;
    }

    fn pipe(self: &Arc<Self>) -> Arc<Pipe> {
        let pipe = Pipe::new(Arc::clone(self));
        let mut pipes = self.pipes.lock();
        pipes.retain(|pipe| pipe.strong_count() > 0);
        pipes.push(Arc::downgrade(&pipe));
        pipe
    }

    fn set(&self, line: Line) {
        self.line.send_replace(line);
        let pipes: Vec<_> = self.pipes.lock().iter().filter_map(Weak::upgrade).collect();
        for pipe in pipes {
            pipe.look_again();
        }
    }
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) station: Weak<Inner>,
    pub(super) node: NodeId,
    pub(super) path: PathId,
}

/// A connection between two nodes.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) dialler: Side,
    pub(super) listener: Side,
    there: Arc<Way>,
    back: Arc<Way>,
    state: Mutex<ConnState>,
}

#[derive(Debug, Default)]
struct ConnState {
    is_closed: bool,
    pipes: Vec<Weak<Pipe>>,
}

impl Conn {
    pub(super) fn new(dialler: Side, listener: Side, wire: &Wire) -> Self {
        let there = wire.way(dialler.node, listener.node);
        let back = wire.way(listener.node, dialler.node);
        Self {
            dialler,
            listener,
            there,
            back,
            state: Mutex::default(),
        }
    }

    /// A stream: the end of the dialler and that of the listener. `None`: the connection is closed.
    pub(super) fn stream(&self) -> Option<(End, End)> {
        let (there, back) = (self.there.pipe(), self.back.pipe());
        let mut state = self.state.lock();
        if state.is_closed {
            return None;
        }
        state.pipes.retain(|pipe| pipe.strong_count() > 0);
        state
            .pipes
            .extend([Arc::downgrade(&there), Arc::downgrade(&back)]);
        let end = |from: &Arc<Pipe>, to: &Arc<Pipe>| End {
            from: Arc::clone(from),
            to: Arc::clone(to),
            wait: None,
        };
        Some((end(&back, &there), end(&there, &back)))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Closes it; both sides know at once.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.is_closed, true) {
            return;
        }
        let pipes = std::mem::take(&mut state.pipes);
        drop(state);
        for pipe in pipes.iter().filter_map(Weak::upgrade) {
            pipe.cut();
        }
        for side in [&self.dialler, &self.listener] {
            if let Some(station) = side.station.upgrade() {
                station.lost(side.path);
            }
        }
    }

    fn is_between(&self, a: NodeId, b: NodeId) -> bool {
        let ends = (self.dialler.node, self.listener.node);
        ends == (a, b) || ends == (b, a)
    }
}

#[derive(Debug, Default)]
struct Shared {
    listeners: BTreeMap<String, Weak<Inner>>,
    ways: BTreeMap<(NodeId, NodeId), Arc<Way>>,
    usual: Line,
    conns: Vec<Weak<Conn>>,
}

/// All that lies between the nodes of a world. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Wire(Arc<Mutex<Shared>>);

impl Wire {
    /// Every way is like this unless it is set.
    #[must_use]
    pub fn new(usual: Line) -> Self {
        let shared = Shared {
            usual,
            ..Shared::default()
        };
        Self(Arc::new(Mutex::new(shared)))
    }

    /// A node that can be dialled at these addresses, from now on and until it ends. Must be called on a
    /// tokio runtime.
    #[must_use]
    pub fn station(
        &self,
        node: NodeId,
        listen: Vec<String>,
        env: Env,
        tuning: Tuning,
    ) -> Arc<dyn Transport> {
        let station = Station::new(self.clone(), node, listen.clone(), env, tuning);
        let mut shared = self.0.lock();
        for addr in listen {
            shared.listeners.insert(addr, station.weak());
        }
        drop(shared);
        Arc::new(station)
    }

    /// How good the way from one node to another is from now on. Connections over a way that stays
    /// closed are given up after a while; until then what is under way waits.
    pub fn set(&self, from: NodeId, to: NodeId, line: Line) {
        let way = self.way(from, to);
        let was_open = way.is_open();
        way.set(line);
        if was_open && !line.is_open {
            let wire = self.clone();
            tokio::spawn(async move {
                let mut lines = way.line.subscribe();
                let opens = lines.wait_for(|line| line.is_open);
                if tokio::time::timeout(SILENCE, opens).await.is_err() {
                    wire.close_between(from, to);
                }
            });
        }
    }

    /// Both directions at once.
    pub fn set_both(&self, a: NodeId, b: NodeId, line: Line) {
        self.set(a, b, line);
        self.set(b, a, line);
    }

    /// All connections between two nodes break now.
    pub fn close_between(&self, a: NodeId, b: NodeId) {
        let shared = self.0.lock();
        let hit: Vec<_> = shared.conns.iter().filter_map(Weak::upgrade).collect();
        drop(shared);
        for conn in hit.iter().filter(|conn| conn.is_between(a, b)) {
            conn.close();
        }
    }

    pub(super) fn way(&self, from: NodeId, to: NodeId) -> Arc<Way> {
        let mut shared = self.0.lock();
        let usual = shared.usual;
        let way = shared.ways.entry((from, to));
        Arc::clone(way.or_insert_with(|| Arc::new(Way::new(usual))))
    }

    pub(super) fn at(&self, addr: &str) -> Option<Arc<Inner>> {
        self.0.lock().listeners.get(addr)?.upgrade()
    }

    pub(super) fn add(&self, conn: &Arc<Conn>) {
        let mut shared = self.0.lock();
        shared.conns.retain(|conn| conn.strong_count() > 0);
        shared.conns.push(Arc::downgrade(conn));
    }

    /// Nobody listens there any more, unless somebody else does by now.
    pub(super) fn forget(&self, station: &Weak<Inner>) {
        self.0
            .lock()
            .listeners
            .retain(|_, listener| !Weak::ptr_eq(listener, station));
    }
}
