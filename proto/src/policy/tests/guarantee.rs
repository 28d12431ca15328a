//! The guarantee (docs/retention.md): whatever comes after a machine was broken into, what its host kept before stays
//! for its time. Years, day by day, against any rules, any history and any attacker.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{DAY_S, Day, Period, Reason, Rule, Rules, SnapFact, evaluate, expire};
use super::twin::any_rules;
use super::{id, in_set, snap};

/// 2024-01-03 10:00:00 UTC.
const START: u64 = 1_704_276_000;
const DAYS: u64 = 1000;

/// What the holder of the device key does next.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// Backs up. The host takes its own time.
    Commit,
    /// Has a listed host that lies give it a receipt with a time so long ago, and copies it here. Or: the clock of this
    /// host ran back a little.
    Backdate(u64),
    /// Backs up while the host's clock is ahead by so much, before somebody sets it right.
    Ahead(u64),
}

#[derive(Debug, Clone)]
struct Story {
    /// Times, oldest first.
    honest: Vec<SnapFact>,
    /// When, how many, what, and in which backup set: one of the honest ones, or one that is invented, each time another.
    attack: Vec<(u64, u64, Move, Option<u8>)>,
    rules: Rules,
    /// Second of the day at which the host looks, and whether its daily cap holds. Without, expiry is at its worst.
    at: u64,
    capped: bool,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => Just(Move::Commit),
        2 => (0..900 * DAY_S).prop_map(Move::Backdate),
        1 => (0..2 * DAY_S).prop_map(Move::Backdate),
        1 => (0..900 * DAY_S).prop_map(Move::Ahead),
    ]
}

fn story(attacker: impl Strategy<Value = Move>) -> impl Strategy<Value = Story> {
    let gap = || prop_oneof![0u64..2, 0..7200u64, 0..DAY_S, 0..20 * DAY_S];
    let honest = vec((gap(), 0u8..12, any::<u16>(), 0u8..3), 1..50);
    let set = prop_oneof![2 => (0u8..3).prop_map(Some), 1 => Just(None)];
    let attack = vec((gap(), 1u64..8, attacker, set), 0..40);
    let copied = any::<bool>();
    (honest, attack, any_rules(), 0..DAY_S, any::<bool>(), copied).prop_map(
        |(rows, attack, rules, at, capped, copied)| {
            let mut t = START;
            let mut honest: Vec<SnapFact> = (1..)
                .zip(&rows)
                .map(|(n, (gap, held, _, set))| {
                    t += gap;
                    SnapFact {
                        held: *held == 0,
                        ..in_set(*set, snap(n * 1000, t))
                    }
                })
                .collect();
            if copied {
                // From another host, in any order, with true times.
                let mut order: Vec<usize> = (0..rows.len()).collect();
                order.sort_by_key(|n| rows[*n].2);
                for (arrival, n) in (1..).zip(order) {
                    honest[n].arrival = arrival * 1000;
                }
            }
            let mut now = t;
            let attack = attack
                .into_iter()
                .map(|(gap, count, what, set)| {
                    now += gap;
                    (now, count, what, set)
                })
                .collect();
            Story {
                honest,
                attack,
                rules,
                at,
                capped,
            }
        },
    )
}

/// Everything the attacker brings: with the time retention will go by, and the time it comes.
fn junk(story: &Story) -> Vec<(u64, SnapFact)> {
    let mut all = Vec::new();
    for (now, count, what, set) in &story.attack {
        for k in 0..*count {
            let n = 1_000_000 + all.len() as u64;
            let t = match what {
                Move::Commit => *now,
                Move::Backdate(by) => now - by.saturating_sub(k),
                Move::Ahead(by) => now + by + k,
            };
            // Ids below and above those of the honest.
            let id = id(if k % 2 == 0 { all.len() as u64 } else { n });
            let invented = 3 + u8::try_from(all.len() % 250).unwrap();
            let fact = in_set(set.unwrap_or(invented), snap(n, t));
            all.push((*now, SnapFact { id, ..fact }));
        }
    }
    all
}

/// What the guarantee says of one honest snapshot that was marked at `now`, in words of its own.
fn promise(story: &Story, s: &SnapFact, now: u64, lies: bool) -> Result<(), TestCaseError> {
    prop_assert!(!s.held, "held");
    prop_assert!(now >= s.t + story.rules.min_age_d * DAY_S, "young");
    for (rule, k) in Rule::ALL.into_iter().zip(story.rules.keep) {
        let period = |o: &SnapFact| Period::of(rule, o.t).number;
        let same = || {
            let in_set = story.honest.iter().filter(|o| o.set == s.set);
            in_set.filter(|o| period(o) == period(s))
        };
        let earliest = same().all(|o| (s.t, s.arrival) <= (o.t, o.arrival));
        let first_here = same().all(|o| s.arrival <= o.arrival);
        if first_here || (earliest && !lies) {
            let passed = Period::of(rule, now).number - period(s);
            prop_assert!(passed >= k, "{rule:?}: {passed} of {k}");
        }
    }
    Ok(())
}

fn live(story: &Story, lies: bool) -> Result<(), TestCaseError> {
    let mut to_come: Vec<(u64, SnapFact)> = story.honest.iter().map(|s| (s.t, *s)).collect();
    to_come.extend(junk(story));
    let mut to_come = to_come.into_iter().peekable();
    let (mut here, mut day) = (Vec::<SnapFact>::new(), Day::default());
    for n in 0..DAYS {
        let now = START / DAY_S * DAY_S + n * DAY_S + story.at;
        while let Some((_, s)) = to_come.next_if(|(comes, _)| *comes <= now) {
            here.push(s);
        }
        loop {
            let start = if story.capped { day } else { Day::default() };
            let (ids, after) = expire(&here, &story.rules, start, &[], now);
            day = after;
            for id in &ids {
                let set = here.iter().find(|s| s.id == *id).map(|s| s.set);
                let newest = here
                    .iter()
                    .filter(|s| s.t <= now && Some(s.set) == set)
                    .max_by_key(|s| (s.t, s.arrival));
                prop_assert_ne!(newest.map(|s| s.id), Some(*id), "the newest");
                let honest = story.honest.iter().find(|s| s.id == *id);
                if let Some(s) = honest {
                    promise(story, s, now, lies)?;
                }
                here.retain(|s| s.id != *id);
            }
            if ids.is_empty() || story.capped {
                break;
            }
        }
    }
    prop_assert!(!here.is_empty());
    Ok(())
}

/// The periods each of `of` is the first to come of, if every period counts.
fn firsts(all: &[SnapFact], of: &[SnapFact]) -> Vec<(u64, Period)> {
    let rules = Rules {
        min_age_d: 0,
        keep: [u64::MAX; 5],
        keep_last: 0,
    };
    let now = START + 10_000 * DAY_S;
    let mut found = Vec::new();
    for verdict in evaluate(all, &rules, now) {
        let Some(s) = of.iter().find(|s| s.id == verdict.id) else {
            continue;
        };
        for reason in verdict.reasons {
            if let Reason::First { period, .. } | Reason::FirstHere { period, .. } = reason {
                found.push((s.arrival, period));
            }
        }
    }
    found.sort_unstable();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Root on the device, with or without a lying host that the owner listed: what this host got first, stays.
    #[test]
    fn n08_no_attacker_expires_what_was_kept(story in story(any_move())) {
        live(&story, true)?;
    }

    /// Root on the device alone: also where the history was copied here, in any order.
    #[test]
    fn n08_no_device_expires_what_was_kept(story in story(Just(Move::Commit))) {
        live(&story, false)?;
    }

    /// What comes later never changes who was first to come in a period.
    #[test]
    fn n08_what_comes_later_changes_no_first(story in story(any_move())) {
        let mut honest = story.honest.clone();
        honest.sort_by_key(|s| s.t);
        for (n, s) in (1..).zip(&mut honest) {
            s.arrival = n;
        }
        let before = firsts(&honest, &honest);
        let all: Vec<SnapFact> = honest.iter().copied().chain(junk(&story).into_iter().map(|(_, s)| s)).collect();
        prop_assert_eq!(firsts(&all, &honest), before);
    }
}

/// By example: two years of daily backups, then a year of a hundred a day. The months of before are still there.
#[test]
fn n08_a_year_of_flood_and_the_months_are_still_there() {
    let rules = Rules {
        min_age_d: 30,
        keep: [0, 7, 4, 24, 10],
        keep_last: 3,
    };
    let mut here: Vec<SnapFact> = (0..730).map(|n| snap(n, START + n * DAY_S)).collect();
    let mut day = Day::default();
    for n in 0..1095 {
        let now = START + n * DAY_S + 3600;
        if n > 730 {
            here.extend((0..100).map(|k| snap(n * 1000 + k, now)));
        }
        let past: Vec<SnapFact> = here.iter().filter(|s| s.t <= now).copied().collect();
        let (ids, after) = expire(&past, &rules, day, &[], now);
        here.retain(|s| !ids.contains(&s.id));
        day = after;
    }
    let months: Vec<String> = here
        .iter()
        .filter(|s| s.arrival < 730)
        .map(|s| Period::of(Rule::Monthly, s.t).to_string())
        .collect();
    // The attack began in January 2026 and went on to the end of the year: of 24 months it took 12.
    for month in 1..=12 {
        let month = format!("month 2025-{month:02}");
        assert!(months.contains(&month), "{month}");
    }
    assert!(months.contains(&"month 2024-01".to_owned()), "the year's");
}
