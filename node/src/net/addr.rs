//! Addresses as people write them, and as they are handed out.

use libp2p::Multiaddr;
use libp2p::core::multiaddr::Protocol as Part;
use packnback_proto::ids::NodeId;

use super::error::NetError;
use super::peer_id::{node_id, peer_id};

/// The port of a node that is not told otherwise.
pub const DEFAULT_PORT: u16 = 4117;

/// Both transports on one port, on all interfaces.
#[must_use]
pub fn default_listen(port: u16) -> Vec<Multiaddr> {
    ["/ip4/0.0.0.0", "/ip6/::"]
        .iter()
        .flat_map(|ip| {
            [
                format!("{ip}/udp/{port}/quic-v1"),
                format!("{ip}/tcp/{port}"),
            ]
        })
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// Reads `/ip4/../tcp/../p2p/PEER`: a full address names the peer, so that nobody else can answer.
///
/// # Errors
/// [`NetError::BadAddress`].
pub fn parse_peer_addr(text: &str) -> Result<(NodeId, Multiaddr), NetError> {
    let bad = |reason: &str| NetError::BadAddress {
        addr: text.to_owned(),
        reason: reason.to_owned(),
    };
    let mut addr: Multiaddr = text.trim().parse().map_err(|_| bad("not a multiaddr"))?;
    let Some(Part::P2p(peer)) = addr.pop() else {
        return Err(bad("it must end in /p2p/PEER"));
    };
    let node = node_id(&peer).ok_or_else(|| bad("the peer has no Ed25519 key"))?;
    if addr.is_empty() {
        return Err(bad("there is no host in front of /p2p/"));
    }
    Ok((node, addr))
}

/// Writes the full address of a node.
///
/// # Errors
/// [`NetError::BadKey`] if the id is no public key.
pub fn format_peer_addr(node: &NodeId, addr: &Multiaddr) -> Result<String, NetError> {
    Ok(addr.clone().with(Part::P2p(peer_id(node)?)).to_string())
}

/// Reads addresses that a peer sent, dropping what does not parse.
#[must_use]
pub fn parse_addrs(texts: &[String]) -> Vec<Multiaddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::peer_id::{keypair_from_seed, node_id_of};
    use super::*;

    #[test]
    fn a_full_address_round_trips() {
        let node = node_id_of(&keypair_from_seed([3; 32]).unwrap()).unwrap();
        let addr: Multiaddr = "/ip4/192.0.2.1/udp/4711/quic-v1".parse().unwrap();
        let text = format_peer_addr(&node, &addr).unwrap();
        assert_eq!(parse_peer_addr(&text).unwrap(), (node, addr));
    }

    #[test]
    fn an_address_without_a_peer_is_refused() {
        for text in ["", "/ip4/192.0.2.1/tcp/1", "192.0.2.1:1", "/p2p/12D3KooW"] {
            assert!(parse_peer_addr(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_default_address_parses() {
        assert_eq!(default_listen(1).len(), 4);
    }
}
