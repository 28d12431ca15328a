//! Addresses that say whom they reach.

use packnback_proto::ids::NodeId;

/// Digits of base58, as peer ids are written.
const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// What stands before an Ed25519 key in a peer id: a multihash of the key itself.
const ED25519: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The peer id of a node, as it stands behind `/p2p/`.
#[must_use]
pub fn peer_id(node: &NodeId) -> String {
    let bytes = [ED25519.as_slice(), &node.0].concat();
    let mut digits: Vec<u8> = Vec::with_capacity(52);
    for byte in &bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry = carry.saturating_add(u32::from(*digit) << 8);
            *digit = u8::try_from(carry % 58).unwrap_or(0);
            carry /= 58;
        }
        while carry > 0 {
            digits.push(u8::try_from(carry % 58).unwrap_or(0));
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digit = |digit: &u8| DIGITS.get(usize::from(*digit)).copied().unwrap_or(b'1');
    let text = std::iter::repeat_n(b'1', zeros).chain(digits.iter().rev().map(digit));
    text.map(char::from).collect()
}

/// An address with the id of the node behind it, which a dialler needs.
#[must_use]
pub fn complete(addr: &str, node: &NodeId) -> String {
    if addr.contains("/p2p/") {
        return addr.to_owned();
    }
    format!("{}/p2p/{}", addr.trim_end_matches('/'), peer_id(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_that_of_its_key() {
        // From the specification of peer ids: the key in hexadecimal, and its id.
        let key = "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
        let mut node = NodeId([0; 32]);
        if let Ok(bytes) = data_encoding::HEXLOWER.decode(key.as_bytes()) {
            node.0.copy_from_slice(&bytes);
        }
        let id = peer_id(&node);
        assert_eq!(id.len(), 52);
        assert!(id.starts_with("12D3KooW"), "{id}");
        let whole = complete("/ip4/192.0.2.1/udp/4801/quic-v1", &node);
        assert_eq!(whole, format!("/ip4/192.0.2.1/udp/4801/quic-v1/p2p/{id}"));
        assert_eq!(complete(&whole, &node), whole);
    }
}
