//! A node with nothing to do waits.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SnapshotId};
use packnback_proto::wire::admin::AlarmKind;
use packnback_proto::wire::{Bytes, Role};
use tokio::sync::watch;

use super::*;
use crate::net::Libp2p;
use crate::peers::{Friend, MemoryState};
use crate::ports::memory::{SeededDice, Tuning, VirtualClock, Wire};
use crate::ports::{Blocking, Env, Failure};
use crate::service::Host;
use crate::store::memory::MemoryDisk;
use crate::store::stored::ElsewhereRow;
use crate::store::{DiskReserve, NewAlarm, Store};

/// The store of a node that is no device, or one with this certificate and nothing to carry. Counts how often it is
/// looked at.
#[derive(Default)]
struct NoDevice(watch::Sender<u32>, Option<Bytes>);

impl Source for NoDevice {
    fn cert(&self) -> Result<Option<Bytes>, Failure> {
        self.0.send_modify(|n| *n += 1);
        Ok(self.1.clone())
    }

    fn owner_id(&self) -> Result<Option<OwnerId>, Failure> {
        Ok(None)
    }

    fn fate(&self, _: &SnapshotId) -> Result<Fate, Failure> {
        Ok(Fate::default())
    }

    fn withdraw(&self, _: &SnapshotId, _: &NodeId, _: Option<ElsewhereRow>) -> Result<(), Failure> {
        Ok(())
    }

    fn own_snaps(&self) -> Result<Vec<OwnSnap>, Failure> {
        Ok(Vec::new())
    }

    fn receipts(&self, _: &SnapshotId) -> Result<Vec<(NodeId, Bytes)>, Failure> {
        Ok(Vec::new())
    }

    fn add_receipt(&self, _: &[u8]) -> Result<(), Failure> {
        Ok(())
    }

    fn orders(&self) -> Result<Vec<Bytes>, Failure> {
        Ok(Vec::new())
    }

    fn shape(&self, _: &ObjectId) -> Result<Option<Shape>, Failure> {
        Ok(None)
    }

    fn object(&self, _: &ObjectId) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn hosts(&self) -> Result<Vec<NodeId>, Failure> {
        Ok(Vec::new())
    }

    fn was_made_here(&self, _: &SnapshotId) -> Result<bool, Failure> {
        Ok(false)
    }

    fn take_order(&self, _: &[u8], _: u64) -> Result<bool, Failure> {
        Ok(false)
    }

    fn raise_alarm(&self, _: &NewAlarm, _: u64) -> Result<bool, Failure> {
        Ok(false)
    }

    fn end_alarms(&self, _: AlarmKind, _: &NodeId) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_node_that_only_hosts_does_not_look_for_work_again_and_again() {
    let net = Libp2p::start(&Secret32::new([1; 32]), &[], |_| {}).await;
    let net = net.unwrap();
    let env = Env::system();
    let state = Arc::new(MemoryState::default());
    let gate = Arc::<dyn Transport>::clone(&net);
    let peers = PeerTable::open(net.node(), state, gate, Arc::clone(&env.clock));
    let peers = Arc::new(peers.unwrap());
    let friend = SigningKey::from_seed(&Secret32::new([2; 32])).node_id();
    let row = Friend {
        name: "anna".to_owned(),
        addrs: Vec::new(),
        quota_given: 1,
        quota_taken: 1,
        ..Friend::default()
    };
    peers.put_friend(friend, row).unwrap();
    let runner = Runner::new(env.clone());
    let source = Arc::new(NoDevice::default());
    let mut looks = source.0.subscribe();
    let replicator = Replicator::start(net, peers, source, env, Timing::default(), &runner);
    looks.wait_for(|n| *n >= 1).await.unwrap();
    // One that does not wait comes to this within a few milliseconds.
    let is_spinning = tokio::time::timeout(Duration::from_secs(2), looks.wait_for(|n| *n > 100))
        .await
        .is_ok();
    assert!(!is_spinning);
    // It still looks when it is told to.
    let before = *looks.borrow();
    replicator.wake();
    looks.wait_for(|n| *n > before).await.unwrap();
}

const DAY: Duration = Duration::from_secs(86_400);

fn id(n: u8) -> NodeId {
    SigningKey::from_seed(&Secret32::new([n; 32])).node_id()
}

/// A node in a network of its own, under virtual time.
struct Alone {
    net: Arc<dyn Transport>,
    peers: Arc<PeerTable>,
    env: Env,
    runner: Runner,
}

impl Alone {
    fn new() -> Self {
        let env = Env {
            clock: Arc::new(VirtualClock::new(1_700_000_000)),
            dice: Arc::new(SeededDice::new(1)),
            blocking: Blocking::Inline,
        };
        let net = Wire::default().station(id(1), Vec::new(), env.clone(), Tuning::default());
        let gate = Arc::<dyn Transport>::clone(&net);
        let state = Arc::new(MemoryState::default());
        let peers = PeerTable::open(id(1), state, gate, Arc::clone(&env.clock));
        Self {
            net,
            peers: Arc::new(peers.unwrap()),
            runner: Runner::new(env.clone()),
            env,
        }
    }

    /// Steps the worker about the other node took.
    fn steps(&self) -> u64 {
        let (workers, other) = (self.runner.workers(), id(2).to_string());
        let worker = workers.iter().find(|worker| worker.name.ends_with(&other));
        worker.unwrap().runs
    }
}

/// Pauses of 150 to 300 seconds, and a few at first that are shorter.
const STEPS_IN_A_DAY: std::ops::RangeInclusive<u64> = 280..=620;

#[tokio::test(start_paused = true)]
async fn a_friend_that_is_never_there_is_tried_every_few_minutes() {
    let node = Alone::new();
    let row = Friend {
        quota_given: 1,
        quota_taken: 1,
        ..Friend::default()
    };
    node.peers.put_friend(id(2), row).unwrap();
    let source = Arc::new(NoDevice(watch::Sender::default(), Some(Bytes(vec![1]))));
    let (net, peers) = (Arc::clone(&node.net), Arc::clone(&node.peers));
    let (env, timing) = (node.env.clone(), Timing::default());
    let replicator = Replicator::start(net, peers, source, env, timing, &node.runner);
    tokio::time::sleep(DAY).await;
    assert!(STEPS_IN_A_DAY.contains(&node.steps()), "{}", node.steps());
    replicator.stop();
    assert!(node.runner.workers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_never_there_is_tried_every_few_minutes() {
    let node = Alone::new();
    let key = SigningKey::from_seed(&Secret32::new([1; 32]));
    let store = Store::new(MemoryDisk::default().disk(), key, DiskReserve(0));
    let (net, peers) = (Arc::clone(&node.net), Arc::clone(&node.peers));
    let book = Arc::<PeerTable>::clone(&peers);
    let host = Arc::new(Host::new(Arc::new(store), book, node.env.clone()));
    let puller = pull::Puller::new(net, peers, host, Timing::default(), node.runner.clone());
    let from = BTreeMap::from([(id(2), vec![OwnerId([7; 32])])]);
    node.net.admit(id(2), Role::Replica, None).unwrap();
    puller.copy_from(from.clone(), true);
    tokio::time::sleep(DAY).await;
    assert!(STEPS_IN_A_DAY.contains(&node.steps()), "{}", node.steps());
    // Nobody to copy from: no worker.
    puller.copy_from(BTreeMap::new(), false);
    assert!(node.runner.workers().is_empty());
}

/// An order with a list of hosts comes in between two reads, whichever is the first.
#[derive(Default)]
struct ListComes(watch::Sender<u32>);

impl ListComes {
    fn came(&self) -> bool {
        let before = *self.0.borrow();
        self.0.send_modify(|n| *n += 1);
        before > 0
    }
}

impl Source for ListComes {
    fn cert(&self) -> Result<Option<Bytes>, Failure> {
        Ok(None)
    }

    fn owner_id(&self) -> Result<Option<OwnerId>, Failure> {
        Ok(None)
    }

    fn fate(&self, _: &SnapshotId) -> Result<Fate, Failure> {
        Ok(Fate::default())
    }

    fn withdraw(&self, _: &SnapshotId, _: &NodeId, _: Option<ElsewhereRow>) -> Result<(), Failure> {
        Ok(())
    }

    fn own_snaps(&self) -> Result<Vec<OwnSnap>, Failure> {
        Ok(Vec::new())
    }

    fn receipts(&self, _: &SnapshotId) -> Result<Vec<(NodeId, Bytes)>, Failure> {
        Ok(Vec::new())
    }

    fn add_receipt(&self, _: &[u8]) -> Result<(), Failure> {
        Ok(())
    }

    fn orders(&self) -> Result<Vec<Bytes>, Failure> {
        Ok(if self.came() {
            vec![Bytes(vec![1])]
        } else {
            Vec::new()
        })
    }

    fn shape(&self, _: &ObjectId) -> Result<Option<Shape>, Failure> {
        Ok(None)
    }

    fn object(&self, _: &ObjectId) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn hosts(&self) -> Result<Vec<NodeId>, Failure> {
        Ok(if self.came() {
            vec![NodeId([2; 32])]
        } else {
            Vec::new()
        })
    }

    fn was_made_here(&self, _: &SnapshotId) -> Result<bool, Failure> {
        Ok(false)
    }

    fn take_order(&self, _: &[u8], _: u64) -> Result<bool, Failure> {
        Ok(false)
    }

    fn raise_alarm(&self, _: &NewAlarm, _: u64) -> Result<bool, Failure> {
        Ok(false)
    }

    fn end_alarms(&self, _: AlarmKind, _: &NodeId) -> Result<(), Failure> {
        Ok(())
    }
}

/// Else the host would be told addresses of hosts it does not know to be listed, would drop them, and would never be
/// told again.
#[test]
fn whoever_is_told_of_a_host_is_told_the_list_first() {
    let source = ListComes::default();
    let (hosts, orders) = look::hosts_and_orders(&source).unwrap();
    assert!(hosts.is_empty() || !orders.is_empty());
    let (hosts, orders) = look::hosts_and_orders(&source).unwrap();
    assert!(!hosts.is_empty() && !orders.is_empty());
}
