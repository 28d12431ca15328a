//! Cryptography of format 1 (docs/format.md, "Keys" and "Sealing").
//!
//! Everything that names an algorithm is in [`primitives`], every derivation label in [`labels`]:
//! no other module of the project names an AEAD, a hash or a key derivation function.

pub mod boxed;
pub mod hash;
pub mod keys;
pub mod keyset;
pub mod labels;
pub mod primitives;
pub mod seal;
pub mod secret;
pub mod sign;

/// Why a cryptographic operation was refused. None of these can be cured by trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Shorter than a nonce and a tag.
    #[error("sealed bytes are too short")]
    TooShort,
    /// The Poly1305 tag is wrong: other key, other associated data, or changed bytes.
    #[error("sealed bytes do not authenticate under this key")]
    BadTag,
    /// The tag is right but the nonce does not belong to this key and content: made to open under
    /// several keys, or not made by [`seal::seal`].
    #[error("sealed bytes carry a nonce that does not belong to them")]
    BadNonce,
    /// More bytes than one key stream covers.
    #[error("too many bytes to seal at once")]
    TooLong,
    /// An X25519 public key of low order: the shared secret would be zero.
    #[error("the public key gives no shared secret (low order)")]
    NonContributory,
    /// Not the canonical encoding of an Ed25519 key of full order.
    #[error("not a valid signing key")]
    BadPublicKey,
    /// The signature does not verify under the strict rules.
    #[error("the signature is wrong")]
    BadSignature,
    /// Argon2id parameters outside what the algorithm allows.
    #[error("password hashing parameters are not valid")]
    KdfParams,
}
