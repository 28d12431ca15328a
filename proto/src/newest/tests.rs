//! Who is the newest, and whom nobody can make so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::ids::{OwnerId, RecordId};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const LISTED: NodeId = NodeId([1; 32]);
const SECOND: NodeId = NodeId([2; 32]);
const STRANGER: NodeId = NodeId([3; 32]);
const DEVICE: NodeId = NodeId([9; 32]);
const SET: SetId = SetId([1; 16]);

fn id(n: u8) -> SnapshotId {
    RecordId([n; 32])
}

fn snap(n: u8, prev: Option<u8>) -> Snap {
    Snap {
        owner: OwnerId([7; 32]),
        device: DEVICE,
        seq: u64::from(n),
        prev: prev.map(id),
        root: ObjectId([n; 32]),
        time: NOW - 100 * DAY + u64::from(n) * DAY,
        cert_serial: 1,
        set: SET,
    }
}

fn stamp(host: NodeId, received: u64) -> Stamp {
    Stamp { received, host }
}

/// Received by a listed host a minute after it was made.
fn honest(n: u8, snap: &Snap) -> Candidate<'_> {
    Candidate {
        id: id(n),
        snap,
        stamps: vec![stamp(LISTED, snap.time + 60)],
    }
}

fn sight() -> Sight {
    Sight {
        listed: Some(vec![LISTED, SECOND]),
        now: NOW,
        ..Sight::default()
    }
}

fn firsts(candidates: &[Candidate<'_>], sight: &Sight) -> Vec<u8> {
    let places = order(candidates, sight);
    places.iter().map(|place| place.id.0[0]).collect()
}

#[test]
fn n26_neither_the_clock_nor_the_number_of_a_device_decides() {
    let (first, second) = (snap(1, None), snap(2, Some(1)));
    // Made while the clock was two years ahead, and the next number far up.
    let ahead = Snap {
        time: NOW + 700 * DAY,
        seq: u64::MAX,
        ..first.clone()
    };
    let mut early = honest(1, &ahead);
    early.stamps = vec![stamp(LISTED, NOW - 5 * DAY)];
    let late = honest(2, &second);
    let mut late = late;
    late.stamps = vec![stamp(LISTED, NOW - 4 * DAY)];
    let both = [early, late];
    assert_eq!(firsts(&both, &sight()), [2, 1]);
    let places = order(&both, &sight());
    let found = rivals(&both, &places, &places[0]);
    assert_eq!(found.len(), 1, "the disagreement is told");
    assert!(found[0].by_clock && found[0].by_number && !found[0].twin);
}

#[test]
fn n26_a_receipt_dated_ahead_of_now_makes_nothing_the_newest() {
    let (honest_snap, thief) = (snap(1, None), snap(2, None));
    let mut stolen = honest(2, &thief);
    stolen.stamps = vec![stamp(LISTED, NOW + 3650 * DAY)];
    let both = [stolen.clone(), honest(1, &honest_snap)];
    assert_eq!(firsts(&both, &sight()), [1, 2]);
    assert_eq!(order(&both, &sight())[1].standing, Standing::Ahead);
    // An honest receipt beside it dates it.
    stolen.stamps.push(stamp(SECOND, NOW - 200 * DAY));
    let places = order(&[stolen, honest(1, &honest_snap)], &sight());
    assert_eq!(places[0].id, id(1));
    assert_eq!(places[1].standing, Standing::Good);
    // A clock that is a little ahead is no lie, and gains nothing.
    let mut little = honest(1, &honest_snap);
    little.stamps = vec![stamp(LISTED, NOW + 60)];
    assert_eq!(order(&[little], &sight())[0].received, Some(NOW));
}

#[test]
fn n26_only_hosts_that_count_date_a_snapshot() {
    let (old, new) = (snap(1, None), snap(2, None));
    let mut backdated = honest(2, &new);
    backdated.stamps.push(stamp(STRANGER, 5));
    assert_eq!(
        firsts(&[honest(1, &old), backdated.clone()], &sight()),
        [2, 1]
    );
    let mut unseen = honest(2, &new);
    unseen.stamps = vec![stamp(STRANGER, NOW)];
    let both = [unseen, honest(1, &old)];
    assert_eq!(firsts(&both, &sight()), [1, 2]);
    assert_eq!(order(&both, &sight())[1].standing, Standing::Unseen);
    // Without a list: this machine and whom it reads from.
    let own = Sight {
        listed: None,
        besides: vec![STRANGER],
        ..sight()
    };
    assert_eq!(firsts(&both, &own), [2, 1]);
}

#[test]
fn n26_of_a_revoked_device_only_what_came_before() {
    let (before, after) = (snap(1, None), snap(2, Some(1)));
    let both = [honest(1, &before), honest(2, &after)];
    let mut sight = sight();
    sight.revoked.insert(DEVICE, after.time);
    assert_eq!(firsts(&both, &sight), [1, 2]);
    let places = order(&both, &sight);
    assert_eq!(places[1].standing, Standing::Revoked(after.time));
    // What its own machine signs does not date it back before that.
    let mut forged = honest(2, &after);
    forged.stamps.push(stamp(DEVICE, before.time));
    sight.listed = Some(vec![LISTED, DEVICE]);
    assert_eq!(
        order(&[honest(1, &before), forged], &sight)[1].standing,
        Standing::Revoked(after.time)
    );
    let mut nobody = honest(2, &after);
    nobody.stamps.clear();
    assert_eq!(
        order(&[nobody], &sight)[0].standing,
        Standing::Revoked(after.time)
    );
}

#[test]
fn n26_an_old_root_played_again_is_not_new() {
    let (old, new) = (snap(1, None), snap(2, Some(1)));
    let again = Snap {
        root: old.root,
        time: NOW,
        ..snap(3, Some(2))
    };
    let all = [honest(3, &again), honest(1, &old), honest(2, &new)];
    assert_eq!(firsts(&all, &sight()), [2, 1, 3]);
    assert_eq!(order(&all, &sight())[2].standing, Standing::Again(id(1)));
    assert!(newest_of_lines(&all, &order(&all, &sight()))[&Line::of(&new)].id == id(2));
}

#[test]
fn n26_each_backup_set_has_a_newest_of_its_own() {
    let (old, new) = (snap(1, None), snap(2, Some(1)));
    let other = SetId([2; 16]);
    let pictures = Snap {
        set: other,
        ..snap(3, Some(2))
    };
    let all = [honest(1, &old), honest(2, &new), honest(3, &pictures)];
    let places = order(&all, &sight());
    let newest = newest_of_lines(&all, &places);
    let (device, set) = (DEVICE, SET);
    assert_eq!(newest[&Line { device, set }].id, id(2));
    assert_eq!(newest[&Line { device, set: other }].id, id(3));
    // And none is a rival of another.
    let chosen = newest[&Line { device, set }];
    assert!(rivals(&all, &places, &chosen).is_empty());
}

#[test]
fn n26_a_host_that_dates_back_does_not_hide_the_newest() {
    let (old, new) = (snap(1, None), snap(2, Some(1)));
    let mut backdated = honest(2, &new);
    backdated.stamps = vec![stamp(LISTED, new.time + 60), stamp(SECOND, 5)];
    // Another receipt says better.
    let all = [honest(1, &old), backdated.clone()];
    assert_eq!(firsts(&all, &sight()), [2, 1]);
    // Nobody else says anything: it still comes after what it was built on.
    backdated.stamps.remove(0);
    assert_eq!(firsts(&[honest(1, &old), backdated], &sight()), [2, 1]);
}

/// What saves something else is no rival, and has a newest of its own.
#[test]
fn each_set_of_a_device_has_its_newest() {
    let documents = snap(1, None);
    let pictures = Snap {
        set: SetId([2; 16]),
        ..snap(2, Some(1))
    };
    let all = [honest(1, &documents), honest(2, &pictures)];
    let places = order(&all, &sight());
    let newest = newest_of_lines(&all, &places);
    assert_eq!(newest[&Line::of(&documents)].id, id(1));
    assert_eq!(newest[&Line::of(&pictures)].id, id(2));
    let chosen = newest[&Line::of(&documents)];
    assert!(rivals(&all, &places, &chosen).is_empty());
}

#[test]
fn a_line_of_any_length_and_order_is_followed() {
    let snaps: Vec<Snap> = (1..=200u8)
        .map(|n| snap(n, n.checked_sub(1).filter(|n| *n > 0)))
        .collect();
    let mut all: Vec<Candidate<'_>> = snaps
        .iter()
        .zip(1u8..)
        .map(|(snap, n)| honest(n, snap))
        .collect();
    for candidate in all.iter_mut().skip(1) {
        candidate.stamps = vec![stamp(LISTED, 5)];
    }
    all.reverse();
    let wanted: Vec<u8> = (1..=200u8).rev().collect();
    assert_eq!(firsts(&all, &sight()), wanted);
}

#[test]
fn the_newest_list_and_the_first_revocation_are_taken_from_orders() {
    let signed = |op, issued| Order {
        owner: OwnerId([7; 32]),
        oid: [1; 16],
        issued,
        audience: None,
        op,
        not_before: None,
    };
    let hosts = |hseq, host| Op::Hosts {
        hseq,
        hosts: vec![host],
    };
    let revoke = || Op::Revoke {
        device: DEVICE,
        reason: String::new(),
    };
    let orders = [
        signed(hosts(2, LISTED), 1),
        signed(hosts(1, SECOND), 2),
        signed(revoke(), 50),
        signed(revoke(), 40),
        signed(Op::Cancel(vec![[1; 16]]), 60),
    ];
    let sight = Sight::default().with_orders(&orders);
    assert_eq!(sight.listed, Some(vec![LISTED]));
    assert_eq!(sight.revoked, BTreeMap::from([(DEVICE, 40)]));
}

#[test]
fn a_blank_machine_in_1970_goes_by_its_host() {
    let signed = BTreeSet::from([NOW - DAY, 5]);
    assert_eq!(believable_now(NOW, Some(NOW + 900 * DAY), &signed), NOW);
    assert_eq!(believable_now(0, Some(NOW), &signed), NOW);
    assert_eq!(believable_now(0, Some(7), &signed), NOW - DAY);
    assert_eq!(believable_now(0, None, &signed), NOW - DAY);
    assert_eq!(believable_now(9, None, &BTreeSet::new()), 9);
}
