//! Which sessions a snapshot needs: what a machine without the owner key asks to have opened.
//!
//! Names of sessions stand in the clear headers of objects, but those of files that were saved by
//! an earlier run stand in the sealed content of segments, and the headers of packs can be seen
//! only by fetching the packs. So the first question names the sessions of the snapshot's own tree
//! and of every snapshot of the same device: nearly always that is all of them. What is found
//! beyond once names can be opened is asked for in a second question.

use std::collections::BTreeSet;

use packnback_proto::exchange::SessionName;
use packnback_proto::format::entry::FileData;
use packnback_proto::format::header::{Header, Kind, parse_header, verify_object};
use packnback_proto::ids::ObjectId;

use super::Snapshot;
use super::open::Fault;
use super::source::ObjectSource;
use super::tree::Found;
use crate::keys::ReaderKeys;
use crate::records::LoadedSnapshot;

/// Objects fetched together.
const TOGETHER: usize = 16;

/// Sessions of the tree of `snapshot` (root, indexes, segments) and of the roots of `snapshots`,
/// those of the same device. Opens nothing, so it needs no key.
///
/// # Errors
/// [`Fault`] if a part of the snapshot's own tree is missing; roots of others may be.
pub fn visible_sessions(
    source: &dyn ObjectSource,
    snapshot: &LoadedSnapshot,
    snapshots: &[LoadedSnapshot],
) -> Result<BTreeSet<SessionName>, Fault> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![snapshot.snap.root];
    let mut known: BTreeSet<ObjectId> = waiting.iter().copied().collect();
    while !waiting.is_empty() {
        let ids = waiting.split_off(waiting.len().saturating_sub(TOGETHER));
        for (id, bytes) in ids.iter().zip(source.get(&ids)?) {
            let header = read_header(*id, bytes)?;
            found.extend(header.epk.map(|epk| (epk, header.epoch)));
            // Below segments are contents, which are not fetched to look at their headers.
            if matches!(header.kind, Kind::Root | Kind::Index) {
                waiting.extend(header.refs.into_iter().filter(|child| known.insert(*child)));
            }
        }
    }
    let others = snapshots
        .iter()
        .filter(|other| other.snap.device == snapshot.snap.device && other.id != snapshot.id);
    let roots: Vec<ObjectId> = others.map(|other| other.snap.root).collect();
    for ids in roots.chunks(TOGETHER) {
        for (id, bytes) in ids.iter().zip(source.get(ids)?) {
            if let Ok(header) = read_header(*id, bytes) {
                found.extend(header.epk.map(|epk| (epk, header.epoch)));
            }
        }
    }
    Ok(found)
}

fn read_header(id: ObjectId, bytes: Option<Vec<u8>>) -> Result<Header, Fault> {
    let bytes = bytes.ok_or(Fault::Missing(id))?;
    verify_object(&id, &bytes).map_err(|e| Fault::Bad(id, e.to_string()))
}

/// Sessions that are needed and not open, once names can be opened. With `contents`, packs and maps
/// are fetched to see theirs, too.
///
/// # Errors
/// [`Fault`].
pub fn closed_sessions(
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
    snapshot: &LoadedSnapshot,
    contents: bool,
) -> Result<BTreeSet<SessionName>, Fault> {
    let mut needed = BTreeSet::new();
    let mut objects: BTreeSet<ObjectId> = BTreeSet::new();
    let mut lost = None;
    let open = Snapshot::open(source, keys, snapshot)?;
    for found in open.parts(None) {
        let part = match found? {
            Found::Part(part) => part,
            Found::Lost { fault, .. } => {
                lost = lost.or(Some(fault));
                continue;
            }
        };
        needed.extend(part.tables.sessions.iter().copied());
        for entry in &part.entries {
            match &entry.data {
                Some(FileData::Pack { ref_idx, .. }) => {
                    objects.insert(part.tables.object(*ref_idx));
                }
                Some(FileData::Maps { refs }) => {
                    objects.extend(refs.iter().map(|at| part.tables.object(*at)));
                }
                Some(FileData::Chunks { .. }) | None => {}
            }
        }
    }
    if let Some(fault) = lost {
        return Err(fault);
    }
    if contents {
        let objects: Vec<ObjectId> = objects.into_iter().collect();
        for ids in objects.chunks(TOGETHER) {
            for bytes in source.get(ids)?.into_iter().flatten() {
                // A damaged one is told when it is restored.
                if let Ok((header, _)) = parse_header(&bytes) {
                    needed.extend(header.epk.map(|epk| (epk, header.epoch)));
                }
            }
        }
    }
    needed.retain(|(epk, epoch)| keys.session(epk, *epoch).is_err());
    Ok(needed)
}
