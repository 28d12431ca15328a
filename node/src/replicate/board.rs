//! Where every copy stands, for `status` and the long poll of `copies`, and who took which order.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::{NodeId, RecordId, SnapshotId};
use packnback_proto::wire::local::{CopyState, HostCopy};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::upload::Left;

/// Said of a copy that this machine cannot make.
const LACKING: &str = "waiting for another host: this machine no longer has all of this snapshot and \
     cannot make it again; the hosts on the owner's list copy it from each other";

#[derive(Debug, Clone, Default)]
struct Standing {
    sending: Option<(SnapshotId, Left)>,
    last_error: Option<String>,
    /// Snapshots the host lacks and this machine cannot bring it.
    lacking: BTreeSet<SnapshotId>,
    /// Orders the host has taken since this node started: at every start all are told again.
    orders: BTreeSet<RecordId>,
}

/// Progress of all hosts.
#[derive(Debug, Default)]
pub(super) struct Board {
    hosts: RwLock<BTreeMap<NodeId, Standing>>,
    changed: watch::Sender<u64>,
}

impl Board {
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn touch(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn set(&self, host: NodeId, change: impl FnOnce(&mut Standing)) {
        change(self.hosts.write().entry(host).or_default());
        self.touch();
    }

    pub(super) fn sending(&self, host: NodeId, snap: SnapshotId, left: Left) {
        self.set(host, |standing| {
            standing.sending = Some((snap, left));
            standing.last_error = None;
        });
    }

    /// What a host that is being sent to still lacks.
    pub(super) fn left(&self, host: &NodeId) -> Option<Left> {
        let hosts = self.hosts.read();
        Some(hosts.get(host)?.sending?.1)
    }

    pub(super) fn idle(&self, host: NodeId) {
        self.set(host, |standing| {
            standing.sending = None;
            standing.last_error = None;
        });
    }

    pub(super) fn failed(&self, host: NodeId, error: String) {
        self.set(host, |standing| {
            standing.sending = None;
            standing.last_error = Some(error);
        });
    }

    /// These cannot be brought to the host from here.
    pub(super) fn lacking(&self, host: NodeId, snaps: &BTreeSet<SnapshotId>) {
        self.set(host, |standing| standing.lacking.clone_from(snaps));
    }

    /// The host has taken this order.
    pub(super) fn told(&self, host: NodeId, order: RecordId) {
        self.set(host, |standing| {
            standing.orders.insert(order);
        });
    }

    /// Hosts that have taken this order, sorted.
    pub(super) fn told_of(&self, order: &RecordId) -> Vec<NodeId> {
        let hosts = self.hosts.read();
        let have = hosts.iter().filter(|(_, at)| at.orders.contains(order));
        let mut have: Vec<NodeId> = have.map(|(host, _)| *host).collect();
        have.sort_unstable();
        have
    }

    pub(super) fn forget(&self, host: &NodeId) {
        self.hosts.write().remove(host);
        self.touch();
    }

    /// The copy of one snapshot on one host.
    pub(super) fn copy(
        &self,
        host: NodeId,
        name: String,
        snap: &SnapshotId,
        receipt: bool,
    ) -> HostCopy {
        let standing = self.hosts.read().get(&host).cloned().unwrap_or_default();
        let left = standing
            .sending
            .filter(|(sending, _)| sending == snap)
            .map(|(_, left)| left);
        let last_error = match standing.lacking.contains(snap) {
            true => Some(LACKING.to_owned()),
            false => standing.last_error,
        };
        let state = match (receipt, left, &last_error) {
            (true, _, _) => CopyState::Done,
            (false, Some(_), _) => CopyState::Sending,
            (false, None, Some(_)) => CopyState::Failing,
            (false, None, None) => CopyState::Waiting,
        };
        let left = left.filter(|_| !receipt).unwrap_or_default();
        HostCopy {
            host,
            name,
            state,
            receipt,
            objects_left: left.objects,
            bytes_left: left.bytes,
            last_error: last_error.filter(|_| !receipt),
            away: false,
            last_seen: None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_took_an_order_are_known_until_they_are_no_friends() {
        let (board, order) = (Board::default(), RecordId([7; 32]));
        assert_eq!(board.told_of(&order), Vec::new());
        board.told(NodeId([2; 32]), order);
        board.told(NodeId([1; 32]), order);
        board.told(NodeId([1; 32]), RecordId([8; 32]));
        assert_eq!(board.told_of(&order), [NodeId([1; 32]), NodeId([2; 32])]);
        board.forget(&NodeId([1; 32]));
        assert_eq!(board.told_of(&order), [NodeId([2; 32])]);
    }

    #[test]
    fn a_copy_goes_from_waiting_to_done() {
        let (board, host) = (Board::default(), NodeId([1; 32]));
        let (snap, other) = (RecordId([2; 32]), RecordId([3; 32]));
        let state = |snap, receipt| board.copy(host, String::new(), snap, receipt).state;
        assert_eq!(state(&snap, false), CopyState::Waiting);
        board.sending(
            host,
            snap,
            Left {
                objects: 5,
                bytes: 50,
            },
        );
        assert_eq!(state(&snap, false), CopyState::Sending);
        assert_eq!(state(&other, false), CopyState::Waiting);
        assert_eq!(board.copy(host, String::new(), &snap, false).bytes_left, 50);
        board.failed(host, "gone".to_owned());
        assert_eq!(state(&snap, false), CopyState::Failing);
        let copy = board.copy(host, String::new(), &snap, true);
        assert_eq!((copy.state, copy.last_error), (CopyState::Done, None));
        board.idle(host);
        board.lacking(host, &BTreeSet::from([snap]));
        let copy = board.copy(host, String::new(), &snap, false);
        assert_eq!(copy.state, CopyState::Failing);
        assert!(
            copy.last_error
                .unwrap()
                .contains("waiting for another host")
        );
        assert_eq!(state(&other, false), CopyState::Waiting);
        assert_eq!(state(&snap, true), CopyState::Done);
        board.forget(&host);
        assert_eq!(state(&snap, false), CopyState::Waiting);
    }
}
