//! What may be in memory at once for programs of this machine: counted in bodies, none of which is larger than an
//! object. One each connection always may hold, so none waits for ever for another; the rest comes from pools that
//! all connections share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies of requests that were read and not carried out yet: of one connection, and shared.
const BODIES: (usize, usize) = (4, 16);
/// Answers made from tables and not written yet.
const TABLES: (usize, usize) = (4, 8);
/// Objects read and not written yet.
const OBJECTS: (usize, usize) = (6, 24);

/// What all connections share.
#[derive(Clone)]
pub(super) struct Pools {
    bodies: Arc<Semaphore>,
    tables: Arc<Semaphore>,
    objects: Arc<Semaphore>,
}

impl Default for Pools {
    fn default() -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        Self {
            bodies: of(BODIES.1),
            tables: of(TABLES.1),
            objects: of(OBJECTS.1),
        }
    }
}

impl Pools {
    pub(super) fn bodies(&self) -> Pool {
        Pool::new(&self.bodies, BODIES.0)
    }

    pub(super) fn tables(&self) -> Pool {
        Pool::new(&self.tables, TABLES.0)
    }

    pub(super) fn objects(&self) -> Pool {
        Pool::new(&self.objects, OBJECTS.0)
    }
}

/// The part of one connection in a pool.
pub(super) struct Pool {
    own: Arc<Semaphore>,
    /// How many more it may take of what is shared.
    more: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

/// Room for one body, given back when dropped.
pub(super) struct Place {
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Pool {
    fn new(shared: &Arc<Semaphore>, most: usize) -> Self {
        Self {
            own: Arc::new(Semaphore::new(1)),
            more: Arc::new(Semaphore::new(most.saturating_sub(1))),
            shared: Arc::clone(shared),
        }
    }

    /// Waits for room. Who asks first gets it first.
    pub(super) async fn place(&self) -> Place {
        let shared = async {
            let more = Arc::clone(&self.more).acquire_owned().await.ok();
            [more, Arc::clone(&self.shared).acquire_owned().await.ok()]
        };
        // None of them is ever closed.
        let permits = tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_owned() => [own.ok(), None],
            both = shared => both,
        };
        Place { _permits: permits }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_connection_takes_no_more_than_its_part_and_always_gets_one() {
        let pools = Pools::default();
        let mut held = Vec::new();
        let greedy: Vec<Pool> = (0..OBJECTS.1).map(|_| pools.objects()).collect();
        for pool in &greedy {
            for _ in 0..OBJECTS.0 {
                if let Some(place) = pool.place().now_or_never() {
                    held.push(place);
                }
            }
            assert!(pool.place().now_or_never().is_none());
        }
        // One of its own for each, and what is shared.
        assert_eq!(held.len(), OBJECTS.1 + OBJECTS.1);
        let late = pools.objects();
        let one = late.place().now_or_never();
        assert!(one.is_some() && late.place().now_or_never().is_none());
        drop(held);
        assert!(late.place().now_or_never().is_some());
    }
}
