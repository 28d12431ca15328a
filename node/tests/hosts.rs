//! Hosts that copy from each other, and what a device finds out from what its hosts say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::{GIB, Node, Object, tree, wait_until};
use packnback_node::net::{NetError, Protocol};
use packnback_node::peers::Friend;
use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::ids::{NodeId, RecordId, SnapshotId};
use packnback_proto::record::Op;
use packnback_proto::wire::Role;
use packnback_proto::wire::admin::AlarmKind;
use packnback_proto::wire::local::CopyState;

fn hosts(hseq: u64, hosts: &[NodeId]) -> Op {
    let mut hosts = hosts.to_vec();
    hosts.sort_unstable();
    Op::Hosts { hseq, hosts }
}

fn lists(node: &Node, owner: &OwnerSeed, hseq: u64) -> bool {
    let row = node.store.hosts(&owner.owner_id()).unwrap();
    row.is_some_and(|row| row.hseq >= hseq)
}

fn has_all(node: &Node, owner: &OwnerSeed, objects: &[Object]) -> bool {
    objects.iter().all(|object| {
        node.store
            .get(&owner.owner_id(), &object.id)
            .unwrap()
            .as_ref()
            == Some(&object.bytes)
    })
}

fn has_snap(node: &Node, owner: &OwnerSeed, snap: &SnapshotId) -> bool {
    node.store.snap(&owner.owner_id(), snap).unwrap().is_some()
}

/// A device whose first snapshot is on one host and no longer on its own disk.
async fn device_and_host(
    dir: &tempfile::TempDir,
    owner: &OwnerSeed,
    objects: &[Object],
) -> (Node, Node, SnapshotId) {
    let (device, one) = (Node::new(dir, 11).await, Node::new(dir, 12).await);
    device.adopt(owner);
    device.befriend(&one).await;
    let snap = device.back_up(owner, objects);
    device.wait_done(&snap, 1).await;
    let stopped = device.stop().await;
    stopped.lose(owner, objects);
    (stopped.start().await, one, snap)
}

#[tokio::test(flavor = "multi_thread")]
async fn n23_a_host_that_joins_later_is_filled_by_a_host_and_not_by_the_device() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([1; 32]));
    let objects = tree(1, 3, 10, 100_000);
    let (device, one, first) = device_and_host(&dir, &owner, &objects).await;
    let late = Node::new(&dir, 13).await;
    device.befriend(&late).await;
    // The device says that it cannot bring the old snapshot, and goes on with the new one.
    let second = device.back_up(&owner, &tree(2, 1, 4, 1000));
    device.wait_done(&second, 2).await;
    let late_id = late.id();
    device
        .wait_copies(&first, |copies| {
            copies.iter().any(|copy| {
                let said = copy.last_error.as_deref().unwrap_or_default();
                copy.host == late_id
                    && copy.state == CopyState::Failing
                    && said.contains("waiting for another host")
            })
        })
        .await;
    assert!(!has_snap(&late, &owner, &first));
    // Nobody gives it a copy as long as the owner did not say so.
    let refused = late.p2p.net().role(one.id());
    assert_eq!(refused, None);

    device.order(&owner, 1, hosts(1, &[one.id(), late.id()]));
    device.wait_done(&first, 2).await;
    assert!(has_all(&late, &owner, &objects));
    // The device has a receipt by the new host, though it did not send it anything.
    assert!(!has_all(&device, &owner, &objects[..1]));
    let receipts = device.store.receipts(&owner.owner_id(), &first).unwrap();
    assert!(receipts.iter().any(|(host, _)| *host == late_id));
    // Retention on the new host goes by the time at which the old one received it.
    // (If the device asked for its receipt in between, the other one comes with the next look.)
    let by_one = || {
        let receipts = late.store.receipts(&owner.owner_id(), &first).unwrap();
        receipts.iter().any(|(host, _)| *host == one.id())
    };
    wait_until("the receipt of the other host", by_one).await;
    // Charged to the device within what was agreed with it.
    let used = late.store.usage(&owner.owner_id(), &device.id()).unwrap();
    let bytes: usize = objects.iter().map(|object| object.bytes.len()).sum();
    assert!(used.bytes >= u64::try_from(bytes).unwrap());
    assert!(device.store.alarms().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn n23_a_host_that_was_away_gets_snapshots_and_orders_without_the_device() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([2; 32]));
    let objects = tree(1, 2, 10, 10_000);
    let (device, one, first) = device_and_host(&dir, &owner, &objects).await;
    let late = Node::new(&dir, 13).await;
    device.befriend(&late).await;
    device
        .wait_done(&device.back_up(&owner, &tree(2, 1, 4, 1000)), 2)
        .await;
    // One host knows the list and ends; the other hears of it, and of where that one is, while
    // nobody can give it anything.
    device.order(&owner, 1, hosts(1, &[one.id(), late.id()]));
    wait_until("the list is known", || lists(&one, &owner, 1)).await;
    let (one_id, one) = (one.id(), one.stop().await);
    wait_until("the other host is known", || lists(&late, &owner, 1)).await;
    wait_until("its address is known", || {
        !late.p2p.table().addrs_of(&one_id).is_empty()
    })
    .await;
    let late = late.stop().await;
    // An order that only reaches the first host.
    let one = one.start().await;
    let order = device.order(&owner, 2, Op::Hold(vec![first]));
    let known = |node: &Node| node.store.record(&owner.owner_id(), &order).unwrap();
    wait_until("the order is there", || known(&one).is_some()).await;
    drop(device.stop().await);

    let late = late.start().await;
    wait_until("the snapshot is copied", || has_snap(&late, &owner, &first)).await;
    assert!(has_all(&late, &owner, &objects));
    wait_until("the order is taken over", || known(&late).is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n23_who_is_not_listed_or_no_longer_does_not_get_in() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([3; 32]));
    let (device, one, stranger) = (
        Node::new(&dir, 11).await,
        Node::new(&dir, 12).await,
        Node::new(&dir, 13).await,
    );
    device.adopt(&owner);
    device.befriend(&one).await;
    device
        .wait_done(&device.back_up(&owner, &tree(1, 1, 4, 1000)), 1)
        .await;
    let addrs = one.p2p.net().listen_addrs();
    let net = stranger.p2p.net();
    net.admit(one.id(), Role::Friend, None).unwrap();
    let open = async || net.open(one.id(), &addrs, Protocol::Store).await;
    assert!(open().await.is_err());
    assert_eq!(one.p2p.net().role(stranger.id()), None);

    device.order(&owner, 1, hosts(1, &[one.id(), stranger.id()]));
    wait_until("the list is followed", || {
        one.p2p.net().role(stranger.id()) == Some(Role::Replica)
    })
    .await;
    drop(open().await.unwrap());
    device.order(&owner, 2, hosts(2, &[one.id()]));
    wait_until("the list is followed", || {
        one.p2p.net().role(stranger.id()).is_none()
    })
    .await;
    wait_until("the connection is closed", || {
        !one.p2p.net().is_connected(stranger.id())
    })
    .await;
    let refused = open().await;
    assert!(
        matches!(
            refused,
            Err(NetError::Unreachable { .. } | NetError::Closed(_) | NetError::Refused { .. })
        ),
        "{refused:?}"
    );
    // A friend stays one, listed or not.
    assert_eq!(one.p2p.net().role(device.id()), Some(Role::Friend));
}

fn alarms(node: &Node) -> Vec<(AlarmKind, Option<RecordId>)> {
    let alarms = node.store.alarms().unwrap().into_iter();
    alarms.map(|alarm| (alarm.kind, alarm.snap)).collect()
}

fn friend(node: &Node) -> Friend {
    Friend {
        name: "friend".to_owned(),
        addrs: node.listen.iter().map(ToString::to_string).collect(),
        quota_given: GIB,
        quota_taken: GIB,
        ..Friend::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n10_a_stolen_key_in_use_elsewhere_is_found_at_the_next_session() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([4; 32]));
    let (device, one) = (Node::new(&dir, 11).await, Node::new(&dir, 12).await);
    device.adopt(&owner);
    device.befriend(&one).await;
    let own = device.back_up(&owner, &tree(1, 1, 4, 1000));
    device.wait_done(&own, 1).await;
    let device = device.stop().await;

    let home = dir.path().join("thief");
    let any = ["/ip4/127.0.0.1/tcp/0".parse().unwrap()].to_vec();
    let thief = Node::start(home, Secret32::new([11; 32]), any).await;
    thief.adopt(&owner);
    thief
        .p2p
        .table()
        .put_friend(one.id(), friend(&one))
        .unwrap();
    let junk = thief.back_up(&owner, &tree(666, 1, 1, 1000));
    thief.wait_done(&junk, 1).await;
    drop(thief.stop().await);

    // Nothing to send, and still it asks.
    let device = device.start().await;
    wait_until("the alarm is raised", || !alarms(&device).is_empty()).await;
    assert_eq!(alarms(&device), [(AlarmKind::UnknownHead, Some(junk))]);
    let number = device.store.alarms().unwrap()[0].number.unwrap();
    device.store.acknowledge(number).unwrap();
    // Backups go on, and what was seen is not raised again.
    let device = device.stop().await.start().await;
    let next = device.back_up(&owner, &tree(2, 1, 4, 1000));
    device.wait_done(&next, 1).await;
    assert!(alarms(&device).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn n10_a_host_that_lost_what_it_receipted_is_found() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([5; 32]));
    let (device, one) = (Node::new(&dir, 11).await, Node::new(&dir, 12).await);
    device.adopt(&owner);
    device.befriend(&one).await;
    let own = device.back_up(&owner, &tree(1, 1, 4, 1000));
    device.wait_done(&own, 1).await;
    let (device, one) = (device.stop().await, one.stop().await);
    let one = one.on_a_new_disk(&dir, "replaced").start().await;
    let device = device.start().await;
    one.p2p
        .table()
        .put_friend(device.id(), friend(&device))
        .unwrap();
    wait_until("the alarm is raised", || !alarms(&device).is_empty()).await;
    assert_eq!(alarms(&device), [(AlarmKind::Withheld, Some(own))]);
}
