//! The stream behaviour: opens and accepts raw streams, and nothing else.
//!
//! Differences from `libp2p-stream`, each because its lack loses data or answers there:
//! a missing connection is dialled through the swarm and every outcome of that dial is an answer to
//! all who wait; the connection is chosen (see [`table`]), not drawn; a full inbound queue resets
//! the stream and counts it; closing a connection leaves nothing behind; the role is checked by
//! protocol, at negotiation and again on arrival.

pub(crate) mod dial;
pub(crate) mod handler;
pub(crate) mod table;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, DialError, DialFailure,
    FromSwarm, NetworkBehaviour, NotifyHandler, Stream, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

use self::dial::{DialPlan, without};
use self::handler::{Handler, HandlerOut, OpenFailure, OpenStream};
use self::table::{ConnTable, remote_of, transport_of};
use super::clock::now_s;
use super::peer_id::node_id;
use super::roles::Roles;
use super::shared::Shared;
use super::types::{Carrier, ConnInfo, InboundStream, OutboundStream};
use crate::ports::{NetError, PathEvent, Protocol, may_open};

/// Most streams to one peer that may be waiting to be opened.
const PENDING_PER_PEER_MAX: usize = 64;

/// Number of a request to open a stream.
pub(crate) type RequestId = u64;

/// Where the outcome goes.
pub(crate) type Reply = oneshot::Sender<Result<OutboundStream, NetError>>;

struct PendingOpen {
    peer: PeerId,
    protocol: Protocol,
    reply: Reply,
    /// The connection that negotiates it; `None` while dialling.
    on: Option<ConnectionId>,
}

struct Dialling {
    attempt: ConnectionId,
    /// The addresses being tried.
    stage: Vec<Multiaddr>,
    plan: DialPlan,
    reasons: Vec<String>,
}

/// See the module.
pub(crate) struct Streams {
    shared: Arc<Shared>,
    prefer: Carrier,
    conns: ConnTable,
    pending: HashMap<RequestId, PendingOpen>,
    dialling: HashMap<PeerId, Dialling>,
    actions: VecDeque<ToSwarm<Infallible, OpenStream>>,
    inbound: mpsc::Sender<InboundStream>,
    next_request: RequestId,
    waker: Option<Waker>,
}

impl Streams {
    pub(crate) fn new(
        shared: Arc<Shared>,
        prefer: Carrier,
        inbound: mpsc::Sender<InboundStream>,
    ) -> Self {
        Self {
            shared,
            prefer,
            conns: ConnTable::default(),
            pending: HashMap::new(),
            dialling: HashMap::new(),
            actions: VecDeque::new(),
            inbound,
            next_request: 0,
            waker: None,
        }
    }

    fn roles(&self) -> &Roles {
        &self.shared.roles
    }

    /// Opens a stream, dialling first if there is no connection. `reply` always gets an answer,
    /// unless its receiver is dropped.
    pub(crate) fn open(
        &mut self,
        peer: PeerId,
        addrs: &[Multiaddr],
        protocol: Protocol,
        reply: Reply,
    ) {
        let Some(node) = node_id(&peer) else { return };
        if self.roles().get(&peer, now_s()).is_none() {
            let _ = reply.send(Err(NetError::NotAllowed(node)));
            return;
        }
        if self.pending.values().filter(|p| p.peer == peer).count() >= PENDING_PER_PEER_MAX {
            let _ = reply.send(Err(NetError::Busy(node)));
            return;
        }
        let request = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        let on = self.conns.best(&peer, self.prefer).map(|c| c.id);
        self.pending.insert(
            request,
            PendingOpen {
                peer,
                protocol,
                reply,
                on,
            },
        );
        match on {
            Some(conn) => self.negotiate(peer, conn, request, protocol),
            None if self.dial(peer, addrs) => {}
            None => self.fail_waiting(&peer, &NetError::NoAddress(node)),
        }
    }

    /// Makes sure that the peer is connected or being dialled; `false` without an address.
    pub(crate) fn dial(&mut self, peer: PeerId, addrs: &[Multiaddr]) -> bool {
        if self.conns.is_connected(&peer) {
            return true;
        }
        let mut plan = DialPlan::new(&peer, addrs, self.prefer);
        if let Some(running) = self.dialling.get_mut(&peer) {
            running.plan.append(plan);
            return true;
        }
        let Some(stage) = plan.next_stage() else {
            return false;
        };
        let attempt = self.dial_stage(peer, stage.clone());
        let dialling = Dialling {
            attempt,
            stage,
            plan,
            reasons: Vec::new(),
        };
        self.dialling.insert(peer, dialling);
        true
    }

    /// Whether the peer is connected or being dialled.
    pub(crate) fn is_busy_with(&self, peer: &PeerId) -> bool {
        self.conns.is_connected(peer) || self.dialling.contains_key(peer)
    }

    /// Forgets requests nobody waits for any more.
    pub(crate) fn purge(&mut self) {
        self.pending.retain(|_, p| !p.reply.is_closed());
    }

    fn dial_stage(&mut self, peer: PeerId, stage: Vec<Multiaddr>) -> ConnectionId {
        // `Always`: that no second dial runs is this table's business, and a condition that turns
        // out false would be one more way to get no answer.
        let opts = DialOpts::peer_id(peer)
            .addresses(stage)
            .condition(PeerCondition::Always)
            .build();
        let attempt = opts.connection_id();
        self.act(ToSwarm::Dial { opts });
        attempt
    }

    fn negotiate(
        &mut self,
        peer: PeerId,
        conn: ConnectionId,
        request: RequestId,
        protocol: Protocol,
    ) {
        self.act(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(conn),
            event: OpenStream { request, protocol },
        });
    }

    fn act(&mut self, action: ToSwarm<Infallible, OpenStream>) {
        self.actions.push_back(action);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn on_established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(node) = node_id(&peer) else { return };
        let remote = remote_of(endpoint).clone();
        let path = self.shared.next_path();
        let conn = ConnInfo {
            id,
            path,
            node,
            relayed: endpoint.is_relayed(),
            transport: transport_of(&remote),
            outbound: endpoint.is_dialer(),
            remote,
        };
        let is_first = !self.conns.is_connected(&peer);
        self.conns.add(peer, conn);
        self.dialling.remove(&peer);
        self.publish(match is_first {
            true => PathEvent::Connected(node),
            false => PathEvent::Moved(node),
        });
        let waiting: Vec<(RequestId, Protocol)> = self
            .pending
            .iter_mut()
            .filter(|(_, p)| p.peer == peer && p.on.is_none())
            .map(|(request, p)| {
                p.on = Some(id);
                (*request, p.protocol)
            })
            .collect();
        for (request, protocol) in waiting {
            self.negotiate(peer, id, request, protocol);
        }
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(node) = node_id(&peer) else { return };
        // One that another behaviour turned down was never here.
        if self.conns.get(&peer, id).is_none() {
            return;
        }
        let last = self.conns.remove(&peer, id);
        self.fail_where(|p| p.on == Some(id), &NetError::Closed(node));
        self.publish(match last {
            true => PathEvent::Gone(node),
            false => PathEvent::Moved(node),
        });
    }

    fn on_dial_failure(&mut self, peer: PeerId, attempt: ConnectionId, error: &DialError) {
        let Some(dialling) = self.dialling.get_mut(&peer) else {
            return;
        };
        if dialling.attempt != attempt {
            return;
        }
        dialling.reasons.push(error.to_string());
        // A wrong peer at one address ends the whole dial: the others have not had their turn.
        if let DialError::WrongPeerId { address, .. } | DialError::LocalPeerId { address } = error {
            let others = without(&dialling.stage, &peer, address);
            if others.len() < dialling.stage.len() {
                dialling.plan.retry(others);
            }
        }
        if let Some(stage) = dialling.plan.next_stage() {
            let attempt = self.dial_stage(peer, stage.clone());
            if let Some(dialling) = self.dialling.get_mut(&peer) {
                (dialling.attempt, dialling.stage) = (attempt, stage);
            }
            return;
        }
        let reason = dialling.reasons.join("; ");
        self.dialling.remove(&peer);
        let Some(node) = node_id(&peer) else { return };
        self.fail_waiting(&peer, &NetError::Unreachable { node, reason });
    }

    fn on_opened(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        request: RequestId,
        result: Result<Stream, OpenFailure>,
    ) {
        let Some(node) = node_id(&peer) else { return };
        if matches!(result, Err(OpenFailure::Timeout)) {
            // A connection that negotiates nothing in this time is dead: do not wait for the ping.
            self.act(ToSwarm::CloseConnection {
                peer_id: peer,
                connection: CloseConnection::One(id),
            });
        }
        // A missing entry was purged: its caller has had its timeout.
        let Some(open) = self.pending.remove(&request) else {
            return;
        };
        let outcome = match (result, self.conns.get(&peer, id)) {
            (Ok(stream), Some(conn)) => Ok(OutboundStream {
                conn: conn.clone(),
                stream: stream.compat(),
            }),
            (Err(OpenFailure::Refused), _) => Err(NetError::Refused {
                node,
                protocol: open.protocol.name(),
            }),
            (Err(OpenFailure::Timeout), _) => Err(NetError::Timeout(node)),
            (Ok(_) | Err(OpenFailure::Broken), _) => Err(NetError::Closed(node)),
        };
        let _ = open.reply.send(outcome);
    }

    fn on_inbound(&self, peer: PeerId, id: ConnectionId, protocol: Protocol, stream: Stream) {
        let role = self
            .roles()
            .get(&peer, now_s())
            .filter(|role| may_open(*role, protocol));
        let (Some(role), Some(conn)) = (role, self.conns.get(&peer, id)) else {
            self.shared.counters.refused_stream();
            return;
        };
        let arrived = InboundStream {
            peer: conn.node,
            role,
            protocol,
            conn: conn.clone(),
            stream: stream.compat(),
        };
        // Dropping the stream resets it, so the peer learns at once.
        if self.inbound.try_send(arrived).is_err() {
            self.shared.counters.dropped_stream();
        }
    }

    fn fail_waiting(&mut self, peer: &PeerId, error: &NetError) {
        self.fail_where(|p| p.peer == *peer && p.on.is_none(), error);
    }

    fn fail_where(&mut self, is_hit: impl Fn(&PendingOpen) -> bool, error: &NetError) {
        for (_, open) in self.pending.extract_if(|_, p| is_hit(p)) {
            let _ = open.reply.send(Err(error.clone()));
        }
    }

    fn publish(&self, event: PathEvent) {
        self.shared.set_conns(self.conns.all());
        self.shared.notify(event);
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, self.roles().clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, self.roles().clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => self.on_established(peer_id, connection_id, endpoint),
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => {
                self.on_closed(peer_id, connection_id);
            }
            // Every kind of failure counts: whoever waits must get an answer.
            FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer),
                error,
                connection_id,
            }) => {
                self.on_dial_failure(peer, connection_id, error);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            HandlerOut::Opened { request, result } => self.on_opened(peer, id, request, result),
            HandlerOut::Inbound { protocol, stream } => {
                self.on_inbound(peer, id, protocol, stream);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        if let Some(action) = self.actions.pop_front() {
            return Poll::Ready(action);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
