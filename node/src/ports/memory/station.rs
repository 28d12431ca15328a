//! A node on the wire.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::{SigningKey, can_be_key};
use packnback_proto::ids::NodeId;
use packnback_proto::wire::{Role, SecretBytes};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use super::tuning::Tuning;
use super::wire::{Conn, Side, Wire};
use crate::ports::{
    Arrived, Env, Gate, NetError, NetStats, Opened, Path, PathEvent, PathId, Protocol, Transport,
    backoff, may_open,
};

/// Streams waiting to be taken; more are reset.
const INBOUND_BACKLOG: usize = 64;
/// Events a slow listener may fall behind.
const EVENT_BACKLOG: usize = 256;
/// A connection that lasted this long was a good one.
const STABLE: Duration = Duration::from_secs(30);
/// Longest time for one address to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
struct Live {
    path: Path,
    conn: Arc<Conn>,
}

#[derive(Debug)]
pub(super) struct Inner {
    node: NodeId,
    wire: Wire,
    env: Env,
    tuning: Tuning,
    listen: watch::Sender<Vec<String>>,
    roles: RwLock<BTreeMap<NodeId, (Role, Option<u64>)>>,
    /// Also orders the events: they are published under this lock.
    live: Mutex<Vec<Live>>,
    events: broadcast::Sender<PathEvent>,
    inbound: Mutex<Option<mpsc::Sender<Arrived>>>,
    keepers: Mutex<BTreeMap<NodeId, JoinHandle<()>>>,
    next_path: AtomicU64,
    is_down: AtomicBool,
    refused_connections: AtomicU64,
    refused_streams: AtomicU64,
    dropped_streams: AtomicU64,
}

impl Inner {
    fn role(&self, node: NodeId) -> Option<Role> {
        let (role, until) = *self.roles.read().get(&node)?;
        until
            .is_none_or(|until| self.env.clock.now() < until)
            .then_some(role)
    }

    /// The newest connection to a peer.
    fn best(&self, node: NodeId) -> Option<Live> {
        let live = self.live.lock();
        live.iter().rev().find(|l| l.path.node == node).cloned()
    }

    fn add(&self, path: Path, conn: Arc<Conn>) {
        let mut live = self.live.lock();
        let node = path.node;
        let is_first = !live.iter().any(|l| l.path.node == node);
        live.push(Live { path, conn });
        self.publish(match is_first {
            true => PathEvent::Connected(node),
            false => PathEvent::Moved(node),
        });
    }

    /// A connection closed.
    pub(super) fn lost(&self, path: PathId) {
        let mut live = self.live.lock();
        let Some(at) = live.iter().position(|l| l.path.id == path) else {
            return;
        };
        let node = live.remove(at).path.node;
        let is_last = !live.iter().any(|l| l.path.node == node);
        self.publish(match is_last {
            true => PathEvent::Gone(node),
            false => PathEvent::Moved(node),
        });
    }

    fn publish(&self, event: PathEvent) {
        // No listener is no error.
        let _ = self.events.send(event);
    }

    fn side(self: &Arc<Self>) -> Side {
        Side {
            station: Arc::downgrade(self),
            node: self.node,
            path: PathId(self.next_path.fetch_add(1, Relaxed)),
        }
    }

    fn close_all(&self, which: impl Fn(&Path) -> bool) {
        let live = self.live.lock().clone();
        for l in live.iter().filter(|l| which(&l.path)) {
            l.conn.close();
        }
    }

    fn end(self: &Arc<Self>) {
        self.is_down.store(true, Relaxed);
        for keeper in std::mem::take(&mut *self.keepers.lock()).into_values() {
            keeper.abort();
        }
        self.wire.forget(&Arc::downgrade(self));
        self.inbound.lock().take();
        self.close_all(|_| true);
    }

    fn check(&self, node: NodeId) -> Result<(), NetError> {
        if self.is_down.load(Relaxed) {
            return Err(NetError::Down);
        }
        let role = self.role(node);
        role.map(|_| ()).ok_or(NetError::NotAllowed(node))
    }

    /// Connects to a peer, unless it is connected by then.
    async fn dial(self: &Arc<Self>, node: NodeId, addrs: &[String]) -> Result<Live, NetError> {
        let unreachable = |reason: String| NetError::Unreachable { node, reason };
        let mut failed = NetError::NoAddress(node);
        for addr in addrs {
            // An answer of somebody else is none.
            let at = self.wire.at(addr).filter(|there| there.node == node);
            let Some(there) = at else {
                failed = unreachable(format!("{addr}: nobody is there"));
                continue;
            };
            let both = async {
                self.wire.way(self.node, node).travel().await;
                self.wire.way(node, self.node).travel().await;
            };
            if tokio::time::timeout(DIAL_TIMEOUT, both).await.is_err() {
                failed = unreachable(format!("{addr}: no answer"));
                continue;
            }
            if let Some(live) = self.best(node) {
                return Ok(live);
            }
            self.check(node)?;
            if let Err(error) = there.check(self.node) {
                there.refused_connections.fetch_add(1, Relaxed);
                failed = unreachable(format!("{addr}: {error}"));
                continue;
            }
            return Ok(self.connect(&there, addr));
        }
        Err(failed)
    }

    fn connect(self: &Arc<Self>, there: &Arc<Self>, addr: &str) -> Live {
        let (mine, theirs) = (self.side(), there.side());
        let (my_path, their_path) = (mine.path, theirs.path);
        let conn = Arc::new(Conn::new(mine, theirs, &self.wire));
        self.wire.add(&conn);
        let path = |id, node, outbound, remote: &str| Path {
            id,
            node,
            relayed: false,
            outbound,
            remote: remote.to_owned(),
        };
        let from = self.listen.borrow().first().cloned().unwrap_or_default();
        let theirs = path(their_path, self.node, false, &from);
        there.add(theirs, Arc::clone(&conn));
        let mine = path(my_path, there.node, true, addr);
        self.add(mine.clone(), Arc::clone(&conn));
        // The other side may have closed it before it was here.
        if conn.is_closed() {
            self.lost(mine.id);
        }
        Live { path: mine, conn }
    }

    async fn open(
        self: &Arc<Self>,
        node: NodeId,
        addrs: &[String],
        protocol: Protocol,
    ) -> Result<Opened, NetError> {
        self.check(node)?;
        let live = match self.best(node) {
            Some(live) => live,
            None => self.dial(node, addrs).await?,
        };
        let conn = &live.conn;
        self.wire.way(self.node, node).travel().await;
        let is_dialler = live.path.outbound;
        let other = match is_dialler {
            true => &conn.listener,
            false => &conn.dialler,
        };
        let there = other.station.upgrade().ok_or(NetError::Closed(node))?;
        let (at_dialler, at_listener) = conn.stream().ok_or(NetError::Closed(node))?;
        let (mine, theirs) = match is_dialler {
            true => (at_dialler, at_listener),
            false => (at_listener, at_dialler),
        };
        let role = there.role(self.node).filter(|r| may_open(*r, protocol));
        let there_path = there
            .live
            .lock()
            .iter()
            .find(|l| l.path.id == other.path)
            .map(|l| l.path.clone());
        let Some(path) = there_path else {
            return Err(NetError::Closed(node));
        };
        let arrived = role.map(|role| Arrived {
            peer: self.node,
            role,
            protocol,
            path,
            stream: Box::new(theirs),
        });
        let is_refused = arrived.is_none();
        if is_refused {
            there.refused_streams.fetch_add(1, Relaxed);
        }
        let inbound = there.inbound.lock().clone();
        // A stream that is not taken is dropped, which breaks it.
        if let (Some(arrived), Some(inbound)) = (arrived, inbound)
            && inbound.try_send(arrived).is_err()
        {
            there.dropped_streams.fetch_add(1, Relaxed);
        }
        drop(there);
        self.wire.way(node, self.node).travel().await;
        if is_refused {
            let protocol = protocol.name();
            return Err(NetError::Refused { node, protocol });
        }
        Ok(Opened {
            path: live.path.clone(),
            stream: Box::new(mine),
        })
    }
}

/// Dials a peer now and after every loss, until it is aborted or the station is gone.
async fn keep(station: Weak<Inner>, node: NodeId, addrs: Vec<String>) {
    let mut attempt = 0;
    loop {
        let Some(inner) = station.upgrade() else {
            return;
        };
        let mut events = inner.events.subscribe();
        let clock = Arc::clone(&inner.env.clock);
        let began = clock.instant();
        let mut is_connected = inner.best(node).is_some();
        if !is_connected && !addrs.is_empty() {
            let dialled = tokio::time::timeout(inner.tuning.open_timeout, inner.dial(node, &addrs));
            is_connected = matches!(dialled.await, Ok(Ok(_)));
        }
        drop(inner);
        while is_connected {
            match events.recv().await {
                Ok(PathEvent::Gone(gone)) => is_connected = gone != node,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let there = station.upgrade().and_then(|inner| inner.best(node));
                    is_connected = there.is_some();
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
        let Some(inner) = station.upgrade() else {
            return;
        };
        if clock.instant().saturating_duration_since(began) >= STABLE {
            attempt = 0;
        }
        let Tuning {
            redial_first,
            redial_max,
            ..
        } = inner.tuning;
        let pause = backoff(attempt, redial_first, redial_max, inner.env.dice.jitter());
        attempt = attempt.saturating_add(1);
        drop(inner);
        clock.sleep_until(clock.instant() + pause).await;
    }
}

/// What the node holds. The station ends when it is dropped.
pub(super) struct Station {
    inner: Arc<Inner>,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Arrived>>,
}

impl Station {
    pub(super) fn new(
        wire: Wire,
        node: NodeId,
        listen: Vec<String>,
        env: Env,
        tuning: Tuning,
    ) -> Self {
        let (inbound, incoming) = mpsc::channel(INBOUND_BACKLOG);
        let inner = Inner {
            node,
            wire,
            env,
            tuning,
            listen: watch::Sender::new(listen),
            roles: RwLock::default(),
            live: Mutex::default(),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            inbound: Mutex::new(Some(inbound)),
            keepers: Mutex::default(),
            next_path: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            refused_connections: AtomicU64::new(0),
            refused_streams: AtomicU64::new(0),
            dropped_streams: AtomicU64::new(0),
        };
        Self {
            inner: Arc::new(inner),
            incoming: tokio::sync::Mutex::new(incoming),
        }
    }

    pub(super) fn weak(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    /// Whether it still runs.
    fn up(&self) -> Result<(), NetError> {
        match self.inner.is_down.load(Relaxed) {
            true => Err(NetError::Down),
            false => Ok(()),
        }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.inner.end();
    }
}

impl Gate for Station {
    fn admit(&self, node: NodeId, role: Role, until: Option<u64>) -> Result<(), NetError> {
        if !can_be_key(&node.0) {
            return Err(NetError::BadKey("not a point of the curve".to_owned()));
        }
        self.inner.roles.write().insert(node, (role, until));
        Ok(())
    }

    fn withdraw(&self, node: NodeId) {
        self.inner.roles.write().remove(&node);
    }
}

impl Transport for Station {
    fn node(&self) -> NodeId {
        self.inner.node
    }

    fn open<'a>(
        &'a self,
        node: NodeId,
        addrs: &'a [String],
        protocol: Protocol,
    ) -> BoxFuture<'a, Result<Opened, NetError>> {
        let limit = self.inner.tuning.open_timeout;
        Box::pin(async move {
            tokio::time::timeout(limit, self.inner.open(node, addrs, protocol))
                .await
                .unwrap_or(Err(NetError::Timeout(node)))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arrived>> {
        Box::pin(async { self.incoming.lock().await.recv().await })
    }

    fn role(&self, node: NodeId) -> Option<Role> {
        self.inner.role(node)
    }

    fn trust_names_of(&self, _: NodeId) {}

    fn expel(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>> {
        Box::pin(async move {
            self.up()?;
            self.withdraw(node);
            self.unkeep(node).await?;
            self.inner.close_all(|path| path.node == node);
            Ok(())
        })
    }

    fn keep(&self, node: NodeId, addrs: Vec<String>) -> BoxFuture<'_, Result<(), NetError>> {
        Box::pin(async move {
            self.up()?;
            let keeper = tokio::spawn(keep(self.weak(), node, addrs));
            if let Some(before) = self.inner.keepers.lock().insert(node, keeper) {
                before.abort();
            }
            Ok(())
        })
    }

    fn unkeep(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>> {
        Box::pin(async move {
            self.up()?;
            if let Some(keeper) = self.inner.keepers.lock().remove(&node) {
                keeper.abort();
            }
            Ok(())
        })
    }

    fn close(&self, path: PathId) -> BoxFuture<'_, Result<(), NetError>> {
        Box::pin(async move {
            self.up()?;
            self.inner.close_all(|p| p.id == path);
            Ok(())
        })
    }

    fn listen_addrs(&self) -> Vec<String> {
        self.inner.listen.borrow().clone()
    }

    fn listen_changed(&self) -> watch::Receiver<Vec<String>> {
        self.inner.listen.subscribe()
    }

    fn paths(&self) -> Vec<Path> {
        let live = self.inner.live.lock();
        let mut all: Vec<Path> = live.iter().map(|l| l.path.clone()).collect();
        all.sort_by_key(|path| (path.node, path.id));
        all
    }

    fn events(&self) -> broadcast::Receiver<PathEvent> {
        self.inner.events.subscribe()
    }

    fn stats(&self) -> NetStats {
        NetStats {
            refused_connections: self.inner.refused_connections.load(Relaxed),
            dropped_streams: self.inner.dropped_streams.load(Relaxed),
            refused_streams: self.inner.refused_streams.load(Relaxed),
            ..NetStats::default()
        }
    }

    fn visit(&self, seed: SecretBytes) -> BoxFuture<'_, Result<Arc<dyn Transport>, NetError>> {
        let seed = Secret32::init_with(|out| out.copy_from_slice(seed.expose()));
        let node = SigningKey::from_seed(&seed).node_id();
        Box::pin(async move {
            self.up()?;
            let Inner {
                wire, env, tuning, ..
            } = &*self.inner;
            Ok(wire.station(node, Vec::new(), env.clone(), *tuning))
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.inner.end() })
    }
}
