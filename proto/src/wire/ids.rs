//! Bodies that are not object bytes: lists of ids, bitmaps and lists of envelopes.

use crate::ids::{ID_LEN, ObjectId};
use crate::limits::RECORD_MAX;

/// A body did not have the promised shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not a whole number of ids.
    #[error("a list of ids must be a multiple of {ID_LEN} bytes, got {0}")]
    Ids(usize),
    /// More ids than the request allows.
    #[error("{got} ids in one request, at most {max} are allowed")]
    TooMany {
        /// Ids in the body.
        got: usize,
        /// Allowed.
        max: usize,
    },
    /// The bitmap does not fit the number of questions.
    #[error("a bitmap for {asked} ids cannot have {got} bytes")]
    Bitmap {
        /// Ids asked for.
        asked: usize,
        /// Bytes received.
        got: usize,
    },
    /// A list of records is cut off or holds an oversized one.
    #[error("a list of records is malformed")]
    Records,
}

/// Ids, one after the other.
#[must_use]
pub fn encode_ids(ids: &[ObjectId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.0).collect()
}

/// The reverse of [`encode_ids`].
///
/// # Errors
/// [`BodyError::Ids`] and [`BodyError::TooMany`].
pub fn decode_ids(body: &[u8], max: usize) -> Result<Vec<ObjectId>, BodyError> {
    let (ids, rest) = body.as_chunks::<ID_LEN>();
    if !rest.is_empty() {
        return Err(BodyError::Ids(body.len()));
    }
    if ids.len() > max {
        return Err(BodyError::TooMany {
            got: ids.len(),
            max,
        });
    }
    Ok(ids.iter().copied().map(ObjectId).collect())
}

/// Answers as bits, the first in the lowest bit of the first byte.
#[must_use]
pub fn encode_bitmap(answers: &[bool]) -> Vec<u8> {
    answers
        .chunks(8)
        .map(|byte| {
            byte.iter()
                .rev()
                .fold(0, |bits, &yes| (bits << 1) | u8::from(yes))
        })
        .collect()
}

/// The reverse of [`encode_bitmap`] for `asked` answers.
///
/// # Errors
/// [`BodyError::Bitmap`] if the length is wrong or unused bits are set.
pub fn decode_bitmap(body: &[u8], asked: usize) -> Result<Vec<bool>, BodyError> {
    let wrong = BodyError::Bitmap {
        asked,
        got: body.len(),
    };
    if body.len() != asked.div_ceil(8) {
        return Err(wrong);
    }
    let mut bits = body
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
    let answers: Vec<bool> = bits.by_ref().take(asked).collect();
    if bits.any(|bit| bit) {
        return Err(wrong);
    }
    Ok(answers)
}

/// Appends one envelope to a list of records: `u32` little endian length, then its bytes.
///
/// # Errors
/// [`BodyError::Records`] if it exceeds [`RECORD_MAX`].
pub fn push_record(body: &mut Vec<u8>, envelope: &[u8]) -> Result<(), BodyError> {
    let len = u32::try_from(envelope.len()).map_err(|_| BodyError::Records)?;
    if envelope.len() > RECORD_MAX {
        return Err(BodyError::Records);
    }
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(envelope);
    Ok(())
}

/// Splits a list of records into its envelopes.
///
/// # Errors
/// [`BodyError::Records`] if it is cut off or one exceeds [`RECORD_MAX`].
pub fn split_records(mut body: &[u8]) -> Result<Vec<&[u8]>, BodyError> {
    let mut envelopes = Vec::new();
    while !body.is_empty() {
        let (len, rest) = body.split_first_chunk::<4>().ok_or(BodyError::Records)?;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| BodyError::Records)?;
        if len > RECORD_MAX {
            return Err(BodyError::Records);
        }
        let (envelope, rest) = rest.split_at_checked(len).ok_or(BodyError::Records)?;
        envelopes.push(envelope);
        body = rest;
    }
    Ok(envelopes)
}
