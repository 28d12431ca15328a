//! Keeps a connection to every friend, as they come, go and move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::ids::NodeId;
use tokio::sync::watch;

use super::P2p;
use crate::peers::PeerTable;
use crate::ports::Transport;
use crate::work::{Context, Handle, Next, OnStall, Rules, Status, WorkError, Worker};

/// Pauses after errors: only a broken program makes any.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Telling the network takes no time.
const BOUND: Duration = Duration::from_secs(60);

pub(super) fn start(p2p: &P2p) -> Handle {
    let (net, table) = (Arc::clone(&p2p.net), Arc::clone(&p2p.table));
    let rules = Rules::new(RETRY, RETRY_MAX).bound(BOUND, OnStall::Restart);
    p2p.runner.start(rules, move || Keep {
        net: Arc::clone(&net),
        changed: table.changed(),
        table: Arc::clone(&table),
        kept: BTreeMap::new(),
    })
}

struct Keep {
    net: Arc<dyn Transport>,
    table: Arc<PeerTable>,
    changed: watch::Receiver<u64>,
    /// Whom the network keeps a connection to, and where it was told to look.
    kept: BTreeMap<NodeId, Vec<String>>,
}

impl Worker for Keep {
    fn name(&self) -> String {
        "keep friends".to_owned()
    }

    async fn step(&mut self, _: &Context) -> Result<Next, WorkError> {
        self.changed.mark_unchanged();
        let mut friends = self.table.friends();
        // Who ended the friendship is left in peace.
        friends.retain(|(_, friend)| friend.ended.is_none());
        let is_friend = |node: &NodeId| friends.iter().any(|(friend, _)| friend == node);
        let gone: Vec<NodeId> = self.kept.keys().copied().collect();
        for gone in gone.into_iter().filter(|node| !is_friend(node)) {
            if self.net.unkeep(gone).await.is_err() {
                return Ok(Next::Done);
            }
            self.kept.remove(&gone);
        }
        for (node, _) in friends {
            let addrs = self.table.addrs_of(&node);
            if self.kept.get(&node) == Some(&addrs) {
                continue;
            }
            if self.net.keep(node, addrs.clone()).await.is_err() {
                return Ok(Next::Done);
            }
            self.kept.insert(node, addrs);
        }
        Ok(if self.changed.has_changed().is_ok() {
            Next::WhenWoken
        } else {
            Next::Done
        })
    }

    fn status(&self) -> Status {
        Status {
            note: format!("{} friends", self.kept.len()),
            ..Status::default()
        }
    }

    async fn nudge(&mut self) {
        // An error means that the table is gone: the next step sees it.
        let _ = self.changed.changed().await;
    }
}
