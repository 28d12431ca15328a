//! Fetching objects and opening them: nothing is used before id, seal and kind are checked.

use packnback_proto::crypto::keyset::KeyLack;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::{Header, Kind, parse_header};
use packnback_proto::format::object::open_object;
use packnback_proto::ids::ObjectId;

use super::keys::ReaderKeys;
use super::options::RestoreError;
use crate::client::{ClientError, ObjectSource};
use crate::progress::{Counters, Progress};

/// An object could not be used.
#[derive(Debug, Clone)]
pub(super) enum ObjectFault {
    /// The source does not have it.
    Missing(ObjectId),
    /// It is not what it should be.
    Bad(ObjectId, String),
    /// The keys at hand do not open it.
    Closed(ObjectId, KeyLack),
    /// The source cannot be talked to: no use going on.
    Source(ClientError),
}

impl ObjectFault {
    /// For people.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Missing(id) => format!("object {} is missing", id.short()),
            Self::Bad(id, reason) => format!("object {} is damaged: {reason}", id.short()),
            Self::Closed(id, lack) => format!("object {} stays closed: {lack}", id.short()),
            Self::Source(error) => error.to_string(),
        }
    }

    pub(super) fn into_error(self) -> RestoreError {
        match self {
            Self::Missing(id) => RestoreError::Object {
                id,
                reason: "it is missing".into(),
            },
            Self::Bad(id, reason) => RestoreError::Object { id, reason },
            Self::Closed(_, lack) => RestoreError::Key(lack),
            Self::Source(error) => error.into(),
        }
    }
}

pub(super) fn bad(id: ObjectId, error: impl std::fmt::Display) -> ObjectFault {
    ObjectFault::Bad(id, error.to_string())
}

/// Where objects come from, and who opens them.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) source: &'a dyn ObjectSource,
    pub(super) keys: &'a ReaderKeys,
    pub(super) counters: Option<&'a dyn Progress>,
}

/// An opened object.
pub(super) struct Opened {
    pub(super) id: ObjectId,
    pub(super) header: Header,
    pub(super) raw: Vec<u8>,
}

impl Reader<'_> {
    /// Fetches objects as they are.
    pub(super) fn fetch(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ObjectFault> {
        let objects = self.source.get(ids).map_err(ObjectFault::Source)?;
        if let Some(progress) = self.counters {
            let bytes: usize = objects.iter().flatten().map(Vec::len).sum();
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            Counters::add(&progress.counters().bytes_moved, bytes);
        }
        Ok(objects)
    }

    /// Opens what was fetched, as one of the kinds that belong there.
    pub(super) fn open(
        &self,
        decompressor: &mut Decompressor,
        id: ObjectId,
        bytes: Option<Vec<u8>>,
        kinds: &[Kind],
    ) -> Result<Opened, ObjectFault> {
        let bytes = bytes.ok_or(ObjectFault::Missing(id))?;
        let (header, _) = parse_header(&bytes).map_err(|e| bad(id, e))?;
        let epk = header.epk.filter(|_| kinds.contains(&header.kind));
        let epk = epk.ok_or_else(|| bad(id, "it is of another kind than its place says"))?;
        let closed = |lack| match lack {
            KeyLack::Crypto(error) => bad(id, error),
            lack => ObjectFault::Closed(id, lack),
        };
        // What names files opens with less than what holds their contents.
        let (header, raw) = if matches!(header.kind, Kind::Root | Kind::Index | Kind::Segment) {
            let key = self.keys.node(&epk, header.epoch).map_err(closed)?;
            open_object(decompressor, &bytes, &id, &key)
        } else {
            let session = self.keys.session(&epk, header.epoch).map_err(closed)?;
            let key = session.object_key(header.kind);
            let key = key.ok_or_else(|| bad(id, "it is of another kind than its place says"))?;
            open_object(decompressor, &bytes, &id, key)
        }
        .map_err(|e| bad(id, e))?;
        Ok(Opened { id, header, raw })
    }

    /// Fetches and opens one object.
    pub(super) fn get(
        &self,
        decompressor: &mut Decompressor,
        id: ObjectId,
        kinds: &[Kind],
    ) -> Result<Opened, ObjectFault> {
        let bytes = self.fetch(&[id])?.pop().flatten();
        self.open(decompressor, id, bytes, kinds)
    }
}
