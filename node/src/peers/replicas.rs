//! Other hosts of the owners served here: who they are by the owners' orders, and where they may be
//! found.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::limits::PEER_ADDRS_MAX;
use packnback_proto::text::is_address;
use packnback_proto::wire::Role;
use tokio::sync::watch;

use super::rows::{self, Friend, HINT, Hint};
use super::table::PeerTable;
use crate::net::{canonical, reach_of};
use crate::ports::{Failure, Reach};

/// Most hosts of others that are admitted.
const REPLICAS_MAX: usize = 4096;
/// Of these, most that one owner brings.
const REPLICAS_PER_OWNER: usize = 32;

/// Addresses that are worth a try from here: bounded in number and length, and none that reaches
/// less far than the connection over which it was told. From elsewhere it would lead to a stranger
/// in our own network, or to ourselves.
fn fit(addrs: &[String], told_over: Reach) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in addrs.iter().take(4 * PEER_ADDRS_MAX) {
        let usable = is_address(text) && canonical(text).is_some() && reach_of(text) >= told_over;
        if usable && !kept.contains(text) && kept.len() < PEER_ADDRS_MAX {
            kept.push(text.clone());
        }
    }
    kept
}

/// `first`, then what of `then` is new, together no more than are kept.
pub(super) fn merge(first: Vec<String>, then: &[String]) -> Vec<String> {
    let mut all = first;
    for addr in then {
        if all.len() < PEER_ADDRS_MAX && !all.contains(addr) {
            all.push(addr.clone());
        }
    }
    all
}

impl PeerTable {
    /// These are the hosts that the owners served here listed, from now on. Admits the new ones in the
    /// role of a replica, unless they have another role already; each counts for the owner that listed
    /// it first. Owners without a friend here bring nobody, but for `own`. Returns those who are
    /// strangers now: their connections are to be closed.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn set_replicas(
        &self,
        lists: &[(OwnerId, Vec<NodeId>)],
        own: Option<OwnerId>,
    ) -> Result<Vec<NodeId>, Failure> {
        let _one = self.writer.lock();
        let new = self.listed(lists, own);
        let old = self.rows.read().replicas.clone();
        let stale = self.stale_hints(&new);
        if !stale.is_empty() {
            let changes = stale.iter().map(|node| rows::delete(HINT, node));
            self.state.apply(changes.collect())?;
        }
        let mut rows = self.rows.write();
        rows.hints.retain(|node, _| !stale.contains(node));
        let unlisted = rows.hints.keys().filter(|node| !new.contains_key(node));
        rows.unlisted = unlisted.copied().collect();
        rows.replicas.clone_from(&new);
        drop(rows);
        for (node, owner) in &new {
            if old.get(node) == Some(owner) {
                continue;
            }
            // An owner may list anything, so one bad id must not keep the others out.
            if let Err(error) = self.readmit(node) {
                tracing::debug!(?node, %error, "an owner lists a host that cannot exist");
            }
        }
        let mut gone = Vec::new();
        for node in old.into_keys().filter(|node| !new.contains_key(node)) {
            match self.role_of(&node) {
                Some(Role::Friend) => {}
                Some(_) => self.regate(&node)?,
                None => {
                    self.gate.withdraw(node);
                    gone.push(node);
                }
            }
        }
        Ok(gone)
    }

    /// Who listed whom: for each owner a bounded number, for each node one owner, the one that it
    /// counted for before if that still lists it.
    fn listed(
        &self,
        lists: &[(OwnerId, Vec<NodeId>)],
        own: Option<OwnerId>,
    ) -> BTreeMap<NodeId, OwnerId> {
        let rows = self.rows.read();
        let mut new: BTreeMap<NodeId, OwnerId> = BTreeMap::new();
        for (owner, hosts) in lists {
            if own != Some(*owner) && !rows.has_friend_of(owner) {
                continue;
            }
            let hosts = hosts.iter().filter(|node| **node != self.me);
            for node in hosts.take(REPLICAS_PER_OWNER) {
                let before = rows.replicas.get(node) == Some(owner);
                if before || (!new.contains_key(node) && new.len() < REPLICAS_MAX) {
                    new.insert(*node, *owner);
                }
            }
        }
        new
    }

    /// Hints of nodes that are listed no more. A hint may come just before the list that names its node
    /// has been read, so a node that was never listed is given one more look.
    fn stale_hints(&self, new: &BTreeMap<NodeId, OwnerId>) -> BTreeSet<NodeId> {
        let rows = self.rows.read();
        let unlisted = rows.hints.keys().filter(|node| !new.contains_key(node));
        let stale = unlisted
            .filter(|node| rows.replicas.contains_key(node) || rows.unlisted.contains(node));
        stale.copied().collect()
    }

    /// Everything known about where a node can be dialled.
    #[must_use]
    pub fn addrs_of(&self, node: &NodeId) -> Vec<String> {
        let rows = self.rows.read();
        let friend = rows.friends.get(node).map(|friend| friend.addrs.clone());
        let hints = rows.hints.get(node).map_or(&[][..], Vec::as_slice);
        merge(friend.unwrap_or_default(), hints)
    }

    /// Bytes that all friends of this owner may store here together.
    #[must_use]
    pub fn offered_to(&self, owner: &OwnerId) -> u64 {
        let rows = self.rows.read();
        let friends = rows.friends.values();
        friends
            .filter(|friend| friend.owner.as_ref() == Some(owner))
            .fold(0, |sum, friend| sum.saturating_add(friend.quota_given))
    }

    /// See [`PeerBook::learn_addrs`](crate::ports::PeerBook::learn_addrs).
    pub(super) fn learn(
        &self,
        node: &NodeId,
        addrs: &[String],
        own: bool,
        told_over: Reach,
    ) -> Result<(), Failure> {
        let fit = fit(addrs, told_over);
        if fit.is_empty() || *node == self.me {
            return Ok(());
        }
        // Where it was found before stays behind what is new: it may come back there.
        let moved = |friend: Friend| Friend {
            addrs: merge(fit.clone(), &friend.addrs),
            fresh: fit.len(),
            ..friend
        };
        if own && self.change_friend(node, moved)?.is_some() {
            return Ok(());
        }
        let _one = self.writer.lock();
        let told = {
            let rows = self.rows.read();
            let known = rows.hints.get(node);
            // Of itself a node tells only once it is listed: whoever is not has no business here.
            let is_stranger = own && !rows.replicas.contains_key(node);
            if is_stranger || (known.is_none() && rows.hints.len() >= REPLICAS_MAX) {
                return Ok(());
            }
            let all = merge(fit, known.map_or(&[][..], Vec::as_slice));
            if known == Some(&all) {
                return Ok(());
            }
            all
        };
        let hint = Hint { addrs: told };
        self.state.apply(vec![rows::put(HINT, node, &hint)?])?;
        self.rows.write().hints.insert(*node, hint.addrs);
        Ok(())
    }

    /// Changes whenever an order came in.
    #[must_use]
    pub fn orders(&self) -> watch::Receiver<u64> {
        self.orders.subscribe()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use packnback_proto::crypto::secret::Secret32;
    use packnback_proto::crypto::sign::SigningKey;
    use parking_lot::Mutex;

    use super::super::{Gate, MemoryState};
    use super::*;
    use crate::ports::{NetError, PeerBook as _, SystemClock};

    #[derive(Default)]
    struct FakeGate(Mutex<BTreeMap<NodeId, Role>>);

    impl Gate for FakeGate {
        fn admit(&self, node: NodeId, role: Role, _: Option<u64>) -> Result<(), NetError> {
            if node.0 == [0xff; 32] {
                return Err(NetError::BadKey("no key".to_owned()));
            }
            self.0.lock().insert(node, role);
            Ok(())
        }

        fn withdraw(&self, node: NodeId) {
            self.0.lock().remove(&node);
        }
    }

    fn node(n: u8) -> NodeId {
        SigningKey::from_seed(&Secret32::new([n; 32])).node_id()
    }

    fn friend(addr: &str) -> Friend {
        Friend {
            name: String::new(),
            addrs: vec![addr.to_owned()],
            quota_given: 10,
            quota_taken: 20,
            ..Friend::default()
        }
    }

    struct World {
        table: PeerTable,
        gate: Arc<FakeGate>,
        state: Arc<MemoryState>,
    }

    fn open(state: Arc<MemoryState>) -> World {
        let gate = Arc::new(FakeGate::default());
        let table =
            PeerTable::open(node(1), state.clone(), gate.clone(), Arc::new(SystemClock)).unwrap();
        World { table, gate, state }
    }

    fn set(world: &World, nodes: &[NodeId]) -> Vec<NodeId> {
        let owner = OwnerId([9; 32]);
        let lists = [(owner, nodes.to_vec())];
        let gone = world.table.set_replicas(&lists, Some(owner));
        let mut gone = gone.unwrap();
        gone.sort();
        gone
    }

    #[test]
    fn who_is_listed_is_admitted_and_who_no_longer_is_goes() {
        let world = open(Arc::default());
        world
            .table
            .put_friend(node(2), friend("/ip4/192.0.2.1/tcp/1"))
            .unwrap();
        let impossible = NodeId([0xff; 32]);
        let all = [node(1), node(2), node(3), node(4), impossible];
        assert!(set(&world, &all).is_empty());
        let role = |n| world.gate.0.lock().get(&node(n)).copied();
        // Not this node; a friend stays a friend; one bad id keeps nobody out.
        assert_eq!(role(1), None);
        assert_eq!(role(2), Some(Role::Friend));
        assert_eq!(
            (role(3), role(4)),
            (Some(Role::Replica), Some(Role::Replica))
        );
        assert_eq!(
            world.table.standing(&node(3)).map(|s| (s.role, s.quota)),
            Some((Role::Replica, 0))
        );
        assert_eq!(set(&world, &[node(2), node(4)]), [node(3), impossible]);
        assert_eq!(role(3), None);
        assert_eq!(world.table.standing(&node(3)), None);
        // A friendship that ends leaves what the owners' lists give, and the other way round.
        world.table.remove_friend(&node(2)).unwrap();
        assert_eq!(role(2), Some(Role::Replica));
        world
            .table
            .put_friend(node(4), friend("/ip4/192.0.2.1/tcp/1"))
            .unwrap();
        assert_eq!(role(4), Some(Role::Friend));
        // It was a friend once: that is all it can be told now.
        assert_eq!(set(&world, &[]), []);
        assert_eq!((role(2), role(4)), (Some(Role::Former), Some(Role::Friend)));
    }

    #[test]
    fn hints_are_kept_as_long_as_their_node_is_listed() {
        let world = open(Arc::default());
        let far = "/ip4/203.0.113.1/tcp/1".to_owned();
        let near = "/ip4/192.168.1.1/tcp/1".to_owned();
        let here = "/ip4/127.0.0.1/tcp/1".to_owned();
        let junk = ["x".to_owned(), "/ip4/203.0.113.1/tcp/".repeat(40)];
        let told: Vec<_> = [&[far.clone(), near.clone(), here.clone()], &junk[..]].concat();
        let learn = |n, over| world.table.learn(&node(n), &told, false, over).unwrap();
        set(&world, &[node(3), node(5)]);
        learn(3, Reach::Public);
        assert_eq!(world.table.addrs_of(&node(3)), std::slice::from_ref(&far));
        learn(3, Reach::Private);
        assert_eq!(world.table.addrs_of(&node(3)), [far.clone(), near.clone()]);
        learn(3, Reach::Loopback);
        assert_eq!(world.table.addrs_of(&node(3)).len(), 3);
        learn(5, Reach::Public);
        let world = open(world.state.clone());
        set(&world, &[node(3), node(5)]);
        assert_eq!(world.table.addrs_of(&node(3)).len(), 3);
        set(&world, &[node(5)]);
        assert!(world.table.addrs_of(&node(3)).is_empty());
        let world = open(world.state.clone());
        assert!(world.table.addrs_of(&node(3)).is_empty());
        assert_eq!(world.table.addrs_of(&node(5)), [far]);
    }

    #[test]
    fn a_friend_that_moved_is_found_at_its_new_place() {
        let world = open(Arc::default());
        let (old, new) = ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1");
        world.table.put_friend(node(2), friend(old)).unwrap();
        let told = [new.to_owned()];
        world
            .table
            .learn(&node(2), &told, true, Reach::Public)
            .unwrap();
        assert_eq!(world.table.friend(&node(2)).unwrap().addrs, [new, old]);
        // Others cannot move it, and nobody adds himself.
        let elsewhere = ["/ip4/192.0.2.9/tcp/1".to_owned()];
        let learn = |n, own| world.table.learn(&node(n), &elsewhere, own, Reach::Public);
        learn(2, false).unwrap();
        assert_eq!(world.table.friend(&node(2)).unwrap().addrs, [new, old]);
        learn(6, true).unwrap();
        assert!(world.table.addrs_of(&node(6)).is_empty());
        // A host on an owner's list says where it is itself, and that comes first.
        set(&world, &[node(6)]);
        learn(6, false).unwrap();
        let moved = ["/ip4/192.0.2.10/tcp/1".to_owned()];
        world
            .table
            .learn(&node(6), &moved, true, Reach::Public)
            .unwrap();
        let both = [moved.clone(), elsewhere.clone()].concat();
        assert_eq!(world.table.addrs_of(&node(6)), both);
        // However often it moves, the list stays short.
        for n in 0..40 {
            let told = [format!("/ip4/198.51.100.{n}/tcp/1")];
            world
                .table
                .learn(&node(2), &told, true, Reach::Public)
                .unwrap();
        }
        let addrs = world.table.friend(&node(2)).unwrap().addrs;
        assert_eq!(addrs.len(), PEER_ADDRS_MAX);
        assert_eq!(addrs[0], "/ip4/198.51.100.39/tcp/1");
    }
}
