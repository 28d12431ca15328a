//! The transports: TCP with Noise and Yamux, and QUIC, behind one resolver.

use std::time::Duration;

use libp2p::core::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, timeout::TransportTimeout};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, dns, noise, quic, tcp};

use super::door::{Door, Waiting, first_bytes};
use super::guard::{Guard, Inside};
use super::muxer::{STREAMS_PER_CONNECTION_MAX, Yamux};
use crate::ports::NetError;

/// Longest handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest QUIC handshake: a handful of round trips over a bad line.
const QUIC_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// QUIC receive window of one stream: 8 MiB is 1 Gbit/s at 64 ms.
const QUIC_STREAM_WINDOW: u32 = 8 << 20;
/// QUIC receive window of one connection.
const QUIC_CONNECTION_WINDOW: u32 = 16 << 20;
/// A silent QUIC connection is dead after this. It has no reset that survives a peer's restart, so
/// this is how long a restarted friend stays unreachable over the old connection.
const QUIC_IDLE_MS: u32 = 15_000;
/// Keeps NAT mappings and live connections open; a third of the idle time.
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(5);

type Base = Boxed<(PeerId, StreamMuxerBox)>;

fn quic_config(key: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(key);
    config.max_stream_data = QUIC_STREAM_WINDOW;
    config.max_connection_data = QUIC_CONNECTION_WINDOW;
    config.max_concurrent_stream_limit =
        u32::try_from(STREAMS_PER_CONNECTION_MAX).unwrap_or(u32::MAX);
    config.max_idle_timeout = QUIC_IDLE_MS;
    config.keep_alive_interval = QUIC_KEEP_ALIVE;
    config.handshake_timeout = QUIC_HANDSHAKE_TIMEOUT;
    config
}

fn base(key: &Keypair, waiting: &Waiting) -> Result<Base, NetError> {
    let setup = |e: noise::Error| NetError::Setup(e.to_string());
    let waiting = waiting.clone();
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .and_then(move |stream, endpoint| first_bytes(stream, endpoint, waiting))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).map_err(setup)?)
        .multiplex(Yamux::new())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let quic = quic::tokio::Transport::new(quic_config(key))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(tcp
        .or_transport(quic)
        .map(|either, _| either.into_inner())
        .boxed())
}

/// Everything a node dials and listens with.
///
/// # Errors
/// [`NetError::Setup`] if the key cannot be used.
pub(crate) fn build(key: &Keypair, waiting: &Waiting, inside: &Inside) -> Result<Base, NetError> {
    let numeric = base(key, waiting)?;
    let guarded = Guard::new(base(key, waiting)?, inside.clone());
    // A machine without a usable resolver configuration still reaches numeric addresses.
    let all = match dns::tokio::Transport::system(guarded) {
        Ok(names) => numeric
            .or_transport(names)
            .map(|either, _| either.into_inner())
            .boxed(),
        Err(error) => {
            tracing::warn!(%error, "no DNS: only numeric addresses can be reached");
            numeric
        }
    };
    let timed = TransportTimeout::new(all, HANDSHAKE_TIMEOUT).boxed();
    Ok(Door::new(timed, waiting.clone()).boxed())
}
