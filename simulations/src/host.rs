//! A host: a store that may crash, and the decisions of `packnback_proto::machine` in front of it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use packnback_proto::ids::{NodeId, ObjectId, SnapshotId};
use packnback_proto::machine::budget::{Limits, Usage};
use packnback_proto::machine::closure::{self, Closure, Seen, Shelf};
use packnback_proto::machine::commit::{self, SessionOf};
use packnback_proto::machine::session::{self, Presented};
use packnback_proto::record::Cert;
use packnback_proto::wire::Role;

use crate::tree::{Backup, Object};

/// What a host has on disk for the owner.
#[derive(Debug, Default)]
pub struct Disk {
    objects: BTreeMap<ObjectId, Object>,
    complete: BTreeSet<ObjectId>,
}

impl Disk {
    /// Whether an object is on disk, whatever is remembered about it. For checkers.
    #[must_use]
    pub fn get(&self, id: &ObjectId) -> Option<&Object> {
        self.objects.get(id)
    }
}

impl Shelf for Disk {
    type Error = Infallible;

    fn look(&self, id: &ObjectId) -> Result<Option<Seen>, Infallible> {
        Ok(self.objects.get(id).map(|object| Seen {
            height: object.height,
            complete: self.complete.contains(id),
        }))
    }

    fn refs(&self, id: &ObjectId) -> Result<Vec<ObjectId>, Infallible> {
        Ok(self
            .objects
            .get(id)
            .map(|o| o.refs.clone())
            .unwrap_or_default())
    }
}

/// A host.
#[derive(Debug)]
pub struct Host {
    /// What survives a crash.
    pub disk: Disk,
    /// Received, not yet synced: lost in a crash.
    volatile: BTreeMap<ObjectId, Object>,
    /// Snapshots it gave a receipt for.
    pub receipts: BTreeMap<SnapshotId, ObjectId>,
    /// What the device used.
    pub usage: Usage,
    /// Bytes offered.
    pub offered: u64,
    /// Seconds its clock is ahead (or behind, if negative).
    pub skew_s: i64,
    /// Whether it runs.
    pub up: bool,
}

/// Answer to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A receipt.
    Receipt,
    /// Objects to send.
    Missing(Vec<ObjectId>),
    /// Refused: the reason.
    Refused(String),
}

impl Host {
    /// An empty host.
    #[must_use]
    pub fn new(offered: u64, skew_s: i64) -> Self {
        Self {
            disk: Disk::default(),
            volatile: BTreeMap::new(),
            receipts: BTreeMap::new(),
            usage: Usage::default(),
            offered,
            skew_s,
            up: true,
        }
    }

    fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.skew_s)
    }

    /// Opens a session.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub fn open(&self, cert: &Cert, peer: NodeId, now: u64) -> Result<(), String> {
        let facts = Presented {
            cert,
            peer,
            role: Some(Role::Friend),
            bound: Some(cert.owner),
            revoked: false,
            serial_seen: cert.serial,
        };
        session::may_open(facts, self.clock(now)).map_err(|refusal| refusal.to_string())
    }

    /// Which of these are not on disk.
    #[must_use]
    pub fn lacks(&self, ids: &[ObjectId]) -> Vec<ObjectId> {
        let here = |id: &&ObjectId| !self.disk.objects.contains_key(*id);
        ids.iter().filter(here).copied().collect()
    }

    /// Takes an object into memory.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub fn put(
        &mut self,
        cert: &Cert,
        id: ObjectId,
        object: &Object,
        now: u64,
    ) -> Result<(), String> {
        let limits = Limits::new(cert, self.offered);
        let usage = self
            .usage
            .add_bytes(object.size, &limits, self.clock(now))
            .map_err(|refusal| refusal.to_string())?;
        if self.volatile.insert(id, object.clone()).is_none() {
            self.usage = usage;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub fn sync(&mut self) {
        self.disk.objects.append(&mut self.volatile);
    }

    /// Everything not synced is lost, and what it counted for.
    pub fn crash(&mut self) {
        let lost: u64 = self.volatile.values().map(|object| object.size).sum();
        self.usage.bytes = self.usage.bytes.saturating_sub(lost);
        self.volatile.clear();
        self.up = false;
    }

    /// Commits a snapshot, or says what is missing.
    pub fn commit(&mut self, cert: &Cert, backup: &Backup, now: u64) -> Answer {
        let now = self.clock(now);
        let session = SessionOf {
            owner: cert.owner,
            device: cert.device,
        };
        let signer = backup.snap.device.as_bytes();
        if let Err(refusal) = commit::belongs(&backup.snap, signer, session) {
            return Answer::Refused(refusal.to_string());
        }
        let Ok(found) = closure::check(&self.disk, &backup.snap.root, 64);
        match found {
            Closure::Missing(ids) => Answer::Missing(ids),
            Closure::NotLower { .. } => Answer::Refused("malformed tree".to_owned()),
            Closure::Complete(nodes) => {
                match self.usage.add_snap(&Limits::new(cert, self.offered), now) {
                    Err(refusal) => Answer::Refused(refusal.to_string()),
                    Ok(usage) => {
                        self.usage = usage;
                        self.disk.complete.extend(nodes);
                        self.receipts.insert(backup.id, backup.snap.root);
                        Answer::Receipt
                    }
                }
            }
        }
    }
}
