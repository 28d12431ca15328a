//! Segments: entries in path order, with the places of their content turned into references.

use packnback_proto::format::entry::{Entry, FileData, Part};
use packnback_proto::format::entry_len;
use packnback_proto::format::payload::PayloadError;
use packnback_proto::format::segment::{Segment, Session, encode};
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{
    REFS_MAX, SEGMENT_ENTRIES_MAX, SEGMENT_RAW_MAX, SEGMENT_SESSIONS_MAX,
};

use crate::cache::{DataRef, PartRef, objects};

/// Room for the session table and the frame around it.
const TABLE_ROOM: usize = 256 << 10;

/// Position in a sorted list of references.
pub(super) fn position(refs: &[ObjectId], id: &ObjectId) -> Option<u32> {
    refs.binary_search(id)
        .ok()
        .and_then(|at| u32::try_from(at).ok())
}

/// Splits entries so that every part obeys the limits of a segment. Rarely more than one part: the
/// planner cuts before, by what it can see.
pub(super) fn split(entries: Vec<(Entry, DataRef)>) -> Vec<Vec<(Entry, DataRef)>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let (mut bytes, mut refs) = (0usize, 0usize);
    for (entry, data) in entries {
        let own_refs = match &data {
            DataRef::None => 0,
            DataRef::Small { .. } => 1,
            DataRef::Chunks { parts, .. } => parts.len(),
            DataRef::Maps(maps) => maps.len(),
        };
        let data_len = match &data {
            DataRef::Chunks { parts, kb, .. } => {
                parts.len().saturating_mul(16).saturating_add(kb.len())
            }
            _ => own_refs.saturating_mul(6).saturating_add(24),
        };
        let own = entry_len(&entry).saturating_add(data_len);
        let over = bytes.saturating_add(own).saturating_add(TABLE_ROOM) > SEGMENT_RAW_MAX
            || refs.saturating_add(own_refs) > REFS_MAX
            || part.len() >= SEGMENT_ENTRIES_MAX.min(SEGMENT_SESSIONS_MAX);
        if over && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            (bytes, refs) = (0, 0);
        }
        bytes = bytes.saturating_add(own);
        refs = refs.saturating_add(own_refs);
        part.push((entry, data));
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// A segment and its references, sorted.
pub(super) fn build(entries: Vec<(Entry, DataRef)>) -> Option<(Segment, Vec<ObjectId>)> {
    let mut refs: Vec<ObjectId> = entries.iter().flat_map(|(_, data)| objects(data)).collect();
    refs.sort_unstable();
    refs.dedup();
    let mut sessions: Vec<Session> = Vec::new();
    let mut done = Vec::with_capacity(entries.len());
    for (mut entry, data) in entries {
        entry.data = file_data(data, &refs, &mut sessions)?;
        done.push(entry);
    }
    Some((
        Segment {
            sessions,
            entries: done,
        },
        refs,
    ))
}

/// The bytes of a segment without what only its run could seal, so that two runs can be compared: the keys of chunks
/// follow from the chunks, and are sealed anew each time. `None` if there is nothing of the kind in it.
pub(super) fn of_no_run(segment: &Segment) -> Result<Option<Vec<u8>>, PayloadError> {
    if segment.sessions.is_empty() {
        return Ok(None);
    }
    let mut plain = segment.clone();
    plain.sessions = vec![([0; 32], 0)];
    for entry in &mut plain.entries {
        if let Some(FileData::Chunks { ses_idx, kb, .. }) = &mut entry.data {
            *ses_idx = 0;
            kb.fill(0);
        }
    }
    encode(&plain).map(Some)
}

/// `None` only if a reference is not in the list.
fn file_data(
    data: DataRef,
    refs: &[ObjectId],
    sessions: &mut Vec<Session>,
) -> Option<Option<FileData>> {
    Some(match data {
        DataRef::None => None,
        DataRef::Small { at, .. } => Some(FileData::Pack {
            ref_idx: position(refs, &at.pack)?,
            off: at.off,
            len: at.len,
        }),
        DataRef::Chunks {
            dom,
            session,
            parts,
            kb,
        } => Some(FileData::Chunks {
            dom,
            ses_idx: session_index(sessions, session)?,
            parts: parts
                .iter()
                .map(|part| inline_part(part, refs))
                .collect::<Option<_>>()?,
            kb,
        }),
        DataRef::Maps(maps) => Some(FileData::Maps {
            refs: maps
                .iter()
                .map(|id| position(refs, id))
                .collect::<Option<_>>()?,
        }),
    })
}

fn inline_part(part: &PartRef, refs: &[ObjectId]) -> Option<Part> {
    Some(match part {
        PartRef::Chunk { id, len } => Part::Chunk {
            ref_idx: position(refs, id)?,
            len: *len,
        },
        PartRef::Hole { len } => Part::Hole { len: *len },
    })
}

fn session_index(sessions: &mut Vec<Session>, session: Session) -> Option<u32> {
    let at = match sessions.iter().position(|s| *s == session) {
        Some(at) => at,
        None => {
            sessions.push(session);
            sessions.len().saturating_sub(1)
        }
    };
    u32::try_from(at).ok()
}
