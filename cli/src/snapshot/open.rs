//! Fetching objects and opening them: nothing is used before id, seal and kind are checked.

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::keyset::KeyLack;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::{Header, Kind, ObjectError, parse_header};
use packnback_proto::format::object::{
    ChunkOpening, open_chunk_in_place, open_chunk_into, open_object,
};
use packnback_proto::ids::ObjectId;

use super::layout::Place;
use super::source::{Coming, ObjectSource};
use crate::client::ClientError;
use crate::keys::ReaderKeys;
use crate::progress::{Counters, Progress};

/// An object could not be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The source does not have it.
    #[error("object {} is missing", .0.short())]
    Missing(ObjectId),
    /// It is not what it should be.
    #[error("object {} is damaged: {}", .0.short(), .1)]
    Bad(ObjectId, String),
    /// The keys at hand do not open it.
    #[error("object {} stays closed: {}", .0.short(), .1)]
    Closed(ObjectId, KeyLack),
    /// The source cannot be talked to: no use going on.
    #[error(transparent)]
    Source(#[from] ClientError),
}

impl Fault {
    /// For people.
    #[must_use]
    pub fn reason(&self) -> String {
        self.to_string()
    }
}

pub(super) fn bad(id: ObjectId, error: impl std::fmt::Display) -> Fault {
    Fault::Bad(id, error.to_string())
}

/// Whether the bytes are not those of their address.
fn is_of_address(error: &ObjectError) -> bool {
    matches!(error, ObjectError::WrongId(_) | ObjectError::TooLarge(_))
}

/// Where objects come from, and who opens them.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    source: &'a dyn ObjectSource,
    keys: &'a ReaderKeys,
    counters: Option<&'a dyn Progress>,
}

/// An opened object.
pub(super) struct Opened {
    pub(super) id: ObjectId,
    pub(super) header: Header,
    pub(super) raw: Vec<u8>,
}

/// Buffers of one thread that opens chunks.
#[derive(Default)]
pub(crate) struct Room {
    sealed: Vec<u8>,
    spare: Vec<u8>,
}

/// Objects on their way.
pub(crate) struct Asked<'a> {
    coming: Coming<'a>,
    counters: Option<&'a dyn Progress>,
}

impl Asked<'_> {
    /// The next of them, as it came.
    pub(crate) fn take(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let next = self.coming.next();
        let object = next.unwrap_or(Err(ClientError::OutOfTurn("Get")))?;
        if let (Some(progress), Some(bytes)) = (self.counters, &object) {
            let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            Counters::add(&progress.counters().bytes_moved, len);
        }
        Ok(object)
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a dyn ObjectSource, keys: &'a ReaderKeys) -> Self {
        Self {
            source,
            keys,
            counters: None,
        }
    }

    /// Shows there what was fetched.
    pub(crate) fn counting(self, progress: &'a dyn Progress) -> Self {
        Self {
            counters: Some(progress),
            ..self
        }
    }

    pub(crate) fn keys(&self) -> &'a ReaderKeys {
        self.keys
    }

    /// Asks for objects; they are taken later.
    pub(crate) fn ask(&self, ids: &[ObjectId]) -> Result<Asked<'a>, ClientError> {
        Ok(Asked {
            coming: self.source.ask(ids)?,
            counters: self.counters,
        })
    }

    /// Opens what came, or what others have if that is nothing or something else.
    pub(super) fn open(
        &self,
        decompressor: &mut Decompressor,
        id: ObjectId,
        bytes: Option<Vec<u8>>,
        kinds: &[Kind],
    ) -> Result<Opened, Fault> {
        self.sound(id, bytes, |bytes| {
            self.open_bytes(decompressor, id, bytes, kinds)
        })
    }

    fn open_bytes(
        &self,
        decompressor: &mut Decompressor,
        id: ObjectId,
        bytes: &[u8],
        kinds: &[Kind],
    ) -> Result<Opened, Fault> {
        let (header, _) = parse_header(bytes).map_err(|e| bad(id, e))?;
        let epk = header.epk.filter(|_| kinds.contains(&header.kind));
        let epk = epk.ok_or_else(|| bad(id, "it is of another kind than its place says"))?;
        let closed = |lack| match lack {
            KeyLack::Crypto(error) => bad(id, error),
            lack => Fault::Closed(id, lack),
        };
        // What names files opens with less than what holds their contents.
        let (header, raw) = if matches!(header.kind, Kind::Root | Kind::Index | Kind::Segment) {
            let key = self.keys.node(&epk, header.epoch).map_err(closed)?;
            open_object(decompressor, bytes, &id, &key)
        } else {
            let session = self.keys.session(&epk, header.epoch).map_err(closed)?;
            let key = session.object_key(header.kind);
            let key = key.ok_or_else(|| bad(id, "it is of another kind than its place says"))?;
            open_object(decompressor, bytes, &id, key)
        }
        .map_err(|e| bad(id, e))?;
        Ok(Opened { id, header, raw })
    }

    /// Opens a chunk that came into `out`, or what others have in its stead.
    pub(crate) fn open_chunk(
        &self,
        decompressor: &mut Decompressor,
        place: &Place,
        bytes: Option<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let id = place.id;
        let len = usize::try_from(place.len).map_err(|e| bad(id, e))?;
        self.sound(id, bytes, |bytes| {
            let ck = Some(&*place.ck);
            open_chunk_into(decompressor, bytes, &id, &place.k, ck, len, out)
                .map_err(|e: ObjectError| bad(id, e))
        })
    }

    /// Opens a chunk that came, or what others have in its stead: without a copy of what is not compressed.
    /// The content stays in `room` until that is used again.
    pub(crate) fn open_chunk_in<'r>(
        &self,
        decompressor: &mut Decompressor,
        place: &Place,
        bytes: Option<Vec<u8>>,
        room: &'r mut Room,
    ) -> Result<&'r [u8], Fault> {
        let id = place.id;
        let keys = ChunkOpening {
            k: &place.k,
            ck: &place.ck,
            len: usize::try_from(place.len).map_err(|e| bad(id, e))?,
        };
        let Room { sealed, spare } = room;
        let mut open = |bytes, sealed: &mut Vec<u8>| {
            *sealed = bytes;
            open_chunk_in_place(decompressor, sealed, &id, keys, spare)
        };
        let opened = bytes.map(|bytes| open(bytes, sealed));
        let range = match opened {
            Some(Ok(range)) => range,
            Some(Err(error)) if !is_of_address(&error) => return Err(bad(id, error)),
            other => {
                let fault = match other {
                    Some(Err(error)) => bad(id, error),
                    _ => Fault::Missing(id),
                };
                let bytes = self.source.again(&id)?.ok_or(fault)?;
                open(bytes, sealed).map_err(|e| bad(id, e))?
            }
        };
        Ok(match range {
            Some(range) => room.sealed.get(range).unwrap_or_default(),
            None => &room.spare,
        })
    }

    /// Uses what came. Where that is not what its address says, somebody else may have it.
    fn sound<T>(
        &self,
        id: ObjectId,
        bytes: Option<Vec<u8>>,
        mut open: impl FnMut(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let fault = match &bytes {
            None => Fault::Missing(id),
            Some(bytes) => match open(bytes) {
                Ok(opened) => return Ok(opened),
                // Whoever has it has these bytes.
                Err(fault) if object_id(bytes) == id => return Err(fault),
                Err(fault) => fault,
            },
        };
        drop(bytes);
        match self.source.again(&id)? {
            Some(bytes) => open(&bytes),
            None => Err(fault),
        }
    }

    /// Fetches and opens one object.
    pub(super) fn get(
        &self,
        decompressor: &mut Decompressor,
        id: ObjectId,
        kinds: &[Kind],
    ) -> Result<Opened, Fault> {
        let bytes = self.ask(&[id])?.take()?;
        self.open(decompressor, id, bytes, kinds)
    }
}
