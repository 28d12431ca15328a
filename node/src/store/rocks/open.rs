//! Opening the databases, whatever state their files are in.

use std::path::Path;

use rocksdb::{Cache, ColumnFamilyDescriptor, DB, ErrorKind, ReadOptions};

use super::super::disk::{DiskError, Table};
use super::files::{files_of, fix_current, io_failed};
use super::marks::{self, Marks};
use super::{TABLE_LOG_MAX, common_options, log, object_options, salvage, table_options};

/// Bytes of tables that are read at each start to find damage: some tens of milliseconds.
const READ_AT_START: u64 = 16 << 20;

/// Whether an error of opening says that files are damaged or missing.
pub(super) fn is_damage(error: &rocksdb::Error) -> bool {
    let text = error.as_ref();
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotFound => true,
        ErrorKind::NotSupported => true,
        ErrorKind::IOError => text.contains("No such file"),
        _ => false,
    }
}

pub(super) fn open_tables_at(path: &Path, cache: &Cache) -> Result<DB, rocksdb::Error> {
    let mut options = common_options();
    options.create_missing_column_families(true);
    options.set_max_total_wal_size(TABLE_LOG_MAX);
    let families =
        Table::ALL.map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(cache)));
    DB::open_cf_descriptors(&options, path, families)
}

/// Reads small tables once: what is damaged is then put in order at once. In large ones that would
/// take too long at each start; there it is found when it is read, and put in order at the next start.
fn all_readable(tables: &DB, path: &Path) -> Result<(), DiskError> {
    let mut size = 0u64;
    for file in files_of(path, "sst")? {
        size = size.saturating_add(std::fs::metadata(&file).map_or(0, |meta| meta.len()));
    }
    if size > READ_AT_START {
        return Ok(());
    }
    for table in Table::ALL {
        let Some(family) = tables.cf_handle(table.name()) else {
            continue;
        };
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut rows = tables.raw_iterator_cf_opt(family, options);
        rows.seek_to_first();
        while rows.valid() {
            rows.next();
        }
        rows.status()?;
    }
    Ok(())
}

pub(super) fn open_tables(dir: &Path, cache: &Cache, marks: &mut Marks) -> Result<DB, DiskError> {
    let path = dir.join("tables");
    salvage::settle(dir)?;
    let log = log::read(&path, marks::kept_power(dir))?;
    let headless = fix_current(&path)?;
    if !marks.tables && !log.is_damaged && !headless {
        match open_tables_at(&path, cache) {
            Ok(tables) => match all_readable(&tables, &path) {
                Ok(()) => return Ok(tables),
                Err(error) => tracing::error!(%error, "the tables of the store are damaged"),
            },
            Err(error) if !is_damage(&error) => return Err(error.into()),
            Err(error) => tracing::error!(%error, "the tables of the store are damaged"),
        }
    }
    tracing::error!("saving what can be read of the tables of the store");
    marks.tables = true;
    marks.save(dir)?;
    salvage::tables(dir, cache, log)?;
    (marks.tables, marks.rows) = (false, true);
    marks.save(dir)?;
    Ok(open_tables_at(&path, cache)?)
}

pub(super) fn open_objects(
    dir: &Path,
    cache: &Cache,
    marks: &mut Marks,
    tables: &DB,
) -> Result<DB, DiskError> {
    let (path, old) = (dir.join("objects"), dir.join("objects.damaged"));
    if !old.exists() {
        let headless = fix_current(&path)?;
        if !marks.objects && !headless {
            match DB::open(&object_options(cache), &path) {
                Ok(objects) => return Ok(objects),
                Err(error) if !is_damage(&error) => return Err(error.into()),
                Err(error) => tracing::error!(%error, "the index of the objects is damaged"),
            }
        }
        marks.objects = true;
        marks.save(dir)?;
        std::fs::rename(&path, &old).map_err(|e| io_failed(&path, e))?;
    }
    tracing::error!("saving what can be read of the objects of the store");
    let objects = DB::open(&object_options(cache), &path)?;
    let family = tables
        .cf_handle(Table::Meta.name())
        .ok_or_else(|| DiskError::Corrupt("a table is missing".into()))?;
    let all = marks.rows;
    salvage::objects(&old, &objects, &|key| {
        Ok(all || tables.get_pinned_cf(family, key)?.is_some())
    })?;
    (marks.objects, marks.bytes) = (false, true);
    marks.save(dir)?;
    Ok(objects)
}
