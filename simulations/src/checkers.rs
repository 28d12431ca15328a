//! Looks for broken promises. Knows objects and references, and nothing of how decisions are made.
//!
//! Not verified here: bytes and ids (the tests of the store do that), orders and retention.

use std::collections::BTreeSet;

use packnback_proto::ids::ObjectId;

use crate::host::Host;

/// A promise was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A host gave a receipt for a snapshot of which something is not on its disk.
    #[error("host {host} receipted a snapshot but lacks object {object}")]
    ReceiptForHole {
        /// Which host.
        host: usize,
        /// What it lacks.
        object: ObjectId,
    },
    /// A device stored more than its quota.
    #[error("host {host} stores {used} bytes, {limit} are allowed")]
    Quota {
        /// Which host.
        host: usize,
        /// Stored.
        used: u64,
        /// Allowed.
        limit: u64,
    },
    /// The faults are over, the time is up, and a host still lacks snapshots.
    #[error("host {host} has {receipts} of {backups} snapshots at the end")]
    NotConverged {
        /// Which host.
        host: usize,
        /// Snapshots it receipted.
        receipts: usize,
        /// Snapshots there are.
        backups: usize,
    },
}

/// Everything reachable from every receipted root is on disk, and the quota is kept.
///
/// # Errors
/// [`Broken`], the first promise found broken.
pub fn durable(number: usize, host: &Host, quota: u64) -> Result<(), Broken> {
    let mut seen = BTreeSet::new();
    let mut todo: Vec<ObjectId> = host.receipts.values().copied().collect();
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        match host.disk.get(&id) {
            Some(object) => todo.extend(&object.refs),
            None => {
                return Err(Broken::ReceiptForHole {
                    host: number,
                    object: id,
                });
            }
        }
    }
    let (used, limit) = (host.usage.bytes, quota.min(host.offered));
    if used > limit {
        return Err(Broken::Quota {
            host: number,
            used,
            limit,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use packnback_proto::ids::{ObjectId, SnapshotId};

    use super::{Broken, durable};
    use crate::host::Host;

    #[test]
    fn a_receipt_for_nothing_is_found() {
        let mut host = Host::new(10, 0);
        assert_eq!(durable(0, &host, 10), Ok(()));
        let root = ObjectId([1; 32]);
        host.receipts.insert(SnapshotId::from([2; 32]), root);
        let found = durable(0, &host, 10);
        assert_eq!(
            found,
            Err(Broken::ReceiptForHole {
                host: 0,
                object: root
            })
        );
    }

    #[test]
    fn a_quota_is_found_at_the_limit_plus_one() {
        let mut host = Host::new(10, 0);
        host.usage.bytes = 10;
        assert_eq!(durable(0, &host, 10), Ok(()));
        host.usage.bytes = 11;
        assert!(matches!(durable(0, &host, 10), Err(Broken::Quota { .. })));
        assert!(matches!(durable(0, &host, 12), Err(Broken::Quota { .. })));
    }
}
