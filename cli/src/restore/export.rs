//! Raw export: objects and records as they are stored, for a seed disk or an independent reader.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use packnback_proto::format::header::verify_object;
use packnback_proto::ids::{ObjectId, OwnerId, SnapshotId};
use packnback_proto::limits::GET_IDS_MAX;
use packnback_proto::record::{Record, decode_record};
use packnback_sys::files::write_usual;

use super::options::{RawExport, RestoreError};
use crate::progress::{Counters, Progress};
use crate::snapshot::{ObjectSource, object_path, records_dir};

/// Objects fetched together.
const TOGETHER: usize = 16;
const _: () = assert!(TOGETHER <= GET_IDS_MAX);

/// Writes `objects/<hh>/<id>` and `records/<id>.cbor` of snapshots, as stored and checked by id.
/// `snapshots` empty: everything of the owner. What is there already is not fetched again.
///
/// # Errors
/// [`RestoreError`].
pub fn export_raw(
    source: &dyn ObjectSource,
    owner: Option<OwnerId>,
    snapshots: &[SnapshotId],
    dir: &Path,
    progress: &dyn Progress,
) -> Result<RawExport, RestoreError> {
    let mut export = Export {
        dir,
        done: RawExport::default(),
        progress,
    };
    export.make_dir(&records_dir(dir))?;
    let mut roots = Vec::new();
    for envelope in source.records(owner)? {
        let Ok(record) = decode_record(&envelope) else {
            continue;
        };
        let of_snapshot = match &record {
            Record::Snap(snap) => Some((snap.id(), Some(snap.value().root))),
            Record::Receipt(receipt) => Some((receipt.value().snap, None)),
            _ => None,
        };
        let wanted =
            of_snapshot.is_none_or(|(id, _)| snapshots.is_empty() || snapshots.contains(&id));
        if wanted {
            roots.extend(of_snapshot.and_then(|(_, root)| root));
            export.record(&record.id().to_string(), &envelope)?;
        }
    }
    if roots.is_empty() {
        return Err(RestoreError::NoSnapshot);
    }
    export.objects(source, roots)?;
    Ok(export.done)
}

struct Export<'a> {
    dir: &'a Path,
    done: RawExport,
    progress: &'a dyn Progress,
}

impl Export<'_> {
    fn fault(&self, error: &io::Error) -> RestoreError {
        RestoreError::Target {
            path: self.dir.to_owned(),
            reason: error.to_string(),
        }
    }

    fn make_dir(&self, dir: &Path) -> Result<(), RestoreError> {
        fs::create_dir_all(dir).map_err(|e| self.fault(&e))
    }

    fn record(&mut self, id: &str, envelope: &[u8]) -> Result<(), RestoreError> {
        let path = records_dir(self.dir).join(format!("{id}.cbor"));
        write_usual(&path, envelope).map_err(|e| self.fault(&e))?;
        self.done.records = self.done.records.saturating_add(1);
        Ok(())
    }

    /// Depth first, so that what waits to be fetched stays short.
    fn objects(
        &mut self,
        source: &dyn ObjectSource,
        roots: Vec<ObjectId>,
    ) -> Result<(), RestoreError> {
        let mut known: HashSet<ObjectId> = roots.iter().copied().collect();
        let mut waiting = roots;
        while !waiting.is_empty() {
            let ids = waiting.split_off(waiting.len().saturating_sub(TOGETHER));
            let (here, ids): (Vec<_>, Vec<_>) =
                ids.into_iter().partition(|id| self.path(*id).exists());
            for id in here {
                let bytes = fs::read(self.path(id)).map_err(|e| self.fault(&e))?;
                self.object(id, &bytes, &mut known, &mut waiting, true)?;
            }
            if ids.is_empty() {
                continue;
            }
            for (id, bytes) in ids.iter().zip(source.get(&ids)?) {
                match bytes {
                    Some(bytes) => self.object(*id, &bytes, &mut known, &mut waiting, false)?,
                    None => self.done.missing = self.done.missing.saturating_add(1),
                }
            }
        }
        Ok(())
    }

    fn object(
        &mut self,
        id: ObjectId,
        bytes: &[u8],
        known: &mut HashSet<ObjectId>,
        waiting: &mut Vec<ObjectId>,
        is_here: bool,
    ) -> Result<(), RestoreError> {
        let Ok(header) = verify_object(&id, bytes) else {
            self.done.missing = self.done.missing.saturating_add(1);
            return Ok(());
        };
        waiting.extend(header.refs.into_iter().filter(|child| known.insert(*child)));
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if !is_here {
            let path = self.path(id);
            if let Some(parent) = path.parent() {
                self.make_dir(parent)?;
            }
            write_usual(&path, bytes).map_err(|e| self.fault(&e))?;
        }
        let counters = self.progress.counters();
        Counters::add(&counters.entries_done, 1);
        Counters::add(&counters.bytes_moved, len);
        self.done.objects = self.done.objects.saturating_add(1);
        self.done.bytes = self.done.bytes.saturating_add(len);
        Ok(())
    }

    fn path(&self, id: ObjectId) -> PathBuf {
        object_path(self.dir, id)
    }
}
