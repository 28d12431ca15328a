//! Requests wait for their owner's turn here and not on a thread: whoever holds an owner's lock for long
//! keeps that owner's requests waiting, and nobody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use packnback_proto::ids::OwnerId;
use packnback_proto::wire::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refusal;
use super::session::Session;
use crate::store::{Store, StoreError};

/// Threads that work for one owner at the same time. There are many times more.
const AT_ONCE: usize = 4;
/// Requests of one owner that wait. Puts are bounded by their bytes.
const WAITING_MAX: usize = 64;
/// Lanes kept although nobody is in them.
const IDLE_MAX: usize = 64;

struct Lane {
    threads: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The lanes of all owners that ask for something.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<HashMap<OwnerId, Arc<Lane>>>);

/// A thread may be taken for an owner as long as it is there.
pub(crate) struct InLane {
    _thread: OwnedSemaphorePermit,
    _lane: Arc<Lane>,
}

/// One more waits as long as it is there.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    fn of(&self, owner: &OwnerId) -> Arc<Lane> {
        let mut lanes = self.0.lock();
        if lanes.len() > IDLE_MAX {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        let lane = lanes.entry(*owner).or_insert_with(|| {
            Arc::new(Lane {
                threads: Arc::new(Semaphore::new(AT_ONCE)),
                waiting: AtomicUsize::new(0),
            })
        });
        Arc::clone(lane)
    }

    /// Waits until a thread is free for a request of this owner.
    ///
    /// # Errors
    /// A [`Refusal`] if too many wait already.
    pub(crate) async fn enter(&self, owner: &OwnerId) -> Result<InLane, Refusal> {
        let lane = self.of(owner);
        let before = lane.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&lane.waiting);
        if before >= WAITING_MAX {
            let message = "this node is busy with other requests of this owner: ask again";
            return Err(Refusal::new(ErrorCode::Busy, message));
        }
        let thread = Self::thread(&lane).await?;
        drop(waiting);
        Ok(InLane {
            _thread: thread,
            _lane: lane,
        })
    }

    /// The same for a put, which is never refused: what waits of them is bounded by its bytes.
    ///
    /// # Errors
    /// A [`Refusal`] if the node is stopping.
    pub(crate) async fn enter_to_put(&self, owner: &OwnerId) -> Result<InLane, Refusal> {
        let lane = self.of(owner);
        let thread = Self::thread(&lane).await?;
        Ok(InLane {
            _thread: thread,
            _lane: lane,
        })
    }

    /// Requests of an owner that wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self, owner: &OwnerId) -> usize {
        self.of(owner).waiting.load(Ordering::Relaxed)
    }

    async fn thread(lane: &Lane) -> Result<OwnedSemaphorePermit, Refusal> {
        let thread = Arc::clone(&lane.threads).acquire_owned().await;
        thread.map_err(|_| Refusal::new(ErrorCode::Busy, "the node is stopping"))
    }
}

impl Session {
    /// Runs store work for this peer about an owner: when it is the turn of both, and at the expense of
    /// the peer's sponsor.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        owner: OwnerId,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let share = self.share();
        let turn = share.turn(self.host.clock.now()).await?;
        let lane = self.host.lanes.enter(&owner).await?;
        let clock = &self.host.env.clock;
        let began = clock.instant();
        // Goes with the work: who asked may be gone before it is done.
        let done = self.host.blocking(move |store| {
            let done = work(store);
            drop(lane);
            done
        });
        let done = done.await;
        let took = clock.instant().saturating_duration_since(began);
        share.pay(took, clock.now());
        drop(turn);
        done
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const ONE: OwnerId = OwnerId([1; 32]);
    const OTHER: OwnerId = OwnerId([2; 32]);

    #[tokio::test]
    async fn n25_an_owner_waits_in_its_own_lane() {
        let lanes = Lanes::default();
        let mut working = Vec::new();
        for _ in 0..AT_ONCE {
            working.push(lanes.enter(&ONE).await.unwrap());
        }
        let mut waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| Box::pin(lanes.enter(&ONE)))
            .collect();
        for enter in &mut waiting {
            assert!(enter.now_or_never().is_none(), "all threads are taken");
        }
        let refused = lanes.enter(&ONE).await.err().unwrap();
        assert_eq!(refused.code, ErrorCode::Busy);
        assert!(
            Box::pin(lanes.enter_to_put(&ONE)).now_or_never().is_none(),
            "a put waits and is not refused"
        );
        // Others have their own.
        assert!(
            lanes
                .enter(&OTHER)
                .now_or_never()
                .is_some_and(|e| e.is_ok())
        );
        // One leaves, and the one that waited longest goes on; who gives up leaves no trace.
        drop(working.pop());
        working.push(waiting.remove(0).await.unwrap());
        drop(waiting);
        let mut next = Box::pin(lanes.enter(&ONE));
        assert!((&mut next).now_or_never().is_none());
        drop(working);
        assert!(next.await.is_ok());
        assert_eq!(lanes.waiting(&ONE), 0);
    }

    #[tokio::test]
    async fn lanes_nobody_is_in_are_forgotten() {
        let lanes = Lanes::default();
        let busy = lanes.enter(&ONE).await.unwrap();
        for n in 0..=u8::try_from(IDLE_MAX).unwrap() {
            drop(lanes.enter(&OwnerId([n; 32])).await.unwrap());
        }
        drop(lanes.enter(&OTHER).await.unwrap());
        assert!(lanes.0.lock().len() <= 3);
        assert!(lanes.0.lock().contains_key(&ONE));
        drop(busy);
    }
}
