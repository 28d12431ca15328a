//! The one strict CBOR layer: deterministic encoding of RFC 8949, section 4.2.1, and nothing else.
//!
//! Two ways in, one rule book ([`Reader`]'s heads decide what is allowed in both):
//! - [`decode_value`] checks the whole item first ([`check`]) and then hands it to `serde_cbor`;
//!   records, small and rare, are decoded from that [`Value`].
//! - [`Reader`] and [`Writer`] pull and push items directly, without a tree in between; segments,
//!   maps, indexes and roots, which are large and many, use these, and key files, whose secrets
//!   should not be copied about.
//!
//! Refused: integers and lengths not in their shortest form, indefinite lengths, floats, tags,
//! `undefined` and other simple values, text that is not UTF-8, map keys that are arrays or maps,
//! repeat, or are not in ascending order of their encoded bytes, nesting or sizes over the given
//! bounds, and bytes after the item.

mod reader;
mod value;
mod writer;

pub use reader::{MapKeys, Reader, RequiredKeys};
pub use serde_cbor::Value;
pub use value::{ByteString, Fields, FromValue, ToValue, decode_value, encode_value, int_map};
pub use writer::Writer;

/// Why bytes are not the CBOR we accept. Trying again does not help: the sender is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("CBOR ends too early")]
    Truncated,
    /// There are bytes behind the item.
    #[error("bytes behind the CBOR item")]
    Trailing,
    /// An integer or length is not in its shortest form.
    #[error("CBOR number is not in its shortest form")]
    NotShortest,
    /// An item of indefinite length.
    #[error("CBOR of indefinite length")]
    Indefinite,
    /// A reserved head byte.
    #[error("malformed CBOR")]
    Malformed,
    /// A float, tag, `undefined` or other simple value.
    #[error("CBOR float, tag or simple value where none is allowed")]
    Forbidden,
    /// A map key repeats.
    #[error("CBOR map key repeats")]
    DuplicateKey,
    /// Map keys are not in ascending order.
    #[error("CBOR map keys are not in order")]
    KeyOrder,
    /// Text is not UTF-8.
    #[error("CBOR text is not UTF-8")]
    NotUtf8,
    /// Nested more deeply than allowed.
    #[error("CBOR is nested too deeply")]
    TooDeep,
    /// Longer than allowed.
    #[error("CBOR is too long")]
    TooLarge,
    /// An item of another type than the format says.
    #[error("CBOR item has the wrong type")]
    WrongType,
    /// A number or length outside the range the format says.
    #[error("CBOR value is out of range")]
    OutOfRange,
    /// A map key the format does not have.
    #[error("CBOR map key {0} is unknown")]
    UnknownKey(u64),
    /// A map key the format requires is missing.
    #[error("CBOR map key {0} is missing")]
    MissingKey(u64),
}

impl CborError {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Truncated => "cbor-truncated",
            Self::Trailing => "cbor-trailing",
            Self::NotShortest => "cbor-not-shortest",
            Self::Indefinite => "cbor-indefinite",
            Self::Malformed => "cbor-malformed",
            Self::Forbidden => "cbor-forbidden",
            Self::DuplicateKey => "cbor-duplicate-key",
            Self::KeyOrder => "cbor-key-order",
            Self::NotUtf8 => "cbor-not-utf8",
            Self::TooDeep => "cbor-too-deep",
            Self::TooLarge => "cbor-too-large",
            Self::WrongType => "cbor-wrong-type",
            Self::OutOfRange => "cbor-out-of-range",
            Self::UnknownKey(_) => "cbor-unknown-key",
            Self::MissingKey(_) => "cbor-missing-key",
        }
    }
}

/// Bounds for one decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes.
    pub len: usize,
    /// Deepest nesting: a plain number is at depth 1, the numbers of a list at depth 2.
    pub depth: usize,
}

/// Checks that `bytes` are exactly one item of deterministic CBOR within `bounds`.
///
/// # Errors
/// [`CborError`], the first problem found.
pub fn check(bytes: &[u8], bounds: Bounds) -> Result<(), CborError> {
    if bytes.len() > bounds.len {
        return Err(CborError::TooLarge);
    }
    let mut reader = Reader::new(bytes);
    reader.skip(bounds.depth)?;
    reader.finish()
}
