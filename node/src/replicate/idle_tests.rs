//! A node with nothing to do waits.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SnapshotId};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::admin::AlarmKind;
use tokio::sync::watch;

use super::*;
use crate::net::Libp2p;
use crate::peers::{Friend, MemoryState};
use crate::ports::{Env, Failure};
use crate::store::NewAlarm;
use crate::store::stored::ElsewhereRow;

/// The store of a node that is no device. Counts how often it is looked at.
#[derive(Default)]
struct NoDevice(watch::Sender<u32>);

impl Source for NoDevice {
    fn cert(&self) -> Result<Option<Bytes>, Failure> {
        self.0.send_modify(|n| *n += 1);
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
    let source = Arc::new(NoDevice::default());
    let mut looks = source.0.subscribe();
    let replicator = Replicator::start(net, peers, source, env, Timing::default());
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
