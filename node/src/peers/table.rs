//! The table of friends, invites and recovery keys. Every change is durable before it takes effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::wire::{ErrorCode, Role};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::contacts::{Contact, Contacts};
use super::invite::{
    Claim, ClaimContext, ClaimRefusal, INVITE_LIFETIME_MAX_S, Verdict, befriended, clean_name,
    decide_claim,
};
use super::recovery::RecoveryKeys;
use super::rows::{self, FAREWELL, Friend, HINT, Hint, INVITE, Invite, PEER, RECOVERY, SEEN};
use super::state::StatePort;
use crate::ports::{Clock, Failure, Gate, NetError, Sponsor};

/// Most friends.
const FRIENDS_MAX: usize = 256;
/// Most invites waiting to be taken up.
const INVITES_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Rows {
    pub(super) friends: BTreeMap<NodeId, Friend>,
    invites: BTreeMap<NodeId, Invite>,
    pub(super) recovery: RecoveryKeys,
    /// Other hosts of the owners served here, and who listed them. Not stored: the owners' orders are.
    pub(super) replicas: BTreeMap<NodeId, OwnerId>,
    /// Where they may be found.
    pub(super) hints: BTreeMap<NodeId, Vec<String>>,
    /// Hints of nodes that nobody listed when it was last looked: they go if that is so once more.
    pub(super) unlisted: BTreeSet<NodeId>,
    /// Removed friends that are still to be told, and until when.
    pub(super) farewells: BTreeMap<NodeId, u64>,
}

impl Rows {
    /// Whether one of the friends is a device of this owner.
    pub(super) fn has_friend_of(&self, owner: &OwnerId) -> bool {
        let mut friends = self.friends.values();
        friends.any(|friend| friend.owner.as_ref() == Some(owner))
    }
}

/// An invite to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewInvite<'a> {
    /// Whoever holds this key may take it up.
    pub guest: NodeId,
    /// Name to show for the new friend; may be empty.
    pub name: &'a str,
    /// Bytes offered.
    pub quota: u64,
    /// Nobody asked for that quota: a friend keeps what it has.
    pub is_usual: bool,
    /// Seconds until it is void.
    pub lifetime_s: u64,
}

/// What a successful claim gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The guest key of the invite, of no use any more.
    pub guest: NodeId,
    /// Bytes we store for the new friend.
    pub quota: u64,
}

/// See the module.
pub struct PeerTable {
    pub(super) me: NodeId,
    pub(super) state: Arc<dyn StatePort>,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rows: RwLock<Rows>,
    pub(super) contacts: RwLock<Contacts>,
    /// One writer at a time, from decision to stored row.
    pub(super) writer: Mutex<()>,
    pub(super) changed: watch::Sender<u64>,
    /// Counts orders that came in.
    pub(super) orders: watch::Sender<u64>,
}

impl PeerTable {
    /// Reads the table and admits everybody in it.
    ///
    /// # Errors
    /// If the disk failed or a row is damaged.
    pub fn open(
        me: NodeId,
        state: Arc<dyn StatePort>,
        gate: Arc<dyn Gate>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let mut rows = Rows::default();
        for row in state.rows(PEER)? {
            let (node, friend) = rows::parse::<Friend>(PEER, &row.0, &row.1)?;
            gate.admit(node, Role::Friend, None).map_err(bad_key)?;
            rows.friends.insert(node, friend);
        }
        for row in state.rows(INVITE)? {
            let (guest, invite) = rows::parse::<Invite>(INVITE, &row.0, &row.1)?;
            if invite.used_by.is_none() {
                gate.admit(guest, Role::Guest, Some(invite.expires))
                    .map_err(bad_key)?;
            }
            rows.invites.insert(guest, invite);
        }
        for row in state.rows(RECOVERY)? {
            let (owner, node, recovery) = rows::parse_recovery(&row.0, &row.1)?;
            if !rows.friends.contains_key(&node) {
                gate.admit(node, Role::Recovery, None).map_err(bad_key)?;
                gate.sponsor(node, Sponsor::Owner(owner));
            }
            rows.recovery.insert(owner, node, recovery.issued);
        }
        for row in state.rows(HINT)? {
            let (node, hint) = rows::parse::<Hint>(HINT, &row.0, &row.1)?;
            rows.hints.insert(node, hint.addrs);
        }
        let mut contacts = Contacts::default();
        for row in state.rows(SEEN)? {
            let (node, contact) = rows::parse::<Contact>(SEEN, &row.0, &row.1)?;
            contacts.load(node, contact);
        }
        let table = Self {
            me,
            state,
            gate,
            clock,
            rows: RwLock::new(rows),
            contacts: RwLock::new(contacts),
            writer: Mutex::default(),
            changed: watch::Sender::default(),
            orders: watch::Sender::default(),
        };
        table.open_farewells(table.clock.now())?;
        Ok(table)
    }

    /// All friends, in the order of their ids.
    #[must_use]
    pub fn friends(&self) -> Vec<(NodeId, Friend)> {
        let rows = self.rows.read();
        rows.friends.iter().map(|(n, f)| (*n, f.clone())).collect()
    }

    /// One friend.
    #[must_use]
    pub fn friend(&self, node: &NodeId) -> Option<Friend> {
        self.rows.read().friends.get(node).cloned()
    }

    /// Changes whenever a friend came, went or changed.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Makes an invite; returns when it expires.
    ///
    /// # Errors
    /// Too many open invites, or the disk failed.
    pub fn add_invite(&self, new: NewInvite<'_>, now: u64) -> Result<u64, Failure> {
        let guest = new.guest;
        let _one = self.writer.lock();
        let expired = self.expired_invites(now);
        let open = self
            .rows
            .read()
            .invites
            .values()
            .filter(|i| i.used_by.is_none())
            .count();
        if open.saturating_sub(expired.len()) >= INVITES_MAX {
            return Err(Failure::new(
                ErrorCode::Invite,
                format!("{INVITES_MAX} invites are open already"),
            )
            .safe("nothing was changed")
            .next("wait until some are used or expire"));
        }
        let expires = now.saturating_add(new.lifetime_s.min(INVITE_LIFETIME_MAX_S));
        let invite = Invite {
            name: clean_name(new.name),
            quota: new.quota,
            expires,
            used_by: None,
            is_usual: new.is_usual,
        };
        let mut changes = vec![rows::put(INVITE, &guest, &invite)?];
        changes.extend(expired.iter().map(|guest| rows::delete(INVITE, guest)));
        self.state.apply(changes)?;
        let mut table = self.rows.write();
        for guest in &expired {
            table.invites.remove(guest);
        }
        table.invites.insert(guest, invite);
        self.gate
            .admit(guest, Role::Guest, Some(expires))
            .map_err(bad_key)?;
        Ok(expires)
    }

    fn expired_invites(&self, now: u64) -> Vec<NodeId> {
        let rows = self.rows.read();
        let expired = rows
            .invites
            .iter()
            .filter(|(_, i)| i.used_by.is_none() && now >= i.expires);
        expired.map(|(guest, _)| *guest).collect()
    }

    /// Takes up an invite: in one write the invite is used and its claimant a friend.
    ///
    /// # Errors
    /// Outer: the disk failed. Inner: the claim was refused and nothing changed.
    pub fn claim(
        &self,
        claim: &Claim,
        context: &ClaimContext<'_>,
    ) -> Result<Result<Accepted, ClaimRefusal>, Failure> {
        let _one = self.writer.lock();
        let Some((guest, invite)) = self.invite_for(context.peer) else {
            return Ok(Err(ClaimRefusal::Unknown));
        };
        let verdict = match decide_claim(&guest, &invite, claim, context) {
            Ok(verdict) => verdict,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let known = self.friend(&claim.real);
        let kept = known
            .as_ref()
            .filter(|_| invite.is_usual || verdict == Verdict::Again);
        let accepted = Accepted {
            guest,
            quota: kept.map_or(invite.quota, |friend| friend.quota_given),
        };
        if verdict == Verdict::Again {
            return Ok(Ok(accepted));
        }
        let friend = befriended(&invite, claim, known, accepted.quota, context.now);
        let used = Invite {
            used_by: Some(claim.real),
            ..invite
        };
        self.state.apply(vec![
            rows::put(PEER, &claim.real, &friend)?,
            rows::put(INVITE, &guest, &used)?,
            rows::delete(FAREWELL, &claim.real),
        ])?;
        let mut table = self.rows.write();
        table.farewells.remove(&claim.real);
        table.invites.insert(guest, used);
        table.friends.insert(claim.real, friend);
        drop(table);
        self.gate
            .admit(claim.real, Role::Friend, None)
            .map_err(bad_key)?;
        self.gate.withdraw(guest);
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
        Ok(Ok(accepted))
    }

    /// The invite a connection can be about: of the guest itself, or used by this real key.
    fn invite_for(&self, peer: &NodeId) -> Option<(NodeId, Invite)> {
        let rows = self.rows.read();
        if let Some(invite) = rows.invites.get(peer) {
            return Some((*peer, invite.clone()));
        }
        let used = rows
            .invites
            .iter()
            .find(|(_, i)| i.used_by.as_ref() == Some(peer));
        used.map(|(guest, invite)| (*guest, invite.clone()))
    }

    /// The guest key of the invite this real key has taken up.
    #[must_use]
    pub fn guest_of(&self, peer: &NodeId) -> Option<NodeId> {
        self.invite_for(peer).map(|(guest, _)| guest)
    }

    /// Adds or changes a friend.
    ///
    /// # Errors
    /// Too many friends, this node itself, or the disk failed.
    pub fn put_friend(&self, node: NodeId, friend: Friend) -> Result<(), Failure> {
        let _one = self.writer.lock();
        let rows = self.rows.read();
        let is_new = !rows.friends.contains_key(&node);
        if node == self.me || (is_new && rows.friends.len() >= FRIENDS_MAX) {
            return Err(
                Failure::new(ErrorCode::Denied, "this node cannot become a friend")
                    .safe("nothing was changed")
                    .next("a node is no friend of itself, and has a limited number of friends"),
            );
        }
        drop(rows);
        self.state.apply(vec![
            rows::put(PEER, &node, &friend)?,
            rows::delete(FAREWELL, &node),
        ])?;
        let mut rows = self.rows.write();
        rows.farewells.remove(&node);
        rows.friends.insert(node, friend);
        drop(rows);
        self.gate.admit(node, Role::Friend, None).map_err(bad_key)?;
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
        Ok(())
    }

    /// Ends a friendship. What is stored for its owner stays. If it was the owner's last friend here, one
    /// recovery key stays as well, the newest, so that the owner can fetch what it has here; all else
    /// that the owner brought goes with it. Until it was told, the node is let in for
    /// that.
    ///
    /// # Errors
    /// Unknown node, or the disk failed.
    pub fn remove_friend(&self, node: &NodeId) -> Result<(), Failure> {
        let _one = self.writer.lock();
        let Some(friend) = self.friend(node) else {
            return Err(
                Failure::new(ErrorCode::NotFound, format!("no friend {}", node.short()))
                    .safe("nothing was changed")
                    .next("the list of friends shows the ids"),
            );
        };
        let mut others = self.friends().into_iter().filter(|(id, _)| id != node);
        let is_last = others.all(|(_, other)| other.owner != friend.owner);
        let owner = friend.owner.filter(|_| is_last);
        let stale = owner.map_or(Vec::new(), |owner| {
            self.rows.read().recovery.all_but(&owner, 1)
        });
        let mut changes = vec![rows::delete(PEER, node), rows::delete(SEEN, node)];
        let farewell = self.farewell(node, self.clock.now())?;
        let until = farewell.map(|(change, until)| {
            changes.push(change);
            until
        });
        if let Some(owner) = &owner {
            changes.extend(stale.iter().map(|key| rows::delete_recovery(owner, key)));
        }
        let brought = self.brought_by(node);
        self.state.apply(changes)?;
        let mut rows = self.rows.write();
        rows.friends.remove(node);
        if let Some(until) = until {
            rows.farewells.insert(*node, until);
        }
        if let Some(owner) = &owner {
            rows.replicas.retain(|_, listed_by| listed_by != owner);
            for key in &stale {
                rows.recovery.remove(owner, key);
            }
        }
        drop(rows);
        for id in brought {
            self.regate(&id)?;
        }
        self.contacts.write().forget(node);
        self.regate(node)?;
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
        Ok(())
    }
}

pub(super) fn bad_key(error: NetError) -> Failure {
    Failure::new(ErrorCode::Protocol, error.to_string()).safe("nothing was stored under this key")
}
