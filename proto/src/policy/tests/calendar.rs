//! Dates and periods against known ones, and against a calendar that counts days one by one.

use proptest::prelude::*;

use super::super::{DAY_S, Date, Period, Rule};

fn shown(rule: Rule, t: u64) -> String {
    Period::of(rule, t).to_string()
}

#[test]
fn known_moments() {
    let cases = [
        (0, "1970-01-01 00h", "1970-W01"),
        (951_782_400, "2000-02-29 00h", "2000-W09"),
        (1_230_767_999, "2008-12-31 23h", "2009-W01"),
        // The first days of 2010 belong to the last week of 2009, which has 53.
        (1_262_304_000, "2010-01-01 00h", "2009-W53"),
        (1_262_563_200, "2010-01-04 00h", "2010-W01"),
        (1_709_164_800, "2024-02-29 00h", "2024-W09"),
        (1_735_603_200, "2024-12-31 00h", "2025-W01"),
        (super::NOW, "2026-11-25 07h", "2026-W48"),
        // 2100 is no leap year.
        (4_107_542_400, "2100-03-01 00h", "2100-W09"),
        // The year 584 554 051 223 is as far as it goes.
        (u64::MAX, "584554051223-11-09 07h", "584554051223-W45"),
    ];
    for (t, hour, week) in cases {
        let (day, _) = hour.split_once(' ').unwrap();
        let (month, _) = day.rsplit_once('-').unwrap();
        let (year, _) = month.split_once('-').unwrap();
        let texts = [hour, day, week, month, year];
        for (rule, text) in Rule::ALL.into_iter().zip(texts) {
            assert_eq!(shown(rule, t), format!("{} {text}", rule.unit()), "{t}");
        }
    }
}

#[test]
fn a_period_begins_and_ends_on_the_second() {
    // 2026-11-30 is a Monday.
    let monday = 1_795_996_800;
    for (t, week) in [
        (monday - 1, "week 2026-W48"),
        (monday, "week 2026-W49"),
        (monday + 7 * DAY_S - 1, "week 2026-W49"),
        (monday + 7 * DAY_S, "week 2026-W50"),
    ] {
        assert_eq!(shown(Rule::Weekly, t), week);
    }
    let new_year = 1_798_761_600;
    assert_eq!(shown(Rule::Yearly, new_year - 1), "year 2026");
    assert_eq!(shown(Rule::Yearly, new_year), "year 2027");
    assert_eq!(shown(Rule::Hourly, new_year - 1), "hour 2026-12-31 23h");
    assert_eq!(shown(Rule::Hourly, new_year), "hour 2027-01-01 00h");
}

/// Nine hundred years, day by day.
#[test]
fn every_day_follows_the_one_before() {
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let (mut year, mut month, mut day) = (1970, 1, 1);
    // Thursday; week 1 of 1970.
    let (mut weekday, mut week, mut week_year) = (4, 1, 1970);
    for n in 0..330_000 {
        let date = Date::of_day(n);
        assert_eq!((date.year, date.month, date.day), (year, month, day));
        assert_eq!(
            shown(Rule::Weekly, n * DAY_S),
            format!("week {week_year}-W{week:02}")
        );
        let length = match month {
            2 if leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day += 1;
        if day > length {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
        weekday = weekday % 7 + 1;
        if weekday == 1 {
            week += 1;
            // Week 1 is the one with 4 January in it: it begins between 29 December and 4 January.
            let first = (month == 12 && day >= 29) || (month == 1 && day <= 4);
            if first {
                (week, week_year) = (1, if month == 12 { year + 1 } else { year });
            }
        }
    }
}

proptest! {
    /// Any times: numbers go up with time, by one from one period to the next, and nothing overflows.
    #[test]
    fn periods_are_in_order(t in any::<u64>(), more in 0..400 * DAY_S) {
        let later = t.saturating_add(more);
        for rule in Rule::ALL {
            let (a, b) = (Period::of(rule, t).number, Period::of(rule, later).number);
            prop_assert!(a <= b);
            prop_assert!(Period::of(rule, t.saturating_add(1)).number - a <= 1);
            prop_assert!(!Period::of(rule, t).to_string().is_empty());
        }
    }
}
