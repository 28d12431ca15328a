//! The behaviours of a node, in the order in which they see a connection.

use std::sync::Arc;
use std::time::Duration;

use libp2p::swarm::NetworkBehaviour;
use libp2p::{connection_limits, identify, ping};
use tokio::sync::mpsc;

use super::gate::Gate;
use super::shared::Shared;
use super::streams::Streams;
use super::types::{InboundStream, NetConfig};

/// Name of the protocol family, and all that strangers' software learns about ours.
const PROTOCOL_FAMILY: &str = "/packnback/1";
/// Addresses change rarely, and a push announces it when they do.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(3600);

/// The first denial ends the matter, so the gate comes first and the streams last.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) gate: Gate,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) streams: Streams,
}

impl Behaviour {
    pub(crate) fn new(
        config: &NetConfig,
        shared: Arc<Shared>,
        inbound: mpsc::Sender<InboundStream>,
    ) -> Self {
        // Four per peer: both sides may dial at once, over both transports. Who waits for its handshake is
        // the door's business; how many come that are no friends, the gate's.
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_outgoing(Some(64))
            .with_max_established_incoming(Some(512))
            .with_max_established(Some(768))
            .with_max_established_per_peer(Some(4));
        let identify = identify::Config::new(PROTOCOL_FAMILY.to_owned(), config.key.public())
            .with_agent_version(PROTOCOL_FAMILY.to_owned())
            .with_interval(IDENTIFY_INTERVAL)
            .with_hide_listen_addrs(true);
        let ping = ping::Config::new()
            .with_interval(config.ping_interval)
            .with_timeout(config.ping_timeout);
        Self {
            gate: Gate::new(shared.roles.clone(), Arc::clone(&shared.counters)),
            limits: connection_limits::Behaviour::new(limits),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            streams: Streams::new(shared, config.prefer, inbound),
        }
    }
}
