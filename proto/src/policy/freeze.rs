//! What stops all expiry of a device until somebody has looked.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::calendar::{DAY_S, Date};
use crate::ids::SnapshotId;
use crate::limits::FLOOD_FROM;

/// Why nothing of a device expires. The device may go on storing within its limits, and orders of the owner go on being
/// carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freeze {
    /// The host's clock moved in a way it cannot have.
    Clock {
        /// What it should have shown, unix seconds.
        expected: u64,
        /// What it showed.
        seen: u64,
    },
    /// The host's clock went ahead while the machine was off, as it seems. Ends by itself.
    Settling {
        /// Steady running left until it is believed, seconds.
        left_s: u64,
    },
    /// Too many snapshots in one day.
    Flood {
        /// Days since the epoch.
        day: u64,
        /// Snapshots received on it.
        snaps: u64,
        /// Allowed per day by the certificate.
        limit: u64,
    },
    /// Two snapshots that one device that works properly cannot both have made.
    Fork {
        /// The one that was here.
        a: SnapshotId,
        /// The one that came.
        b: SnapshotId,
    },
    /// The owner revoked the device.
    Revoked,
}

/// A freeze and since when it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Why.
    pub freeze: Freeze,
    /// When it was found, by the host's clock, unix seconds.
    pub since: u64,
}

/// With the day, for people.
impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "since {}: {}", Date::at(self.since), self.freeze)
    }
}

impl Freeze {
    /// Whether only a newer policy order of the owner ends it. Such a freeze is written down when it is found.
    #[must_use]
    pub const fn needs_owner(&self) -> bool {
        !matches!(self, Self::Settling { .. })
    }

    /// A flood of `snaps` on the day of `now`, if it is one: see [`flood`].
    #[must_use]
    pub const fn of_flood(day_snaps: u64, snaps_per_day: u64, now: u64) -> Option<Self> {
        if flood(day_snaps, snaps_per_day) {
            Some(Self::Flood {
                day: now / DAY_S,
                snaps: day_snaps,
                limit: snaps_per_day,
            })
        } else {
            None
        }
    }
}

/// What happened and what to do next, for people.
impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock { expected, seen } => write!(
                f,
                "this host's clock jumped: it showed {} when it should have shown about {}. Nothing expires here. Set the \
                 clock right; after that, a newer policy order of the owner clears it",
                Date::at(*seen),
                Date::at(*expected)
            ),
            Self::Settling { left_s } => write!(
                f,
                "this host's clock went ahead by more than a day while it was off. Nothing expires here until it has run \
                 steadily for {} more h; there is nothing to do",
                left_s.div_ceil(3600)
            ),
            Self::Flood { day, snaps, limit } => write!(
                f,
                "{snaps} snapshots came on {}, of {limit} allowed per day: more than a schedule makes. Nothing of this device \
                 expires. If they are yours, a newer policy order of the owner clears it; if not, revoke the device",
                Date::of_day(*day)
            ),
            Self::Fork { a, b } => write!(
                f,
                "snapshots {} and {} are on two different lines: the device's key is in use in two places, or its state \
                 was set back. Nothing of this device expires. If you know why, a newer policy order of the owner clears \
                 it; if not, revoke the device",
                a.short(),
                b.short()
            ),
            Self::Revoked => f.write_str(
                "the device is revoked. Nothing of it expires, so that what it stored can be looked at. Delete what is \
                 not wanted; a newer policy order of the owner lets the rest expire by its rules",
            ),
        }
    }
}

/// Whether `day_snaps` snapshots received from a device in one day, in all its backup sets together, are a flood: more
/// than three quarters of what its certificate allows, and more than what an hourly backup and a dozen by hand make. What
/// people do in a day freezes nothing: a freeze that comes every week is one nobody looks at.
///
/// The guarantee of retention does not rest on this. A flood displaces nothing; it is a sign.
///
/// Snapshots copied from other hosts do not count: a host that starts afresh gets all of them in a day.
#[must_use]
pub const fn flood(day_snaps: u64, snaps_per_day: u64) -> bool {
    day_snaps > FLOOD_FROM && day_snaps > snaps_per_day / 4 * 3
}

/// How a snapshot names its place in the line of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Which.
    pub id: SnapshotId,
    /// The one before it; `None`: the first.
    pub prev: Option<SnapshotId>,
    /// Its sequence number.
    pub seq: u64,
}

/// Whether `new` and a snapshot of the same device that is known here cannot be on one line. Gives the first such of
/// `known`.
///
/// A device numbers its snapshots and names the one before, so two snapshots with the same predecessor, or with the same
/// number, are two lines. Having no predecessor counts as one: there is one first snapshot. Nothing else is a sign: hosts
/// miss snapshots, let them go, and copy old ones from each other in any order, so gaps, unknown predecessors and late
/// arrivals are honest. That makes the answer independent of the order of arrival: two snapshots contradict each other
/// whichever comes first.
///
/// Not found here: a thief of the key that names a predecessor this host does not know. The device finds it, by a head
/// it did not make.
///
/// `known` may include snapshots that are marked or gone, as far as the host remembers them. `new` itself in it is
/// skipped.
pub fn fork<'a>(known: impl IntoIterator<Item = &'a Link>, new: &Link) -> Option<SnapshotId> {
    known
        .into_iter()
        .find(|old| old.id != new.id && (old.prev == new.prev || old.seq == new.seq))
        .map(|old| old.id)
}
