//! Bytes on their way, in one direction, and the two ends of a stream.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::wire::Way;

/// Bytes of one direction that may be on their way or wait to be read.
const WINDOW: usize = 1 << 20;

#[derive(Debug)]
struct Segment {
    arrives: Instant,
    bytes: Vec<u8>,
    read: usize,
}

#[derive(Debug, Default)]
struct State {
    segments: VecDeque<Segment>,
    queued: usize,
    /// Nothing more follows; when the other end hears of it.
    ends: Option<Instant>,
    /// One of the two ends, or the connection, is gone.
    is_broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Pipe {
    state: Mutex<State>,
    way: Arc<Way>,
}

/// What a reader finds.
enum Found {
    Bytes,
    End,
    Broken,
    Later(Instant),
    Nothing,
}

impl Pipe {
    pub(super) fn new(way: Arc<Way>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            way,
        })
    }

    /// Whoever reads or writes is told at once.
    pub(super) fn cut(&self) {
        let mut state = self.state.lock();
        state.is_broken = true;
        state.segments.clear();
        wake(&mut state);
    }

    /// Something about the way changed: both ends look again.
    pub(super) fn look_again(&self) {
        wake(&mut self.state.lock());
    }

    fn finish(&self) {
        let mut state = self.state.lock();
        if state.ends.is_none() {
            state.ends = Some(self.way.arrival(0));
            wake(&mut state);
        }
    }

    /// The writing end is gone.
    fn leave(&self) {
        if self.state.lock().ends.is_none() {
            self.cut();
        }
    }

    fn read(&self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Found {
        let mut state = self.state.lock();
        if state.is_broken {
            return Found::Broken;
        }
        let now = Instant::now();
        let is_open = self.way.is_open();
        let first = state.segments.front().map(|segment| segment.arrives);
        let arrives = first.or(state.ends).filter(|_| is_open);
        let Some(arrives) = arrives else {
            state.reader = Some(cx.waker().clone());
            return Found::Nothing;
        };
        if arrives > now {
            state.reader = Some(cx.waker().clone());
            return Found::Later(arrives);
        }
        if first.is_none() {
            return Found::End;
        }
        while buf.remaining() > 0 {
            let Some(segment) = state.segments.front_mut().filter(|s| s.arrives <= now) else {
                break;
            };
            let rest = segment.bytes.get(segment.read..).unwrap_or_default();
            let take = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..take).unwrap_or_default());
            segment.read = segment.read.saturating_add(take);
            let is_done = segment.read >= segment.bytes.len();
            state.queued = state.queued.saturating_sub(take);
            if is_done {
                state.segments.pop_front();
            }
        }
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
        Found::Bytes
    }

    fn write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        if state.is_broken || state.ends.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let take = bytes.len().min(WINDOW.saturating_sub(state.queued));
        if take == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.get(..take).unwrap_or_default();
        if !taken.is_empty() {
            state.segments.push_back(Segment {
                arrives: self.way.arrival(take),
                bytes: taken.to_vec(),
                read: 0,
            });
            state.queued = state.queued.saturating_add(take);
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(take))
    }
}

fn wake(state: &mut State) {
    for waker in [state.reader.take(), state.writer.take()]
        .into_iter()
        .flatten()
    {
        waker.wake();
    }
}

/// One end of a stream. Dropped before it was shut down, it breaks the stream.
#[derive(Debug)]
pub(super) struct End {
    pub(super) from: Arc<Pipe>,
    pub(super) to: Arc<Pipe>,
    pub(super) wait: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match self.from.read(cx, buf) {
                Found::Bytes | Found::End => return Poll::Ready(Ok(())),
                Found::Broken => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Found::Nothing => return Poll::Pending,
                Found::Later(at) => {
                    let mut wait = Box::pin(tokio::time::sleep_until(at));
                    let is_over = wait.as_mut().poll(cx).is_ready();
                    self.wait = Some(wait);
                    if !is_over {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.to.write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.from.cut();
        self.to.leave();
    }
}
