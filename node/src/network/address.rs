//! Addresses that a person types.

use std::net::SocketAddr;

use packnback_proto::ids::NodeId;
use packnback_proto::limits::PEER_ADDRS_MAX;
use packnback_proto::wire::ErrorCode;

use super::net_failure;
use crate::net::{canonical, split_peer_addr};
use crate::ports::{Failure, NetError};

fn bad(text: &str, reason: &str) -> Failure {
    net_failure(NetError::BadAddress {
        addr: text.to_owned(),
        reason: reason.to_owned(),
    })
}

/// Whether this node can dial it: a host, a port, and a transport it speaks.
fn can_be_dialled(text: &str) -> bool {
    let mut parts = text.split('/').skip(1);
    let host = matches!(parts.next(), Some("ip4" | "ip6" | "dns" | "dns4" | "dns6"));
    let (_, via, port) = (parts.next(), parts.next(), parts.next());
    let port = port.and_then(|port| port.parse::<u16>().ok());
    let transport = match (via, parts.next()) {
        (Some("tcp"), None) => true,
        (Some("udp"), Some("quic-v1")) => parts.next().is_none(),
        _ => false,
    };
    host && transport && port.is_some_and(|port| port != 0)
}

/// `192.0.2.1:4117` or `host.example:4117`: over both transports.
fn host_and_port(text: &str) -> Option<[String; 2]> {
    let (host, port) = if let Ok(socket) = text.parse::<SocketAddr>() {
        let family = if socket.is_ipv4() { "ip4" } else { "ip6" };
        (format!("/{family}/{}", socket.ip()), socket.port())
    } else {
        let (name, port) = text.rsplit_once(':')?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if name.is_empty() || !name.chars().all(fits) {
            return None;
        }
        (format!("/dns/{name}"), port.parse().ok()?)
    };
    Some([
        format!("{host}/udp/{port}/quic-v1"),
        format!("{host}/tcp/{port}"),
    ])
}

/// Reads addresses of a friend: multiaddresses with or without `/p2p/`, or host and port.
pub(super) fn parse_all(node: &NodeId, texts: &[String]) -> Result<Vec<String>, Failure> {
    let mut addrs = Vec::new();
    for text in texts {
        let text = text.trim();
        if let Some(both) = host_and_port(text) {
            addrs.extend(both);
            continue;
        }
        let addr = if text.contains("/p2p/") {
            let (named, addr) = split_peer_addr(text).map_err(net_failure)?;
            if named != *node {
                return Err(bad(text, "it names another node"));
            }
            addr
        } else {
            canonical(text).ok_or_else(|| bad(text, "not an address"))?
        };
        if !can_be_dialled(&addr) {
            return Err(bad(text, "it cannot be dialled"));
        }
        addrs.push(addr);
    }
    if addrs.is_empty() || addrs.len() > PEER_ADDRS_MAX {
        let message = format!("one to {PEER_ADDRS_MAX} addresses are needed");
        return Err(Failure::new(ErrorCode::Protocol, message).safe("Nothing was changed."));
    }
    Ok(addrs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::net::full_addr;
    use packnback_proto::crypto::secret::Secret32;
    use packnback_proto::crypto::sign::SigningKey;

    fn node(n: u8) -> NodeId {
        SigningKey::from_seed(&Secret32::new([n; 32])).node_id()
    }

    fn parse(texts: &[&str]) -> Result<Vec<String>, Failure> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        parse_all(&node(1), &texts)
    }

    #[test]
    fn an_address_is_taken_as_people_write_it() {
        let plain = "/ip4/192.0.2.1/tcp/4117";
        let full = full_addr(&node(1), plain).unwrap();
        assert_eq!(parse(&[plain]).unwrap(), [plain]);
        assert_eq!(parse(&[&full]).unwrap(), [plain]);
        let both = ["/ip4/192.0.2.1/udp/4117/quic-v1", plain];
        assert_eq!(parse(&["192.0.2.1:4117"]).unwrap(), both);
        let six = parse(&["[2001:db8::1]:1"]).unwrap();
        assert_eq!(
            six,
            ["/ip6/2001:db8::1/udp/1/quic-v1", "/ip6/2001:db8::1/tcp/1"]
        );
        assert_eq!(parse(&["nas.example:1"]).unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        let other = full_addr(&node(2), "/ip4/192.0.2.1/tcp/1").unwrap();
        for text in [
            "",
            "192.0.2.1",
            "hello",
            "/ip4/192.0.2.1",
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/192.0.2.1/udp/1",
            "/memory/7",
            "a b:1",
            ":1",
            "nas:99999",
            &other,
        ] {
            assert!(parse(&[text]).is_err(), "{text}");
        }
        assert!(parse(&[]).is_err());
    }
}
