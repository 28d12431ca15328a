//! What open sessions rely on: objects they were told are here. Nothing pinned is freed.
//!
//! In memory only: a session does not outlive the process, and the next one asks again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use packnback_proto::ids::{ObjectId, OwnerId, SnapshotId};
use packnback_proto::limits::PINS_MAX;
use parking_lot::Mutex;

/// Half an id tells objects apart well enough and halves the memory.
type Mark = [u8; 16];

fn mark(id: &ObjectId) -> Mark {
    id.0.first_chunk::<16>().copied().unwrap_or_default()
}

enum Set {
    /// These.
    Exact(HashSet<Mark>),
    /// More than are remembered one by one: everything of the owner.
    All,
}

/// What one session relies on. Dropped with the session.
pub(super) struct Pin {
    set: Mutex<Set>,
    base: Mutex<Option<SnapshotId>>,
}

impl Pin {
    pub(super) fn add(&self, id: &ObjectId) {
        let mut set = self.set.lock();
        if let Set::Exact(marks) = &mut *set {
            marks.insert(mark(id));
            if marks.len() > PINS_MAX {
                *set = Set::All;
            }
        }
    }

    pub(super) fn set_base(&self, base: SnapshotId) {
        *self.base.lock() = Some(base);
    }

    pub(super) fn holds(&self, id: &ObjectId) -> bool {
        match &*self.set.lock() {
            Set::Exact(marks) => marks.contains(&mark(id)),
            Set::All => true,
        }
    }

    pub(super) fn holds_snap(&self, snap: &SnapshotId) -> bool {
        *self.base.lock() == Some(*snap)
    }
}

/// The pins of all open sessions.
#[derive(Default)]
pub(super) struct Pins(Mutex<HashMap<OwnerId, Vec<Weak<Pin>>>>);

impl Pins {
    /// A new session of an owner.
    pub(super) fn open(&self, owner: &OwnerId) -> Arc<Pin> {
        let pin = Arc::new(Pin {
            set: Mutex::new(Set::Exact(HashSet::new())),
            base: Mutex::default(),
        });
        let mut all = self.0.lock();
        let of_owner = all.entry(*owner).or_default();
        of_owner.retain(|pin| pin.strong_count() > 0);
        of_owner.push(Arc::downgrade(&pin));
        pin
    }

    /// The pins of the sessions open now.
    pub(super) fn of(&self, owner: &OwnerId) -> Vec<Arc<Pin>> {
        let all = self.0.lock();
        let of_owner = all.get(owner).into_iter().flatten();
        of_owner.filter_map(Weak::upgrade).collect()
    }
}

/// Objects being written and not claimed yet: how many sessions write each.
#[derive(Default)]
pub(super) struct InFlight(Mutex<HashMap<(OwnerId, ObjectId), u32>>);

impl InFlight {
    pub(super) fn begin(&self, owner: &OwnerId, id: &ObjectId) {
        let mut writing = self.0.lock();
        let count = writing.entry((*owner, *id)).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn end(&self, owner: &OwnerId, id: &ObjectId) {
        let mut writing = self.0.lock();
        if let Some(count) = writing.get_mut(&(*owner, *id)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                writing.remove(&(*owner, *id));
            }
        }
    }

    pub(super) fn has(&self, owner: &OwnerId, id: &ObjectId) -> bool {
        self.0.lock().contains_key(&(*owner, *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_ends_with_its_session_and_a_full_one_holds_everything() {
        let pins = Pins::default();
        let (owner, other) = (OwnerId([1; 32]), OwnerId([2; 32]));
        let id = |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_le_bytes());
            ObjectId(id)
        };
        let held = |owner: &OwnerId, n| pins.of(owner).iter().any(|pin| pin.holds(&id(n)));
        let pin = pins.open(&owner);
        pin.add(&id(1));
        assert!(held(&owner, 1) && !held(&owner, 2) && !held(&other, 1));
        (0..PINS_MAX).for_each(|n| pin.add(&id(n)));
        assert!(!held(&owner, PINS_MAX), "at the limit each is remembered");
        pin.add(&id(PINS_MAX));
        assert!(held(&owner, PINS_MAX + 7) && !held(&other, 1));
        drop(pin);
        assert!(!held(&owner, 1));
    }
}
