//! Which friends to dial again, and when. Pure: the clock and the dice are arguments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::ports::backoff;

#[derive(Debug)]
struct Wanted {
    addrs: Vec<Multiaddr>,
    attempt: u32,
    next: Instant,
    connected: Option<Instant>,
}

/// A connection that lasted this long was a good one: the next loss starts with the shortest pause.
/// One that ends at once (a peer that no longer knows us) is a failure like any other.
const STABLE: Duration = Duration::from_secs(30);

/// The friends we want to stay connected to.
#[derive(Debug)]
pub(crate) struct Redials {
    wanted: HashMap<PeerId, Wanted>,
    first: Duration,
    max: Duration,
}

impl Redials {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self {
            wanted: HashMap::new(),
            first,
            max,
        }
    }

    /// Wants a connection to this peer from now on, at these addresses.
    pub(crate) fn want(&mut self, peer: PeerId, addrs: Vec<Multiaddr>, now: Instant) {
        self.wanted.insert(
            peer,
            Wanted {
                addrs,
                attempt: 0,
                next: now,
                connected: None,
            },
        );
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.wanted.remove(peer);
    }

    /// A connection was established.
    pub(crate) fn connected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(wanted) = self.wanted.get_mut(peer) {
            wanted.connected.get_or_insert(now);
        }
    }

    /// The last connection was lost or a dial failed: the next dial comes after a pause.
    pub(crate) fn lost(&mut self, peer: &PeerId, now: Instant, random: u32) {
        if let Some(wanted) = self.wanted.get_mut(peer) {
            let since = wanted.connected.take();
            if since.is_some_and(|since| now.saturating_duration_since(since) >= STABLE) {
                wanted.attempt = 0;
            }
            wanted.next = now + backoff(wanted.attempt, self.first, self.max, random);
            wanted.attempt = wanted.attempt.saturating_add(1);
        }
    }

    /// The peers to dial now, but for those somebody is `busy` with.
    pub(crate) fn due(
        &self,
        now: Instant,
        busy: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.wanted
            .iter()
            .filter(|(peer, wanted)| wanted.next <= now && !busy(peer))
            .map(|(peer, wanted)| (*peer, wanted.addrs.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_friend_is_dialled_ever_more_rarely_and_a_live_one_at_once() {
        let mut redials = Redials::new(Duration::from_secs(1), Duration::from_secs(60));
        let (peer, start) = (PeerId::random(), Instant::now());
        redials.want(peer, Vec::new(), start);
        let is_due = |r: &Redials, after_s| {
            !r.due(start + Duration::from_secs(after_s), |_| false)
                .is_empty()
        };
        assert!(is_due(&redials, 0));
        assert!(redials.due(start, |_| true).is_empty());
        redials.lost(&peer, start, u32::MAX);
        assert!(!is_due(&redials, 0));
        assert!(is_due(&redials, 1));
        redials.lost(&peer, start, u32::MAX);
        assert!(!is_due(&redials, 1));
        assert!(is_due(&redials, 2));
        // A connection that ends at once changes nothing, one that lasted does.
        redials.connected(&peer, start);
        redials.lost(&peer, start, u32::MAX);
        assert!(!is_due(&redials, 3));
        redials.connected(&peer, start);
        redials.lost(&peer, start + STABLE, u32::MAX);
        assert!(is_due(&redials, 31));
        redials.forget(&peer);
        assert!(!is_due(&redials, 1000));
    }
}
