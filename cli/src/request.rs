//! Making an order request from what this machine's node knows.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::limits::{REQUEST_ORDERS_MAX, REQUEST_SNAPS_MAX};
use packnback_proto::record::{Op, Order, Signed};
use packnback_proto::request::{DeviceEvidence, Request, SnapEvidence, Wanted};
use packnback_proto::wire::admin::RetentionInfo;

use crate::records::{Catalog, Listed};

/// Most remaining snapshots shown per device; the rest is counted.
const SHOWN_MAX: usize = 1000;
/// Receipts carried per snapshot: the earliest ones, which are what counts.
const RECEIPTS: usize = 4;

/// What the node says about the snapshots it holds.
#[derive(Debug, Clone, Default)]
pub struct Present {
    /// Snapshots the policy has marked; they go without any order.
    by_policy: BTreeSet<SnapshotId>,
    /// Snapshots there are, by device.
    here: BTreeMap<NodeId, BTreeSet<SnapshotId>>,
}

impl Present {
    /// From what retention says.
    #[must_use]
    pub fn new(retention: &[RetentionInfo]) -> Self {
        let mut present = Self::default();
        for device in retention {
            let here = present.here.entry(device.device).or_default();
            for snap in &device.snaps {
                here.insert(snap.snap);
                if snap
                    .going
                    .as_ref()
                    .is_some_and(|going| going.order.is_none())
                {
                    present.by_policy.insert(snap.snap);
                }
            }
        }
        present
    }

    /// Whether it is held and the policy has not marked it.
    #[must_use]
    pub fn remains(&self, listed: &Listed) -> bool {
        let id = listed.snap.id();
        let here = self.here.get(&listed.snap.value().device);
        here.is_none_or(|here| here.contains(&id)) && !self.by_policy.contains(&id)
    }
}

/// Makes a request. Newest snapshots of each device concerned are shown first; what does not fit is
/// counted.
#[must_use]
pub fn make(
    owner: OwnerId,
    created: u64,
    catalog: &Catalog,
    present: &Present,
    wanted: Vec<Wanted>,
) -> Request {
    let named = named_snaps(&wanted);
    let devices = concerned(catalog, &wanted, &named);
    let room = REQUEST_SNAPS_MAX
        .saturating_sub(named.len())
        .checked_div(devices.len())
        .unwrap_or_default()
        .min(SHOWN_MAX);
    let shelf = Shelf {
        catalog,
        present,
        named,
        room,
    };
    let devices: Vec<DeviceEvidence> = devices
        .into_iter()
        .filter_map(|device| shelf.device(device))
        .collect();
    Request {
        owner,
        created,
        orders: earlier_orders(&catalog.orders, &wanted, &devices),
        wanted,
        devices,
    }
}

fn named_snaps(wanted: &[Wanted]) -> BTreeSet<SnapshotId> {
    let mut named = BTreeSet::new();
    for wanted in wanted {
        if let Op::DeleteIds(ids) | Op::Hold(ids) | Op::Unhold(ids) = &wanted.op {
            named.extend(ids.iter().copied());
        }
    }
    named
}

fn concerned(
    catalog: &Catalog,
    wanted: &[Wanted],
    named: &BTreeSet<SnapshotId>,
) -> BTreeSet<NodeId> {
    let of_named = catalog
        .snaps
        .iter()
        .filter(|listed| named.contains(&listed.snap.id()))
        .map(|listed| listed.snap.value().device);
    let mut devices: BTreeSet<NodeId> = of_named.collect();
    for wanted in wanted {
        match &wanted.op {
            Op::Revoke { device, .. } => {
                devices.insert(*device);
            }
            Op::Policy(policy) => match policy.device {
                Some(device) => drop(devices.insert(device)),
                None => devices.extend(catalog.certs.keys()),
            },
            Op::DropOwner => devices.extend(catalog.certs.keys()),
            _ => {}
        }
    }
    devices
}

struct Shelf<'a> {
    catalog: &'a Catalog,
    present: &'a Present,
    named: BTreeSet<SnapshotId>,
    room: usize,
}

impl Shelf<'_> {
    fn device(&self, device: NodeId) -> Option<DeviceEvidence> {
        let cert = self.catalog.certs.get(&device)?;
        let mut snaps: Vec<&Listed> = self
            .catalog
            .snaps
            .iter()
            .filter(|listed| listed.snap.value().device == device)
            .filter(|listed| self.is_named(listed) || self.present.remains(listed))
            .collect();
        snaps.sort_by_key(|listed| std::cmp::Reverse((listed.snap.value().seq, listed.snap.id())));
        let total = snaps.len();
        let mut room = self.room;
        snaps.retain(|listed| {
            let fits = room > 0;
            if !self.is_named(listed) {
                room = room.saturating_sub(1);
            }
            fits || self.is_named(listed)
        });
        let top = snaps.first().map(|listed| listed.snap.value().seq);
        let heads = snaps
            .iter()
            .map(|listed| (listed.snap.value().seq, listed.snap.id()))
            .filter(|(seq, _)| Some(*seq) == top);
        Some(DeviceEvidence {
            device,
            certs: vec![cert.envelope().to_vec()],
            heads: heads.collect(),
            more: u64::try_from(total.saturating_sub(snaps.len())).unwrap_or(u64::MAX),
            snaps: snaps.iter().map(|listed| self.snap(listed)).collect(),
        })
    }

    fn is_named(&self, listed: &Listed) -> bool {
        self.named.contains(&listed.snap.id())
    }

    fn snap(&self, listed: &Listed) -> SnapEvidence {
        let receipts = listed.receipts.iter().take(RECEIPTS);
        SnapEvidence {
            snap: listed.snap.envelope().to_vec(),
            receipts: receipts.map(|r| r.envelope().to_vec()).collect(),
        }
    }
}

/// The newest list of hosts, what is to be taken back, and deletions of what is shown with the
/// orders that took them back.
fn earlier_orders(
    orders: &[Signed<Order>],
    wanted: &[Wanted],
    devices: &[DeviceEvidence],
) -> Vec<Vec<u8>> {
    let taken_back: BTreeSet<[u8; 16]> = wanted
        .iter()
        .filter_map(|wanted| match &wanted.op {
            Op::Cancel(oids) => Some(oids.iter().copied()),
            _ => None,
        })
        .flatten()
        .collect();
    let hosts = orders
        .iter()
        .filter_map(|order| match &order.value().op {
            Op::Hosts { hseq, .. } => Some((*hseq, order)),
            _ => None,
        })
        .max_by_key(|(hseq, _)| *hseq)
        .map(|(_, order)| order);
    let back = |order: &&Signed<Order>| taken_back.contains(&order.value().oid);
    let deletes = |order: &&Signed<Order>| {
        let op = &order.value().op;
        matches!(op, Op::DeleteIds(_) | Op::Cancel(_)) && !devices.is_empty() && !back(order)
    };
    let mut recent: Vec<&Signed<Order>> = orders.iter().filter(deletes).collect();
    recent.sort_by_key(|order| std::cmp::Reverse(order.value().issued));
    hosts
        .into_iter()
        .chain(orders.iter().filter(back))
        .chain(recent)
        .take(REQUEST_ORDERS_MAX)
        .map(|order| order.envelope().to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::enrol::{Enrolment, make_bundle};
    use crate::records::Viewpoint;
    use packnback_proto::crypto::keys::OwnerSeed;
    use packnback_proto::crypto::secret::Secret32;
    use packnback_proto::crypto::sign::SigningKey;
    use packnback_proto::ids::SetId;
    use packnback_proto::record::{Receipt, Snap};
    use packnback_proto::request::verify;
    use packnback_proto::wire::admin::{GoingInfo, KeepInfo};

    fn seed() -> OwnerSeed {
        OwnerSeed::from_bytes([1; 32])
    }

    fn device() -> SigningKey {
        SigningKey::from_seed(&Secret32::new([3; 32]))
    }

    /// A device with this many snapshots, each receipted.
    fn catalog(count: u64) -> Catalog {
        let enrolment = Enrolment {
            label: "x".into(),
            serial: 1,
            now: 1_800_000_000,
        };
        let bundle = make_bundle(
            &seed(),
            device().node_id(),
            &enrolment,
            Secret32::new([1; 32]),
        );
        let mut records = vec![bundle.unwrap().cert.envelope().to_vec()];
        let host = SigningKey::from_seed(&Secret32::new([5; 32]));
        let view = Viewpoint {
            besides: vec![host.node_id()],
            now: 1_900_000_000,
            host_time: None,
        };
        let mut prev = None;
        for seq in 1..=count {
            let snap = Snap {
                owner: seed().owner_id(),
                device: device().node_id(),
                seq,
                prev,
                root: packnback_proto::crypto::hash::object_id(&seq.to_le_bytes()),
                time: seq * 1000,
                cert_serial: 1,
                set: SetId([1; 16]),
            };
            let snap = Signed::sign(&snap, &device()).unwrap();
            prev = Some(snap.id());
            let receipt = Receipt {
                snap: snap.id(),
                host: host.node_id(),
                received: seq * 1000 + 5,
                log_seq: seq,
                log_prev: None,
                n_objects: 1,
                bytes: 10,
                policy_seq: 0,
            };
            records.push(snap.envelope().to_vec());
            records.push(Signed::sign(&receipt, &host).unwrap().envelope().to_vec());
        }
        Catalog::build(seed().owner_id(), &records, &view)
    }

    fn delete(catalog: &Catalog, at: &[usize]) -> Vec<Wanted> {
        let mut ids: Vec<SnapshotId> = at.iter().map(|at| catalog.snaps[*at].snap.id()).collect();
        ids.sort_unstable();
        vec![Wanted::any_host(Op::DeleteIds(ids))]
    }

    #[test]
    fn what_is_made_verifies_and_shows_the_newest() {
        let catalog = catalog(SHOWN_MAX as u64 + 5);
        let oldest = catalog.snaps.len() - 1;
        let wanted = delete(&catalog, &[oldest]);
        let request = make(seed().owner_id(), 7, &catalog, &Present::default(), wanted);
        let bytes = packnback_proto::request::encode(&request).unwrap();
        let request = packnback_proto::request::decode(&bytes).unwrap();
        let plan = verify(&request, seed().owner_id()).unwrap();
        let device = &plan.devices[0];
        assert_eq!(device.goes().count(), 1);
        assert_eq!(device.stays().count(), SHOWN_MAX);
        assert_eq!(device.more, 4);
        assert_eq!(device.snaps[0].id, catalog.snaps[0].snap.id());
    }

    #[test]
    fn what_the_node_no_longer_holds_does_not_remain() {
        let catalog = catalog(4);
        let ids: Vec<SnapshotId> = catalog.snaps.iter().map(|s| s.snap.id()).collect();
        let keep = |at: usize, going: Option<GoingInfo>| KeepInfo {
            snap: ids[at],
            set: SetId([1; 16]),
            time: 1,
            received: 1,
            reasons: Vec::new(),
            goes: None,
            going,
        };
        let by_policy = GoingInfo {
            since: 1,
            due: 2,
            order: None,
        };
        let present = Present::new(&[RetentionInfo {
            device: device().node_id(),
            policy: None,
            frozen: Vec::new(),
            total: 3,
            snaps: vec![keep(0, None), keep(1, None), keep(2, Some(by_policy))],
        }]);
        let wanted = delete(&catalog, &[1]);
        let request = make(seed().owner_id(), 7, &catalog, &present, wanted);
        let plan = verify(&request, seed().owner_id()).unwrap();
        let left: Vec<SnapshotId> = plan.devices[0].stays().map(|snap| snap.id).collect();
        assert_eq!(left, [ids[0]]);
    }

    #[test]
    fn deletions_under_way_are_carried() {
        let mut catalog = catalog(3);
        let newest = catalog.snaps[0].snap.id();
        let order = Wanted::any_host(Op::DeleteIds(vec![newest]));
        let order = order.order(seed().owner_id(), [4; 16], 5);
        catalog
            .orders
            .push(Signed::sign(&order, &seed().sign_key()).unwrap());
        let wanted = delete(&catalog, &[1]);
        let request = make(seed().owner_id(), 7, &catalog, &Present::default(), wanted);
        let plan = verify(&request, seed().owner_id()).unwrap();
        assert_eq!(plan.devices[0].stays().count(), 1);
        assert_eq!(
            plan.newest_going().count(),
            1,
            "the one before becomes the newest"
        );
    }
}
