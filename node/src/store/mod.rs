//! The store: objects, records and state of every owner served here.
//!
//! Rules, whatever crashes when:
//! - An object counts as present once its row in `meta` is durable, and that row is written only
//!   after the object itself is ([`Store::sync`]).
//! - A snapshot is accepted in one atomic write, after everything below it is present
//!   ([`Store::commit`]). What was accepted before stays untouched by any refused request.
//! - Bytes are checked against their address when they come in and when they go out.
//!
//! [`engine`] is the port to the disk; [`rocks`] and [`memory`] implement it.

mod commit;
pub mod engine;
mod error;
mod intake;
mod keys;
pub mod memory;
mod objects;
mod records;
pub mod rocks;
mod space;
pub mod stored;
mod tables;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::machine::budget::Limits;
use parking_lot::Mutex;

pub use commit::{Accepted, CommitOutcome};
pub use error::StoreError;
pub use intake::Intake;
pub use objects::Walk;
pub use records::{RecordFilter, RecordList};
pub use space::DiskReserve;

use engine::Engine;

/// On whose behalf objects are put and looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Whose objects.
    pub owner: OwnerId,
    /// The device.
    pub device: NodeId,
    /// Whether the device may see what other devices of the owner put.
    pub sees_all: bool,
    /// Its limits.
    pub limits: Limits,
}

/// See the module.
pub struct Store {
    engine: Arc<dyn Engine>,
    /// Signs receipts, and snapshots made on this machine.
    key: SigningKey,
    space: space::Space,
    /// One lock per owner around everything that reads and then writes its tables.
    locks: Mutex<HashMap<OwnerId, Arc<Mutex<()>>>>,
}

impl Store {
    /// A store on this disk, with the identity of this node.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, key: SigningKey, reserve: DiskReserve) -> Self {
        let space = space::Space::new(reserve);
        Self {
            engine,
            key,
            space,
            locks: Mutex::default(),
        }
    }

    /// This node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.key.node_id()
    }

    fn owner_lock(&self, owner: &OwnerId) -> Arc<Mutex<()>> {
        Arc::clone(self.locks.lock().entry(*owner).or_default())
    }
}
