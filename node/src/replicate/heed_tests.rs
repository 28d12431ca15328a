//! What follows from what a host says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use packnback_proto::ids::RecordId;
use packnback_proto::record::Signed;
use packnback_proto::wire::store::Head;

use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::record::{Op, Order};
use packnback_proto::wire::admin::{AlarmKind, EvictInfo};
use packnback_proto::wire::store::Stand;

use super::client::Opened;
use super::heed::{Heeded, heed};
use super::source::Source as _;
use crate::replicate::StoreSource;
use crate::service::testkit::{
    NOW, Object, SET, cert, device, key, order, owner, root, snap_by, tree,
};
use crate::store::memory::MemoryDisk;
use crate::store::{CommitOutcome, DiskReserve, Store};

const HOST: NodeId = NodeId([5; 32]);

struct Device {
    engine: Arc<MemoryDisk>,
    store: Arc<Store>,
    source: StoreSource,
}

/// A machine that belongs to the owner.
fn machine() -> Device {
    let engine = Arc::new(MemoryDisk::default());
    let store = Store::new(engine.disk(), device(), DiskReserve(0));
    let store = Arc::new(store);
    store
        .adopt(&Signed::sign(&cert(), &owner()).unwrap())
        .unwrap();
    let source = StoreSource::new(Arc::clone(&store));
    Device {
        engine,
        store,
        source,
    }
}

impl Device {
    fn back_up(&self, tree: &[Object]) -> Head {
        let owner = owner().owner_id();
        let intake = self.store.intake(self.store.own_access(&owner)).unwrap();
        for object in tree {
            self.store
                .put(&intake, &object.id, &object.bytes, NOW)
                .unwrap();
        }
        self.store.sync(&intake, NOW).unwrap();
        let done = self.store.commit_own(root(tree).id, SET, NOW, NOW).unwrap();
        let CommitOutcome::Accepted(accepted) = done else {
            unreachable!("everything was put")
        };
        let row = self.store.snap(&owner, &accepted.snap).unwrap().unwrap();
        Head {
            seq: row.seq,
            id: accepted.snap,
        }
    }

    fn hears(&self, base: Option<Head>, opened: &Opened) -> bool {
        self.heeds(base, opened).new_orders
    }

    fn heeds(&self, base: Option<Head>, opened: &Opened) -> Heeded {
        let me = device().node_id();
        let base = base.map(|head| (head.id, head.seq));
        heed(&self.source, me, HOST, "anna", base, opened, NOW).unwrap()
    }

    fn alarms(&self) -> Vec<(AlarmKind, Option<RecordId>)> {
        let alarms = self.store.alarms().unwrap().into_iter();
        alarms
            .map(|alarm| (alarm.kind, alarm.snap.or(alarm.order)))
            .collect()
    }
}

#[test]
fn n10_a_snapshot_under_our_key_that_we_did_not_make_is_a_loud_alarm() {
    let machine = machine();
    let own = machine.back_up(&tree(1));
    let heads = vec![own];
    let opened = Opened {
        base_complete: true,
        heads,
        ..Opened::default()
    };
    machine.hears(Some(own), &opened);
    assert!(machine.alarms().is_empty());
    // The thief numbers his on from ours.
    let stolen = snap_by(&device(), &owner(), root(&tree(2)).id, 2);
    let unknown = Head {
        seq: 2,
        id: stolen.id(),
    };
    let opened = Opened {
        heads: vec![unknown, own],
        head_records: vec![stolen.envelope().into()],
        ..opened
    };
    for _ in 0..3 {
        machine.hears(Some(own), &opened);
    }
    assert_eq!(
        machine.alarms(),
        [(AlarmKind::UnknownHead, Some(stolen.id()))]
    );
    let alarm = &machine.store.alarms().unwrap()[0];
    assert_eq!(
        (alarm.host, alarm.device),
        (Some(HOST), Some(device().node_id()))
    );
    assert!(alarm.text.contains("anna") && alarm.text.contains("revoke"));
    // Seen by a person: quiet, but for the next one.
    machine.store.acknowledge(alarm.number.unwrap()).unwrap();
    machine.hears(Some(own), &opened);
    assert!(machine.alarms().is_empty());
    let stolen = snap_by(&device(), &owner(), root(&tree(2)).id, 3);
    let next = Head {
        seq: 3,
        id: stolen.id(),
    };
    let opened = Opened {
        heads: vec![next],
        head_records: vec![stolen.envelope().into()],
        ..opened
    };
    machine.hears(Some(own), &opened);
    assert_eq!(machine.alarms(), [(AlarmKind::UnknownHead, Some(next.id))]);
}

#[test]
fn n10_a_host_that_withholds_what_it_receipted_is_an_alarm() {
    let machine = machine();
    let (first, second) = (machine.back_up(&tree(1)), machine.back_up(&tree(2)));
    let only_first = Opened {
        heads: vec![first],
        ..Opened::default()
    };
    machine.hears(Some(first), &only_first);
    assert!(machine.alarms().is_empty());
    machine.hears(Some(second), &only_first);
    assert_eq!(machine.alarms(), [(AlarmKind::Withheld, Some(second.id))]);
    // Not if the owner ordered that it goes.
    let machine = self::machine();
    let first = machine.back_up(&tree(1));
    let delete = order(1, Op::DeleteIds(vec![first.id]));
    let owner = owner().owner_id();
    machine
        .store
        .put_order(&owner, delete.envelope(), NOW)
        .unwrap();
    machine.hears(Some(first), &Opened::default());
    assert!(machine.alarms().is_empty());
}

#[test]
fn an_order_given_elsewhere_is_taken_over_and_is_an_alarm() {
    let machine = machine();
    let own = machine.back_up(&tree(1));
    let owner_id = owner().owner_id();
    let told = |orders: Vec<&Signed<Order>>| Opened {
        base_complete: true,
        orders: orders.iter().map(|o| o.envelope().into()).collect(),
        ..Opened::default()
    };
    // Given here: no news.
    let given = order(1, Op::DeleteIds(vec![own.id]));
    machine
        .store
        .put_order(&owner_id, given.envelope(), NOW)
        .unwrap();
    assert!(!machine.hears(None, &told(vec![&given])));
    assert!(machine.alarms().is_empty());
    let foreign = Order {
        audience: Some(vec![HOST]),
        op: Op::DropOwner,
        ..order(2, Op::Cancel(vec![[1; 16]])).into_value()
    };
    let foreign = Signed::sign(&foreign, &owner()).unwrap();
    assert!(machine.hears(None, &told(vec![&foreign])));
    assert!(!machine.hears(None, &told(vec![&foreign])));
    let expected = [(AlarmKind::ForeignOrder, Some(foreign.id()))];
    assert_eq!(machine.alarms(), expected);
    assert!(
        machine
            .store
            .record(&owner_id, &foreign.id())
            .unwrap()
            .is_some()
    );
}

#[test]
fn n07_a_cancel_given_at_another_device_saves_the_copy_here() {
    let machine = machine();
    let own = machine.back_up(&tree(1));
    let owner_id = owner().owner_id();
    let given = order(1, Op::DeleteIds(vec![own.id]));
    machine
        .store
        .put_order(&owner_id, given.envelope(), NOW)
        .unwrap();
    assert!(machine.store.going(&owner_id, &own.id).unwrap().is_some());
    let cancel = order(2, Op::Cancel(vec![[1; 16]]));
    let told = Opened {
        base_complete: true,
        orders: vec![cancel.envelope().into()],
        ..Opened::default()
    };
    assert!(machine.hears(None, &told));
    assert!(machine.store.going(&owner_id, &own.id).unwrap().is_none());
    let expected = [(AlarmKind::ForeignOrder, Some(cancel.id()))];
    assert_eq!(machine.alarms(), expected);
}

#[test]
fn n04_what_a_host_makes_up_is_not_taken_over() {
    let machine = machine();
    let before = machine.engine.snapshot();
    // Another owner's order, one with a flipped bit, and something that is no order.
    let theirs = Order {
        owner: key(7).owner_id(),
        ..order(1, Op::Hold(vec![RecordId([1; 32])])).into_value()
    };
    let theirs = Signed::sign(&theirs, &key(7)).unwrap();
    let mut flipped = order(2, Op::Hold(vec![RecordId([1; 32])]))
        .envelope()
        .to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let snap = snap_by(&device(), &owner(), root(&tree(1)).id, 1);
    let opened = Opened {
        base_complete: true,
        orders: vec![
            theirs.envelope().into(),
            flipped.into(),
            snap.envelope().into(),
        ],
        ..Opened::default()
    };
    assert!(!machine.hears(None, &opened));
    assert_eq!(machine.engine.snapshot(), before);
}

#[test]
fn the_end_of_hosting_is_an_alarm_until_it_is_taken_back() {
    let machine = machine();
    let notice = |stage: &str, freeze_at| Opened {
        base_complete: true,
        notice: Some(EvictInfo {
            stage: stage.to_owned(),
            since: NOW,
            freeze_at,
            drop_at: freeze_at + 86_400,
        }),
        ..Opened::default()
    };
    machine.hears(None, &notice("warned", NOW));
    machine.hears(None, &notice("warned", NOW));
    assert_eq!(machine.alarms(), [(AlarmKind::Evict, None)]);
    let number = machine.store.alarms().unwrap()[0].number.unwrap();
    machine.store.acknowledge(number).unwrap();
    machine.hears(None, &notice("frozen", NOW));
    assert!(machine.alarms().is_empty());
    // Other days are news.
    machine.hears(None, &notice("warned", NOW + 86_400));
    assert_eq!(machine.alarms().len(), 1);
    machine.hears(None, &Opened::default());
    assert!(machine.alarms().is_empty());
}

fn other_host() -> packnback_proto::crypto::sign::SigningKey {
    key(6)
}

impl Device {
    /// Keeps a receipt of [`other_host`].
    fn receipted(&self, head: Head, received: u64) {
        let receipt = packnback_proto::record::Receipt {
            snap: head.id,
            host: other_host().node_id(),
            received,
            log_seq: 1,
            log_prev: None,
            n_objects: 1,
            bytes: 1,
            policy_seq: 0,
        };
        let receipt = Signed::sign(&receipt, &other_host()).unwrap();
        let owner = owner().owner_id();
        let kept = self.store.put_receipt(&owner, None, receipt.envelope());
        kept.unwrap();
    }

    fn counted(&self, head: Head) -> bool {
        let receipts = self.source.receipts(&head.id).unwrap();
        receipts
            .iter()
            .any(|(host, _)| *host == other_host().node_id())
    }

    fn told(&self, stands: Vec<(SnapshotId, Stand)>, orders: &[&Signed<Order>]) -> Heeded {
        let (me, host) = (device().node_id(), other_host().node_id());
        let opened = Opened {
            base_complete: true,
            stands,
            stand_orders: orders.iter().map(|o| o.envelope().into()).collect(),
            ..Opened::default()
        };
        heed(&self.source, me, host, "anna", None, &opened, NOW).unwrap()
    }
}

fn ended(order: &Signed<Order>) -> Stand {
    Stand::Ended {
        order: Some(order.id()),
    }
}

#[test]
fn n30_an_order_carried_out_while_this_machine_was_off_is_learnt() {
    let machine = machine();
    let (first, second) = (machine.back_up(&tree(1)), machine.back_up(&tree(2)));
    machine.receipted(first, NOW);
    machine.receipted(second, NOW);
    let delete = order(1, Op::DeleteIds(vec![first.id]));
    let stands = vec![(second.id, Stand::Here), (first.id, ended(&delete))];
    let heeded = machine.told(stands.clone(), &[&delete]);
    assert!(heeded.new_orders && heeded.withdrawn && !heeded.lost);
    // No copy any more, and no accusation: the host did what the owner said.
    assert!(!machine.counted(first) && machine.counted(second));
    let expected = [(AlarmKind::ForeignOrder, Some(delete.id()))];
    assert_eq!(machine.alarms(), expected);
    // Nobody else gets it, and it goes here after the grace of this node.
    assert!(machine.source.fate(&first.id).unwrap().goes);
    assert!(!machine.source.fate(&second.id).unwrap().goes);
    assert!(!machine.told(stands, &[&delete]).new_orders);
    assert_eq!(machine.alarms(), expected);
}

#[test]
fn n30_an_order_for_that_host_alone_keeps_it_from_that_host_alone() {
    let machine = machine();
    let first = machine.back_up(&tree(1));
    machine.receipted(first, NOW);
    let host = other_host().node_id();
    let delete = Order {
        audience: Some(vec![host]),
        ..order(1, Op::DeleteIds(vec![first.id])).into_value()
    };
    let delete = Signed::sign(&delete, &owner()).unwrap();
    machine.told(vec![(first.id, ended(&delete))], &[&delete]);
    let fate = machine.source.fate(&first.id).unwrap();
    assert_eq!((fate.goes, fate.ended_at), (false, vec![host]));
    assert!(!machine.counted(first));
}

#[test]
fn n30_a_host_that_lost_its_disk_has_no_receipts_and_gets_everything_again() {
    let machine = machine();
    let (first, second) = (machine.back_up(&tree(1)), machine.back_up(&tree(2)));
    machine.receipted(first, NOW);
    machine.receipted(second, NOW);
    let lost = vec![(second.id, Stand::Unknown), (first.id, Stand::Unknown)];
    let heeded = machine.told(lost, &[]);
    assert!(heeded.withdrawn && heeded.lost);
    assert!(!machine.counted(first) && !machine.counted(second));
    assert_eq!(machine.alarms(), [(AlarmKind::Withheld, Some(second.id))]);
    for head in [first, second] {
        assert_eq!(machine.source.fate(&head.id).unwrap(), Default::default());
    }
}

#[test]
fn n30_a_host_that_ends_what_nobody_ordered_is_an_alarm_about_the_host() {
    let policy = |min_age_d, by: &packnback_proto::crypto::sign::SigningKey| {
        let arg = packnback_proto::record::PolicyArg {
            pseq: 1,
            device: None,
            min_age_d,
            keep: [0; 5],
            keep_last: 0,
            grace_d: 7,
        };
        let order = Order {
            owner: by.owner_id(),
            audience: Some(vec![other_host().node_id()]),
            op: Op::Policy(arg),
            ..order(3, Op::Hold(vec![RecordId([1; 32])])).into_value()
        };
        Signed::sign(&order, by).unwrap()
    };
    let at_host = |machine: &Device| {
        let (first, second) = (machine.back_up(&tree(1)), machine.back_up(&tree(2)));
        machine.receipted(first, NOW - 11 * 86_400);
        machine.receipted(second, NOW - 10 * 86_400);
        (first, second)
    };
    let other = order(1, Op::DeleteIds(vec![RecordId([9; 32])]));
    let (fits, young) = (policy(9, &owner()), policy(30, &owner()));
    let theirs = policy(0, &key(7));
    // The order names others; none at all; not that old; of another owner.
    for (stand, orders) in [
        (ended(&other), vec![&other]),
        (ended(&fits), vec![]),
        (Stand::Ended { order: None }, vec![&fits]),
        (ended(&young), vec![&young]),
        (ended(&theirs), vec![&theirs]),
    ] {
        let machine = machine();
        let (first, _) = at_host(&machine);
        machine.told(vec![(first.id, stand)], &orders);
        assert!(!machine.counted(first), "{stand:?}");
        let alarms = machine.alarms();
        assert_eq!(alarms, [(AlarmKind::Withheld, Some(first.id))], "{stand:?}");
        assert!(!machine.source.fate(&first.id).unwrap().goes);
    }
    // What the policy lets go, but never the last of a set, and be it as old.
    let machine = machine();
    let (first, second) = at_host(&machine);
    machine.told(vec![(first.id, ended(&fits))], &[&fits]);
    assert!(
        !machine
            .alarms()
            .iter()
            .any(|(kind, _)| *kind == AlarmKind::Withheld)
    );
    machine.told(vec![(second.id, ended(&fits))], &[&fits]);
    assert!(
        machine
            .alarms()
            .contains(&(AlarmKind::Withheld, Some(second.id)))
    );
}

#[test]
fn n30_a_head_that_a_host_cannot_show_is_an_alarm_about_the_host() {
    let machine = machine();
    let own = machine.back_up(&tree(1));
    let stolen = snap_by(&device(), &owner(), root(&tree(2)).id, 2);
    let by_other = snap_by(&key(8), &owner(), root(&tree(2)).id, 2);
    let mut forged = stolen.envelope().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let heads = |id| vec![Head { seq: 7, id }, own];
    for (id, shown) in [
        (stolen.id(), vec![]),
        (stolen.id(), vec![forged.into()]),
        (stolen.id(), vec![by_other.envelope().into()]),
        (by_other.id(), vec![by_other.envelope().into()]),
        (RecordId([3; 32]), vec![stolen.envelope().into()]),
    ] {
        let opened = Opened {
            base_complete: true,
            heads: heads(id),
            head_records: shown,
            ..Opened::default()
        };
        machine.hears(Some(own), &opened);
        // One alarm, whatever it makes up next.
        assert_eq!(machine.alarms(), [(AlarmKind::FalseClaim, None)]);
    }
    assert_eq!(machine.store.alarms().unwrap()[0].device, None);
    let opened = Opened {
        base_complete: true,
        heads: heads(stolen.id()),
        head_records: vec![stolen.envelope().into()],
        ..Opened::default()
    };
    machine.hears(Some(own), &opened);
    let serious = (AlarmKind::UnknownHead, Some(stolen.id()));
    assert!(machine.alarms().contains(&serious));
    // The number is that of the record, not what the host says.
    let alarms = machine.store.alarms().unwrap();
    assert!(alarms.iter().any(|alarm| alarm.text.contains("(number 2)")));
}
