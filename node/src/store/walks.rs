//! Who is walking whole trees now. Such a walk takes seconds and holds a thread, so that there is room
//! for few at a time, and no owner takes it all. Nobody waits for a place: whoever finds none is told.

use std::collections::HashMap;

use packnback_proto::ids::OwnerId;
use parking_lot::Mutex;

use super::error::StoreError;

/// At the same time for one owner.
const PER_OWNER: usize = 2;
/// And in all.
const IN_ALL: usize = 6;

/// See the module.
#[derive(Default)]
pub(super) struct Walks(Mutex<HashMap<OwnerId, usize>>);

/// One walk. Its place is free again when it is dropped.
pub(super) struct Walking<'a> {
    walks: &'a Walks,
    owner: OwnerId,
}

impl Walks {
    pub(super) fn begin(&self, owner: &OwnerId) -> Result<Walking<'_>, StoreError> {
        let mut walks = self.0.lock();
        let of_owner = walks.get(owner).copied().unwrap_or(0);
        if of_owner >= PER_OWNER || walks.values().sum::<usize>() >= IN_ALL {
            return Err(StoreError::Busy);
        }
        walks.insert(*owner, of_owner.saturating_add(1));
        Ok(Walking {
            walks: self,
            owner: *owner,
        })
    }
}

impl Drop for Walking<'_> {
    fn drop(&mut self) {
        let mut walks = self.walks.0.lock();
        if let Some(count) = walks.get_mut(&self.owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                walks.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn n25_walks_are_few_for_one_owner_and_in_all() {
        let walks = Walks::default();
        let owner = |n| OwnerId([n; 32]);
        let one = walks.begin(&owner(1)).unwrap();
        let two = walks.begin(&owner(1)).unwrap();
        assert_eq!(walks.begin(&owner(1)).err(), Some(StoreError::Busy));
        let others: Vec<_> = (2..6).map(|n| walks.begin(&owner(n)).unwrap()).collect();
        assert_eq!(walks.begin(&owner(9)).err(), Some(StoreError::Busy));
        drop((one, others));
        assert!(walks.begin(&owner(1)).is_ok());
        assert!(walks.begin(&owner(9)).is_ok());
        drop(two);
    }
}
