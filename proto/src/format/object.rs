//! Whole objects: header, sealed frame, id.

use std::ops::Range;

use super::frame::{Compressor, Decompressor, PREFIX_LEN};
use super::header::{Header, Kind, ObjectError, parse_header};
use crate::crypto::hash::object_id;
use crate::crypto::keys::{SessionKeys, chunk_key};
use crate::crypto::seal;
use crate::crypto::secret::Secret32;
use crate::ids::ObjectId;
use crate::limits::OBJECT_MAX;

/// A sealed object, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its id.
    pub id: ObjectId,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl SessionKeys {
    /// The key of an object of this kind; none for chunks, whose key is made from their content.
    #[must_use]
    pub fn object_key(&self, kind: Kind) -> Option<&Secret32> {
        match kind {
            Kind::Chunk => None,
            Kind::Pack => Some(&self.pack),
            Kind::Map => Some(&self.map),
            Kind::Segment | Kind::Index | Kind::Root => Some(&self.node),
        }
    }

    /// Header of an object of this session. `refs` are sorted here; a repeated one is an error
    /// when the header is written.
    #[must_use]
    pub fn header(&self, kind: Kind, height: u8, mut refs: Vec<ObjectId>) -> Header {
        refs.sort_unstable();
        Header {
            kind,
            height,
            epoch: self.epoch,
            epk: Some(self.epk),
            refs,
        }
    }
}

/// Compresses, frames, pads and seals `raw` behind `header`, in one allocation.
///
/// # Errors
/// [`ObjectError`] if the header is not legal or `raw` is too large.
pub fn seal_object(
    compressor: &mut Compressor,
    header: &Header,
    key: &Secret32,
    raw: &[u8],
) -> Result<Sealed, ObjectError> {
    let ad_len = header.encoded_len();
    let overhead = ad_len.saturating_add(seal::OVERHEAD);
    let mut bytes = Vec::with_capacity(overhead.saturating_add(Compressor::bound(raw.len())));
    header.write(&mut bytes)?;
    bytes.extend_from_slice(&[0; seal::NONCE]);
    compressor.frame_into(raw, &mut bytes)?;
    seal::seal_in_place(key, &mut bytes, ad_len)?;
    if bytes.len() > OBJECT_MAX {
        return Err(ObjectError::TooLarge(bytes.len()));
    }
    // Compressible content leaves most of the allocation unused: give it back, so that the bytes
    // an object holds are the bytes it was counted for.
    bytes.shrink_to_fit();
    Ok(Sealed {
        id: object_id(&bytes),
        bytes,
    })
}

/// Seals a chunk under the key made from its content: `k` is [`chunk_key`] of `p`.
///
/// # Errors
/// [`ObjectError`] if `p` is too large.
pub fn seal_chunk(
    compressor: &mut Compressor,
    k: &Secret32,
    p: &[u8],
) -> Result<Sealed, ObjectError> {
    seal_object(compressor, &Header::chunk(), k, p)
}

/// Checks the id, opens the object and returns header and content.
///
/// # Errors
/// [`ObjectError`]: what is wrong.
pub fn open_object(
    decompressor: &mut Decompressor,
    bytes: &[u8],
    id: &ObjectId,
    key: &Secret32,
) -> Result<(Header, Vec<u8>), ObjectError> {
    let mut raw = Vec::new();
    let header = open_object_into(decompressor, bytes, id, key, &mut raw)?;
    Ok((header, raw))
}

/// [`open_object`] for an object whose place says what kind it is.
///
/// # Errors
/// [`ObjectError::WrongKind`], or as [`open_object`].
pub fn open_kind(
    decompressor: &mut Decompressor,
    bytes: &[u8],
    id: &ObjectId,
    kind: Kind,
    session: &SessionKeys,
) -> Result<(Header, Vec<u8>), ObjectError> {
    let wrong = |found| ObjectError::WrongKind {
        expected: kind,
        found,
    };
    let key = session.object_key(kind).ok_or(wrong(Kind::Chunk))?;
    let (header, raw) = open_object(decompressor, bytes, id, key)?;
    if header.kind == kind {
        Ok((header, raw))
    } else {
        Err(wrong(header.kind))
    }
}

fn open_object_into(
    decompressor: &mut Decompressor,
    bytes: &[u8],
    id: &ObjectId,
    key: &Secret32,
    raw: &mut Vec<u8>,
) -> Result<Header, ObjectError> {
    raw.clear();
    if bytes.len() > OBJECT_MAX {
        return Err(ObjectError::TooLarge(bytes.len()));
    }
    if object_id(bytes) != *id {
        return Err(ObjectError::WrongId(*id));
    }
    let (header, at) = parse_header(bytes)?;
    let (ad, sealed) = bytes.split_at_checked(at).ok_or(ObjectError::Truncated)?;
    seal::open_into(key, ad, sealed, &mut decompressor.scratch)?;
    decompressor.unframe_scratch(raw)?;
    Ok(header)
}

/// Opens a chunk into `p`, replacing what is there: id, seal, length `len` of the entry and, if
/// `ck` is given, that `k` is the key of this very content. `p` is empty after an error.
///
/// # Errors
/// [`ObjectError`]: what is wrong.
pub fn open_chunk_into(
    decompressor: &mut Decompressor,
    bytes: &[u8],
    id: &ObjectId,
    k: &Secret32,
    ck: Option<&Secret32>,
    len: usize,
    p: &mut Vec<u8>,
) -> Result<(), ObjectError> {
    let header = open_object_into(decompressor, bytes, id, k, p)?;
    check_chunk(&header, k, ck, len, p).inspect_err(|_| p.clear())
}

/// [`open_chunk_into`] without a copy of what is not compressed: `bytes` is decrypted where it is. The
/// content is at the range of `bytes` that is the answer, or else in `spare`. After an error neither is of
/// any use, unless it is [`ObjectError::WrongId`], which leaves `bytes` as they are.
///
/// # Errors
/// As [`open_chunk_into`].
pub fn open_chunk_in_place(
    decompressor: &mut Decompressor,
    bytes: &mut [u8],
    id: &ObjectId,
    keys: ChunkOpening<'_>,
    spare: &mut Vec<u8>,
) -> Result<Option<Range<usize>>, ObjectError> {
    spare.clear();
    if bytes.len() > OBJECT_MAX {
        return Err(ObjectError::TooLarge(bytes.len()));
    }
    if object_id(bytes) != *id {
        return Err(ObjectError::WrongId(*id));
    }
    let (header, at) = parse_header(bytes)?;
    let (ad, sealed) = bytes
        .split_at_mut_checked(at)
        .ok_or(ObjectError::Truncated)?;
    let frame = seal::open_in_place(keys.k, ad, sealed)?;
    let left = decompressor.unframe_or_leave(frame, spare)?;
    let start = at.saturating_add(seal::NONCE).saturating_add(PREFIX_LEN);
    let range = left.map(|len| start..start.saturating_add(len));
    let content = match &range {
        Some(range) => bytes.get(range.clone()).ok_or(ObjectError::Truncated)?,
        None => spare.as_slice(),
    };
    check_chunk(&header, keys.k, Some(keys.ck), keys.len, content)?;
    Ok(range)
}

/// With what a chunk opens, and what it must then be.
#[derive(Clone, Copy)]
pub struct ChunkOpening<'k> {
    /// Its key.
    pub k: &'k Secret32,
    /// What the key follows from, with the content.
    pub ck: &'k Secret32,
    /// Length of the content.
    pub len: usize,
}

fn check_chunk(
    header: &Header,
    k: &Secret32,
    ck: Option<&Secret32>,
    len: usize,
    p: &[u8],
) -> Result<(), ObjectError> {
    if header.kind != Kind::Chunk {
        return Err(ObjectError::WrongKind {
            expected: Kind::Chunk,
            found: header.kind,
        });
    }
    if p.len() != len {
        return Err(ObjectError::ContentLength {
            expected: len,
            found: p.len(),
        });
    }
    match ck {
        Some(ck) if chunk_key(ck, p).expose() != k.expose() => Err(ObjectError::ContentKey),
        _ => Ok(()),
    }
}

/// [`open_chunk_into`] a new buffer.
///
/// # Errors
/// As [`open_chunk_into`].
pub fn open_chunk(
    decompressor: &mut Decompressor,
    bytes: &[u8],
    id: &ObjectId,
    k: &Secret32,
    ck: Option<&Secret32>,
    len: usize,
) -> Result<Vec<u8>, ObjectError> {
    let mut p = Vec::new();
    open_chunk_into(decompressor, bytes, id, k, ck, len, &mut p)?;
    Ok(p)
}
