//! What may be wrong with the plain payload of a segment, map, index or root.

use super::path::PathError;
use crate::cbor::CborError;
use crate::crypto::CryptoError;

/// Why a payload was refused. It was authentic when this is raised, so the device that wrote it is
/// at fault; the same bytes will never be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not the strict CBOR of a payload.
    #[error("malformed payload: {0}")]
    Cbor(#[from] CborError),
    /// A path against the rules.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Entries or children not strictly ascending by path.
    #[error("paths are not in order")]
    PathOrder,
    /// Too many or too few items, or something too long, in the named field.
    #[error("{0}: too many, too few, or too long")]
    Limit(&'static str),
    /// An entry type this version does not know.
    #[error("unknown type of entry {0}")]
    UnknownType(u64),
    /// A way to store data this version does not know.
    #[error("unknown kind of file data {0}")]
    UnknownData(u64),
    /// A field that does not go with the type of its entry, or has no valid value.
    #[error("{0}: does not fit the entry")]
    Field(&'static str),
    /// An index beyond the reference list of the object.
    #[error("reference {0} is not in the list of the object")]
    Reference(u32),
    /// An index beyond the session table of the segment.
    #[error("session {0} is not in the table of the segment")]
    Session(u32),
    /// The parts of a file do not add up to its size.
    #[error("the parts of a file do not add up to its size")]
    Size,
    /// Chunk keys that do not open: for another file, session or domain, or changed.
    #[error("chunk keys do not open: {0}")]
    KeyBlob(CryptoError),
    /// Chunk keys for another number of chunks.
    #[error("there are not as many chunk keys as chunks")]
    KeyCount,
    /// An index or segment that does not hold what its parent says.
    #[error("a part of the tree does not hold what its parent says")]
    Child,
}

impl PayloadError {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Cbor(e) => e.class(),
            Self::Path(e) => e.class(),
            Self::PathOrder => "path-order",
            Self::Limit(_) => "limit",
            Self::UnknownType(_) => "unknown-type",
            Self::UnknownData(_) => "unknown-data",
            Self::Field(_) => "field",
            Self::Reference(_) => "reference",
            Self::Session(_) => "session",
            Self::Size => "size",
            Self::KeyBlob(_) => "key-blob",
            Self::KeyCount => "key-count",
            Self::Child => "child",
        }
    }
}

/// Checks an index into the reference list.
pub(super) fn check_ref(ref_idx: u32, n_refs: usize) -> Result<(), PayloadError> {
    match usize::try_from(ref_idx) {
        Ok(idx) if idx < n_refs => Ok(()),
        _ => Err(PayloadError::Reference(ref_idx)),
    }
}

/// Checks a number of items or bytes.
pub(super) fn check_count(
    count: usize,
    range: std::ops::RangeInclusive<usize>,
    name: &'static str,
) -> Result<(), PayloadError> {
    if range.contains(&count) {
        Ok(())
    } else {
        Err(PayloadError::Limit(name))
    }
}
