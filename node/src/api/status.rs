//! The node at a glance.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::wire::local::{OwnerInfo, PeerInfo, SnapInfo, StatusInfo};

use super::Api;
use super::alarms::no_backup;
use crate::ports::Failure;
use crate::store::{Store, StoreError};

/// Newest snapshots shown.
const SNAPS: usize = 64;

impl Api {
    /// All other nodes known.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, Failure> {
        let mut peers = self.network.peers();
        self.blocking(move |store| {
            for peer in &mut peers {
                if let Some(owner) = &peer.owner {
                    peer.used_given = store.usage(owner, &peer.node)?.bytes;
                }
            }
            Ok(peers)
        })
        .await
    }

    /// The node at a glance.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn status(&self) -> Result<StatusInfo, Failure> {
        let me = self.node_id();
        let owner = self.device()?.map(|device| device.owner);
        let peers = self.peers().await?;
        let mut alarms = self.alarms().await?;
        let orders_waiting = match owner {
            Some(owner) => {
                let waiting = self.blocking(move |store| store.pending_orders(&owner));
                waiting.await?.into()
            }
            None => 0,
        };
        let stored = self.blocking(move |store| look(store, owner, &me)).await?;
        let (disk_free, disk_reserve, owners, mut snaps) = stored;
        let newest = snaps.iter().map(|snap| snap.time).max();
        alarms.extend(no_backup(newest, self.now()));
        for snap in &mut snaps {
            snap.copies = self.network.copies(&snap.snap);
        }
        let sum = |of: fn(&OwnerInfo) -> u64| owners.iter().map(of).fold(0, u64::saturating_add);
        let up = self.host.env.clock.instant();
        let up = up.saturating_duration_since(self.started);
        Ok(StatusInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            node: me,
            owner,
            pid: std::process::id(),
            uptime_s: up.as_secs(),
            listen: self.network.listen_addrs(),
            objects: sum(|owner| owner.objects),
            bytes: sum(|owner| owner.bytes),
            disk_free,
            disk_reserve,
            snaps,
            owners,
            peers,
            alarms,
            orders_waiting,
        })
    }
}

type Stored = (u64, u64, Vec<OwnerInfo>, Vec<SnapInfo>);

fn look(store: &Store, owner: Option<OwnerId>, me: &NodeId) -> Result<Stored, StoreError> {
    let (free, reserve) = store.disk()?;
    let owners = store
        .owners()?
        .into_iter()
        .map(|(owner, totals)| OwnerInfo {
            owner,
            objects: totals.objects,
            bytes: totals.bytes,
            snaps: totals.snaps,
        });
    let mut snaps = Vec::new();
    if let Some(owner) = &owner {
        for head in store.heads(owner, me, SNAPS)? {
            if let Some(row) = store.snap(owner, &head.id)? {
                snaps.push(SnapInfo {
                    snap: head.id,
                    seq: row.seq,
                    time: row.time,
                    set: row.set,
                    objects: row.objects,
                    bytes: row.bytes,
                    copies: Vec::new(),
                });
            }
        }
    }
    Ok((free, reserve, owners.collect(), snaps))
}
