//! The table as the storage service sees it: who may do what, and for whom it counts.

use packnback_proto::crypto::sign::can_be_key;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::{ErrorCode, Role};

use super::recovery::KEYS_PER_OWNER;
use super::rows::{self, Friend, PEER, Recovery};
use super::table::{PeerTable, bad_key};
use crate::ports::{Binding, Failure, PeerBook, Reach, Sponsor, Standing};

/// What a binding changes.
struct Plan {
    /// The friend, if it is bound to its owner for the first time.
    bound: Option<Friend>,
    /// Whether the recovery key is new or named by a newer certificate than before.
    keep: bool,
    /// Recovery keys of the owner that make room for it.
    stale: Vec<NodeId>,
}

impl PeerTable {
    /// Decides about a binding. Changes nothing.
    fn plan(&self, peer: &NodeId, binding: &Binding) -> Result<Plan, Failure> {
        let Binding {
            owner,
            recovery,
            issued,
        } = binding;
        let rows = self.rows.read();
        let friend = rows.friends.get(peer).ok_or_else(|| {
            Failure::new(ErrorCode::Denied, "only a friend can be bound to an owner")
        })?;
        let bound = match friend.owner {
            Some(bound) if bound != *owner => {
                return Err(Failure::new(
                    ErrorCode::OtherOwner,
                    "this friend stores for another owner here",
                ));
            }
            Some(_) => None,
            None => Some(Friend {
                owner: Some(*owner),
                ..friend.clone()
            }),
        };
        if *recovery == self.me || !can_be_key(&recovery.0) {
            return Err(Failure::new(
                ErrorCode::Certificate,
                "the recovery key in the certificate can be nobody's",
            ));
        }
        let known = rows.recovery.issued(owner, recovery);
        let is_news = known.is_none_or(|known| known < *issued);
        let keep = is_news && (known.is_some() || rows.recovery.has_room(owner, *issued));
        let stale = if keep && known.is_none() {
            rows.recovery
                .all_but(owner, KEYS_PER_OWNER.saturating_sub(1))
        } else {
            Vec::new()
        };
        Ok(Plan { bound, keep, stale })
    }

    /// Who is here only through this friend: the recovery keys of its owner, and the hosts the owner
    /// listed. Nobody, if the owner has other friends here.
    #[must_use]
    pub fn brought_by(&self, node: &NodeId) -> Vec<NodeId> {
        let rows = self.rows.read();
        let Some(owner) = rows.friends.get(node).and_then(|friend| friend.owner) else {
            return Vec::new();
        };
        let of_owner = rows.friends.values().filter(|f| f.owner == Some(owner));
        if of_owner.count() > 1 {
            return Vec::new();
        }
        let listed = rows.replicas.iter().filter(|(_, by)| **by == owner);
        let listed = listed.map(|(node, _)| *node);
        let all = rows.recovery.of(&owner).chain(listed);
        all.filter(|id| !rows.friends.contains_key(id)).collect()
    }

    /// Whether one of the friends is a device of this owner.
    #[must_use]
    pub fn has_friend_of(&self, owner: &packnback_proto::ids::OwnerId) -> bool {
        self.rows.read().has_friend_of(owner)
    }

    /// Gives a node at the gate the role that is left to it, or none.
    pub(super) fn regate(&self, node: &NodeId) -> Result<(), Failure> {
        self.gate.withdraw(*node);
        self.readmit(node)
    }
}

impl PeerBook for PeerTable {
    fn standing(&self, peer: &NodeId) -> Option<Standing> {
        let rows = self.rows.read();
        if let Some(friend) = rows.friends.get(peer) {
            return Some(Standing {
                role: Role::Friend,
                quota: friend.quota_given,
                owner: friend.owner,
            });
        }
        let role_of = |role, owner| Standing {
            role,
            quota: 0,
            owner: Some(owner),
        };
        let recovery = rows.recovery.owner_of(peer);
        let listed = rows.replicas.get(peer).copied();
        recovery
            .map(|owner| role_of(Role::Recovery, owner))
            .or(listed.map(|owner| role_of(Role::Replica, owner)))
    }

    fn has_role(&self, peer: &NodeId, role: Role) -> bool {
        let rows = self.rows.read();
        match role {
            Role::Friend => rows.friends.contains_key(peer),
            Role::Recovery => rows.recovery.owner_of(peer).is_some(),
            Role::Replica => rows.replicas.contains_key(peer),
            _ => false,
        }
    }

    fn may_bind(&self, peer: &NodeId, binding: &Binding) -> Result<(), Failure> {
        self.plan(peer, binding).map(|_| ())
    }

    fn bind(&self, peer: &NodeId, binding: &Binding) -> Result<(), Failure> {
        let _one = self.writer.lock();
        let plan = self.plan(peer, binding)?;
        let Binding {
            owner,
            recovery,
            issued,
        } = binding;
        let mut changes = Vec::new();
        if let Some(friend) = &plan.bound {
            changes.push(rows::put(PEER, peer, friend)?);
        }
        if plan.keep {
            let row = Recovery { issued: *issued };
            changes.push(rows::put_recovery(owner, recovery, &row)?);
        }
        changes.extend(
            plan.stale
                .iter()
                .map(|key| rows::delete_recovery(owner, key)),
        );
        if changes.is_empty() {
            return Ok(());
        }
        self.state.apply(changes)?;
        let mut rows = self.rows.write();
        if let Some(friend) = plan.bound {
            rows.friends.insert(*peer, friend);
        }
        for key in &plan.stale {
            rows.recovery.remove(owner, key);
        }
        if plan.keep {
            rows.recovery.insert(*owner, *recovery, *issued);
        }
        drop(rows);
        for key in &plan.stale {
            self.regate(key)?;
        }
        if plan.keep {
            self.readmit(recovery)?;
        }
        Ok(())
    }

    fn learn_addrs(
        &self,
        node: &NodeId,
        addrs: &[String],
        own: bool,
        told_over: Reach,
    ) -> Result<(), Failure> {
        self.learn(node, addrs, own, told_over)
    }

    fn orders_changed(&self) {
        self.orders.send_modify(|n| *n = n.wrapping_add(1));
    }
}

impl PeerTable {
    /// Gives a node the role at the gate that it has by the table, if any.
    ///
    /// # Errors
    /// If the id is no public key.
    pub fn readmit(&self, node: &NodeId) -> Result<(), Failure> {
        let Some(standing) = self.standing(node) else {
            // A former friend that is still to be told is let in for that.
            let until = self.rows.read().farewells.get(node).copied();
            return match until {
                Some(_) => self.gate.admit(*node, Role::Former, until).map_err(bad_key),
                None => Ok(()),
            };
        };
        self.gate
            .admit(*node, standing.role, None)
            .map_err(bad_key)?;
        if standing.role != Role::Friend
            && let Some(owner) = standing.owner
        {
            self.gate.sponsor(*node, Sponsor::Owner(owner));
        }
        Ok(())
    }
}
