//! Which snapshots of one device are marked to go now.

use serde::{Deserialize, Serialize};

use super::calendar::DAY_S;
use super::freeze::Freeze;
use super::retention::{Rules, SnapFact, evaluate};
use crate::ids::SnapshotId;
use crate::limits::{EXPIRE_PER_DAY_MIN, EXPIRE_SHARE};

/// How many snapshots of a device were marked today. Kept per device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Day {
    /// Days since the epoch, by the host's clock.
    pub day: u64,
    /// Marked on that day.
    pub marked: u64,
}

impl Day {
    /// The same count, seen on the day of `now`. A clock that runs back opens no new day.
    #[must_use]
    pub const fn on_day_of(self, now: u64) -> Self {
        let today = now / DAY_S;
        if today > self.day {
            Self {
                day: today,
                marked: 0,
            }
        } else {
            self
        }
    }
}

/// Most snapshots marked in one day, of a device that has `total` in all its backup sets: a tenth, but at least two. It
/// is one count for all sets, or who holds the device's key could invent sets to have more go in a day.
///
/// A policy that was a mistake is slow enough to be noticed, and can be replaced.
#[must_use]
pub const fn daily_cap(total: u64) -> u64 {
    let share = total / EXPIRE_SHARE;
    if share > EXPIRE_PER_DAY_MIN {
        share
    } else {
        EXPIRE_PER_DAY_MIN
    }
}

/// Picks the snapshots of one device to mark at `now` (unix seconds), oldest first, and counts them.
///
/// `snaps` are those not marked yet. Nothing is picked while there is a freeze, and the count does not move then: a clock
/// that is wrong cannot use up days to come. The cap is that of the day's beginning, however often this is called.
#[must_use]
pub fn expire(
    snaps: &[SnapFact],
    rules: &Rules,
    day: Day,
    freezes: &[Freeze],
    now: u64,
) -> (Vec<SnapshotId>, Day) {
    if !freezes.is_empty() {
        return (Vec::new(), day);
    }
    let day = day.on_day_of(now);
    let left = u64::try_from(snaps.len()).unwrap_or(u64::MAX);
    let cap = daily_cap(left.saturating_add(day.marked));
    let room = usize::try_from(cap.saturating_sub(day.marked)).unwrap_or(usize::MAX);
    let marked: Vec<SnapshotId> = evaluate(snaps, rules, now)
        .into_iter()
        .rev()
        .filter(|verdict| verdict.reasons.is_empty())
        .map(|verdict| verdict.id)
        .take(room)
        .collect();
    let more = u64::try_from(marked.len()).unwrap_or(u64::MAX);
    let marked_today = day.marked.saturating_add(more);
    (
        marked,
        Day {
            marked: marked_today,
            ..day
        },
    )
}
