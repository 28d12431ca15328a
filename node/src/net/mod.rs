//! The network: libp2p behind a small handle.
//!
//! The rest of the node sees [`NetHandle`]: open a stream to a node, take the streams that nodes
//! open here, say who may connect as what. Connections, dials, redials and watchdogs stay inside.

mod addr;
mod backoff;
mod behaviour;
mod clock;
mod door;
mod error;
mod gate;
mod guard;
mod handle;
mod muxer;
mod peer_id;
mod progress;
mod redial;
mod roles;
mod shared;
mod stats;
mod streams;
mod task;
mod transport;
mod types;

#[cfg(test)]
mod tests;

pub use libp2p::Multiaddr;
pub use libp2p::identity::Keypair;

pub use addr::{
    DEFAULT_PORT, default_listen, format_peer_addr, parse_addrs, parse_peer_addr, reach, seen_from,
};
pub use backoff::{backoff, random_u32};
pub use clock::now_s;
pub use error::NetError;
pub use handle::{Incoming, NetHandle};
pub use peer_id::{keypair_from_seed, keypair_of, node_id, node_id_of, peer_id};
pub use progress::{Counted, Progress};
pub use shared::NetEvent;
pub use types::{
    ConnInfo, InboundStream, NetConfig, NetStats, OutboundStream, PeerStream, Protocol, Transport,
    may_open,
};
