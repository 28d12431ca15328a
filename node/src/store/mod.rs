//! The store: objects, records and state of every owner served here.
//!
//! Rules, whatever crashes when:
//! - An object counts as present once its row in `meta` is durable, and that row is written only
//!   after the object itself is ([`Store::sync`]).
//! - A snapshot is accepted in one atomic write, after everything below it is present
//!   ([`Store::commit`]). What was accepted before stays untouched by any refused request.
//! - Bytes are checked against their address when they come in and when they go out.
//!
//! [`disk`] has the ports to the disk; `rocks` (behind the feature of that name) and [`memory`] implement them.

mod admin;
mod alarms;
mod charges;
mod collect;
mod commit;
mod counts;
mod damage;
pub mod disk;
mod drops;
mod due;
mod ending;
mod error;
mod free;
mod import;
mod intake;
mod keys;
mod lines;
mod lots;
pub mod memory;
mod objects;
mod orders;
mod pages;
mod pins;
mod rebuild;
mod reclaim;
mod records;
mod retention;
#[cfg(feature = "rocks")]
pub mod rocks;
mod scrub;
mod space;
mod stands;
mod stats;
pub mod stored;
#[cfg(any(test, feature = "testkit"))]
pub mod suite;
mod tables;
mod told;
mod tx;
mod unclaimed;
mod walks;

#[cfg(test)]
mod model;
#[cfg(all(test, feature = "rocks"))]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::limits::GRACE_D;
use packnback_proto::machine::budget::Limits;
use parking_lot::{Mutex, RwLock};

pub use alarms::NewAlarm;
pub use charges::{Charged, ORDERS_SPARE, RECORDS_FREE};
pub use collect::Round;
pub use commit::{Accepted, CommitOutcome};
pub use damage::Mended;
pub use error::StoreError;
pub use import::Offer;
pub use intake::Intake;
pub use records::{RecordFilter, RecordList};
pub use scrub::{ScrubRow, Scrubbed};
pub use space::DiskReserve;

use disk::Disk;

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
    /// Most bytes stored for all devices of the owner together.
    pub owner_max: u64,
}

/// See the module.
pub struct Store {
    disk: Disk,
    /// Signs receipts, and snapshots made on this machine.
    key: SigningKey,
    space: space::Space,
    /// One lock per owner: held for writing around everything that reads and then writes its tables,
    /// for reading where an answer must hold until what it promises is pinned.
    locks: Mutex<HashMap<OwnerId, Arc<RwLock<()>>>>,
    pins: pins::Pins,
    in_flight: Arc<pins::InFlight>,
    lots: lots::Lots,
    unclaimed: unclaimed::Unclaimed,
    walks: walks::Walks,
    lines: lines::Lines,
    /// Bytes of dropped and moved objects whose files were not given back yet; `None`: not known,
    /// because this process has just begun.
    garbage: Mutex<Option<u64>>,
    /// Dropped, and still charged.
    dropped: Mutex<drops::Dropped>,
    grace_d: u64,
    /// Around everything that reads and then writes alarms.
    alarms: Mutex<()>,
}

impl Store {
    /// A store on this disk, with the identity of this node.
    #[must_use]
    pub fn new(disk: Disk, key: SigningKey, reserve: DiskReserve) -> Self {
        let space = space::Space::new(reserve);
        Self {
            disk,
            key,
            space,
            locks: Mutex::default(),
            pins: pins::Pins::default(),
            in_flight: Arc::default(),
            lots: lots::Lots::default(),
            unclaimed: unclaimed::Unclaimed::default(),
            walks: walks::Walks::default(),
            lines: lines::Lines::default(),
            garbage: Mutex::default(),
            dropped: Mutex::default(),
            grace_d: GRACE_D,
            alarms: Mutex::default(),
        }
    }

    /// The same store with another grace: days before what was deleted goes.
    #[must_use]
    pub fn with_grace(self, grace_d: u64) -> Self {
        Self { grace_d, ..self }
    }

    /// Days before what was deleted goes, unless a policy says longer.
    #[must_use]
    pub fn grace_d(&self) -> u64 {
        self.grace_d
    }

    /// This node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.key.node_id()
    }

    /// How many sessions of an owner are open and may rely on what they were told.
    #[must_use]
    pub fn sessions_open(&self, owner: &OwnerId) -> usize {
        self.pins.of(owner).len()
    }

    fn owner_lock(&self, owner: &OwnerId) -> tx::OwnerLock<'_> {
        let lock = Arc::clone(self.locks.lock().entry(*owner).or_default());
        tx::OwnerLock::new(self, owner, lock)
    }
}
