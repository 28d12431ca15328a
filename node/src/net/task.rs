//! The network task: moves messages between the swarm and the handles, and decides nothing.
//!
//! A panic inside a protocol library ends one swarm, not the node: the task builds a new one on the
//! same ports and goes on.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use libp2p::core::multiaddr::Protocol as Part;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, ping};
use packnback_proto::wire::Role;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::behaviour::{Behaviour, BehaviourEvent};
use super::clock::{now_s, random_u32};
use super::redial::Redials;
use super::shared::Shared;
use super::streams::Reply;
use super::transport;
use super::types::{InboundStream, NetConfig};
use crate::ports::{NetError, Protocol};

/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Longest wait for connections to close at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before a new swarm replaces one that panicked.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// From a handle.
pub(crate) enum Command {
    Open {
        peer: PeerId,
        addrs: Vec<Multiaddr>,
        protocol: Protocol,
        reply: Reply,
    },
    Keep {
        peer: PeerId,
        addrs: Vec<Multiaddr>,
    },
    Unkeep {
        peer: PeerId,
    },
    Disconnect {
        peer: PeerId,
    },
    Close {
        conn: ConnectionId,
    },
    Shutdown,
}

/// The task's state between swarms.
pub(crate) struct NetTask {
    config: NetConfig,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    inbound: mpsc::Sender<InboundStream>,
    redials: Redials,
}

impl NetTask {
    /// Builds the first swarm and listens.
    pub(crate) fn new(
        config: NetConfig,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        inbound: mpsc::Sender<InboundStream>,
    ) -> Result<(Self, Running), NetError> {
        let redials = Redials::new(config.redial_first, config.redial_max);
        let task = Self {
            config,
            shared,
            commands,
            inbound,
            redials,
        };
        let running = task.build()?;
        Ok((task, running))
    }

    fn build(&self) -> Result<Running, NetError> {
        let transport =
            transport::build(&self.config.key, &self.shared.waiting, &self.shared.inside)?;
        let behaviour =
            Behaviour::new(&self.config, Arc::clone(&self.shared), self.inbound.clone());
        let config = libp2p::swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(self.config.idle_timeout)
            .with_max_negotiating_inbound_streams(32);
        let me = self.config.key.public().to_peer_id();
        let mut swarm = Swarm::new(transport, behaviour, me, config);
        let (mut listeners, mut failed) = (HashMap::new(), None);
        // All before any is bound: a probe of `::` would meet our own `0.0.0.0`.
        let free: Vec<_> = self.config.listen.iter().map(probe).collect();
        for (index, (addr, free)) in self.config.listen.iter().zip(free).enumerate() {
            let listening = free.and_then(|()| {
                swarm
                    .listen_on(addr.clone())
                    .map_err(|error| listen_error(addr, &error))
            });
            match listening {
                Ok(id) => {
                    listeners.insert(id, index);
                }
                Err(error) if self.config.listen_some => {
                    tracing::warn!(%error, "going on without this address");
                    failed = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match failed {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(Running { swarm, listeners }),
        }
    }

    /// Runs until the last handle is gone or asks for the end.
    pub(crate) async fn run(mut self, first: Running) {
        let mut running = Some(first);
        loop {
            if let Some(mut swarm) = running.take() {
                let ended = AssertUnwindSafe(self.drive(&mut swarm))
                    .catch_unwind()
                    .await;
                if ended.is_ok() {
                    return;
                }
                tracing::error!("the network task panicked; building a new swarm");
                // Its destructors may panic as well.
                let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(swarm)));
            }
            self.shared.counters.restart();
            self.shared.lose_all();
            tokio::time::sleep(RESTART_PAUSE).await;
            match self.build() {
                Ok(swarm) => running = Some(swarm),
                Err(error) => tracing::error!(%error, "cannot rebuild the network"),
            }
        }
    }

    async fn drive(&mut self, running: &mut Running) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = running.swarm.select_next_some() => self.on_event(running, event),
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown) | None => {
                        let closing = self.close_all(running);
                        // An error means that somebody does not let go: the process ends anyway.
                        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
                        return;
                    }
                    Some(command) => self.on_command(&mut running.swarm, command),
                },
                _ = tick.tick() => self.on_tick(&mut running.swarm),
            }
        }
    }

    /// Says goodbye to everybody: a peer that still holds a stream would keep a QUIC connection alive.
    async fn close_all(&mut self, running: &mut Running) {
        let peers: Vec<PeerId> = running.swarm.connected_peers().copied().collect();
        for peer in peers {
            // An error means that it has gone meanwhile.
            let _ = running.swarm.disconnect_peer_id(peer);
        }
        while running.swarm.network_info().num_peers() > 0 {
            let event = running.swarm.select_next_some().await;
            self.on_event(running, event);
        }
    }

    fn on_command(&mut self, swarm: &mut Swarm<Behaviour>, command: Command) {
        let streams = &mut swarm.behaviour_mut().streams;
        match command {
            Command::Open {
                peer,
                addrs,
                protocol,
                reply,
            } => {
                streams.open(peer, &addrs, protocol, reply);
            }
            Command::Keep { peer, addrs } => {
                for addr in &addrs {
                    self.shared.waiting.note_known(addr);
                    self.shared.inside.note(peer, addr);
                }
                self.redials.want(peer, addrs, Instant::now());
            }
            Command::Unkeep { peer } => self.redials.forget(&peer),
            Command::Disconnect { peer } => {
                self.redials.forget(&peer);
                // An error means that it was not connected.
                let _ = swarm.disconnect_peer_id(peer);
            }
            Command::Close { conn } => {
                swarm.close_connection(conn);
            }
            Command::Shutdown => {}
        }
    }

    fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>) {
        for peer in self.shared.roles.expire(now_s()) {
            // An error means that it was not connected.
            let _ = swarm.disconnect_peer_id(peer);
        }
        let streams = &mut swarm.behaviour_mut().streams;
        streams.purge();
        let due = self
            .redials
            .due(Instant::now(), |peer| streams.is_busy_with(peer));
        for (peer, addrs) in due {
            // Without an address the peer has to come to us.
            if !streams.dial(peer, &addrs) {
                self.redials.lost(&peer, Instant::now(), random_u32());
            }
        }
    }

    fn on_event(&mut self, running: &mut Running, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(ping::Failure::Timeout),
                ..
            })) => {
                tracing::warn!(%connection, "no answer to a ping: closing the connection");
                self.shared.counters.stalled_connection();
                running.swarm.close_connection(connection);
            }
            SwarmEvent::ConnectionEstablished {
                peer_id, endpoint, ..
            } => {
                let remote = endpoint.get_remote_address();
                self.shared.inside.note(peer_id, remote);
                if self.shared.roles.get(&peer_id, now_s()) == Some(Role::Friend) {
                    self.shared.waiting.note_known(remote);
                }
                self.redials.connected(&peer_id, Instant::now());
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => {
                self.redials.lost(&peer_id, Instant::now(), random_u32());
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                ..
            } => {
                self.redials.lost(&peer, Instant::now(), random_u32());
            }
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                tracing::info!(%address, "listening");
                self.remember_port(running, listener_id, &address);
                let text = address.to_string();
                self.shared.listen.send_if_modified(|all| {
                    let is_new = !all.contains(&text);
                    if is_new {
                        all.push(text);
                    }
                    is_new
                });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let text = address.to_string();
                self.shared
                    .listen
                    .send_modify(|all| all.retain(|a| *a != text));
            }
            SwarmEvent::ListenerClosed {
                reason: Err(error), ..
            }
            | SwarmEvent::ListenerError { error, .. } => {
                tracing::error!(%error, "a listener failed");
            }
            _ => {}
        }
    }

    /// A swarm built later must listen on the ports that friends know.
    fn remember_port(&mut self, running: &Running, listener: ListenerId, address: &Multiaddr) {
        let slot = running
            .listeners
            .get(&listener)
            .and_then(|i| self.config.listen.get_mut(*i));
        if let (Some(slot), Some(port)) = (slot, port_of(address)) {
            *slot = with_port(slot, port);
        }
    }
}

/// A swarm and which of its listeners serves which configured address.
pub(crate) struct Running {
    swarm: Swarm<Behaviour>,
    listeners: HashMap<ListenerId, usize>,
}

impl Running {
    /// How many addresses will be listened on.
    pub(crate) fn listeners(&self) -> usize {
        self.listeners.len()
    }
}

fn listen_error(addr: &Multiaddr, error: &dyn std::error::Error) -> NetError {
    // The outermost error may say nothing at all.
    let chain = std::iter::successors(Some(error), |error| error.source());
    let said = chain
        .map(ToString::to_string)
        .filter(|text| !text.is_empty());
    NetError::Listen {
        addr: addr.to_string(),
        reason: said.collect::<Vec<_>>().join(": "),
    }
}

/// libp2p shares TCP ports, so a second node on the same port would start without a word and each
/// of the two would get half of the connections. A plain bind tells.
fn probe(addr: &Multiaddr) -> Result<(), NetError> {
    match tcp_socket(addr).map(std::net::TcpListener::bind) {
        Some(Err(error)) => Err(listen_error(addr, &error)),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn tcp_socket(addr: &Multiaddr) -> Option<std::net::SocketAddr> {
    let mut parts = addr.iter();
    let ip: std::net::IpAddr = match parts.next()? {
        Part::Ip4(ip) => ip.into(),
        Part::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Part::Tcp(port) if port != 0 => Some((ip, port).into()),
        _ => None,
    }
}

fn port_of(addr: &Multiaddr) -> Option<u16> {
    addr.iter().find_map(|part| match part {
        Part::Tcp(port) | Part::Udp(port) => Some(port),
        _ => None,
    })
}

fn with_port(addr: &Multiaddr, port: u16) -> Multiaddr {
    addr.iter()
        .map(|part| match part {
            Part::Tcp(0) => Part::Tcp(port),
            Part::Udp(0) => Part::Udp(port),
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_an_open_port_is_filled_in() {
        let open: Multiaddr = "/ip4/0.0.0.0/udp/0/quic-v1".parse().unwrap();
        let bound: Multiaddr = "/ip4/127.0.0.1/udp/4711/quic-v1".parse().unwrap();
        let fixed: Multiaddr = "/ip4/0.0.0.0/udp/99/quic-v1".parse().unwrap();
        let port = port_of(&bound).unwrap();
        assert_eq!(
            with_port(&open, port).to_string(),
            "/ip4/0.0.0.0/udp/4711/quic-v1"
        );
        assert_eq!(with_port(&fixed, port), fixed);
    }
}
