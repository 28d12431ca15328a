//! The rows of the peer table in the store of this node.

use std::sync::Arc;

use super::state::{Change, Row, StatePort};
use crate::ports::Failure;
use crate::store::Store;

/// Most rows read back: friends, invites and recovery keys are limited to far fewer.
const ROWS_MAX: usize = 1 << 16;

/// See the module.
pub struct StoredState(Arc<Store>);

impl StoredState {
    /// Rows in this store.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

impl StatePort for StoredState {
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, Failure> {
        Ok(self.0.network_scan(prefix, None, ROWS_MAX)?)
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), Failure> {
        Ok(self.0.network_put(changes)?)
    }
}
