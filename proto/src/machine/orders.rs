//! What an owner's order does at a host: when it is due, and whether it takes effect at all.
//!
//! Every rule here holds against somebody with an old copy of a genuine order, or with a stolen
//! signing key and little time: orders wait for their grace, a later one of the same kind wins,
//! and one that matches more than it says does nothing.

use super::budget::DAY_S;
use crate::limits::DROP_OWNER_GRACE_D;
use crate::record::{Op, PolicyArg};

/// Why an order has no effect. It is kept all the same, so that it cannot be played again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    /// A policy that is not newer than the one in force.
    #[error("policy {0} is not newer than the one in force ({1})")]
    OldPolicy(u64, u64),
    /// More snapshots match than the order allows.
    #[error("{0} snapshots match, the order allows {1}: nothing was marked")]
    TooMany(u64, u64),
    /// A list of hosts that is not newer than the one in force.
    #[error("list of hosts {0} is not newer than the one in force ({1})")]
    OldHosts(u64, u64),
}

/// When an order that waits takes effect: after the grace, counted from its arrival here, and not
/// before the time it names itself.
#[must_use]
pub fn due(received: u64, op: &Op, grace_d: u64, not_before: Option<u64>) -> u64 {
    let days = match op {
        Op::DropOwner => grace_d.max(DROP_OWNER_GRACE_D),
        _ => grace_d,
    };
    let after_grace = received.saturating_add(days.saturating_mul(DAY_S));
    after_grace.max(not_before.unwrap_or(0))
}

/// The grace of a host for an owner: its administrator's, or the owner's policy if that is longer.
/// A policy cannot shorten it, so that a stolen key cannot delete at once.
#[must_use]
pub fn grace_d(of_host: u64, of_policy: Option<u64>) -> u64 {
    of_host.max(of_policy.unwrap_or(0))
}

/// Whether a policy replaces the one in force for the same device (or for all).
///
/// # Errors
/// [`OrderRefusal::OldPolicy`].
pub fn policy_takes(new: &PolicyArg, in_force: Option<u64>) -> Result<(), OrderRefusal> {
    match in_force {
        Some(pseq) if new.pseq <= pseq => Err(OrderRefusal::OldPolicy(new.pseq, pseq)),
        _ => Ok(()),
    }
}

/// Whether a list of hosts replaces the one in force.
///
/// # Errors
/// [`OrderRefusal::OldHosts`].
pub fn hosts_take(new: u64, in_force: Option<u64>) -> Result<(), OrderRefusal> {
    match in_force {
        Some(hseq) if new <= hseq => Err(OrderRefusal::OldHosts(new, hseq)),
        _ => Ok(()),
    }
}

/// Whether a range may be deleted.
///
/// # Errors
/// [`OrderRefusal::TooMany`].
pub fn range_takes(matching: u64, max_count: u64) -> Result<(), OrderRefusal> {
    if matching > max_count {
        return Err(OrderRefusal::TooMany(matching, max_count));
    }
    Ok(())
}

/// Whether a hold or its end changes what is known of a snapshot: only if it was signed later.
#[must_use]
pub fn hold_takes(issued: u64, known: Option<u64>) -> bool {
    known.is_none_or(|known| issued > known)
}

/// Whether an order of this kind waits, so that it can be taken back: deletions do. What takes effect
/// when it comes is answered by another order of its kind, and a revocation by nothing: whoever has a
/// stolen signing key, or a genuine order that takes back what has not arrived yet, must not end it.
#[must_use]
pub fn can_be_taken_back(op: &Op) -> bool {
    matches!(
        op,
        Op::DeleteIds(_) | Op::DeleteRange { .. } | Op::DropOwner
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, RecordId};

    #[test]
    fn n27_only_what_waits_can_be_taken_back() {
        let device = NodeId([1; 32]);
        let ids = vec![RecordId([1; 32])];
        for waits in [
            Op::DeleteIds(ids.clone()),
            Op::DeleteRange {
                device,
                recv_from: 0,
                recv_to: 1,
                max_count: 1,
            },
            Op::DropOwner,
        ] {
            assert!(can_be_taken_back(&waits), "{waits:?}");
        }
        for acts in [
            Op::Policy(policy(1)),
            Op::Revoke {
                device,
                reason: String::new(),
            },
            Op::Hold(ids.clone()),
            Op::Unhold(ids),
            Op::Cancel(vec![[1; 16]]),
            Op::Hosts {
                hseq: 1,
                hosts: vec![device],
            },
        ] {
            assert!(!can_be_taken_back(&acts), "{acts:?}");
        }
    }

    fn policy(pseq: u64) -> PolicyArg {
        PolicyArg {
            pseq,
            device: None,
            min_age_d: 30,
            keep: [0; 5],
            keep_last: 3,
            grace_d: 7,
        }
    }

    #[test]
    fn an_order_waits_for_the_longer_of_grace_and_its_own_time() {
        let delete = Op::DeleteIds(vec![RecordId([1; 32])]);
        assert_eq!(due(100, &delete, 7, None), 100 + 7 * DAY_S);
        assert_eq!(due(100, &delete, 0, None), 100);
        assert_eq!(due(100, &delete, 7, Some(50)), 100 + 7 * DAY_S);
        assert_eq!(due(100, &delete, 7, Some(u64::MAX)), u64::MAX);
        assert_eq!(due(u64::MAX, &delete, u64::MAX, None), u64::MAX);
        assert_eq!(due(0, &Op::DropOwner, 0, None), DROP_OWNER_GRACE_D * DAY_S);
        assert_eq!(due(0, &Op::DropOwner, 90, None), 90 * DAY_S);
    }

    #[test]
    fn a_policy_lengthens_the_grace_and_never_shortens_it() {
        assert_eq!(grace_d(7, None), 7);
        assert_eq!(grace_d(7, Some(0)), 7);
        assert_eq!(grace_d(7, Some(30)), 30);
    }

    #[test]
    fn n05_a_policy_that_is_not_newer_does_not_take() {
        assert_eq!(policy_takes(&policy(1), None), Ok(()));
        assert_eq!(policy_takes(&policy(8), Some(7)), Ok(()));
        for old in [0, 6, 7] {
            let refused = policy_takes(&policy(old), Some(7));
            assert_eq!(refused, Err(OrderRefusal::OldPolicy(old, 7)));
        }
        assert_eq!(hosts_take(8, Some(7)), Ok(()));
        assert!(hosts_take(7, Some(7)).is_err());
    }

    #[test]
    fn n05_a_range_over_its_count_does_not_take() {
        assert_eq!(range_takes(4, 5), Ok(()));
        assert_eq!(range_takes(5, 5), Ok(()));
        assert_eq!(range_takes(6, 5), Err(OrderRefusal::TooMany(6, 5)));
    }

    #[test]
    fn a_hold_is_changed_by_later_orders_only() {
        assert!(hold_takes(5, None));
        assert!(hold_takes(6, Some(5)));
        assert!(!hold_takes(5, Some(5)));
        assert!(!hold_takes(4, Some(5)));
    }
}
