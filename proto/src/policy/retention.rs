//! Which snapshots of one device stay, and why: each backup set for itself.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use super::calendar::{DAY_S, Date, Period, Rule};
use crate::ids::{SetId, SnapshotId};
use crate::record::PolicyArg;

/// What a policy order keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Nothing younger expires, days.
    pub min_age_d: u64,
    /// Periods kept, in the order of [`Rule::ALL`].
    pub keep: [u64; 5],
    /// Newest snapshots kept.
    pub keep_last: u64,
}

impl From<&PolicyArg> for Rules {
    fn from(arg: &PolicyArg) -> Self {
        Self {
            min_age_d: arg.min_age_d,
            keep: arg.keep,
            keep_last: arg.keep_last,
        }
    }
}

impl Default for Rules {
    /// What we advise: everything for 30 days, then 14 days, 8 weeks, 12 months, 10 years, and the last 3.
    ///
    /// No host goes by it unasked: where no policy order is in force, nothing expires.
    fn default() -> Self {
        Self {
            min_age_d: 30,
            keep: [0, 14, 8, 12, 10],
            keep_last: 3,
        }
    }
}

/// What retention knows of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapFact {
    /// Which.
    pub id: SnapshotId,
    /// The backup set it belongs to.
    pub set: SetId,
    /// The time retention goes by: see [`super::effective_time`].
    pub t: u64,
    /// Place in the order in which the device's snapshots came to this host, by a counter and not by a clock (the
    /// position in the host's log). No two are equal.
    pub arrival: u64,
    /// Whether the owner holds it.
    pub held: bool,
}

/// Why a snapshot stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The owner holds it.
    Held,
    /// Too young to go.
    Young {
        /// Least age, days.
        min_age_d: u64,
        /// When it reaches that age, unix seconds.
        until: u64,
    },
    /// Among the newest of its backup set.
    Newest {
        /// 1 = the newest.
        rank: u64,
        /// So many are kept.
        of: u64,
    },
    /// The newest of its backup set, and no rule keeps the newest: the last one never goes.
    Only,
    /// The earliest in a period that is kept.
    First {
        /// The rule.
        rule: Rule,
        /// Its period.
        period: Period,
    },
    /// The first that came to this host of those in a period that is kept. One that is copied here later may say it is
    /// earlier; it does not take the place of what was here.
    FirstHere {
        /// The rule.
        rule: Rule,
        /// Its period.
        period: Period,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::Young { min_age_d, until } => {
                let days = if *min_age_d == 1 { "day" } else { "days" };
                write!(
                    f,
                    "younger than {min_age_d} {days} (until {})",
                    Date::at(*until)
                )
            }
            Self::Newest { rank, of } => write!(f, "newest {rank} of {of}"),
            Self::Only => f.write_str("the last of its backup set"),
            Self::First { period, .. } => write!(f, "first of {period}"),
            Self::FirstHere { period, .. } => write!(f, "first to come here of {period}"),
        }
    }
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub id: SnapshotId,
    /// The backup set it belongs to.
    pub set: SetId,
    /// The time retention goes by.
    pub t: u64,
    /// Why it stays; empty: it may go.
    pub reasons: Vec<Reason>,
    /// Before when it does not go even if nothing new comes, unix seconds; `None`: it stays as long as nothing new comes.
    pub goes: Option<u64>,
}

/// A snapshot and the reasons found so far.
struct Judged {
    fact: SnapFact,
    reasons: Vec<Reason>,
}

/// Judges all snapshots of one device at `now` (unix seconds), each backup set by itself, as if there were no other: what
/// comes under one name never takes the place of what came under another. Newest first; of two with the same time, the
/// one that came later counts as newer, then the one with the greater id.
///
/// Snapshots already marked to go are not passed in. Marking any of those that may go changes no other verdict: a period
/// that is kept keeps its first, so no older one moves up.
///
/// A snapshot dated after `now` (the clock was wrong once) is young, and otherwise counts only when its time comes: it
/// takes no place among the newest, and no period.
#[must_use]
pub fn evaluate(snaps: &[SnapFact], rules: &Rules, now: u64) -> Vec<Verdict> {
    let mut sets: BTreeMap<SetId, Vec<Judged>> = BTreeMap::new();
    for fact in snaps {
        sets.entry(fact.set).or_default().push(Judged {
            fact: *fact,
            reasons: held_or_young(fact, rules, now),
        });
    }
    for set in sets.values_mut() {
        set.sort_unstable_by_key(|j| Reverse(age_order(&j.fact)));
        let future = set.partition_point(|j| j.fact.t > now);
        let past = set.get_mut(future..).unwrap_or_default();
        newest(past, rules.keep_last);
        for (rule, periods) in Rule::ALL.into_iter().zip(rules.keep) {
            firsts(past, rule, periods);
        }
    }
    let mut judged: Vec<Judged> = sets.into_values().flatten().collect();
    judged.sort_unstable_by_key(|j| Reverse(age_order(&j.fact)));
    judged
        .into_iter()
        .map(|Judged { fact, reasons }| Verdict {
            id: fact.id,
            set: fact.set,
            t: fact.t,
            goes: goes(&reasons, now),
            reasons,
        })
        .collect()
}

/// Oldest first.
fn age_order(fact: &SnapFact) -> (u64, u64, SnapshotId) {
    (fact.t, fact.arrival, fact.id)
}

fn held_or_young(fact: &SnapFact, rules: &Rules, now: u64) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if fact.held {
        reasons.push(Reason::Held);
    }
    let min_age_s = rules.min_age_d.saturating_mul(DAY_S);
    let young = now.checked_sub(fact.t).is_none_or(|age| age < min_age_s);
    if young {
        reasons.push(Reason::Young {
            min_age_d: rules.min_age_d,
            until: fact.t.saturating_add(min_age_s),
        });
    }
    reasons
}

/// `past`: newest first.
fn newest(past: &mut [Judged], keep_last: u64) {
    for (rank, judged) in (1..).zip(past) {
        if rank <= keep_last {
            judged.reasons.push(Reason::Newest {
                rank,
                of: keep_last,
            });
        } else {
            if rank == 1 {
                judged.reasons.push(Reason::Only);
            }
            return;
        }
    }
}

/// `past`: newest first. Goes through the newest `periods` that are not empty.
fn firsts(past: &mut [Judged], rule: Rule, periods: u64) {
    let periods = usize::try_from(periods).unwrap_or(usize::MAX);
    let period = |judged: &Judged| Period::of(rule, judged.fact.t);
    for group in past
        .chunk_by_mut(|a, b| period(a) == period(b))
        .take(periods)
    {
        let Some(first) = group.last_mut() else {
            continue;
        };
        let (id, period) = (first.fact.id, period(first));
        first.reasons.push(Reason::First { rule, period });
        let came_first = group.iter_mut().min_by_key(|j| (j.fact.arrival, j.fact.id));
        if let Some(here) = came_first.filter(|j| j.fact.id != id) {
            here.reasons.push(Reason::FirstHere { rule, period });
        }
    }
}

fn goes(reasons: &[Reason], now: u64) -> Option<u64> {
    match reasons {
        [] => Some(now),
        [Reason::Young { until, .. }] => Some(*until),
        _ => None,
    }
}
