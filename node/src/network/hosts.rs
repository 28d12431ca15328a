//! Keeps up with the owners' lists of hosts: who is admitted to copy from here, and whom this node
//! copies from.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use packnback_proto::ids::{NodeId, OwnerId};

use super::P2p;
use crate::service::{Host, Refusal};
use crate::store::{Store, StoreError};

/// The lists are looked at this often even if nobody said that one changed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Runs until the network ends.
pub(super) async fn run(p2p: Weak<P2p>, host: Arc<Host>) {
    let Some(mut orders) = p2p.upgrade().map(|p2p| p2p.table.orders()) else {
        return;
    };
    let mut is_news = true;
    loop {
        orders.mark_unchanged();
        let Some(p2p) = p2p.upgrade() else { return };
        if let Err(refusal) = follow(&p2p, &host, is_news).await {
            tracing::error!(
                "cannot follow the owners' lists of hosts: {}",
                refusal.message
            );
        }
        if is_news {
            // The own hosts want to know of orders that came from elsewhere.
            p2p.replicator.wake();
        }
        drop(p2p);
        match tokio::time::timeout(LOOK_EVERY, orders.changed()).await {
            Ok(Ok(())) => is_news = true,
            Err(_) => is_news = false,
            Ok(Err(_)) => return,
        }
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
