//! Names do not lead inside.
//!
//! A peer may tell a name as its address, and decides itself what the name resolves to: also the router of
//! our network, or a service on this very machine. So what a name resolved to is looked at before it is
//! dialled.

use std::collections::HashSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::multiaddr::Protocol as Part;
use libp2p::core::transport::{
    Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent,
};
use libp2p::{Multiaddr, PeerId};
use parking_lot::RwLock;

use super::addr::reach;
use crate::ports::Reach;

/// Peers remembered as being inside.
const INSIDE_MAX: usize = 4096;

/// Peers that are in the local network as far as is known: a person gave such an address, or they came from
/// one. Their names may lead there.
#[derive(Debug, Default, Clone)]
pub(crate) struct Inside(Arc<RwLock<HashSet<PeerId>>>);

impl Inside {
    /// The peer was seen at, or is wanted at, this address.
    pub(crate) fn note(&self, peer: PeerId, addr: &Multiaddr) {
        let is_name = !matches!(addr.iter().next(), Some(Part::Ip4(_) | Part::Ip6(_)));
        if !is_name && reach(addr) < Reach::Public {
            self.trust(peer);
        }
    }

    /// A person named the address of this peer.
    pub(crate) fn trust(&self, peer: PeerId) {
        let mut peers = self.0.write();
        if peers.len() < INSIDE_MAX {
            peers.insert(peer);
        }
    }

    /// Whether an address that a name resolved to may be dialled.
    fn allows(&self, resolved: &Multiaddr) -> bool {
        if is_link_local(resolved) {
            return false;
        }
        let peer = resolved.iter().find_map(|part| match part {
            Part::P2p(peer) => Some(peer),
            _ => None,
        });
        match reach(resolved) {
            Reach::Public => true,
            Reach::Private => peer.is_some_and(|peer| self.0.read().contains(&peer)),
            Reach::Loopback => false,
        }
    }
}

fn is_link_local(addr: &Multiaddr) -> bool {
    match addr.iter().next() {
        Some(Part::Ip4(ip)) => ip.is_link_local(),
        Some(Part::Ip6(ip)) => {
            let mapped = ip.to_ipv4_mapped().is_some_and(|ip| ip.is_link_local());
            mapped || ip.segments().first().is_some_and(|s| s & 0xffc0 == 0xfe80)
        }
        _ => false,
    }
}

/// Dials what names resolved to, as far as that is allowed.
pub(crate) struct Guard<O> {
    inner: Boxed<O>,
    inside: Inside,
}

impl<O> Guard<O> {
    pub(crate) const fn new(inner: Boxed<O>, inside: Inside) -> Self {
        Self { inner, inside }
    }
}

impl<O: Send + 'static> Transport for Guard<O> {
    type Output = O;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<O> as Transport>::ListenerUpgrade;
    type Dial = <Boxed<O> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        addr: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, addr)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        addr: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        if !self.inside.allows(&addr) {
            let error = io::Error::other("the name leads into the local network: not dialled");
            return Err(TransportError::Other(error));
        }
        self.inner.dial(addr, opts)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.get_mut().inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn n25_a_name_does_not_lead_to_this_machine_or_its_network() {
        let inside = Inside::default();
        let (far, near) = (PeerId::random(), PeerId::random());
        inside.note(near, &"/ip4/192.168.1.9/tcp/1".parse().unwrap());
        inside.note(far, &"/ip4/203.0.113.5/tcp/1".parse().unwrap());
        inside.note(far, &"/dns4/inside.example/tcp/1".parse().unwrap());
        let allows = |addr: &str, peer: PeerId| {
            let addr: Multiaddr = addr.parse().unwrap();
            inside.allows(&addr.with(Part::P2p(peer)))
        };
        for addr in [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/::ffff:127.0.0.1/tcp/1",
            "/ip4/169.254.169.254/tcp/80",
            "/ip6/fe80::1/tcp/1",
            "/ip4/224.0.0.1/udp/1/quic-v1",
        ] {
            assert!(!allows(addr, far) && !allows(addr, near), "{addr}");
        }
        for addr in [
            "/ip4/192.168.1.1/tcp/1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip6/fd00::1/tcp/1",
        ] {
            assert!(!allows(addr, far) && allows(addr, near), "{addr}");
        }
        assert!(allows("/ip4/203.0.113.5/udp/1/quic-v1", far));
        assert!(!inside.allows(&"/ip4/10.0.0.1/tcp/1".parse().unwrap()));
    }
}
