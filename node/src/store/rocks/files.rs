//! The files of a database, looked at without it.

use std::path::{Path, PathBuf};

use super::super::disk::DiskError;

pub(super) fn io_failed(path: &Path, error: std::io::Error) -> DiskError {
    DiskError::Io(format!("{}: {error}", path.display()))
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    let synced = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|e| io_failed(dir, e))
}

/// Writes a small file as a whole.
pub(super) fn write_file(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let (new, path) = (dir.join(format!("{name}.new")), dir.join(name));
    let written = std::fs::File::create(&new).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    });
    written.map_err(|e| io_failed(&new, e))?;
    std::fs::rename(&new, &path).map_err(|e| io_failed(&path, e))?;
    sync_dir(dir)
}

/// The number of a file of a database.
pub(super) fn numbered(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// Files of a database of one kind, in the order of their numbers.
pub(super) fn files_of(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, DiskError> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_failed(dir, error)),
    };
    for entry in entries {
        let path = entry.map_err(|e| io_failed(dir, e))?.path();
        if let (Some(number), true) = (
            numbered(&path),
            path.extension().is_some_and(|e| e == ending),
        ) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The files that say which files a database consists of, the newest last.
pub(super) fn manifests(dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(files);
    };
    for entry in entries {
        let path = entry.map_err(|e| io_failed(dir, e))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("MANIFEST-")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The file that names the newest of them may itself be damaged: the database would refuse to open, or
/// begin anew and delete everything. Whether something of a database is here that has no such file.
pub(super) fn fix_current(dir: &Path) -> Result<bool, DiskError> {
    let manifests = manifests(dir)?;
    let named = std::fs::read_to_string(dir.join("CURRENT")).unwrap_or_default();
    let named = named.strip_suffix('\n').map(|name| dir.join(name));
    if named.is_some_and(|named| manifests.contains(&named)) {
        return Ok(false);
    }
    let newest = manifests.last().and_then(|path| path.file_name());
    match newest.and_then(|name| name.to_str()) {
        Some(name) => {
            tracing::warn!(dir = %dir.display(), "CURRENT was damaged, and is written again");
            write_file(dir, "CURRENT", format!("{name}\n").as_bytes())?;
            Ok(false)
        }
        None => Ok(!files_of(dir, "sst")?.is_empty() || !files_of(dir, "blob")?.is_empty()),
    }
}
