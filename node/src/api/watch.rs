//! Where a snapshot is, and waiting for that to change.

use std::sync::Arc;
use std::time::Duration;

use packnback_proto::ids::SnapshotId;
use packnback_proto::wire::local::Copies;
use tokio::sync::watch;

use crate::ports::Network;

/// Longest wait.
const POLL_MAX_MS: u64 = 60_000;

/// Follows where snapshots are, and knows what was seen of it already.
#[derive(Clone)]
pub struct Watch {
    network: Arc<dyn Network>,
    changes: watch::Receiver<u64>,
}

impl Watch {
    pub(super) fn new(network: Arc<dyn Network>) -> Self {
        let changes = network.copies_changed();
        Self { network, changes }
    }

    /// Where this snapshot is: as soon as it is on `wait_hosts` hosts, something changed since the last answer, or
    /// the time is up.
    pub async fn copies(&mut self, snap: SnapshotId, wait_hosts: u32, timeout_ms: u64) -> Copies {
        let enough = usize::try_from(wait_hosts).unwrap_or(usize::MAX);
        let look = |network: &Arc<dyn Network>| {
            let hosts = network.copies(&snap);
            let done = hosts.iter().filter(|host| host.receipt).count() >= enough;
            Copies { done, hosts }
        };
        let copies = look(&self.network);
        if copies.done || timeout_ms == 0 {
            return copies;
        }
        let timeout = Duration::from_millis(timeout_ms.min(POLL_MAX_MS));
        // ignored: timed out or the network ended; either way the answer is how it stands now
        let _ = tokio::time::timeout(timeout, self.changes.changed()).await;
        look(&self.network)
    }
}
