//! Keeps up with the owners' lists of hosts: who is admitted to copy from here, and whom this node
//! copies from.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use packnback_proto::ids::{NodeId, OwnerId};
use tokio::sync::watch;

use super::P2p;
use crate::service::{Host, Refusal};
use crate::store::{Store, StoreError};
use crate::work::{Context, Handle, Next, OnStall, Rules, WorkError, Worker};

/// The lists are looked at this often even if nobody said that one changed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Pause after the first error.
const RETRY: Duration = Duration::from_secs(5);
/// Looking takes less.
const BOUND: Duration = Duration::from_secs(600);

pub(super) fn start(p2p: &Arc<P2p>, host: &Arc<Host>) -> Handle {
    let (this, host, table) = (
        Arc::downgrade(p2p),
        Arc::clone(host),
        Arc::clone(&p2p.table),
    );
    let rules = Rules::new(RETRY, LOOK_EVERY).bound(BOUND, OnStall::Report);
    p2p.runner.start(rules, move || Follow {
        p2p: Weak::clone(&this),
        host: Arc::clone(&host),
        orders: table.orders(),
        is_news: true,
    })
}

struct Follow {
    p2p: Weak<P2p>,
    host: Arc<Host>,
    orders: watch::Receiver<u64>,
    /// Somebody said that a list changed, or nobody has looked yet.
    is_news: bool,
}

impl Worker for Follow {
    fn name(&self) -> String {
        "follow lists of hosts".to_owned()
    }

    async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
        let (Some(p2p), Ok(has_changed)) = (self.p2p.upgrade(), self.orders.has_changed()) else {
            return Ok(Next::Done);
        };
        self.orders.mark_unchanged();
        let is_news = std::mem::take(&mut self.is_news) | has_changed;
        let followed = follow(&p2p, &self.host, is_news).await;
        if is_news {
            // The own hosts want to know of orders that came from elsewhere.
            p2p.replicator.wake();
        }
        followed?;
        Ok(Next::At(cx.now() + LOOK_EVERY))
    }

    async fn nudge(&mut self) {
        // An error means that the table is gone: the next step sees it.
        let _ = self.orders.changed().await;
        self.is_news = true;
    }
}

/// Hosts of one owner that this node copies from.
const HOSTS_MAX: usize = 32;

#[derive(Debug, Default)]
struct Lists {
    /// The hosts that each owner served here listed.
    hosts: Vec<(OwnerId, Vec<NodeId>)>,
    /// The owner of this node, if it is a device.
    own: Option<OwnerId>,
    /// Whose data this node copies, and from whom.
    from: BTreeMap<NodeId, Vec<OwnerId>>,
}

fn read(store: &Store) -> Result<Lists, StoreError> {
    let mut lists = Lists {
        own: store.device()?.map(|device| device.owner),
        ..Lists::default()
    };
    for (owner, _) in store.owners()? {
        if let Some(row) = store.hosts(&owner)? {
            lists.hosts.push((owner, row.hosts));
        }
        for host in store.fellow_hosts(&owner)?.into_iter().take(HOSTS_MAX) {
            lists.from.entry(host).or_default().push(owner);
        }
    }
    Ok(lists)
}

async fn follow(p2p: &P2p, host: &Arc<Host>, look: bool) -> Result<(), Refusal> {
    let lists = host.blocking(read).await?;
    for gone in p2p.table.set_replicas(&lists.hosts, lists.own)? {
        if p2p.net.expel(gone).await.is_err() {
            return Ok(());
        }
    }
    // An owner without a friend here is offered nothing, so there is nothing to look for.
    let mut from = lists.from;
    for owners in from.values_mut() {
        owners.retain(|owner| lists.own == Some(*owner) || p2p.table.has_friend_of(owner));
    }
    from.retain(|_, owners| !owners.is_empty());
    p2p.puller.copy_from(from, look);
    Ok(())
}
