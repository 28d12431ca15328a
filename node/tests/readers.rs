//! A reader before a host that is not what it should be: a real peer that answers as it likes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::Node;
use packnback_node::frames::{read_frame, write_frame};
use packnback_node::net::{
    InboundStream, NetConfig, NetHandle, format_peer_addr, keypair_from_seed, node_id_of,
};
use packnback_node::ports::{Network as _, Remote};
use packnback_proto::ids::{NodeId, RecordId};
use packnback_proto::machine::reading::READ_BYTES_MAX;
use packnback_proto::wire::ids::push_record;
use packnback_proto::wire::store::{STORE_VERSION, StoreReply, StoreRequest};
use packnback_proto::wire::{ErrorCode, Nonce16, Role, SecretBytes};

/// What it lists behind a record: whether there is more, the last record, the page.
type Lists = fn(Option<RecordId>) -> (bool, Option<RecordId>, Vec<u8>);

const READER: [u8; 32] = [77; 32];

/// A host that greets like any other and lists what it likes. Its address.
async fn hostile(n: u8, lists: Lists) -> (NetHandle, String) {
    let key = keypair_from_seed([n; 32]).unwrap();
    let id = node_id_of(&key).unwrap();
    let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    let (net, mut incoming, _swarm) = NetHandle::start(NetConfig::new(key, listen)).await.unwrap();
    let reader = node_id_of(&keypair_from_seed(READER).unwrap()).unwrap();
    net.admit(reader, Role::Friend, None).unwrap();
    tokio::spawn(async move {
        while let Some(arrived) = incoming.recv().await {
            tokio::spawn(serve(arrived, id, lists));
        }
    });
    let addr = format_peer_addr(&id, &net.listen_addrs()[0]).unwrap();
    (net, addr)
}

async fn serve(mut arrived: InboundStream, host: NodeId, lists: Lists) {
    while let Ok((request, _)) = read_frame::<StoreRequest, _>(&mut arrived.stream).await {
        let (reply, body) = match request {
            StoreRequest::Records { after } => {
                let (more, last, body) = lists(after);
                (StoreReply::Records { more, last }, body)
            }
            StoreRequest::Hello { .. } => (
                StoreReply::Hello {
                    time: 1_800_000_000,
                    nonce: Nonce16([1; 16]),
                    version: STORE_VERSION,
                    host,
                },
                Vec::new(),
            ),
            _ => (StoreReply::Ok, Vec::new()),
        };
        if write_frame(&mut arrived.stream, &reply, &body)
            .await
            .is_err()
        {
            return;
        }
        // A frame may be held back until it is flushed.
        drop(tokio::io::AsyncWriteExt::flush(&mut arrived.stream).await);
    }
}

fn after(before: Option<RecordId>) -> RecordId {
    let mut id = before.unwrap_or(RecordId([0; 32])).0;
    let count = u64::from_be_bytes(id[..8].try_into().unwrap()) + 1;
    id[..8].copy_from_slice(&count.to_be_bytes());
    RecordId(id)
}

fn junk() -> Vec<u8> {
    let mut page = Vec::new();
    for _ in 0..17 {
        push_record(&mut page, &[0; 60_000]).unwrap();
    }
    page
}

/// Reads as the command line does, until the end or a refusal. How many bytes were handed on.
async fn read_all(remote: &dyn Remote) -> (usize, Option<ErrorCode>) {
    let (mut bytes, mut last) = (0, None);
    loop {
        match remote.records(last).await {
            Ok(page) => {
                bytes += page.body.len();
                if !page.more {
                    return (bytes, None);
                }
                last = page.last;
            }
            Err(failure) => return (bytes, Some(failure.code)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n26_a_host_that_lists_without_end_or_order_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let reader = Node::new(&dir, 11).await;
    let cases: [(&str, Lists, usize); 5] = [
        (
            "more and more",
            |before| (true, Some(after(before)), junk()),
            READ_BYTES_MAX,
        ),
        (
            "empty pages",
            |before| (true, Some(after(before)), Vec::new()),
            0,
        ),
        ("no end and no place", |_| (true, None, Vec::new()), 0),
        (
            "one page again and again",
            |_| (true, Some(RecordId([9; 32])), junk()),
            junk().len(),
        ),
        (
            "what does not decode",
            |before| (true, Some(after(before)), vec![0xff; 99]),
            0,
        ),
    ];
    for (n, (name, lists, most)) in (40u8..).zip(cases) {
        let (host, addr) = hostile(n, lists).await;
        let seed = Some(SecretBytes::new(READER));
        let remote = reader.p2p.remote_open(addr, seed).await.unwrap();
        let (bytes, refused) = read_all(remote.as_ref()).await;
        assert_eq!(refused, Some(ErrorCode::Protocol), "{name}");
        assert!(bytes <= most, "{name}: {bytes}");
        // Who asks on hears the same at once.
        let again = remote.records(None).await.unwrap_err();
        assert_eq!(again.code, ErrorCode::Protocol, "{name}");
        host.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_nothing_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let reader = Node::new(&dir, 12).await;
    let (_host, addr) = hostile(50, |_| (false, None, Vec::new())).await;
    let seed = Some(SecretBytes::new(READER));
    let remote = reader.p2p.remote_open(addr, seed).await.unwrap();
    assert_eq!(read_all(remote.as_ref()).await, (0, None));
}
