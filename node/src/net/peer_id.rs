//! One key, two spellings: a [`NodeId`] is the Ed25519 public key that libp2p wraps into a `PeerId`.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use packnback_proto::ids::NodeId;
use packnback_proto::wire::SecretBytes;
use zeroize::Zeroizing;

use crate::ports::NetError;

/// The libp2p key pair of an Ed25519 seed. The seed is wiped.
///
/// # Errors
/// Never for 32 bytes; the library's signature allows an error.
pub fn keypair_from_seed(mut seed: [u8; 32]) -> Result<Keypair, NetError> {
    let secret = ed25519::SecretKey::try_from_bytes(&mut seed)
        .map_err(|e| NetError::BadKey(e.to_string()))?;
    Ok(Keypair::from(ed25519::Keypair::from(secret)))
}

/// The same of a secret that stays wrapped until it is used, and is wiped then: nothing of it is left in
/// what an asynchronous function keeps between its steps.
///
/// # Errors
/// As [`keypair_from_seed`].
pub fn keypair_of(seed: SecretBytes) -> Result<Keypair, NetError> {
    let mut copy = Zeroizing::new(*seed.expose());
    drop(seed);
    let secret = ed25519::SecretKey::try_from_bytes(copy.as_mut_slice())
        .map_err(|e| NetError::BadKey(e.to_string()))?;
    Ok(Keypair::from(ed25519::Keypair::from(secret)))
}

/// The `PeerId` of a node.
///
/// # Errors
/// [`NetError::BadKey`] if the bytes are not a point of the curve.
pub fn peer_id(node: &NodeId) -> Result<PeerId, NetError> {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes())
        .map_err(|e| NetError::BadKey(e.to_string()))?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// The node behind a `PeerId`: only Ed25519 peers have one.
#[must_use]
pub fn node_id(peer: &PeerId) -> Option<NodeId> {
    const IDENTITY_HASH: u64 = 0;
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_HASH {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(NodeId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The node id of a key pair.
#[must_use]
pub fn node_id_of(key: &Keypair) -> Option<NodeId> {
    node_id(&key.public().to_peer_id())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_id_survives_the_round_trip_through_a_peer_id() {
        let key = keypair_from_seed([7; 32]).unwrap();
        let node = node_id_of(&key).unwrap();
        assert_eq!(peer_id(&node).unwrap(), key.public().to_peer_id());
        assert_eq!(node_id(&peer_id(&node).unwrap()), Some(node));
    }

    #[test]
    fn a_peer_without_an_ed25519_key_has_no_node_id() {
        assert_eq!(node_id(&PeerId::random()), None);
    }
}
