//! The disk of a machine: the one in memory of the node, and what of it a node sees between a start and the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use packnback_node::store::disk::{
    Batch, Damage, Disk, DiskError, Keys, Objects, Row, Table, Tables, Visit,
};
use packnback_node::store::memory::MemoryDisk;

use crate::net::Machine;
use crate::pulse::Pulse;
use crate::trace::Trace;

/// Whether a machine has power: what a node that lost it still tries to write goes nowhere.
#[derive(Debug, Clone, Default)]
pub struct Power(Arc<AtomicBool>);

impl Power {
    /// It is gone, for good: the next start has another.
    pub fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// What a node sees of a disk, between a start and the next.
#[derive(Clone)]
pub struct Seen {
    /// The disk.
    pub disk: Disk,
    /// Gone when the node is.
    pub power: Power,
    /// Counts how often it looks.
    pub pulse: Pulse,
    /// Is told what is written.
    pub trace: Trace,
    /// Whose it is.
    pub machine: Machine,
}

impl From<Seen> for Disk {
    fn from(seen: Seen) -> Self {
        Self {
            tables: Arc::new(seen.clone()),
            objects: Arc::new(seen),
        }
    }
}

impl Seen {
    /// One more call. A node that spins gets errors, so that it comes to an end.
    fn look(&self) -> Result<(), DiskError> {
        self.pulse.beat();
        if self.power.is_on() && !self.pulse.spins() {
            return Ok(());
        }
        Err(DiskError::Io("no power".to_owned()))
    }

    fn told<T>(&self, what: &str, size: usize, done: Result<T, DiskError>) -> Result<T, DiskError> {
        let machine = self.machine;
        match &done {
            Ok(_) => self
                .trace
                .note(format_args!("disk {machine} {what} {size}")),
            Err(error) => self
                .trace
                .note(format_args!("disk {machine} {what} {size}: {error}")),
        }
        done
    }
}

impl Tables for Seen {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.look()?;
        self.disk.tables.get(table, key)
    }

    fn write(&self, batch: Batch) -> Result<(), DiskError> {
        self.look()?;
        self.told("write", batch.len(), self.disk.tables.write(batch))
    }

    fn note(&self, batch: Batch) -> Result<(), DiskError> {
        self.look()?;
        self.told("note", batch.len(), self.disk.tables.note(batch))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, DiskError> {
        self.look()?;
        self.disk.tables.scan(table, prefix, after, limit)
    }

    fn used(&self) -> Result<u64, DiskError> {
        self.look()?;
        self.disk.tables.used()
    }

    fn damage(&self) -> Damage {
        self.disk.tables.damage()
    }

    fn mended(&self) -> Result<(), DiskError> {
        self.look()?;
        self.told("mended", 0, self.disk.tables.mended())
    }
}

impl Objects for Seen {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        self.look()?;
        self.told("put", value.len(), self.disk.objects.put(key, value))
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.look()?;
        self.told("flush", 0, self.disk.objects.flush())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.look()?;
        self.disk.objects.get(key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Result<Option<Vec<u8>>, DiskError>> {
        match self.look() {
            Ok(()) => self.disk.objects.get_many(keys),
            Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.look()?;
        self.disk.objects.find(key)
    }

    fn delete(&self, key: &[u8]) -> Result<(), DiskError> {
        self.look()?;
        self.told("delete", key.len(), self.disk.objects.delete(key))
    }

    fn reclaim(&self) -> Result<(), DiskError> {
        self.look()?;
        self.told("reclaim", 0, self.disk.objects.reclaim())
    }

    fn each_key(&self, which: Keys, visit: &mut Visit<'_>) -> Result<(), DiskError> {
        self.look()?;
        self.disk.objects.each_key(which, visit)
    }

    fn used(&self) -> Result<u64, DiskError> {
        self.look()?;
        self.disk.objects.used()
    }

    fn free(&self) -> Result<u64, DiskError> {
        self.look()?;
        self.disk.objects.free()
    }

    fn damage(&self) -> Damage {
        self.disk.objects.damage()
    }

    fn mended(&self) -> Result<(), DiskError> {
        self.look()?;
        self.told("mended", 1, self.disk.objects.mended())
    }
}

/// Length of an owner's and of an object's id in the keys of objects.
const ID: usize = 32;

/// Objects on a disk that no table of it names: nothing will ever take them away.
#[must_use]
pub fn strays(memory: &MemoryDisk) -> Vec<Vec<u8>> {
    let rows = memory.snapshot();
    let known =
        [Table::Meta, Table::Lots, Table::State].map(|t| [t.name().as_bytes(), b"/"].concat());
    let all = Table::ALL.map(|table| [table.name().as_bytes(), b"/"].concat());
    let is_of = |key: &[u8], tables: &[Vec<u8>]| tables.iter().any(|name| key.starts_with(name));
    let objects = rows
        .iter()
        .filter(|(key, _)| key.len() == 2 * ID && !is_of(key, &all));
    let mut strays: BTreeMap<Vec<u8>, Vec<u8>> = objects
        .filter_map(|(key, _)| Some((key.get(ID..)?.to_vec(), key.clone())))
        .collect();
    for (key, value) in rows.iter().filter(|(key, _)| is_of(key, &known)) {
        for window in key.windows(ID).chain(value.windows(ID)) {
            strays.remove(window);
        }
    }
    strays.into_values().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_no_table_names_is_a_stray() {
        let memory = MemoryDisk::default();
        let disk = memory.disk();
        disk.objects.put(&[1; 64], b"known").unwrap();
        disk.objects.put(&[2; 64], b"unknown").unwrap();
        disk.objects.flush().unwrap();
        let mut batch = Batch::default();
        batch.put(Table::Meta, [1; 64], b"row");
        // What it refers to is no sign that it is looked after.
        batch.put(Table::Nodes, [3; 64], [2; 32]);
        disk.tables.write(batch).unwrap();
        assert_eq!(strays(&memory), [vec![2; 64]]);
    }

    #[test]
    fn what_is_written_without_power_goes_nowhere() {
        let memory = MemoryDisk::default();
        let power = Power::default();
        let disk = Disk::from(Seen {
            disk: memory.disk(),
            power: power.clone(),
            pulse: Pulse::default(),
            trace: Trace::new(None),
            machine: 0,
        });
        disk.objects.put(&[1; 64], b"1").unwrap();
        disk.objects.flush().unwrap();
        let before = memory.snapshot();
        power.cut();
        assert!(disk.objects.put(&[2; 64], b"2").is_err());
        assert!(disk.tables.note(Batch::default()).is_err());
        assert!(disk.objects.get(&[1; 64]).is_err());
        assert_eq!(memory.snapshot(), before);
    }
}
