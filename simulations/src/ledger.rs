//! What was promised and what was asked for, as people remember it. Knows nothing of how nodes decide.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::SnapshotId;

use crate::actors::device::Made;
use crate::net::Machine;
use crate::site::GRACE_D;

const DAY: u64 = 86_400;

/// Bytes agreed for each device at each host.
pub const QUOTA: u64 = 8 << 20;
/// Days nothing younger expires, by the policy of every run.
pub const MIN_AGE_D: u64 = 10;
/// Days by which the clocks of a run can be wrong together.
const WRONG_D: u64 = 4;

/// A deletion the owner asked for.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// The order.
    pub oid: [u8; 16],
    /// Its envelope, as it was signed.
    pub envelope: Vec<u8>,
    /// What is to go.
    pub snap: SnapshotId,
    /// When it was signed.
    pub at: u64,
    /// The owner changed its mind.
    pub is_taken_back: bool,
    /// No node said that it took the order, or that which takes it back; one may have it all the same.
    pub is_doubtful: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Snapshots that nodes acknowledged.
    pub made: BTreeMap<SnapshotId, Made>,
    /// What the owner wanted gone, in order.
    pub deletions: Vec<Deletion>,
    /// Since when there is a policy.
    pub policy_since: Option<u64>,
    /// What was seen at which host.
    pub seen: BTreeSet<(Machine, SnapshotId)>,
    /// Orders that nodes took, and which node.
    pub orders: Vec<(Machine, Vec<u8>)>,
}

impl Ledger {
    /// Whether a snapshot may be gone at a node at this time: the owner said so long enough ago.
    #[must_use]
    pub fn may_go(&self, snap: &SnapshotId, now: u64) -> bool {
        let deleted = self.deletions.iter().any(|deletion| {
            let is_over = now >= deletion.at + (GRACE_D - 1) * DAY;
            let may_be = !deletion.is_taken_back || deletion.is_doubtful;
            deletion.snap == *snap && may_be && is_over
        });
        deleted || self.may_expire(snap, now)
    }

    fn may_expire(&self, snap: &SnapshotId, now: u64) -> bool {
        let young = (MIN_AGE_D - WRONG_D) * DAY;
        let is_old = self
            .made
            .get(snap)
            .is_none_or(|made| now >= made.at + young);
        self.policy_since.is_some() && is_old
    }

    /// Whether a snapshot is to be gone everywhere by the end.
    #[must_use]
    pub fn must_go(&self, snap: &SnapshotId) -> bool {
        let mut deletions = self.deletions.iter();
        deletions.any(|deletion| {
            deletion.snap == *snap && !deletion.is_taken_back && !deletion.is_doubtful
        })
    }

    /// Snapshots of a device that nobody wanted gone, oldest first.
    #[must_use]
    pub fn wanted(&self) -> Vec<&Made> {
        let mut wanted: Vec<&Made> = self.made.values().collect();
        let is_named = |made: &Made| self.deletions.iter().any(|d| d.snap == made.snap);
        wanted.retain(|made| !is_named(made));
        wanted.sort_by_key(|made| (made.at, made.snap));
        wanted
    }

    /// A host lost its disk: nothing is expected of it that it does not promise anew.
    pub fn forget(&mut self, host: Machine) {
        self.seen.retain(|(machine, _)| *machine != host);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use packnback_proto::ids::{NodeId, ObjectId};

    use super::*;

    const NOW: u64 = 1_000 * DAY;

    fn made(ledger: &mut Ledger, n: u8, at: u64) -> SnapshotId {
        let snap = SnapshotId::from([n; 32]);
        let made = Made {
            snap,
            device: NodeId([1; 32]),
            root: ObjectId([n; 32]),
            files: BTreeMap::new(),
            at,
        };
        ledger.made.insert(snap, made);
        snap
    }

    #[test]
    fn a_snapshot_may_go_when_the_owner_said_so_long_enough_ago() {
        let mut ledger = Ledger::default();
        let snap = made(&mut ledger, 1, NOW);
        assert!(!ledger.may_go(&snap, NOW + 100 * DAY));
        ledger.deletions.push(Deletion {
            oid: [1; 16],
            envelope: Vec::new(),
            snap,
            at: NOW,
            is_taken_back: false,
            is_doubtful: false,
        });
        assert!(!ledger.may_go(&snap, NOW + DAY), "it waits");
        assert!(ledger.may_go(&snap, NOW + GRACE_D * DAY) && ledger.must_go(&snap));
        if let Some(deletion) = ledger.deletions.last_mut() {
            deletion.is_taken_back = true;
        }
        assert!(!ledger.may_go(&snap, NOW + GRACE_D * DAY) && !ledger.must_go(&snap));
        assert_eq!(ledger.wanted().len(), 0, "it was named once");
    }

    #[test]
    fn a_policy_lets_old_ones_go_and_no_others() {
        let mut ledger = Ledger::default();
        let (old, young) = (
            made(&mut ledger, 1, NOW - 20 * DAY),
            made(&mut ledger, 2, NOW - DAY),
        );
        assert!(!ledger.may_go(&old, NOW), "there is none yet");
        ledger.policy_since = Some(NOW);
        assert!(ledger.may_go(&old, NOW) && !ledger.may_go(&young, NOW));
    }
}
