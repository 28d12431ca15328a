//! The frame around every message, on the local socket and between nodes:
//!
//! ```text
//! header_len u32 LE | body_len u32 LE | header: CBOR | body: raw bytes
//! ```
//!
//! Pure: bytes in, values out. Lengths are checked against `crate::limits` before a reader
//! allocates anything. To read a frame: take [`HEAD_LEN`] bytes, [`FrameHead::parse`], then that
//! many header bytes for [`decode`], then the body.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::{FRAME_BODY_MAX, FRAME_HEADER_MAX};
use crate::text::{Text, clean};

/// Bytes before the header: the two lengths.
pub const HEAD_LEN: usize = 8;

/// Usual size of a header, with much to spare.
const HEADER_ROOM: usize = 512;

/// Longest name of an unknown message that is kept for the error text.
const NAME_SHOWN_MAX: usize = 64;

/// A frame was refused. All of them are the sender's fault and end the connection, but for
/// [`FrameError::UnknownMessage`]: the sender may just be newer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header length is zero or over the limit.
    #[error("frame header of {0} bytes, allowed are 1 to {FRAME_HEADER_MAX}")]
    HeaderSize(u64),
    /// The body length is over the limit.
    #[error("frame body of {0} bytes, at most {FRAME_BODY_MAX} are allowed")]
    BodySize(u64),
    /// A message of this name is not known to this version.
    #[error("unknown message {0:?}: the sender may be of a newer version")]
    UnknownMessage(Text),
    /// The header is not one well-formed message.
    #[error("malformed message: {0}")]
    Malformed(Text),
}

/// The two lengths at the start of a frame, already checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of the CBOR header.
    pub header_len: usize,
    /// Bytes of the body.
    pub body_len: usize,
}

impl FrameHead {
    /// Reads and checks the lengths.
    ///
    /// # Errors
    /// [`FrameError::HeaderSize`], [`FrameError::BodySize`].
    pub fn parse(bytes: [u8; HEAD_LEN]) -> Result<Self, FrameError> {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self::checked(
            u32::from_le_bytes([a, b, c, d]).into(),
            u32::from_le_bytes([e, f, g, h]).into(),
        )
    }

    fn checked(header: u64, body: u64) -> Result<Self, FrameError> {
        let header_len = usize::try_from(header).map_err(|_| FrameError::HeaderSize(header))?;
        let body_len = usize::try_from(body).map_err(|_| FrameError::BodySize(body))?;
        if header_len == 0 || header_len > FRAME_HEADER_MAX {
            return Err(FrameError::HeaderSize(header));
        }
        if body_len > FRAME_BODY_MAX {
            return Err(FrameError::BodySize(body));
        }
        Ok(Self {
            header_len,
            body_len,
        })
    }
}

/// The lengths and the header of a frame whose body of `body_len` bytes follows on the wire:
/// write the result, then the body, and no copy of the body is made.
///
/// # Errors
/// [`FrameError`] if the message or the body is over the limits.
pub fn encode<T: Serialize>(message: &T, body_len: usize) -> Result<Vec<u8>, FrameError> {
    // Room for most messages: a buffer that grows leaves its old bytes behind, and some hold a secret.
    let mut out = Vec::with_capacity(HEADER_ROOM);
    out.resize(HEAD_LEN, 0);
    serde_cbor::to_writer(&mut out, message)
        .map_err(|e| FrameError::Malformed(e.to_string().into()))?;
    let header_len = out.len() - HEAD_LEN;
    let wide = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    FrameHead::checked(wide(header_len), wide(body_len))?;
    let narrow = |len: usize| u32::try_from(len).map(u32::to_le_bytes);
    let (Ok(header), Ok(body)) = (narrow(header_len), narrow(body_len)) else {
        return Err(FrameError::BodySize(wide(body_len)));
    };
    for (to, from) in out.iter_mut().zip(header.into_iter().chain(body)) {
        *to = from;
    }
    Ok(out)
}

/// A whole frame in one buffer, for small bodies.
///
/// # Errors
/// As [`encode`].
pub fn encode_whole<T: Serialize>(message: &T, body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = encode(message, body.len())?;
    out.extend_from_slice(body);
    Ok(out)
}

/// Reads the header of a frame. Fields this version does not know are ignored, a message it does
/// not know is [`FrameError::UnknownMessage`].
///
/// # Errors
/// [`FrameError::UnknownMessage`], [`FrameError::Malformed`].
pub fn decode<T: DeserializeOwned>(header: &[u8]) -> Result<T, FrameError> {
    if header.is_empty() || header.len() > FRAME_HEADER_MAX {
        return Err(FrameError::HeaderSize(
            u64::try_from(header.len()).unwrap_or(u64::MAX),
        ));
    }
    serde_cbor::from_slice(header).map_err(|error| match unknown_name(header, &error) {
        Some(name) => FrameError::UnknownMessage(name),
        None => FrameError::Malformed(error.to_string().into()),
    })
}

/// The name of the message, if the decoder failed because it did not know it.
fn unknown_name(header: &[u8], error: &serde_cbor::Error) -> Option<Text> {
    if !error.to_string().starts_with("unknown variant") {
        return None;
    }
    let mut message = serde_cbor::from_slice(header).ok()?;
    if let serde_cbor::Value::Array(tagged) = message {
        // A number, and the message.
        message = tagged.into_iter().nth(1)?;
    }
    let name = match message {
        serde_cbor::Value::Text(name) => name,
        serde_cbor::Value::Map(map) => match map.into_iter().next()? {
            (serde_cbor::Value::Text(name), _) => name,
            _ => return None,
        },
        _ => return None,
    };
    Some(clean(&name, NAME_SHOWN_MAX).into())
}

/// A structured body that may grow beyond a header (status lists).
///
/// # Errors
/// [`FrameError::BodySize`] if it exceeds the limit.
pub fn encode_body<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let body =
        serde_cbor::to_vec(value).map_err(|e| FrameError::Malformed(e.to_string().into()))?;
    if body.len() > FRAME_BODY_MAX {
        return Err(FrameError::BodySize(
            u64::try_from(body.len()).unwrap_or(u64::MAX),
        ));
    }
    Ok(body)
}

/// The reverse of [`encode_body`].
///
/// # Errors
/// [`FrameError::Malformed`].
pub fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    serde_cbor::from_slice(body).map_err(|e| FrameError::Malformed(e.to_string().into()))
}
