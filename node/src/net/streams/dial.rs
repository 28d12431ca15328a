//! Which addresses of a peer to dial, and in which order.

use std::collections::VecDeque;

use libp2p::core::multiaddr::Protocol as Part;
use libp2p::{Multiaddr, PeerId};

use super::table::transport_of;
use crate::net::types::Transport;

/// Most addresses of one peer that are dialled.
const ADDRESSES_MAX: usize = 16;

/// Addresses still to be tried. Stages are dialled one after the other, the addresses of a stage
/// at once, so that the preferred transport wins whenever it works at all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DialPlan(VecDeque<Vec<Multiaddr>>);

impl DialPlan {
    pub(crate) fn new(peer: &PeerId, addrs: &[Multiaddr], prefer: Transport) -> Self {
        let mut usable: Vec<Multiaddr> = Vec::new();
        for addr in addrs.iter().filter_map(|a| without_peer(a, peer)) {
            if !usable.contains(&addr) && usable.len() < ADDRESSES_MAX {
                usable.push(addr);
            }
        }
        let (first, second): (Vec<_>, Vec<_>) =
            usable.into_iter().partition(|a| transport_of(a) == prefer);
        Self(
            [first, second]
                .into_iter()
                .filter(|stage| !stage.is_empty())
                .collect(),
        )
    }

    pub(crate) fn next_stage(&mut self) -> Option<Vec<Multiaddr>> {
        self.0.pop_front()
    }

    /// Adds the stages of another plan behind this one's.
    pub(crate) fn append(&mut self, other: Self) {
        for stage in other.0 {
            if !self.0.contains(&stage) {
                self.0.push_back(stage);
            }
        }
    }
}

/// The address without its final `/p2p/..`; `None` if that names another peer.
fn without_peer(addr: &Multiaddr, peer: &PeerId) -> Option<Multiaddr> {
    let mut bare = addr.clone();
    match bare.pop() {
        Some(Part::P2p(named)) => (named == *peer && !bare.is_empty()).then_some(bare),
        Some(_) => Some(addr.clone()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_preferred_transport_is_a_stage_of_its_own() {
        let peer = PeerId::random();
        let tcp: Multiaddr = "/ip4/1.2.3.4/tcp/1".parse().unwrap();
        let quic: Multiaddr = "/ip4/1.2.3.4/udp/1/quic-v1".parse().unwrap();
        let named = tcp.clone().with_p2p(peer).unwrap();
        let foreign = tcp.clone().with_p2p(PeerId::random()).unwrap();
        let addrs = [
            named,
            tcp.clone(),
            quic.clone(),
            foreign,
            Multiaddr::empty(),
        ];
        let mut plan = DialPlan::new(&peer, &addrs, Transport::Quic);
        assert_eq!(plan.next_stage(), Some(vec![quic]));
        assert_eq!(plan.next_stage(), Some(vec![tcp]));
        assert_eq!(plan.next_stage(), None);
    }
}
