//! The recovery keys of all owners served here. Pure.

use std::collections::BTreeMap;

use packnback_proto::ids::{NodeId, OwnerId};

/// Recovery keys kept of one owner: an honest owner has one in its life.
pub(super) const KEYS_PER_OWNER: usize = 2;
/// Owners whose keys are kept: those of friends, and those whose friends have gone.
const OWNERS_MAX: usize = 4096;

/// By owner, then by key: when the newest certificate that named it was made.
#[derive(Debug, Default)]
pub(super) struct RecoveryKeys {
    owners: BTreeMap<OwnerId, BTreeMap<NodeId, u64>>,
}

impl RecoveryKeys {
    /// When the newest certificate of this owner that named this key was made.
    pub(super) fn issued(&self, owner: &OwnerId, key: &NodeId) -> Option<u64> {
        self.owners.get(owner)?.get(key).copied()
    }

    /// The keys of an owner.
    pub(super) fn of(&self, owner: &OwnerId) -> impl Iterator<Item = NodeId> {
        let keys = self.owners.get(owner).into_iter();
        keys.flat_map(|keys| keys.keys().copied())
    }

    /// An owner with this key: the first of several.
    pub(super) fn owner_of(&self, key: &NodeId) -> Option<OwnerId> {
        let with = self
            .owners
            .iter()
            .filter(|(_, keys)| keys.contains_key(key));
        with.map(|(owner, _)| *owner).min()
    }

    /// Whether a key of a certificate made then would stay beside those of the owner that are newer.
    pub(super) fn has_room(&self, owner: &OwnerId, issued: u64) -> bool {
        match self.owners.get(owner) {
            None => self.owners.len() < OWNERS_MAX,
            Some(keys) => {
                let newer = keys.values().filter(|known| **known > issued).count();
                newer < KEYS_PER_OWNER
            }
        }
    }

    /// The keys of an owner but for the `count` newest.
    pub(super) fn all_but(&self, owner: &OwnerId, count: usize) -> Vec<NodeId> {
        let Some(keys) = self.owners.get(owner) else {
            return Vec::new();
        };
        let mut keys: Vec<_> = keys.iter().map(|(key, issued)| (*issued, *key)).collect();
        keys.sort_unstable();
        let old = keys.len().saturating_sub(count);
        keys.into_iter().take(old).map(|(_, key)| key).collect()
    }

    pub(super) fn insert(&mut self, owner: OwnerId, key: NodeId, issued: u64) {
        self.owners.entry(owner).or_default().insert(key, issued);
    }

    pub(super) fn remove(&mut self, owner: &OwnerId, key: &NodeId) {
        if let Some(keys) = self.owners.get_mut(owner) {
            keys.remove(key);
            if keys.is_empty() {
                self.owners.remove(owner);
            }
        }
    }
}
