//! Nodes with nothing to do, over a network in memory and under virtual time: each worker takes few steps.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::work::WorkState;

use super::*;
use crate::ports::Blocking;
use crate::ports::memory::{SeededDice, Tuning, VirtualClock, Wire};
use crate::store::DiskReserve;
use crate::store::memory::MemoryDisk;

const DAY: Duration = Duration::from_secs(86_400);

fn id(n: u8) -> NodeId {
    SigningKey::from_seed(&Secret32::new([n; 32])).node_id()
}

fn addr(n: u8) -> String {
    format!("/ip4/192.0.2.{n}/tcp/4117")
}

fn node(wire: &Wire, n: u8) -> Arc<P2p> {
    let seed = Secret32::new([n; 32]);
    let store = Store::new(
        MemoryDisk::default().disk(),
        SigningKey::from_seed(&seed),
        DiskReserve(0),
    );
    store.check_version().unwrap();
    let env = Env {
        clock: Arc::new(VirtualClock::new(1_700_000_000)),
        dice: Arc::new(SeededDice::new(u64::from(n))),
        blocking: Blocking::Inline,
    };
    let net = wire.station(id(n), vec![addr(n)], env.clone(), Tuning::default());
    let config = P2pConfig::default();
    P2p::start(&config, net, &seed, Arc::new(store), env)
        .unwrap()
        .1
}

fn befriend(node: &P2p, other: u8) {
    let friend = Friend {
        name: format!("friend {other}"),
        addrs: vec![addr(other)],
        quota_given: 1 << 30,
        quota_taken: 1 << 30,
        ..Friend::default()
    };
    node.table().put_friend(id(other), friend).unwrap();
}

/// Steps each worker took, and what it may take at most.
fn check(node: &P2p, most: &[(String, u64)]) {
    let workers = node.runner().workers();
    for (name, most) in most {
        let worker = workers.iter().find(|worker| worker.name == *name).unwrap();
        assert!(worker.runs >= 1 && worker.runs <= *most, "{worker:?}");
        assert_ne!(worker.state, WorkState::Done, "{worker:?}");
        assert!(worker.errors.is_empty(), "{worker:?}");
    }
    assert_eq!(workers.len(), most.len(), "{workers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_with_nothing_to_do_takes_few_steps_in_a_day() {
    let wire = Wire::default();
    let (anna, bert) = (node(&wire, 1), node(&wire, 2));
    befriend(&anna, 2);
    befriend(&bert, 1);
    // Never there.
    befriend(&anna, 3);
    tokio::time::sleep(DAY).await;
    assert!(anna.net().is_connected(id(2)));
    let usual = [
        ("keep friends", 40),
        ("greet", 100),
        ("replicate", 40),
        // Once a minute.
        ("follow lists of hosts", 1_500),
    ];
    let mut most: Vec<(String, u64)> = usual.map(|(name, most)| (name.to_owned(), most)).to_vec();
    for friend in [2, 3] {
        most.push((format!("replicate {}", id(friend)), 40));
    }
    check(&anna, &most);
    // A friend that goes takes its worker along.
    anna.table().remove_friend(&id(3)).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    most.pop();
    check(&anna, &most);
    anna.shutdown().await;
    assert!(anna.runner().workers().is_empty());
}
