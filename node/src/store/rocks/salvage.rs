//! Saving what can be read of a damaged database.
//!
//! Tables: every row that can be read is copied into a new database, then the log is written over it.
//! Objects: every object that is still wanted is copied out of its file, file by file, so that little
//! more space is needed than before. Rows that are lost are made again by the store where that can be
//! (`rebuild.rs`); the damaged tables stay beside the new ones, for experts.

use std::path::Path;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::ObjectId;
use rocksdb::{
    Cache, ColumnFamilyDescriptor, DB, DBRawIterator, Options, WriteBatch, WriteOptions,
};

use super::super::disk::{Change, DiskError, Table};
use super::blobs::Blobs;
use super::files::{files_of, fix_current, io_failed, manifests, sync_dir};
use super::log::Log;
use super::open::open_tables_at;
use super::{common_options, table_options};

/// Rows written at once.
const ROWS: usize = 1024;
/// Longest key, about: where to go on behind a block that cannot be read.
const KEY_MAX: usize = 128;
/// Objects copied before they are flushed.
const OBJECT_BYTES: usize = 16 << 20;

fn no_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// Puts a new database in the place of damaged tables.
pub(super) fn tables(dir: &Path, cache: &Cache, log: Log) -> Result<(), DiskError> {
    let (old, new, work) = (dir.join("tables"), dir.join("tables.new"), dir.join("work"));
    remove(&new)?;
    let mut complete = copy_tables(&old, &new, &work, cache, false)?;
    if !complete {
        // A whole file cannot be read: without it, by what the files say of themselves.
        remove(&new)?;
        complete = copy_tables(&old, &new, &work, cache, true)?;
    }
    if !complete {
        tracing::error!("some rows of the tables of this store could not be read");
    }
    let db = open_tables_at(&new, cache)?;
    for batch in log.batches {
        write_rows(&db, batch.changes)?;
    }
    flush(&db)?;
    drop(db);
    remove(&work)?;
    let kept = dir.join("tables.damaged");
    remove(&kept)?;
    std::fs::rename(&old, &kept).map_err(|e| io_failed(&old, e))?;
    std::fs::rename(&new, &old).map_err(|e| io_failed(&new, e))?;
    sync_dir(dir)
}

/// After a crash between the two renames.
pub(super) fn settle(dir: &Path) -> Result<(), DiskError> {
    let (now, new) = (dir.join("tables"), dir.join("tables.new"));
    if !now.exists() && new.exists() && dir.join("tables.damaged").exists() {
        std::fs::rename(&new, &now).map_err(|e| io_failed(&new, e))?;
    }
    Ok(())
}

/// Whether the end of every table was reached.
fn copy_tables(
    old: &Path,
    new: &Path,
    work: &Path,
    cache: &Cache,
    repair: bool,
) -> Result<bool, DiskError> {
    let to = open_tables_at(new, cache)?;
    let Some(from) = open_damaged(old, work, cache, repair)? else {
        return Ok(repair);
    };
    let mut complete = true;
    for table in Table::ALL {
        let Some(family) = from.cf_handle(table.name()) else {
            continue;
        };
        let mut rows = Vec::new();
        let mut iter = from.raw_iterator_cf(family);
        complete &= each_readable(&mut iter, &mut |key, value| {
            rows.push(Change {
                table,
                key: key.to_vec(),
                value: Some(value.to_vec()),
            });
            if rows.len() >= ROWS {
                write_rows(&to, std::mem::take(&mut rows))?;
            }
            Ok(())
        })?;
        write_rows(&to, rows)?;
    }
    flush(&to)?;
    Ok(complete)
}

/// Opens a copy of the damaged tables, without the logs; the original is not touched.
fn open_damaged(
    old: &Path,
    work: &Path,
    cache: &Cache,
    repair: bool,
) -> Result<Option<DB>, DiskError> {
    remove(work)?;
    std::fs::create_dir(work).map_err(|e| io_failed(work, e))?;
    for file in files_of(old, "sst")? {
        if let Some(name) = file.file_name() {
            std::fs::hard_link(&file, work.join(name)).map_err(|e| io_failed(&file, e))?;
        }
    }
    let mut options = common_options();
    options.create_if_missing(false);
    options.set_paranoid_checks(false);
    options.set_disable_auto_compactions(true);
    if repair {
        if let Err(error) = DB::repair(&options, work) {
            tracing::warn!(%error, "the tables could not be put together again");
            return Ok(None);
        }
    } else {
        for file in manifests(old)? {
            if let Some(name) = file.file_name() {
                std::fs::copy(&file, work.join(name)).map_err(|e| io_failed(&file, e))?;
            }
        }
        fix_current(work)?;
    }
    let opened = DB::list_cf(&options, work).and_then(|names| {
        let family = |name: String| {
            let mut of_family: Options = table_options(cache);
            of_family.set_disable_auto_compactions(true);
            ColumnFamilyDescriptor::new(name, of_family)
        };
        DB::open_cf_descriptors(&options, work, names.into_iter().map(family))
    });
    match opened {
        Ok(db) => Ok(Some(db)),
        Err(error) => {
            tracing::warn!(%error, "the damaged tables cannot be opened as they are");
            Ok(None)
        }
    }
}

fn write_rows(db: &DB, changes: Vec<Change>) -> Result<(), DiskError> {
    let mut batch = WriteBatch::default();
    for Change { table, key, value } in changes {
        let Some(family) = db.cf_handle(table.name()) else {
            return Err(DiskError::Corrupt(format!("no table {}", table.name())));
        };
        match value {
            Some(value) => batch.put_cf(family, key, value),
            None => batch.delete_cf(family, key),
        }
    }
    Ok(db.write_opt(batch, &no_log())?)
}

fn flush(db: &DB) -> Result<(), DiskError> {
    for table in Table::ALL {
        if let Some(family) = db.cf_handle(table.name()) {
            db.flush_cf(family)?;
        }
    }
    Ok(())
}

type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), DiskError> + 'a;

/// Visits every row that can be read, going round blocks that cannot. Whether it got to the end.
fn each_readable(iter: &mut DBRawIterator<'_>, visit: &mut Visit<'_>) -> Result<bool, DiskError> {
    let mut from: Vec<u8> = Vec::new();
    iter.seek_to_first();
    loop {
        while let Some((key, value)) = iter.item() {
            visit(key, value)?;
            from.clear();
            from.extend_from_slice(key);
            iter.next();
        }
        if iter.status().is_ok() {
            return Ok(true);
        }
        if !go_round(iter, &from) {
            return Ok(false);
        }
    }
}

/// Goes to the first key behind `from` that can be read. `false` if none can.
fn go_round(iter: &mut DBRawIterator<'_>, from: &[u8]) -> bool {
    let mut base = from.to_vec();
    base.resize(KEY_MAX, 0);
    let can_read = |iter: &mut DBRawIterator<'_>, target: &[u8]| {
        iter.seek(target);
        iter.valid() || iter.status().is_ok()
    };
    let Some(bits) = (0..8 * KEY_MAX).find(|bits| {
        let mut target = base.clone();
        add_bit(&mut target, *bits) && can_read(iter, &target)
    }) else {
        return false;
    };
    // The last place that cannot be read, bit by bit; the first that can is just behind it.
    for bit in (0..bits).rev() {
        let mut target = base.clone();
        if add_bit(&mut target, bit) && !can_read(iter, &target) {
            base = target;
        }
    }
    add_bit(&mut base, 0) && can_read(iter, &base)
}

/// Adds a power of two to a number, most significant byte first. `false` if it does not fit.
fn add_bit(number: &mut [u8], bit: usize) -> bool {
    let mut carry = 1u8 << (bit % 8);
    for byte in number.iter_mut().rev().skip(bit / 8) {
        let (sum, over) = byte.overflowing_add(carry);
        *byte = sum;
        if !over {
            return true;
        }
        carry = 1;
    }
    false
}

/// Copies objects out of files the database does not know any more. Each file goes once what is
/// wanted of it is durable in its new place.
pub(super) fn objects(
    old: &Path,
    db: &DB,
    wanted: &dyn Fn(&[u8]) -> Result<bool, DiskError>,
) -> Result<(), DiskError> {
    for path in files_of(old, "blob")? {
        let (mut saved, mut lost, mut waiting) = (0u64, 0u64, 0usize);
        let mut blobs = Blobs::open(&path)?;
        while let Some(blob) = blobs.next()? {
            if !wanted(&blob.key)? {
                continue;
            }
            let value = blobs.value(&blob)?;
            let id = blob.key.last_chunk().copied().map(ObjectId);
            if id != Some(object_id(&value)) {
                lost += 1;
                continue;
            }
            db.put_opt(blob.key, &value, &no_log())?;
            saved += 1;
            waiting += value.len();
            if waiting >= OBJECT_BYTES {
                db.flush()?;
                waiting = 0;
            }
        }
        db.flush()?;
        let damaged = blobs.is_damaged;
        tracing::info!(file = %path.display(), saved, lost, damaged, "objects saved from a file");
        std::fs::remove_file(&path).map_err(|e| io_failed(&path, e))?;
    }
    remove(old)
}

fn remove(dir: &Path) -> Result<(), DiskError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_failed(dir, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_added_with_its_carry() {
        let mut number = [0, 0xff, 0xff];
        assert!(add_bit(&mut number, 0));
        assert_eq!(number, [1, 0, 0]);
        assert!(add_bit(&mut number, 12));
        assert_eq!(number, [1, 0x10, 0]);
        assert!(!add_bit(&mut [0xff, 0xff], 8));
    }
}
