//! The reading side of the keys: an owner key or a part of one, or keys of single sessions.

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::crypto::keys::{ChunkKeys, SessionKeys};
use packnback_proto::crypto::keyset::{KeyLack, OwnerKey};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::exchange::{SessionName, Unsealed};
use packnback_proto::ids::OwnerId;
use parking_lot::Mutex;

enum Material {
    Key(OwnerKey),
    Sessions(Unsealed),
}

/// Opens what an owner's devices sealed. Session keys are derived once each.
pub struct ReaderKeys {
    owner: OwnerId,
    material: Material,
    nodes: Mutex<HashMap<SessionName, Arc<Secret32>>>,
    sessions: Mutex<HashMap<SessionName, Arc<SessionKeys>>>,
    groups: Mutex<HashMap<u32, Arc<ChunkKeys>>>,
}

impl ReaderKeys {
    /// From the owner key or a part of it.
    #[must_use]
    pub fn new(key: impl Into<OwnerKey>) -> Self {
        let key = key.into();
        Self::of(key.owner_id(), Material::Key(key))
    }

    /// From keys of single sessions, which were handed over.
    #[must_use]
    pub fn unsealed(owner: OwnerId, unsealed: Unsealed) -> Self {
        Self::of(owner, Material::Sessions(unsealed))
    }

    fn of(owner: OwnerId, material: Material) -> Self {
        Self {
            owner,
            material,
            nodes: Mutex::default(),
            sessions: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// Whose keys these are.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The owner key or part of it, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&OwnerKey> {
        match &self.material {
            Material::Key(key) => Some(key),
            Material::Sessions(_) => None,
        }
    }

    /// Whether these keys may open contents at all.
    ///
    /// # Errors
    /// [`KeyLack::Ability`].
    pub fn check_contents(&self) -> Result<(), KeyLack> {
        self.key().map_or(Ok(()), OwnerKey::check_contents)
    }

    /// Whether these keys may open names at all.
    ///
    /// # Errors
    /// [`KeyLack::Ability`].
    pub fn check_names(&self) -> Result<(), KeyLack> {
        self.key().map_or(Ok(()), OwnerKey::check_names)
    }

    /// The key of device names, if it is among these.
    #[must_use]
    pub fn label_key(&self, epoch: u32) -> Option<Secret32> {
        self.key()?.label_key(epoch).ok()
    }

    /// `K_node` of a session.
    ///
    /// # Errors
    /// [`KeyLack`].
    pub fn node(&self, epk: &[u8; 32], epoch: u32) -> Result<Arc<Secret32>, KeyLack> {
        let id = (*epk, epoch);
        if let Some(key) = self.nodes.lock().get(&id) {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(match &self.material {
            Material::Key(key) => key.node_key(epk, epoch)?,
            Material::Sessions(sessions) => sessions.session(epk, epoch)?.node,
        });
        self.nodes.lock().insert(id, Arc::clone(&key));
        Ok(key)
    }

    /// The keys of a session.
    ///
    /// # Errors
    /// [`KeyLack`].
    pub fn session(&self, epk: &[u8; 32], epoch: u32) -> Result<Arc<SessionKeys>, KeyLack> {
        let id = (*epk, epoch);
        if let Some(keys) = self.sessions.lock().get(&id) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(match &self.material {
            Material::Key(key) => SessionKeys::from_roots(&key.session_roots(epk, epoch)?),
            Material::Sessions(sessions) => sessions.session(epk, epoch)?,
        });
        self.sessions.lock().insert(id, Arc::clone(&keys));
        Ok(keys)
    }

    /// The chunk keys of a dedup group.
    ///
    /// # Errors
    /// [`KeyLack`].
    pub fn group(&self, group: u32) -> Result<Arc<ChunkKeys>, KeyLack> {
        let mut groups = self.groups.lock();
        if let Some(keys) = groups.get(&group) {
            return Ok(Arc::clone(keys));
        }
        let secret = match &self.material {
            Material::Key(key) => key.dedup_group(group)?,
            Material::Sessions(sessions) => sessions.dedup_group(group)?,
        };
        let keys = Arc::new(ChunkKeys::new(&secret));
        groups.insert(group, Arc::clone(&keys));
        Ok(keys)
    }
}
