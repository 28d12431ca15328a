//! How much an owner and each snapshot take.

use std::collections::HashMap;

use packnback_proto::ids::{ObjectId, OwnerId};
use packnback_proto::wire::admin::{OwnerStats, SnapStats};

use super::disk::Table;
use super::error::StoreError;
use super::stored::SnapRow;
use super::{Store, keys};

/// Rows of loose objects read at once.
const ROWS: usize = 4096;
/// Snapshots listed in one answer.
const LISTED: usize = 4096;

impl Store {
    /// Sizes of an owner's data, snapshot by snapshot. What a snapshot alone needs is found by
    /// following the counts down from its root: it costs what it finds. The newest `skip` snapshots
    /// are left out, and no more listed than fit into an answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stats(&self, owner: &OwnerId, skip: u64) -> Result<OwnerStats, StoreError> {
        let totals = self.totals(owner)?;
        let mut rows: Vec<_> = self
            .all_snaps(owner)?
            .into_iter()
            .filter_map(|id| self.snap(owner, &id).transpose().map(|row| (id, row)))
            .map(|(id, row)| row.map(|row| (id, row)))
            .collect::<Result<Vec<_>, _>>()?;
        rows.sort_by_key(|(_, row)| std::cmp::Reverse((row.time, row.seq)));
        let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut snaps = Vec::new();
        for (snap, row) in rows.into_iter().skip(skip).take(LISTED) {
            let (unique_objects, unique_bytes) = self.unique(owner, &row)?;
            snaps.push(SnapStats {
                snap,
                device: row.device,
                time: row.time,
                root: row.root,
                objects: row.objects,
                bytes: row.bytes,
                unique_objects,
                unique_bytes,
            });
        }
        Ok(OwnerStats {
            owner: *owner,
            objects: totals.objects,
            bytes: totals.bytes,
            loose_bytes: self.loose_bytes(owner)?,
            total,
            snaps,
        })
    }

    fn loose_bytes(&self, owner: &OwnerId) -> Result<u64, StoreError> {
        let prefix = keys::loose_of(owner);
        let (mut bytes, mut after): (u64, Option<Vec<u8>>) = (0, None);
        loop {
            let rows = self
                .disk
                .tables
                .scan(Table::State, &prefix, after.as_deref(), ROWS)?;
            let Some((last, _)) = rows.last() else {
                return Ok(bytes);
            };
            after = Some(last.clone());
            for (key, _) in &rows {
                let id = key
                    .get(prefix.len().saturating_add(8)..)
                    .and_then(|id| ObjectId::from_slice(id).ok());
                let id = id.ok_or(StoreError::Stored("list of loose objects"))?;
                let size = self.object_meta(owner, &id)?.map_or(0, |meta| meta.size);
                bytes = bytes.saturating_add(size.into());
            }
        }
    }

    /// Objects and bytes that would be freed with this snapshot.
    fn unique(&self, owner: &OwnerId, row: &SnapRow) -> Result<(u64, u64), StoreError> {
        let mut lost: HashMap<ObjectId, u32> = HashMap::new();
        let mut waiting = vec![row.root];
        let (mut objects, mut bytes) = (0u64, 0u64);
        while let Some(id) = waiting.pop() {
            // It may have gone since the row was read: then it is not unique to anything.
            let Some(meta) = self.object_meta(owner, &id)? else {
                continue;
            };
            let lost = lost.entry(id).or_default();
            *lost = lost.saturating_add(1);
            if *lost != meta.refs {
                continue;
            }
            objects = objects.saturating_add(1);
            bytes = bytes.saturating_add(meta.size.into());
            if meta.height > 0 {
                waiting.extend(self.refs(owner, &id)?);
            }
        }
        Ok((objects, bytes))
    }
}
