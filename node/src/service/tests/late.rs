//! Number 30: who comes late learns what ended, and nothing that was deleted comes back.

use std::collections::BTreeSet;

use packnback_proto::ids::{ObjectId, RecordId, SnapshotId};
use packnback_proto::machine::budget::DAY_S;
use packnback_proto::machine::commit::CommitRefusal;
use packnback_proto::record::{Op, Receipt, Signed, decode_order};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::ids::{encode_ids, split_records};
use packnback_proto::wire::store::{Stand, StoreReply, StoreRequest};

use super::orders::order;
use super::orders::*;
use crate::service::testkit::*;
use crate::store::stored::OrderStand;
use crate::store::{Offer, StoreError};

const OFFER: Offer = Offer {
    owner: u64::MAX,
    device: None,
};

async fn stands(conn: &mut Conn, snaps: &[SnapshotId]) -> (Vec<Stand>, Vec<RecordId>) {
    let ids: Vec<ObjectId> = snaps.iter().map(|snap| ObjectId(snap.0)).collect();
    let asked = conn.ask(StoreRequest::Stands, &encode_ids(&ids)).await;
    let (StoreReply::Stands { stands }, body) = asked else {
        panic!("{asked:?}")
    };
    let orders = split_records(&body).unwrap();
    let orders = orders.iter().map(|order| decode_order(order).unwrap().id());
    (stands, orders.collect())
}

/// By a counter of arrivals, not by seconds: here all happens within one.
#[tokio::test]
async fn n30_a_deletion_reaches_what_comes_in_the_same_second() {
    let world = World::new();
    let mut conn = world.session().await;
    let first = back_up(&mut conn, &tree(1), 1).await;
    collect(world.store(), NOW);
    let coming = snap(root(&tree(2)), 2).id();
    submit(&world, &order(1, Op::DeleteIds(vec![coming])), NOW).unwrap();
    assert_eq!(back_up(&mut conn, &tree(2), 2).await, coming);
    drop(conn);
    world.quiet().await;
    collect(world.store(), NOW + GRACE - 1);
    assert_eq!(snaps(&world), BTreeSet::from([first, coming]));
    collect(world.store(), NOW + GRACE);
    assert_eq!(snaps(&world), BTreeSet::from([first]));
    assert_eq!(stand(&world, 1), OrderStand::Done);
}

#[tokio::test]
async fn n30_what_an_order_makes_go_is_not_copied_here_meanwhile() {
    let world = World::new();
    let owner_id = owner().owner_id();
    let snap = snap(root(&tree(1)), 1).id();
    let wants = || world.store().wants_import(&owner_id, &snap).unwrap();
    assert!(wants());
    submit(&world, &order(1, Op::DeleteIds(vec![snap])), NOW).unwrap();
    assert!(!wants());
    // Taken back, or held: then the next copy is taken in.
    submit(&world, &order(2, Op::Cancel(vec![[1; 16]])), NOW).unwrap();
    assert!(wants());
    submit(&world, &order(3, Op::DeleteIds(vec![snap])), NOW).unwrap();
    submit(&world, &order(4, Op::Hold(vec![snap])), NOW).unwrap();
    assert!(wants());
    // Carried out: not any more, although it never was here.
    let other = super::super::testkit::snap(root(&tree(2)), 2).id();
    submit(&world, &order(5, Op::DeleteIds(vec![other])), NOW).unwrap();
    collect(world.store(), NOW + GRACE);
    assert!(!world.store().wants_import(&owner_id, &other).unwrap());
    assert!(wants());
}

#[tokio::test]
async fn n30_a_range_keeps_copies_out_until_it_is_taken_back() {
    let world = World::new();
    let mut hosts = vec![host_key().node_id(), key(6).node_id()];
    hosts.sort_unstable();
    let hosts = Op::Hosts { hseq: 1, hosts };
    submit(&world, &order(1, hosts), NOW).unwrap();
    drop(world.session().await);
    world.quiet().await;
    let range = |recv_from, recv_to| Op::DeleteRange {
        device: device().node_id(),
        recv_from,
        recv_to,
        max_count: 5,
    };
    let snap = snap(root(&tree(1)), 1);
    let receipt = |received| {
        let receipt = Receipt {
            snap: snap.id(),
            host: key(6).node_id(),
            received,
            log_seq: 1,
            log_prev: None,
            n_objects: 1,
            bytes: 1,
            policy_seq: 0,
        };
        Signed::sign(&receipt, &key(6)).unwrap().envelope().to_vec()
    };
    let access = |received| {
        let store = world.store();
        store.import_access(&owner().owner_id(), &snap, &[receipt(received)], OFFER)
    };
    submit(&world, &order(2, range(NOW - 100, NOW - 50)), NOW).unwrap();
    let before = world.engine.snapshot();
    for inside in [NOW - 100, NOW - 51] {
        let refused = access(inside).err();
        assert_eq!(refused, Some(StoreError::Commit(CommitRefusal::Ended)));
    }
    assert_eq!(world.engine.snapshot(), before);
    assert!(access(NOW - 101).is_ok() && access(NOW - 50).is_ok());
    submit(&world, &order(3, Op::Cancel(vec![[2; 16]])), NOW).unwrap();
    assert!(access(NOW - 100).is_ok());
    // Carried out, it stays in force.
    submit(&world, &order(4, range(NOW - 100, NOW - 50)), NOW).unwrap();
    collect(world.store(), NOW);
    collect(world.store(), NOW + GRACE);
    assert_eq!(stand(&world, 4), OrderStand::Done);
    assert!(access(NOW - 100).is_err());
}

#[tokio::test]
async fn n30_a_device_is_told_what_ended_and_by_which_order() {
    let world = World::new();
    let mut conn = world.session().await;
    let first = back_up(&mut conn, &tree(1), 1).await;
    let second = back_up_after(&mut conn, &tree(2), 2, Some(first)).await;
    let third = back_up_after(&mut conn, &tree(3), 3, Some(second)).await;
    drop(conn);
    world.quiet().await;
    collect(world.store(), NOW);
    let delete = Signed::sign(&order(1, Op::DeleteIds(vec![first])), &owner()).unwrap();
    submit(&world, delete.value(), NOW).unwrap();
    collect(world.store(), NOW + GRACE);
    let keep_one = to_this_host(order(2, Op::Policy(policy(1))));
    let keep_one = Signed::sign(&keep_one, &owner()).unwrap();
    submit(&world, keep_one.value(), NOW + GRACE).unwrap();
    let later = NOW + GRACE + DAY_S;
    collect(world.store(), later);
    collect(world.store(), later + GRACE);
    assert_eq!(snaps(&world), BTreeSet::from([third]));
    let mut conn = world.session().await;
    let never = RecordId([9; 32]);
    let told = stands(&mut conn, &[first, second, third, never]).await;
    let by = |order: &Signed<_>| Stand::Ended {
        order: Some(order.id()),
    };
    assert_eq!(
        told,
        (
            vec![by(&delete), by(&keep_one), Stand::Here, Stand::Unknown],
            vec![delete.id(), keep_one.id()]
        )
    );
    // In a device session only, and not more than goes into one answer.
    let asked = encode_ids(&[ObjectId([1; 32]); 65]);
    let refused = conn.ask(StoreRequest::Stands, &asked).await.0;
    assert_refused(&refused, ErrorCode::Protocol);
    let mut closed = world.connect(device().node_id());
    closed.hello().await;
    let refused = closed.ask(StoreRequest::Stands, &[]).await.0;
    assert_refused(&refused, ErrorCode::NotOpen);
}
