//! The gate: the first behaviour to see a connection, so that nothing behind it meets a stranger.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::multiaddr::Protocol as Part;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::clock::now_s;
use super::roles::Roles;
use super::stats::Counters;

/// Handshakes one address (or IPv6 /64) may have in progress. A household behind one address has a
/// few nodes; each needs one or two at a time.
const PENDING_PER_ADDRESS_MAX: usize = 16;

/// Why the gate refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("peer is not on the allow-list")]
    Stranger,
    #[error("too many handshakes in progress from one address")]
    TooManyPending,
}

/// Admits only peers with a role.
pub(crate) struct Gate {
    roles: Roles,
    counters: Arc<Counters>,
    pending: HashMap<ConnectionId, IpAddr>,
}

impl Gate {
    pub(crate) fn new(roles: Roles, counters: Arc<Counters>) -> Self {
        Self {
            roles,
            counters,
            pending: HashMap::new(),
        }
    }

    fn admit(&self, peer: &PeerId) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        if self.roles.get(peer, now_s()).is_some() {
            return Ok(dummy::ConnectionHandler);
        }
        self.counters.refused_connection();
        Err(ConnectionDenied::new(Refusal::Stranger))
    }
}

/// The address a limit is kept for: IPv6 customers get a /64, so that is one address.
fn limit_key(addr: &Multiaddr) -> Option<IpAddr> {
    addr.iter().find_map(|part| match part {
        Part::Ip4(ip) => Some(IpAddr::V4(ip)),
        Part::Ip6(ip) => Some(IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into())),
        _ => None,
    })
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(key) = limit_key(remote) else {
            return Ok(());
        };
        if self.pending.values().filter(|ip| **ip == key).count() >= PENDING_PER_ADDRESS_MAX {
            self.counters.refused_connection();
            return Err(ConnectionDenied::new(Refusal::TooManyPending));
        }
        self.pending.insert(id, key);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.remove(&id);
        self.admit(&peer)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        // Nothing here dials an unknown identity.
        let peer = peer.ok_or_else(|| ConnectionDenied::new(Refusal::Stranger))?;
        self.admit(&peer).map(|_| Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.pending.remove(&failure.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        libp2p::core::util::unreachable(event)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gate() -> (Gate, Roles) {
        let roles = Roles::default();
        (Gate::new(roles.clone(), Arc::default()), roles)
    }

    #[test]
    fn strangers_are_refused_in_both_directions() {
        let (mut gate, roles) = gate();
        let (peer, addr) = (PeerId::random(), Multiaddr::empty());
        let id = ConnectionId::new_unchecked(1);
        assert!(
            gate.handle_established_inbound_connection(id, peer, &addr, &addr)
                .is_err()
        );
        assert!(
            gate.handle_pending_outbound_connection(id, Some(peer), &[], Endpoint::Dialer)
                .is_err()
        );
        assert!(
            gate.handle_pending_outbound_connection(id, None, &[], Endpoint::Dialer)
                .is_err()
        );
        roles.set(peer, packnback_proto::wire::Role::Friend, None);
        assert!(
            gate.handle_established_inbound_connection(id, peer, &addr, &addr)
                .is_ok()
        );
    }

    #[test]
    fn one_address_cannot_hold_all_handshakes() {
        let (mut gate, _) = gate();
        let local = Multiaddr::empty();
        let one: Multiaddr = "/ip6/2001:db8::1/tcp/1".parse().unwrap();
        let same_net: Multiaddr = "/ip6/2001:db8::2/tcp/1".parse().unwrap();
        let other: Multiaddr = "/ip6/2001:db8:1::1/tcp/1".parse().unwrap();
        for n in 0..PENDING_PER_ADDRESS_MAX {
            let id = ConnectionId::new_unchecked(n);
            assert!(
                gate.handle_pending_inbound_connection(id, &local, &one)
                    .is_ok()
            );
        }
        let id = ConnectionId::new_unchecked(1000);
        assert!(
            gate.handle_pending_inbound_connection(id, &local, &same_net)
                .is_err()
        );
        assert!(
            gate.handle_pending_inbound_connection(id, &local, &other)
                .is_ok()
        );
        // A finished handshake frees its place.
        let first = ConnectionId::new_unchecked(0);
        let _ = gate.handle_established_inbound_connection(first, PeerId::random(), &local, &one);
        let id = ConnectionId::new_unchecked(1001);
        assert!(
            gate.handle_pending_inbound_connection(id, &local, &same_net)
                .is_ok()
        );
    }
}
