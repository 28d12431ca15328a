//! Maps: the chunks of a large file.
//!
//! ```text
//! map = [dom, [+ [ref_idx, raw_len, k bstr32] / [null, hole_len]]]
//! ```
//! At most [`MAP_CHUNKS_MAX`] parts each. Chunk keys are in the open here: the map itself is sealed
//! under `K_map`, which follows from the content key only. Chunks of the private domain belong to
//! the session whose public key is in the map's own header.

use std::fmt;

use zeroize::Zeroize;

use super::entry::Part;
use super::entry_codec::check_part;
use super::payload::{PayloadError, check_count};
use crate::cbor::{CborError, Reader, Writer};
use crate::limits::{MAP_CHUNKS_MAX, RAW_MAX, REFS_MAX};

/// One piece of a large file.
#[derive(Clone, PartialEq, Eq)]
pub enum MapPart {
    /// A chunk of `len` plain bytes.
    Chunk {
        /// Index in the reference list of the map.
        ref_idx: u32,
        /// Plain length in bytes.
        len: u32,
        /// The chunk's key.
        key: [u8; 32],
    },
    /// A hole of `len` bytes.
    Hole {
        /// Length in bytes.
        len: u64,
    },
}

impl MapPart {
    fn part(&self) -> Part {
        match *self {
            Self::Chunk { ref_idx, len, .. } => Part::Chunk { ref_idx, len },
            Self::Hole { len } => Part::Hole { len },
        }
    }
}

/// Without the key.
impl fmt::Debug for MapPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part().fmt(f)
    }
}

/// The payload of a map. Its keys are wiped when it is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Dedup group, or [`super::entry::DOM_PRIVATE`].
    pub dom: u32,
    /// Chunks and holes, in file order.
    pub parts: Vec<MapPart>,
}

impl Map {
    /// Bytes of the file this map covers. Cannot overflow for a decoded map.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.parts
            .iter()
            .fold(0, |sum, part| sum.saturating_add(part.part().len()))
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        for part in &mut self.parts {
            if let MapPart::Chunk { key, .. } = part {
                key.zeroize();
            }
        }
    }
}

fn check(map: &Map, n_refs: usize) -> Result<(), PayloadError> {
    check_count(map.parts.len(), 1..=MAP_CHUNKS_MAX, "parts")?;
    map.parts
        .iter()
        .try_fold(0u64, |sum, part| {
            let part = part.part();
            check_part(&part, n_refs)?;
            sum.checked_add(part.len()).ok_or(PayloadError::Size)
        })
        .map(drop)
}

/// Encodes a map. The caller wipes the result after sealing it.
///
/// # Errors
/// [`PayloadError`] if it breaks a rule of the format.
pub fn encode(map: &Map) -> Result<Vec<u8>, PayloadError> {
    check(map, REFS_MAX)?;
    let mut w = Writer::with_capacity(map.parts.len().saturating_mul(48));
    w.array(2);
    w.uint(map.dom);
    w.array(map.parts.len());
    for part in &map.parts {
        match part {
            MapPart::Chunk { ref_idx, len, key } => {
                w.array(3);
                w.uint(*ref_idx);
                w.uint(*len);
                w.bytes(key);
            }
            MapPart::Hole { len } => {
                w.array(2);
                w.null();
                w.uint(*len);
            }
        }
    }
    Ok(w.finish(RAW_MAX)?)
}

/// Decodes a map whose object has `n_refs` references.
///
/// # Errors
/// [`PayloadError`], the first problem found.
pub fn decode(bytes: &[u8], n_refs: usize) -> Result<Map, PayloadError> {
    if bytes.len() > RAW_MAX {
        return Err(CborError::TooLarge.into());
    }
    let mut r = Reader::new(bytes);
    r.array_exact(2)?;
    let dom = r.u32()?;
    let count = r.array()?;
    check_count(count, 1..=MAP_CHUNKS_MAX, "parts")?;
    let mut map = Map {
        dom,
        parts: Vec::with_capacity(count),
    };
    for _ in 0..count {
        map.parts.push(read_part(&mut r)?);
    }
    r.finish()?;
    check(&map, n_refs)?;
    Ok(map)
}

fn read_part(r: &mut Reader<'_>) -> Result<MapPart, PayloadError> {
    match (r.array()?, r.take_null()) {
        (2, true) => Ok(MapPart::Hole { len: r.uint()? }),
        (3, false) => Ok(MapPart::Chunk {
            ref_idx: r.u32()?,
            len: r.u32()?,
            key: *r.bytes_exact()?,
        }),
        _ => Err(CborError::OutOfRange.into()),
    }
}
