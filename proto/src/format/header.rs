//! The clear header of an object, and every check a host makes without a key.
//!
//! ```text
//!  0  "PNB1"      4  kind u8       5  suite u8 = 1      6  height u8      7  zero
//!  8  LE32 nrefs (0 for chunk and pack)                12  LE32 key epoch (0 for chunk)
//! 16  epk[32]     every kind but chunk
//! ..  nrefs x id[32], strictly ascending
//! ..  sealed frame: nonce[24] || ciphertext || tag[16]
//! ```

use super::frame;
use crate::crypto::hash::object_id;
use crate::crypto::seal;
use crate::ids::{ID_LEN, ObjectId};
use crate::limits::{OBJECT_MAX, REFS_MAX};

/// The first four bytes of every object.
pub const MAGIC: [u8; 4] = *b"PNB1";
/// The only algorithm suite of format 1.
pub const SUITE: u8 = 1;
/// Length of the header of a chunk.
pub const FIXED_LEN: usize = 16;
/// Length of a session's public key in the header.
pub const EPK_LEN: usize = 32;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A piece of a large file, sealed under a key made from its content.
    Chunk = 0,
    /// Small files, one after the other.
    Pack = 1,
    /// A run of entries.
    Segment = 2,
    /// A list of segments or indexes.
    Index = 3,
    /// The chunks of a very large file.
    Map = 4,
    /// The top of a snapshot.
    Root = 5,
}

impl Kind {
    /// Reads the kind byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Chunk,
            1 => Self::Pack,
            2 => Self::Segment,
            3 => Self::Index,
            4 => Self::Map,
            5 => Self::Root,
            _ => return None,
        })
    }

    /// The kind byte.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// Whether an object of this kind names others.
    #[must_use]
    pub fn has_refs(self) -> bool {
        !matches!(self, Self::Chunk | Self::Pack)
    }

    /// Whether `height` is legal for this kind.
    #[must_use]
    pub fn allows_height(self, height: u8) -> bool {
        match self {
            Self::Chunk | Self::Pack => height == 0,
            Self::Map => height == 1,
            Self::Segment => height == 2,
            Self::Index => (3..=7).contains(&height),
            Self::Root => height == 8,
        }
    }
}

/// The clear header of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What the object is.
    pub kind: Kind,
    /// Level in the tree: every reference goes to a lower one.
    pub height: u8,
    /// Key epoch; 0 for chunks.
    pub epoch: u32,
    /// Public key of the session that sealed the object; none for chunks.
    pub epk: Option<[u8; EPK_LEN]>,
    /// The objects this one names, strictly ascending.
    pub refs: Vec<ObjectId>,
}

/// Why bytes are not an object. All but [`ObjectError::WrongId`] hold for the bytes wherever they
/// come from: whoever made them is at fault. A wrong id may also be damage on disk or on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The bytes do not hash to the id they go by.
    #[error("the bytes are not those of object {0}")]
    WrongId(ObjectId),
    /// Longer than any object may be.
    #[error("object of {0} bytes is too large")]
    TooLarge(usize),
    /// Ends within the header or before the smallest payload.
    #[error("object is cut short")]
    Truncated,
    /// Does not begin with the magic bytes.
    #[error("not a packnback object")]
    Magic,
    /// A kind of object this version does not know.
    #[error("unknown kind of object {0}")]
    UnknownKind(u8),
    /// An algorithm suite this version does not know.
    #[error("unknown algorithm suite {0}")]
    UnknownSuite(u8),
    /// Height not legal for the kind.
    #[error("height {height} is not allowed for {kind:?}")]
    Height {
        /// The kind.
        kind: Kind,
        /// The height found.
        height: u8,
    },
    /// The reserved byte is not zero.
    #[error("reserved byte is not zero")]
    Reserved,
    /// References where none are allowed, or too many.
    #[error("{0} references are not allowed here")]
    RefCount(u32),
    /// References not strictly ascending (unsorted or repeated).
    #[error("references are not strictly ascending")]
    RefOrder,
    /// A chunk with a key epoch, or with a session key; or another kind without one.
    #[error("session key or epoch does not fit the kind")]
    Session,
    /// Payload length that no padded frame has: bytes missing or trailing.
    #[error("payload of {0} bytes is not a padded frame")]
    PayloadLength(usize),
    /// The object is of another kind than its place says.
    #[error("expected {expected:?}, found {found:?}")]
    WrongKind {
        /// The kind that belongs there.
        expected: Kind,
        /// The kind found.
        found: Kind,
    },
    /// Sealing failed or the sealed bytes do not open.
    #[error(transparent)]
    Crypto(#[from] crate::crypto::CryptoError),
    /// The frame inside is malformed.
    #[error(transparent)]
    Frame(#[from] frame::FrameError),
    /// The content is not as long as its entry says.
    #[error("content has {found} bytes, expected {expected}")]
    ContentLength {
        /// What the entry says.
        expected: usize,
        /// What was found.
        found: usize,
    },
    /// The content of a chunk is not the one its key was made from.
    #[error("content does not belong to its key")]
    ContentKey,
}

impl Header {
    /// The header of a chunk.
    #[must_use]
    pub fn chunk() -> Self {
        Self {
            kind: Kind::Chunk,
            height: 0,
            epoch: 0,
            epk: None,
            refs: Vec::new(),
        }
    }

    /// Length of the encoded header: where the payload begins.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let epk = if self.epk.is_some() { EPK_LEN } else { 0 };
        let refs = self.refs.len().saturating_mul(ID_LEN);
        FIXED_LEN.saturating_add(epk).saturating_add(refs)
    }

    /// Checks what [`parse_header`] checks, for a header about to be written.
    ///
    /// # Errors
    /// As [`parse_header`].
    pub fn check(&self) -> Result<(), ObjectError> {
        if !self.kind.allows_height(self.height) {
            return Err(ObjectError::Height {
                kind: self.kind,
                height: self.height,
            });
        }
        let is_chunk = self.kind == Kind::Chunk;
        if is_chunk != self.epk.is_none() || (is_chunk && self.epoch != 0) {
            return Err(ObjectError::Session);
        }
        check_ref_count(self.kind, self.refs.len())?;
        if !self.refs.is_sorted_by(|a, b| a < b) {
            return Err(ObjectError::RefOrder);
        }
        Ok(())
    }

    /// Appends the encoded header.
    ///
    /// # Errors
    /// As [`Header::check`]; `out` is then unchanged.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), ObjectError> {
        self.check()?;
        let nrefs = check_ref_count(self.kind, self.refs.len())?;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.kind.byte(), SUITE, self.height, 0]);
        out.extend_from_slice(&nrefs.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(self.epk.as_ref().map_or(&[][..], |epk| epk));
        for id in &self.refs {
            out.extend_from_slice(id.as_bytes());
        }
        Ok(())
    }
}

fn check_ref_count(kind: Kind, n: usize) -> Result<u32, ObjectError> {
    let nrefs = u32::try_from(n).map_err(|_| ObjectError::RefCount(u32::MAX))?;
    let max = if kind.has_refs() { REFS_MAX } else { 0 };
    if n > max {
        Err(ObjectError::RefCount(nrefs))
    } else {
        Ok(nrefs)
    }
}

/// Takes `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], ObjectError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(ObjectError::Truncated)?;
    *bytes = rest;
    Ok(*head)
}

/// Reads the header and makes every check that needs no key; returns it with the offset of the
/// payload. It allocates for no more references than the bytes hold.
///
/// Not checked here: the id (see [`verify_object`]), and that references go to lower heights,
/// which needs the objects they name.
///
/// # Errors
/// [`ObjectError`]: what is wrong, the first in header order.
pub fn parse_header(bytes: &[u8]) -> Result<(Header, usize), ObjectError> {
    if bytes.len() > OBJECT_MAX {
        return Err(ObjectError::TooLarge(bytes.len()));
    }
    let mut rest = bytes;
    if take::<4>(&mut rest)? != MAGIC {
        return Err(ObjectError::Magic);
    }
    let [kind, suite, height, reserved] = take(&mut rest)?;
    let nrefs = u32::from_le_bytes(take(&mut rest)?);
    let epoch = u32::from_le_bytes(take(&mut rest)?);
    let kind = Kind::from_byte(kind).ok_or(ObjectError::UnknownKind(kind))?;
    if suite != SUITE {
        return Err(ObjectError::UnknownSuite(suite));
    }
    if !kind.allows_height(height) {
        return Err(ObjectError::Height { kind, height });
    }
    if reserved != 0 {
        return Err(ObjectError::Reserved);
    }
    let n = usize::try_from(nrefs).map_err(|_| ObjectError::RefCount(nrefs))?;
    check_ref_count(kind, n)?;
    let epk = match kind {
        Kind::Chunk => None,
        _ => Some(take::<EPK_LEN>(&mut rest)?),
    };
    let refs_len = n.checked_mul(ID_LEN).ok_or(ObjectError::Truncated)?;
    let (refs, payload) = rest
        .split_at_checked(refs_len)
        .ok_or(ObjectError::Truncated)?;
    let (refs, _) = refs.as_chunks::<ID_LEN>();
    let header = Header {
        kind,
        height,
        epoch,
        epk,
        refs: refs.iter().copied().map(ObjectId).collect(),
    };
    header.check()?;
    check_payload_len(payload.len())?;
    Ok((header, bytes.len().saturating_sub(payload.len())))
}

/// A payload is nonce, padded frame, tag; and a padded frame has only certain lengths.
fn check_payload_len(len: usize) -> Result<(), ObjectError> {
    let frame_len = len
        .checked_sub(seal::OVERHEAD)
        .ok_or(ObjectError::Truncated)?;
    if frame_len < frame::FRAME_MIN {
        Err(ObjectError::Truncated)
    } else if frame::is_frame_len(frame_len) {
        Ok(())
    } else {
        Err(ObjectError::PayloadLength(len))
    }
}

/// What a host does with received bytes before it stores them: the id is recomputed, then the
/// header checked.
///
/// # Errors
/// [`ObjectError::WrongId`], or as [`parse_header`].
pub fn verify_object(id: &ObjectId, bytes: &[u8]) -> Result<Header, ObjectError> {
    if bytes.len() > OBJECT_MAX {
        return Err(ObjectError::TooLarge(bytes.len()));
    }
    if object_id(bytes) != *id {
        return Err(ObjectError::WrongId(*id));
    }
    parse_header(bytes).map(|(header, _)| header)
}
