//! The in-memory twin of the disk, for tests and simulations. It is as bad as a disk: it can lose
//! power (what was not durable is gone then, notes included) or only its process, write objects out
//! before it is told to, leave what it was writing when the power went cut off, fail at any call, keep
//! the space of what was dropped, be full, and rot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::disk::{
    Batch, Change, Damage, Disk, DiskError, Keys, Objects, Row, Table, Tables, Visit,
};

/// Every so many puts, everything put so far is written out, as a full buffer would be.
const WRITE_OUT_EVERY: u64 = 7;

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// What was being written when the power went.
enum Torn {
    Batch(Batch),
    Object(Vec<u8>, Vec<u8>),
}

/// The power fails after some more writes.
struct Fuse {
    left: u64,
    /// Whether the write that fails may be on the disk all the same.
    tears: bool,
}

struct Inner {
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Put or deleted (`None`) but not flushed.
    volatile: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    tables: Rows,
    /// Noted and not durable: gone with the power, not with the process.
    noted: Vec<Change>,
    /// The tables with what is noted.
    seen: Rows,
    puts: u64,
    /// Put since it was last opened whole.
    unsure: BTreeSet<Vec<u8>>,
    /// Bytes of dropped and replaced objects whose files are still there.
    garbage: u64,
    free: u64,
    full: bool,
    damage: Damage,
    fuse: Option<Fuse>,
    torn: Option<Torn>,
    /// Calls still answered before one fails.
    faulty: Option<u64>,
    /// Rows read from the tables.
    reads: u64,
    /// Writes that had to wait for the disk.
    syncs: u64,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            durable: BTreeMap::new(),
            volatile: BTreeMap::new(),
            tables: Rows::new(),
            noted: Vec::new(),
            seen: Rows::new(),
            puts: 0,
            unsure: BTreeSet::new(),
            garbage: 0,
            free: u64::MAX,
            full: false,
            damage: Damage::default(),
            fuse: None,
            torn: None,
            faulty: None,
            reads: 0,
            syncs: 0,
        }
    }
}

fn apply(rows: &mut Rows, changes: impl IntoIterator<Item = Change>) {
    for change in changes {
        let key = (change.table, change.key);
        match change.value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Inner {
    /// Any call may fail.
    fn may_answer(&mut self) -> Result<(), DiskError> {
        match &mut self.faulty {
            Some(0) => {
                self.faulty = None;
                Err(DiskError::Io("Input/output error".into()))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// `writing`: what is on the disk all the same if the power goes now.
    fn may_write(&mut self, writing: impl FnOnce() -> Option<Torn>) -> Result<(), DiskError> {
        self.may_answer()?;
        if self.full {
            return Err(DiskError::Full);
        }
        let Some(fuse) = &mut self.fuse else {
            return Ok(());
        };
        if let Some(left) = fuse.left.checked_sub(1) {
            fuse.left = left;
            return Ok(());
        }
        // Only the first one: after that there is no power to write anything with.
        if std::mem::take(&mut fuse.tears) {
            self.torn = writing();
        }
        Err(DiskError::Io("power lost".into()))
    }

    fn sync_notes(&mut self) {
        self.syncs = self.syncs.saturating_add(1);
        apply(&mut self.tables, std::mem::take(&mut self.noted));
    }

    fn write_out(&mut self) {
        self.sync_notes();
        for (key, value) in std::mem::take(&mut self.volatile) {
            let old = match value {
                Some(value) => self.durable.insert(key, value),
                None => self.durable.remove(&key),
            };
            let old = size(old.map_or(0, |old| old.len()));
            self.garbage = self.garbage.saturating_add(old);
        }
    }

    /// What a write that was cut off left behind: a batch is there or not, an object may be half there,
    /// where nothing was before.
    fn settle_torn(&mut self) {
        match self.torn.take() {
            Some(Torn::Batch(batch)) => {
                self.sync_notes();
                apply(&mut self.tables, batch.changes);
            }
            Some(Torn::Object(key, value)) => {
                self.sync_notes();
                let half = value.get(..value.len() / 2).unwrap_or_default().to_vec();
                self.unsure.insert(key.clone());
                self.durable.entry(key).or_insert(half);
            }
            None => {}
        }
    }

    fn without_power(&mut self) {
        self.settle_torn();
        self.volatile.clear();
        self.noted.clear();
        self.seen = self.tables.clone();
        (self.fuse, self.faulty) = (None, None);
        self.damage.strays = true;
    }
}

/// See the module. Clones are the same disk.
#[derive(Default, Clone)]
pub struct MemoryDisk(Arc<Mutex<Inner>>);

struct MemoryTables(Arc<Mutex<Inner>>);

struct MemoryObjects(Arc<Mutex<Inner>>);

impl From<&MemoryDisk> for Disk {
    fn from(memory: &MemoryDisk) -> Self {
        Self {
            tables: Arc::new(MemoryTables(Arc::clone(&memory.0))),
            objects: Arc::new(MemoryObjects(Arc::clone(&memory.0))),
        }
    }
}

impl MemoryDisk {
    /// Its ports.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.into()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    /// Loses power: everything that was not durable is gone. Works again afterwards.
    pub fn crash(&self) {
        self.lock().without_power();
    }

    /// Loses power as a disk does that says "written" too early: objects are there although what was
    /// noted before them is lost.
    pub fn crash_out_of_order(&self) {
        let mut inner = self.lock();
        for (key, value) in std::mem::take(&mut inner.volatile) {
            if let Some(value) = value {
                inner.durable.insert(key, value);
            }
        }
        inner.without_power();
    }

    /// Loses the process only: what was noted is still there, objects that were not flushed are not.
    pub fn kill(&self) {
        let mut inner = self.lock();
        inner.settle_torn();
        inner.volatile.clear();
        inner.sync_notes();
        (inner.fuse, inner.faulty) = (None, None);
        // A write that was cut off is known by then.
        inner.seen = inner.tables.clone();
    }

    /// The power fails after this many more writes: each later one is an error and has no effect.
    pub fn fail_after(&self, writes: u64) {
        let tears = false;
        self.lock().fuse = Some(Fuse {
            left: writes,
            tears,
        });
    }

    /// The same, but the write at which the power fails is there after [`MemoryDisk::crash`] although it
    /// was an error: a batch as a whole, an object in half.
    pub fn tear_after(&self, writes: u64) {
        let tears = true;
        self.lock().fuse = Some(Fuse {
            left: writes,
            tears,
        });
    }

    /// After this many more calls, reads as well, one fails; those behind it do not. `None`: none does.
    pub fn fail_call(&self, after: Option<u64>) {
        self.lock().faulty = after;
    }

    /// Every write fails for lack of space, or works again.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// What [`Objects::free`] answers.
    pub fn set_free_space(&self, bytes: u64) {
        self.lock().free = bytes;
    }

    /// Loses every row of a table that begins so, and is said to be damaged.
    pub fn lose_rows(&self, table: Table, prefix: &[u8]) {
        let mut inner = self.lock();
        inner.sync_notes();
        let is_lost = |(t, key): &(Table, Vec<u8>)| *t == table && key.starts_with(prefix);
        inner.tables.retain(|key, _| !is_lost(key));
        inner.seen.retain(|key, _| !is_lost(key));
        inner.damage.rows = true;
    }

    /// Loses an object, and is said to be damaged.
    pub fn lose_object(&self, key: &[u8]) {
        let mut inner = self.lock();
        inner.durable.remove(key);
        inner.damage.objects = true;
    }

    /// Flips one bit of a stored object; whether it was there.
    pub fn flip_bit(&self, key: &[u8], bit: usize) -> bool {
        let mut inner = self.lock();
        let byte = inner
            .durable
            .get_mut(key)
            .and_then(|value| value.get_mut(bit / 8));
        byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
    }

    /// Rows read from the tables since it was asked last; a look that finds nothing is one as well.
    #[must_use]
    pub fn take_reads(&self) -> u64 {
        std::mem::take(&mut self.lock().reads)
    }

    /// How often something waited for the disk since it was asked last.
    #[must_use]
    pub fn take_syncs(&self) -> u64 {
        std::mem::take(&mut self.lock().syncs)
    }

    /// Everything durable and volatile, for comparing states.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Row> {
        let inner = self.lock();
        let tables = inner.seen.iter().map(|((table, key), value)| {
            let key = [table.name().as_bytes(), b"/", key].concat();
            (key, value.clone())
        });
        let volatile = inner.volatile.iter().map(|(key, value)| {
            (
                [b"volatile/", key.as_slice()].concat(),
                value.clone().unwrap_or_default(),
            )
        });
        inner
            .durable
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .chain(volatile)
            .chain(tables)
            .collect()
    }
}

impl Tables for MemoryTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        let mut inner = self.0.lock();
        inner.may_answer()?;
        inner.reads = inner.reads.saturating_add(1);
        Ok(inner.seen.get(&(table, key.to_vec())).cloned())
    }

    fn write(&self, batch: Batch) -> Result<(), DiskError> {
        let mut inner = self.0.lock();
        inner.may_write(|| Some(Torn::Batch(batch.clone())))?;
        inner.sync_notes();
        apply(&mut inner.seen, batch.changes.iter().cloned());
        apply(&mut inner.tables, batch.changes);
        Ok(())
    }

    fn note(&self, batch: Batch) -> Result<(), DiskError> {
        let mut inner = self.0.lock();
        inner.may_write(|| None)?;
        apply(&mut inner.seen, batch.changes.iter().cloned());
        inner.noted.extend(batch.changes);
        Ok(())
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, DiskError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded((table, after.to_vec())),
            _ => Bound::Included((table, prefix.to_vec())),
        };
        let mut inner = self.0.lock();
        inner.may_answer()?;
        let rows = inner.seen.range((start, Bound::Unbounded));
        let rows: Vec<Row> = rows
            .take_while(|((t, key), _)| *t == table && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        inner.reads = inner.reads.saturating_add(size(rows.len()).max(1));
        Ok(rows)
    }

    fn used(&self) -> Result<u64, DiskError> {
        let mut inner = self.0.lock();
        inner.may_answer()?;
        let rows = inner.tables.iter();
        Ok(rows.fold(0, |sum, ((_, key), value)| {
            sum.saturating_add(size(key.len().saturating_add(value.len())))
        }))
    }

    fn damage(&self) -> Damage {
        let rows = self.0.lock().damage.rows;
        Damage {
            rows,
            ..Damage::default()
        }
    }

    fn mended(&self) -> Result<(), DiskError> {
        self.0.lock().damage.rows = false;
        Ok(())
    }
}

impl Objects for MemoryObjects {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        let mut inner = self.0.lock();
        inner.may_write(|| Some(Torn::Object(key.to_vec(), value.to_vec())))?;
        inner.unsure.insert(key.to_vec());
        inner.volatile.insert(key.to_vec(), Some(value.to_vec()));
        inner.puts = inner.puts.wrapping_add(1);
        if inner.puts.is_multiple_of(WRITE_OUT_EVERY) {
            inner.write_out();
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        let mut inner = self.0.lock();
        inner.may_write(|| None)?;
        inner.write_out();
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        let mut inner = self.0.lock();
        inner.may_answer()?;
        Ok(match inner.volatile.get(key) {
            Some(value) => value.clone(),
            None => inner.durable.get(key).cloned(),
        })
    }

    fn delete(&self, key: &[u8]) -> Result<(), DiskError> {
        let mut inner = self.0.lock();
        inner.may_write(|| None)?;
        inner.volatile.insert(key.to_vec(), None);
        Ok(())
    }

    fn reclaim(&self) -> Result<(), DiskError> {
        let mut inner = self.0.lock();
        inner.may_answer()?;
        inner.garbage = 0;
        Ok(())
    }

    fn each_key(&self, which: Keys, visit: &mut Visit<'_>) -> Result<(), DiskError> {
        let keys: Vec<Vec<u8>> = {
            let mut inner = self.0.lock();
            inner.may_answer()?;
            match which {
                Keys::All => inner.durable.keys().cloned().collect(),
                Keys::Unsure if inner.damage.strays => inner.unsure.iter().cloned().collect(),
                Keys::Unsure => Vec::new(),
            }
        };
        keys.iter().try_for_each(|key| visit(key))
    }

    fn used(&self) -> Result<u64, DiskError> {
        let mut inner = self.0.lock();
        inner.may_answer()?;
        let volatile = inner.volatile.values().flatten().map(Vec::len);
        let bytes: usize = inner.durable.values().map(Vec::len).chain(volatile).sum();
        Ok(size(bytes).saturating_add(inner.garbage))
    }

    fn free(&self) -> Result<u64, DiskError> {
        let mut inner = self.0.lock();
        inner.may_answer()?;
        Ok(inner.free)
    }

    fn damage(&self) -> Damage {
        let damage = self.0.lock().damage;
        Damage {
            rows: false,
            ..damage
        }
    }

    fn mended(&self) -> Result<(), DiskError> {
        let mut inner = self.0.lock();
        inner.may_answer()?;
        (inner.damage.objects, inner.damage.strays) = (false, false);
        inner.unsure.clear();
        Ok(())
    }
}
