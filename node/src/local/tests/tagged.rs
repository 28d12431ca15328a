//! Several requests under way on one connection.

use packnback_proto::crypto::hash::object_id;
use packnback_proto::wire::local::NO_TAG;

use super::*;

#[tokio::test(start_paused = true)]
async fn who_waits_hears_that_the_node_works() {
    let local = Local::new();
    let mut conn = local.adopted().await;
    let waits = conn.send(poll(12_000), &[]).await;
    let (tag, first, _) = conn.receive_tagged().await;
    assert_eq!((tag, first), (waits, LocalReply::Working));
    // Others are answered meanwhile, and hear nothing that is not about them.
    let asked = conn.send(LocalRequest::Peers, &[]).await;
    let mut said = Vec::new();
    while said.last() != Some(&(waits, "copies")) {
        said.push(match conn.receive_tagged().await {
            (tag, LocalReply::Working, _) => (tag, "working"),
            (tag, LocalReply::Peers { .. }, _) => (tag, "peers"),
            (tag, LocalReply::Copies(_), _) => (tag, "copies"),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(said[0], (asked, "peers"));
    assert!(said[1..].contains(&(waits, "working")), "{said:?}");
}

/// A program that asks without end is not read on, and is told why nothing happens.
#[tokio::test(start_paused = true)]
async fn more_requests_than_are_taken_wait_unread() {
    let local = Local::new();
    let mut conn = local.adopted().await;
    let first = conn.send(poll(60_000), &[]).await;
    for _ in 1..80 {
        conn.send(poll(60_000), &[]).await;
    }
    conn.send(LocalRequest::Peers, &[]).await;
    let mut heard = std::collections::BTreeSet::new();
    while !(heard.contains(&NO_TAG) && heard.len() == 65) {
        let (tag, reply, _) = conn.receive_tagged().await;
        assert_eq!(reply, LocalReply::Working);
        heard.insert(tag);
    }
    let taken: Vec<u64> = heard.into_iter().skip(1).collect();
    assert_eq!(taken, (first..first + 64).collect::<Vec<u64>>());
}

/// Two answers come side by side, each in its order.
#[tokio::test]
async fn objects_of_two_requests_come_each_in_order() {
    let local = Local::new();
    let mut conn = local.adopted().await;
    let tree = tree(1);
    for object in &tree {
        conn.send(LocalRequest::Put { id: object.id }, &object.bytes)
            .await;
    }
    ask(&mut conn, LocalRequest::Sync, &[]).await;
    let ids: Vec<ObjectId> = tree.iter().map(|object| object.id).collect();
    let back: Vec<ObjectId> = ids.iter().rev().copied().collect();
    let get = || LocalRequest::Get { remote: false };
    let one = conn.send(get(), &encode_ids(&ids)).await;
    let two = conn.send(get(), &encode_ids(&back)).await;
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    for _ in 0..2 * ids.len() {
        let (tag, reply, body) = conn.receive_tagged().await;
        let LocalReply::Object { id, found: true } = reply else {
            panic!("{reply:?}")
        };
        assert_eq!(object_id(&body), id);
        assert!(tag == one || tag == two);
        if tag == one { &mut of_one } else { &mut of_two }.push(id);
    }
    assert_eq!((of_one, of_two), (ids, back));
}

fn poll(timeout_ms: u64) -> LocalRequest {
    LocalRequest::Copies {
        snap: [1; 32].into(),
        wait_hosts: 1,
        timeout_ms,
    }
}
