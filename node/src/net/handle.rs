//! What the rest of the node sees of the network.

use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::Role;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::clock::now_s;
use super::peer_id::{node_id_of, peer_id};
use super::shared::Shared;
use super::task::{Command, NetTask};
use super::types::{ConnInfo, InboundStream, NetConfig, OutboundStream};
use crate::ports::{NetError, NetStats, PathEvent, Protocol, Sponsor};

/// Commands waiting for the network task.
const COMMAND_BACKLOG: usize = 256;
/// Inbound streams waiting to be taken; more are reset.
const INBOUND_BACKLOG: usize = 64;
/// Longest wait for the listeners to come up; a bind takes no time, so this is never seen.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle to the running network. Clones share it; it ends with [`NetHandle::shutdown`] or with
/// the last clone.
#[derive(Debug, Clone)]
pub struct NetHandle {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    node: NodeId,
    open_timeout: Duration,
}

/// The streams that peers open here.
pub type Incoming = mpsc::Receiver<InboundStream>;

impl NetHandle {
    /// Starts the network task on the current tokio runtime and waits until it listens.
    ///
    /// # Errors
    /// [`NetError::Listen`] for an address that cannot be opened, [`NetError::BadKey`] and
    /// [`NetError::Setup`] for an unusable configuration.
    pub async fn start(config: NetConfig) -> Result<(Self, Incoming, JoinHandle<()>), NetError> {
        let node = node_id_of(&config.key)
            .ok_or_else(|| NetError::BadKey("not an Ed25519 key".to_owned()))?;
        let open_timeout = config.open_timeout;
        let shared = Arc::new(Shared::new());
        let (commands, command_queue) = mpsc::channel(COMMAND_BACKLOG);
        let (inbound, incoming) = mpsc::channel(INBOUND_BACKLOG);
        let (task, running) = NetTask::new(config, Arc::clone(&shared), command_queue, inbound)?;
        let listeners = running.listeners();
        let join = tokio::spawn(task.run(running));
        let handle = Self {
            commands,
            shared,
            node,
            open_timeout,
        };
        let mut listen = handle.shared.listen.subscribe();
        let up = listen.wait_for(|addrs| addrs.len() >= listeners);
        // Too few addresses (no interface of that family) is the user's business to see in status.
        let _ = tokio::time::timeout(LISTEN_TIMEOUT, up).await;
        Ok((handle, incoming, join))
    }

    /// This node.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Opens a stream over the best connection to a peer; dials `addrs` if there is none.
    ///
    /// # Errors
    /// Always within the configured time; see [`NetError`].
    pub async fn open(
        &self,
        node: NodeId,
        addrs: &[Multiaddr],
        protocol: Protocol,
    ) -> Result<OutboundStream, NetError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Open {
            peer: peer_id(&node)?,
            addrs: addrs.to_vec(),
            protocol,
            reply,
        };
        let asked = async {
            self.commands
                .send(command)
                .await
                .map_err(|_| NetError::Down)?;
            answer.await.unwrap_or(Err(NetError::Closed(node)))
        };
        tokio::time::timeout(self.open_timeout, asked)
            .await
            .unwrap_or(Err(NetError::Timeout(node)))
    }

    /// Admits a peer in a role, until a time in unix seconds if given.
    ///
    /// # Errors
    /// [`NetError::BadKey`] if the id is no public key.
    pub fn admit(&self, node: NodeId, role: Role, until: Option<u64>) -> Result<(), NetError> {
        self.shared.roles.set(peer_id(&node)?, role, until);
        Ok(())
    }

    /// Lets a peer open nothing more. Its open streams are left to end by themselves.
    pub fn withdraw(&self, node: NodeId) {
        if let Ok(peer) = peer_id(&node) {
            self.shared.roles.remove(&peer);
        }
    }

    /// From now on the connections of this node, which is no friend, count for whoever brought it.
    pub fn sponsor(&self, node: NodeId, sponsor: Sponsor) {
        if let Ok(peer) = peer_id(&node) {
            self.shared.roles.set_sponsor(peer, sponsor);
        }
    }

    /// A person named the address of this node: a name in it may lead into the local network.
    pub fn trust_names_of(&self, node: NodeId) {
        if let Ok(peer) = peer_id(&node) {
            self.shared.inside.trust(peer);
        }
    }

    /// Makes a peer a stranger again and closes its connections.
    ///
    /// # Errors
    /// [`NetError::BadKey`] if the id is no public key, [`NetError::Down`].
    pub async fn expel(&self, node: NodeId) -> Result<(), NetError> {
        let peer = peer_id(&node)?;
        self.shared.roles.remove(&peer);
        self.send(Command::Disconnect { peer }).await
    }

    /// The role of a peer now.
    #[must_use]
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.shared.roles.get(&peer_id(&node).ok()?, now_s())
    }

    /// Stays connected to a peer: dials it now and again after every loss, with growing pauses.
    /// Without addresses it only waits for the peer to come.
    ///
    /// # Errors
    /// [`NetError::BadKey`], [`NetError::Down`].
    pub async fn keep(&self, node: NodeId, addrs: Vec<Multiaddr>) -> Result<(), NetError> {
        self.send(Command::Keep {
            peer: peer_id(&node)?,
            addrs,
        })
        .await
    }

    /// Ends [`NetHandle::keep`]; leaves connections alone.
    ///
    /// # Errors
    /// [`NetError::BadKey`], [`NetError::Down`].
    pub async fn unkeep(&self, node: NodeId) -> Result<(), NetError> {
        self.send(Command::Unkeep {
            peer: peer_id(&node)?,
        })
        .await
    }

    /// Closes one connection: it stalled.
    ///
    /// # Errors
    /// [`NetError::Down`].
    pub async fn close(&self, conn: ConnectionId) -> Result<(), NetError> {
        self.send(Command::Close { conn }).await
    }

    /// Addresses this node listens on.
    #[must_use]
    pub fn listen_addrs(&self) -> Vec<Multiaddr> {
        let all = self.shared.listen.borrow();
        all.iter().filter_map(|addr| addr.parse().ok()).collect()
    }

    /// Changes whenever [`NetHandle::listen_addrs`] do.
    #[must_use]
    pub fn listen_changed(&self) -> watch::Receiver<Vec<String>> {
        self.shared.listen.subscribe()
    }

    /// The live connections.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnInfo> {
        self.shared.conns()
    }

    /// Whether there is a connection to this node.
    #[must_use]
    pub fn is_connected(&self, node: NodeId) -> bool {
        self.shared.conns().iter().any(|c| c.node == node)
    }

    /// Connections coming and going, from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<PathEvent> {
        self.shared.subscribe()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.shared.counters.read()
    }

    /// Ends the network task; all streams break.
    pub async fn shutdown(&self) {
        // An error means that it has ended.
        let _ = self.commands.send(Command::Shutdown).await;
    }

    async fn send(&self, command: Command) -> Result<(), NetError> {
        self.commands
            .send(command)
            .await
            .map_err(|_| NetError::Down)
    }
}
