//! How much goes in a day, and when nothing does.

use super::super::{
    ClockMark, DAY_S, Day, Freeze, Moment, Rules, SnapFact, advance, daily_cap, evaluate, expire,
};
use super::{NOTHING, NOW, daily, id, in_set, snap, snaps};
use crate::ids::SnapshotId;

const TODAY: u64 = NOW / DAY_S;

#[test]
fn n08_cap_of_the_day_is_exact() {
    for (total, cap) in [
        (0, 2),
        (1, 2),
        (19, 2),
        (20, 2),
        (29, 2),
        (30, 3),
        (39, 3),
        (1000, 100),
        (u64::MAX, u64::MAX / 10),
    ] {
        assert_eq!(daily_cap(total), cap, "{total}");
    }
    // 100 snapshots: ten a day. One below, at, and above.
    for (marked, room) in [(0, 10), (9, 1), (10, 0), (11, 0), (u64::MAX, 0)] {
        // Those marked today are no longer among the snapshots.
        let left = 100 - marked.min(11);
        let day = Day { day: TODAY, marked };
        let (ids, after) = expire(&daily(left), &NOTHING, day, &[], NOW);
        let room = if marked == u64::MAX { 0 } else { room };
        assert_eq!(ids.len(), room, "{marked}");
        assert_eq!(after.marked, marked + room as u64);
    }
}

#[test]
fn oldest_first_and_the_same_in_one_go_or_many() {
    let all = daily(40);
    let (ids, day) = expire(&all, &NOTHING, Day::default(), &[], NOW);
    assert_eq!(ids, [id(1), id(2), id(3), id(4)]);
    assert_eq!(
        day,
        Day {
            day: TODAY,
            marked: 4
        }
    );
    // Nothing more on this day, however often it is asked, nor when the clock is set back.
    let left = &all[4..];
    for now in [NOW, NOW + 60, NOW - 3 * DAY_S] {
        assert_eq!(expire(left, &NOTHING, day, &[], now), (vec![], day));
    }
    let (ids, day) = expire(left, &NOTHING, day, &[], NOW + DAY_S);
    assert_eq!(ids, [id(5), id(6), id(7)]);
    assert_eq!(
        day,
        Day {
            day: TODAY + 1,
            marked: 3
        }
    );
}

#[test]
fn n08_everything_goes_in_the_end_but_the_last() {
    let (mut left, mut day, mut now) = (daily(50), Day::default(), NOW);
    for _ in 0..60 {
        let (ids, after) = expire(&left, &NOTHING, day, &[], now);
        left.retain(|s| !ids.contains(&s.id));
        (day, now) = (after, now + DAY_S);
    }
    assert_eq!(left.iter().map(|s| s.id).collect::<Vec<_>>(), [id(50)]);
}

#[test]
fn n08_nothing_goes_while_frozen() {
    let all = daily(100);
    let freezes = [
        Freeze::Clock {
            expected: 0,
            seen: NOW,
        },
        Freeze::Settling { left_s: 1 },
        Freeze::of_flood(48, 48, NOW).unwrap(),
        Freeze::Fork { a: id(1), b: id(2) },
        Freeze::Revoked,
    ];
    let day = Day {
        day: TODAY - 1,
        marked: 1,
    };
    assert_eq!(expire(&all, &NOTHING, day, &[], NOW).0.len(), 10);
    for freeze in freezes {
        let frozen = expire(&all, &NOTHING, day, std::slice::from_ref(&freeze), NOW);
        assert_eq!(frozen, (vec![], day), "{freeze}");
    }
}

/// A device that floods freezes itself. The other one's verdicts, marks and counts are those of a world without it.
#[test]
fn n08_flood_of_one_device_leaves_the_other_untouched() {
    let rules = Rules::default();
    let (limit, mut a, b) = (48, daily(300), daily(300));
    let (mut a_day, mut b_day) = (Day::default(), Day::default());
    let mut b_left = b.clone();
    for n in 0..200 {
        let now = NOW + n * DAY_S;
        a.extend((0..limit).map(|k| snap(1000 + n * limit + k, now + k)));
        let flood = Freeze::of_flood(limit, limit, now);
        let (a_ids, a_after) = expire(&a, &rules, a_day, flood.as_slice(), now + limit);
        assert_eq!((a_ids, a_after), (vec![], a_day));
        a_day = a_after;
        let (b_ids, b_after) = expire(&b_left, &rules, b_day, &[], now + limit);
        b_left.retain(|s| !b_ids.contains(&s.id));
        b_day = b_after;
    }
    // Exactly what the rules keep of it, with no device A anywhere.
    let kept = evaluate(&b, &rules, NOW + 199 * DAY_S + limit);
    let kept: Vec<_> = kept.iter().filter(|v| !v.reasons.is_empty()).collect();
    assert_eq!(b_left.len(), kept.len());
    assert!(kept.iter().all(|v| b_left.iter().any(|s| s.id == v.id)));
}

/// Clock ten years ahead, ten years back, or a leap: nothing goes, and the counts stay.
#[test]
fn n08_clock_jumps_freeze() {
    const YEARS: u64 = 3653 * DAY_S;
    let facts = daily(300);
    let day = Day {
        day: TODAY,
        marked: 0,
    };
    let boot_id = [1; 16];
    let mark = ClockMark::at(Moment {
        wall: NOW,
        boot: 100_000,
        boot_id,
    });
    let run = |wall: u64| {
        let boot = 100_060;
        let (mark, state) = advance(
            Some(mark),
            Moment {
                wall,
                boot,
                boot_id,
            },
        );
        let freezes = state.freeze();
        (
            mark,
            expire(&facts, &NOTHING, day, freezes.as_slice(), wall),
        )
    };
    for wall in [
        NOW + YEARS,
        NOW - YEARS,
        NOW + DAY_S + 61,
        NOW - DAY_S + 59,
        0,
        u64::MAX,
    ] {
        let (mark, result) = run(wall);
        assert_eq!(result, (vec![], day), "{wall}");
        assert!(mark.jumped.is_some());
    }
    // A leap second, and the largest slip that is allowed.
    for wall in [NOW + 61, NOW + 59, NOW + 60 + DAY_S, NOW + 60 - DAY_S] {
        let (mark, (ids, _)) = run(wall);
        assert!(mark.jumped.is_none(), "{wall}");
        assert_eq!(ids.len(), 30);
    }
}

/// Sets share the count of the day: who invents some has no more go of the others.
#[test]
fn n08_the_cap_of_the_day_is_one_for_all_sets() {
    let honest: Vec<_> = daily(40);
    let mut all = honest.clone();
    all.extend((0..60).map(|n| in_set(1 + n as u8, snap(1000 + n, NOW - n))));
    let (ids, day) = expire(&all, &NOTHING, Day::default(), &[], NOW);
    assert_eq!((ids.len(), day.marked), (10, 10));
    assert_eq!(expire(&all[10..], &NOTHING, day, &[], NOW).0, vec![]);
}

/// A host that starts afresh copies a history: with the times of the receipts it keeps what the old one kept.
#[test]
fn n08_a_copied_history_keeps_its_times() {
    let rules = Rules::default();
    let times = (1..=1000).rev().map(|back| NOW - back * DAY_S);
    let old = snaps(times.clone());
    let kept = |facts: &[SnapFact]| -> Vec<SnapshotId> {
        let verdicts = evaluate(facts, &rules, NOW);
        let stays = verdicts.iter().filter(|v| !v.reasons.is_empty());
        stays.map(|v| v.id).collect()
    };
    let me = super::host(9);
    let mut copied: Vec<_> = (1..)
        .zip(times)
        .map(|(n, t)| {
            let receipts = [(super::host(1), t + 60), (super::host(2), t)];
            let listed = [super::host(1), super::host(2)];
            let t = super::super::effective_time(NOW, true, t - 60, &receipts, Some(&listed), &me);
            snap(n, t)
        })
        .collect();
    assert_eq!(kept(&copied), kept(&old));
    // In any other order of copying it keeps at least these.
    for fact in &mut copied {
        fact.arrival = fact.arrival * 7919 % 1009;
    }
    let shuffled = kept(&copied);
    assert!(kept(&old).iter().all(|id| shuffled.contains(id)));
    // Without receipts everything would be one day's work.
    let lost: Vec<_> = copied.iter().map(|s| snap(s.arrival, NOW)).collect();
    let later = evaluate(&lost, &rules, NOW + 31 * DAY_S);
    assert_eq!(later.iter().filter(|v| !v.reasons.is_empty()).count(), 4);
}
