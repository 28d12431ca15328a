//! A session that is refused leaves nothing behind, whatever refused it.

use std::sync::Arc;

use packnback_proto::ids::NodeId;
use packnback_proto::record::Cert;
use packnback_proto::wire::{ErrorCode, Role};

use super::super::Host;
use super::super::testkit::*;
use crate::ports::{Env, Failure, PeerBook, Standing};

/// A list of peers that lets none be bound, as when another machine of the friendship holds it.
struct NoneBound(Arc<TestPeers>);

impl PeerBook for NoneBound {
    fn standing(&self, peer: &NodeId) -> Option<Standing> {
        self.0.standing(peer)
    }

    fn bind(&self, _: &NodeId, _: &crate::ports::Binding) -> Result<(), Failure> {
        Err(Failure::new(ErrorCode::OtherOwner, "not this one"))
    }
}

fn foreign(n: u8) -> Cert {
    Cert {
        owner: key(n).owner_id(),
        ..cert()
    }
}

/// One friend opens under one owner after the other: none of them has a row here afterwards.
#[tokio::test]
async fn n25_refused_opens_leave_no_row() {
    let mut world = World::new();
    let before = world.engine.snapshot();
    let host = &world.host;
    let (store, clock) = (Arc::clone(&host.store), Arc::clone(&world.clock));
    let good = Arc::clone(host);
    let peers = Arc::new(NoneBound(Arc::clone(&world.peers)));
    world.host = Arc::new(Host::new(store, peers, Env::system().with_clock(clock)));
    for n in 10..20 {
        let mut conn = world.connect(device().node_id());
        conn.hello().await;
        assert_refused(&conn.open(foreign(n)).await, ErrorCode::OtherOwner);
    }
    assert_eq!(world.engine.snapshot(), before);
    // And where the friend is bound already, by the decision itself.
    world.host = good;
    let _session = world.session().await;
    let before = world.engine.snapshot();
    for n in 10..20 {
        let mut conn = world.connect(device().node_id());
        conn.hello().await;
        assert_refused(&conn.open(foreign(n)).await, ErrorCode::OtherOwner);
    }
    assert_eq!(world.engine.snapshot(), before);
    assert_eq!(world.store().owner_ids().unwrap().len(), 1);
}

/// Each certificate shown is kept, because snapshots were made under it; so they are charged.
#[tokio::test]
async fn n25_certificates_are_charged() {
    let world = World::new();
    world.peers.know(device().node_id(), Role::Friend, 10_000);
    let mut conn = world.session().await;
    let first = world.store().charged(&owner().owner_id()).unwrap();
    assert!(first.bytes > 300, "{first:?}");
    drop(conn);
    world.quiet().await;
    let renewed = Cert {
        serial: 2,
        ..cert()
    };
    conn = world.session_with(renewed).await;
    let second = world.store().charged(&owner().owner_id()).unwrap();
    assert!(second.bytes > first.bytes + 300, "{second:?}");
    drop(conn);
}
