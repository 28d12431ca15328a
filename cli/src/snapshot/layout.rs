//! Where the bytes of a file are: holes, and chunks with their keys, in file order.

use std::sync::Arc;

use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::entry::{DOM_PRIVATE, FileData, Part};
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::Kind;
use packnback_proto::format::keyblob::{chunk_ids, open_key_blob};
use packnback_proto::format::map::{self, MapPart};
use packnback_proto::format::segment::Session;
use packnback_proto::ids::ObjectId;

use super::open::{Asked, Fault, Reader, bad};
use super::tree::{Tables, reference};
use crate::keys::ReaderKeys;

/// A chunk, and with what it opens.
pub(crate) struct Place {
    pub(crate) id: ObjectId,
    pub(crate) k: Secret32,
    /// The key that `k` follows from, with the content.
    pub(crate) ck: Arc<Secret32>,
    pub(crate) len: u32,
}

impl Place {
    /// Whether both name the same content under the same keys.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.id == other.id
            && self.len == other.len
            && packnback_proto::crypto::primitives::equal(self.k.expose(), other.k.expose())
            && packnback_proto::crypto::primitives::equal(self.ck.expose(), other.ck.expose())
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            id: self.id,
            k: self.k.duplicate(),
            ck: Arc::clone(&self.ck),
            len: self.len,
        }
    }
}

/// One piece of a file.
pub(crate) enum Piece {
    Hole(u64),
    Chunk(Place),
}

impl Piece {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Hole(len) => *len,
            Self::Chunk(place) => u64::from(place.len),
        }
    }
}

/// Pieces of a file that are listed together, in file order.
pub(crate) struct Stretch {
    pub(crate) pieces: Vec<Piece>,
}

impl Stretch {
    pub(crate) fn len(&self) -> u64 {
        let lens = self.pieces.iter().map(Piece::len);
        lens.fold(0, u64::saturating_add)
    }
}

/// How the content of a file is listed.
pub(crate) enum Layout {
    /// Nothing in it.
    Empty,
    /// A part of a pack.
    Pack { id: ObjectId, off: u32, len: u32 },
    /// In its entry.
    Inline(Stretch),
    /// In maps, in file order.
    Maps(Vec<ObjectId>),
}

impl Layout {
    /// Opens what an entry says of its content.
    pub(crate) fn of(
        keys: &ReaderKeys,
        data: Option<&FileData>,
        tables: &Tables,
    ) -> Result<Self, String> {
        Ok(match data {
            None => Self::Empty,
            Some(FileData::Pack { ref_idx, off, len }) => Self::Pack {
                id: tables.object(*ref_idx),
                off: *off,
                len: *len,
            },
            Some(FileData::Chunks {
                dom,
                ses_idx,
                parts,
                kb,
            }) => {
                let session = tables.session(*ses_idx);
                Self::Inline(inline(keys, *dom, session, parts, kb, &tables.refs)?)
            }
            Some(FileData::Maps { refs }) => {
                Self::Maps(refs.iter().map(|map| tables.object(*map)).collect())
            }
        })
    }
}

fn inline(
    keys: &ReaderKeys,
    dom: u32,
    session: Session,
    parts: &[Part],
    kb: &[u8],
    refs: &[ObjectId],
) -> Result<Stretch, String> {
    let ids = chunk_ids(parts, refs).map_err(|e| e.to_string())?;
    let ck = Arc::new(key_of_keys(keys, dom, session)?);
    let session = keys
        .session(&session.0, session.1)
        .map_err(|e| e.to_string())?;
    let opened = open_key_blob(&session.blob, dom, &ids, kb).map_err(|e| e.to_string())?;
    let mut chunks = ids.into_iter().zip(opened.iter());
    let pieces = parts.iter().filter_map(|part| match *part {
        Part::Hole { len } => Some(Piece::Hole(len)),
        Part::Chunk { len, .. } => chunks.next().map(|(id, k)| {
            Piece::Chunk(Place {
                id,
                k: Secret32::init_with(|out| *out = *k),
                ck: Arc::clone(&ck),
                len,
            })
        }),
    });
    let pieces = pieces.collect();
    Ok(Stretch { pieces })
}

/// The key of chunk keys of a domain.
fn key_of_keys(keys: &ReaderKeys, dom: u32, session: Session) -> Result<Secret32, String> {
    if dom == DOM_PRIVATE {
        let session = keys
            .session(&session.0, session.1)
            .map_err(|e| e.to_string())?;
        Ok(session.chunk_priv.duplicate())
    } else {
        let group = keys.group(dom).map_err(|e| e.to_string())?;
        Ok(group.chunk().duplicate())
    }
}

impl Reader<'_> {
    /// Opens a map that was asked for.
    pub(crate) fn map(&self, id: ObjectId, mut asked: Asked<'_>) -> Result<Stretch, Fault> {
        let mut decompressor = Decompressor::new().map_err(|e| bad(id, e))?;
        let opened = self.open(&mut decompressor, id, asked.take()?, &[Kind::Map])?;
        let raw = zeroize::Zeroizing::new(opened.raw);
        let map = map::decode(&raw, opened.header.refs.len()).map_err(|e| bad(id, e))?;
        let session = (opened.header.epk.unwrap_or_default(), opened.header.epoch);
        let ck = key_of_keys(self.keys(), map.dom, session).map_err(|e| bad(id, e))?;
        let ck = Arc::new(ck);
        let pieces = map.parts.iter().map(|part| match part {
            MapPart::Hole { len } => Piece::Hole(*len),
            MapPart::Chunk { ref_idx, len, key } => Piece::Chunk(Place {
                id: reference(&opened.header.refs, *ref_idx),
                k: Secret32::init_with(|out| *out = *key),
                ck: Arc::clone(&ck),
                len: *len,
            }),
        });
        let pieces = pieces.collect();
        Ok(Stretch { pieces })
    }
}
