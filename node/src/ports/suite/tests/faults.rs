//! Implementations with one fault each.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use packnback_proto::ids::NodeId;
use packnback_proto::policy::Moment;
use packnback_proto::wire::{Role, SecretBytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::ports::memory::{SeededDice, VirtualClock};
use crate::ports::{
    Arrived, ByteStream, Clock, Dice, Gate, NetError, NetStats, NoDice, Opened, Path, PathEvent,
    PathId, Protocol, Transport,
};

/// What is wrong with a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A byte of each read is another.
    Bytes,
    /// The end of one direction is never heard of.
    NoEnd,
    /// The end of one direction is the end of both.
    EndsBoth,
    /// A stream that is dropped stays open.
    Leaks,
    /// It takes what nobody reads.
    Swallows,
    /// Who is admitted as anything is a friend.
    AllFriends,
    /// Admissions do not end.
    ForEver,
    /// Each event comes twice.
    Twice,
    /// Nobody hears that a peer went.
    NeverGone,
    /// All connections have one number.
    OneNumber,
    /// A connection is not closed.
    StaysOpen,
    /// Who is expelled stays.
    StaysIn,
    /// A peer that is not there is waited for.
    Waits,
    /// Two streams are mixed up.
    Mixes,
    /// Nobody is dialled.
    NeverDials,
    /// A peer is dialled for ever.
    DialsForEver,
    /// A visitor comes under the name of its host.
    SameName,
    /// It does not end.
    GoesOn,
}

/// Each with a part of the name of the check that finds it.
pub(super) const ALL: &[(Fault, &str)] = &[
    (Fault::Bytes, "bytes arrive"),
    (Fault::NoEnd, "one side ended"),
    (Fault::EndsBoth, "one side ended"),
    (Fault::Leaks, "is dropped ends"),
    (Fault::Swallows, "has to wait"),
    (Fault::AllFriends, "a role opens"),
    (Fault::ForEver, "a role opens"),
    (Fault::Twice, "once each"),
    (Fault::NeverGone, "once each"),
    (Fault::OneNumber, "once each"),
    (Fault::StaysOpen, "closed connection"),
    (Fault::StaysIn, "expelled"),
    (Fault::Waits, "not a wait"),
    (Fault::Mixes, "do not mix"),
    (Fault::NeverDials, "kept peer"),
    (Fault::DialsForEver, "kept peer"),
    (Fault::SameName, "visitor"),
    (Fault::GoesOn, "after the end"),
];

/// A network with a fault.
pub(super) struct Faulty {
    sound: Arc<dyn Transport>,
    fault: Fault,
    events: broadcast::Sender<PathEvent>,
    /// A stream of somebody else.
    kept: Arc<Mutex<Vec<ByteStream>>>,
}

impl Faulty {
    pub(super) fn new(sound: Arc<dyn Transport>, fault: Fault) -> Arc<Self> {
        let events = broadcast::Sender::new(256);
        let (mut from, to) = (sound.events(), events.clone());
        tokio::spawn(async move {
            while let Ok(event) = from.recv().await {
                match (fault, event) {
                    (Fault::NeverGone, PathEvent::Gone(_)) => continue,
                    (Fault::Twice, _) => to.send(event).map_or(0, |n| n),
                    _ => 0,
                };
                let _ = to.send(event);
            }
        });
        Arc::new(Self {
            sound,
            fault,
            events,
            kept: Arc::default(),
        })
    }

    fn path(&self, path: Path) -> Path {
        match self.fault {
            Fault::OneNumber => Path {
                id: PathId(7),
                ..path
            },
            _ => path,
        }
    }

    fn stream(&self, stream: ByteStream) -> ByteStream {
        let stream = match self.fault {
            Fault::Mixes => {
                let mut kept = self.kept.lock();
                kept.push(stream);
                kept.remove(0)
            }
            _ => stream,
        };
        Box::new(Odd {
            stream: Some(stream),
            fault: self.fault,
            kept: Arc::clone(&self.kept),
        })
    }
}

/// A stream with a fault.
#[derive(Debug)]
struct Odd {
    stream: Option<ByteStream>,
    fault: Fault,
    kept: Arc<Mutex<Vec<ByteStream>>>,
}

impl Odd {
    fn inner(&mut self) -> io::Result<Pin<&mut ByteStream>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Odd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (fault, before) = (self.fault, buf.filled().len());
        let polled = self.inner()?.poll_read(cx, buf);
        if fault == Fault::Bytes
            && let Some(byte) = buf.filled_mut().get_mut(before)
        {
            *byte ^= 1;
        }
        polled
    }
}

impl AsyncWrite for Odd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.fault == Fault::Swallows && bytes.len() > 1 << 16 {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.inner()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.fault {
            Fault::NoEnd => return Poll::Ready(Ok(())),
            Fault::EndsBoth => {
                let _ = self.inner()?.poll_shutdown(cx);
                self.stream = None;
                return Poll::Ready(Ok(()));
            }
            _ => {}
        }
        self.inner()?.poll_shutdown(cx)
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        if self.fault == Fault::Leaks {
            self.kept.lock().extend(self.stream.take());
        }
    }
}

impl Gate for Faulty {
    fn admit(&self, node: NodeId, role: Role, until: Option<u64>) -> Result<(), NetError> {
        match self.fault {
            Fault::AllFriends => self.sound.admit(node, Role::Friend, until),
            Fault::ForEver => self.sound.admit(node, role, None),
            _ => self.sound.admit(node, role, until),
        }
    }

    fn withdraw(&self, node: NodeId) {
        self.sound.withdraw(node);
    }
}

impl Transport for Faulty {
    fn node(&self) -> NodeId {
        self.sound.node()
    }

    fn open<'a>(
        &'a self,
        node: NodeId,
        addrs: &'a [String],
        protocol: Protocol,
    ) -> BoxFuture<'a, Result<Opened, NetError>> {
        Box::pin(async move {
            let opened = self.sound.open(node, addrs, protocol).await;
            if self.fault == Fault::Waits && matches!(opened, Err(NetError::Unreachable { .. })) {
                std::future::pending::<()>().await;
            }
            let opened = opened?;
            Ok(Opened {
                path: self.path(opened.path),
                stream: self.stream(opened.stream),
            })
        })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arrived>> {
        Box::pin(async move {
            let mut arrived = self.sound.accept().await?;
            if self.fault == Fault::Mixes {
                // Every second one is left, and the one before gets its bytes.
                let other = self.sound.accept();
                if let Ok(Some(other)) = tokio::time::timeout(Duration::from_secs(1), other).await {
                    arrived.stream = other.stream;
                }
            }
            arrived.path = self.path(arrived.path);
            arrived.stream = self.stream(arrived.stream);
            Some(arrived)
        })
    }

    fn role(&self, node: NodeId) -> Option<Role> {
        self.sound.role(node)
    }

    fn trust_names_of(&self, node: NodeId) {
        self.sound.trust_names_of(node);
    }

    fn expel(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>> {
        match self.fault {
            Fault::StaysIn => Box::pin(async { Ok(()) }),
            _ => self.sound.expel(node),
        }
    }

    fn keep(&self, node: NodeId, addrs: Vec<String>) -> BoxFuture<'_, Result<(), NetError>> {
        match self.fault {
            Fault::NeverDials => Box::pin(async { Ok(()) }),
            _ => self.sound.keep(node, addrs),
        }
    }

    fn unkeep(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>> {
        match self.fault {
            Fault::DialsForEver => Box::pin(async { Ok(()) }),
            _ => self.sound.unkeep(node),
        }
    }

    fn close(&self, path: PathId) -> BoxFuture<'_, Result<(), NetError>> {
        match self.fault {
            Fault::StaysOpen => Box::pin(async { Ok(()) }),
            Fault::OneNumber => Box::pin(async move {
                for path in self.sound.paths() {
                    self.sound.close(path.id).await?;
                }
                Ok(())
            }),
            _ => self.sound.close(path),
        }
    }

    fn listen_addrs(&self) -> Vec<String> {
        self.sound.listen_addrs()
    }

    fn listen_changed(&self) -> watch::Receiver<Vec<String>> {
        self.sound.listen_changed()
    }

    fn paths(&self) -> Vec<Path> {
        let paths = self.sound.paths().into_iter();
        paths.map(|path| self.path(path)).collect()
    }

    fn events(&self) -> broadcast::Receiver<PathEvent> {
        self.events.subscribe()
    }

    fn stats(&self) -> NetStats {
        self.sound.stats()
    }

    fn visit(&self, seed: SecretBytes) -> BoxFuture<'_, Result<Arc<dyn Transport>, NetError>> {
        match self.fault {
            Fault::SameName => Box::pin(async { Ok(Arc::clone(&self.sound)) }),
            _ => self.sound.visit(seed),
        }
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        match self.fault {
            Fault::GoesOn => Box::pin(async {}),
            _ => self.sound.shutdown(),
        }
    }
}

/// A clock with a fault.
#[derive(Debug)]
pub(super) struct WrongClock {
    sound: VirtualClock,
    began: Instant,
    fault: &'static str,
}

impl WrongClock {
    pub(super) const ALL: [&'static str; 5] = [
        "its instants stand still",
        "the wall clock stands still",
        "it sleeps too little",
        "it starts all the time",
        "moments show another time",
    ];

    pub(super) fn new(fault: &'static str) -> Self {
        Self {
            sound: VirtualClock::new(1000),
            began: Instant::now(),
            fault,
        }
    }

    fn has(&self, n: usize) -> bool {
        Self::ALL.get(n) == Some(&self.fault)
    }
}

impl Clock for WrongClock {
    fn now(&self) -> u64 {
        match self.has(1) {
            true => 1000,
            false => self.sound.now(),
        }
    }

    fn moment(&self) -> Moment {
        if self.has(3) {
            self.sound.reboot();
        }
        let mut moment = self.sound.moment();
        if self.has(4) {
            moment.wall += 100;
        }
        moment
    }

    fn instant(&self) -> Instant {
        match self.has(0) {
            true => self.began,
            false => self.sound.instant(),
        }
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        match self.has(2) {
            true => Box::pin(async {}),
            false => self.sound.sleep_until(at),
        }
    }
}

/// Dice with a fault.
pub(super) struct LoadedDice {
    sound: SeededDice,
    fault: &'static str,
}

impl LoadedDice {
    pub(super) const ALL: [&'static str; 4] = [
        "always the same",
        "only the first bytes",
        "small numbers only",
        "more ones than zeros",
    ];

    pub(super) fn new(fault: &'static str) -> Self {
        let sound = SeededDice::new(1);
        Self { sound, fault }
    }
}

impl Dice for LoadedDice {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoDice> {
        match self.fault {
            "always the same" => SeededDice::new(1).fill(out),
            "only the first bytes" => {
                let len = out.len().min(32);
                self.sound.fill(out.get_mut(..len).unwrap_or_default())
            }
            "small numbers only" => {
                self.sound.fill(out)?;
                out.iter_mut().for_each(|byte| *byte &= 0x7f);
                Ok(())
            }
            _ => {
                self.sound.fill(out)?;
                out.iter_mut().for_each(|byte| *byte |= 1);
                Ok(())
            }
        }
    }
}
