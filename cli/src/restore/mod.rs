//! Restore: records, tree, content; every byte checked against id and key before it is used.

mod keys;
mod options;

pub use keys::ReaderKeys;
pub use options::{LoadedSnapshot, RawExport, RestoreError, RestoreOptions, RestoreReport};

use std::path::Path;

use packnback_proto::format::entry::Entry;
use packnback_proto::ids::{OwnerId, SnapshotId};

use crate::client::ObjectSource;
use crate::progress::Progress;

/// Every snapshot of the owner this source knows, newest first, signatures checked.
///
/// # Errors
/// [`RestoreError`].
pub fn snapshots(
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
) -> Result<Vec<LoadedSnapshot>, RestoreError> {
    let _ = (source, keys);
    Err(RestoreError::NoSnapshot)
}

/// Entries of a snapshot in path order, to `visit`, which answers whether to go on. With `below`,
/// only those at or below that stored path.
///
/// # Errors
/// [`RestoreError`].
pub fn tree(
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
    snapshot: &LoadedSnapshot,
    below: Option<&[u8]>,
    visit: &mut dyn FnMut(&Entry) -> bool,
) -> Result<(), RestoreError> {
    let _ = (source, keys, snapshot, below, visit);
    Err(RestoreError::NoSnapshot)
}

/// Writes a snapshot, or a part of it, below a directory.
///
/// # Errors
/// [`RestoreError`] if nothing can be restored; damage to single files is in the report instead.
pub fn run(
    options: &RestoreOptions,
    keys: &ReaderKeys,
    source: &dyn ObjectSource,
    progress: &dyn Progress,
) -> Result<RestoreReport, RestoreError> {
    let _ = (options, keys, source, progress);
    Err(RestoreError::NoSnapshot)
}

/// Writes `objects/<hh>/<id>` and `records/<id>.cbor` of snapshots, as stored and checked by id.
/// `snapshots` empty: everything of the owner.
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
    let _ = (source, owner, snapshots, dir, progress);
    Err(RestoreError::NoSnapshot)
}
