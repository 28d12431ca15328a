//! The sealed keys of the chunks of one file.
//!
//! ```text
//! kb = seal(K_blob, ad = "kb1" || LE32(dom) || LE32(n) || id_1 .. id_n, k_1 .. k_n)
//! ```
//! The associated data binds the keys to the chunks of this file, in order, and to the domain whose
//! chunk key they must follow from; the key binds them to the session. A file of holes only has no
//! chunks, and an empty `kb`.

use zeroize::{Zeroize, Zeroizing};

use super::entry::Part;
use super::payload::PayloadError;
use crate::crypto::CryptoError;
use crate::crypto::seal::{OVERHEAD, open, seal};
use crate::crypto::secret::Secret32;
use crate::ids::ObjectId;

const CONTEXT: &[u8] = b"kb1";
/// Length of one chunk key.
const KEY_LEN: usize = 32;

/// Length of the key blob for `n` chunks.
#[must_use]
pub fn key_blob_len(n: usize) -> usize {
    match n {
        0 => 0,
        n => n.saturating_mul(KEY_LEN).saturating_add(OVERHEAD),
    }
}

/// Number of chunks in a list of parts.
#[must_use]
pub fn chunk_count(parts: &[Part]) -> usize {
    parts
        .iter()
        .filter(|part| matches!(part, Part::Chunk { .. }))
        .count()
}

/// The chunks of a list of parts, in file order; `refs` is the reference list of the segment.
///
/// # Errors
/// [`PayloadError::Reference`] for an index beyond the list.
pub fn chunk_ids(parts: &[Part], refs: &[ObjectId]) -> Result<Vec<ObjectId>, PayloadError> {
    let chunks = parts.iter().filter_map(|part| match part {
        Part::Chunk { ref_idx, .. } => Some(*ref_idx),
        Part::Hole { .. } => None,
    });
    chunks
        .map(|ref_idx| {
            let idx = usize::try_from(ref_idx).ok();
            idx.and_then(|i| refs.get(i))
                .copied()
                .ok_or(PayloadError::Reference(ref_idx))
        })
        .collect()
}

fn associated_data(dom: u32, ids: &[ObjectId]) -> Result<Vec<u8>, PayloadError> {
    let n = u32::try_from(ids.len()).map_err(|_| PayloadError::KeyCount)?;
    let mut ad = Vec::with_capacity(ids.len().saturating_mul(KEY_LEN).saturating_add(11));
    ad.extend_from_slice(CONTEXT);
    ad.extend_from_slice(&dom.to_le_bytes());
    ad.extend_from_slice(&n.to_le_bytes());
    ids.iter()
        .for_each(|id| ad.extend_from_slice(id.as_bytes()));
    Ok(ad)
}

/// Seals chunk keys under `K_blob` of the session.
///
/// # Errors
/// [`PayloadError::KeyCount`] unless there is one key for each id.
pub fn seal_key_blob(
    k_blob: &Secret32,
    dom: u32,
    ids: &[ObjectId],
    keys: &[[u8; KEY_LEN]],
) -> Result<Vec<u8>, PayloadError> {
    if ids.len() != keys.len() {
        return Err(PayloadError::KeyCount);
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(key_blob_len(keys.len())));
    keys.iter().for_each(|key| plain.extend_from_slice(key));
    seal(k_blob, &associated_data(dom, ids)?, &plain).map_err(PayloadError::KeyBlob)
}

/// Opens the keys of the chunks `ids`. The caller still checks each chunk's content against its key
/// ([`super::object::open_chunk`]).
///
/// # Errors
/// [`PayloadError::KeyCount`] if the blob is not for this many chunks; [`PayloadError::KeyBlob`] if
/// it is for other chunks, another session or another domain, or was changed.
pub fn open_key_blob(
    k_blob: &Secret32,
    dom: u32,
    ids: &[ObjectId],
    kb: &[u8],
) -> Result<Zeroizing<Vec<[u8; KEY_LEN]>>, PayloadError> {
    if kb.len() != key_blob_len(ids.len()) {
        return Err(PayloadError::KeyCount);
    }
    if ids.is_empty() {
        return Ok(Zeroizing::new(Vec::new()));
    }
    let mut plain = open(k_blob, &associated_data(dom, ids)?, kb).map_err(PayloadError::KeyBlob)?;
    let (keys, rest) = plain.as_chunks::<KEY_LEN>();
    let complete = rest.is_empty() && keys.len() == ids.len();
    let keys = Zeroizing::new(keys.to_vec());
    plain.zeroize();
    if complete {
        Ok(keys)
    } else {
        Err(PayloadError::KeyBlob(CryptoError::TooShort))
    }
}
