//! The allow-list: who may connect, and which protocols a peer may open.
//!
//! One table answers both questions, so that the gate and the role check cannot disagree.

use std::collections::HashMap;
use std::sync::Arc;

use libp2p::PeerId;
use packnback_proto::wire::Role;
use parking_lot::RwLock;

use crate::ports::{Protocol, Sponsor, may_open};

/// One admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Admission {
    role: Role,
    /// Unix seconds after which the peer is a stranger again.
    until: Option<u64>,
}

/// Shared by the gate, the stream handlers and the handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    admitted: Arc<RwLock<HashMap<PeerId, Admission>>>,
    /// Who brought a peer that is no friend.
    sponsors: Arc<RwLock<HashMap<PeerId, Sponsor>>>,
}

impl Roles {
    /// Admits a peer, or changes its role. Returns whether anything changed.
    pub(crate) fn set(&self, peer: PeerId, role: Role, until: Option<u64>) -> bool {
        let new = Admission { role, until };
        self.admitted.write().insert(peer, new) != Some(new)
    }

    /// From now on the peer counts for this sponsor.
    pub(crate) fn set_sponsor(&self, peer: PeerId, sponsor: Sponsor) {
        self.sponsors.write().insert(peer, sponsor);
    }

    /// Who brought a peer, if it does not stand for itself.
    pub(crate) fn sponsor(&self, peer: &PeerId) -> Option<Sponsor> {
        self.sponsors.read().get(peer).copied()
    }

    /// Makes a peer a stranger. Returns whether it was known.
    pub(crate) fn remove(&self, peer: &PeerId) -> bool {
        self.sponsors.write().remove(peer);
        self.admitted.write().remove(peer).is_some()
    }

    /// The role of a peer at a time; `None` for strangers.
    pub(crate) fn get(&self, peer: &PeerId, now_s: u64) -> Option<Role> {
        let admission = *self.admitted.read().get(peer)?;
        match admission.until {
            Some(until) if now_s >= until => None,
            _ => Some(admission.role),
        }
    }

    /// Whether the peer may open this protocol here now.
    pub(crate) fn permits(&self, peer: &PeerId, protocol: Protocol, now_s: u64) -> bool {
        self.get(peer, now_s)
            .is_some_and(|role| may_open(role, protocol))
    }

    /// Drops expired admissions; returns the peers dropped.
    pub(crate) fn expire(&self, now_s: u64) -> Vec<PeerId> {
        let mut gone = Vec::new();
        self.admitted.write().retain(|peer, admission| {
            let stays = admission.until.is_none_or(|until| now_s < until);
            if !stays {
                gone.push(*peer);
            }
            stays
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_ends_at_its_expiry() {
        let (roles, peer) = (Roles::default(), PeerId::random());
        assert_eq!(roles.get(&peer, 0), None);
        roles.set(peer, Role::Guest, Some(100));
        assert_eq!(roles.get(&peer, 99), Some(Role::Guest));
        assert_eq!(roles.get(&peer, 100), None);
        assert!(roles.expire(99).is_empty());
        assert_eq!(roles.expire(100), vec![peer]);
        assert!(!roles.remove(&peer));
    }

    #[test]
    fn roles_open_only_their_protocols() {
        let (roles, peer) = (Roles::default(), PeerId::random());
        assert!(!roles.permits(&peer, Protocol::Store, 0));
        for (role, store, invite, contact) in [
            (Role::Friend, true, true, true),
            (Role::Recovery, true, false, false),
            (Role::Replica, true, false, true),
            (Role::Guest, false, true, false),
            (Role::Infra, false, false, false),
            (Role::Former, false, false, true),
            (Role::Unknown, false, false, false),
        ] {
            roles.set(peer, role, None);
            assert_eq!(roles.permits(&peer, Protocol::Store, 0), store, "{role:?}");
            assert_eq!(
                roles.permits(&peer, Protocol::Invite, 0),
                invite,
                "{role:?}"
            );
            let may = roles.permits(&peer, Protocol::Contact, 0);
            assert_eq!(may, contact, "{role:?}");
        }
    }
}
