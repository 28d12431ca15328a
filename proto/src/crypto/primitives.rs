//! One function per formula, with its source. The only module that names an algorithm.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::CryptoError;
use super::secret::Secret32;

/// Length of an XChaCha20-Poly1305 nonce.
pub const NONCE_LEN: usize = 24;
/// Length of a Poly1305 tag.
pub const TAG_LEN: usize = 16;

/// `BLAKE3(m)` ([BLAKE3], plain mode).
///
/// [BLAKE3]: https://github.com/BLAKE3-team/BLAKE3-specs
#[must_use]
pub fn blake3(m: &[u8]) -> [u8; 32] {
    *blake3::hash(m).as_bytes()
}

/// `KH(k, m)`: BLAKE3 keyed mode.
#[must_use]
pub fn keyed_hash(key: &[u8; 32], m: &[u8]) -> [u8; 32] {
    // In one go: it is called for every candidate cut, and setting up a hasher costs more.
    *blake3::keyed_hash(key, m).as_bytes()
}

/// `KH(k, parts[0] || parts[1] || ..)`: BLAKE3 keyed mode.
#[must_use]
pub fn keyed_hash_parts(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let hash = *hasher.finalize().as_bytes();
    hasher.zeroize();
    hash
}

/// `DK(ctx, parts[0] || parts[1] || ..)`: BLAKE3 derive-key mode, 32 bytes of output.
/// `ctx` is one of [`super::labels`].
#[must_use]
pub fn derive_key(ctx: &str, parts: &[&[u8]]) -> Secret32 {
    Secret32::init_with(|out| derive_bytes(ctx, parts, out))
}

/// `DK-XOF(ctx, ikm)`: BLAKE3 derive-key mode with extended output.
pub fn derive_bytes(ctx: &str, parts: &[&[u8]], out: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_derive_key(ctx);
    for part in parts {
        hasher.update(part);
    }
    let mut reader = hasher.finalize_xof();
    reader.fill(out);
    reader.zeroize();
    hasher.zeroize();
}

/// XChaCha20-Poly1305 encryption in place; the tag is returned ([draft-irtf-cfrg-xchacha], 2.3).
///
/// [draft-irtf-cfrg-xchacha]: https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03
pub(super) fn aead_encrypt(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    ad: &[u8],
    m: &mut [u8],
) -> Result<[u8; TAG_LEN], CryptoError> {
    XChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&XNonce::from(*nonce), ad, m.into())
        .map(Into::into)
        .map_err(|_| CryptoError::TooLong)
}

/// XChaCha20-Poly1305 decryption in place: nothing is decrypted unless the tag is right.
pub(super) fn aead_decrypt(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    ad: &[u8],
    ct: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), CryptoError> {
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&XNonce::from(*nonce), ad, ct.into(), &Tag::from(*tag))
        .map_err(|_| CryptoError::BadTag)
}

/// Equality in constant time.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// `X25519(k, 9)`: the public key of a secret ([RFC 7748], 6.1).
///
/// [RFC 7748]: https://www.rfc-editor.org/rfc/rfc7748
#[must_use]
pub fn x25519_public(secret: &Secret32) -> [u8; 32] {
    let secret = x25519_dalek::StaticSecret::from(*secret.expose());
    x25519_dalek::PublicKey::from(&secret).to_bytes()
}

/// `X25519(k, u)` ([RFC 7748], 6.1), refused if `u` is a point of low order.
///
/// # Errors
/// [`CryptoError::NonContributory`]: the result would be zero whatever the secret.
///
/// [RFC 7748]: https://www.rfc-editor.org/rfc/rfc7748
pub fn x25519(secret: &Secret32, public: &[u8; 32]) -> Result<Secret32, CryptoError> {
    let secret = x25519_dalek::StaticSecret::from(*secret.expose());
    let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(*public));
    if shared.was_contributory() {
        Ok(Secret32::init_with(|out| {
            out.copy_from_slice(shared.as_bytes())
        }))
    } else {
        Err(CryptoError::NonContributory)
    }
}

/// The Ed25519 key pair of a seed ([RFC 8032], 5.1.5).
///
/// [RFC 8032]: https://www.rfc-editor.org/rfc/rfc8032
pub(super) fn ed25519_key(seed: &Secret32) -> Box<ed25519_dalek::SigningKey> {
    Box::new(ed25519_dalek::SigningKey::from_bytes(seed.expose()))
}

/// Ed25519 signature ([RFC 8032], 5.1.6).
///
/// [RFC 8032]: https://www.rfc-editor.org/rfc/rfc8032
pub(super) fn ed25519_sign(key: &ed25519_dalek::SigningKey, m: &[u8]) -> [u8; 64] {
    use ed25519_dalek::Signer;
    key.sign(m).to_bytes()
}

/// Strict Ed25519 verification: as [RFC 8032], 5.1.7 without the cofactor, and refused if the key
/// or `R` is of small order or not in its one canonical encoding, or if `S` is not reduced.
///
/// # Errors
/// [`CryptoError::BadPublicKey`] or [`CryptoError::BadSignature`].
///
/// [RFC 8032]: https://www.rfc-editor.org/rfc/rfc8032
pub fn ed25519_verify(public: &[u8; 32], m: &[u8], sig: &[u8; 64]) -> Result<(), CryptoError> {
    let key =
        ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| CryptoError::BadPublicKey)?;
    if key.is_weak() || key.to_edwards().compress().as_bytes() != public {
        return Err(CryptoError::BadPublicKey);
    }
    key.verify_strict(m, &ed25519_dalek::Signature::from_bytes(sig))
        .map_err(|_| CryptoError::BadSignature)
}

/// Whether these bytes are a point of Ed25519's curve.
#[must_use]
pub fn is_point(public: &[u8; 32]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(public).is_ok()
}

/// What Argon2id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub m_kib: u32,
    /// Passes over it.
    pub t: u32,
    /// Lanes.
    pub p: u32,
}

/// Argon2id version 0x13 ([RFC 9106]) of `password` into `out`.
///
/// # Errors
/// [`CryptoError::KdfParams`] for parameters the algorithm refuses.
///
/// [RFC 9106]: https://www.rfc-editor.org/rfc/rfc9106
pub fn argon2id(
    password: &[u8],
    salt: &[u8],
    cost: Argon2Cost,
    out: &mut [u8],
) -> Result<(), CryptoError> {
    let params = argon2::Params::new(cost.m_kib, cost.t, cost.p, Some(out.len()));
    let params = params.map_err(|_| CryptoError::KdfParams)?;
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(password, salt, out)
        .map_err(|_| CryptoError::KdfParams)
}
