//! One worker per other host.

use std::sync::Arc;
use std::time::Duration;

use packnback_proto::ids::{NodeId, OwnerId};

use super::session::{Pulled, Session};
use super::{Common, PullError};
use crate::peers::Heard;
use crate::ports::{Counted, PeerBook as _, Protocol, backoff};
use crate::replicate::Timing;
use crate::store::Offer;
use crate::work::{Context, Handle, Next, Rules, Runner, Status, WorkError};

pub(super) struct Worker {
    common: Arc<Common>,
    from: NodeId,
    /// Rounds in a row after which something was still to come.
    in_vain: u32,
    /// What was to come after the last round.
    left: u32,
    /// The last round failed.
    failed: bool,
}

/// Starts a worker for this host.
pub(super) fn start(runner: &Runner, common: &Arc<Common>, from: NodeId) -> Handle {
    let timing = common.timing;
    // A session watches itself: it lasts as long as bytes move. A flood of orders must not become a flood of dials.
    let rules = Rules::new(timing.retry_first, timing.retry_max)
        .look_again(timing.check)
        .gather(timing.retry_first)
        .woken_by(&common.bell);
    let common = Arc::clone(common);
    runner.start(rules, move || Worker {
        common: Arc::clone(&common),
        from,
        in_vain: 0,
        left: 0,
        failed: false,
    })
}

impl crate::work::Worker for Worker {
    fn name(&self) -> String {
        format!("copy {}", self.from)
    }

    async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
        if cx.is_woken() {
            self.in_vain = 0;
        }
        let timing = self.common.timing;
        match self.round().await {
            Ok(pulled) => {
                (self.failed, self.left) = (false, pulled.left);
                Ok(Next::At(cx.now() + self.pause(&timing, cx)))
            }
            Err(error) => {
                self.failed = true;
                let said = format!("copying from it: {error}");
                let heard = match &error {
                    PullError::Net(_) | PullError::Stalled(_) => Heard::Away(said),
                    _ => Heard::Failed(said),
                };
                self.common.peers.note(self.from, cx.wall(), heard);
                // That needs a person.
                let needs_room = matches!(error, PullError::NoRoom(_));
                let error = WorkError::from(error);
                Err(if needs_room {
                    error.not_before(timing.pull_every)
                } else {
                    error
                })
            }
        }
    }

    fn status(&self) -> Status {
        Status {
            queue: Some(u64::from(self.left)),
            ..Status::default()
        }
    }

    /// The host comes back.
    async fn nudge(&mut self) {
        if self.failed {
            self.common.net.comes_back(self.from).await;
        } else {
            std::future::pending().await
        }
    }
}

impl Worker {
    /// After a round that went well.
    fn pause(&mut self, timing: &Timing, cx: &Context) -> Duration {
        if self.left == 0 {
            self.in_vain = 0;
            return timing.pull_every;
        }
        // Something is to come: soon at first, then ever more rarely.
        self.in_vain = self.in_vain.saturating_add(1);
        let first = timing.retry_first.max(timing.pull_after / 4);
        let max = timing.pull_every.max(first);
        backoff(self.in_vain, first, max, cx.env().dice.jitter())
    }

    /// Looks at what the host has of each owner.
    async fn round(&self) -> Result<Pulled, PullError> {
        let owners = self.common.from.lock().get(&self.from).cloned();
        let mut all = Pulled::default();
        for owner in owners.unwrap_or_default() {
            let pulled = self.pull(owner).await?;
            all.copied = all.copied.saturating_add(pulled.copied);
            all.left = all.left.saturating_add(pulled.left);
            all.no_room = all.no_room.saturating_add(pulled.no_room);
            all.new_orders = all.new_orders.saturating_add(pulled.new_orders);
            if pulled.new_orders > 0 {
                self.common.peers.orders_changed();
            }
        }
        if all.no_room > 0 {
            return Err(PullError::NoRoom(all.no_room));
        }
        Ok(all)
    }

    async fn pull(&self, owner: OwnerId) -> Result<Pulled, PullError> {
        let common = &self.common;
        let now = common.host.clock.now();
        let (is_own, is_closing) = common
            .host
            .blocking(move |store| {
                let own = store.device()?.is_some_and(|device| device.owner == owner);
                Ok((own, store.takes_nothing(&owner, now)?))
            })
            .await?;
        if is_closing {
            return Ok(Pulled::default());
        }
        let _turn = common.turns.take(owner).await;
        let addrs = common.peers.addrs_of(&self.from);
        let opened = common.net.open(self.from, &addrs, Protocol::Store).await?;
        let (stream, progress) = Counted::new(opened.stream);
        let timing = common.timing;
        let host = Arc::clone(&common.host);
        let offer = |device: &NodeId| self.offer(&owner, device, is_own);
        let pulled = async {
            let opening =
                Session::open(stream, progress, timing.stall, &self.from, host, owner).await;
            opening?
                .run(&offer, timing.pull_after, &common.claims)
                .await
        }
        .await;
        if let Err(PullError::Stalled(_)) = &pulled {
            common.net.close(opened.path.id).await?;
        }
        let pulled = pulled?;
        common
            .peers
            .note(self.from, self.common.host.env.clock.now(), Heard::Seen);
        if pulled.copied > 0 {
            tracing::info!(from = ?self.from, copied = pulled.copied, left = pulled.left,
                "copied snapshots from another host");
        }
        Ok(pulled)
    }

    /// What is offered to an owner, and to a device of it.
    fn offer(&self, owner: &OwnerId, device: &NodeId, is_own: bool) -> Option<Offer> {
        let friend = self.common.peers.friend(device);
        let device = friend
            .filter(|friend| friend.owner.as_ref() == Some(owner))
            .map(|friend| friend.quota_given);
        agreed(is_own, device, self.common.peers.offered_to(owner))
    }
}

/// What was agreed with a device (`device`: bytes, if it is a friend) and its owner (`owner`: bytes).
/// `None`: nothing was, so nothing is copied. On a node of the owner that is so for every machine it is
/// not friends with: being on the list must not fill a laptop with the backups of a server.
fn agreed(is_own: bool, device: Option<u64>, owner: u64) -> Option<Offer> {
    match (is_own, device) {
        (true, None) => None,
        (true, Some(_)) => Some(Offer {
            owner: u64::MAX,
            device,
        }),
        (false, _) => Some(Offer { owner, device }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(offer: Option<Offer>) -> Option<(u64, Option<u64>)> {
        offer.map(|offer| (offer.owner, offer.device))
    }

    #[test]
    fn a_node_of_the_owner_copies_from_machines_it_is_friends_with_only() {
        assert_eq!(limits(agreed(true, None, 100)), None);
        assert_eq!(
            limits(agreed(true, Some(7), 100)),
            Some((u64::MAX, Some(7)))
        );
    }

    #[test]
    fn a_friend_copies_what_was_agreed_with_the_owner() {
        assert_eq!(limits(agreed(false, None, 100)), Some((100, None)));
        assert_eq!(limits(agreed(false, Some(7), 100)), Some((100, Some(7))));
    }
}
