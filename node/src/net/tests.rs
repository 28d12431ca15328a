//! Two nodes in one process, over loopback.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use futures::future::join;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::ports::PathEvent;

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

struct Node {
    handle: NetHandle,
    incoming: Incoming,
}

impl Node {
    async fn start(seed: u8, listen: &[&str], change: impl Fn(&mut NetConfig)) -> Self {
        let key = keypair_from_seed([seed; 32]).unwrap();
        let listen = listen.iter().map(|a| a.parse().unwrap()).collect();
        let mut config = NetConfig::new(key, listen);
        config.open_timeout = Duration::from_secs(20);
        change(&mut config);
        let (handle, incoming, _) = NetHandle::start(config).await.unwrap();
        Self { handle, incoming }
    }

    fn id(&self) -> NodeId {
        self.handle.node()
    }

    fn admit(&self, other: &Self, role: Role) {
        self.handle.admit(other.id(), role, None).unwrap();
    }
}

async fn pair(listen: &[&str]) -> (Node, Node) {
    let (a, b) = join(Node::start(1, &[], |_| {}), Node::start(2, listen, |_| {})).await;
    a.admit(&b, Role::Friend);
    b.admit(&a, Role::Friend);
    (a, b)
}

async fn echo(mut incoming: Incoming) {
    while let Some(mut arrived) = incoming.recv().await {
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(&mut arrived.stream);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        });
    }
}

async fn round_trip(listen: &str, transport: Carrier) {
    let (a, b) = pair(&[listen]).await;
    let (a_id, addrs) = (a.id(), b.handle.listen_addrs());
    let open = a.handle.open(b.id(), &addrs, Protocol::Store);
    let mut incoming = b.incoming;
    let (opened, arrived) = join(open, incoming.recv()).await;
    let (mut opened, mut arrived) = (opened.unwrap(), arrived.unwrap());
    assert_eq!(
        (opened.conn.transport, opened.conn.relayed),
        (transport, false)
    );
    assert_eq!(arrived.conn.transport, transport);
    assert_eq!((arrived.peer, arrived.role), (a_id, Role::Friend));
    assert_eq!(arrived.protocol, Protocol::Store);
    opened.stream.write_all(b"ping").await.unwrap();
    opened.stream.flush().await.unwrap();
    let mut got = [0; 4];
    arrived.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"ping");
}

#[tokio::test(flavor = "multi_thread")]
async fn friends_talk_over_tcp() {
    round_trip(TCP, Carrier::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn friends_talk_over_quic() {
    round_trip(QUIC, Carrier::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preferred_transport_is_used_and_the_other_is_the_fallback() {
    for (prefer, listen, expected) in [
        (Carrier::Tcp, &[TCP, QUIC][..], Carrier::Tcp),
        (Carrier::Quic, &[TCP, QUIC][..], Carrier::Quic),
        (Carrier::Quic, &[TCP][..], Carrier::Tcp),
        (Carrier::Tcp, &[QUIC][..], Carrier::Quic),
    ] {
        let a = Node::start(1, &[], |c| c.prefer = prefer).await;
        let b = Node::start(2, listen, |_| {}).await;
        a.admit(&b, Role::Friend);
        b.admit(&a, Role::Friend);
        // The dead address of the preferred transport must not hide the live one of the other.
        let mut addrs = b.handle.listen_addrs();
        if listen == [TCP] {
            addrs.push("/ip4/127.0.0.1/udp/9/quic-v1".parse().unwrap());
        } else if listen == [QUIC] {
            addrs.push("/ip4/127.0.0.1/tcp/9".parse().unwrap());
        }
        let opened = a
            .handle
            .open(b.id(), &addrs, Protocol::Store)
            .await
            .unwrap();
        assert_eq!(opened.conn.transport, expected, "{prefer:?} {listen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_and_reaches_no_protocol() {
    for listen in [TCP, QUIC] {
        let (a, mut b) = pair(&[listen]).await;
        b.handle.expel(a.id()).await.unwrap();
        let addrs = b.handle.listen_addrs();
        let error = a
            .handle
            .open(b.id(), &addrs, Protocol::Store)
            .await
            .unwrap_err();
        assert!(
            matches!(error, NetError::Closed(_) | NetError::Unreachable { .. }),
            "{error}"
        );
        assert!(error.is_transient());
        assert!(b.incoming.try_recv().is_err());
        assert!(b.handle.connections().is_empty());
        assert!(b.handle.stats().refused_connections > 0);
        assert_eq!(b.handle.role(a.id()), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_do_not_dial_strangers() {
    let (a, b) = pair(&[TCP]).await;
    a.handle.expel(b.id()).await.unwrap();
    let addrs = b.handle.listen_addrs();
    let error = a
        .handle
        .open(b.id(), &addrs, Protocol::Store)
        .await
        .unwrap_err();
    assert_eq!(error, NetError::NotAllowed(b.id()));
    assert!(a.handle.connections().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_opens_only_its_protocols() {
    let (a, mut b) = pair(&[TCP]).await;
    let addrs = b.handle.listen_addrs();
    for (role, refused) in [
        (Role::Guest, Protocol::Store),
        (Role::Recovery, Protocol::Invite),
        (Role::Infra, Protocol::Store),
    ] {
        b.admit(&a, role);
        let error = a.handle.open(b.id(), &addrs, refused).await.unwrap_err();
        assert_eq!(
            error,
            NetError::Refused {
                node: b.id(),
                protocol: refused.name()
            }
        );
        assert!(b.incoming.try_recv().is_err());
    }
    b.admit(&a, Role::Recovery);
    a.handle
        .open(b.id(), &addrs, Protocol::Store)
        .await
        .unwrap();
    assert_eq!(b.incoming.recv().await.unwrap().role, Role::Recovery);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peer_is_an_error_and_not_a_wait() {
    let (a, b) = pair(&[]).await;
    for addr in ["/ip4/127.0.0.1/tcp/9", "/ip4/127.0.0.1/udp/9/quic-v1"] {
        let addrs = [addr.parse().unwrap()];
        // Many at once: all of them get an answer.
        let opens = (0..8).map(|_| a.handle.open(b.id(), &addrs, Protocol::Store));
        for result in futures::future::join_all(opens).await {
            let error = result.unwrap_err();
            assert!(matches!(error, NetError::Unreachable { .. }), "{error}");
        }
    }
    let error = a
        .handle
        .open(b.id(), &[], Protocol::Store)
        .await
        .unwrap_err();
    assert_eq!(error, NetError::NoAddress(b.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_somebody_else_is_not_taken_for_the_peer() {
    let (a, b) = pair(&[TCP]).await;
    let c = Node::start(3, &[TCP], |_| {}).await;
    c.admit(&a, Role::Friend);
    let addrs = c.handle.listen_addrs();
    let error = a
        .handle
        .open(b.id(), &addrs, Protocol::Store)
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_peer_at_one_address_does_not_hide_the_right_one_at_another() {
    let (a, b) = pair(&[TCP]).await;
    let c = Node::start(3, &[TCP], |_| {}).await;
    c.admit(&a, Role::Friend);
    let mut addrs = c.handle.listen_addrs();
    addrs.extend(b.handle.listen_addrs());
    for addrs in [addrs.clone(), addrs.into_iter().rev().collect()] {
        let opened = a
            .handle
            .open(b.id(), &addrs, Protocol::Store)
            .await
            .unwrap();
        assert_eq!(opened.conn.node, b.id());
        let mut events = a.handle.events();
        a.handle.close(opened.conn.id).await.unwrap();
        while events.recv().await.unwrap() != PathEvent::Gone(b.id()) {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expelled_friend_loses_its_connection() {
    let (a, b) = pair(&[QUIC]).await;
    let addrs = b.handle.listen_addrs();
    let mut stream = a
        .handle
        .open(b.id(), &addrs, Protocol::Store)
        .await
        .unwrap()
        .stream;
    let mut events = a.handle.events();
    b.handle.expel(a.id()).await.unwrap();
    assert_eq!(events.recv().await.unwrap(), PathEvent::Gone(b.id()));
    let mut byte = [0];
    assert!(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
    assert!(a.handle.connections().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_nobody_takes_are_reset_and_counted() {
    let (a, b) = pair(&[TCP]).await;
    let addrs = b.handle.listen_addrs();
    let mut streams = Vec::new();
    // Up to the backlog they wait, beyond it they are reset; the connection allows 64.
    for _ in 0..2 {
        for _ in 0..50 {
            streams.extend(a.handle.open(b.id(), &addrs, Protocol::Store).await.ok());
        }
        streams.clear();
    }
    assert!(b.handle.stats().dropped_streams > 0);
    assert!(b.incoming.len() <= 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_an_error_unless_others_work() {
    let a = Node::start(1, &[TCP, QUIC], |_| {}).await;
    for taken in a.handle.listen_addrs() {
        let key = keypair_from_seed([2; 32]).unwrap();
        let config = NetConfig::new(key.clone(), vec![taken.clone()]);
        let error = NetHandle::start(config).await.unwrap_err();
        assert!(matches!(error, NetError::Listen { .. }), "{error}");
        let mut config = NetConfig::new(key, vec![taken, TCP.parse().unwrap()]);
        config.listen_some = true;
        let (handle, _, _) = NetHandle::start(config).await.unwrap();
        assert_eq!(handle.listen_addrs().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_friend_is_dialled_again_when_it_comes_back() {
    let a = Node::start(1, &[], |c| {
        c.redial_first = Duration::from_millis(50);
        c.redial_max = Duration::from_millis(200);
    })
    .await;
    let b = Node::start(2, &[TCP], |_| {}).await;
    a.admit(&b, Role::Friend);
    b.admit(&a, Role::Friend);
    let mut events = a.handle.events();
    let (b_id, addrs) = (b.id(), b.handle.listen_addrs());
    a.handle.keep(b_id, addrs.clone()).await.unwrap();
    let until = async |events: &mut tokio::sync::broadcast::Receiver<PathEvent>, wanted| {
        while events.recv().await.unwrap() != wanted {}
    };
    until(&mut events, PathEvent::Connected(b_id)).await;
    b.handle.shutdown().await;
    until(&mut events, PathEvent::Gone(b_id)).await;
    drop(b);
    let again = Node::start(2, &[&addrs.first().unwrap().to_string()], |_| {}).await;
    again.admit(&a, Role::Friend);
    until(&mut events, PathEvent::Connected(b_id)).await;
}

/// Two tasks on one split stream, both directions full: where yamux lost wake-ups once.
async fn bulk(listen: &str) {
    const TOTAL: u64 = 100 << 20;
    let (a, b) = pair(&[listen]).await;
    let addrs = b.handle.listen_addrs();
    let b_id = b.id();
    tokio::spawn(echo(b.incoming));
    let stream = a
        .handle
        .open(b_id, &addrs, Protocol::Store)
        .await
        .unwrap()
        .stream;
    let (mut read, mut write) = tokio::io::split(stream);
    let sender = tokio::spawn(async move {
        let block = vec![0x5a; 256 << 10];
        let mut left = TOTAL;
        while left > 0 {
            write.write_all(&block).await.unwrap();
            left -= block.len() as u64;
        }
        write.shutdown().await.unwrap();
        write
    });
    let receiver = tokio::spawn(async move {
        let mut buffer = vec![0; 256 << 10];
        let mut total = 0;
        loop {
            match read.read(&mut buffer).await.unwrap() {
                0 => return total,
                n => total += n as u64,
            }
        }
    });
    assert_eq!(receiver.await.unwrap(), TOTAL);
    sender.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_at_once_over_tcp() {
    bulk(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_at_once_over_quic() {
    bulk(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n25_silent_sockets_do_not_keep_a_friend_out() {
    let (a, mut b) = pair(&[TCP]).await;
    let addrs = b.handle.listen_addrs();
    let port = addrs[0].iter().find_map(|part| match part {
        libp2p::core::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], port.unwrap()));
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(tokio::net::TcpStream::connect(to).await.unwrap());
    }
    let open = a.handle.open(b.id(), &addrs, Protocol::Store);
    let (opened, arrived) = join(open, b.incoming.recv()).await;
    opened.unwrap();
    assert_eq!(arrived.unwrap().peer, a.id());
    // Each of the others is hung up on: room was made, or it said nothing for too long.
    for mut socket in silent {
        let mut byte = [0];
        assert!(matches!(socket.read(&mut byte).await, Ok(0) | Err(_)));
    }
}
