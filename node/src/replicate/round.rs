//! What one host still has to be told. Pure.

use std::collections::BTreeSet;

use packnback_proto::ids::{NodeId, SnapshotId};

use super::source::{Fate, OwnSnap};

/// Newest snapshots whose receipts are copied to the other hosts. Receipts prove to a reader that a
/// host withholds the newest; older ones prove nothing more.
const RECEIPTS_OF_NEWEST: usize = 32;

/// A snapshot and the hosts whose receipts are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapState {
    /// The snapshot.
    pub snap: OwnSnap,
    /// Who has receipted it.
    pub hosts: Vec<NodeId>,
    /// What keeps it from being brought to others.
    pub fate: Fate,
}

/// Work for one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Snapshots to upload, oldest first: each builds on the one before.
    pub uploads: Vec<OwnSnap>,
    /// Receipts of other hosts to pass on, for snapshots this host has.
    pub receipts: Vec<(SnapshotId, NodeId)>,
    /// The newest snapshot the host has: its id and sequence number.
    pub base: Option<(SnapshotId, u64)>,
}

impl Round {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.uploads.is_empty() && self.receipts.is_empty()
    }
}

/// Decides what `host` needs. `snaps` are oldest first; `told` are the receipts it was told of in
/// the life of this process; `me` is no news to anybody, because every host sees our signature.
#[must_use]
pub fn round_for(
    host: &NodeId,
    me: &NodeId,
    snaps: &[SnapState],
    told: &BTreeSet<(SnapshotId, NodeId)>,
) -> Round {
    let mut round = Round::default();
    for state in snaps {
        if state.hosts.contains(host) {
            round.base = Some((state.snap.id, state.snap.seq));
        } else if !state.fate.goes && !state.fate.ended_at.contains(host) {
            round.uploads.push(state.snap.clone());
        }
    }
    for state in snaps.iter().rev().take(RECEIPTS_OF_NEWEST) {
        if state.hosts.contains(host) {
            let others = state
                .hosts
                .iter()
                .filter(|other| *other != host && *other != me);
            let news = others
                .map(|other| (state.snap.id, *other))
                .filter(|r| !told.contains(r));
            round.receipts.extend(news);
        }
    }
    round
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use packnback_proto::ids::{ObjectId, RecordId, SetId};
    use packnback_proto::wire::Bytes;

    use super::*;

    const ME: NodeId = NodeId([0; 32]);
    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    fn snap(n: u8, hosts: &[NodeId]) -> SnapState {
        let snap = OwnSnap {
            id: RecordId([n; 32]),
            seq: n.into(),
            root: ObjectId([n; 32]),
            set: SetId([1; 16]),
            time: 0,
            envelope: Bytes(vec![n]),
        };
        SnapState {
            snap,
            hosts: hosts.to_vec(),
            fate: Fate::default(),
        }
    }

    #[test]
    fn a_host_gets_what_it_has_not_receipted_oldest_first() {
        let snaps = [snap(1, &[ME, A]), snap(2, &[ME]), snap(3, &[ME, B])];
        let round = round_for(&A, &ME, &snaps, &BTreeSet::new());
        let ids: Vec<_> = round.uploads.iter().map(|snap| snap.id.0[0]).collect();
        assert_eq!(ids, [2, 3]);
        assert_eq!(round.base, Some((RecordId([1; 32]), 1)));
        // B's receipt is for a snapshot A does not have yet.
        assert!(round.receipts.is_empty());
    }

    #[test]
    fn n30_what_goes_or_has_ended_there_is_not_brought() {
        let mut snaps = [snap(1, &[ME]), snap(2, &[ME, A]), snap(3, &[ME])];
        snaps[0].fate.goes = true;
        snaps[2].fate.ended_at = vec![A];
        let uploads = |host| {
            let round = round_for(&host, &ME, &snaps, &BTreeSet::new());
            let ids = round.uploads.iter().map(|snap| snap.id.0[0]);
            ids.collect::<Vec<_>>()
        };
        assert_eq!(uploads(A), [0u8; 0]);
        assert_eq!(uploads(B), [2, 3]);
    }

    #[test]
    fn receipts_of_others_are_passed_on_once() {
        let snaps = [snap(1, &[ME, A, B])];
        let mut told = BTreeSet::new();
        let round = round_for(&A, &ME, &snaps, &told);
        assert_eq!(round.receipts, [(RecordId([1; 32]), B)]);
        told.extend(round.receipts);
        assert!(round_for(&A, &ME, &snaps, &told).is_empty());
        assert!(!round_for(&B, &ME, &snaps, &BTreeSet::new()).is_empty());
    }

    #[test]
    fn old_receipts_are_no_news() {
        let snaps: Vec<_> = (0..40).map(|n| snap(n, &[A, B])).collect();
        let round = round_for(&A, &ME, &snaps, &BTreeSet::new());
        assert_eq!(round.receipts.len(), RECEIPTS_OF_NEWEST);
    }
}
