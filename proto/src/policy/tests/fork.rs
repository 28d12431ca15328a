//! Floods and forks.

use proptest::prelude::*;

use super::super::{Freeze, Frozen, Link, flood, fork};
use super::{NOW, id};

#[test]
fn n08_flood_is_exact() {
    for (snaps, limit, is) in [
        (0, 0, false),
        (36, 0, false),
        (37, 0, true),
        (36, 48, false),
        (37, 48, true),
        (72, 96, false),
        (73, 96, true),
        (24, 24, false),
        (u64::MAX / 4 * 3, u64::MAX, false),
        (u64::MAX / 4 * 3 + 1, u64::MAX, true),
    ] {
        assert_eq!(flood(snaps, limit), is, "{snaps} of {limit}");
        assert_eq!(Freeze::of_flood(snaps, limit, NOW).is_some(), is);
    }
}

/// One an hour, and some by hand: also in a day in which a clock is set back.
#[test]
fn an_hourly_backup_and_some_by_hand_are_no_flood() {
    for by_hand in 0..=12 {
        assert!(!flood(24 + by_hand, 48), "{by_hand}");
    }
}

#[test]
fn a_freeze_is_dated() {
    let freeze = Freeze::of_flood(48, 48, NOW).unwrap();
    let frozen = Frozen { freeze, since: NOW };
    let text = frozen.to_string();
    assert!(text.starts_with("since 2026-11-25: 48 snapshots"), "{text}");
}

#[test]
fn every_freeze_says_what_to_do() {
    let freezes = [
        Freeze::Clock {
            expected: NOW,
            seen: u64::MAX,
        },
        Freeze::Settling { left_s: 3601 },
        Freeze::of_flood(48, 48, NOW).unwrap(),
        Freeze::Fork { a: id(1), b: id(2) },
        Freeze::Revoked,
    ];
    for freeze in freezes {
        let text = freeze.to_string();
        let next = if freeze.needs_owner() {
            "a newer policy order of the owner"
        } else {
            "2 more h; there is nothing to do"
        };
        assert!(text.contains(next), "{text}");
        assert!(!text.contains("  "), "{text}");
        let kept = serde_json::to_string(&freeze).unwrap();
        assert_eq!(serde_json::from_str::<Freeze>(&kept).unwrap(), freeze);
    }
}

/// Snapshot `n` of line `line`: they part after `shared`.
fn link(line: u64, n: u64, shared: u64) -> Link {
    let name = |n: u64| id(if n > shared { line * 1000 + n } else { n });
    Link {
        id: name(n),
        prev: (n > 1).then(|| name(n - 1)),
        seq: n,
    }
}

/// What is found when these come one after the other.
fn run(arrivals: &[Link]) -> Vec<(usize, Freeze)> {
    let mut found = Vec::new();
    for (n, new) in arrivals.iter().enumerate() {
        if let Some(a) = fork(&arrivals[..n], new) {
            found.push((n, Freeze::Fork { a, b: new.id }));
        }
    }
    found
}

#[test]
fn n10_fork_is_found_at_the_second_child() {
    let line = |n| link(1, n, 3);
    let other = |n| link(2, n, 3);
    let (a, b) = (line(4).id, other(4).id);
    let arrivals = [line(1), line(2), line(3), line(4), line(5), other(4)];
    assert_eq!(run(&arrivals), [(5, Freeze::Fork { a, b })]);
    // The other way round, and a second first snapshot.
    let arrivals = [line(3), other(4), line(4)];
    assert_eq!(run(&arrivals), [(2, Freeze::Fork { a: b, b: a })]);
    let first = link(2, 1, 0);
    assert_eq!(fork(&[line(1), line(2)], &first), Some(line(1).id));
    // The same one again is not another one.
    assert_eq!(fork(&[line(1), line(2), line(3)], &line(2)), None);
}

/// A thief takes the greatest number there is. The device's next snapshot is taken in, and the fork shows.
#[test]
fn n10_greatest_number_then_a_normal_one_is_a_fork() {
    let line = |n| link(1, n, 9);
    let thief = Link {
        id: id(77),
        prev: Some(line(2).id),
        seq: u64::MAX,
    };
    let arrivals = [line(1), line(2), thief, line(3), line(4)];
    let (a, b) = (thief.id, line(3).id);
    // Found once: what follows on the device's line contradicts nothing more.
    assert_eq!(run(&arrivals), [(3, Freeze::Fork { a, b })]);
    // One that takes the number of the next, with a predecessor nobody knows.
    let thief = Link {
        id: id(78),
        prev: Some(id(999)),
        seq: 3,
    };
    let (a, b) = (thief.id, line(3).id);
    assert_eq!(
        run(&[line(2), thief, line(3)]),
        [(2, Freeze::Fork { a, b })]
    );
}

proptest! {
    /// One line, any part of it, in any order: no alarm.
    #[test]
    fn n10_one_line_is_no_fork(line in proptest::sample::subsequence((1..40u64).collect::<Vec<_>>(), 0..39).prop_shuffle()) {
        let arrivals: Vec<Link> = line.into_iter().map(|n| link(1, n, 40)).collect();
        prop_assert_eq!(run(&arrivals), vec![]);
    }

    /// Two lines, in any order: found as soon as both have a snapshot with the same number, and not before.
    #[test]
    fn n10_two_lines_are_a_fork_in_any_order(
        shared in 0u64..6,
        order in Just((0..16u64).collect::<Vec<_>>()).prop_shuffle(),
        keep in 0usize..16,
    ) {
        let own = |k: &u64| link(1 + k / 8, k % 8 + 1, shared);
        let mut arrivals: Vec<Link> = Vec::new();
        for new in order.iter().take(keep).map(own) {
            if !arrivals.contains(&new) {
                arrivals.push(new);
            }
        }
        let first = (0..arrivals.len()).find(|n| arrivals[..*n].iter().any(|o| o.seq == arrivals[*n].seq));
        prop_assert_eq!(run(&arrivals).first().map(|(n, _)| *n), first);
    }
}
