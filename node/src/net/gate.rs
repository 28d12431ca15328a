//! The gate: the first behaviour to see a connection, so that nothing behind it meets a stranger.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use packnback_proto::wire::Role;

use super::clock::now_s;
use super::roles::Roles;
use super::stats::Counters;
use crate::ports::Sponsor;

/// Connections of all peers that are no friends: recovery keys, hosts that owners listed, guests.
const OTHERS_MAX: usize = 64;
/// Of these, for all that one sponsor brings.
const OTHERS_PER_SPONSOR_MAX: usize = 12;

/// Why the gate refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("peer is not on the allow-list")]
    Stranger,
    #[error("too many connections of peers that are no friends")]
    TooMany,
}

/// Admits only peers with a role.
pub(crate) struct Gate {
    roles: Roles,
    counters: Arc<Counters>,
    /// Connections of peers that are no friends, and who brought them.
    others: HashMap<ConnectionId, Option<Sponsor>>,
}

impl Gate {
    pub(crate) fn new(roles: Roles, counters: Arc<Counters>) -> Self {
        Self {
            roles,
            counters,
            others: HashMap::new(),
        }
    }

    fn admit(&self, peer: &PeerId) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        if self.roles.get(peer, now_s()).is_some() {
            return Ok(dummy::ConnectionHandler);
        }
        self.counters.refused_connection();
        Err(ConnectionDenied::new(Refusal::Stranger))
    }

    /// Whether there is a place for one more connection of this peer that it opened. Friends have
    /// places of their own, whoever else comes.
    fn count(&mut self, id: ConnectionId, peer: &PeerId) -> Result<(), ConnectionDenied> {
        if self.roles.get(peer, now_s()) == Some(Role::Friend) {
            return Ok(());
        }
        let sponsor = self.roles.sponsor(peer);
        let of_sponsor = self.others.values().filter(|by| **by == sponsor);
        let is_full = sponsor.is_some() && of_sponsor.count() >= OTHERS_PER_SPONSOR_MAX;
        if is_full || self.others.len() >= OTHERS_MAX {
            self.counters.refused_connection();
            return Err(ConnectionDenied::new(Refusal::TooMany));
        }
        self.others.insert(id, sponsor);
        Ok(())
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let handler = self.admit(&peer)?;
        self.count(id, &peer)?;
        Ok(handler)
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
        match event {
            FromSwarm::ConnectionClosed(closed) => self.others.remove(&closed.connection_id),
            // Another behaviour had no place for it.
            FromSwarm::ListenFailure(failure) => self.others.remove(&failure.connection_id),
            _ => None,
        };
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
    fn n25_identities_of_one_sponsor_have_the_connections_of_one() {
        let (mut gate, roles) = gate();
        let addr = Multiaddr::empty();
        let arrive = |gate: &mut Gate, n, peer| {
            let id = ConnectionId::new_unchecked(n);
            gate.handle_established_inbound_connection(id, peer, &addr, &addr)
                .is_ok()
        };
        let bring = |n: u8| {
            let peer = PeerId::random();
            roles.set(peer, Role::Replica, None);
            let owner = packnback_proto::ids::OwnerId([n; 32]);
            roles.set_sponsor(peer, Sponsor::Owner(owner));
            peer
        };
        let taken = (0..100).filter(|n| arrive(&mut gate, *n, bring(1))).count();
        assert_eq!(taken, OTHERS_PER_SPONSOR_MAX);
        assert!(arrive(&mut gate, 200, bring(2)));
        for n in 0..100 {
            arrive(&mut gate, 300 + usize::from(n), bring(n));
        }
        assert_eq!(gate.others.len(), OTHERS_MAX);
        assert!(!arrive(&mut gate, 500, bring(200)));
        // A friend comes in nevertheless.
        let friend = PeerId::random();
        roles.set(friend, Role::Friend, None);
        assert!(arrive(&mut gate, 501, friend));
    }
}
