//! Reading everything that is stored, piece by piece, to find what the disk has lost.

use packnback_proto::ids::{ObjectId, OwnerId};
use packnback_proto::wire::Bytes;
use serde::{Deserialize, Serialize};

use super::disk::{Batch, Table};
use super::error::StoreError;
use super::stored::ObjectMeta;
use super::{Store, keys};

/// Rows looked at in one piece, at most.
const PAGE: usize = 64;
/// Objects in a row that cannot be read before the disk as a whole is taken to fail.
const UNREAD_MAX: u64 = 8;

/// How far the reading is, and what it came to: of the reading under way, else of the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubRow {
    /// Key of the last object that was looked at; `None`: no reading is under way. Empty: it just begins.
    pub place: Option<Bytes>,
    /// When the reading began, unix seconds.
    pub began: u64,
    /// When the last whole reading ended.
    pub finished: Option<u64>,
    /// Objects read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects found damaged.
    pub damaged: u64,
    /// Objects the disk did not give.
    pub unread: u64,
}

impl ScrubRow {
    /// A reading that begins now.
    #[must_use]
    pub fn begun(&self, now: u64) -> Self {
        Self {
            place: Some(Bytes::default()),
            began: now,
            finished: self.finished,
            ..Self::default()
        }
    }
}

/// What one piece of a reading came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrubbed {
    /// How far it is now.
    pub row: ScrubRow,
    /// Bytes read in this piece.
    pub bytes: u64,
    /// Objects found damaged in this piece. They count as missing from now on.
    pub damaged: Vec<(OwnerId, ObjectId)>,
}

impl Store {
    /// How far the reading of everything is.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn scrub_row(&self) -> Result<ScrubRow, StoreError> {
        Ok(self
            .row(keys::SCRUB, "place of the reading")?
            .unwrap_or_default())
    }

    /// Keeps how far it is. Survives the end of the process; after a loss of power some is read again.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn keep_scrub_row(&self, row: &ScrubRow) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        Self::put_row(&mut batch, keys::SCRUB.to_vec(), row)?;
        Ok(self.disk.tables.note(batch)?)
    }

    /// Reads the next objects of all owners, about `bytes` of them, and compares each with its address. What
    /// is damaged is marked so, told as an alarm, and not served any more.
    ///
    /// # Errors
    /// Failures of the disk. What was marked stays so; the place is the caller's.
    pub fn scrub(
        &self,
        from: &ScrubRow,
        bytes: u64,
        now: u64,
        is_ending: &dyn Fn() -> bool,
    ) -> Result<Scrubbed, StoreError> {
        let mut done = Scrubbed {
            row: from.clone(),
            bytes: 0,
            damaged: Vec::new(),
        };
        let place = from.place.clone().unwrap_or_default();
        let after = (!place.is_empty()).then_some(&*place);
        let rows = self.disk.tables.scan(Table::Meta, &[], after, PAGE)?;
        let mut is_over = rows.len() < PAGE;
        let mut in_a_row = 0;
        for (key, row) in rows {
            if done.bytes >= bytes || is_ending() {
                is_over = false;
                break;
            }
            match self.scrub_one(&key, &row, &mut done) {
                Ok(()) => in_a_row = 0,
                Err(error) => {
                    in_a_row += 1;
                    if in_a_row >= UNREAD_MAX {
                        return Err(error);
                    }
                    tracing::error!(%error, "a stored object cannot be read");
                    done.row.unread = done.row.unread.saturating_add(1);
                }
            }
            done.row.place = Some(key.into());
        }
        if is_over {
            done.row.place = None;
            done.row.finished = Some(now);
        }
        if !done.damaged.is_empty() {
            self.tell_all_damage(now)?;
        }
        Ok(done)
    }

    fn scrub_one(&self, key: &[u8], row: &[u8], done: &mut Scrubbed) -> Result<(), StoreError> {
        let (Some(owner), Some(id)) = (key.first_chunk(), key.last_chunk()) else {
            return Err(StoreError::Stored("key of an object"));
        };
        let (owner, id) = (OwnerId(*owner), ObjectId(*id));
        if ObjectMeta::decode(row)?.damaged {
            done.row.damaged = done.row.damaged.saturating_add(1);
            return Ok(());
        }
        match self.get(&owner, &id) {
            Ok(Some(bytes)) => {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                done.bytes = done.bytes.saturating_add(len);
                done.row.bytes = done.row.bytes.saturating_add(len);
                done.row.objects = done.row.objects.saturating_add(1);
                Ok(())
            }
            // Freed meanwhile.
            Ok(None) => Ok(()),
            Err(StoreError::AddressMismatch { .. }) => {
                done.row.objects = done.row.objects.saturating_add(1);
                done.row.damaged = done.row.damaged.saturating_add(1);
                done.damaged.push((owner, id));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
