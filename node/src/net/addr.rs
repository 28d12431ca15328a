//! Addresses as people write them, and as they are handed out.

use std::net::{Ipv4Addr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::core::multiaddr::Protocol as Part;
use packnback_proto::ids::NodeId;
use packnback_proto::text::is_address;

use super::peer_id::{node_id, peer_id};
use crate::ports::NetError;
use crate::ports::Reach;

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

/// Reads addresses that a peer sent, dropping what does not parse or cannot be shown.
#[must_use]
pub fn parse_addrs(texts: &[String]) -> Vec<Multiaddr> {
    let fit = texts.iter().filter(|text| is_address(text));
    fit.filter_map(|text| text.parse().ok()).collect()
}

/// How far an address reaches. Names count as public: people use them for that. What is neither an
/// IP address nor a name reaches this machine only.
#[must_use]
pub fn reach(addr: &Multiaddr) -> Reach {
    match addr.iter().next() {
        Some(Part::Ip4(ip)) => reach_4(ip),
        Some(Part::Ip6(ip)) => ip.to_ipv4_mapped().map_or_else(|| reach_6(ip), reach_4),
        Some(Part::Dns(_) | Part::Dns4(_) | Part::Dns6(_) | Part::Dnsaddr(_)) => Reach::Public,
        _ => Reach::Loopback,
    }
}

fn reach_4(ip: Ipv4Addr) -> Reach {
    // 100.64.0.0/10 is shared address space of providers and of mesh networks.
    let shared = matches!(ip.octets(), [100, 64..=127, _, _]);
    if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        Reach::Loopback
    } else if ip.is_private() || ip.is_link_local() || shared {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_6(ip: Ipv6Addr) -> Reach {
    let [first, ..] = ip.segments();
    if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() {
        Reach::Loopback
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 {
        Reach::Private
    } else {
        Reach::Public
    }
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
    fn an_address_reaches_as_far_as_its_network() {
        for (text, expected) in [
            ("/ip4/127.0.0.1/tcp/1", Reach::Loopback),
            ("/ip4/0.0.0.0/tcp/1", Reach::Loopback),
            ("/ip6/::1/tcp/1", Reach::Loopback),
            ("/ip6/::ffff:127.0.0.1/tcp/1", Reach::Loopback),
            ("/memory/7", Reach::Loopback),
            ("/ip4/10.1.2.3/udp/1/quic-v1", Reach::Private),
            ("/ip4/172.16.0.1/tcp/1", Reach::Private),
            ("/ip4/192.168.1.1/tcp/1", Reach::Private),
            ("/ip4/169.254.1.1/tcp/1", Reach::Private),
            ("/ip4/100.64.0.1/tcp/1", Reach::Private),
            ("/ip6/fd00::1/tcp/1", Reach::Private),
            ("/ip6/fe80::1/tcp/1", Reach::Private),
            ("/ip6/::ffff:192.168.1.1/tcp/1", Reach::Private),
            ("/ip4/100.128.0.1/tcp/1", Reach::Public),
            ("/ip4/172.32.0.1/tcp/1", Reach::Public),
            ("/ip4/203.0.113.1/tcp/1", Reach::Public),
            ("/ip6/2001:db8::1/tcp/1", Reach::Public),
            ("/dns4/host.example/tcp/1", Reach::Public),
        ] {
            assert_eq!(reach(&text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn every_default_address_parses() {
        assert_eq!(default_listen(1).len(), 4);
    }
}
