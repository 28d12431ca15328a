//! Sealing something to the X25519 public key that somebody showed.
//!
//! ```text
//! s = X25519(esk, to)      K = DK(ctx, s || epk || to)      sealed = seal(K, ad, m)
//! ```
//! `esk` is fresh for every call. This says nothing about who sealed: whoever knows the public key
//! can. Where that matters, the content is signed.

use super::CryptoError;
use super::primitives::{derive_key, x25519, x25519_public};
use super::seal::{open, seal};
use super::secret::Secret32;

fn key(ctx: &str, shared: &Secret32, epk: &[u8; 32], to: &[u8; 32]) -> Secret32 {
    derive_key(ctx, &[shared.expose(), epk, to])
}

/// Seals `m` to the public key `to`. `ctx` is one of [`super::labels`]; `esk` is 32 fresh random
/// bytes, whose public key the caller puts next to the sealed bytes, best into `ad`.
///
/// # Errors
/// [`CryptoError::NonContributory`] if `to` is of low order, [`CryptoError::TooLong`].
pub fn seal_to(
    ctx: &str,
    to: &[u8; 32],
    esk: &Secret32,
    ad: &[u8],
    m: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let shared = x25519(esk, to)?;
    seal(&key(ctx, &shared, &x25519_public(esk), to), ad, m)
}

/// Opens what was sealed to the public key of `secret`.
///
/// # Errors
/// [`CryptoError::NonContributory`] if `epk` is of low order; as [`open`] for bytes that were not
/// sealed to this key, for another purpose, or were changed.
pub fn open_from(
    ctx: &str,
    secret: &Secret32,
    epk: &[u8; 32],
    ad: &[u8],
    x: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let shared = x25519(secret, epk)?;
    open(&key(ctx, &shared, epk, &x25519_public(secret)), ad, x)
}
