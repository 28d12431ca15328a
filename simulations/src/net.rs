//! The network of the world: the wire of the node's own ports in memory, by machine, and what of it is told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use packnback_node::ports::memory::{Line, Tuning, Wire};
use packnback_node::ports::{
    Arrived, ByteStream, Env, Gate, NetError, NetStats, Opened, Path, PathEvent, PathId, Protocol,
    Sponsor, Transport,
};
use packnback_proto::ids::NodeId;
use packnback_proto::wire::{Role, SecretBytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{broadcast, watch};

use crate::rng::Rng;
use crate::trace::Trace;

/// Port that nodes listen on.
const LISTEN: u16 = 4117;

/// A machine in the network, by number.
pub type Machine = usize;

/// How the lines of a world are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wiring {
    /// Longest delay of a line, milliseconds.
    pub delay_ms: u64,
    /// Slowest and fastest line, bytes per second.
    pub rate: [u64; 2],
}

/// See the module.
pub struct Net {
    wire: Wire,
    nodes: Vec<NodeId>,
    lines: Vec<Vec<Line>>,
    /// Machines without power.
    dark: Vec<Machine>,
    trace: Trace,
}

/// Where a machine is dialled.
#[must_use]
pub fn address(machine: Machine) -> String {
    format!("/ip4/198.51.100.{}/tcp/{LISTEN}", machine + 1)
}

impl Net {
    /// A network between these nodes, one on each machine.
    #[must_use]
    pub fn new(nodes: Vec<NodeId>, wiring: Wiring, rng: &mut Rng, trace: Trace) -> Self {
        let [least, most] = wiring.rate;
        let mut line = || Line {
            is_open: true,
            delay: Duration::from_millis(1 + rng.below(wiring.delay_ms)),
            rate: Some(least + rng.below(most.saturating_sub(least))),
        };
        let lines: Vec<Vec<Line>> = nodes
            .iter()
            .map(|_| nodes.iter().map(|_| line()).collect())
            .collect();
        let net = Self {
            wire: Wire::default(),
            nodes,
            lines,
            dark: Vec::new(),
            trace,
        };
        for from in 0..net.nodes.len() {
            for to in 0..net.nodes.len() {
                net.apply(from, to);
            }
        }
        net
    }

    /// The transport of the node of a machine, which starts.
    #[must_use]
    pub fn join(&self, machine: Machine, node: NodeId, env: Env) -> Arc<dyn Transport> {
        let listen = vec![address(machine)];
        Arc::new(Told {
            inner: self.wire.station(node, listen, env, Tuning::default()),
            machine,
            trace: self.trace.clone(),
        })
    }

    /// From now on nothing of one machine arrives at another, or it does again.
    pub fn block(&mut self, from: Machine, to: Machine, is_blocked: bool) {
        if let Some(line) = self.lines.get_mut(from).and_then(|lines| lines.get_mut(to)) {
            line.is_open = !is_blocked;
        }
        self.apply(from, to);
    }

    /// A machine is silent, because it has no power, or speaks again.
    pub fn power(&mut self, machine: Machine, is_on: bool) {
        self.dark.retain(|dark| *dark != machine);
        if !is_on {
            self.dark.push(machine);
        }
        for other in 0..self.nodes.len() {
            self.apply(machine, other);
            self.apply(other, machine);
        }
    }

    /// All connections between two machines break at once.
    pub fn reset(&self, one: Machine, other: Machine) {
        if let (Some(one), Some(other)) = (self.nodes.get(one), self.nodes.get(other)) {
            self.wire.close_between(*one, *other);
        }
    }

    fn apply(&self, from: Machine, to: Machine) {
        let line = self.lines.get(from).and_then(|lines| lines.get(to));
        let ends = (self.nodes.get(from), self.nodes.get(to));
        if let (Some(line), (Some(a), Some(b))) = (line, ends) {
            let is_dark = self.dark.contains(&from) || self.dark.contains(&to);
            let is_open = line.is_open && !is_dark;
            self.wire.set(*a, *b, Line { is_open, ..*line });
        }
    }
}

/// A transport that tells the trace what goes over it.
struct Told {
    inner: Arc<dyn Transport>,
    machine: Machine,
    trace: Trace,
}

impl Told {
    fn stream(&self, stream: ByteStream, what: String) -> ByteStream {
        self.trace.note(format_args!("{what}"));
        Box::new(Counted {
            stream,
            what,
            moved: [0, 0],
            trace: self.trace.clone(),
        })
    }
}

impl Gate for Told {
    fn admit(&self, node: NodeId, role: Role, until: Option<u64>) -> Result<(), NetError> {
        self.inner.admit(node, role, until)
    }

    fn withdraw(&self, node: NodeId) {
        self.inner.withdraw(node);
    }

    fn sponsor(&self, node: NodeId, sponsor: Sponsor) {
        self.inner.sponsor(node, sponsor);
    }
}

impl Transport for Told {
    fn node(&self) -> NodeId {
        self.inner.node()
    }

    fn open<'a>(
        &'a self,
        node: NodeId,
        addrs: &'a [String],
        protocol: Protocol,
    ) -> BoxFuture<'a, Result<Opened, NetError>> {
        Box::pin(async move {
            let what = format!("{} opens {protocol:?} to {node:?}", self.machine);
            match self.inner.open(node, addrs, protocol).await {
                Ok(opened) => Ok(Opened {
                    stream: self.stream(opened.stream, what),
                    ..opened
                }),
                Err(error) => {
                    self.trace.note(format_args!("{what}: {error}"));
                    Err(error)
                }
            }
        })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arrived>> {
        Box::pin(async {
            let arrived = self.inner.accept().await?;
            let what = format!(
                "{} takes {:?} of {:?}",
                self.machine, arrived.protocol, arrived.peer
            );
            Some(Arrived {
                stream: self.stream(arrived.stream, what),
                ..arrived
            })
        })
    }

    fn role(&self, node: NodeId) -> Option<Role> {
        self.inner.role(node)
    }

    fn trust_names_of(&self, node: NodeId) {
        self.inner.trust_names_of(node);
    }

    fn expel(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>> {
        self.inner.expel(node)
    }

    fn keep(&self, node: NodeId, addrs: Vec<String>) -> BoxFuture<'_, Result<(), NetError>> {
        self.inner.keep(node, addrs)
    }

    fn unkeep(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>> {
        self.inner.unkeep(node)
    }

    fn close(&self, path: PathId) -> BoxFuture<'_, Result<(), NetError>> {
        self.inner.close(path)
    }

    fn listen_addrs(&self) -> Vec<String> {
        self.inner.listen_addrs()
    }

    fn listen_changed(&self) -> watch::Receiver<Vec<String>> {
        self.inner.listen_changed()
    }

    fn paths(&self) -> Vec<Path> {
        self.inner.paths()
    }

    fn events(&self) -> broadcast::Receiver<PathEvent> {
        self.inner.events()
    }

    fn stats(&self) -> NetStats {
        self.inner.stats()
    }

    fn visit(&self, seed: SecretBytes) -> BoxFuture<'_, Result<Arc<dyn Transport>, NetError>> {
        self.inner.visit(seed)
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.inner.shutdown()
    }
}

/// A stream that tells at its end how much went over it.
#[derive(Debug)]
struct Counted {
    stream: ByteStream,
    what: String,
    /// Read and written.
    moved: [u64; 2],
    trace: Trace,
}

fn more(so_far: &mut u64, bytes: usize) {
    *so_far = so_far.saturating_add(u64::try_from(bytes).unwrap_or(0));
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let [read, _] = &mut self.moved;
        more(read, buf.filled().len().saturating_sub(before));
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        let [_, written] = &mut self.moved;
        if let Poll::Ready(Ok(some)) = &polled {
            more(written, *some);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let (what, [read, written]) = (&self.what, self.moved);
        self.trace
            .note(format_args!("end: {what}, {read} in, {written} out"));
    }
}
