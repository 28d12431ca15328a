//! Reading the write-ahead log of the tables without the database: to know whether it is whole, and
//! to save what can be read of one that is not. (The database itself stops at a damaged record, or
//! skips it, and says nothing.)

use std::path::{Path, PathBuf};

use super::super::disk::{Batch, Change, DiskError, Table};
use super::crc::masked;

/// Records lie in blocks of this size.
const BLOCK: usize = 32 * 1024;
/// Checksum, length, type.
const HEADER: usize = 7;

/// What is in the logs.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// What was written, oldest first, as far as it can be read.
    pub(super) batches: Vec<Batch>,
    /// A record that was written whole cannot be read any more.
    pub(super) is_damaged: bool,
}

/// The logs of a database, oldest first.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
    super::files::files_of(dir, "log")
}

/// Reads all logs of the tables. What the power cut off at the end of the last one is no damage, unless
/// `kept_power`: then nothing can have been cut off.
pub(super) fn read(dir: &Path, kept_power: bool) -> Result<Log, DiskError> {
    let files = files(dir)?;
    // A database that was opened once has one, be it empty.
    let is_damaged = files.is_empty() && !super::files::manifests(dir)?.is_empty();
    let mut log = Log {
        is_damaged,
        ..Log::default()
    };
    let last = files.len().saturating_sub(1);
    for (n, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file)
            .map_err(|e| DiskError::Io(format!("cannot read {}: {e}", file.display())))?;
        let (records, tail) = records(&bytes);
        log.is_damaged |= match tail {
            Tail::Whole => false,
            Tail::Cut => kept_power || n < last,
            Tail::Damaged => true,
        };
        for record in records {
            match batch(&record) {
                Some(batch) => log.batches.push(batch),
                None => log.is_damaged = true,
            }
        }
    }
    Ok(log)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Whole,
    /// The last record is not whole.
    Cut,
    /// A record that has others behind it is not whole.
    Damaged,
}

fn records(bytes: &[u8]) -> (Vec<Vec<u8>>, Tail) {
    let (mut out, mut tail) = (Vec::new(), Tail::Whole);
    let mut partial: Option<Vec<u8>> = None;
    for block in bytes.chunks(BLOCK) {
        let mut rest = block;
        while let Some(fragment) = Fragment::parse(rest) {
            let Ok((kind, data, behind)) = fragment.checked() else {
                partial = None;
                tail = Tail::Cut;
                // Its length may be what is wrong: then nothing of this block can be found any more.
                rest = fragment.behind;
                continue;
            };
            rest = behind;
            if tail == Tail::Cut {
                tail = Tail::Damaged;
            }
            match (kind, partial.take()) {
                (1, _) => out.push(data.to_vec()),
                (2, _) => partial = Some(data.to_vec()),
                (3, Some(mut begun)) => {
                    begun.extend_from_slice(data);
                    partial = Some(begun);
                }
                (4, Some(mut begun)) => {
                    begun.extend_from_slice(data);
                    out.push(begun);
                }
                // Of a record whose beginning is damaged, or of a kind that holds no writes.
                _ => {}
            }
        }
    }
    if partial.is_some() && tail == Tail::Whole {
        tail = Tail::Cut;
    }
    (out, tail)
}

struct Fragment<'a> {
    crc: u32,
    kind: u8,
    /// `None`: it is longer than the block.
    data: Option<&'a [u8]>,
    behind: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The fragment at the beginning; `None` at the end of a block, and where nothing was written yet.
    fn parse(rest: &'a [u8]) -> Option<Self> {
        let (header, behind) = rest.split_first_chunk::<HEADER>()?;
        let [c0, c1, c2, c3, l0, l1, kind] = *header;
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        let crc = u32::from_le_bytes([c0, c1, c2, c3]);
        if crc == 0 && len == 0 && kind == 0 {
            return None;
        }
        let data = behind.get(..len);
        let behind = behind.get(len..).unwrap_or_default();
        Some(Self {
            crc,
            kind,
            data,
            behind,
        })
    }

    fn checked(&self) -> Result<(u8, &'a [u8], &'a [u8]), ()> {
        let data = self.data.ok_or(())?;
        if masked([[self.kind].as_slice(), data]) != self.crc {
            return Err(());
        }
        Ok((self.kind, data, self.behind))
    }
}

/// A write of the tables. `None` if it is none that these tables know.
fn batch(record: &[u8]) -> Option<Batch> {
    let mut rest = record.get(12..)?;
    let mut batch = Batch::default();
    while let Some((tag, behind)) = rest.split_first() {
        rest = behind;
        match tag {
            // A value, or a deletion, in one of the tables.
            5 | 4 => {
                let (family, behind) = varint(rest)?;
                let (key, behind) = slice(behind)?;
                let (value, behind) = match tag {
                    5 => slice(behind).map(|(value, rest)| (Some(value.to_vec()), rest))?,
                    _ => (None, behind),
                };
                rest = behind;
                // Numbered in the order in which they were created; zero is the unused default one.
                let table = Table::ALL.get(family.checked_sub(1)?).copied()?;
                let key = key.to_vec();
                batch.changes.push(Change { table, key, value });
            }
            // Data for nobody, and nothing.
            3 => rest = slice(rest)?.1,
            13 => {}
            _ => return None,
        }
    }
    Some(batch)
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (n, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(n + 1..)?));
        }
    }
    None
}

fn slice(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = varint(bytes)?;
    Some((rest.get(..len)?, rest.get(len..)?))
}
