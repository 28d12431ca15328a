//! The list of known peers, as the storage service needs it.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::wire::Role;

use super::failure::Failure;

/// What another node may do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its role.
    pub role: Role,
    /// Bytes we store for it at most (friends).
    pub quota: u64,
    /// The owner it is bound to: set by the first valid certificate of a friend, or by the
    /// certificate that named this recovery key.
    pub owner: Option<OwnerId>,
}

/// Who brought a peer here. Whatever a peer takes is counted for its sponsor, so that nobody gets more
/// by bringing more identities: not the recovery keys in certificates, which an owner makes as many of
/// as it likes, nor the hosts it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sponsor {
    /// A friend that has shown no certificate yet, or the guest of an invite: it stands for itself.
    Peer(NodeId),
    /// An owner: its devices that are friends here, its recovery keys, the hosts it listed.
    Owner(OwnerId),
}

/// How far an address reaches, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This machine only.
    Loopback,
    /// The local network only.
    Private,
    /// Everywhere.
    Public,
}

/// What a certificate says of who belongs to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The owner.
    pub owner: OwnerId,
    /// The node id of its recovery peer.
    pub recovery: NodeId,
    /// When the certificate was made (the start of its validity), unix seconds: the newest counts.
    pub issued: u64,
}

/// The list of known peers, as the storage service needs it. Implementations are durable: after
/// [`PeerBook::bind`] returned, a crash does not undo it.
pub trait PeerBook: Send + Sync + 'static {
    /// What this peer may do now; `None` = unknown here.
    fn standing(&self, peer: &NodeId) -> Option<Standing>;

    /// Who brought this peer; `None` = unknown here.
    fn sponsor(&self, peer: &NodeId) -> Option<Sponsor> {
        let standing = self.standing(peer)?;
        Some(standing.owner.map_or(Sponsor::Peer(*peer), Sponsor::Owner))
    }

    /// Whether the peer has this role, beside others: roles add up.
    fn has_role(&self, peer: &NodeId, role: Role) -> bool {
        self.standing(peer)
            .is_some_and(|standing| standing.role == role)
    }

    /// Whether [`PeerBook::bind`] would refuse. Changes nothing.
    ///
    /// # Errors
    /// If the peer is no friend, or one of another owner, or the recovery key can be nobody's.
    fn may_bind(&self, _peer: &NodeId, _binding: &Binding) -> Result<(), Failure> {
        Ok(())
    }

    /// A friend presented a valid certificate: bind it to that owner (no effect if bound already)
    /// and admit the owner's recovery key to the network.
    ///
    /// # Errors
    /// If the change could not be made durable.
    fn bind(&self, peer: &NodeId, binding: &Binding) -> Result<(), Failure>;

    /// A device says where a node can be dialled; `own`: it is the node itself. `told_over` is how
    /// the device is connected: addresses that reach less far than that are of no use here. Hints
    /// only, and the caller has checked that the owner listed the node.
    ///
    /// # Errors
    /// If the change could not be made durable.
    fn learn_addrs(
        &self,
        _node: &NodeId,
        _addrs: &[String],
        _own: bool,
        _told_over: Reach,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// An order came in: who may copy from here, and whom this node copies from, may have changed.
    fn orders_changed(&self) {}
}
