//! Three nodes: invite, replicate, lose one, go on, recover, and everything that must be refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::{Node, grant, receipts, records, signed, tree};
use packnback_node::net::now_s;
use packnback_node::ports::{Failure, Network as _, Remote};
use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::ids::ObjectId;
use packnback_proto::wire::local::CopyState;
use packnback_proto::wire::{ErrorCode, Role, SecretBytes};
use tokio::sync::mpsc;

const MIB: usize = 1 << 20;

/// A device and two friends that store for it.
async fn device_and_hosts(dir: &tempfile::TempDir, owner: &OwnerSeed) -> (Node, Node, Node) {
    let (device, one, two) = (
        Node::new(dir, 11).await,
        Node::new(dir, 12).await,
        Node::new(dir, 13).await,
    );
    device.adopt(owner);
    // Either side may invite.
    one.befriend(&device).await;
    device.befriend(&two).await;
    (device, one, two)
}

fn recovery(owner: &OwnerSeed) -> Option<SecretBytes> {
    Some(SecretBytes::new(*owner.recovery_seed().expose()))
}

async fn fetch(
    remote: &dyn Remote,
    ids: Vec<ObjectId>,
) -> Result<Vec<(ObjectId, Option<Vec<u8>>)>, Failure> {
    let (sender, mut receiver) = mpsc::channel(4);
    let collect = async {
        let mut all = Vec::new();
        while let Some(one) = receiver.recv().await {
            all.push(one);
        }
        all
    };
    let (fetched, all) = tokio::join!(remote.get(ids, sender), collect);
    fetched.map(|()| all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_reaches_both_friends_and_comes_back_without_the_device() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([1; 32]));
    let (device, one, two) = device_and_hosts(&dir, &owner).await;
    let objects = tree(1, 5, 20, 100_000);
    let snap = device.back_up(&owner, &objects);
    device.wait_done(&snap, 2).await;
    let peers = device.p2p.peers();
    assert_eq!(peers.len(), 2);
    assert!(
        peers
            .iter()
            .all(|peer| peer.role == Role::Friend && peer.quota_taken == common::GIB)
    );
    // Each host learns of the receipt of the other.
    for host in [&one, &two] {
        let known = async {
            while host.store.receipts(&owner.owner_id(), &snap).unwrap().len() < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), known)
            .await
            .unwrap();
    }
    drop(device.stop().await);

    // A blank machine: another node, the owner's seed and one address.
    let blank = Node::new(&dir, 20).await;
    let remote = blank
        .p2p
        .remote_open(one.addr(), recovery(&owner))
        .await
        .unwrap();
    assert_eq!(remote.info().host, one.id());
    assert_eq!(remote.info().reader, owner.recovery_id());
    remote
        .grant(signed(&owner, &grant(&owner, &*remote)))
        .await
        .unwrap();
    let all = records(&*remote).await;
    let mut hosts: Vec<_> = receipts(&all)
        .iter()
        .filter(|r| r.snap == snap)
        .map(|r| r.host)
        .collect();
    hosts.sort();
    let mut expected = vec![one.id(), two.id()];
    expected.sort();
    assert_eq!(hosts, expected);
    let got = fetch(&*remote, objects.iter().map(|o| o.id).collect())
        .await
        .unwrap();
    assert_eq!(got.len(), objects.len());
    for ((id, bytes), object) in got.iter().zip(&objects) {
        assert_eq!((id, bytes.as_ref()), (&object.id, Some(&object.bytes)));
    }
    let unknown = ObjectId([0xee; 32]);
    assert_eq!(
        fetch(&*remote, vec![unknown]).await.unwrap(),
        [(unknown, None)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_that_dies_and_comes_back_gets_the_rest() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([2; 32]));
    let (device, one, two) = device_and_hosts(&dir, &owner).await;
    let first = device.back_up(&owner, &tree(1, 1, 4, 1000));
    device.wait_done(&first, 2).await;
    let (one_id, two_id) = (one.id(), two.id());
    // 200 MiB: it is not done before we have seen it under way.
    let objects = tree(2, 4, 50, MIB);
    let second = device.back_up(&owner, &objects);
    device
        .wait_copies(&second, |copies| {
            copies
                .iter()
                .any(|copy| copy.host == one_id && copy.state != CopyState::Waiting)
        })
        .await;
    let stopped = one.stop().await;
    let third = device.back_up(&owner, &tree(3, 1, 4, 1000));
    // The other friend does not wait for the dead one.
    device
        .wait_copies(&third, |copies| {
            copies
                .iter()
                .any(|copy| copy.host == two_id && copy.receipt)
        })
        .await;
    let one = stopped.start().await;
    device.wait_done(&second, 2).await;
    device.wait_done(&third, 2).await;
    let missing = objects.iter().find(|object| {
        one.store
            .get(&owner.owner_id(), &object.id)
            .unwrap()
            .as_ref()
            != Some(&object.bytes)
    });
    assert!(missing.is_none());
    // The device may restart as well: nothing is sent again, and new work goes on.
    let device = device.stop().await.start().await;
    let fourth = device.back_up(&owner, &tree(4, 1, 4, 1000));
    device.wait_done(&fourth, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_grant_nothing_is_read() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([3; 32]));
    let (device, one, two) = device_and_hosts(&dir, &owner).await;
    let objects = tree(1, 1, 4, 1000);
    let snap = device.back_up(&owner, &objects);
    device.wait_done(&snap, 2).await;
    let (id, blank) = (objects[0].id, Node::new(&dir, 20).await);
    let open = async || {
        blank
            .p2p
            .remote_open(one.addr(), recovery(&owner))
            .await
            .unwrap()
    };

    let remote = open().await;
    assert_eq!(
        remote.records(None).await.unwrap_err().code,
        ErrorCode::Denied
    );
    assert_eq!(
        fetch(&*remote, vec![id]).await.unwrap_err().code,
        ErrorCode::Denied
    );

    let stranger = OwnerSeed::from_bytes([99; 32]);
    let good = grant(&owner, &*open().await);
    let wrong_reader = packnback_proto::record::Grant {
        reader: device.id(),
        ..good.clone()
    };
    let wrong_host = packnback_proto::record::Grant {
        audience: Some(vec![two.id()]),
        ..good.clone()
    };
    let expired = packnback_proto::record::Grant {
        not_before: now_s() - 100,
        expires: now_s() - 50,
        audience: None,
        ..good.clone()
    };
    // `good` itself is bound to a conversation that is over.
    for (name, bad) in [
        ("replayed", signed(&owner, &good)),
        ("wrong reader", signed(&owner, &wrong_reader)),
        ("wrong host", signed(&owner, &wrong_host)),
        ("expired", signed(&owner, &expired)),
    ] {
        let remote = open().await;
        assert_eq!(
            remote.grant(bad).await.unwrap_err().code,
            ErrorCode::Record,
            "{name}"
        );
        assert_eq!(
            remote.records(None).await.unwrap_err().code,
            ErrorCode::Denied,
            "{name}"
        );
        let got = fetch(&*remote, vec![id]).await;
        assert_eq!(got.unwrap_err().code, ErrorCode::Denied, "{name}");
    }
    // Signed by somebody who is not the owner: nothing of his is there.
    let remote = open().await;
    let forged = packnback_proto::record::Grant {
        owner: stranger.owner_id(),
        ..grant(&owner, &*remote)
    };
    let refused = remote.grant(signed(&stranger, &forged)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_stay_outside() {
    let (dir, owner) = (tempfile::tempdir().unwrap(), OwnerSeed::from_bytes([4; 32]));
    let (device, one, _two) = device_and_hosts(&dir, &owner).await;
    let snap = device.back_up(&owner, &tree(1, 1, 4, 1000));
    device.wait_done(&snap, 2).await;
    let blank = Node::new(&dir, 20).await;
    let other = OwnerSeed::from_bytes([98; 32]);
    let refused = blank
        .p2p
        .remote_open(one.addr(), recovery(&other))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code, ErrorCode::Unreachable);
    let refused = blank.p2p.remote_open(one.addr(), None).await.err().unwrap();
    assert_eq!(refused.code, ErrorCode::Denied);
    assert!(one.p2p.net().stats().refused_connections > 0);
    assert_eq!(one.p2p.peers().len(), 1);
    assert_eq!(one.p2p.net().role(blank.id()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_serves_one_friend_and_its_answer_can_be_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let (inviter, friend, late) = (
        Node::new(&dir, 31).await,
        Node::new(&dir, 32).await,
        Node::new(&dir, 33).await,
    );
    let token = inviter
        .p2p
        .invite(500, 600, "anna".to_owned())
        .await
        .unwrap();
    let peer = friend
        .p2p
        .accept(token.clone(), 700, "bert".to_owned())
        .await
        .unwrap();
    assert_eq!(
        (peer.node, peer.quota_given, peer.quota_taken),
        (inviter.id(), 700, 500)
    );
    let seen = &inviter.p2p.peers()[0];
    assert_eq!((seen.node, seen.name.as_str()), (friend.id(), "anna"));
    assert_eq!((seen.quota_given, seen.quota_taken), (500, 700));
    // The answer got lost, says the friend.
    let again = friend
        .p2p
        .accept(token.clone(), 700, "bert".to_owned())
        .await
        .unwrap();
    assert_eq!((again.node, again.quota_taken), (inviter.id(), 500));
    // Somebody who copied the invite comes too late.
    let before = inviter.p2p.peers();
    let refused = late.p2p.accept(token, 1, String::new()).await.unwrap_err();
    assert!(
        matches!(refused.code, ErrorCode::Invite | ErrorCode::Unreachable),
        "{refused:?}"
    );
    let nodes = |peers: Vec<packnback_proto::wire::local::PeerInfo>| {
        peers.into_iter().map(|peer| peer.node).collect::<Vec<_>>()
    };
    assert_eq!(nodes(inviter.p2p.peers()), nodes(before));
    assert!(late.p2p.peers().is_empty());
    // A friendship that ended is over at once.
    inviter.p2p.remove_peer(friend.id()).await.unwrap();
    let refused = friend
        .p2p
        .remote_open(inviter.addr(), None)
        .await
        .err()
        .unwrap();
    // Its connection may not have ended yet: then the door is closed behind it.
    assert!(
        matches!(refused.code, ErrorCode::Unreachable | ErrorCode::Denied),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_own_invite_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(&dir, 31).await;
    let token = node.p2p.invite(1, 600, String::new()).await.unwrap();
    for bad in ["", "pnb-invite-", &token[..token.len() - 1], &token] {
        let refused = node
            .p2p
            .accept(bad.to_owned(), 1, String::new())
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invite, "{bad}");
    }
    assert!(node.p2p.peers().is_empty());
}
