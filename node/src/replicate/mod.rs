//! Carries every snapshot of this node to its friends.
//!
//! | Module | Does |
//! |---|---|
//! | [`upload`](Upload) | what to send for one snapshot: pure |
//! | `round` | what one host still has to be told: pure |
//! | `heads` | what a host says, compared with what this machine did: pure |
//! | `heed` | raises the alarms that follow from it, takes over orders |
//! | `stands` | what became of snapshots at a host that had receipted them |
//! | `client` | the asking side of a storage session |
//! | `carry` | runs an upload over a stream |
//! | `look` | when a worker looks for work, and what it sees |
//! | `friends` | a worker for every friend that stores for us, as they come and go |
//! | `worker` | one per friend: rounds |
//! | `error` | why a round failed, and what that says of the host |
//! | `board` | where every copy stands |
//! | [`pull`] | copies from other hosts what the device cannot bring |

mod board;
mod carry;
mod client;
mod error;
mod friends;
mod heads;
mod heed;
mod local;
mod look;
pub mod pull;
mod round;
mod source;
mod stands;
mod timing;
mod upload;
mod worker;

#[cfg(test)]
mod heed_tests;
#[cfg(test)]
mod idle_tests;
#[cfg(test)]
mod upload_tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use packnback_proto::ids::{NodeId, RecordId, SnapshotId};
use packnback_proto::wire::local::HostCopy;
use parking_lot::Mutex;
use tokio::sync::watch;

pub use carry::{CarryError, carry};
pub use client::{ClientError, Greeting, Opened, StoreClient};
pub use local::StoreSource;
pub use round::{Round, SnapState, round_for};
pub use source::{Fate, OwnSnap, Shape, Source};
pub use timing::Timing;
pub use upload::{Action, Left, Reply, Shapes, Upload, UploadError};

use crate::peers::PeerTable;
use crate::ports::{Env, Transport};
use crate::work::{Bell, Handle, Runner};
use board::Board;
use worker::Common;

/// Replication to all friends that store for us.
pub struct Replicator {
    common: Arc<Common>,
    runner: Runner,
    workers: Mutex<BTreeMap<NodeId, Handle>>,
    supervisor: Mutex<Option<Handle>>,
}

impl Replicator {
    /// Starts a worker per friend, now and whenever friends come and go.
    #[must_use]
    pub fn start(
        net: Arc<dyn Transport>,
        peers: Arc<PeerTable>,
        source: Arc<dyn Source>,
        env: Env,
        timing: Timing,
        runner: &Runner,
    ) -> Arc<Self> {
        let common = Arc::new(Common {
            net,
            peers,
            source,
            env,
            board: Board::default(),
            bell: Bell::new("something to carry"),
            timing,
        });
        let this = Arc::new(Self {
            common,
            runner: runner.clone(),
            workers: Mutex::default(),
            supervisor: Mutex::default(),
        });
        let supervisor = friends::start(&this);
        *this.supervisor.lock() = Some(supervisor);
        this
    }

    /// One worker for every friend that stores for us, none for others.
    fn match_workers(&self) {
        let hosts: Vec<NodeId> = self.hosts().into_iter().map(|(host, _)| host).collect();
        let mut workers = self.workers.lock();
        workers.retain(|host, worker| {
            let stays = hosts.contains(host);
            if !stays {
                worker.end();
                self.common.board.forget(host);
            }
            stays
        });
        for host in hosts {
            workers
                .entry(host)
                .or_insert_with(|| worker::start(&self.runner, &self.common, host));
        }
        drop(workers);
        self.common.board.touch();
    }

    fn hosts(&self) -> Vec<(NodeId, String)> {
        let friends = self.common.peers.friends().into_iter();
        friends
            .filter(|(_, f)| f.stores_for_us())
            .map(|(node, f)| (node, f.shown_name().to_owned()))
            .collect()
    }

    /// There may be something new to carry. Returns at once.
    pub fn wake(&self) {
        self.common.bell.ring();
        self.common.board.touch();
    }

    /// Where a snapshot is, host by host.
    #[must_use]
    pub fn copies(&self, snap: &SnapshotId) -> Vec<HostCopy> {
        let receipts = match self.common.source.receipts(snap) {
            Ok(receipts) => receipts,
            Err(error) => {
                tracing::error!(%error, "cannot read the receipts");
                Vec::new()
            }
        };
        let copy = |(host, name): (NodeId, String)| {
            let receipt = receipts.iter().any(|(receipted, _)| *receipted == host);
            let contact = self.common.peers.contact(&host);
            let is_here = self.common.net.is_connected(host);
            HostCopy {
                away: contact.is_away && !is_here,
                last_seen: contact.last_seen,
                ..self.common.board.copy(host, name, snap, receipt)
            }
        };
        self.hosts().into_iter().map(copy).collect()
    }

    /// Friends that have taken an order of the owner from this node since it started.
    #[must_use]
    pub fn told_of(&self, order: &RecordId) -> Vec<NodeId> {
        self.common.board.told_of(order)
    }

    /// Changes whenever an answer of [`Replicator::copies`] may have changed.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.common.board.subscribe()
    }

    /// Ends all workers. What they had sent and synced stays at the hosts.
    pub fn stop(&self) {
        if let Some(supervisor) = self.supervisor.lock().take() {
            supervisor.end();
        }
        for worker in std::mem::take(&mut *self.workers.lock()).into_values() {
            worker.end();
        }
    }
}

impl Drop for Replicator {
    fn drop(&mut self) {
        self.stop();
    }
}
