//! The database of the small tables.

use std::sync::Arc;

use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch, WriteOptions};

use super::super::disk::{Batch, Damage, DiskError, Row, Table, Tables};
use super::Home;

/// See the module.
pub(super) struct RocksTables {
    home: Arc<Home>,
    db: DB,
}

impl RocksTables {
    pub(super) fn new(home: Arc<Home>, db: DB) -> Self {
        Self { home, db }
    }

    fn bad(&self) -> impl Fn(rocksdb::Error) -> DiskError + '_ {
        |error| self.home.saw(error, |marks| marks.tables = true)
    }

    /// Makes what was noted durable.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.db.flush_wal(true).map_err(self.bad())
    }

    fn apply(&self, batch: Batch, sync: bool) -> Result<(), DiskError> {
        let mut out = WriteBatch::default();
        for change in batch.changes {
            let family = self.family(change.table)?;
            match change.value {
                Some(value) => out.put_cf(family, change.key, value),
                None => out.delete_cf(family, change.key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(out, &options).map_err(self.bad())
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, DiskError> {
        self.db
            .cf_handle(table.name())
            .ok_or_else(|| DiskError::Corrupt(format!("table {} is missing", table.name())))
    }
}

impl Tables for RocksTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        let got = self.db.get_cf(self.family(table)?, key);
        got.map_err(self.bad())
    }

    fn write(&self, batch: Batch) -> Result<(), DiskError> {
        self.apply(batch, true)
    }

    fn note(&self, batch: Batch) -> Result<(), DiskError> {
        self.apply(batch, false)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, DiskError> {
        let start = after.filter(|after| *after >= prefix).unwrap_or(prefix);
        let mode = IteratorMode::From(start, Direction::Forward);
        let mut rows = Vec::new();
        for row in self.db.iterator_cf(self.family(table)?, mode) {
            let (key, value) = row.map_err(self.bad())?;
            if rows.len() >= limit || !key.starts_with(prefix) {
                break;
            }
            if after != Some(&*key) {
                rows.push((key.into_vec(), value.into_vec()));
            }
        }
        Ok(rows)
    }

    fn used(&self) -> Result<u64, DiskError> {
        self.home.used("tables")
    }

    fn damage(&self) -> Damage {
        let marks = self.home.marks.lock();
        Damage {
            rows: marks.tables || marks.rows,
            ..Damage::default()
        }
    }

    fn mended(&self) -> Result<(), DiskError> {
        self.home.mended(|marks, opened| marks.rows &= !opened.rows)
    }
}
