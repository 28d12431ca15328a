//! A raw export, read as it lies in its folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use packnback_proto::ids::{ObjectId, OwnerId};
use packnback_proto::limits::{OBJECT_MAX, RECORD_MAX};

use super::source::ObjectSource;
use crate::client::ClientError;
use crate::files::read_small;

/// The folder that `packnback export` wrote: `objects/<hh>/<id>` and `records/<id>.cbor`.
pub struct RawFolder(PathBuf);

impl RawFolder {
    /// The export in this folder.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }
}

/// Where an object of an export is.
pub(crate) fn object_path(dir: &Path, id: ObjectId) -> PathBuf {
    let hex = id.to_string();
    let start = hex.get(..2).unwrap_or_default();
    dir.join("objects").join(start).join(&hex)
}

/// Where the records of an export are.
pub(crate) fn records_dir(dir: &Path) -> PathBuf {
    dir.join("records")
}

fn failed(error: io::Error) -> ClientError {
    ClientError::Io(Arc::new(error))
}

fn limit(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl ObjectSource for RawFolder {
    /// Of whomever they are: the reader takes those of its owner.
    fn records(&self, _: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut records = Vec::new();
        for file in fs::read_dir(records_dir(&self.0)).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if path.extension().is_some_and(|end| end == "cbor") {
                records.push(read_small(&path, limit(RECORD_MAX)).map_err(failed)?);
            }
        }
        Ok(records)
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        let read = |id: &ObjectId| match read_small(&object_path(&self.0, *id), limit(OBJECT_MAX)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        };
        ids.iter().map(read).collect()
    }
}
