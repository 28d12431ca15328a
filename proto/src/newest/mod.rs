//! Which snapshot is the newest: one rule for every reader (docs/format.md, 8.4).
//!
//! Neither the clock nor the numbers of a device decide, because whoever holds its key sets them as
//! they like. What decides is when hosts that count received a snapshot. Four things keep a snapshot
//! from being the newest, however late it came:
//!
//! - all its receipts that count are dated ahead of now;
//! - its device was revoked before anybody that counts had it;
//! - its root was seen before, under another snapshot: it is an old one played again;
//! - no receipt of a host that counts is known.
//!
//! They are still listed, behind all others, and a person may choose them by their id.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ids::{NodeId, ObjectId, SetId, SnapshotId};
use crate::limits::CERT_CLOCK_SKEW_S;
use crate::record::{Op, Order, Snap};

/// What a host says: when it received a snapshot, by its own clock. The signature was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Unix seconds.
    pub received: u64,
    /// Which host.
    pub host: NodeId,
}

/// A snapshot to be put in its place. Its signature and its certificate were checked.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: SnapshotId,
    /// The record.
    pub snap: &'a Snap,
    /// Its receipts, of whatever hosts, in any order.
    pub stamps: Vec<Stamp>,
}

/// Whose word counts, and what the owner revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// The owner's hosts by its newest order; `None`: it never said.
    pub listed: Option<Vec<NodeId>>,
    /// Hosts that count besides: this machine's own node, those that are being read from.
    pub besides: Vec<NodeId>,
    /// When the owner signed that a device is revoked.
    pub revoked: BTreeMap<NodeId, u64>,
    /// Now, unix seconds.
    pub now: u64,
}

impl Sight {
    /// Takes the list of hosts and the revocations from orders of the owner, all of which verify. A
    /// revocation cannot be taken back, whatever order says so.
    #[must_use]
    pub fn with_orders<'a>(mut self, orders: impl IntoIterator<Item = &'a Order>) -> Self {
        let mut newest = None;
        for order in orders {
            match &order.op {
                Op::Hosts { hseq, hosts } if newest.is_none_or(|known| known < *hseq) => {
                    newest = Some(*hseq);
                    self.listed = Some(hosts.clone());
                }
                Op::Revoke { device, .. } => {
                    let at = self.revoked.entry(*device).or_insert(order.issued);
                    *at = order.issued.min(*at);
                }
                _ => {}
            }
        }
        self
    }

    /// Whether a host's word counts for a snapshot. Who holds the key of a device signs receipts of
    /// that machine as well: a revoked one counts for nothing.
    fn counts(&self, host: &NodeId) -> bool {
        let listed = self
            .listed
            .as_ref()
            .is_some_and(|hosts| hosts.contains(host));
        (listed || self.besides.contains(host)) && !self.revoked.contains_key(host)
    }

    /// When it was received: the earliest receipt that counts. One dated ahead of now is not
    /// believed, nor one from long before the backup had begun as long as there is another.
    fn received(&self, candidate: &Candidate<'_>) -> Received {
        let mut ahead = false;
        let mut believed: Vec<u64> = Vec::new();
        for stamp in candidate.stamps.iter().filter(|s| self.counts(&s.host)) {
            if stamp.received > self.now.saturating_add(CERT_CLOCK_SKEW_S) {
                ahead = true;
            } else {
                believed.push(stamp.received.min(self.now));
            }
        }
        let plausible = |at: &&u64| at.saturating_add(CERT_CLOCK_SKEW_S) >= candidate.snap.time;
        let earliest = believed.iter().filter(plausible).min();
        match (earliest.or_else(|| believed.iter().max()), ahead) {
            (Some(at), _) => Received::At(*at),
            (None, true) => Received::Ahead,
            (None, false) => Received::Never,
        }
    }
}

enum Received {
    At(u64),
    Ahead,
    Never,
}

/// Why a snapshot may be the newest, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Good,
    /// Every receipt that counts is dated ahead of now.
    Ahead,
    /// No host that counts gave a receipt for it.
    Unseen,
    /// Its root is that of this snapshot, which was there before.
    Again(SnapshotId),
    /// Its device was revoked at this time, and no host that counts had it before.
    Revoked(u64),
}

/// A snapshot in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which candidate: its place in the list given.
    pub at: usize,
    /// Its id.
    pub id: SnapshotId,
    /// When hosts that count received it first; not before they received what it builds on.
    pub received: Option<u64>,
    /// Whether it may be the newest.
    pub standing: Standing,
}

impl Place {
    /// Whether it may be taken for the newest without being asked for by its id.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.standing == Standing::Good
    }
}

/// Puts snapshots in order, the newest first, and behind them those that may not be it.
#[must_use]
pub fn order(candidates: &[Candidate<'_>], sight: &Sight) -> Vec<Place> {
    let mut places: Vec<Place> = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| first_place(at, candidate, sight))
        .collect();
    not_before_what_they_build_on(candidates, &mut places);
    mark_those_played_again(candidates, &mut places);
    places.sort_by_cached_key(|place| {
        let seq = candidates.get(place.at).map_or(0, |c| c.snap.seq);
        Reverse((place.is_good(), place.received, seq, place.id))
    });
    places
}

fn first_place(at: usize, candidate: &Candidate<'_>, sight: &Sight) -> Place {
    let revoked = sight.revoked.get(&candidate.snap.device).copied();
    let (received, standing) = match (sight.received(candidate), revoked) {
        (Received::At(at), Some(revoked)) if at >= revoked => {
            (Some(at), Standing::Revoked(revoked))
        }
        (Received::At(at), _) => (Some(at), Standing::Good),
        (Received::Ahead | Received::Never, Some(revoked)) => (None, Standing::Revoked(revoked)),
        (Received::Ahead, None) => (None, Standing::Ahead),
        (Received::Never, None) => (None, Standing::Unseen),
    };
    Place {
        at,
        id: candidate.id,
        received,
        standing,
    }
}

/// A snapshot names the one before it under its signature: it cannot have come earlier. So a host
/// that dates a receipt back does not push the newest behind what it was built on.
fn not_before_what_they_build_on(candidates: &[Candidate<'_>], places: &mut [Place]) {
    let index: HashMap<SnapshotId, usize> = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| (candidate.id, at))
        .collect();
    let mut done = vec![false; places.len()];
    let mut path = Vec::new();
    for start in 0..places.len() {
        let mut next = Some(start);
        while let Some(at) = next.filter(|at| done.get(*at) == Some(&false)) {
            // Ids are hashes of what names the one before, so there is no circle; the mark keeps
            // it finite all the same.
            if let Some(mark) = done.get_mut(at) {
                *mark = true;
            }
            path.push(at);
            next = before(candidates, &index, at);
        }
        while let Some(at) = path.pop() {
            let least = before(candidates, &index, at)
                .and_then(|before| places.get(before))
                .filter(|place| place.is_good())
                .and_then(|place| place.received);
            if let Some(place) = places.get_mut(at).filter(|place| place.is_good()) {
                place.received = place.received.max(least);
            }
        }
    }
}

fn before(
    candidates: &[Candidate<'_>],
    index: &HashMap<SnapshotId, usize>,
    at: usize,
) -> Option<usize> {
    let candidate = candidates.get(at)?;
    let before = *index.get(&candidate.snap.prev?)?;
    let same = candidates.get(before)?.snap.device == candidate.snap.device;
    same.then_some(before)
}

/// Of several snapshots with one root the earliest is meant; the others bring nothing new.
fn mark_those_played_again(candidates: &[Candidate<'_>], places: &mut [Place]) {
    let mut first: HashMap<ObjectId, (u64, u64, SnapshotId)> = HashMap::new();
    let key = |place: &Place, candidate: &Candidate<'_>| {
        let received = place.received.unwrap_or(u64::MAX);
        (received, candidate.snap.seq, place.id)
    };
    for (place, candidate) in places.iter().zip(candidates) {
        let here = key(place, candidate);
        first
            .entry(candidate.snap.root)
            .and_modify(|known| *known = here.min(*known))
            .or_insert(here);
    }
    for (place, candidate) in places.iter_mut().zip(candidates) {
        let (_, _, id) = first
            .get(&candidate.snap.root)
            .copied()
            .unwrap_or((0, 0, place.id));
        if id != place.id && place.is_good() {
            place.standing = Standing::Again(id);
        }
    }
}

/// What keeps snapshots together of which one replaces another: one line of backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The device.
    pub device: NodeId,
    /// What it saves.
    pub set: SetId,
}

impl Line {
    /// The line of a snapshot.
    #[must_use]
    pub fn of(snap: &Snap) -> Self {
        Self {
            device: snap.device,
            set: snap.set,
        }
    }
}

/// The newest of each line, in order of the lines. `places`: as [`order`] gives them. A line of
/// which nothing may be the newest is left out.
#[must_use]
pub fn newest_of_lines(candidates: &[Candidate<'_>], places: &[Place]) -> BTreeMap<Line, Place> {
    let mut newest = BTreeMap::new();
    for place in places.iter().filter(|place| place.is_good()) {
        if let Some(candidate) = candidates.get(place.at) {
            newest.entry(Line::of(candidate.snap)).or_insert(*place);
        }
    }
    newest
}

/// Another snapshot that something says is newer than the one chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rival {
    /// The other one.
    pub place: Place,
    /// By the device's clock it is later.
    pub by_clock: bool,
    /// Its number is higher.
    pub by_number: bool,
    /// It claims the same place in the line: the key is in use twice, or was set back.
    pub twin: bool,
}

/// Snapshots of the same line that are newer than `chosen` by the device's clock or number, or that
/// claim its place: what a person has to know before the choice is taken for granted.
#[must_use]
pub fn rivals(candidates: &[Candidate<'_>], places: &[Place], chosen: &Place) -> Vec<Rival> {
    let Some(best) = candidates.get(chosen.at).map(|candidate| candidate.snap) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for place in places.iter().filter(|place| place.id != chosen.id) {
        let Some(snap) = candidates.get(place.at).map(|candidate| candidate.snap) else {
            continue;
        };
        if Line::of(snap) != Line::of(best) {
            continue;
        }
        let rival = Rival {
            place: *place,
            by_clock: snap.time > best.time,
            by_number: snap.seq > best.seq,
            twin: snap.seq == best.seq || (snap.prev.is_some() && snap.prev == best.prev),
        };
        if rival.by_clock || rival.by_number || rival.twin {
            found.push(rival);
        }
    }
    found
}

/// A clock to go by: this machine's, unless it is behind what the owner signed (a blank machine may
/// believe it is 1970). Then that of the host that is read from, if it says more.
#[must_use]
pub fn believable_now(own: u64, host: Option<u64>, signed: &BTreeSet<u64>) -> u64 {
    let floor = signed.last().copied().unwrap_or(0);
    if own.saturating_add(CERT_CLOCK_SKEW_S) >= floor {
        return own;
    }
    host.unwrap_or(floor).max(floor)
}
