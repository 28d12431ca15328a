//! The one sealing primitive: deterministic, key-committing authenticated encryption.
//!
//! ```text
//! seal(k, ad, m):  n = KH(DK("siv", k), LE64(len ad) || ad || m)[..24]
//!                  return n || XChaCha20Poly1305(k, n, ad, m)             // ct || tag16
//! open(k, ad, x):  decrypt; recompute n over (ad, m); compare in constant time
//! ```
//! There is no nonce to manage: a machine restored from an image repeats itself instead of
//! reusing a nonce for other bytes. Opening checks the nonce against key and content, so that no
//! sealed bytes open under two keys.

use zeroize::Zeroize;

use super::primitives::{self, NONCE_LEN, TAG_LEN};
use super::secret::Secret32;
use super::{CryptoError, labels};

/// Bytes that sealing adds in front of the content.
pub const NONCE: usize = NONCE_LEN;
/// Bytes that sealing adds behind the content.
pub const TAG: usize = TAG_LEN;
/// Bytes that sealing adds in all.
pub const OVERHEAD: usize = NONCE + TAG;

fn synthetic_nonce(key: &Secret32, ad: &[u8], m: &[u8]) -> [u8; NONCE_LEN] {
    let siv = primitives::derive_key(labels::SIV, &[key.expose()]);
    let ad_len = u64::try_from(ad.len()).unwrap_or(u64::MAX);
    let hash = primitives::keyed_hash_parts(siv.expose(), &[&ad_len.to_le_bytes(), ad, m]);
    let mut nonce = [0; NONCE_LEN];
    nonce.iter_mut().zip(hash).for_each(|(n, h)| *n = h);
    nonce
}

/// `seal(k, ad, m)` into a new buffer.
///
/// # Errors
/// [`CryptoError::TooLong`] beyond 256 GiB.
pub fn seal(key: &Secret32, ad: &[u8], m: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut out = Vec::with_capacity(OVERHEAD.saturating_add(m.len()));
    out.extend_from_slice(&[0; NONCE]);
    out.extend_from_slice(m);
    let tag = {
        let (nonce, ct) = out.split_at_mut(NONCE);
        seal_parts(key, ad, nonce, ct)?
    };
    out.extend_from_slice(&tag);
    Ok(out)
}

/// `seal` without a copy: `buf` holds the associated data (`ad_len` bytes), [`NONCE`] bytes of
/// room, and the content; afterwards it holds the associated data and the sealed bytes. Reserve
/// [`TAG`] bytes to avoid a reallocation.
///
/// # Errors
/// [`CryptoError::TooShort`] if there is no room for the nonce; [`CryptoError::TooLong`]. `buf` is
/// then of no use.
pub fn seal_in_place(key: &Secret32, buf: &mut Vec<u8>, ad_len: usize) -> Result<(), CryptoError> {
    let (ad, rest) = buf
        .split_at_mut_checked(ad_len)
        .ok_or(CryptoError::TooShort)?;
    let (nonce, m) = rest
        .split_at_mut_checked(NONCE)
        .ok_or(CryptoError::TooShort)?;
    let tag = seal_parts(key, ad, nonce, m)?;
    buf.extend_from_slice(&tag);
    Ok(())
}

fn seal_parts(
    key: &Secret32,
    ad: &[u8],
    nonce_out: &mut [u8],
    m: &mut [u8],
) -> Result<[u8; TAG_LEN], CryptoError> {
    let nonce = synthetic_nonce(key, ad, m);
    nonce_out.copy_from_slice(&nonce);
    primitives::aead_encrypt(key.expose(), &nonce, ad, m)
}

/// `open(k, ad, x)` into a new buffer.
///
/// # Errors
/// [`CryptoError::TooShort`], [`CryptoError::BadTag`], [`CryptoError::BadNonce`].
pub fn open(key: &Secret32, ad: &[u8], x: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (nonce, ct, tag) = split(x)?;
    let mut m = ct.to_vec();
    open_parts(key, ad, nonce, &mut m, tag)?;
    Ok(m)
}

/// `open` with a buffer of the caller, whose content is replaced. It is empty after an error.
///
/// # Errors
/// As [`open`].
pub fn open_into(
    key: &Secret32,
    ad: &[u8],
    x: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    out.clear();
    let (nonce, ct, tag) = split(x)?;
    out.extend_from_slice(ct);
    open_parts(key, ad, nonce, out, tag).inspect_err(|_| out.clear())
}

/// `open` where the sealed bytes are: the content is behind the first [`NONCE`] bytes of `x`, before the
/// last [`TAG`]. After an error it holds no plaintext.
///
/// # Errors
/// As [`open`].
pub fn open_in_place<'x>(
    key: &Secret32,
    ad: &[u8],
    x: &'x mut [u8],
) -> Result<&'x mut [u8], CryptoError> {
    let (nonce, rest) = x.split_first_chunk_mut().ok_or(CryptoError::TooShort)?;
    let (ct, tag) = rest.split_last_chunk_mut().ok_or(CryptoError::TooShort)?;
    open_parts(key, ad, nonce, ct, tag)?;
    Ok(ct)
}

/// Nonce, ciphertext, tag.
type Parts<'a> = (&'a [u8; NONCE_LEN], &'a [u8], &'a [u8; TAG_LEN]);

fn split(x: &[u8]) -> Result<Parts<'_>, CryptoError> {
    let (nonce, rest) = x.split_first_chunk().ok_or(CryptoError::TooShort)?;
    let (ct, tag) = rest.split_last_chunk().ok_or(CryptoError::TooShort)?;
    Ok((nonce, ct, tag))
}

/// Decrypts `ct` in place. After an error it holds no plaintext.
fn open_parts(
    key: &Secret32,
    ad: &[u8],
    nonce: &[u8; NONCE_LEN],
    ct: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), CryptoError> {
    primitives::aead_decrypt(key.expose(), nonce, ad, ct, tag)?;
    if primitives::equal(&synthetic_nonce(key, ad, ct), nonce) {
        Ok(())
    } else {
        ct.zeroize();
        Err(CryptoError::BadNonce)
    }
}
