//! Addresses as text: all that the rest of the node sees of them.

use libp2p::Multiaddr;
use libp2p::core::multiaddr::Protocol as Part;
use packnback_proto::ids::NodeId;
use packnback_proto::text::is_address;

use super::addr::{format_peer_addr, parse_addrs, parse_peer_addr, reach};
use crate::ports::{NetError, Reach};

/// An address in the one way it is written; `None` if it is none.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    Some(text.parse::<Multiaddr>().ok()?.to_string())
}

/// Reads `/ip4/../tcp/../p2p/PEER`: the peer, and the address without it.
///
/// # Errors
/// [`NetError::BadAddress`].
pub fn split_peer_addr(text: &str) -> Result<(NodeId, String), NetError> {
    let (node, addr) = parse_peer_addr(text)?;
    Ok((node, addr.to_string()))
}

/// The full address of a node; `None` if one of the two is unusable.
#[must_use]
pub fn full_addr(node: &NodeId, addr: &str) -> Option<String> {
    let addr = is_address(addr).then(|| addr.parse().ok())??;
    format_peer_addr(node, &addr).ok()
}

/// How far an address reaches. Names count as public: people use them for that. What is neither an
/// IP address nor a name reaches this machine only.
#[must_use]
pub fn reach_of(addr: &str) -> Reach {
    addr.parse()
        .map_or(Reach::Loopback, |addr: Multiaddr| reach(&addr))
}

/// Most addresses guessed of one peer.
const SEEN_MAX: usize = 4;

/// What a peer tells of its addresses, and behind that the same ports at the address it is seen at, if that one
/// reaches further than all it told: behind a router it does not know it.
#[must_use]
pub fn seen_from(remote: &str, told: &[String]) -> Vec<String> {
    let mut all = told.to_vec();
    let remote = remote.parse::<Multiaddr>().unwrap_or(Multiaddr::empty());
    let Some(seen) = remote.iter().next() else {
        return all;
    };
    let told = parse_addrs(told);
    if told.iter().any(|addr| reach(addr) >= reach(&remote)) {
        return all;
    }
    let is_same_family = |part: &Part<'_>| {
        matches!(
            (part, &seen),
            (Part::Ip4(_), Part::Ip4(_)) | (Part::Ip6(_), Part::Ip6(_))
        )
    };
    let mut guessed: Vec<String> = Vec::new();
    for addr in told {
        let mut parts = addr.iter();
        if parts.next().is_some_and(|part| is_same_family(&part)) {
            let there: Multiaddr = std::iter::once(seen.clone()).chain(parts).collect();
            let there = there.to_string();
            if guessed.len() < SEEN_MAX && !guessed.contains(&there) {
                guessed.push(there);
            }
        }
    }
    all.extend(guessed);
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_peer_behind_a_router_is_looked_for_at_its_router() {
        let seen = |remote: &str, told: &[&str]| {
            let told: Vec<String> = told.iter().map(ToString::to_string).collect();
            seen_from(remote, &told).split_off(told.len())
        };
        let told = [
            "/ip4/192.168.1.5/tcp/4117",
            "/ip4/10.0.0.1/tcp/4117",
            "/ip6/fd00::1/tcp/4117",
        ];
        let expected = ["/ip4/203.0.113.9/tcp/4117"];
        assert_eq!(seen("/ip4/203.0.113.9/tcp/50000", &told), expected);
        // In the same network, or where it knows a better one itself, there is nothing to guess.
        assert!(seen("/ip4/192.168.1.5/tcp/50000", &told).is_empty());
        assert!(seen("/ip4/203.0.113.9/tcp/5", &["/ip4/198.51.100.1/tcp/1"]).is_empty());
        assert!(seen("/memory/1", &told).is_empty());
    }

    #[test]
    fn what_is_no_address_reaches_nobody() {
        assert_eq!(reach_of("/ip4/203.0.113.1/tcp/1"), Reach::Public);
        for text in ["", "nonsense", "203.0.113.1:1"] {
            assert_eq!(reach_of(text), Reach::Loopback);
            assert_eq!(canonical(text).filter(|_| !text.is_empty()), None);
            assert_eq!(seen_from(text, &[]), Vec::<String>::new());
        }
        assert_eq!(full_addr(&NodeId([2; 32]), "nonsense"), None);
    }
}
