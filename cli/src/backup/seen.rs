//! Content stored in this run whose objects are not yet known to be durable: found here until the
//! cache knows it.

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::ids::ObjectId;
use parking_lot::Mutex;

use super::pack::PackSlot;
use crate::cache::{DataRef, Facts, Hash16};

/// A place in a pack that may not be sealed yet.
#[derive(Clone)]
pub(super) struct PendingSmall {
    pub(super) slot: Arc<PackSlot>,
    pub(super) off: u32,
    pub(super) len: u32,
}

#[derive(Default)]
pub(super) struct Seen {
    small: Mutex<HashMap<Hash16, PendingSmall>>,
    chunks: Mutex<HashMap<Hash16, ObjectId>>,
}

impl Seen {
    pub(super) fn small(&self, content: &Hash16) -> Option<PendingSmall> {
        self.small.lock().get(content).cloned()
    }

    pub(super) fn add_small(&self, content: Hash16, at: PendingSmall) {
        self.small.lock().insert(content, at);
    }

    pub(super) fn chunk(&self, chunk: &Hash16) -> Option<ObjectId> {
        self.chunks.lock().get(chunk).copied()
    }

    pub(super) fn add_chunk(&self, chunk: Hash16, id: ObjectId) {
        self.chunks.lock().insert(chunk, id);
    }

    /// The cache knows these now.
    pub(super) fn forget(&self, facts: &Facts) {
        let mut small = self.small.lock();
        for fact in &facts.files {
            if let Some(DataRef::Small { content, .. }) = fact.new.as_ref().map(|new| &new.data) {
                small.remove(content);
            }
        }
        drop(small);
        let mut chunks = self.chunks.lock();
        for (chunk, _, _) in &facts.chunks {
            chunks.remove(chunk);
        }
    }
}
