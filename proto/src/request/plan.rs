//! What a verified request comes down to.

use super::Wanted;
use crate::ids::{NodeId, OwnerId, SetId, SnapshotId};
use crate::policy::{Rules, SnapFact, evaluate};
use crate::record::{Cert, Op, Order, PolicyArg, Signed};

/// What becomes of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Stays,
    /// An order signed earlier removes it.
    Going,
    /// This request removes it.
    Goes,
}

/// A snapshot of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapPlan {
    /// Its id.
    pub id: SnapshotId,
    /// Its sequence number, by the device.
    pub seq: u64,
    /// Its backup set.
    pub set: SetId,
    /// Start of the backup, by the clock of the device.
    pub time: u64,
    /// The earliest receipt: which host, and when by its clock.
    pub received: Option<(NodeId, u64)>,
    /// Hosts that receipted it, of those the owner listed.
    pub hosts: u64,
    /// Objects reachable from it, by that receipt.
    pub objects: Option<u64>,
    /// Their stored bytes, by that receipt.
    pub bytes: Option<u64>,
    /// Whether it is the newest of its backup set, by sequence number, clock or receipt.
    pub newest: bool,
    /// What becomes of it.
    pub fate: Fate,
}

/// A device of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlan {
    /// The device.
    pub device: NodeId,
    /// Its newest certificate shown; a list key opens the name in it.
    pub cert: Signed<Cert>,
    /// Its snapshots, newest first.
    pub snaps: Vec<SnapPlan>,
    /// Older snapshots that are said to be there, not shown.
    pub more: u64,
    /// Two snapshots claim the same place in its line: its key is in use twice, or its state was
    /// set back.
    pub fork: bool,
}

impl DevicePlan {
    /// Snapshots this request removes.
    pub fn goes(&self) -> impl Iterator<Item = &SnapPlan> {
        self.with(Fate::Goes)
    }

    /// Snapshots that remain.
    pub fn stays(&self) -> impl Iterator<Item = &SnapPlan> {
        self.with(Fate::Stays)
    }

    fn with(&self, fate: Fate) -> impl Iterator<Item = &SnapPlan> {
        self.snaps.iter().filter(move |snap| snap.fate == fate)
    }

    /// Whether nothing shown remains of a device that loses something.
    #[must_use]
    pub fn loses_all(&self) -> bool {
        self.goes().next().is_some() && self.stays().next().is_none()
    }
}

/// An order that a request takes back, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// The order.
    pub order: Signed<Order>,
}

/// What a request would do, as far as it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whose key has to sign.
    pub owner: OwnerId,
    /// When the request was made, by the clock of its maker.
    pub created: u64,
    /// What is wanted.
    pub wanted: Vec<Wanted>,
    /// Orders of before that it carries, verified.
    pub orders: Vec<Signed<Order>>,
    /// The owner's hosts, by the newest list carried; `None`: no list, any receipt counts.
    pub hosts: Option<Vec<NodeId>>,
    /// The devices.
    pub devices: Vec<DevicePlan>,
    /// The orders it takes back.
    pub taken_back: Vec<TakenBack>,
}

impl Plan {
    /// Whether it ends anything, lets something go by itself, or takes something back.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.goes().next().is_some()
            || self.wanted.iter().any(|wanted| {
                matches!(
                    wanted.op,
                    Op::DropOwner | Op::Policy(_) | Op::Unhold(_) | Op::Cancel(_)
                )
            })
    }

    /// Snapshots shown, of those that stay, that no rule of a policy keeps once they are old enough.
    #[must_use]
    pub fn falls_under(&self, policy: &PolicyArg) -> Vec<SnapshotId> {
        let mut falls = Vec::new();
        for device in &self.devices {
            if policy.device.is_some_and(|of| of != device.device) {
                continue;
            }
            let facts: Vec<SnapFact> = (0u64..)
                .zip(device.snaps.iter().rev())
                .filter(|(_, snap)| snap.fate == Fate::Stays)
                .map(|(arrival, snap)| SnapFact {
                    id: snap.id,
                    set: snap.set,
                    t: snap.received.map_or(snap.time, |(_, at)| at),
                    arrival,
                    held: false,
                })
                .collect();
            let verdicts = evaluate(&facts, &Rules::from(policy), u64::MAX);
            let may_go = verdicts.iter().filter(|verdict| verdict.reasons.is_empty());
            falls.extend(may_go.map(|verdict| verdict.id));
        }
        falls
    }

    /// Every snapshot the request removes, with its device.
    pub fn goes(&self) -> impl Iterator<Item = (&DevicePlan, &SnapPlan)> {
        self.devices
            .iter()
            .flat_map(|device| device.goes().map(move |snap| (device, snap)))
    }

    /// The newest snapshots of devices that the request removes: each asks for a person's typed
    /// confirmation.
    pub fn newest_going(&self) -> impl Iterator<Item = (&DevicePlan, &SnapPlan)> {
        self.goes().filter(|(_, snap)| snap.newest)
    }
}
