//! Who is served how many streams at once: nobody takes all places, whatever it brings with it.

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::ids::NodeId;
use packnback_proto::limits::STREAMS_PER_PEER;
use parking_lot::Mutex;

use crate::ports::Sponsor;

/// Streams served at once, over all peers. More are closed, none waits: one that waits keeps others out.
const STREAMS_MAX: usize = 64;
/// Of these, for all that one sponsor brings.
const PER_SPONSOR_MAX: usize = 16;
/// Places a sponsor gets as long as there are any.
const PER_SPONSOR_MIN: usize = 2;
/// Of all, for peers that are no friends: the other places are kept for friends.
const OTHERS_MAX: usize = 24;

/// Whether a sponsor that has `mine` places may have one more of the `free` ones: at most as many as it
/// would leave to others, so that those who come late find some.
const fn is_fair(mine: usize, free: usize) -> bool {
    free > 0 && mine < PER_SPONSOR_MAX && (mine < PER_SPONSOR_MIN || mine < free / 2)
}

#[derive(Default)]
struct Counts {
    all: usize,
    others: usize,
    sponsors: HashMap<Sponsor, usize>,
    peers: HashMap<NodeId, usize>,
}

/// The places of all sponsors.
#[derive(Default, Clone)]
pub(super) struct Shares(Arc<Mutex<Counts>>);

/// Who asks for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) peer: NodeId,
    pub(super) sponsor: Sponsor,
    pub(super) is_friend: bool,
}

/// The place of one stream. Free again when dropped.
pub(super) struct Share {
    all: Shares,
    asker: Asker,
}

impl Shares {
    /// A place for one more stream, if that is fair.
    pub(super) fn take(&self, asker: Asker) -> Option<Share> {
        let mut counts = self.0.lock();
        let of_peer = counts.peers.get(&asker.peer).copied().unwrap_or(0);
        let mine = counts.sponsors.get(&asker.sponsor).copied().unwrap_or(0);
        let free = STREAMS_MAX.saturating_sub(counts.all);
        let is_full_for_others = !asker.is_friend && counts.others >= OTHERS_MAX;
        if of_peer >= STREAMS_PER_PEER || is_full_for_others || !is_fair(mine, free) {
            return None;
        }
        counts.all = counts.all.saturating_add(1);
        counts.peers.insert(asker.peer, of_peer.saturating_add(1));
        counts
            .sponsors
            .insert(asker.sponsor, mine.saturating_add(1));
        if !asker.is_friend {
            counts.others = counts.others.saturating_add(1);
        }
        drop(counts);
        let all = self.clone();
        Some(Share { all, asker })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock();
        counts.all = counts.all.saturating_sub(1);
        if !self.asker.is_friend {
            counts.others = counts.others.saturating_sub(1);
        }
        one_less(&mut counts.peers, &self.asker.peer);
        one_less(&mut counts.sponsors, &self.asker.sponsor);
    }
}

fn one_less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use packnback_proto::ids::OwnerId;

    use super::*;

    fn node(n: usize) -> NodeId {
        let mut id = [0; 32];
        for (to, from) in id.iter_mut().zip(n.to_le_bytes()) {
            *to = from;
        }
        NodeId(id)
    }

    fn brought(peer: usize, by: u8) -> Asker {
        Asker {
            peer: node(peer),
            sponsor: Sponsor::Owner(OwnerId([by; 32])),
            is_friend: false,
        }
    }

    fn friend(n: usize) -> Asker {
        Asker {
            peer: node(n),
            sponsor: Sponsor::Peer(node(n)),
            is_friend: true,
        }
    }

    fn all_of(shares: &Shares, asker: Asker) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(asker)).collect()
    }

    #[test]
    fn n09_one_peer_cannot_take_the_places_of_all() {
        let (shares, greedy) = (Shares::default(), friend(1));
        let mut held = all_of(&shares, greedy);
        assert_eq!(held.len(), STREAMS_PER_PEER);
        assert!(shares.take(friend(2)).is_some());
        held.pop();
        assert!(shares.take(greedy).is_some());
    }

    #[test]
    fn n25_many_identities_of_one_sponsor_have_the_share_of_one() {
        let shares = Shares::default();
        let held: Vec<_> = (0..1000)
            .filter_map(|peer| shares.take(brought(peer, 1)))
            .collect();
        assert_eq!(held.len(), PER_SPONSOR_MAX);
        // An honest friend beside it has its places.
        assert_eq!(all_of(&shares, friend(2000)).len(), STREAMS_PER_PEER);
        drop(held);
        assert_eq!(shares.0.lock().sponsors.len(), 0);
        assert_eq!(shares.0.lock().peers.len(), 0);
        assert_eq!(shares.0.lock().all, 0);
    }

    #[test]
    fn n25_ten_greedy_sponsors_leave_places_to_a_friend() {
        let shares = Shares::default();
        let greedy: Vec<_> = (0..10).flat_map(|n| all_of(&shares, friend(n))).collect();
        assert!(greedy.len() < STREAMS_MAX);
        assert!(shares.take(friend(100)).is_some());
        // Those who are no friends do not take the places of friends at all.
        let shares = Shares::default();
        let others: Vec<_> = (0..100_u8)
            .flat_map(|by| all_of(&shares, brought(usize::from(by), by)))
            .collect();
        assert_eq!(others.len(), OTHERS_MAX);
        assert_eq!(all_of(&shares, friend(1000)).len(), STREAMS_PER_PEER);
    }
}
