//! libp2p as the node's [`Transport`].

use std::sync::Arc;

use futures::future::BoxFuture;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::{Role, SecretBytes};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::addr::parse_addrs;
use super::handle::{Incoming, NetHandle};
use super::peer_id::keypair_of;
use super::types::NetConfig;
use crate::ports::{
    Arrived, Gate, NetError, NetStats, Opened, Path, PathEvent, PathId, Protocol, Sponsor,
    Transport,
};

/// The running network. It ends with [`Transport::shutdown`], or when it is dropped.
pub struct Libp2p {
    net: NetHandle,
    incoming: tokio::sync::Mutex<Incoming>,
    task: Mutex<Option<JoinHandle<()>>>,
    tune: fn(&mut NetConfig),
}

impl Libp2p {
    /// Starts the network of the node with this key and waits until it listens; without addresses it
    /// only dials. `tune` changes the defaults, here and for [`Transport::visit`].
    ///
    /// # Errors
    /// [`NetError::BadAddress`], and as [`NetHandle::start`].
    pub async fn start(
        key: &Secret32,
        listen: &[String],
        tune: fn(&mut NetConfig),
    ) -> Result<Arc<dyn Transport>, NetError> {
        let read = |addr: &String| {
            addr.parse().map_err(|_| NetError::BadAddress {
                addr: addr.clone(),
                reason: "not a multiaddr".to_owned(),
            })
        };
        let listen = listen.iter().map(read).collect::<Result<_, _>>()?;
        let key = keypair_of(SecretBytes::copy_of(key.expose()))?;
        Self::run(NetConfig::new(key, listen), tune).await
    }

    async fn run(
        mut config: NetConfig,
        tune: fn(&mut NetConfig),
    ) -> Result<Arc<dyn Transport>, NetError> {
        tune(&mut config);
        let (net, incoming, task) = NetHandle::start(config).await?;
        Ok(Arc::new(Self {
            net,
            incoming: tokio::sync::Mutex::new(incoming),
            task: Mutex::new(Some(task)),
            tune,
        }))
    }
}

impl Gate for Libp2p {
    fn admit(&self, node: NodeId, role: Role, until: Option<u64>) -> Result<(), NetError> {
        self.net.admit(node, role, until)
    }

    fn withdraw(&self, node: NodeId) {
        self.net.withdraw(node);
    }

    fn sponsor(&self, node: NodeId, sponsor: Sponsor) {
        self.net.sponsor(node, sponsor);
    }
}

impl Transport for Libp2p {
    fn node(&self) -> NodeId {
        self.net.node()
    }

    fn open<'a>(
        &'a self,
        node: NodeId,
        addrs: &'a [String],
        protocol: Protocol,
    ) -> BoxFuture<'a, Result<Opened, NetError>> {
        Box::pin(async move {
            let addrs = parse_addrs(addrs);
            let opened = self.net.open(node, &addrs, protocol).await?;
            Ok(Opened {
                path: opened.conn.as_path(),
                stream: Box::new(opened.stream),
            })
        })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arrived>> {
        Box::pin(async move {
            let arrived = self.incoming.lock().await.recv().await?;
            Some(Arrived {
                peer: arrived.peer,
                role: arrived.role,
                protocol: arrived.protocol,
                path: arrived.conn.as_path(),
                stream: Box::new(arrived.stream),
            })
        })
    }

    fn role(&self, node: NodeId) -> Option<Role> {
        self.net.role(node)
    }

    fn trust_names_of(&self, node: NodeId) {
        self.net.trust_names_of(node);
    }

    fn expel(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>> {
        Box::pin(self.net.expel(node))
    }

    fn keep(&self, node: NodeId, addrs: Vec<String>) -> BoxFuture<'_, Result<(), NetError>> {
        Box::pin(async move { self.net.keep(node, parse_addrs(&addrs)).await })
    }

    fn unkeep(&self, node: NodeId) -> BoxFuture<'_, Result<(), NetError>> {
        Box::pin(self.net.unkeep(node))
    }

    fn close(&self, path: PathId) -> BoxFuture<'_, Result<(), NetError>> {
        Box::pin(async move {
            let conns = self.net.connections();
            match conns.iter().find(|conn| conn.path == path) {
                Some(conn) => self.net.close(conn.id).await,
                None => Ok(()),
            }
        })
    }

    fn listen_addrs(&self) -> Vec<String> {
        self.net.listen_changed().borrow().clone()
    }

    fn listen_changed(&self) -> watch::Receiver<Vec<String>> {
        self.net.listen_changed()
    }

    fn paths(&self) -> Vec<Path> {
        let conns = self.net.connections();
        conns.iter().map(super::types::ConnInfo::as_path).collect()
    }

    fn is_connected(&self, node: NodeId) -> bool {
        self.net.is_connected(node)
    }

    fn events(&self) -> broadcast::Receiver<PathEvent> {
        self.net.events()
    }

    fn stats(&self) -> NetStats {
        self.net.stats()
    }

    fn visit(&self, seed: SecretBytes) -> BoxFuture<'_, Result<Arc<dyn Transport>, NetError>> {
        Box::pin(async move {
            let config = NetConfig::new(keypair_of(seed)?, Vec::new());
            Self::run(config, self.tune).await
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.net.shutdown().await;
            let task = self.task.lock().take();
            if let Some(task) = task {
                // An error means that it panicked; it is over either way.
                let _ = task.await;
            }
        })
    }
}
