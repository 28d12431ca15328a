//! The client against a scripted node.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use packnback_proto::ids::{NodeId, ObjectId};
use packnback_proto::limits::OBJECT_MAX;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::frame::{FrameHead, HEAD_LEN, decode, encode_whole};
use packnback_proto::wire::ids::{decode_ids, encode_bitmap};
use packnback_proto::wire::local::{API_VERSION, Hello, LocalReply, LocalRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, ClientError, NodeLink};
use crate::pipeline::Budget;
use crate::snapshot::ObjectSource;

struct Peer(UnixStream);

impl Peer {
    fn frame<T: DeserializeOwned>(&mut self) -> (T, Vec<u8>) {
        let mut head = [0; HEAD_LEN];
        self.0.read_exact(&mut head).unwrap();
        let head = FrameHead::parse(head).unwrap();
        let mut header = vec![0; head.header_len];
        self.0.read_exact(&mut header).unwrap();
        let mut body = vec![0; head.body_len];
        self.0.read_exact(&mut body).unwrap();
        (decode(&header).unwrap(), body)
    }

    /// The number of a request, the request and its body.
    fn read(&mut self) -> (u64, LocalRequest, Vec<u8>) {
        let ((tag, request), body) = self.frame();
        (tag, request, body)
    }

    fn write<T: Serialize>(&mut self, message: &T, body: &[u8]) {
        self.0
            .write_all(&encode_whole(message, body).unwrap())
            .unwrap();
    }

    fn reply(&mut self, tag: u64, reply: LocalReply, body: &[u8]) {
        self.write(&(tag, reply), body);
    }

    fn greet(&mut self, api: u32) {
        let (request, _) = self.frame();
        assert!(matches!(request, LocalRequest::Hello { .. }));
        let hello = LocalReply::Hello(Hello {
            version: "test".into(),
            api,
            node: NodeId([1; 32]),
            owner: None,
            listen: Vec::new(),
        });
        self.write(&hello, &[]);
    }
}

/// Runs `script` for one connection after the greeting.
fn node(
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> (tempfile::TempDir, Client, JoinHandle<()>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let mut peer = Peer(listener.accept().unwrap().0);
        peer.greet(API_VERSION);
        script(&mut peer);
    });
    let client = Client::connect(&path).unwrap();
    (dir, client, server)
}

fn refusal(code: ErrorCode) -> LocalReply {
    LocalReply::Error {
        code,
        message: "no".into(),
        safe: "all".into(),
        next: "rest".into(),
    }
}

#[test]
fn puts_are_pipelined_and_replies_keep_their_order() {
    let (_dir, client, server) = node(|peer| {
        let mut got = 0;
        loop {
            match peer.read() {
                (_, LocalRequest::Put { id }, body) => {
                    assert_eq!(id.0[0], body[0]);
                    got += 1;
                }
                (tag, LocalRequest::Have, body) => {
                    let ids = decode_ids(&body, 10).unwrap();
                    let bits: Vec<bool> = ids.iter().map(|id| id.0[0] % 2 == 0).collect();
                    peer.reply(tag, LocalReply::Bitmap, &encode_bitmap(&bits));
                }
                (tag, LocalRequest::Sync, _) => {
                    peer.reply(tag, LocalReply::Synced { objects: got }, &[]);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    });
    for i in 0..50 {
        client.put(ObjectId([i; 32]), vec![i; 1_000_000]).unwrap();
    }
    let ids = [ObjectId([2; 32]), ObjectId([3; 32])];
    assert_eq!(client.have(&ids).unwrap(), [true, false]);
    assert_eq!(client.sync().unwrap(), 50);
    server.join().unwrap();
}

/// The objects come as the node likes, one of this request and one of that; each is handed to who asked.
#[test]
fn several_gets_are_under_way_at_once() {
    let (_dir, client, server) = node(|peer| {
        let asked: Vec<(u64, Vec<ObjectId>)> = (0..3)
            .map(|_| {
                let (tag, _, body) = peer.read();
                (tag, decode_ids(&body, 256).unwrap())
            })
            .collect();
        for at in 0..2 {
            for (tag, ids) in asked.iter().rev() {
                let id = ids[at];
                let found = id.0[0] != 9;
                let body = if found { vec![id.0[0]; 3] } else { Vec::new() };
                peer.reply(*tag, LocalReply::Object { id, found }, &body);
            }
        }
    });
    let batches: Vec<_> = [[1, 2], [9, 3], [4, 5]]
        .map(|pair| {
            client
                .start_get(&pair.map(|n| ObjectId([n; 32])), false)
                .unwrap()
        })
        .into();
    let all: Vec<_> = batches
        .into_iter()
        .flatten()
        .map(|got| got.unwrap().1)
        .collect();
    let expected: Vec<_> = [1, 2, 9, 3, 4, 5]
        .map(|n| (n != 9).then(|| vec![n; 3]))
        .into();
    assert_eq!(all, expected);
    server.join().unwrap();
}

/// One caller waits long, another asks and is answered meanwhile over the same connection.
#[test]
fn a_long_request_does_not_hold_up_a_short_one() {
    let (_dir, client, server) = node(|peer| {
        let (long, request, _) = peer.read();
        assert!(matches!(request, LocalRequest::Collect));
        let (short, request, _) = peer.read();
        assert!(matches!(request, LocalRequest::Peers));
        peer.reply(long, LocalReply::Working, &[]);
        peer.reply(short, LocalReply::Peers { peers: Vec::new() }, &[]);
        // Only once the short one has its answer it asks the next.
        let (next, request, _) = peer.read();
        assert!(matches!(request, LocalRequest::Sync));
        peer.reply(next, LocalReply::Synced { objects: 0 }, &[]);
        peer.reply(long, LocalReply::Ok, &[]);
    });
    std::thread::scope(|scope| {
        let long = client.start(&LocalRequest::Collect, Vec::new()).unwrap();
        let long = scope.spawn(move || long.wait().unwrap().0);
        assert!(client.peers().unwrap().is_empty());
        assert_eq!(client.sync().unwrap(), 0);
        assert_eq!(long.join().unwrap(), LocalReply::Ok);
    });
    server.join().unwrap();
}

/// The node goes while many wait for different things: each of them hears it.
#[test]
fn everybody_who_waits_hears_that_the_node_has_gone() {
    let (_dir, client, server) = node(|peer| {
        for _ in 0..12 {
            peer.read();
        }
    });
    let client = &client;
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4u8)
            .flat_map(|n| {
                let get = client.start_get(&[ObjectId([n; 32])], n % 2 == 0).unwrap();
                [
                    scope.spawn(move || get.last().unwrap().err()),
                    scope.spawn(|| client.collect().err()),
                    scope.spawn(|| client.sync().err()),
                ]
            })
            .collect();
        for waiting in waiting {
            let error = waiting.join().unwrap();
            assert!(matches!(error, Some(ClientError::Closed)), "{error:?}");
        }
    });
    assert!(client.peers().is_err());
    server.join().unwrap();
}

#[test]
fn nobody_waits_for_a_node_that_has_gone() {
    for _ in 0..100 {
        let (_dir, client, node) = node(|peer| {
            peer.read();
        });
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while client.put(ObjectId([1; 32]), vec![0; 5000]).is_ok()
                        && client.have(&[ObjectId([2; 32])]).is_ok()
                    {}
                });
            }
        });
        node.join().unwrap();
    }
}

#[test]
fn node_that_dies_with_a_full_queue_leaves_nobody_waiting() {
    // It takes two objects, so that others are queued behind, and goes.
    let (_dir, client, server) = node(|peer| {
        peer.read();
        peer.read();
    });
    let put = || client.put(ObjectId([7; 32]), vec![0; OBJECT_MAX]).err();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| (0..20).find_map(|_| put())))
            .collect();
        for worker in workers {
            assert!(worker.join().unwrap().is_some());
        }
    });
    assert!(client.sync().is_err());
    server.join().unwrap();
}

#[test]
fn refused_put_ends_everything_with_its_reason() {
    let (_dir, client, server) = node(|peer| {
        let (tag, _, _) = peer.read();
        peer.reply(tag, refusal(ErrorCode::Quota), &[]);
    });
    client.put(ObjectId([1; 32]), vec![1]).unwrap();
    server.join().unwrap();
    let error = client.sync().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Quota), "{error:?}");
    let again = client.have(&[ObjectId([1; 32])]).unwrap_err();
    assert_eq!(again.code(), Some(ErrorCode::Quota), "{again:?}");
}

#[test]
fn refused_request_leaves_the_connection_usable() {
    let (_dir, client, server) = node(|peer| {
        let (tag, _, _) = peer.read();
        peer.reply(tag, refusal(ErrorCode::Busy), &[]);
        let (tag, _, _) = peer.read();
        peer.reply(tag, LocalReply::Synced { objects: 0 }, &[]);
    });
    assert_eq!(client.open().unwrap_err().code(), Some(ErrorCode::Busy));
    assert_eq!(client.sync().unwrap(), 0);
    server.join().unwrap();
}

#[test]
fn wrong_answers_are_errors() {
    let (_dir, client, server) = node(|peer| {
        let (tag, _, _) = peer.read();
        peer.reply(tag, LocalReply::Ok, &[]);
        let (tag, _, _) = peer.read();
        let other = LocalReply::Object {
            id: ObjectId([8; 32]),
            found: true,
        };
        peer.reply(tag, other, b"x");
    });
    assert!(matches!(client.sync(), Err(ClientError::OutOfTurn(_))));
    assert!(matches!(
        client.get(&[ObjectId([1; 32])]),
        Err(ClientError::OutOfTurn(_))
    ));
    server.join().unwrap();
    assert!(matches!(
        client.sync(),
        Err(ClientError::Closed | ClientError::Io(_))
    ));
}

#[test]
fn nobody_there_and_other_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sock");
    assert!(Client::connect(&path).err().unwrap().is_not_running());
    // A socket left by a node that died.
    drop(UnixListener::bind(&path).unwrap());
    assert!(Client::connect(&path).err().unwrap().is_not_running());
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || Peer(listener.accept().unwrap().0).greet(99));
    assert!(matches!(
        Client::connect(&path),
        Err(ClientError::Version { node: 99, .. })
    ));
    server.join().unwrap();
}

#[test]
fn socket_below_a_long_path() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let short = dir.path().join("s");
    let listener = UnixListener::bind(&short).unwrap();
    std::fs::rename(&short, deep.join("node.sock")).unwrap();
    let server = std::thread::spawn(move || Peer(listener.accept().unwrap().0).greet(API_VERSION));
    Client::connect(&deep.join("node.sock")).unwrap();
    server.join().unwrap();
}

#[test]
fn budget_lets_a_large_request_through_alone() {
    let budget = Budget::new(10);
    let large = budget.acquire(50);
    assert!(budget.try_acquire(1).is_none());
    drop(large);
    let mut some = budget.acquire(10);
    assert!(budget.try_acquire(1).is_none());
    some.shrink(4);
    let rest = budget.try_acquire(6).unwrap();
    assert_eq!(budget.used(), 10);
    drop((some, rest));
    assert_eq!(budget.used(), 0);
    let held = budget.acquire(10);
    budget.close();
    drop(budget.acquire(100));
    drop(held);
}
