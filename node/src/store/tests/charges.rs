//! Records are charged, lists are read whole.

use packnback_proto::ids::NodeId;
use packnback_proto::limits::SNAPS_MAX;
use packnback_proto::machine::budget::Limits;
use packnback_proto::policy::Moment;
use packnback_proto::record::{Op, Order, Signed};

use super::*;
use crate::service::testkit::{NOW, key};
use crate::store::disk::{Batch, Table};
use crate::store::stored::Totals;
use crate::store::{CommitOutcome, ORDERS_SPARE, RECORDS_FREE, keys};

const MIB: u64 = 1 << 20;

fn new_store(engine: &MemoryDisk) -> Store {
    let key = SigningKey::from_seed(&Secret32::new([3; 32]));
    let store = Store::new(engine.disk(), key, DiskReserve(0));
    store.check_version().unwrap();
    store
}

fn limited(bytes: u64) -> Access {
    Access {
        owner: key(1).owner_id(),
        device: NodeId([7; 32]),
        sees_all: true,
        limits: Limits {
            bytes,
            ..Limits::NONE
        },
        owner_max: u64::MAX,
    }
}

/// As large as an order can be, about snapshots nobody knows.
fn big_order(n: u16) -> Vec<u8> {
    let id = |m: u16| {
        let mut id = [0xab; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        id[2..4].copy_from_slice(&m.to_be_bytes());
        packnback_proto::ids::RecordId(id)
    };
    let mut oid = [1; 16];
    oid[..2].copy_from_slice(&n.to_be_bytes());
    let order = Order {
        owner: key(1).owner_id(),
        oid,
        issued: NOW,
        audience: None,
        op: Op::DeleteIds((0..1024).map(id).collect()),
        not_before: None,
    };
    Signed::sign(&order, &key(1)).unwrap().envelope().to_vec()
}

#[test]
fn n25_orders_are_charged_and_the_quota_holds_for_them() {
    let engine = MemoryDisk::default();
    let store = new_store(&engine);
    let access = limited(MIB);
    let owner = access.owner;
    let mut taken = 0u64;
    let refused = loop {
        let before = store.charged(&owner).unwrap();
        let envelope = big_order(u16::try_from(taken).unwrap());
        match store.take_order(&access, &envelope, NOW) {
            Ok(new) => assert!(new),
            Err(error) => break (error, before),
        }
        taken += 1;
        assert!(taken < 2000, "no end to it");
    };
    assert!(matches!(refused.0, StoreError::Budget(_)), "{refused:?}");
    assert_eq!(store.charged(&owner), Ok(refused.1), "nothing changed");
    let charged = refused.1.bytes;
    assert!(charged <= MIB + RECORDS_FREE + ORDERS_SPARE, "{charged}");
    assert!(charged > 10 * MIB && refused.1.orders == taken);
    // What records take is not there for objects.
    let intake = store.intake(access).unwrap();
    assert_eq!(store.left(&intake, NOW), Ok(0));
    let (id, bytes) = chunk(1);
    let put = store.put(&intake, &id, &bytes[..], NOW);
    assert!(matches!(put, Err(StoreError::Budget(_))), "{put:?}");
    // Of another owner nothing was taken.
    assert_eq!(store.charged(&key(2).owner_id()).unwrap().bytes, 0);
    assert_eq!(
        store.records_taken(&owner).unwrap(),
        store.charged(&owner).unwrap()
    );
}

/// Who is full can still delete: orders have room of their own.
#[test]
fn an_owner_whose_quota_is_used_up_can_give_orders() {
    let engine = MemoryDisk::default();
    let store = new_store(&engine);
    let access = limited(0);
    for n in 0..80 {
        let done = store.take_order(&access, &big_order(n), NOW);
        assert_eq!(done, Ok(true), "order {n}");
    }
    assert!(store.charged(&access.owner).unwrap().bytes > RECORDS_FREE);
}

#[test]
fn n25_more_snapshots_than_declared_are_refused() {
    let engine = MemoryDisk::default();
    let store = new_store(&engine);
    let owner = key(1).owner_id();
    let full = Totals {
        snaps: u64::try_from(SNAPS_MAX).unwrap(),
        ..Totals::default()
    };
    let mut batch = Batch::default();
    Store::put_row(&mut batch, keys::totals(&owner), &full).unwrap();
    engine.disk().tables.write(batch).unwrap();
    let access = store.own_access(&owner);
    let snap = packnback_proto::record::Snap {
        owner,
        device: store.node_id(),
        seq: 1,
        prev: None,
        root: chunk(1).0,
        time: NOW,
        cert_serial: 1,
        set: crate::service::testkit::SET,
    };
    let snap = Signed::sign(&snap, &SigningKey::from_seed(&Secret32::new([3; 32]))).unwrap();
    let cert = packnback_proto::record::Cert {
        device: store.node_id(),
        ..crate::service::testkit::cert()
    };
    let done: Result<CommitOutcome, _> = store.commit(&access, &cert, snap.envelope(), NOW);
    assert!(matches!(done, Err(StoreError::TooMany(_))), "{done:?}");
}

/// More owners than one page holds: the last one is seen, collected and administered like the first.
#[test]
fn n25_no_list_of_owners_is_cut() {
    let engine = MemoryDisk::default();
    let store = new_store(&engine);
    let mut batch = Batch::default();
    let owner = |n: u16| {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        OwnerId(id)
    };
    for n in 0..9000 {
        Store::put_row(&mut batch, keys::totals(&owner(n)), &Totals::default()).unwrap();
    }
    engine.disk().tables.write(batch).unwrap();
    assert_eq!(store.owners().unwrap().len(), 9000);
    assert_eq!(store.owner_ids().unwrap().last(), Some(&owner(8999)));
    assert_eq!(store.hosted_owners(NOW).unwrap().len(), 9000);
    store.set_quota(&owner(8999), Some(1)).unwrap();
    let moment = Moment {
        wall: NOW,
        boot: 1_000_000,
        boot_id: [1; 16],
    };
    assert_eq!(store.collect(moment, false).unwrap().failed, []);
    // Each was looked at, the last one as well.
    let clock = engine
        .disk()
        .tables
        .get(Table::State, &keys::clock(&owner(8999)));
    assert!(clock.unwrap().is_some());
}
