//! The network: libp2p behind a port.
//!
//! The rest of the node sees [`Libp2p`] as a [`crate::ports::Transport`]: open a stream to a node, take
//! the streams that nodes open here, say who may connect as what. Connections, dials, redials and
//! watchdogs stay inside. Addresses outside are text.

mod addr;
mod behaviour;
mod clock;
mod door;
mod gate;
mod guard;
mod handle;
mod muxer;
mod peer_id;
mod port;
mod redial;
mod roles;
mod shared;
mod stats;
mod streams;
mod task;
mod text;
mod transport;
mod types;

#[cfg(test)]
mod suite_tests;
#[cfg(test)]
mod tests;

pub use libp2p::Multiaddr;
pub use libp2p::identity::Keypair;

pub use addr::{
    DEFAULT_PORT, default_listen, format_peer_addr, parse_addrs, parse_peer_addr, reach,
};
pub use clock::now_s;
pub use handle::{Incoming, NetHandle};
pub use peer_id::{keypair_from_seed, keypair_of, node_id, node_id_of, peer_id};
pub use port::Libp2p;
pub use text::{canonical, full_addr, reach_of, seen_from, split_peer_addr};
pub use types::{Carrier, ConnInfo, InboundStream, NetConfig, OutboundStream, PeerStream};

pub use crate::ports::{NetError, NetStats, Protocol};
