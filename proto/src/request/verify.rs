//! From a request to a plan: every signature checked, every claim held against what is signed.
//!
//! Proven: each snapshot shown was signed by a device the owner certified, each receipt by its host,
//! each earlier order by the owner. Not proven, only claimed: that there is nothing newer than the
//! newest snapshot shown, that what is shown to remain is still stored, and the number of older
//! snapshots not shown. Hiding makes the signer stricter, not laxer: the newest one shown is then
//! the one that needs a typed confirmation.
//!
//! So nothing is signed that could end what is not shown. A deletion names its snapshots. A range does
//! not: a host would apply it to whatever it holds, and no record says what that is, so ranges are
//! refused. What is deleted with its owner is named by the owner and one host, and by nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{DevicePlan, Fate, Plan, SnapPlan, TakenBack};
use super::{DeviceEvidence, Request, RequestError, SnapEvidence, Wanted};
use crate::ids::{NodeId, OwnerId, SetId, SnapshotId};
use crate::machine::orders::can_be_taken_back;
use crate::record::{
    Cert, Op, Order, Receipt, Signed, Snap, decode_cert, decode_order, decode_receipt, decode_snap,
};

/// Verifies a request for the owner with this key.
///
/// # Errors
/// [`RequestError`], the first problem found. Nothing of the request is to be signed then.
pub fn verify(request: &Request, owner: OwnerId) -> Result<Plan, RequestError> {
    if request.owner != owner {
        return Err(RequestError::OtherOwner(request.owner, owner));
    }
    kinds_allowed(request)?;
    let orders = earlier_orders(request)?;
    let taken_back = taken_back(request, &orders)?;
    let context = Context {
        owner,
        hosts: newest_hosts(&orders),
        going: already_going(&orders),
        request,
    };
    let devices = request.devices.iter().map(|device| context.device(device));
    let plan = Plan {
        owner,
        created: request.created,
        wanted: request.wanted.clone(),
        devices: devices.collect::<Result<_, _>>()?,
        hosts: context.hosts,
        orders,
        taken_back,
    };
    all_shown(&plan)?;
    Ok(plan)
}

fn earlier_orders(request: &Request) -> Result<Vec<Signed<Order>>, RequestError> {
    let mut orders = Vec::with_capacity(request.orders.len());
    for envelope in &request.orders {
        let order = decode_order(envelope).map_err(|e| RequestError::Record("order", e))?;
        if order.value().owner != request.owner {
            return Err(RequestError::ForeignRecord("order"));
        }
        orders.push(order);
    }
    Ok(orders)
}

/// What may be asked for at all, and beside what.
fn kinds_allowed(request: &Request) -> Result<(), RequestError> {
    let mut ended = BTreeSet::new();
    let drops = |wanted: &Wanted| wanted.op == Op::DropOwner;
    let any_drop = request.wanted.iter().any(drops);
    let mut hosts = BTreeSet::new();
    for wanted in &request.wanted {
        match &wanted.op {
            Op::DeleteRange { .. } => return Err(RequestError::Range),
            Op::DeleteIds(ids) => {
                if let Some(id) = ids.iter().find(|id| !ended.insert(**id)) {
                    return Err(RequestError::Overlap(*id));
                }
            }
            _ => {}
        }
        if any_drop {
            let one = match wanted.audience.as_deref() {
                Some([host]) if drops(wanted) => Some(*host),
                _ => None,
            };
            if !one.is_some_and(|host| hosts.insert(host)) {
                return Err(RequestError::DropAlone);
            }
        }
    }
    Ok(())
}

/// The orders that are to be taken back: each carried, and of a kind that waits.
fn taken_back(request: &Request, orders: &[Signed<Order>]) -> Result<Vec<TakenBack>, RequestError> {
    let mut found = Vec::new();
    for wanted in &request.wanted {
        let Op::Cancel(oids) = &wanted.op else {
            continue;
        };
        for oid in oids {
            let mut named = orders.iter().filter(|order| order.value().oid == *oid);
            let Some(order) = named.next() else {
                return Err(RequestError::CancelNotShown(*oid));
            };
            // Two orders under one id: which one a host has is not known, so both must do.
            for order in [order].into_iter().chain(named) {
                let op = &order.value().op;
                if !can_be_taken_back(op) {
                    return Err(RequestError::CancelKind(*oid, kind_name(op)));
                }
            }
            found.push(TakenBack {
                order: order.clone(),
            });
        }
    }
    Ok(found)
}

fn kind_name(op: &Op) -> &'static str {
    match op {
        Op::DeleteIds(_) | Op::DeleteRange { .. } => "a deletion",
        Op::Policy(_) => "a policy",
        Op::Revoke { .. } => "a revocation",
        Op::Hold(_) => "a hold",
        Op::Unhold(_) => "the end of a hold",
        Op::Cancel(_) => "itself a taking back",
        Op::Hosts { .. } => "a list of hosts",
        Op::DropOwner => "a farewell",
    }
}

fn newest_hosts(orders: &[Signed<Order>]) -> Option<Vec<NodeId>> {
    let lists = orders.iter().filter_map(|order| match &order.value().op {
        Op::Hosts { hseq, hosts } => Some((*hseq, hosts)),
        _ => None,
    });
    lists
        .max_by_key(|(hseq, _)| *hseq)
        .map(|(_, hosts)| hosts.clone())
}

/// Snapshots that orders signed earlier remove, those taken back left out.
fn already_going(orders: &[Signed<Order>]) -> BTreeSet<SnapshotId> {
    let cancelled: BTreeSet<[u8; 16]> = orders
        .iter()
        .filter_map(|order| match &order.value().op {
            Op::Cancel(oids) => Some(oids.iter().copied()),
            _ => None,
        })
        .flatten()
        .collect();
    orders
        .iter()
        .filter(|order| !cancelled.contains(&order.value().oid))
        .filter_map(|order| match &order.value().op {
            Op::DeleteIds(ids) => Some(ids.iter().copied()),
            _ => None,
        })
        .flatten()
        .collect()
}

/// A snapshot, verified.
struct Proven {
    snap: Signed<Snap>,
    receipts: Vec<Receipt>,
}

struct Context<'a> {
    owner: OwnerId,
    hosts: Option<Vec<NodeId>>,
    going: BTreeSet<SnapshotId>,
    request: &'a Request,
}

impl Context<'_> {
    fn device(&self, evidence: &DeviceEvidence) -> Result<DevicePlan, RequestError> {
        let snaps = self.snaps(evidence)?;
        let cert = self.cert(evidence, &snaps)?;
        check_heads(evidence, &snaps)?;
        let mut plans: Vec<SnapPlan> = snaps.iter().map(|proven| self.plan(proven)).collect();
        mark_newest(&mut plans);
        plans.sort_by_key(|snap| std::cmp::Reverse((snap.seq, snap.time, snap.id)));
        Ok(DevicePlan {
            device: evidence.device,
            cert,
            snaps: plans,
            more: evidence.more,
            fork: is_forked(&snaps),
        })
    }

    fn snaps(&self, evidence: &DeviceEvidence) -> Result<Vec<Proven>, RequestError> {
        let mut seen = BTreeSet::new();
        let mut snaps = Vec::with_capacity(evidence.snaps.len());
        for carried in &evidence.snaps {
            let proven = self.proven(evidence.device, carried)?;
            if !seen.insert(proven.snap.id()) {
                return Err(RequestError::Twice(proven.snap.id()));
            }
            snaps.push(proven);
        }
        Ok(snaps)
    }

    fn proven(&self, device: NodeId, carried: &SnapEvidence) -> Result<Proven, RequestError> {
        let snap = decode_snap(&carried.snap).map_err(|e| RequestError::Record("snapshot", e))?;
        if snap.value().owner != self.owner {
            return Err(RequestError::ForeignRecord("snapshot"));
        }
        if snap.value().device != device {
            return Err(RequestError::WrongDevice("snapshot"));
        }
        let mut receipts = Vec::with_capacity(carried.receipts.len());
        for envelope in &carried.receipts {
            let receipt =
                decode_receipt(envelope).map_err(|e| RequestError::Record("receipt", e))?;
            if receipt.value().snap != snap.id() {
                return Err(RequestError::WrongReceipt(snap.id()));
            }
            receipts.push(receipt.into_value());
        }
        Ok(Proven { snap, receipts })
    }

    /// The newest certificate; all of them must be of this owner and this device.
    fn cert(
        &self,
        evidence: &DeviceEvidence,
        snaps: &[Proven],
    ) -> Result<Signed<Cert>, RequestError> {
        let mut newest: Option<Signed<Cert>> = None;
        for envelope in &evidence.certs {
            let cert = decode_cert(envelope).map_err(|e| RequestError::Record("certificate", e))?;
            if cert.value().owner != self.owner {
                return Err(RequestError::ForeignRecord("certificate"));
            }
            if cert.value().device != evidence.device {
                return Err(RequestError::WrongDevice("certificate"));
            }
            if newest
                .as_ref()
                .is_none_or(|known| known.value().serial < cert.value().serial)
            {
                newest = Some(cert);
            }
        }
        newest.ok_or_else(|| match snaps.first() {
            Some(proven) => RequestError::NoCert(proven.snap.id()),
            None => RequestError::DeviceNotShown(evidence.device),
        })
    }

    /// Receipts of the hosts the owner listed; of any host if there is no list.
    fn listed<'r>(&self, receipts: &'r [Receipt]) -> Vec<&'r Receipt> {
        let counts = |receipt: &&Receipt| {
            self.hosts
                .as_ref()
                .is_none_or(|hosts| hosts.contains(&receipt.host))
        };
        receipts.iter().filter(counts).collect()
    }

    fn plan(&self, proven: &Proven) -> SnapPlan {
        let (id, snap) = (proven.snap.id(), proven.snap.value());
        let listed = self.listed(&proven.receipts);
        let first = listed.iter().min_by_key(|receipt| receipt.received);
        let hosts: BTreeSet<NodeId> = listed.iter().map(|receipt| receipt.host).collect();
        let fate = if self.removes(&id) {
            Fate::Goes
        } else if self.going.contains(&id) {
            Fate::Going
        } else {
            Fate::Stays
        };
        SnapPlan {
            id,
            seq: snap.seq,
            set: snap.set,
            time: snap.time,
            received: first.map(|receipt| (receipt.host, receipt.received)),
            hosts: u64::try_from(hosts.len()).unwrap_or(u64::MAX),
            objects: first.map(|receipt| receipt.n_objects),
            bytes: first.map(|receipt| receipt.bytes),
            newest: false,
            fate,
        }
    }

    fn removes(&self, id: &SnapshotId) -> bool {
        self.request.wanted.iter().any(|wanted| match &wanted.op {
            Op::DeleteIds(ids) => ids.binary_search(id).is_ok(),
            Op::DropOwner => true,
            _ => false,
        })
    }
}

/// The named heads must be exactly the snapshots with the highest number, and nothing shown may
/// come after one of them.
fn check_heads(evidence: &DeviceEvidence, snaps: &[Proven]) -> Result<(), RequestError> {
    let top = snaps.iter().map(|proven| proven.snap.value().seq).max();
    let highest: BTreeSet<(u64, SnapshotId)> = snaps
        .iter()
        .map(|proven| (proven.snap.value().seq, proven.snap.id()))
        .filter(|(seq, _)| Some(*seq) == top)
        .collect();
    let named: BTreeSet<(u64, SnapshotId)> = evidence.heads.iter().copied().collect();
    let after = snaps.iter().any(|proven| {
        let prev = proven.snap.value().prev;
        prev.is_some_and(|prev| named.iter().any(|(_, id)| *id == prev))
    });
    if named == highest && named.len() == evidence.heads.len() && !after {
        Ok(())
    } else {
        Err(RequestError::Heads(evidence.device))
    }
}

fn is_forked(snaps: &[Proven]) -> bool {
    let mut places: BTreeMap<(u64, Option<SnapshotId>), u32> = BTreeMap::new();
    for proven in snaps {
        let snap = proven.snap.value();
        let by_number = places.entry((snap.seq, None)).or_default();
        *by_number = by_number.saturating_add(1);
        if let Some(prev) = snap.prev {
            let by_link = places.entry((0, Some(prev))).or_default();
            *by_link = by_link.saturating_add(1);
        }
    }
    places.values().any(|count| *count > 1)
}

/// Of each backup set, the newest by any measure a device or a host gives: a flag too many costs a confirmation, one too few
/// costs the newest snapshot. Within one second the number decides. Those that go already do not
/// count.
fn mark_newest(plans: &mut [SnapPlan]) {
    let sets: BTreeSet<SetId> = plans.iter().map(|snap| snap.set).collect();
    for set in sets {
        mark_newest_of(plans, set);
    }
}

fn mark_newest_of(plans: &mut [SnapPlan], set: SetId) {
    let by_clock = |snap: &SnapPlan| (snap.time, snap.seq);
    let by_host = |snap: &SnapPlan| snap.received.map(|(_, at)| (at, snap.seq));
    let stays = |snap: &&SnapPlan| snap.set == set && snap.fate != Fate::Going;
    let here = || plans.iter().filter(stays);
    let seq = here().map(|snap| snap.seq).max();
    let time = here().map(by_clock).max();
    let received = here().filter_map(by_host).max();
    for snap in plans.iter_mut().filter(|snap| stays(&&**snap)) {
        let latest = received.is_some() && by_host(snap) == received;
        snap.newest = Some(snap.seq) == seq || Some(by_clock(snap)) == time || latest;
    }
}

/// Everything an operation names must be shown, so that the signer sees what it is about.
fn all_shown(plan: &Plan) -> Result<(), RequestError> {
    let shown: BTreeSet<SnapshotId> = plan
        .devices
        .iter()
        .flat_map(|device| device.snaps.iter().map(|snap| snap.id))
        .collect();
    let devices: BTreeSet<NodeId> = plan.devices.iter().map(|device| device.device).collect();
    for wanted in &plan.wanted {
        match &wanted.op {
            Op::DeleteIds(ids) | Op::Hold(ids) | Op::Unhold(ids) => {
                if let Some(id) = ids.iter().find(|id| !shown.contains(id)) {
                    return Err(RequestError::NotShown(*id));
                }
            }
            Op::Revoke { device, .. } if !devices.contains(device) => {
                return Err(RequestError::DeviceNotShown(*device));
            }
            Op::Policy(policy) => {
                if let Some(device) = policy.device.filter(|of| !devices.contains(of)) {
                    return Err(RequestError::DeviceNotShown(device));
                }
            }
            _ => {}
        }
    }
    Ok(())
}
