//! Segments: a run of entries in path order, and the sessions whose keys they need.
//!
//! ```text
//! segment = { 1: [* session], 2: [* entry] }      session = [epk bstr32, e uint]
//! ```
//! Entries are described in [`super::entry`]; docs/format.md has their encoding.

use super::entry::Entry;
use super::entry_codec::{Scope, check_entry, read_entry, write_entry};
use super::path::ascending;
use super::payload::{PayloadError, check_count};
use crate::cbor::{CborError, Reader, Writer};
use crate::limits::{REFS_MAX, SEGMENT_ENTRIES_MAX, SEGMENT_RAW_MAX, SEGMENT_SESSIONS_MAX};

/// An upload session: its public key and its key epoch.
pub type Session = ([u8; 32], u32);

/// The payload of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// Sessions that entries name by index.
    pub sessions: Vec<Session>,
    /// Entries, strictly ascending by [`super::path::path_cmp`].
    pub entries: Vec<Entry>,
}

/// Encodes a segment.
///
/// # Errors
/// [`PayloadError`] if it breaks a rule of the format or exceeds a limit.
pub fn encode(segment: &Segment) -> Result<Vec<u8>, PayloadError> {
    check_counts(segment.sessions.len(), segment.entries.len())?;
    if !ascending(segment.entries.iter().map(|e| e.path.as_slice())) {
        return Err(PayloadError::PathOrder);
    }
    let scope = Scope {
        n_refs: REFS_MAX,
        n_sessions: segment.sessions.len(),
    };
    let mut w = Writer::with_capacity(segment.entries.len().saturating_mul(160));
    w.map(2);
    w.uint(1u8);
    w.array(segment.sessions.len());
    for (epk, epoch) in &segment.sessions {
        w.array(2);
        w.bytes(epk);
        w.uint(*epoch);
    }
    w.uint(2u8);
    w.array(segment.entries.len());
    for entry in &segment.entries {
        check_entry(entry, scope)?;
        write_entry(&mut w, entry);
    }
    Ok(w.finish(SEGMENT_RAW_MAX)?)
}

/// Decodes a segment whose object has `n_refs` references.
///
/// # Errors
/// [`PayloadError`], the first problem found.
pub fn decode(bytes: &[u8], n_refs: usize) -> Result<Segment, PayloadError> {
    if bytes.len() > SEGMENT_RAW_MAX {
        return Err(CborError::TooLarge.into());
    }
    let mut r = Reader::new(bytes);
    let mut keys = r.int_map()?;
    let (mut sessions, mut entries) = (None, None);
    while let Some(key) = keys.next(&mut r)? {
        match key {
            1 => sessions = Some(read_sessions(&mut r)?),
            2 => {
                let n_sessions = sessions.as_ref().map_or(0, Vec::len);
                entries = Some(read_entries(&mut r, Scope { n_refs, n_sessions })?);
            }
            other => return Err(CborError::UnknownKey(other).into()),
        }
    }
    r.finish()?;
    Ok(Segment {
        sessions: sessions.ok_or(CborError::MissingKey(1))?,
        entries: entries.ok_or(CborError::MissingKey(2))?,
    })
}

fn check_counts(sessions: usize, entries: usize) -> Result<(), PayloadError> {
    check_count(sessions, 0..=SEGMENT_SESSIONS_MAX, "sessions")?;
    check_count(entries, 1..=SEGMENT_ENTRIES_MAX, "entries")
}

fn read_sessions(r: &mut Reader<'_>) -> Result<Vec<Session>, PayloadError> {
    let count = r.array()?;
    check_count(count, 0..=SEGMENT_SESSIONS_MAX, "sessions")?;
    (0..count)
        .map(|_| {
            r.array_exact(2)?;
            Ok((*r.bytes_exact()?, r.u32()?))
        })
        .collect()
}

fn read_entries(r: &mut Reader<'_>, scope: Scope) -> Result<Vec<Entry>, PayloadError> {
    let count = r.array()?;
    check_count(count, 1..=SEGMENT_ENTRIES_MAX, "entries")?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = read_entry(r)?;
        check_entry(&entry, scope)?;
        entries.push(entry);
    }
    if ascending(entries.iter().map(|e: &Entry| e.path.as_slice())) {
        Ok(entries)
    } else {
        Err(PayloadError::PathOrder)
    }
}
