//! Looks for broken promises. Knows what was acknowledged and what was asked for, and nothing of how nodes decide.

use std::collections::BTreeSet;

use packnback_node::store::Store;
use packnback_proto::format::header::parse_header;
use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SnapshotId};

use crate::actors::device::Made;
use crate::actors::folder::Reader;
use crate::actors::owner::{GROUP, Owner};
use crate::disk;
use crate::ledger::{Ledger, QUOTA};
use crate::net::Machine;
use crate::plan::Shape;
use crate::site::{Running, Site};

/// Looks at clock and disk an idle node has in an hour, at most.
const IDLE_LOOKS: u64 = 5_000;

/// A promise was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A snapshot that a device's own node acknowledged is not there, or not whole.
    #[error("machine {machine} acknowledged snapshot {snap:?}, and now: {why}")]
    Lost {
        /// Where.
        machine: Machine,
        /// Which.
        snap: SnapshotId,
        /// What is wrong.
        why: String,
    },
    /// A device counts the receipt of a host that does not have the snapshot.
    #[error("host {host} signed for snapshot {snap:?}, and now: {why}")]
    Receipt {
        /// Who signed.
        host: Machine,
        /// For what.
        snap: SnapshotId,
        /// What is wrong.
        why: String,
    },
    /// A snapshot went although neither an order nor the policy let it.
    #[error("host {host} let snapshot {snap:?} go without an order or a policy that says so")]
    Deleted {
        /// Where.
        host: Machine,
        /// What.
        snap: SnapshotId,
    },
    /// An order that a node took is not there any more.
    #[error("machine {machine} took an order of the owner and does not know it any more")]
    Order {
        /// Where.
        machine: Machine,
    },
    /// More is stored than was agreed.
    #[error("machine {machine} stores {used} bytes for a device, {limit} are agreed")]
    Quota {
        /// Where.
        machine: Machine,
        /// Stored.
        used: u64,
        /// Agreed.
        limit: u64,
    },
    /// The faults are over, the time is up, and something is not where it should be.
    #[error("the trouble is over for days, and still: {0}")]
    NotConverged(String),
    /// A node does not come up again.
    #[error("the node of machine {machine} does not start: {why}")]
    NoStart {
        /// Where.
        machine: Machine,
        /// What it says.
        why: String,
    },
    /// A node works on and on although there is nothing to do.
    #[error("the node of machine {machine} spins: {looks} looks at its clock and disk")]
    Spins {
        /// Where.
        machine: Machine,
        /// How many.
        looks: u64,
    },
    /// Bytes on a disk that nothing knows of: they stay for ever.
    #[error("the disk of machine {machine} holds {count} objects that no table knows")]
    Leak {
        /// Where.
        machine: Machine,
        /// How many.
        count: usize,
    },
    /// The world itself failed.
    #[error("the simulation failed: {0}")]
    World(String),
}

/// What the checkers look at.
pub struct View<'a> {
    /// The machines.
    pub sites: &'a [Site],
    /// What was promised.
    pub ledger: &'a mut Ledger,
    /// Whose everything is.
    pub owner: &'a Owner,
    /// Hosts and devices.
    pub shape: Shape,
    /// The right time.
    pub now: u64,
}

impl View<'_> {
    /// Everything that holds at any time.
    ///
    /// # Errors
    /// [`Broken`], the first promise found broken.
    pub fn promises(&mut self) -> Result<(), Broken> {
        for site in self.sites {
            if let Some(running) = &site.running {
                // The checker is not to meet a fault that was meant for the node.
                site.memory.fail_call(None);
                self.node(site, running)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, site: &Site, running: &Running) -> Result<(), Broken> {
        let owner = self.owner.id();
        let mut whole = Whole::new(&running.host.store, owner);
        if site.machine < self.shape.hosts {
            self.host(site.machine, &mut whole)?;
        } else {
            self.device(site, &mut whole)?;
        }
        self.quota(site.machine, running)?;
        for (machine, envelope) in &self.ledger.orders {
            if *machine == site.machine && !whole.knows(envelope) {
                return Err(Broken::Order { machine: *machine });
            }
        }
        Ok(())
    }

    fn host(&mut self, host: Machine, whole: &mut Whole<'_>) -> Result<(), Broken> {
        let mut seen = Vec::new();
        for made in self.ledger.made.values() {
            let snap = made.snap;
            if whole.has(&snap) {
                whole
                    .check(made)
                    .map_err(|why| Broken::Receipt { host, snap, why })?;
                seen.push((host, snap));
            } else if self.ledger.seen.contains(&(host, snap))
                && !self.ledger.may_go(&snap, self.now)
            {
                return Err(Broken::Deleted { host, snap });
            }
        }
        self.ledger.seen.extend(seen);
        Ok(())
    }

    fn device(&self, site: &Site, whole: &mut Whole<'_>) -> Result<(), Broken> {
        let (machine, node) = (site.machine, site.node());
        let own = self.ledger.made.values().filter(|made| made.device == node);
        for made in own {
            let snap = made.snap;
            if whole.has(&snap) {
                whole
                    .check(made)
                    .map_err(|why| Broken::Lost { machine, snap, why })?;
            } else if !self.ledger.may_go(&snap, self.now) {
                let why = "it is gone".to_owned();
                return Err(Broken::Lost { machine, snap, why });
            }
        }
        Ok(())
    }

    /// What is counted for each device is what was agreed, at most.
    fn quota(&self, machine: Machine, running: &Running) -> Result<(), Broken> {
        for device in self.sites.iter().skip(self.shape.hosts) {
            let owner = self.owner.id();
            let used = running.host.store.usage(&owner, &device.node());
            let used = used
                .map_err(|error| Broken::World(error.to_string()))?
                .bytes;
            let limit = QUOTA;
            if used > limit {
                return Err(Broken::Quota {
                    machine,
                    used,
                    limit,
                });
            }
        }
        Ok(())
    }

    /// Everything that is to be so when the faults have been over for days.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn converged(&mut self) -> Result<(), Broken> {
        self.promises()?;
        for site in self.sites {
            let Some(running) = &site.running else {
                let why = "it does not run at the end".to_owned();
                return Err(Broken::NoStart {
                    machine: site.machine,
                    why,
                });
            };
            let mut whole = Whole::new(&running.host.store, self.owner.id());
            for made in self.ledger.made.values() {
                self.settled(site, made, &mut whole)?;
            }
            let sure = self
                .ledger
                .deletions
                .iter()
                .filter(|deletion| !deletion.is_doubtful);
            for deletion in sure {
                if !whole.knows(&deletion.envelope) && site.machine < self.shape.hosts {
                    let host = site.machine;
                    let text = format!("host {host} does not know an order of the owner");
                    return Err(Broken::NotConverged(text));
                }
            }
            self.leak(site)?;
        }
        Ok(())
    }

    /// A snapshot is at every host and in the count of its device, or gone from everywhere.
    fn settled(&self, site: &Site, made: &Made, whole: &mut Whole<'_>) -> Result<(), Broken> {
        let (snap, machine) = (made.snap, site.machine);
        let is_host = machine < self.shape.hosts;
        if self.ledger.must_go(&snap) {
            let is_there = whole.has(&snap);
            let text = format!("snapshot {snap:?} was deleted, and machine {machine} has it");
            return if is_there {
                Err(Broken::NotConverged(text))
            } else {
                Ok(())
            };
        }
        if is_host && !whole.has(&snap) && !self.ledger.may_go(&snap, self.now) {
            let text = format!("host {machine} lacks snapshot {snap:?}");
            return Err(Broken::NotConverged(text));
        }
        if site.node() != made.device || !whole.has(&snap) {
            return Ok(());
        }
        for host in self.sites.iter().take(self.shape.hosts) {
            let counted = whole.receipts(&snap).contains(&host.node());
            let has = host
                .running
                .as_ref()
                .is_some_and(|running| Whole::new(&running.host.store, self.owner.id()).has(&snap));
            let host = host.machine;
            if counted && !has && !self.ledger.may_go(&snap, self.now) {
                let why = "it is gone, and its device counts on it".to_owned();
                return Err(Broken::Receipt { host, snap, why });
            }
            if !counted && has {
                let text = format!("device {machine} does not count on host {host} for {snap:?}");
                return Err(Broken::NotConverged(text));
            }
        }
        Ok(())
    }

    fn leak(&self, site: &Site) -> Result<(), Broken> {
        let count = disk::strays(&site.memory).len();
        match count {
            0 => Ok(()),
            _ => Err(Broken::Leak {
                machine: site.machine,
                count,
            }),
        }
    }

    /// What nodes did in some quiet hours.
    ///
    /// # Errors
    /// [`Broken::Spins`].
    pub fn idle(&self, hours: u64) -> Result<(), Broken> {
        for site in self.sites {
            let looks = site
                .running
                .as_ref()
                .map_or(0, |running| running.pulse.take());
            if looks > hours * IDLE_LOOKS {
                return Err(Broken::Spins {
                    machine: site.machine,
                    looks,
                });
            }
        }
        Ok(())
    }

    /// Every snapshot of every host opens, and gives what was saved.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn restorable(&self) -> Result<(), Broken> {
        for site in self.sites {
            let Some(running) = &site.running else {
                continue;
            };
            let whole = Whole::new(&running.host.store, self.owner.id());
            for made in self
                .ledger
                .made
                .values()
                .filter(|made| whole.has(&made.snap))
            {
                let get = |id: &ObjectId| whole.object(id).map_err(anyhow::Error::msg);
                let restored = Reader::new(&self.owner.seed, GROUP, get)
                    .and_then(|mut reader| reader.restore(&made.root));
                let why = match restored {
                    Ok(files) if files == made.files => continue,
                    Ok(_) => "other files than those that were saved".to_owned(),
                    Err(error) => format!("{error:#}"),
                };
                let (host, snap) = (site.machine, made.snap);
                return Err(Broken::Receipt { host, snap, why });
            }
        }
        Ok(())
    }
}

/// What a node has of an owner, and what of it was looked at.
struct Whole<'a> {
    store: &'a Store,
    owner: OwnerId,
    seen: BTreeSet<ObjectId>,
}

impl<'a> Whole<'a> {
    fn new(store: &'a Store, owner: OwnerId) -> Self {
        let seen = BTreeSet::new();
        Self { store, owner, seen }
    }

    fn has(&self, snap: &SnapshotId) -> bool {
        matches!(self.store.snap(&self.owner, snap), Ok(Some(_)))
    }

    fn receipts(&self, snap: &SnapshotId) -> Vec<NodeId> {
        let receipts = self.store.receipts(&self.owner, snap).unwrap_or_default();
        receipts.into_iter().map(|(host, _)| host).collect()
    }

    fn object(&self, id: &ObjectId) -> Result<Vec<u8>, String> {
        match self.store.get(&self.owner, id) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(format!("object {id:?} is not there")),
            Err(error) => Err(format!("object {id:?}: {error}")),
        }
    }

    /// Everything below a snapshot is there; its bytes are those of their ids.
    fn check(&mut self, made: &Made) -> Result<(), String> {
        let mut todo = vec![made.root];
        while let Some(id) = todo.pop() {
            if self.seen.insert(id) {
                let bytes = self.object(&id)?;
                let (header, _) = parse_header(&bytes).map_err(|error| error.to_string())?;
                todo.extend(header.refs);
            }
        }
        Ok(())
    }

    /// Whether a record is kept.
    fn knows(&self, envelope: &[u8]) -> bool {
        let Ok(record) = packnback_proto::record::decode_record(envelope) else {
            return false;
        };
        let kept = self.store.record(&self.owner, &record.id());
        kept.is_ok_and(|kept| kept.as_deref() == Some(envelope))
    }
}
