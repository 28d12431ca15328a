//! Who waits for which answer. Everybody who waits hears it when the connection is over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use packnback_proto::wire::local::{LocalReply, NO_TAG, Rule};
use parking_lot::{Condvar, Mutex};

use super::ClientError;
use super::patience::{Due, Times};

/// Longest wait for the node's last words once the socket takes nothing more.
const REASON_WAIT: Duration = Duration::from_secs(5);

/// What somebody who waits is given.
pub(super) type Answer = Result<(LocalReply, Vec<u8>), ClientError>;

struct Waiter {
    /// So many replies are still to come.
    replies: usize,
    to: Sender<Answer>,
    rule: Rule,
    /// None before it was sent.
    times: Option<Times>,
}

#[derive(Default)]
struct Table {
    waiters: HashMap<u64, Waiter>,
    /// Why the connection is over.
    over: Option<ClientError>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    table: Mutex<Table>,
    ended: Condvar,
}

/// What a reply was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// Somebody waited for it.
    Over,
    /// Nobody did.
    Unasked,
}

impl Waiting {
    /// Somebody waits from now on for so many replies to a request.
    pub(super) fn wait(
        &self,
        tag: u64,
        rule: Rule,
        replies: usize,
        to: Sender<Answer>,
    ) -> Result<(), ClientError> {
        let mut table = self.table.lock();
        if let Some(error) = &table.over {
            return Err(error.clone());
        }
        let waiter = Waiter {
            replies,
            to,
            rule,
            times: None,
        };
        table.waiters.insert(tag, waiter);
        Ok(())
    }

    /// Nobody waits for this one any more: it was never sent.
    pub(super) fn forget(&self, tag: u64) {
        self.table.lock().waiters.remove(&tag);
    }

    /// The request goes out now: from now on the node owes its answer.
    pub(super) fn sent(&self, tag: u64) {
        if let Some(waiter) = self.table.lock().waiters.get_mut(&tag) {
            waiter.times = Some(Times::new(Instant::now()));
        }
    }

    /// The node works on a request; or, of none, on what lets it read on.
    pub(super) fn works(&self, tag: u64) {
        let now = Instant::now();
        let mut table = self.table.lock();
        if tag == NO_TAG {
            let all = table.waiters.values_mut();
            all.flat_map(|waiter| &mut waiter.times)
                .for_each(|times| times.heard(now));
        } else if let Some(waiter) = table.waiters.get_mut(&tag) {
            waiter.times.iter_mut().for_each(|times| times.heard(now));
        }
    }

    /// Hands a reply to who waits for it. Others of its lane were waiting for it too.
    pub(super) fn hand(&self, tag: u64, reply: LocalReply, body: Vec<u8>) -> Handed {
        let now = Instant::now();
        let mut table = self.table.lock();
        let Some(waiter) = table.waiters.get_mut(&tag) else {
            return Handed::Unasked;
        };
        let is_error = matches!(reply, LocalReply::Error { .. });
        let _gone = waiter.to.try_send(Ok((reply, body)));
        waiter.replies = waiter.replies.saturating_sub(1);
        let lane = waiter.rule.lane;
        waiter.times.iter_mut().for_each(|times| times.turned(now));
        if waiter.replies == 0 || is_error {
            table.waiters.remove(&tag);
        }
        if lane.is_queue() {
            let same = table
                .waiters
                .values_mut()
                .filter(|other| other.rule.lane == lane);
            same.flat_map(|other| &mut other.times)
                .for_each(|times| times.turned(now));
        }
        Handed::Over
    }

    /// The answer that the node owes for too long.
    pub(super) fn overdue(&self) -> Option<Due> {
        let now = Instant::now();
        let table = self.table.lock();
        let due = |waiter: &Waiter| waiter.times?.overdue(now, &waiter.rule);
        table.waiters.values().find_map(due)
    }

    /// It is over. The first reason counts.
    pub(super) fn fail(&self, error: ClientError) {
        let mut table = self.table.lock();
        let error = table.over.get_or_insert(error).clone();
        self.ended.notify_all();
        for (_, waiter) in table.waiters.drain() {
            let _gone = waiter.to.try_send(Err(error.clone()));
        }
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.table.lock().over.is_some()
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        self.table.lock().over.clone().map_or(Ok(()), Err)
    }

    /// Why it is over. The reader may still be about to find out.
    pub(super) fn reason(&self) -> ClientError {
        let mut table = self.table.lock();
        if table.over.is_none() {
            self.ended.wait_for(&mut table, REASON_WAIT);
        }
        table.over.clone().unwrap_or(ClientError::Closed)
    }
}
