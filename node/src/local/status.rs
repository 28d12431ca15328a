//! The node at a glance.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::frame::encode_body;
use packnback_proto::wire::local::{LocalReply, OwnerInfo, PeerInfo, SnapInfo, StatusInfo};

use super::alarms::no_backup;
use super::session::{Reply, Session, reply};
use crate::ports::Failure;
use crate::store::{Store, StoreError};

/// Newest snapshots shown.
const SNAPS: usize = 64;

impl Session {
    pub(super) async fn peers(&mut self) -> Reply {
        let peers = self.known_peers().await?;
        reply(LocalReply::Peers { peers })
    }

    async fn known_peers(&mut self) -> Result<Vec<PeerInfo>, Failure> {
        let mut peers = self.node.network.peers();
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

    pub(super) async fn status(&mut self) -> Reply {
        let me = self.node_id();
        let owner = self.device()?.map(|device| device.owner);
        let peers = self.known_peers().await?;
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
        alarms.extend(no_backup(newest, self.node.host.clock.now()));
        for snap in &mut snaps {
            snap.copies = self.node.network.copies(&snap.snap);
        }
        let sum = |of: fn(&OwnerInfo) -> u64| owners.iter().map(of).fold(0, u64::saturating_add);
        let up = self.node.host.env.clock.instant();
        let up = up.saturating_duration_since(self.node.started);
        let status = StatusInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            node: me,
            owner,
            pid: std::process::id(),
            uptime_s: up.as_secs(),
            listen: self.node.network.listen_addrs(),
            objects: sum(|owner| owner.objects),
            bytes: sum(|owner| owner.bytes),
            disk_free,
            disk_reserve,
            snaps,
            owners,
            peers,
            alarms,
            orders_waiting,
        };
        let body = encode_body(&status)
            .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?;
        Ok((LocalReply::Status, body))
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
