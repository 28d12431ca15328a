//! Devices, orders, retention, hosting and space.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::record::parse_envelope;
use packnback_proto::wire::admin::{
    CollectInfo, DeviceInfo, HostedOwner, OrderInfo, OrderState, OwnerStats, PolicyInfo,
    RetentionInfo,
};
use packnback_proto::wire::local::EvictDays;
use packnback_proto::wire::{Bytes, ErrorCode, Nonce16};

use super::Api;
use crate::ports::Failure;
use crate::store::stored::{OrderRow, OrderStand};
use crate::store::{Store, StoreError};

/// Longest time to warn and to stand still before everything of an owner goes, days.
const EVICT_DAYS_MAX: u32 = 3650;

impl Api {
    /// Devices of this node's owner.
    ///
    /// # Errors
    /// If this node belongs to nobody, or its store cannot be read.
    pub async fn devices(&self) -> Result<Vec<DeviceInfo>, Failure> {
        let owner = self.owner()?.owner;
        let now = self.now();
        self.blocking(move |store| device_infos(store, &owner, now))
            .await
    }

    /// Orders of this node's owner, and which friends have taken them from here.
    ///
    /// # Errors
    /// As of [`Api::devices`].
    pub async fn orders(&self) -> Result<Vec<OrderInfo>, Failure> {
        let owner = self.owner()?.owner;
        let mut infos = self
            .blocking(move |store| order_infos(store, &owner))
            .await?;
        for order in &mut infos {
            order.told = self.network.told_of(&order.id);
        }
        Ok(infos)
    }

    /// What retention says of each snapshot here, but for the `skip` newest of each device.
    ///
    /// # Errors
    /// As of [`Api::devices`].
    pub async fn retention_page(
        &self,
        device: Option<NodeId>,
        policy: Option<PolicyInfo>,
        skip: u64,
    ) -> Result<Vec<RetentionInfo>, Failure> {
        let owner = self.owner()?.owner;
        let now = self.now();
        self.blocking(move |store| {
            store.retention(&owner, device.as_ref(), policy.as_ref(), (skip, now))
        })
        .await
    }

    /// Owners this node stores for.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn host_owners(&self) -> Result<Vec<HostedOwner>, Failure> {
        let now = self.now();
        self.blocking(move |store| store.hosted_owners(now)).await
    }

    /// Sets or takes off the most bytes stored for an owner.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn host_quota(&self, owner: OwnerId, bytes: Option<u64>) -> Result<(), Failure> {
        self.blocking(move |store| store.set_quota(&owner, bytes))
            .await
    }

    /// Announces the end of hosting an owner, or takes it back.
    ///
    /// # Errors
    /// If it is this node's own owner, or nothing of it is here.
    pub async fn host_evict(
        &self,
        owner: OwnerId,
        days: Option<EvictDays>,
    ) -> Result<HostedOwner, Failure> {
        if self.device()?.is_some_and(|device| device.owner == owner) {
            let message = "this is the owner of this node itself";
            return Err(Failure::new(ErrorCode::Denied, message)
                .safe("Nothing was changed.")
                .next("Delete snapshots with `packnback forget`, or everything with `packnback order drop-owner`."));
        }
        if days.is_some_and(|days| days.warn.max(days.frozen) > EVICT_DAYS_MAX) {
            let message = format!("at most {EVICT_DAYS_MAX} days");
            return Err(Failure::new(ErrorCode::Protocol, message).safe("Nothing was changed."));
        }
        let now = self.now();
        let hosted: Vec<HostedOwner> = self
            .blocking(move |store| {
                store.evict(&owner, days.map(|days| (days.warn, days.frozen)), now)?;
                store.hosted_owners(now)
            })
            .await?;
        let hosted = hosted.into_iter().find(|hosted| hosted.owner == owner);
        hosted.ok_or_else(|| {
            Failure::new(ErrorCode::NotFound, "nothing of this owner is stored here")
        })
    }

    /// Sizes of what is here of an owner (`None`: of this node's own), but for the `skip` newest snapshots of each
    /// device.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn stats_page(
        &self,
        owner: Option<OwnerId>,
        skip: u64,
    ) -> Result<OwnerStats, Failure> {
        let owner = match owner {
            Some(owner) => owner,
            None => self.owner()?.owner,
        };
        self.blocking(move |store| store.stats(&owner, skip)).await
    }

    /// Carries out what is due and frees space, now.
    ///
    /// # Errors
    /// If the store fails; nothing in doubt was freed.
    pub async fn collect(&self) -> Result<CollectInfo, Failure> {
        let moment = self.host.env.clock.moment();
        self.blocking(move |store| store.collect(moment, true).map(|round| round.done))
            .await
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
