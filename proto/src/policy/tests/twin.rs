//! Retention against a twin that is written straight from the text of docs/retention.md, and slow.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{DAY_S, Day, Period, Reason, Rule, Rules, SnapFact, evaluate, expire};
use super::{NOW, id};
use crate::ids::SetId;

/// Few values each, so that limits are met and times are equal.
pub(super) fn any_rules() -> impl Strategy<Value = Rules> {
    let keep = || prop_oneof![2 => Just(0u64), 5 => 1u64..5, 1 => Just(u64::MAX)];
    let keep = [keep(), keep(), keep(), keep(), keep()];
    (0u64..50, keep, 0u64..5).prop_map(|(min_age_d, keep, keep_last)| Rules {
        min_age_d,
        keep,
        keep_last,
    })
}

/// Times around `NOW` (mostly before), arrivals in any order.
fn any_snaps() -> impl Strategy<Value = Vec<SnapFact>> {
    let back = prop_oneof![
        0..3 * 3600u64,
        (0u64..60).prop_map(|d| d * DAY_S),
        0..900 * DAY_S,
    ];
    vec((back, any::<u16>(), 0u8..10, 0u8..12, 0u8..3), 0..40).prop_map(|rows| {
        let mut facts: Vec<SnapFact> = (0..)
            .zip(&rows)
            .map(|(n, (back, _, held, future, set))| SnapFact {
                id: id(n * 7919 % 101),
                set: SetId([*set; 16]),
                t: if *future == 0 {
                    NOW + back / 20
                } else {
                    NOW - back
                },
                arrival: 0,
                held: *held == 0,
            })
            .collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|n| rows[*n].1);
        for (arrival, n) in (0..).zip(order) {
            facts[n].arrival = arrival;
        }
        facts
    })
}

/// Whether a is older than b.
fn older(a: &SnapFact, b: &SnapFact) -> bool {
    (a.t, a.arrival) < (b.t, b.arrival)
}

/// The text: held, or younger than the least age, or among the newest, or earliest (or first to come here) of its
/// period, and that period among the newest that are not empty. And the newest never goes. All within its backup set.
fn naive(all: &[SnapFact], s: &SnapFact, rules: &Rules, now: u64) -> bool {
    if s.held || s.t > now || now - s.t < rules.min_age_d * DAY_S {
        return true;
    }
    let in_set = all.iter().filter(|o| o.set == s.set);
    let past: Vec<&SnapFact> = in_set.filter(|o| o.t <= now).collect();
    let newer = past.iter().filter(|o| older(s, o)).count() as u64;
    if newer < rules.keep_last || newer == 0 {
        return true;
    }
    Rule::ALL.into_iter().zip(rules.keep).any(|(rule, k)| {
        let period = |o: &SnapFact| Period::of(rule, o.t).number;
        let same: Vec<_> = past.iter().filter(|o| period(o) == period(s)).collect();
        let earliest = !same.iter().any(|o| older(o, s));
        let first_here = !same.iter().any(|o| o.arrival < s.arrival);
        let mut later: Vec<u64> = past.iter().map(|o| period(o)).collect();
        later.retain(|p| *p > period(s));
        later.sort_unstable();
        later.dedup();
        (earliest || first_here) && (later.len() as u64) < k
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn n08_evaluate_agrees_with_the_text(facts in any_snaps(), rules in any_rules()) {
        let verdicts = evaluate(&facts, &rules, NOW);
        prop_assert_eq!(verdicts.len(), facts.len());
        prop_assert!(verdicts.is_sorted_by(|a, b| a.t >= b.t));
        for s in &facts {
            let verdict = verdicts.iter().find(|v| v.id == s.id).unwrap();
            let keep = naive(&facts, s, &rules, NOW);
            prop_assert_eq!(!verdict.reasons.is_empty(), keep, "{:?}: {:?}", s, verdict);
            prop_assert_eq!(verdict.goes == Some(NOW), !keep);
        }
    }

    /// On a host that got everything from the device, earliest and first to come are one.
    #[test]
    fn own_receipts_need_one_rule(facts in any_snaps(), rules in any_rules()) {
        let mut facts = facts;
        facts.sort_by_key(|s| s.t);
        for (n, s) in (0..).zip(&mut facts) {
            s.arrival = n;
        }
        for verdict in evaluate(&facts, &rules, NOW) {
            let here = verdict.reasons.iter().any(|r| matches!(r, Reason::FirstHere { .. }));
            prop_assert!(!here);
        }
    }

    /// The day that is named is the day: one second before it stays, then it may go.
    #[test]
    fn the_day_it_goes_is_right(facts in any_snaps(), rules in any_rules()) {
        for verdict in evaluate(&facts, &rules, NOW) {
            let at = |now| {
                let verdicts = evaluate(&facts, &rules, now);
                let same = verdicts.into_iter().find(|v| v.id == verdict.id);
                same.unwrap().reasons.is_empty()
            };
            let to_come = facts.iter().any(|s| s.t > NOW);
            match verdict.goes {
                Some(t) if t > NOW => {
                    prop_assert!(!at(t - 1));
                    // One dated after now may be the newest by then, or first of its period.
                    prop_assert!(at(t) || to_come);
                }
                Some(t) => prop_assert!(at(t)),
                None => prop_assert!(to_come || !at(NOW + 5000 * DAY_S)),
            }
        }
    }

    /// Letting some of those go that may go changes no other verdict.
    #[test]
    fn n08_letting_go_moves_nobody_up(facts in any_snaps(), rules in any_rules(), picks in any::<u64>()) {
        let before = evaluate(&facts, &rules, NOW);
        let gone = |n: usize| picks >> (n % 64) & 1 == 1 && before[n].reasons.is_empty();
        let left: Vec<_> = (0..before.len()).filter(|n| !gone(*n)).map(|n| before[n].clone()).collect();
        let facts: Vec<_> = facts.into_iter().filter(|s| left.iter().any(|v| v.id == s.id)).collect();
        prop_assert_eq!(evaluate(&facts, &rules, NOW), left);
    }

    /// What is marked is what may go, oldest first, as many as the day allows.
    #[test]
    fn expire_marks_the_oldest_that_may_go(facts in any_snaps(), rules in any_rules(), marked in 0u64..6) {
        let today = Day { day: NOW / DAY_S, marked };
        let (ids, after) = expire(&facts, &rules, today, &[], NOW);
        let mut may: Vec<_> = facts.iter().filter(|s| !naive(&facts, s, &rules, NOW)).collect();
        may.sort_by_key(|s| (s.t, s.arrival));
        let cap = 2.max((facts.len() as u64 + marked) / 10);
        may.truncate(cap.saturating_sub(marked) as usize);
        prop_assert_eq!(&ids, &may.iter().map(|s| s.id).collect::<Vec<_>>());
        prop_assert_eq!(after.marked, marked + ids.len() as u64);
    }
}
