//! The port to the disk: a few small rows.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::ports::Failure;

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// One change: `None` deletes.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// Small durable rows of the network side. Keys start with one of a few words of our own
/// (`peer/`, `invite/`, `recovery/`); the implementation puts them where they meet nobody else's.
pub trait StatePort: Send + Sync + 'static {
    /// All rows whose key starts with `prefix`, in order.
    ///
    /// # Errors
    /// If the disk failed.
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, Failure>;

    /// Applies all changes or none; durable on return.
    ///
    /// # Errors
    /// If the disk failed: then nothing was changed.
    fn apply(&self, changes: Vec<Change>) -> Result<(), Failure>;
}

/// Rows in memory: for short-lived clients and tests.
#[derive(Debug, Default)]
pub struct MemoryState(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl StatePort for MemoryState {
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, Failure> {
        let rows = self.0.lock();
        let hits = rows.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(hits
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), Failure> {
        let mut rows = self.0.lock();
        for (key, value) in changes {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }
}
