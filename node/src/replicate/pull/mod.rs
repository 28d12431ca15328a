//! Copies snapshots from the owner's other hosts.
//!
//! The device uploads to all its hosts itself. But it cannot make an old snapshot again, so a host
//! that joins later gets it from here: every host that an owner listed (order `hosts`) looks at
//! what the others on that list have, takes over orders, certificates and receipts it does not
//! know, and copies the snapshots it lacks.
//!
//! | Module | Does |
//! |---|---|
//! | `walk` | which objects to ask for next: pure |
//! | `records` | sorts what the other host lists |
//! | `session` | one conversation |
//! | `worker` | one per host: what it has of each owner |

mod records;
mod session;
mod walk;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::format::header::ObjectError;
use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::blame::{Fault, Retry};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client::ClientError;
use super::timing::Timing;
use crate::peers::PeerTable;
use crate::ports::{NetError, Transport};
use crate::service::{Host, Refusal};
use crate::work::{Bell, Handle, Runner, WorkError};
use walk::WalkError;

/// A conversation with another host failed. What was made durable before stays, and the next try
/// goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It cannot be reached.
    #[error("{0}")]
    Net(#[from] NetError),
    /// It refused, or broke off.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// This node's own rules or disk.
    #[error("{}", .0.message)]
    Here(Refusal),
    /// What it sent is no object.
    #[error("it sent something that is no object: {0}")]
    Object(ObjectError),
    /// The tree of a snapshot is not legal.
    #[error("{0}")]
    Walk(#[from] WalkError),
    /// Nothing moved.
    #[error("nothing moved for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// It does not know how.
    #[error("the other node is of an earlier version that gives no copies")]
    TooOld,
    /// What this host offers is used up.
    #[error("{0} snapshots of the owner's other hosts do not fit into what is offered here")]
    NoRoom(u32),
}

impl From<Refusal> for PullError {
    fn from(refusal: Refusal) -> Self {
        Self::Here(refusal)
    }
}

impl From<PullError> for WorkError {
    fn from(error: PullError) -> Self {
        let text = error.to_string();
        match &error {
            PullError::Net(net) => net.into(),
            PullError::Client(client) => client.into(),
            PullError::Here(refusal) => Self::of_own_disk(refusal.code, text),
            PullError::Object(_) | PullError::Walk(_) => Self::new("object", text)
                .blame(Fault::Theirs)
                .retrying(Retry::Slowly),
            PullError::Stalled(_) => Self::of(ErrorCode::Unreachable, text),
            PullError::TooOld => Self::of(ErrorCode::Version, text),
            PullError::NoRoom(_) => Self::of(ErrorCode::Quota, text).blame(Fault::Ours),
        }
    }
}

/// Snapshots being copied, so that two hosts do not send the same one.
#[derive(Debug, Default)]
struct Claims(Mutex<BTreeSet<SnapshotId>>);

/// Ends the claim.
#[derive(Debug)]
struct Claim<'a>(&'a Claims, SnapshotId);

impl Claims {
    /// `None` if somebody else copies it.
    fn take(&self, snap: SnapshotId) -> Option<Claim<'_>> {
        let is_free = self.0.lock().insert(snap);
        // Made only then: dropping one ends the claim, and takes the lock.
        is_free.then(|| Claim(self, snap))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.0.lock().remove(&self.1);
    }
}

/// Conversations at the same time.
const PULLERS_MAX: usize = 4;
/// Of these, about one owner.
const PER_OWNER_MAX: usize = 2;

/// Whose turn it is: few conversations at a time, so that the memory they take is bounded however many
/// hosts an owner lists, and not all of them about one owner.
struct Turns {
    all: Arc<Semaphore>,
    owners: Mutex<BTreeMap<OwnerId, Arc<Semaphore>>>,
}

impl Turns {
    fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(PULLERS_MAX)),
            owners: Mutex::default(),
        }
    }

    /// Waits for a turn. `None`: the node is ending.
    async fn take(&self, owner: OwnerId) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let of_owner = {
            let mut owners = self.owners.lock();
            // Those nobody holds or waits for are made anew when they are needed.
            owners.retain(|_, turns| Arc::strong_count(turns) > 1);
            let turns = owners.entry(owner);
            Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(PER_OWNER_MAX))))
        };
        let of_owner = of_owner.acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some((of_owner, of_all))
    }
}

struct Common {
    net: Arc<dyn Transport>,
    peers: Arc<PeerTable>,
    host: Arc<Host>,
    timing: Timing,
    claims: Claims,
    turns: Turns,
    /// Whose data is copied from whom.
    from: Mutex<BTreeMap<NodeId, Vec<OwnerId>>>,
    /// Rings when there is a reason to look.
    bell: Arc<Bell>,
}

/// See the module.
pub struct Puller {
    common: Arc<Common>,
    runner: Runner,
    workers: Mutex<BTreeMap<NodeId, Handle>>,
}

impl Puller {
    /// Copies from nobody until [`Puller::copy_from`] is called.
    #[must_use]
    pub fn new(
        net: Arc<dyn Transport>,
        peers: Arc<PeerTable>,
        host: Arc<Host>,
        timing: Timing,
        runner: Runner,
    ) -> Self {
        let common = Arc::new(Common {
            net,
            peers,
            host,
            timing,
            claims: Claims::default(),
            turns: Turns::new(),
            from: Mutex::default(),
            bell: Bell::new("something to copy"),
        });
        Self {
            common,
            runner,
            workers: Mutex::default(),
        }
    }

    /// Copies from these hosts, from now on, what they have of these owners. Looks at once if that
    /// is news, or if there is another reason to (`look`).
    pub fn copy_from(&self, from: BTreeMap<NodeId, Vec<OwnerId>>, look: bool) {
        let mut workers = self.workers.lock();
        workers.retain(|host, worker| {
            let stays = from.contains_key(host);
            if !stays {
                worker.end();
            }
            stays
        });
        let hosts: Vec<NodeId> = from.keys().copied().collect();
        let is_news = std::mem::replace(&mut *self.common.from.lock(), from.clone()) != from;
        for host in hosts {
            workers
                .entry(host)
                .or_insert_with(|| worker::start(&self.runner, &self.common, host));
        }
        if look || is_news {
            self.common.bell.ring();
        }
    }

    /// Ends all copying. What was made durable stays.
    pub fn stop(&self) {
        for worker in std::mem::take(&mut *self.workers.lock()).into_values() {
            worker.end();
        }
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_snapshot_is_claimed_once_and_a_second_try_changes_nothing() {
        let (claims, snap) = (Claims::default(), SnapshotId::from([1; 32]));
        let first = claims.take(snap);
        assert!(first.is_some());
        assert!(claims.take(snap).is_none());
        // That try did not end the claim of the first either.
        assert!(claims.take(snap).is_none());
        drop(first);
        assert!(claims.take(snap).is_some());
    }

    #[test]
    fn n25_one_owner_does_not_take_all_turns_to_copy() {
        let turns = Turns::new();
        let take = |n| turns.take(OwnerId([n; 32])).now_or_never().flatten();
        let greedy: Vec<_> = (0..100).filter_map(|_| take(1)).collect();
        assert_eq!(greedy.len(), PER_OWNER_MAX);
        let others: Vec<_> = (2..100).filter_map(take).collect();
        assert_eq!(others.len(), PULLERS_MAX - PER_OWNER_MAX);
        drop(greedy);
        assert!(take(1).is_some());
    }
}
