//! Each rule of retention by example.

use super::super::{DAY_S, Date, Period, Reason, Rule, Rules, SnapFact, Verdict, evaluate};
use super::{NOTHING, NOW, daily, id, in_set, snap, snaps};

fn stays(verdicts: &[Verdict]) -> Vec<u64> {
    let n = |v: &Verdict| u64::from_be_bytes(v.id.0[..8].try_into().unwrap());
    verdicts
        .iter()
        .filter(|v| !v.reasons.is_empty())
        .map(n)
        .collect()
}

fn texts(verdict: &Verdict) -> Vec<String> {
    verdict.reasons.iter().map(Reason::to_string).collect()
}

#[test]
fn nothing_in_nothing_out() {
    assert_eq!(evaluate(&[], &Rules::default(), NOW), vec![]);
}

#[test]
fn least_age_to_the_second() {
    let rules = Rules {
        min_age_d: 30,
        ..NOTHING
    };
    let month = 30 * DAY_S;
    let facts = snaps([NOW - month - 1, NOW - month, NOW - month + 1, NOW]);
    let verdicts = evaluate(&facts, &rules, NOW);
    assert_eq!(stays(&verdicts), [4, 3]);
    assert_eq!(
        texts(&verdicts[1]),
        ["younger than 30 days (until 2026-11-25)"]
    );
    assert_eq!(verdicts[1].goes, Some(NOW + 1));
    assert_eq!((verdicts[2].goes, verdicts[3].goes), (Some(NOW), Some(NOW)));
    // The newest stays for a second reason, so no day is given.
    assert_eq!(texts(&verdicts[0])[1], "the last of its backup set");
    assert_eq!(verdicts[0].goes, None);
}

#[test]
fn held_ones_stay() {
    let mut facts = daily(5);
    facts[0].held = true;
    let verdicts = evaluate(&facts, &NOTHING, NOW);
    assert_eq!(stays(&verdicts), [5, 1]);
    assert_eq!(texts(&verdicts[4]), ["held"]);
    assert_eq!(verdicts[4].goes, None);
}

#[test]
fn the_newest_stay() {
    let rules = Rules {
        keep_last: 3,
        ..NOTHING
    };
    let verdicts = evaluate(&daily(5), &rules, NOW);
    assert_eq!(stays(&verdicts), [5, 4, 3]);
    assert_eq!(texts(&verdicts[1]), ["newest 2 of 3"]);
    // Of two with the same time, the later to come is the newer.
    let twins = [snap(2, NOW - 9), snap(1, NOW - 9)];
    let rules = Rules {
        keep_last: 1,
        ..NOTHING
    };
    assert_eq!(stays(&evaluate(&twins, &rules, NOW)), [2]);
}

#[test]
fn n08_the_last_one_never_goes() {
    for n in 1..5 {
        let verdicts = evaluate(&daily(n), &NOTHING, NOW);
        assert_eq!(stays(&verdicts), [n]);
        assert_eq!(verdicts[0].reasons, [Reason::Only]);
    }
}

/// Each backup set is judged as if there were no other.
#[test]
fn n08_a_set_never_pays_for_another() {
    let rules = Rules {
        keep: [0, 3, 0, 2, 0],
        keep_last: 2,
        ..NOTHING
    };
    let documents = daily(30);
    let pictures = daily(90).into_iter();
    let pictures: Vec<_> = pictures
        .map(|s| in_set(7, snap(s.arrival + 1000, s.t + 5)))
        .collect();
    let alone = evaluate(&documents, &rules, NOW);
    let both: Vec<_> = documents.iter().chain(&pictures).copied().collect();
    let among: Vec<_> = evaluate(&both, &rules, NOW)
        .into_iter()
        .filter(|v| v.set == documents[0].set)
        .collect();
    assert_eq!(among, alone);
    // Also the last one of each.
    let last = evaluate(&both, &NOTHING, NOW);
    assert_eq!(stays(&last), [1090, 30]);
}

#[test]
fn first_of_the_newest_periods_that_are_not_empty() {
    // Three in each of four months, with months between that have none.
    let months = [1_700_000_000, 1_710_000_000, 1_740_000_000, 1_760_000_000];
    let facts = snaps(months.iter().flat_map(|m| [*m, m + DAY_S, m + 2 * DAY_S]));
    let rules = Rules {
        keep: [0, 0, 0, 3, 0],
        ..NOTHING
    };
    let verdicts = evaluate(&facts, &rules, NOW);
    // 12 is the last of its set.
    assert_eq!(stays(&verdicts), [12, 10, 7, 4]);
    assert_eq!(texts(&verdicts[2]), ["first of month 2025-10"]);
    let period = Period::of(Rule::Monthly, months[1]);
    let rule = Rule::Monthly;
    assert_eq!(verdicts[8].reasons, [Reason::First { rule, period }]);
}

#[test]
fn every_rule_counts_by_itself() {
    let rules = Rules {
        keep: [1, 2, 1, 1, 1],
        keep_last: 1,
        ..NOTHING
    };
    let facts = daily(400);
    let verdicts = evaluate(&facts, &rules, NOW);
    // Yesterday, the day before, Monday's, 1 November's, 1 January's.
    assert_eq!(stays(&verdicts), [400, 399, 377, 73]);
    assert_eq!(
        texts(&verdicts[0]),
        [
            "newest 1 of 1",
            "first of hour 2026-11-24 07h",
            "first of day 2026-11-24"
        ]
    );
    assert_eq!(
        texts(&verdicts[1]),
        ["first of day 2026-11-23", "first of week 2026-W48"]
    );
    assert_eq!(texts(&verdicts[327]), ["first of year 2026"]);
}

#[test]
fn n08_a_commit_in_the_same_second_takes_no_place() {
    let rules = Rules {
        keep: [0, 1, 0, 0, 0],
        ..NOTHING
    };
    // The one that came later has the smaller id.
    let late = SnapFact {
        id: id(0),
        arrival: 9,
        ..snap(0, NOW - 50)
    };
    let facts = [snap(1, NOW - 50), late, snap(10, NOW - 40)];
    assert_eq!(stays(&evaluate(&facts, &rules, NOW)), [10, 1]);
}

/// A copy from another host, with a receipt that says it is older, adds itself; it does not displace.
#[test]
fn n08_a_copy_that_claims_to_be_earlier_takes_no_place() {
    let rules = Rules {
        keep: [0, 0, 0, 1, 0],
        ..NOTHING
    };
    let month = 1_793_491_200; // 2026-11-01
    let here = snap(1, month + 3 * DAY_S);
    let copy = snap(2, month);
    let newest = snap(3, month + 9 * DAY_S);
    let verdicts = evaluate(&[here, copy, newest], &rules, NOW);
    assert_eq!(stays(&verdicts), [3, 1, 2]);
    assert_eq!(texts(&verdicts[1]), ["first to come here of month 2026-11"]);
    assert_eq!(texts(&verdicts[2]), ["first of month 2026-11"]);
}

/// What was received while the clock was wrong waits for its time, and takes nobody's place meanwhile.
#[test]
fn n08_a_date_to_come_takes_no_place() {
    let rules = Rules {
        keep: [0, 1, 0, 0, 1],
        keep_last: 1,
        ..NOTHING
    };
    let facts = snaps([NOW - 2 * DAY_S, NOW - DAY_S, NOW + 1, NOW + 4000 * DAY_S]);
    let verdicts = evaluate(&facts, &rules, NOW);
    assert_eq!(stays(&verdicts), [4, 3, 2, 1]);
    assert_eq!(
        texts(&verdicts[0]),
        ["younger than 0 days (until 2037-11-07)"]
    );
    let before = evaluate(&facts[..2], &rules, NOW);
    assert_eq!(verdicts[2..], before[..]);
}

#[test]
fn advice_keeps_some_of_everything() {
    let verdicts = evaluate(&daily(5000), &Rules::default(), NOW);
    let kept = stays(&verdicts).len();
    // 30 days, then weeks, months and years.
    assert!((30 + 8 + 8..60).contains(&kept), "{kept}");
    let last = verdicts.iter().rev().find(|v| !v.reasons.is_empty());
    assert_eq!(texts(last.unwrap()), ["first of year 2017"]);
}

/// The table in docs/retention.md.
#[test]
fn example_of_the_documentation() {
    let rules = Rules {
        min_age_d: 30,
        keep: [0, 3, 2, 4, 2],
        keep_last: 2,
    };
    let (last, today) = (1_795_515_200, 1_803_859_200); // 2026-11-24, 2027-03-01
    let facts = snaps((0..700).rev().map(|back| last - back * DAY_S));
    let kept: Vec<String> = evaluate(&facts, &rules, today)
        .iter()
        .filter(|v| !v.reasons.is_empty())
        .map(|v| format!("{} {}", Date::at(v.t), texts(v).join(", ")))
        .collect();
    assert_eq!(
        kept,
        [
            "2026-11-24 newest 1 of 2, first of day 2026-11-24",
            "2026-11-23 newest 2 of 2, first of day 2026-11-23, first of week 2026-W48",
            "2026-11-22 first of day 2026-11-22",
            "2026-11-16 first of week 2026-W47",
            "2026-11-01 first of month 2026-11",
            "2026-10-01 first of month 2026-10",
            "2026-09-01 first of month 2026-09",
            "2026-08-01 first of month 2026-08",
            "2026-01-01 first of year 2026",
            "2025-01-01 first of year 2025",
        ]
    );
}
