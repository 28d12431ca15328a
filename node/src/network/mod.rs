//! The node among its friends: everything that needs the network, behind [`crate::ports::Network`].

mod address;
mod asking;
#[cfg(test)]
mod asking_tests;
mod contact;
mod hosts;
#[cfg(test)]
mod idle_tests;
mod invite;
mod keep;
mod remote;
mod serve;
mod shares;

use std::sync::Arc;

use futures::future::BoxFuture;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, RecordId, SnapshotId};
use packnback_proto::wire::local::{HostCopy, PeerInfo, RefusalInfo};
use packnback_proto::wire::{ErrorCode, Role, SecretBytes};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::net::{full_addr, split_peer_addr};
use crate::peers::{Friend, Heard, Introduction, PeerTable, StoredState, clean_name};
use crate::ports::{Env, Failure, NetError, Network, PeerBook as _, Remote, Transport};
use crate::replicate::pull::Puller;
use crate::replicate::{Replicator, StoreSource, Timing};
use crate::service::Host;
use crate::store::Store;
use crate::work::{Handle, Runner};
use invite::Offered;

/// How a node takes part.
#[derive(Debug, Clone, Default)]
pub struct P2pConfig {
    /// Pauses and limits of replication.
    pub timing: Timing,
    /// What this node calls itself to friends; may be empty.
    pub name: String,
    /// What runs the workers; `None`: a runner of its own.
    pub runner: Option<Runner>,
}

/// See the module.
pub struct P2p {
    net: Arc<dyn Transport>,
    env: Env,
    key: SigningKey,
    table: Arc<PeerTable>,
    replicator: Arc<Replicator>,
    puller: Puller,
    /// What this node calls itself to friends.
    name: watch::Sender<String>,
    greetings: Mutex<contact::Greetings>,
    runner: Runner,
    workers: Mutex<Vec<Handle>>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl P2p {
    /// Lets the node with this identity take part over a running network, which must be its own, and
    /// its store. Returns it with the service that answers storage sessions.
    ///
    /// # Errors
    /// The peer table cannot be read.
    pub fn start(
        config: &P2pConfig,
        net: Arc<dyn Transport>,
        identity: &Secret32,
        store: Arc<Store>,
        env: Env,
    ) -> Result<(Arc<Host>, Arc<Self>), Failure> {
        let state = Arc::new(StoredState::new(Arc::clone(&store)));
        let table = Arc::new(PeerTable::open(
            net.node(),
            state,
            Arc::<dyn Transport>::clone(&net),
            Arc::clone(&env.clock),
        )?);
        let host = Arc::new(Host::new(
            Arc::clone(&store),
            Arc::<PeerTable>::clone(&table),
            env.clone(),
        ));
        store.note_earlier_snaps()?;
        let source = Arc::new(StoreSource::new(store));
        let timing = config.timing;
        let own = || Runner::new(env.clone());
        let runner = config.runner.clone().unwrap_or_else(own);
        let replicator = Replicator::start(
            Arc::clone(&net),
            Arc::clone(&table),
            source,
            env.clone(),
            timing,
            &runner,
        );
        let puller = Puller::new(
            Arc::clone(&net),
            Arc::clone(&table),
            Arc::clone(&host),
            timing,
            runner.clone(),
        );
        let this = Arc::new(Self {
            net,
            env,
            key: SigningKey::from_seed(identity),
            table,
            replicator,
            puller,
            name: watch::Sender::new(clean_name(&config.name)),
            greetings: Mutex::default(),
            runner,
            workers: Mutex::default(),
            serving: Mutex::default(),
        });
        let serving = serve::run(
            Arc::clone(&this.net),
            Arc::clone(&host),
            Arc::downgrade(&this),
        );
        *this.serving.lock() = Some(tokio::spawn(serving));
        *this.workers.lock() = vec![
            keep::start(&this),
            hosts::start(&this, &host),
            contact::start(&this),
        ];
        Ok((host, this))
    }

    /// The connections.
    #[must_use]
    pub fn net(&self) -> &Arc<dyn Transport> {
        &self.net
    }

    /// The peer table.
    #[must_use]
    pub fn table(&self) -> &Arc<PeerTable> {
        &self.table
    }

    /// What runs the workers of this node.
    #[must_use]
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    fn own_addrs(&self) -> Vec<String> {
        self.net.listen_addrs()
    }

    /// How this node presents itself to a new friend.
    fn introduction(&self, quota: u64) -> Introduction {
        Introduction {
            name: self.name.borrow().clone(),
            addrs: self.own_addrs(),
            quota,
        }
    }

    fn info(&self, node: NodeId, friend: &Friend) -> PeerInfo {
        let contact = self.table.contact(&node);
        let connected = self.net.is_connected(node);
        let addrs = self.table.addrs_of(&node);
        let complete = addrs.iter().filter_map(|addr| full_addr(&node, addr));
        PeerInfo {
            node,
            name: friend.shown_name().to_owned(),
            role: Role::Friend,
            addrs: complete.collect(),
            connected,
            quota_given: friend.quota_given,
            used_given: 0,
            quota_taken: friend.quota_taken,
            owner: friend.owner,
            last_seen: if connected {
                Some(self.env.clock.now())
            } else {
                contact.last_seen
            },
            last_error: contact
                .last_error
                .filter(|_| !connected || !contact.is_away),
            fresh: u64::try_from(friend.fresh).unwrap_or(u64::MAX),
            added: friend.added,
            ended: friend.ended,
            refusal: contact.refusal.map(|refusal| RefusalInfo {
                code: refusal.code,
                text: refusal.text,
                since: refusal.since,
            }),
        }
    }

    /// All friends, none under the name of another: who gives itself the name of another has none.
    fn infos(&self) -> Vec<PeerInfo> {
        let friends = self.table.friends();
        let named: Vec<&str> = friends
            .iter()
            .map(|(_, friend)| friend.shown_name())
            .collect();
        let infos = friends.iter().map(|(node, friend)| {
            let mut info = self.info(*node, friend);
            let same = named.iter().filter(|name| **name == info.name).count();
            if friend.name.is_empty() && same > 1 {
                info.name = String::new();
            }
            info
        });
        infos.collect()
    }

    /// A multiaddress with `/p2p/`, or the id of a friend (or enough of its start).
    fn find_host(&self, addr: &str) -> Result<(NodeId, Vec<String>), Failure> {
        if addr.trim_start().starts_with('/') {
            let (node, addr) = split_peer_addr(addr).map_err(net_failure)?;
            return Ok((node, vec![addr]));
        }
        let wanted = addr.trim();
        let fits = |node: &NodeId, friend: &Friend| {
            friend.shown_name() == wanted
                || (wanted.len() >= 4 && node.to_string().starts_with(wanted))
        };
        let mut hits = self
            .table
            .friends()
            .into_iter()
            .filter(|(node, f)| fits(node, f));
        match (hits.next(), hits.next()) {
            (Some((node, _)), None) => Ok((node, self.table.addrs_of(&node))),
            (None, _) => Err(Failure::new(
                ErrorCode::NotFound,
                format!("{wanted} is neither an address nor a known friend"),
            )
            .next("an address looks like /ip4/192.0.2.1/tcp/4711/p2p/12D3KooW...")),
            _ => Err(Failure::new(
                ErrorCode::NotFound,
                format!("{wanted} fits more than one friend"),
            )
            .next("use more digits of its id")),
        }
    }
}

/// A network error for people.
pub(crate) fn net_failure(error: NetError) -> Failure {
    let next = match &error {
        NetError::Unreachable { .. } | NetError::Timeout(_) | NetError::Closed(_) => {
            "check that the other node runs, that its address is right and that it knows this node"
        }
        NetError::NoAddress(_) => "give its address, or wait until it connects by itself",
        NetError::Refused { .. } | NetError::NotAllowed(_) => {
            "the two nodes must be friends: invite one from the other"
        }
        NetError::BadAddress { .. } => {
            "an address looks like /ip4/192.0.2.1/tcp/4711/p2p/12D3KooW..."
        }
        NetError::Listen { .. } => "free the port or choose another one with --listen",
        NetError::Busy(_) => "try again",
        NetError::BadKey(_) | NetError::Setup(_) | NetError::Down => "",
    };
    Failure::new(error.code(), error.to_string())
        .safe("nothing was changed")
        .next(next)
}

impl Network for P2p {
    fn listen_addrs(&self) -> Vec<String> {
        let node = self.net.node();
        let addrs = self.net.listen_addrs();
        addrs
            .iter()
            .filter_map(|addr| full_addr(&node, addr))
            .collect()
    }

    fn invite(
        &self,
        quota: u64,
        expires_s: u64,
        name: String,
    ) -> BoxFuture<'_, Result<String, Failure>> {
        let offer = Offered::wanted(quota);
        Box::pin(async move { self.make_invite(offer, expires_s, &name) })
    }

    fn invite_as_usual(
        &self,
        usual: u64,
        expires_s: u64,
        name: String,
    ) -> BoxFuture<'_, Result<String, Failure>> {
        let offer = Offered::usual(usual);
        Box::pin(async move { self.make_invite(offer, expires_s, &name) })
    }

    fn accept(
        &self,
        token: String,
        quota: u64,
        name: String,
    ) -> BoxFuture<'_, Result<PeerInfo, Failure>> {
        let offer = Offered::wanted(quota);
        Box::pin(async move { self.accept_invite(&token, offer, &name).await })
    }

    fn accept_as_usual(
        &self,
        token: String,
        usual: u64,
        name: String,
    ) -> BoxFuture<'_, Result<PeerInfo, Failure>> {
        let offer = Offered::usual(usual);
        Box::pin(async move { self.accept_invite(&token, offer, &name).await })
    }

    fn peers(&self) -> Vec<PeerInfo> {
        self.infos()
    }

    fn remove_peer(&self, node: NodeId) -> BoxFuture<'_, Result<bool, Failure>> {
        Box::pin(async move {
            let knows = self.table.friend(&node).is_some_and(|f| f.ended.is_some());
            let brought = self.table.brought_by(&node);
            self.table.remove_friend(&node)?;
            let told = self.tell_end(node).await || knows;
            // What it brought goes with it: connections, and the sessions on them. Who has another
            // standing here (a host that another owner listed, the last recovery key), or has to be told,
            // may come back.
            for id in std::iter::once(node).chain(brought) {
                self.net.expel(id).await.map_err(net_failure)?;
                self.table.readmit(&id)?;
            }
            self.table.orders_changed();
            Ok(told)
        })
    }

    fn set_addrs(&self, node: NodeId, addrs: Vec<String>) -> Result<PeerInfo, Failure> {
        let addrs = address::parse_all(&node, &addrs)?;
        let friend = self.table.set_addrs(&node, addrs)?;
        Ok(self.info(node, &friend))
    }

    fn set_name(&self, name: &str) {
        self.name.send_replace(clean_name(name));
    }

    fn remote_open(
        &self,
        addr: String,
        recovery_seed: Option<SecretBytes>,
    ) -> BoxFuture<'_, Result<Box<dyn Remote>, Failure>> {
        Box::pin(async move {
            // A person typed it, so a name in it may lead where it likes.
            let is_typed = addr.trim_start().starts_with('/');
            let (host, addrs) = self.find_host(&addr)?;
            if is_typed {
                self.net.trust_names_of(host);
            }
            let remote = match recovery_seed {
                Some(seed) => {
                    remote::open_as(seed, &*self.net, &self.env.clock, host, &addrs).await?
                }
                None => remote::open(&*self.net, &self.env.clock, host, &addrs).await?,
            };
            Ok(Box::new(remote) as Box<dyn Remote>)
        })
    }

    fn wake_replication(&self) {
        self.table.orders_changed();
        self.replicator.wake();
    }

    fn copies(&self, snap: &SnapshotId) -> Vec<HostCopy> {
        self.replicator.copies(snap)
    }

    fn told_of(&self, order: &RecordId) -> Vec<NodeId> {
        self.replicator.told_of(order)
    }

    fn copies_changed(&self) -> watch::Receiver<u64> {
        self.replicator.changed()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.replicator.stop();
            self.puller.stop();
            for path in self.net.paths() {
                self.table
                    .note(path.node, self.env.clock.now(), Heard::Left);
            }
            self.net.shutdown().await;
            for worker in std::mem::take(&mut *self.workers.lock()) {
                worker.end();
            }
            if let Some(serving) = self.serving.lock().take() {
                serving.abort();
            }
        })
    }
}
