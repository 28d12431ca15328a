//! Hours, days, ISO weeks, months and years of UTC.
//!
//! Unix time has no leap seconds, so every day has 86 400 of them. The Gregorian calendar is used throughout.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;

const HOUR_S: u64 = 3600;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: u64 = 719_468;
/// Days of 400 years: the calendar repeats after them.
const ERA_DAYS: u64 = 146_097;
/// Days from 0001-01-01 to 1970-01-01.
const DAYS_FROM_YEAR_1: u64 = 719_162;

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u64,
    /// Day of the month, 1 to 31.
    pub day: u64,
}

impl Date {
    /// The date of day `days` since 1970-01-01.
    ///
    /// Years are counted from March here, so that the leap day is the last one of its year.
    #[must_use]
    pub const fn of_day(days: u64) -> Self {
        let days = days.saturating_add(DAYS_TO_EPOCH);
        let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let next_year = month_from_march >= 10;
        let year = era * 400 + year_of_era;
        Self {
            year: if next_year { year + 1 } else { year },
            month: if next_year {
                month_from_march - 9
            } else {
                month_from_march + 3
            },
            day,
        }
    }

    /// The UTC date at unix second `t`.
    #[must_use]
    pub const fn at(t: u64) -> Self {
        Self::of_day(t / DAY_S)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Days from 1970-01-01 to the first day of `year`, which is not before 1970.
const fn days_to_year(year: u64) -> u64 {
    let before = year.saturating_sub(1);
    let leap_days = before / 4 - before / 100 + before / 400;
    (365 * before + leap_days).saturating_sub(DAYS_FROM_YEAR_1)
}

/// A rule keeps the first snapshot of so many periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// First of the hour.
    Hourly,
    /// First of the day.
    Daily,
    /// First of the ISO week, which begins on Monday.
    Weekly,
    /// First of the month.
    Monthly,
    /// First of the year.
    Yearly,
}

impl Rule {
    /// All rules, in the order of the numbers in a policy order.
    pub const ALL: [Self; 5] = [
        Self::Hourly,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Yearly,
    ];

    /// What its period is called.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Hourly => "hour",
            Self::Daily => "day",
            Self::Weekly => "week",
            Self::Monthly => "month",
            Self::Yearly => "year",
        }
    }
}

/// A stretch of UTC time by one rule. Shown as `day 2026-11-25`, `week 2026-W48` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The rule.
    pub rule: Rule,
    /// Its number: the next period of the same rule has the next number, with no gaps. Hours, days and weeks count
    /// from 1970, months and years from the year 0.
    pub number: u64,
}

impl Period {
    /// The period of `rule` that unix second `t` lies in.
    #[must_use]
    pub const fn of(rule: Rule, t: u64) -> Self {
        let day = t / DAY_S;
        let number = match rule {
            Rule::Hourly => t / HOUR_S,
            Rule::Daily => day,
            // 1970-01-01 was a Thursday; week 0 began on the Monday before.
            Rule::Weekly => (day + 3) / 7,
            Rule::Monthly => {
                let date = Date::of_day(day);
                date.year * 12 + date.month - 1
            }
            Rule::Yearly => Date::of_day(day).year,
        };
        Self { rule, number }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.number;
        write!(f, "{} ", self.rule.unit())?;
        match self.rule {
            Rule::Hourly => write!(f, "{} {:02}h", Date::of_day(n / 24), n % 24),
            Rule::Daily => write!(f, "{}", Date::of_day(n)),
            Rule::Weekly => {
                // A week belongs to the year of its Thursday.
                let thursday = n.saturating_mul(7);
                let year = Date::of_day(thursday).year;
                let week = thursday.saturating_sub(days_to_year(year)) / 7 + 1;
                write!(f, "{year:04}-W{week:02}")
            }
            Rule::Monthly => write!(f, "{:04}-{:02}", n / 12, n % 12 + 1),
            Rule::Yearly => write!(f, "{n:04}"),
        }
    }
}
