//! The live connections, and which of them a new stream should use.

use std::cmp::Reverse;
use std::collections::HashMap;

use libp2p::core::ConnectedPoint;
use libp2p::core::multiaddr::Protocol as Part;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use crate::net::types::{Carrier, ConnInfo};

/// How bytes travel on an address.
pub(crate) fn transport_of(addr: &Multiaddr) -> Carrier {
    for part in addr.iter() {
        match part {
            Part::Tcp(_) => return Carrier::Tcp,
            Part::Quic | Part::QuicV1 => return Carrier::Quic,
            _ => {}
        }
    }
    Carrier::Other
}

/// The remote address of a connection.
pub(crate) fn remote_of(endpoint: &ConnectedPoint) -> &Multiaddr {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { send_back_addr, .. } => send_back_addr,
    }
}

/// Connections by peer.
#[derive(Debug, Default)]
pub(crate) struct ConnTable(HashMap<PeerId, Vec<ConnInfo>>);

impl ConnTable {
    pub(crate) fn add(&mut self, peer: PeerId, conn: ConnInfo) {
        self.0.entry(peer).or_default().push(conn);
    }

    /// Forgets a connection; returns whether it was the peer's last.
    pub(crate) fn remove(&mut self, peer: &PeerId, id: ConnectionId) -> bool {
        let Some(conns) = self.0.get_mut(peer) else {
            return false;
        };
        conns.retain(|c| c.id != id);
        let last = conns.is_empty();
        if last {
            self.0.remove(peer);
        }
        last
    }

    pub(crate) fn get(&self, peer: &PeerId, id: ConnectionId) -> Option<&ConnInfo> {
        self.0.get(peer)?.iter().find(|c| c.id == id)
    }

    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.0.contains_key(peer)
    }

    /// The connection for a new stream: direct before relayed, the preferred transport before the
    /// other, the newest before older ones (after a peer's restart the older is the dead one).
    pub(crate) fn best(&self, peer: &PeerId, prefer: Carrier) -> Option<&ConnInfo> {
        self.0
            .get(peer)?
            .iter()
            .min_by_key(|c| (c.relayed, c.transport != prefer, Reverse(c.id)))
    }

    pub(crate) fn all(&self) -> Vec<ConnInfo> {
        let mut all: Vec<ConnInfo> = self.0.values().flatten().cloned().collect();
        all.sort_by_key(|c| (c.node, c.id));
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ports::PathId;
    use packnback_proto::ids::NodeId;

    fn conn(id: usize, relayed: bool, transport: Carrier) -> ConnInfo {
        ConnInfo {
            id: ConnectionId::new_unchecked(id),
            path: PathId(0),
            node: NodeId([1; 32]),
            relayed,
            transport,
            outbound: true,
            remote: Multiaddr::empty(),
        }
    }

    #[test]
    fn the_best_connection_is_direct_then_preferred_then_newest() {
        let (mut table, peer) = (ConnTable::default(), PeerId::random());
        assert!(table.best(&peer, Carrier::Quic).is_none());
        let best = |t: &ConnTable| t.best(&peer, Carrier::Quic).unwrap().id;
        table.add(peer, conn(9, true, Carrier::Quic));
        assert_eq!(best(&table), ConnectionId::new_unchecked(9));
        table.add(peer, conn(1, false, Carrier::Tcp));
        assert_eq!(best(&table), ConnectionId::new_unchecked(1));
        table.add(peer, conn(2, false, Carrier::Quic));
        table.add(peer, conn(3, false, Carrier::Quic));
        assert_eq!(best(&table), ConnectionId::new_unchecked(3));
    }

    #[test]
    fn nothing_is_left_of_closed_connections() {
        let (mut table, peer) = (ConnTable::default(), PeerId::random());
        table.add(peer, conn(1, false, Carrier::Tcp));
        table.add(peer, conn(2, false, Carrier::Tcp));
        assert!(!table.remove(&peer, ConnectionId::new_unchecked(1)));
        assert!(table.remove(&peer, ConnectionId::new_unchecked(2)));
        assert!(!table.is_connected(&peer));
        assert!(table.0.is_empty());
    }

    #[test]
    fn transports_are_told_from_addresses() {
        let of = |s: &str| transport_of(&s.parse().unwrap());
        assert_eq!(of("/ip4/1.2.3.4/tcp/1"), Carrier::Tcp);
        assert_eq!(of("/ip4/1.2.3.4/udp/1/quic-v1"), Carrier::Quic);
        assert_eq!(of("/memory/1"), Carrier::Other);
    }
}
