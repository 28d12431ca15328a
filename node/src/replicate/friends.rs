//! A worker for every friend that stores for us, as friends come and go.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::Replicator;
use crate::work::{Context, Handle, Next, OnStall, Rules, Status, WorkError, Worker};

/// Pauses after errors: only a broken program makes any.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Starting and ending workers takes no time.
const BOUND: Duration = Duration::from_secs(60);

pub(super) fn start(replicator: &Arc<Replicator>) -> Handle {
    let this = Arc::downgrade(replicator);
    let peers = Arc::clone(&replicator.common.peers);
    let rules = Rules::new(RETRY, RETRY_MAX).bound(BOUND, OnStall::Restart);
    replicator.runner.start(rules, move || Friends {
        replicator: Weak::clone(&this),
        changed: peers.changed(),
        count: 0,
    })
}

struct Friends {
    replicator: Weak<Replicator>,
    changed: watch::Receiver<u64>,
    count: usize,
}

impl Worker for Friends {
    fn name(&self) -> String {
        "replicate".to_owned()
    }

    async fn step(&mut self, _: &Context) -> Result<Next, WorkError> {
        let is_over = self.changed.has_changed().is_err();
        self.changed.mark_unchanged();
        match self.replicator.upgrade() {
            Some(replicator) if !is_over => {
                replicator.match_workers();
                self.count = replicator.workers.lock().len();
                Ok(Next::WhenWoken)
            }
            _ => Ok(Next::Done),
        }
    }

    fn status(&self) -> Status {
        Status {
            note: format!("{} friends store for this node", self.count),
            ..Status::default()
        }
    }

    async fn nudge(&mut self) {
        // An error means that the table is gone: the next step sees it.
        let _ = self.changed.changed().await;
    }
}
