//! Numbers as large and as small as they get: no panic, and what must hold does.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Day, Freeze, Reason, Rules, SnapFact, daily_cap, evaluate, expire};
use super::id;
use crate::ids::SetId;

/// Zero, the greatest, powers of two and their neighbours.
fn extreme() -> impl Strategy<Value = u64> {
    let edge =
        (0u32..64, 0u64..3).prop_map(|(bit, n)| (1u64 << bit).wrapping_add(n).wrapping_sub(1));
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(u64::MAX - 1),
        edge,
        any::<u64>()
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let keep = [extreme(), extreme(), extreme(), extreme(), extreme()];
    (extreme(), keep, extreme()).prop_map(|(min_age_d, keep, keep_last)| Rules {
        min_age_d,
        keep,
        keep_last,
    })
}

fn facts() -> impl Strategy<Value = Vec<SnapFact>> {
    // Ids and arrivals may even be the same.
    let fact = (0u64..20, extreme(), extreme(), any::<bool>());
    vec(fact, 0..20).prop_map(|rows| {
        let fact = |(n, t, arrival, held)| SnapFact {
            id: id(n),
            set: SetId([n as u8 % 3; 16]),
            t,
            arrival,
            held,
        };
        rows.into_iter().map(fact).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_numbers_have_a_verdict(
        facts in facts(),
        rules in rules(),
        now in extreme(),
        day in (extreme(), extreme()).prop_map(|(day, marked)| Day { day, marked }),
        frozen in any::<bool>(),
    ) {
        let verdicts = evaluate(&facts, &rules, now);
        prop_assert_eq!(verdicts.len(), facts.len());
        if let Some(newest) = verdicts.first() {
            prop_assert!(!newest.reasons.is_empty());
        }
        for verdict in &verdicts {
            prop_assert!(verdict.reasons.iter().all(|reason| !reason.to_string().is_empty()));
            let young = verdict.reasons.iter().any(|r| matches!(r, Reason::Young { .. }));
            prop_assert!(young || verdict.t <= now);
        }
        let freezes = frozen.then_some(Freeze::Revoked);
        let (ids, after) = expire(&facts, &rules, day, freezes.as_slice(), now);
        prop_assert!(ids.len() as u64 <= daily_cap(facts.len() as u64 + day.marked.min(1 << 60)));
        prop_assert!(after.day >= day.day);
        if frozen {
            prop_assert_eq!((ids, after), (vec![], day));
        }
    }

    #[test]
    fn every_freeze_has_a_text(a in extreme(), b in extreme(), c in extreme()) {
        let freezes = [
            Freeze::Clock { expected: a, seen: b },
            Freeze::Settling { left_s: a },
            Freeze::Flood { day: a, snaps: b, limit: c },
        ];
        for freeze in freezes {
            prop_assert!(!freeze.to_string().is_empty());
        }
        prop_assert!(Freeze::of_flood(a, b, c).is_none_or(|f| f.needs_owner()));
    }
}
