//! Reading lists whole: page by page, so that no list is cut in silence and none is in memory twice.

use packnback_proto::ids::OwnerId;

use super::disk::{Row, Table};
use super::error::StoreError;
use super::stored::{Totals, decode};
use super::{Store, keys};

/// Rows read at once.
const PAGE: usize = 4096;

impl Store {
    /// Visits every row below a prefix, in order. Rows that are added meanwhile may be missed.
    ///
    /// # Errors
    /// Failures of the disk, and those of the visitor.
    pub(super) fn each_row(
        &self,
        table: Table,
        prefix: &[u8],
        mut visit: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self
                .disk
                .tables
                .scan(table, prefix, after.as_deref(), PAGE)?;
            let full = rows.len() >= PAGE;
            after = rows.last().map(|(key, _)| key.clone());
            for (key, value) in rows {
                visit(key, value)?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Every row of the state below a prefix.
    ///
    /// # Errors
    /// Failures of the disk.
    pub(super) fn all_rows(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        self.each_row(Table::State, prefix, |key, value| {
            rows.push((key, value));
            Ok(())
        })?;
        Ok(rows)
    }

    /// Every owner served here, whatever else can be read of it.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn owner_ids(&self) -> Result<Vec<OwnerId>, StoreError> {
        let mut owners = Vec::new();
        self.each_row(Table::State, keys::TOTALS, |key, _| {
            owners.push(owner_of(&key)?);
            Ok(())
        })?;
        Ok(owners)
    }

    /// Every owner something is stored for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn owners(&self) -> Result<Vec<(OwnerId, Totals)>, StoreError> {
        let mut owners = Vec::new();
        self.each_row(Table::State, keys::TOTALS, |key, value| {
            owners.push((owner_of(&key)?, decode(&value, "totals")?));
            Ok(())
        })?;
        Ok(owners)
    }
}

fn owner_of(key: &[u8]) -> Result<OwnerId, StoreError> {
    let owner = key
        .get(keys::TOTALS.len()..)
        .and_then(|owner| OwnerId::from_slice(owner).ok());
    owner.ok_or(StoreError::Stored("key of totals"))
}
