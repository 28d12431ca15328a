//! The in-memory twin of the disk, for tests and simulations. It is as bad as a disk: it can lose
//! power (what was not durable is gone then, notes included) or only its process, write objects out
//! before it is told to, keep the space of what was dropped, be full, and rot.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::engine::{Batch, Change, Damage, Engine, EngineError, Row, Table};

/// Every so many puts, everything put so far is written out, as a full buffer would be.
const WRITE_OUT_EVERY: u64 = 7;

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

#[derive(Default)]
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
    /// Bytes of dropped and replaced objects whose files are still there.
    garbage: u64,
    free: u64,
    full: bool,
    /// What [`Engine::damage`] answers.
    damage: Damage,
    /// Writes still allowed before the machine loses power.
    fuse: Option<u64>,
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

impl Inner {
    fn may_write(&mut self) -> Result<(), EngineError> {
        if self.full {
            return Err(EngineError::Full);
        }
        match &mut self.fuse {
            Some(0) => return Err(EngineError::Io("power lost".into())),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    fn sync_notes(&mut self) {
        apply(&mut self.tables, std::mem::take(&mut self.noted));
    }

    fn write_out(&mut self) {
        self.sync_notes();
        for (key, value) in std::mem::take(&mut self.volatile) {
            let old = match value {
                Some(value) => self.durable.insert(key, value),
                None => self.durable.remove(&key),
            };
            let old = old.map_or(0, |old| old.len());
            let old = u64::try_from(old).unwrap_or(u64::MAX);
            self.garbage = self.garbage.saturating_add(old);
        }
    }
}

/// See the module.
pub struct MemoryEngine(Mutex<Inner>);

impl Default for MemoryEngine {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            free: u64::MAX,
            ..Inner::default()
        }))
    }
}

impl MemoryEngine {
    /// Loses power: everything that was not durable is gone. Works again afterwards.
    pub fn crash(&self) {
        let mut inner = self.0.lock();
        inner.volatile.clear();
        inner.noted.clear();
        inner.seen = inner.tables.clone();
        inner.fuse = None;
    }

    /// Loses the process only: what was noted is still there, objects that were not flushed are not.
    pub fn kill(&self) {
        let mut inner = self.0.lock();
        inner.volatile.clear();
        inner.sync_notes();
        inner.fuse = None;
    }

    /// The power fails after this many more writes: each later one is an error and has no effect.
    pub fn fail_after(&self, writes: u64) {
        self.0.lock().fuse = Some(writes);
    }

    /// Every write fails for lack of space, or works again.
    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// What [`Engine::free_space`] answers.
    pub fn set_free_space(&self, bytes: u64) {
        self.0.lock().free = bytes;
    }

    /// Loses every row of a table that begins so, and is said to be damaged.
    pub fn lose_rows(&self, table: Table, prefix: &[u8]) {
        let mut inner = self.0.lock();
        inner.sync_notes();
        let is_lost = |(t, key): &(Table, Vec<u8>)| *t == table && key.starts_with(prefix);
        inner.tables.retain(|key, _| !is_lost(key));
        inner.seen.retain(|key, _| !is_lost(key));
        inner.damage.rows = true;
    }

    /// Loses an object, and is said to be damaged.
    pub fn lose_object(&self, key: &[u8]) {
        let mut inner = self.0.lock();
        inner.durable.remove(key);
        inner.damage.objects = true;
    }

    /// Flips one bit of a stored object; whether it was there.
    pub fn flip_bit(&self, key: &[u8], bit: usize) -> bool {
        let mut inner = self.0.lock();
        let byte = inner
            .durable
            .get_mut(key)
            .and_then(|value| value.get_mut(bit / 8));
        byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
    }

    /// Everything durable and volatile, for comparing states.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Row> {
        let inner = self.0.lock();
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

impl Engine for MemoryEngine {
    fn put_object(&self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let mut inner = self.0.lock();
        inner.may_write()?;
        inner.volatile.insert(key.to_vec(), Some(value.to_vec()));
        inner.puts = inner.puts.wrapping_add(1);
        if inner.puts.is_multiple_of(WRITE_OUT_EVERY) {
            inner.write_out();
        }
        Ok(())
    }

    fn flush_objects(&self) -> Result<(), EngineError> {
        let mut inner = self.0.lock();
        inner.may_write()?;
        inner.write_out();
        Ok(())
    }

    fn get_object(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let inner = self.0.lock();
        Ok(match inner.volatile.get(key) {
            Some(value) => value.clone(),
            None => inner.durable.get(key).cloned(),
        })
    }

    fn find_object(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.get_object(key)
    }

    fn delete_object(&self, key: &[u8]) -> Result<(), EngineError> {
        let mut inner = self.0.lock();
        inner.may_write()?;
        inner.volatile.insert(key.to_vec(), None);
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.0.lock().seen.get(&(table, key.to_vec())).cloned())
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut inner = self.0.lock();
        inner.may_write()?;
        inner.sync_notes();
        apply(&mut inner.seen, batch.changes.iter().cloned());
        apply(&mut inner.tables, batch.changes);
        Ok(())
    }

    fn note(&self, batch: Batch) -> Result<(), EngineError> {
        let mut inner = self.0.lock();
        inner.may_write()?;
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
    ) -> Result<Vec<Row>, EngineError> {
        use std::ops::Bound;
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded((table, after.to_vec())),
            _ => Bound::Included((table, prefix.to_vec())),
        };
        let inner = self.0.lock();
        let rows = inner.seen.range((start, Bound::Unbounded));
        Ok(rows
            .take_while(|((t, key), _)| *t == table && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn reclaim(&self) -> Result<(), EngineError> {
        self.0.lock().garbage = 0;
        Ok(())
    }

    fn damage(&self) -> Damage {
        self.0.lock().damage
    }

    fn mended(&self) -> Result<(), EngineError> {
        self.0.lock().damage = Damage::default();
        Ok(())
    }

    fn object_keys(
        &self,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let keys: Vec<Vec<u8>> = self.0.lock().durable.keys().cloned().collect();
        keys.iter().try_for_each(|key| visit(key))
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        let inner = self.0.lock();
        let volatile = inner.volatile.values().flatten().map(Vec::len);
        let bytes: usize = inner.durable.values().map(Vec::len).chain(volatile).sum();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(bytes.saturating_add(inner.garbage))
    }

    fn free_space(&self) -> Result<u64, EngineError> {
        Ok(self.0.lock().free)
    }
}
