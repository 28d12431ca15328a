//! What became of snapshots at a host that gave receipts for them.
//!
//! A receipt says that a host had a snapshot. Whether it still has it is asked: about the newest in each
//! session, about all of them once a day and after anything was found gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use packnback_proto::ids::{NodeId, RecordId, SetId, SnapshotId};
use packnback_proto::limits::STANDS_MAX;
use packnback_proto::policy::DAY_S;
use packnback_proto::record::{Op, Order, Signed, decode_order, decode_receipt};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::store::Stand;
use tokio::io::{AsyncRead, AsyncWrite};

use super::carry::CarryError;
use super::client::{ClientError, Opened, StoreClient};
use super::heads::makes_go;
use super::source::{OwnSnap, Source};
use crate::ports::{Blocking, Failure};
use crate::store::stored::ElsewhereRow;

/// Asks the host what became of the snapshots it has receipted, and notes the answers: of the newest, and
/// of all others if `all`, or if one of the newest is gone.
///
/// # Errors
/// [`CarryError`].
pub(super) async fn ask<S>(
    client: &mut StoreClient<S>,
    source: &Arc<dyn Source>,
    blocking: Blocking,
    host: NodeId,
    all: bool,
    opened: &mut Opened,
) -> Result<(), CarryError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let newest = receipted(source, blocking, host, STANDS_MAX).await?;
    let are_here = ask_lot(client, &newest, opened).await?;
    if (are_here && !all) || newest.len() < STANDS_MAX {
        return Ok(());
    }
    let every = receipted(source, blocking, host, usize::MAX).await?;
    for lot in every
        .get(newest.len()..)
        .unwrap_or_default()
        .chunks(STANDS_MAX)
    {
        ask_lot(client, lot, opened).await?;
    }
    Ok(())
}

/// Whether all of them are there.
async fn ask_lot<S>(
    client: &mut StoreClient<S>,
    lot: &[SnapshotId],
    opened: &mut Opened,
) -> Result<bool, CarryError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if lot.is_empty() {
        return Ok(true);
    }
    let (stands, orders) = match client.stands(lot).await {
        // What it says besides is heeded all the same.
        Err(ClientError::Refused { code, message, .. }) => {
            tracing::warn!(%code, %message, "a host does not say what it still has");
            return Ok(true);
        }
        asked => asked?,
    };
    let are_here = stands.iter().all(|stand| *stand == Stand::Here);
    opened.stands.extend(lot.iter().copied().zip(stands));
    opened.stand_orders.extend(orders);
    Ok(are_here)
}

/// Snapshots of this device that the host has receipted, newest first, at most so many.
async fn receipted(
    source: &Arc<dyn Source>,
    blocking: Blocking,
    host: NodeId,
    most: usize,
) -> Result<Vec<SnapshotId>, CarryError> {
    let source = Arc::clone(source);
    let found = blocking.run(move || {
        let mut found = Vec::new();
        for snap in source.own_snaps()?.into_iter().rev() {
            if found.len() >= most {
                break;
            }
            if source.receipts(&snap.id)?.iter().any(|(of, _)| *of == host) {
                found.push(snap.id);
            }
        }
        Ok::<_, Failure>(found)
    });
    Ok(found.await??)
}

/// What follows from the answers of a host.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// Snapshots it no longer has: whether it ended them (and for whom), or lost them.
    pub(super) gone: Vec<(SnapshotId, Option<ElsewhereRow>)>,
    /// The newest it lost.
    pub(super) newest_lost: Option<SnapshotId>,
    /// The newest it ended without showing an order or a policy that says so.
    pub(super) newest_unfounded: Option<SnapshotId>,
    /// Orders of the owner that ended some of them.
    pub(super) orders: Vec<Bytes>,
}

/// Weighs the answers. Changes nothing.
///
/// # Errors
/// If the disk failed.
pub(super) fn learn(
    source: &dyn Source,
    me: NodeId,
    host: NodeId,
    opened: &Opened,
    now: u64,
) -> Result<Learnt, Failure> {
    let mut learnt = Learnt::default();
    if opened.stands.iter().all(|(_, stand)| *stand == Stand::Here) {
        return Ok(learnt);
    }
    let orders = orders(source, &opened.stand_orders)?;
    let own: BTreeMap<SnapshotId, OwnSnap> = source
        .own_snaps()?
        .into_iter()
        .map(|snap| (snap.id, snap))
        .collect();
    let newest = newest_of_sets(own.values());
    let mut told = BTreeSet::new();
    for (snap, stand) in &opened.stands {
        let order = match stand {
            Stand::Here => continue,
            Stand::Unknown => {
                // They come newest first.
                learnt.newest_lost = learnt.newest_lost.or(Some(*snap));
                learnt.gone.push((*snap, None));
                continue;
            }
            Stand::Ended { order } => order.and_then(|id| orders.get(&id)),
        };
        let claim = Claim {
            snap: *snap,
            is_newest: newest.contains(snap),
            since: since(source, &host, own.get(snap), snap)?,
            parties: (me, host),
            now,
        };
        let founded = order.filter(|(order, _)| claim.follows_from(order.value()));
        if let Some((order, envelope)) = founded {
            if told.insert(order.id()) {
                learnt.orders.push(envelope.clone());
            }
        } else {
            learnt.newest_unfounded = learnt.newest_unfounded.or(Some(*snap));
        }
        let row = ElsewhereRow {
            at: now,
            everywhere: founded.is_some_and(|(order, _)| order.value().is_for(&me)),
        };
        learnt.gone.push((*snap, Some(row)));
    }
    Ok(learnt)
}

type Orders = BTreeMap<RecordId, (Signed<Order>, Bytes)>;

/// Those that are genuine and of this owner.
fn orders(source: &dyn Source, envelopes: &[Bytes]) -> Result<Orders, Failure> {
    let owner = source.owner_id()?;
    let decoded = envelopes.iter().filter_map(|envelope| {
        let order = decode_order(envelope).ok()?;
        (Some(order.value().owner) == owner).then(|| (order.id(), (order, envelope.clone())))
    });
    Ok(decoded.collect())
}

/// The newest snapshot of each backup set: no policy lets it go.
fn newest_of_sets<'a>(own: impl Iterator<Item = &'a OwnSnap>) -> BTreeSet<SnapshotId> {
    let mut newest: BTreeMap<SetId, (u64, SnapshotId)> = BTreeMap::new();
    for snap in own {
        let entry = newest.entry(snap.set).or_insert((snap.seq, snap.id));
        *entry = (*entry).max((snap.seq, snap.id));
    }
    newest.into_values().map(|(_, snap)| snap).collect()
}

/// The time from which the host may have counted the age of a snapshot: the earlier of its own
/// receipt and the start of the backup, so that a wrong clock accuses nobody.
fn since(
    source: &dyn Source,
    host: &NodeId,
    own: Option<&OwnSnap>,
    snap: &SnapshotId,
) -> Result<u64, Failure> {
    let receipts = source.receipts(snap)?;
    let receipt = receipts.iter().find(|(of, _)| of == host);
    let received = receipt.and_then(|(_, envelope)| decode_receipt(envelope).ok());
    let received = received.map(|receipt| receipt.value().received);
    let started = own.map(|snap| snap.time);
    Ok(received.into_iter().chain(started).min().unwrap_or(0))
}

/// A host says that it ended a snapshot.
struct Claim {
    snap: SnapshotId,
    is_newest: bool,
    since: u64,
    /// This machine and the host.
    parties: (NodeId, NodeId),
    now: u64,
}

impl Claim {
    /// Whether the order says so, to this host.
    fn follows_from(&self, order: &Order) -> bool {
        let (me, host) = &self.parties;
        if !order.is_for(host) {
            return false;
        }
        match &order.op {
            Op::Policy(policy) => {
                let age = self.now.saturating_sub(self.since).saturating_add(DAY_S);
                policy.device.is_none_or(|device| device == *me)
                    && !self.is_newest
                    && age >= policy.min_age_d.saturating_mul(DAY_S)
            }
            _ => makes_go(order, &self.snap, me),
        }
    }
}
