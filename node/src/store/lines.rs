//! What of a device's snapshots must be known whenever one more is accepted, without reading them all:
//! whether it would be a second line, and how many backup sets there are.
//!
//! In memory, made from the rows when a device is first asked for and kept up with every write that
//! accepts or ends snapshots, under the owner's lock. What it says of a second line is a hint: the rows
//! decide.

use std::collections::HashMap;
use std::hash::Hash;

use packnback_proto::ids::{NodeId, OwnerId, SetId, SnapshotId};
use parking_lot::Mutex;

use super::Store;
use super::error::StoreError;
use super::stored::SnapRow;

/// Snapshots remembered, of all devices together: some megabytes.
const SNAPS_MAX: usize = 1 << 17;

/// Things, and how many of each.
#[derive(Debug)]
struct Counted<K>(HashMap<K, u32>);

impl<K> Default for Counted<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Counted<K> {
    fn add(&mut self, key: K) {
        let count = self.0.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    fn take(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }

    fn has(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }
}

/// The beginning of an id tells snapshots apart well enough for a hint.
fn hint(snap: Option<&SnapshotId>) -> Option<u64> {
    let bytes = snap?.0.first_chunk::<8>().copied();
    bytes.map(u64::from_le_bytes)
}

/// The snapshots of one device.
#[derive(Debug, Default)]
struct Line {
    seqs: Counted<u64>,
    prevs: Counted<Option<u64>>,
    sets: Counted<SetId>,
    len: usize,
}

impl Line {
    fn add(&mut self, row: &SnapRow) {
        self.seqs.add(row.seq);
        self.prevs.add(hint(row.prev.as_ref()));
        self.sets.add(row.set);
        self.len = self.len.saturating_add(1);
    }

    fn take(&mut self, row: &SnapRow) {
        self.seqs.take(&row.seq);
        self.prevs.take(&hint(row.prev.as_ref()));
        self.sets.take(&row.set);
        self.len = self.len.saturating_sub(1);
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Lines(Mutex<HashMap<(OwnerId, NodeId), Line>>);

/// What a new snapshot is, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newcomer {
    pub(super) seq: u64,
    pub(super) prev: Option<SnapshotId>,
    pub(super) set: SetId,
}

/// What is known when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Another snapshot may have its number, or the same one before it.
    pub(super) forks: bool,
    /// Its set is new.
    pub(super) is_new_set: bool,
    /// Sets there are.
    pub(super) sets: usize,
}

impl Lines {
    /// A snapshot was accepted.
    pub(super) fn add(&self, owner: &OwnerId, row: &SnapRow) {
        if let Some(line) = self.0.lock().get_mut(&(*owner, row.device)) {
            line.add(row);
        }
    }

    /// A snapshot ended.
    pub(super) fn take(&self, owner: &OwnerId, row: &SnapRow) {
        if let Some(line) = self.0.lock().get_mut(&(*owner, row.device)) {
            line.take(row);
        }
    }

    /// Rows were written in another way, or it is not known whether they were.
    pub(super) fn forget(&self, owner: &OwnerId) {
        self.0.lock().retain(|(of, _), _| of != owner);
    }
}

impl Store {
    /// What is known of a device's snapshots when one more comes. The owner's lock is held.
    pub(super) fn known_line(
        &self,
        owner: &OwnerId,
        device: &NodeId,
        new: Newcomer,
    ) -> Result<Known, StoreError> {
        let mut lines = self.lines.0.lock();
        let key = (*owner, *device);
        if !lines.contains_key(&key) {
            let mut line = Line::default();
            for (_, row) in self.snaps_of(owner, device)? {
                line.add(&row);
            }
            if lines.values().map(|line| line.len).sum::<usize>() >= SNAPS_MAX {
                lines.clear();
            }
            lines.insert(key, line);
        }
        let line = lines.entry(key).or_default();
        Ok(Known {
            forks: line.seqs.has(&new.seq) || line.prevs.has(&hint(new.prev.as_ref())),
            is_new_set: !line.sets.has(&new.set),
            sets: line.sets.0.len(),
        })
    }
}
