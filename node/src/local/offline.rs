//! A network that is not there, and peers that nobody knows: for a node that only stores, and for
//! tests.

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use packnback_proto::ids::{NodeId, RecordId, SnapshotId};
use packnback_proto::wire::local::{HostCopy, PeerInfo};
use packnback_proto::wire::{ErrorCode, SecretBytes};
use tokio::sync::watch;

use crate::ports::{Binding, Failure, Network, PeerBook, Remote, Standing};

/// See the module.
pub struct Offline {
    changed: watch::Sender<u64>,
}

impl Default for Offline {
    fn default() -> Self {
        Self {
            changed: watch::Sender::new(0),
        }
    }
}

fn no_network() -> Failure {
    Failure::new(ErrorCode::Unreachable, "this node has no network")
        .safe("Nothing was changed.")
        .next("Start the node with a network.")
}

fn offline<T: Send + 'static>() -> BoxFuture<'static, Result<T, Failure>> {
    ready(Err(no_network())).boxed()
}

impl Network for Offline {
    fn listen_addrs(&self) -> Vec<String> {
        Vec::new()
    }

    fn invite(&self, _: u64, _: u64, _: String) -> BoxFuture<'_, Result<String, Failure>> {
        offline()
    }

    fn accept(&self, _: String, _: u64, _: String) -> BoxFuture<'_, Result<PeerInfo, Failure>> {
        offline()
    }

    fn invite_as_usual(&self, _: u64, _: u64, _: String) -> BoxFuture<'_, Result<String, Failure>> {
        offline()
    }

    fn accept_as_usual(
        &self,
        _: String,
        _: u64,
        _: String,
    ) -> BoxFuture<'_, Result<PeerInfo, Failure>> {
        offline()
    }

    fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }

    fn remove_peer(&self, _: NodeId) -> BoxFuture<'_, Result<bool, Failure>> {
        offline()
    }

    fn set_addrs(&self, _: NodeId, _: Vec<String>) -> Result<PeerInfo, Failure> {
        Err(no_network())
    }

    fn set_name(&self, _: &str) {}

    fn remote_open(
        &self,
        _: String,
        _: Option<SecretBytes>,
    ) -> BoxFuture<'_, Result<Box<dyn Remote>, Failure>> {
        offline()
    }

    fn wake_replication(&self) {}

    fn copies(&self, _: &SnapshotId) -> Vec<HostCopy> {
        Vec::new()
    }

    fn told_of(&self, _: &RecordId) -> Vec<NodeId> {
        Vec::new()
    }

    fn copies_changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

impl PeerBook for Offline {
    fn standing(&self, _: &NodeId) -> Option<Standing> {
        None
    }

    fn bind(&self, _: &NodeId, _: &Binding) -> Result<(), Failure> {
        Ok(())
    }
}
