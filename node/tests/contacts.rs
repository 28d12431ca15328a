//! Two nodes that know each other find each other again, whoever restarts or moves, and know when they are no
//! friends any more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::{GIB, Node, tree, wait_until};
use packnback_node::ports::Network as _;
use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::Role;

/// Where `node` would look for `other` first.
fn first_addrs(node: &Node, other: &NodeId, count: usize) -> Vec<String> {
    let mut addrs = node.p2p.table().addrs_of(other);
    addrs.truncate(count);
    addrs.sort();
    addrs
}

fn own_addrs(node: &Node) -> Vec<String> {
    let addrs = node.p2p.net().listen_addrs();
    let mut addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
    addrs.sort();
    addrs
}

async fn knows(node: &Node, other: &Node) {
    let (id, addrs) = (other.id(), own_addrs(other));
    wait_until("it is known where the other is now", || {
        first_addrs(node, &id, addrs.len()) == addrs
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moved_is_found_once_it_has_called_whatever_its_role() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([1; 32]));
    let (device, host) = (Node::new(&dir, 11).await, Node::new(&dir, 12).await);
    device.adopt(&owner);
    device.befriend(&host).await;
    let first = device.back_up(&owner, &tree(1, 1, 4, 1000));
    device.wait_done(&first, 1).await;
    // Both go; the one that only stores comes back on other ports, and calls.
    let (device, host) = (device.stop().await, host.stop().await);
    let device = device.start().await;
    let host = host.elsewhere().start().await;
    knows(&device, &host).await;
    let second = device.back_up(&owner, &tree(2, 1, 4, 1000));
    device.wait_done(&second, 1).await;
    // Now the other one: what was learned is kept over restarts.
    let (device, mut host) = (device.stop().await, host);
    host.listen = host.p2p.net().listen_addrs();
    let host = host.stop().await.start().await;
    let device = device.elsewhere().start().await;
    knows(&host, &device).await;
    knows(&device, &host).await;
    let third = device.back_up(&owner, &tree(3, 1, 4, 1000));
    device.wait_done(&third, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_outlives_a_restart_of_the_inviter() {
    let dir = tempfile::tempdir().unwrap();
    let (inviter, invitee) = (Node::new(&dir, 11).await, Node::new(&dir, 12).await);
    let token = inviter.p2p.invite(GIB, 600, String::new()).await.unwrap();
    assert!(token.len() < 200, "{} characters", token.len());
    let inviter = inviter.stop().await.start().await;
    invitee.p2p.accept(token, GIB, String::new()).await.unwrap();
    assert!(inviter.p2p.table().friend(&invitee.id()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn friends_learn_what_the_other_calls_itself_and_keep_what_was_agreed() {
    let dir = tempfile::tempdir().unwrap();
    let (anna, bert) = (Node::new(&dir, 11).await, Node::new(&dir, 12).await);
    anna.p2p.set_name("anna");
    bert.p2p.set_name("bert");
    let token = anna.p2p.invite(5 * GIB, 600, String::new()).await.unwrap();
    let peer = bert
        .p2p
        .accept(token, 3 * GIB, String::new())
        .await
        .unwrap();
    assert_eq!(peer.name, "anna");
    assert!(
        peer.addrs.iter().all(|addr| addr.contains("/p2p/")),
        "{peer:?}"
    );
    assert_eq!(anna.p2p.peers()[0].name, "bert");
    bert.p2p.set_name("bertram");
    wait_until("the new name is known", || {
        anna.p2p.peers()[0].name == "bertram"
    })
    .await;
    // Another invite, of which nobody said how much.
    let token = anna
        .p2p
        .invite_as_usual(100 * GIB, 600, String::new())
        .await
        .unwrap();
    let peer = bert
        .p2p
        .accept_as_usual(token, 100 * GIB, "ann".to_owned())
        .await
        .unwrap();
    assert_eq!((peer.quota_taken, peer.quota_given), (5 * GIB, 3 * GIB));
    assert_eq!(peer.name, "ann");
    let peer = anna.p2p.peers()[0].clone();
    assert_eq!((peer.quota_given, peer.quota_taken), (5 * GIB, 3 * GIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_friendship_is_told_at_once_or_later() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([2; 32]));
    let (device, here, away) = (
        Node::new(&dir, 11).await,
        Node::new(&dir, 12).await,
        Node::new(&dir, 13).await,
    );
    device.adopt(&owner);
    device.befriend(&here).await;
    device.befriend(&away).await;
    let snap = device.back_up(&owner, &tree(1, 1, 4, 1000));
    device.wait_done(&snap, 2).await;
    let ended = |node: &Node, by: &NodeId| {
        let friend = node.p2p.table().friend(by);
        friend.is_some_and(|friend| friend.ended.is_some())
    };
    wait_until("the two are connected", || {
        device.p2p.net().is_connected(here.id())
    })
    .await;
    assert!(device.p2p.remove_peer(here.id()).await.unwrap());
    assert!(ended(&here, &device.id()));
    // The other one is not there just now.
    let (away_id, away) = (away.id(), away.stop().await);
    assert!(!device.p2p.remove_peer(away_id).await.unwrap());
    let device = device.stop().await.start().await;
    assert_eq!(device.p2p.net().role(away_id), Some(Role::Former));
    let away = away.start().await;
    let by = device.id();
    wait_until("it is told when it comes", || ended(&away, &by)).await;
    // Whoever was removed stores nothing there any more, and is not asked to.
    assert!(device.p2p.copies(&snap).is_empty());
    assert_eq!(device.p2p.peers(), []);
    // What is stored stays.
    assert!(away.store.snap(&owner.owner_id(), &snap).unwrap().is_some());
    assert!(away.p2p.peers()[0].ended.is_some());
}
