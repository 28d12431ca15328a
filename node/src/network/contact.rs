//! Greetings: whenever two nodes that know each other are connected, each says where it can be dialled and what the
//! other is to it. So every contact in either direction, of whatever role, teaches both sides where to find the other
//! again, and a friendship that was ended here is known to have ended there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use packnback_proto::ids::NodeId;
use packnback_proto::machine::rate::Allowance;
use packnback_proto::wire::contact::{Bond, CONTACT_VERSION, Contact};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::P2p;
use crate::frames::{StreamError, read_frame, write_frame};
use crate::net::{reach_of, seen_from};
use crate::peers::Heard;
use crate::ports::{Arrived, Env, Failure, NetError, PathEvent, PeerBook as _, Protocol};
use crate::work::{Context, Handle, Next, OnStall, Rules, Status, WorkError, Worker};

/// Longest silence of the other side.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A greeting that failed on a connection that lasts is repeated after this.
const AGAIN: Duration = Duration::from_secs(60);
/// So often an hour a node may say something new of itself: each time it is written down.
const HEEDED_PER_HOUR: u64 = 60;
/// Greetings under way at once; the rest follow.
const AT_ONCE: usize = 16;

/// What came of greeting a node.
#[derive(Debug, thiserror::Error)]
enum GreetError {
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("{0}")]
    Stream(#[from] StreamError),
    #[error("{0}")]
    Local(#[from] Failure),
}

/// What connected nodes were told. Pure but for the clock.
#[derive(Debug, Default)]
struct Told {
    said: BTreeMap<NodeId, Contact>,
    failed: BTreeMap<NodeId, Instant>,
    /// Greetings under way: the next waits, so that what is newer is heard later.
    busy: BTreeSet<NodeId>,
}

impl Told {
    /// Whether this is news to the node, and may be tried now.
    fn is_due(&self, node: &NodeId, contact: &Contact, now: Instant) -> bool {
        let is_news = self.said.get(node) != Some(contact) && !self.busy.contains(node);
        is_news
            && self
                .failed
                .get(node)
                .is_none_or(|failed| now >= *failed + AGAIN)
    }

    fn says(&mut self, node: NodeId, contact: Contact) {
        self.said.insert(node, contact);
        self.busy.insert(node);
    }

    fn done(&mut self, node: &NodeId) {
        self.busy.remove(node);
    }

    /// The next connection is greeted anew.
    fn gone(&mut self, node: &NodeId) {
        self.said.remove(node);
        self.failed.remove(node);
    }

    fn failed(&mut self, node: NodeId, now: Instant) {
        self.said.remove(&node);
        self.failed.insert(node, now);
    }

    /// When a failed greeting is due again.
    fn next(&self) -> Option<Instant> {
        self.failed.values().min().map(|failed| *failed + AGAIN)
    }
}

/// How often nodes were heeded lately.
#[derive(Debug, Default)]
pub(super) struct Greetings(BTreeMap<NodeId, Allowance>);

impl Greetings {
    fn is_within(&mut self, node: NodeId, now: u64) -> bool {
        let fresh = || Allowance::new(HEEDED_PER_HOUR, now);
        self.0.entry(node).or_insert_with(fresh).take(1, now)
    }
}

/// Pauses after errors: only a broken program makes any.
const RETRY: Duration = Duration::from_secs(1);
/// A step starts greetings and waits for none.
const BOUND: Duration = Duration::from_secs(60);

pub(super) fn start(p2p: &Arc<P2p>) -> Handle {
    let (this, net) = (Arc::downgrade(p2p), Arc::clone(&p2p.net));
    let (table, name, env) = (
        Arc::clone(&p2p.table),
        p2p.name.subscribe(),
        p2p.env.clone(),
    );
    let rules = Rules::new(RETRY, AGAIN).bound(BOUND, OnStall::Restart);
    p2p.runner.start(rules, move || Greet {
        p2p: Weak::clone(&this),
        env: env.clone(),
        events: net.events(),
        friends: table.changed(),
        listen: net.listen_changed(),
        name: name.clone(),
        told: Told::default(),
        under_way: JoinSet::new(),
        is_over: false,
    })
}

/// Greets whoever is connected and has not been told yet.
struct Greet {
    p2p: Weak<P2p>,
    env: Env,
    events: broadcast::Receiver<PathEvent>,
    friends: watch::Receiver<u64>,
    listen: watch::Receiver<Vec<String>>,
    name: watch::Receiver<String>,
    told: Told,
    under_way: JoinSet<(NodeId, bool)>,
    /// The network has ended.
    is_over: bool,
}

impl Worker for Greet {
    fn name(&self) -> String {
        "greet".to_owned()
    }

    async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
        let Some(this) = self.p2p.upgrade().filter(|_| !self.is_over) else {
            return Ok(Next::Done);
        };
        let now = cx.now();
        self.told.failed.retain(|_, failed| now < *failed + AGAIN);
        greet_all(&this, &mut self.told, &mut self.under_way);
        Ok(self.told.next().map_or(Next::WhenWoken, Next::At))
    }

    fn status(&self) -> Status {
        Status {
            queue: u64::try_from(self.under_way.len()).ok(),
            ..Status::default()
        }
    }

    async fn nudge(&mut self) {
        tokio::select! {
            biased;
            event = self.events.recv() => match event {
                Ok(PathEvent::Gone(node)) => {
                    self.told.gone(&node);
                    if let Some(this) = self.p2p.upgrade() {
                        this.table.note(node, self.env.clock.now(), Heard::Left);
                    }
                }
                Ok(_) => {}
                // Some may have gone and come back unseen: greeting twice does no harm.
                Err(RecvError::Lagged(_)) => self.told.said.clear(),
                Err(RecvError::Closed) => self.is_over = true,
            },
            done = self.under_way.join_next(), if !self.under_way.is_empty() => {
                match done {
                    Some(Ok((node, is_told))) => {
                        self.told.done(&node);
                        if !is_told {
                            self.told.failed(node, self.env.clock.instant());
                        }
                    }
                    // Which one it was is not known.
                    Some(Err(_)) => self.told = Told::default(),
                    None => {}
                }
            }
            changed = self.friends.changed() => self.is_over = changed.is_err(),
            changed = self.listen.changed() => self.is_over = changed.is_err(),
            changed = self.name.changed() => self.is_over = changed.is_err(),
        }
    }
}

fn greet_all(p2p: &Arc<P2p>, told: &mut Told, under_way: &mut JoinSet<(NodeId, bool)>) {
    let mut nodes: Vec<NodeId> = p2p.net.paths().iter().map(|path| path.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    for node in nodes {
        if under_way.len() >= AT_ONCE {
            return;
        }
        let Some(contact) = p2p.greeting(&node) else {
            continue;
        };
        if !told.is_due(&node, &contact, p2p.env.clock.instant()) {
            continue;
        }
        told.says(node, contact.clone());
        let p2p = Arc::downgrade(p2p);
        under_way.spawn(async move {
            let Some(p2p) = p2p.upgrade() else {
                return (node, true);
            };
            match p2p.greet(node, contact).await {
                Ok(()) => (node, true),
                Err(error) => {
                    tracing::debug!(?node, %error, "a greeting failed");
                    (node, false)
                }
            }
        });
    }
}

impl P2p {
    /// What this node says to another; `None`: nothing, it is a stranger.
    fn greeting(&self, node: &NodeId) -> Option<Contact> {
        let bond = self.table.bond(node)?;
        // Who is no friend any more has no use for where we are.
        let (name, addrs) = match bond {
            Bond::Friend => (self.name.borrow().clone(), self.own_addrs()),
            Bond::Host => (String::new(), self.own_addrs()),
            Bond::Ended | Bond::Unknown => (String::new(), Vec::new()),
        };
        Some(Contact {
            version: CONTACT_VERSION,
            bond,
            name: name.into(),
            addrs: addrs.into(),
        })
    }

    async fn greet(&self, node: NodeId, contact: Contact) -> Result<(), GreetError> {
        let bond = contact.bond;
        let mut opened = self.net.open(node, &[], Protocol::Contact).await?;
        say(&mut opened.stream, &contact).await?;
        let answer = hear(&mut opened.stream).await?;
        self.said(node, bond)?;
        self.heed(node, &opened.path.remote, &answer)
    }

    /// Tells a node that was just removed, if it is there.
    pub(super) async fn tell_end(&self, node: NodeId) -> bool {
        let Some(contact) = self.greeting(&node).filter(|_| self.net.is_connected(node)) else {
            return false;
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, self.greet(node, contact)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::info!(?node, %error, "a removed friend is told when it comes");
                false
            }
            Err(_) => false,
        }
    }

    fn said(&self, node: NodeId, bond: Bond) -> Result<(), Failure> {
        match bond {
            Bond::Ended => self.table.was_told(&node, self.env.clock.now()),
            _ => Ok(()),
        }
    }

    /// Takes over what a node says of itself.
    fn heed(&self, node: NodeId, remote: &str, said: &Contact) -> Result<(), GreetError> {
        let now = self.env.clock.now();
        self.table.note(node, now, Heard::Seen);
        if !self.greetings.lock().is_within(node, now) {
            tracing::debug!(?node, "greets too often");
            return Ok(());
        }
        self.table.greeted(&node, &said.name, said.bond, now)?;
        if said.bond != Bond::Ended && self.table.bond(&node) != Some(Bond::Ended) {
            let addrs = seen_from(remote, &said.addrs);
            self.table
                .learn_addrs(&node, &addrs, true, reach_of(remote))?;
        }
        Ok(())
    }
}

/// Answers a greeting.
pub(super) async fn answer(mut arrived: Arrived, p2p: &P2p) -> Result<(), StreamError> {
    let said = hear(&mut arrived.stream).await?;
    let node = arrived.peer;
    let Some(contact) = p2p.greeting(&node) else {
        return Ok(());
    };
    // First what it said: the answer means that it was heard.
    if let Err(error) = p2p.heed(node, &arrived.path.remote, &said) {
        tracing::warn!(?node, %error, "what a node said of itself is not kept");
        return Ok(());
    }
    say(&mut arrived.stream, &contact).await?;
    if let Err(error) = p2p.said(node, contact.bond) {
        tracing::warn!(?node, %error, "it is told again that the friendship has ended");
    }
    arrived.stream.shutdown().await?;
    // Until it has hung up it may not have read it. Whether it says something or hangs up makes no difference.
    let _ = in_time(read_frame::<Contact, _>(&mut arrived.stream)).await;
    Ok(())
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, contact: &Contact) -> Result<(), StreamError> {
    let written = async {
        write_frame(stream, contact, &[]).await?;
        Ok(stream.flush().await?)
    };
    in_time(written).await
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Contact, StreamError> {
    Ok(in_time(read_frame(stream)).await?.0)
}

async fn in_time<T>(step: impl Future<Output = Result<T, StreamError>>) -> Result<T, StreamError> {
    tokio::time::timeout(ANSWER_TIMEOUT, step)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(addr: &str) -> Contact {
        Contact {
            version: CONTACT_VERSION,
            bond: Bond::Friend,
            name: "x".into(),
            addrs: vec![addr.to_owned()].into(),
        }
    }

    #[test]
    fn a_node_is_told_what_is_new_once_a_connection() {
        let (mut told, node, now) = (Told::default(), NodeId([1; 32]), Instant::now());
        let (here, there) = (
            contact("/ip4/192.0.2.1/tcp/1"),
            contact("/ip4/192.0.2.2/tcp/1"),
        );
        assert!(told.is_due(&node, &here, now));
        told.says(node, here.clone());
        assert!(!told.is_due(&node, &here, now));
        // One after the other.
        assert!(!told.is_due(&node, &there, now));
        told.done(&node);
        assert!(!told.is_due(&node, &here, now));
        assert!(told.is_due(&node, &there, now));
        told.gone(&node);
        assert!(told.is_due(&node, &here, now));
        told.failed(node, now);
        assert!(!told.is_due(&node, &here, now));
        assert_eq!(told.next(), Some(now + AGAIN));
        assert!(told.is_due(&node, &here, now + AGAIN));
    }

    #[test]
    fn a_node_that_greets_without_end_is_heeded_now_and_then() {
        let (mut greetings, node) = (Greetings::default(), NodeId([1; 32]));
        let heeded = (0..1000).filter(|_| greetings.is_within(node, 5)).count();
        assert_eq!(u64::try_from(heeded), Ok(HEEDED_PER_HOUR));
        assert!(greetings.is_within(NodeId([2; 32]), 5));
        assert!(greetings.is_within(node, 5 + 3600));
    }
}
