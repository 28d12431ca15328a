//! The in-memory twin of the disk, for tests and simulations. It can crash: what was not durable
//! is gone then. It can be full, and it can rot.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::Mutex;

use super::engine::{Batch, Engine, EngineError, Row, Table};

#[derive(Default)]
struct Inner {
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Put or deleted (`None`) but not flushed.
    volatile: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    tables: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    free: u64,
    full: bool,
    /// Writes still allowed before the machine loses power.
    fuse: Option<u64>,
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
        let tables = inner.tables.iter().map(|((table, key), value)| {
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
        Ok(())
    }

    fn flush_objects(&self) -> Result<(), EngineError> {
        let mut inner = self.0.lock();
        inner.may_write()?;
        for (key, value) in std::mem::take(&mut inner.volatile) {
            match value {
                Some(value) => inner.durable.insert(key, value),
                None => inner.durable.remove(&key),
            };
        }
        Ok(())
    }

    fn get_object(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let inner = self.0.lock();
        Ok(match inner.volatile.get(key) {
            Some(value) => value.clone(),
            None => inner.durable.get(key).cloned(),
        })
    }

    fn delete_object(&self, key: &[u8]) -> Result<(), EngineError> {
        let mut inner = self.0.lock();
        inner.may_write()?;
        inner.volatile.insert(key.to_vec(), None);
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.0.lock().tables.get(&(table, key.to_vec())).cloned())
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut inner = self.0.lock();
        inner.may_write()?;
        for change in batch.changes {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => inner.tables.insert(key, value),
                None => inner.tables.remove(&key),
            };
        }
        Ok(())
    }

    fn note(&self, batch: Batch) -> Result<(), EngineError> {
        self.write(batch)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded((table, after.to_vec())),
            _ => Bound::Included((table, prefix.to_vec())),
        };
        let inner = self.0.lock();
        let rows = inner.tables.range((start, Bound::Unbounded));
        Ok(rows
            .take_while(|((t, key), _)| *t == table && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn reclaim(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        let inner = self.0.lock();
        let volatile = inner.volatile.values().flatten().map(Vec::len);
        let bytes: usize = inner.durable.values().map(Vec::len).chain(volatile).sum();
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    fn free_space(&self) -> Result<u64, EngineError> {
        Ok(self.0.lock().free)
    }
}
