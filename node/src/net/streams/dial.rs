//! Which addresses of a peer to dial, and in which order.

use std::collections::VecDeque;

use libp2p::core::multiaddr::Protocol as Part;
use libp2p::{Multiaddr, PeerId};

use super::table::transport_of;
use crate::net::types::Carrier;

/// Most addresses of one peer that are dialled.
const ADDRESSES_MAX: usize = 16;

/// Addresses still to be tried. Stages are dialled one after the other, the addresses of a stage
/// at once, so that the preferred transport wins whenever it works at all.
///
/// Loopback addresses come last: a peer of another machine that names one leads to whatever
/// listens on that port here, usually this very node, and the first answer by a wrong peer ends a
/// stage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DialPlan(VecDeque<Vec<Multiaddr>>);

impl DialPlan {
    pub(crate) fn new(peer: &PeerId, addrs: &[Multiaddr], prefer: Carrier) -> Self {
        let mut usable: Vec<Multiaddr> = Vec::new();
        for addr in addrs.iter().filter_map(|a| without_peer(a, peer)) {
            if !usable.contains(&addr) && usable.len() < ADDRESSES_MAX {
                usable.push(addr);
            }
        }
        let mut stages: [Vec<Multiaddr>; 4] = Default::default();
        let [first, second, third, fourth] = &mut stages;
        for addr in usable {
            match (is_loopback(&addr), transport_of(&addr) == prefer) {
                (false, true) => first.push(addr),
                (false, false) => second.push(addr),
                (true, true) => third.push(addr),
                (true, false) => fourth.push(addr),
            }
        }
        Self(stages.into_iter().filter(|s| !s.is_empty()).collect())
    }

    pub(crate) fn next_stage(&mut self) -> Option<Vec<Multiaddr>> {
        self.0.pop_front()
    }

    /// Puts addresses that deserve another try in front; none is no stage.
    pub(crate) fn retry(&mut self, stage: Vec<Multiaddr>) {
        if !stage.is_empty() {
            self.0.push_front(stage);
        }
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

fn is_loopback(addr: &Multiaddr) -> bool {
    match addr.iter().next() {
        Some(Part::Ip4(ip)) => ip.is_loopback(),
        Some(Part::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// The addresses of a stage but for one, which may carry a `/p2p/..`.
pub(crate) fn without(stage: &[Multiaddr], peer: &PeerId, gone: &Multiaddr) -> Vec<Multiaddr> {
    let bare = without_peer(gone, peer);
    let stays = |addr: &&Multiaddr| *addr != gone && Some(*addr) != bare.as_ref();
    stage.iter().filter(stays).cloned().collect()
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
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
        let mut plan = DialPlan::new(&peer, &addrs, Carrier::Quic);
        assert_eq!(plan.next_stage(), Some(vec![quic]));
        assert_eq!(plan.next_stage(), Some(vec![tcp]));
        assert_eq!(plan.next_stage(), None);
    }

    #[test]
    fn loopback_comes_last() {
        let peer = PeerId::random();
        let addrs: Vec<Multiaddr> = [
            "/ip4/127.0.0.1/udp/1/quic-v1",
            "/ip6/::1/tcp/1",
            "/ip4/192.0.2.1/tcp/1",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let mut plan = DialPlan::new(&peer, &addrs, Carrier::Quic);
        let stages: Vec<_> = std::iter::from_fn(|| plan.next_stage()).collect();
        let [quic, six, far] = &addrs[..] else {
            return;
        };
        assert_eq!(
            stages,
            [vec![far.clone()], vec![quic.clone()], vec![six.clone()]]
        );
    }
}
