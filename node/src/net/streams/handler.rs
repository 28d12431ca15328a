//! One connection's share of the stream behaviour: negotiates streams and passes them on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, StreamUpgradeError,
    SubstreamProtocol,
};
use packnback_proto::wire::Role;

use super::RequestId;
use crate::net::clock::now_s;
use crate::net::roles::Roles;
use crate::net::types::stream_protocol;
use crate::ports::Protocol;

/// Longest negotiation of one stream on a live connection: a few round trips.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);

/// From the behaviour: open a stream.
#[derive(Debug)]
pub(crate) struct OpenStream {
    pub(super) request: RequestId,
    pub(super) protocol: Protocol,
}

/// Why a stream could not be opened on this connection.
#[derive(Debug)]
pub(crate) enum OpenFailure {
    /// The peer does not offer the protocol to us.
    Refused,
    /// No answer.
    Timeout,
    /// The connection broke.
    Broken,
}

/// To the behaviour.
#[derive(Debug)]
pub(crate) enum HandlerOut {
    Opened {
        request: RequestId,
        result: Result<Stream, OpenFailure>,
    },
    Inbound {
        protocol: Protocol,
        stream: Stream,
    },
}

/// Offers, or asks for, a set of protocols and hands the raw stream over.
#[derive(Debug, Clone)]
pub(crate) struct Offer(Vec<Protocol>);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0
            .iter()
            .map(|p| stream_protocol(*p))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, info: StreamProtocol) -> Self::Future {
        ready(Ok((stream, info)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

/// State of one connection. Both queues are bounded: `to_open` by the behaviour's limit of pending
/// opens per peer, `out` by the multiplexer's limit of streams per connection.
pub(crate) struct Handler {
    peer: PeerId,
    roles: Roles,
    to_open: VecDeque<OpenStream>,
    out: VecDeque<HandlerOut>,
}

impl Handler {
    pub(super) fn new(peer: PeerId, roles: Roles) -> Self {
        Self {
            peer,
            roles,
            to_open: VecDeque::new(),
            out: VecDeque::new(),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenStream;
    type ToBehaviour = HandlerOut;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = RequestId;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        let now = now_s();
        let offered = |p: &Protocol| self.roles.permits(&self.peer, *p, now);
        SubstreamProtocol::new(
            Offer(Protocol::ALL.into_iter().filter(offered).collect()),
            (),
        )
        .with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        self.roles.get(&self.peer, now_s()) == Some(Role::Friend)
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offer, RequestId, HandlerOut>> {
        if let Some(event) = self.out.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if let Some(open) = self.to_open.pop_front() {
            let protocol = SubstreamProtocol::new(Offer(vec![open.protocol]), open.request)
                .with_timeout(NEGOTIATION_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        // Both queues are filled only from `on_*_event`, after which the connection polls again.
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, open: OpenStream) {
        self.to_open.push_back(open);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), RequestId>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, name),
                ..
            }) => {
                if let Some(protocol) = Protocol::ALL
                    .into_iter()
                    .find(|p| stream_protocol(*p) == name)
                {
                    self.out.push_back(HandlerOut::Inbound { protocol, stream });
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: request,
            }) => self.out.push_back(HandlerOut::Opened {
                request,
                result: Ok(stream),
            }),
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                info: request,
                error,
            }) => {
                let failure = match error {
                    StreamUpgradeError::Timeout => OpenFailure::Timeout,
                    StreamUpgradeError::NegotiationFailed => OpenFailure::Refused,
                    StreamUpgradeError::Io(_) => OpenFailure::Broken,
                    StreamUpgradeError::Apply(never) => libp2p::core::util::unreachable(never),
                };
                self.out.push_back(HandlerOut::Opened {
                    request,
                    result: Err(failure),
                });
            }
            _ => {}
        }
    }
}
