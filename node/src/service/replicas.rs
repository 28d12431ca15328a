//! The side of a session that concerns the owner's other hosts.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::limits::AUDIENCE_MAX;
use packnback_proto::machine::replica::{ReplicaFacts, may_replicate};
use packnback_proto::text::Addrs;
use packnback_proto::wire::store::StoreReply;
use packnback_proto::wire::{ErrorCode, Role};

use super::Refusal;
use super::session::{Reply, Session, reply};
use crate::store::StoreError;

impl Session {
    /// Whether the peer may copy what is here of this owner, by the owner's list as it is now.
    pub(super) async fn may_copy(&self, owner: OwnerId) -> Result<(), Refusal> {
        let peer = self.peer;
        // Roles add up: a host that is listed copies as one, whatever else it is here.
        let role = match self.host.peers.has_role(&peer, Role::Replica) {
            true => Some(Role::Replica),
            false => self.host.peers.standing(&peer).map(|s| s.role),
        };
        let now = self.host.clock.now();
        self.work(owner, move |store| {
            let row = store.hosts(&owner)?;
            may_replicate(ReplicaFacts {
                peer,
                role,
                served: store.serves(&owner)?,
                listed: row.as_ref().map(|row| row.hosts.as_slice()),
                dropped: store.is_being_dropped(&owner, now)?,
            })
            .map_err(StoreError::from)
        })
        .await
    }

    /// A device of the owner says where the owner's hosts are. What it says of others is dropped.
    pub(super) async fn host_addrs(&self, owner: OwnerId, hosts: Vec<(NodeId, Addrs)>) -> Reply {
        if hosts.len() > AUDIENCE_MAX {
            let message = format!("addresses of more than {AUDIENCE_MAX} hosts at once");
            return Err(Refusal::new(ErrorCode::Protocol, message));
        }
        let row = self.work(owner, move |store| store.hosts(&owner)).await?;
        let listed = row.map_or(Vec::new(), |row| row.hosts);
        for (node, addrs) in &hosts {
            let own = *node == self.peer;
            if own || listed.contains(node) {
                self.host.peers.learn_addrs(node, addrs, own, self.over)?;
            }
        }
        self.host.peers.orders_changed();
        reply(StoreReply::Ok)
    }
}
