//! Reading the files that hold the objects without the database: to save objects when the database
//! cannot find them any more. Every object is checked against its address, so that nothing wrong can
//! come of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use packnback_proto::ids::ID_LEN;
use packnback_proto::limits::OBJECT_MAX;

use super::super::disk::DiskError;
use super::crc::masked;
use super::files::files_of;

/// Length of the header of a file.
const FILE_HEADER: u64 = 30;
/// Length of the header of a record.
const HEADER: usize = 32;
/// Owner and address.
const KEY: usize = 2 * ID_LEN;
/// Bytes searched at once for the next record behind a damaged one.
const SEARCH: usize = 1 << 16;

/// Where the records of a file are.
pub(super) struct Blobs {
    file: BufReader<File>,
    at: u64,
    end: u64,
    /// Something between records could not be read.
    pub(super) is_damaged: bool,
}

/// One record: a key, and where its value is.
pub(super) struct Blob {
    pub(super) key: [u8; KEY],
    len: u64,
}

impl Blobs {
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let failed = |e| DiskError::Io(format!("cannot read {}: {e}", path.display()));
        let file = File::open(path).map_err(failed)?;
        let end = file.metadata().map_err(failed)?.len();
        Ok(Self {
            file: BufReader::new(file),
            at: FILE_HEADER,
            end,
            is_damaged: false,
        })
    }

    fn seek(&mut self, at: u64) -> Result<(), DiskError> {
        let position = self.file.stream_position().map_err(io)?;
        let by = i64::try_from(i128::from(at) - i128::from(position)).unwrap_or(i64::MAX);
        self.file.seek_relative(by).map_err(io)
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<Blob>, DiskError> {
        let head_len = u64::try_from(HEADER + KEY).unwrap_or(u64::MAX);
        while self.at.saturating_add(head_len) <= self.end {
            self.seek(self.at)?;
            let mut head = [0; HEADER + KEY];
            self.file.read_exact(&mut head).map_err(io)?;
            if let Some(blob) = parse(&head)
                && self.at.saturating_add(head_len).saturating_add(blob.len) <= self.end
            {
                self.at = self.at.saturating_add(head_len).saturating_add(blob.len);
                return Ok(Some(blob));
            }
            self.is_damaged = true;
            if !self.search()? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The value of the record [`Blobs::next`] gave last.
    pub(super) fn value(&mut self, blob: &Blob) -> Result<Vec<u8>, DiskError> {
        self.seek(self.at.saturating_sub(blob.len))?;
        let len = usize::try_from(blob.len).map_err(|_| DiskError::Corrupt("length".into()))?;
        let mut value = vec![0; len];
        self.file.read_exact(&mut value).map_err(io)?;
        Ok(value)
    }

    /// Goes to where the next record may begin; `false` if there is none.
    fn search(&mut self) -> Result<bool, DiskError> {
        let mut from = self.at.saturating_add(1);
        while from < self.end {
            self.file.seek(SeekFrom::Start(from)).map_err(io)?;
            let len = SEARCH + HEADER;
            let mut window = Vec::with_capacity(len);
            let take = u64::try_from(len).unwrap_or(u64::MAX);
            let read = self.file.by_ref().take(take).read_to_end(&mut window);
            read.map_err(io)?;
            for (n, head) in window.windows(HEADER).enumerate() {
                if head.first_chunk::<HEADER>().is_some_and(is_header) {
                    self.at = from.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
                    return Ok(true);
                }
            }
            from = from.saturating_add(u64::try_from(SEARCH).unwrap_or(u64::MAX));
        }
        self.at = self.end;
        Ok(false)
    }
}

/// Where every object lies, by what the files say themselves.
pub(super) struct Index {
    files: Vec<PathBuf>,
    places: HashMap<[u8; KEY], Place>,
}

#[derive(Clone, Copy)]
struct Place {
    file: usize,
    at: u64,
    len: u64,
}

impl Index {
    pub(super) fn read(dir: &Path) -> Result<Self, DiskError> {
        let files = files_of(dir, "blob")?;
        let mut places = HashMap::new();
        for (file, path) in files.iter().enumerate() {
            let mut blobs = Blobs::open(path)?;
            while let Some(blob) = blobs.next()? {
                let (at, len) = (blobs.at.saturating_sub(blob.len), blob.len);
                places.insert(blob.key, Place { file, at, len });
            }
        }
        Ok(Self { files, places })
    }

    /// The bytes of an object, as they lie there; `None` if they cannot be read.
    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let place = self.places.get(&<[u8; KEY]>::try_from(key).ok()?)?;
        let file = File::open(self.files.get(place.file)?).ok()?;
        let mut value = vec![0; usize::try_from(place.len).ok()?];
        file.read_exact_at(&mut value, place.at).ok()?;
        Some(value)
    }
}

fn io(error: std::io::Error) -> DiskError {
    DiskError::Io(format!("cannot read a file of objects: {error}"))
}

fn is_header(head: &[u8; HEADER]) -> bool {
    lengths(head).is_some()
}

/// Length of the value.
fn lengths(head: &[u8; HEADER]) -> Option<u64> {
    let (key, rest) = head.split_first_chunk::<8>()?;
    if u64::from_le_bytes(*key) != u64::try_from(KEY).ok()? {
        return None;
    }
    let (value, _) = rest.split_first_chunk::<8>()?;
    let crc = head.get(24..28)?.try_into().map(u32::from_le_bytes).ok()?;
    if masked([head.get(..24)?]) != crc {
        return None;
    }
    let value = u64::from_le_bytes(*value);
    (value <= u64::try_from(OBJECT_MAX).ok()?).then_some(value)
}

fn parse(head: &[u8; HEADER + KEY]) -> Option<Blob> {
    let (head, key) = head.split_first_chunk::<HEADER>()?;
    let len = lengths(head)?;
    let key = *key.first_chunk::<KEY>()?;
    Some(Blob { key, len })
}
