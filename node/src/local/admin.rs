//! Devices, orders, retention, hosting and space.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::record::parse_envelope;
use packnback_proto::wire::admin::{
    CollectInfo, DeviceInfo, HostedOwner, OrderInfo, OrderState, PolicyInfo,
};
use packnback_proto::wire::frame::encode_body;
use packnback_proto::wire::local::{LocalReply, LocalRequest};
use packnback_proto::wire::{Bytes, ErrorCode, Nonce16};
use serde::Serialize;

use super::session::{Reply, Session, reply};
use crate::ports::Failure;
use crate::store::stored::{OrderRow, OrderStand};
use crate::store::{Store, StoreError};
use crate::work::Runner;

/// Longest time to warn and to stand still before everything of an owner goes, days.
const EVICT_DAYS_MAX: u32 = 3650;

fn info<T: Serialize>(value: &T) -> Reply {
    let body = encode_body(value).map_err(|error| {
        Failure::new(ErrorCode::Internal, error.to_string()).safe("Nothing was changed.")
    })?;
    Ok((LocalReply::Info, body))
}

impl Session {
    pub(super) fn is_admin(request: &LocalRequest) -> bool {
        matches!(
            request,
            LocalRequest::Devices
                | LocalRequest::Orders
                | LocalRequest::Retention { .. }
                | LocalRequest::HostOwners
                | LocalRequest::HostQuota { .. }
                | LocalRequest::HostEvict { .. }
                | LocalRequest::Stats { .. }
                | LocalRequest::Collect
                | LocalRequest::Workers
        )
    }

    pub(super) async fn admin(&mut self, request: LocalRequest) -> Reply {
        match request {
            LocalRequest::Devices => self.devices().await,
            LocalRequest::Orders => self.orders().await,
            LocalRequest::Retention {
                device,
                policy,
                skip,
            } => self.retention(device, policy, skip).await,
            LocalRequest::HostOwners => {
                let now = self.node.host.clock.now();
                info(&self.blocking(move |store| store.hosted_owners(now)).await?)
            }
            LocalRequest::HostQuota { owner, bytes } => {
                self.blocking(move |store| store.set_quota(&owner, bytes))
                    .await?;
                reply(LocalReply::Ok)
            }
            LocalRequest::Workers => {
                let runner = self.node.runner.as_ref();
                info(&runner.map(Runner::workers).unwrap_or_default())
            }
            LocalRequest::HostEvict { owner, days } => self.evict(owner, days).await,
            LocalRequest::Stats { owner, skip } => {
                let owner = match owner {
                    Some(owner) => owner,
                    None => self.owner()?.owner,
                };
                info(
                    &self
                        .blocking(move |store| store.stats(&owner, skip))
                        .await?,
                )
            }
            _ => self.collect().await,
        }
    }

    async fn devices(&mut self) -> Reply {
        let owner = self.owner()?.owner;
        let now = self.node.host.clock.now();
        info(
            &self
                .blocking(move |store| device_infos(store, &owner, now))
                .await?,
        )
    }

    async fn orders(&mut self) -> Reply {
        let owner = self.owner()?.owner;
        let mut infos = self
            .blocking(move |store| order_infos(store, &owner))
            .await?;
        for order in &mut infos {
            order.told = self.node.network.told_of(&order.id);
        }
        info(&infos)
    }

    async fn retention(
        &mut self,
        device: Option<NodeId>,
        policy: Option<PolicyInfo>,
        skip: u64,
    ) -> Reply {
        let owner = self.owner()?.owner;
        let now = self.node.host.clock.now();
        let infos = self
            .blocking(move |store| {
                store.retention(&owner, device.as_ref(), policy.as_ref(), (skip, now))
            })
            .await?;
        info(&infos)
    }

    async fn evict(&mut self, owner: OwnerId, days: Option<(u32, u32)>) -> Reply {
        if self.device()?.is_some_and(|device| device.owner == owner) {
            let message = "this is the owner of this node itself";
            return Err(Failure::new(ErrorCode::Denied, message)
                .safe("Nothing was changed.")
                .next("Delete snapshots with `packnback forget`, or everything with `packnback order drop-owner`."));
        }
        if days.is_some_and(|(warn, frozen)| warn.max(frozen) > EVICT_DAYS_MAX) {
            let message = format!("at most {EVICT_DAYS_MAX} days");
            return Err(Failure::new(ErrorCode::Protocol, message).safe("Nothing was changed."));
        }
        let now = self.node.host.clock.now();
        let hosted: Vec<HostedOwner> = self
            .blocking(move |store| {
                store.evict(&owner, days, now)?;
                store.hosted_owners(now)
            })
            .await?;
        let hosted = hosted.into_iter().find(|hosted| hosted.owner == owner);
        info(&hosted.ok_or_else(|| {
            Failure::new(ErrorCode::NotFound, "nothing of this owner is stored here")
        })?)
    }

    async fn collect(&mut self) -> Reply {
        let moment = self.node.host.clock.moment();
        let done: CollectInfo = self
            .blocking(move |store| store.collect(moment, true).map(|round| round.done))
            .await?;
        info(&done)
    }
}

fn device_infos(store: &Store, owner: &OwnerId, now: u64) -> Result<Vec<DeviceInfo>, StoreError> {
    let mut infos = Vec::new();
    for device in store.devices_of(owner)? {
        let usage = store.usage(owner, &device)?.on_day_of(now);
        let newest = store.heads(owner, &device, 1)?;
        let last_received = match newest.first() {
            Some(head) => store.snap(owner, &head.id)?.map(|row| row.received),
            None => None,
        };
        let freezes = store.freezes(owner, &device)?;
        infos.push(DeviceInfo {
            device,
            cert: store
                .newest_cert(owner, &device)?
                .unwrap_or_default()
                .into(),
            revoked: store.revoked_by(owner, &device)?,
            bytes: usage.bytes,
            day_bytes: usage.day_bytes,
            day_snaps: usage.day_snaps,
            snaps: store.snap_count(owner, &device)?,
            last_received,
            frozen: freezes.iter().map(ToString::to_string).collect(),
        });
    }
    Ok(infos)
}

fn order_infos(store: &Store, owner: &OwnerId) -> Result<Vec<OrderInfo>, StoreError> {
    let mut infos = Vec::new();
    for row in store.order_rows(owner)? {
        let envelope = store.record(owner, &row.id)?.unwrap_or_default();
        infos.extend(order_info(row, envelope));
    }
    infos.sort_by_key(|info| std::cmp::Reverse(info.received));
    Ok(infos)
}

fn order_info(row: OrderRow, envelope: Vec<u8>) -> Option<OrderInfo> {
    let oid = {
        let parsed = parse_envelope(&envelope).ok()?;
        packnback_proto::record::decode_body::<packnback_proto::record::Order>(parsed.body)
            .ok()?
            .oid
    };
    let (state, due) = match row.stand {
        OrderStand::Waiting(due) => (OrderState::Waiting, Some(due)),
        OrderStand::Done => (OrderState::Done, None),
        OrderStand::Cancelled => (OrderState::Cancelled, None),
        OrderStand::Refused => (OrderState::Refused, None),
        OrderStand::NotForUs => (OrderState::NotForUs, None),
    };
    Some(OrderInfo {
        id: row.id,
        oid: Nonce16(oid),
        envelope: Bytes(envelope),
        received: row.received,
        state,
        due,
        snaps: row.snaps,
        note: row.note,
        told: Vec::new(),
    })
}
