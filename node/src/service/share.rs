//! What a sponsor may take of this host at once, and how much of its time: counted over all peers that it
//! brought, however many they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::ids::NodeId;
use packnback_proto::limits::{HAVE_IDS_PER_HOUR, KIB, MIB, OBJECT_MAX};
use packnback_proto::machine::rate::Allowance;
use packnback_proto::wire::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refusal;
use crate::ports::Sponsor;

/// Requests of one sponsor that work at the same time, puts apart. There are more threads than that, so
/// that those of others find one.
const WORKING_MAX: usize = 4;
/// Bytes of bodies of one sponsor that are being read or wait to be taken in.
const BODY_BYTES: usize = 24 * MIB;
/// Counted for a small body: so many small objects wait at most.
const BODY_MIN: usize = 16 * KIB;
/// Work for one sponsor, in milliseconds per hour, puts apart: what a snapshot of a million files costs,
/// many times over.
const WORK_MS_PER_HOUR: u64 = 900_000;

const _: () = assert!(BODY_BYTES >= 4 * OBJECT_MAX);

/// The share of one sponsor.
pub(crate) struct Share {
    working: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    work: Mutex<Allowance>,
}

impl Share {
    fn new(now: u64) -> Self {
        Self {
            working: Arc::new(Semaphore::new(WORKING_MAX)),
            bodies: Arc::new(Semaphore::new(BODY_BYTES / KIB)),
            work: Mutex::new(Allowance::new(WORK_MS_PER_HOUR, now)),
        }
    }

    /// Room for a body of `len` bytes: waits until there is some.
    pub(crate) async fn body(&self, len: usize) -> Option<OwnedSemaphorePermit> {
        let kib = len.max(BODY_MIN).div_ceil(KIB);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies).acquire_many_owned(kib).await.ok()
    }

    /// A turn to work, if the sponsor has not used up what it may.
    ///
    /// # Errors
    /// A [`Refusal`] that says to come later.
    pub(super) async fn turn(&self, now: u64) -> Result<OwnedSemaphorePermit, Refusal> {
        // Paid afterwards, by what it took: so one millisecond is asked for.
        if !self.work.lock().take(1, now) {
            let message = "this host has worked enough for you for now: try again in some minutes";
            return Err(Refusal::new(ErrorCode::Busy, message));
        }
        let turn = Arc::clone(&self.working).acquire_owned().await;
        turn.map_err(|_| Refusal::new(ErrorCode::Busy, "the node is stopping"))
    }

    /// Work was done.
    pub(super) fn pay(&self, took: Duration, now: u64) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.work.lock().spend(ms, now);
    }
}

/// The shares of all sponsors. There are no more than friends and owners, and they stay, so that nobody
/// gets a new one by coming back.
#[derive(Default)]
pub(crate) struct Shares {
    sponsors: Mutex<HashMap<Sponsor, Arc<Share>>>,
    /// Questions of each device: by device and not by session, or a new session would have new ones.
    questions: Mutex<HashMap<NodeId, Allowance>>,
    /// Who is opening a session: one at a time for each peer, from the first look to the last write.
    opening: Mutex<HashMap<NodeId, Arc<Mutex<()>>>>,
}

impl Shares {
    /// The share of a sponsor.
    pub(crate) fn of(&self, sponsor: Sponsor, now: u64) -> Arc<Share> {
        let mut sponsors = self.sponsors.lock();
        let share = sponsors.entry(sponsor);
        Arc::clone(share.or_insert_with(|| Arc::new(Share::new(now))))
    }

    /// Whether a device may ask for `count` ids more.
    pub(super) fn may_ask(&self, device: NodeId, count: u64, now: u64) -> bool {
        let mut questions = self.questions.lock();
        let allowance = questions.entry(device);
        allowance
            .or_insert_with(|| Allowance::new(HAVE_IDS_PER_HOUR, now))
            .take(count, now)
    }

    /// The lock under which a peer opens a session.
    pub(super) fn opening(&self, peer: NodeId) -> Arc<Mutex<()>> {
        Arc::clone(self.opening.lock().entry(peer).or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use packnback_proto::ids::OwnerId;

    use super::*;

    const BY: Sponsor = Sponsor::Owner(OwnerId([1; 32]));

    #[tokio::test]
    async fn n25_work_and_memory_are_counted_per_sponsor() {
        let shares = Shares::default();
        // A new session is the same sponsor's.
        let (share, again) = (shares.of(BY, 0), shares.of(BY, 0));
        let bodies = share.body(BODY_BYTES).await.unwrap();
        let turns: Vec<_> = [(); WORKING_MAX].map(|()| again.turn(0)).into();
        let turns = futures::future::try_join_all(turns).await.unwrap();
        assert_eq!(share.working.available_permits(), 0);
        assert_eq!(again.bodies.available_permits(), 0);
        // Another one has its own.
        let other = shares.of(Sponsor::Peer(NodeId([2; 32])), 0);
        drop(other.body(OBJECT_MAX).await.unwrap());
        drop(other.turn(0).await.unwrap());
        drop((bodies, turns));
        // Time that was used up comes back with time only.
        share.pay(Duration::from_secs(3600), 0);
        assert_eq!(share.turn(0).await.unwrap_err().code, ErrorCode::Busy);
        assert_eq!(
            shares.of(BY, 0).turn(0).await.unwrap_err().code,
            ErrorCode::Busy
        );
        assert!(other.turn(0).await.is_ok());
        assert!(share.turn(3600).await.is_ok());
    }

    #[test]
    fn n25_questions_are_counted_per_device() {
        let shares = Shares::default();
        let (device, other) = (NodeId([1; 32]), NodeId([2; 32]));
        assert!(shares.may_ask(device, HAVE_IDS_PER_HOUR, 0));
        assert!(!shares.may_ask(device, 1, 0));
        assert!(shares.may_ask(other, 1, 0));
        assert!(shares.may_ask(device, 1, 3600));
    }
}
