//! Ed25519 signing keys and strict verification.

use super::CryptoError;
use super::primitives;
use super::secret::Secret32;
use crate::ids::{NodeId, OwnerId};

/// An Ed25519 key pair. Wiped when dropped.
pub struct SigningKey(Box<ed25519_dalek::SigningKey>);

impl SigningKey {
    /// The key pair of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &Secret32) -> Self {
        Self(primitives::ed25519_key(seed))
    }

    /// The seed, for writing a key file or handing the key to the network layer.
    #[must_use]
    pub fn seed(&self) -> Secret32 {
        Secret32::init_with(|out| out.copy_from_slice(self.0.as_bytes()))
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The public key as the id of a node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(self.public())
    }

    /// The public key as the id of an owner.
    #[must_use]
    pub fn owner_id(&self) -> OwnerId {
        OwnerId(self.public())
    }

    /// Signs `message` as it is. Callers add a prefix that names the purpose.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        primitives::ed25519_sign(&self.0, message)
    }
}

/// Whether these bytes can be a public key: not all are a point of the curve. What it signs is verified strictly.
#[must_use]
pub fn can_be_key(public: &[u8; 32]) -> bool {
    primitives::is_point(public)
}

/// Strict verification: see [`primitives::ed25519_verify`].
///
/// # Errors
/// [`CryptoError::BadPublicKey`] or [`CryptoError::BadSignature`].
pub fn verify_strict(
    public: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), CryptoError> {
    primitives::ed25519_verify(public, message, signature)
}
