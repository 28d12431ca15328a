//! The reading side of the keys.

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::crypto::CryptoError;
use packnback_proto::crypto::keys::{ChunkKeys, OwnerSeed, SessionKeys};
use packnback_proto::ids::OwnerId;
use parking_lot::Mutex;

/// Session key and epoch, as entries and headers name them.
type SessionId = ([u8; 32], u32);

/// Opens what an owner's devices sealed. Session keys are derived once each.
pub struct ReaderKeys {
    seed: OwnerSeed,
    owner: OwnerId,
    sessions: Mutex<HashMap<SessionId, Arc<SessionKeys>>>,
    groups: Mutex<HashMap<u32, Arc<ChunkKeys>>>,
}

impl ReaderKeys {
    /// From the owner seed.
    #[must_use]
    pub fn new(seed: OwnerSeed) -> Self {
        Self {
            owner: seed.owner_id(),
            seed,
            sessions: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// Whose keys these are.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The owner seed, for signing a grant.
    #[must_use]
    pub fn seed(&self) -> &OwnerSeed {
        &self.seed
    }

    /// The keys of a session.
    ///
    /// # Errors
    /// [`CryptoError::NonContributory`] if `epk` is of low order.
    pub fn session(&self, epk: &[u8; 32], epoch: u32) -> Result<Arc<SessionKeys>, CryptoError> {
        let id = (*epk, epoch);
        if let Some(keys) = self.sessions.lock().get(&id) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(self.seed.open_session(epk, epoch)?);
        self.sessions.lock().insert(id, Arc::clone(&keys));
        Ok(keys)
    }

    /// The chunk keys of a dedup group.
    #[must_use]
    pub fn group(&self, group: u32) -> Arc<ChunkKeys> {
        let mut groups = self.groups.lock();
        let keys = groups
            .entry(group)
            .or_insert_with(|| Arc::new(ChunkKeys::new(&self.seed.dedup_group(group))));
        Arc::clone(keys)
    }
}
