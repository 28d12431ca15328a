//! What a host says when a session opens, compared with what this machine did. Pure.

use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::record::{Op, Order};
use packnback_proto::wire::store::Head;

/// Something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The host has a snapshot under this device's key that this device did not make.
    UnknownHead(Head),
    /// The host gave a receipt for this snapshot, and has neither it nor a newer one.
    Withheld(SnapshotId),
}

/// A head and whether its snapshot was made here.
pub(super) type Judged = (Head, bool);

/// The newest snapshot the host has given a receipt for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    /// The snapshot.
    pub snap: SnapshotId,
    /// Its sequence number.
    pub seq: u64,
    /// Whether the host says that it is complete there.
    pub complete: bool,
    /// Whether the owner ordered that it goes.
    pub ordered_to_go: bool,
}

/// Compares.
#[must_use]
pub(super) fn compare(heads: &[Judged], base: Option<Base>) -> Vec<Finding> {
    let unknown = heads.iter().filter(|(_, made_here)| !made_here);
    let mut findings: Vec<Finding> = unknown
        .map(|(head, _)| Finding::UnknownHead(*head))
        .collect();
    let Some(base) = base.filter(|base| !base.complete && !base.ordered_to_go) else {
        return findings;
    };
    // A made-up head proves nothing about what the host has of us.
    let ours = || heads.iter().filter(|(_, made_here)| *made_here);
    let has_it = ours().any(|(head, _)| head.id == base.snap);
    let has_newer = ours().any(|(head, _)| head.seq > base.seq);
    if !has_it && !has_newer {
        findings.push(Finding::Withheld(base.snap));
    }
    findings
}

/// Whether an order makes a snapshot of this device go, at this host or elsewhere. A range is
/// taken for a yes: what it matches only each host knows.
#[must_use]
pub(super) fn makes_go(order: &Order, snap: &SnapshotId, device: &NodeId) -> bool {
    match &order.op {
        Op::DeleteIds(ids) => ids.contains(snap),
        Op::DeleteRange { device: of, .. } => of == device,
        Op::DropOwner => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use packnback_proto::ids::RecordId;

    use super::*;

    fn head(n: u8) -> Head {
        Head {
            seq: n.into(),
            id: RecordId([n; 32]),
        }
    }

    fn base(n: u8) -> Option<Base> {
        Some(Base {
            snap: RecordId([n; 32]),
            seq: n.into(),
            complete: false,
            ordered_to_go: false,
        })
    }

    #[test]
    fn n10_a_head_that_was_not_made_here_is_found() {
        let heads = [(head(3), true), (head(9), false), (head(2), true)];
        assert_eq!(compare(&heads, None), [Finding::UnknownHead(head(9))]);
        // Not among what was made here, whatever its number says.
        let heads = [(head(3), false)];
        assert_eq!(compare(&heads, None), [Finding::UnknownHead(head(3))]);
        assert!(compare(&[(head(3), true)], None).is_empty());
    }

    #[test]
    fn n10_a_host_that_lost_what_it_receipted_is_found() {
        let withheld = [Finding::Withheld(RecordId([5; 32]))];
        assert_eq!(compare(&[], base(5)), withheld);
        assert_eq!(compare(&[(head(4), true)], base(5)), withheld);
        // There, or something newer of ours.
        assert!(compare(&[(head(5), true)], base(5)).is_empty());
        assert!(compare(&[(head(6), true)], base(5)).is_empty());
        // Made up: both are wrong.
        let found = compare(&[(head(6), false)], base(5));
        assert_eq!(found, [Finding::UnknownHead(head(6)), withheld[0]]);
        let complete = base(5).map(|base| Base {
            complete: true,
            ..base
        });
        assert!(compare(&[], complete).is_empty());
        let ordered = base(5).map(|base| Base {
            ordered_to_go: true,
            ..base
        });
        assert!(compare(&[], ordered).is_empty());
    }
}
