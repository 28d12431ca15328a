//! Yamux with a bound on what a peer can make us buffer.
//!
//! libp2p's own wrapper exposes only the number of streams and leaves the receive window of a
//! connection at 1 GiB. This one sets both, and sends larger frames.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready as poll_ready};

use futures::io::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use packnback_proto::limits::{KIB, MIB};
use yamux::{Connection, ConnectionError, Mode};

/// Streams of one connection.
pub(crate) const STREAMS_PER_CONNECTION_MAX: usize = 64;
/// Bytes a peer may have sent that nobody has read yet, over all streams of a connection. At least
/// 256 KiB for each stream, which is where its window starts.
const RECEIVE_WINDOW_MAX: usize = 24 * MIB;
/// Largest data frame sent. Four times yamux' default: fewer headers and wake-ups per byte, and
/// still under one millisecond on a 1 Gbit/s line.
const FRAME_MAX: usize = 64 * KIB;

const _: () = assert!(RECEIVE_WINDOW_MAX >= STREAMS_PER_CONNECTION_MAX * 256 * KIB);

/// The upgrade.
#[derive(Debug, Clone)]
pub(crate) struct Yamux(yamux::Config);

impl Yamux {
    pub(crate) fn new() -> Self {
        let mut config = yamux::Config::default();
        config
            .set_max_num_streams(STREAMS_PER_CONNECTION_MAX)
            .set_max_connection_receive_window(Some(RECEIVE_WINDOW_MAX))
            .set_split_send_size(FRAME_MAX);
        Self(config)
    }

    fn run<C: AsyncRead + AsyncWrite + Unpin>(self, io: C, mode: Mode) -> Muxer<C> {
        Muxer {
            connection: Connection::new(io, self.0, mode),
            waiting: VecDeque::new(),
            waker: None,
        }
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<C> for Yamux
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, io: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.run(io, Mode::Server)))
    }
}

impl<C> OutboundConnectionUpgrade<C> for Yamux
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, io: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.run(io, Mode::Client)))
    }
}

/// A yamux connection as libp2p wants it. Yamux makes progress only while it is asked for inbound
/// streams, so those that arrive while the swarm asks for something else wait here.
#[derive(Debug)]
pub(crate) struct Muxer<C> {
    connection: Connection<C>,
    waiting: VecDeque<yamux::Stream>,
    waker: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin + 'static> Muxer<C> {
    fn next_inbound(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        let next = poll_ready!(self.connection.poll_next_inbound(cx));
        Poll::Ready(next.unwrap_or(Err(ConnectionError::Closed)).map_err(to_io))
    }
}

fn to_io(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(e) => e,
        e => io::Error::other(e),
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + 'static> StreamMuxer for Muxer<C> {
    type Substream = yamux::Stream;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<yamux::Stream>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Poll::Ready(next) = self.next_inbound(cx) {
            return Poll::Ready(next);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<yamux::Stream>> {
        self.connection.poll_new_outbound(cx).map_err(to_io)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(cx).map_err(to_io)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let this = self.get_mut();
        let stream = poll_ready!(this.next_inbound(cx))?;
        // Beyond the limit the stream is dropped, which resets it.
        if this.waiting.len() < STREAMS_PER_CONNECTION_MAX {
            this.waiting.push_back(stream);
        }
        if let Some(waker) = this.waker.take() {
            waker.wake();
        }
        // Come back: there may be more, and others should have a turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
