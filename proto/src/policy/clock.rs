//! Whether a host's clock may be believed when something is about to go for good.
//!
//! While the machine runs, the wall clock must follow the clock that counts from its start. If the two part by more than a
//! day, somebody or something set the wall clock, and nothing may go by it until the owner has looked.
//!
//! Across a start there is nothing to compare with but the last time seen. A clock that is behind it is wrong. A clock that
//! is ahead of it looks just like a machine that was off, and friends' laptops are off for days: they must not freeze for
//! good. So it is believed after a day of steady running, unless it is ahead by more than 400 days.
//!
//! A machine without a battery for its clock starts with an old time and is set by the network soon after. So nothing is
//! decided in the first hour after a start, unless all is well.

use serde::{Deserialize, Serialize};

use super::freeze::Freeze;
use crate::limits::{CLOCK_AWAY_MAX_S, CLOCK_MOVE_MAX_S, CLOCK_SET_S, CLOCK_SETTLE_S};

/// The clocks of a machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock, unix seconds.
    pub wall: u64,
    /// Seconds since the machine started, sleep included (`CLOCK_BOOTTIME`).
    pub boot: u64,
    /// Which start that is (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: [u8; 16],
}

/// What a host remembers of its clocks. Written to disk each time it changes state, and now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockMark {
    /// Wall clock at the last moment seen.
    pub wall: u64,
    /// Seconds since the start at that moment.
    pub boot: u64,
    /// Which start.
    pub boot_id: [u8; 16],
    /// Wall clock that later moments of this start are compared with.
    pub base_wall: u64,
    /// Seconds since the start at that moment.
    pub base_boot: u64,
    /// Greatest wall clock believed.
    pub high: u64,
    /// Whether the clock went ahead while the machine was off, and is not believed yet.
    pub settling: bool,
    /// Steady running since it began to settle, seconds, over all starts.
    pub steady_s: u64,
    /// Whether the clock did not fit when last seen, in the first hour after a start: it may still be set.
    #[serde(default)]
    pub unset: bool,
    /// The jump that makes the clock not believed until [`cleared`].
    pub jumped: Option<Jump>,
    /// Whether the next moment is to be believed as it is: the owner has looked.
    #[serde(default)]
    pub cleared: bool,
}

/// A clock that cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// What it should have shown.
    pub expected: u64,
    /// What it showed.
    pub seen: u64,
}

/// Whether things may go by this clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockState {
    /// Yes.
    Steady,
    /// Not yet. Nothing expires, and nothing whose grace ran out is purged.
    Settling {
        /// Steady running left, seconds.
        left_s: u64,
    },
    /// Not until a newer policy order of the owner. Nothing expires, and nothing whose grace ran out is purged.
    Jumped {
        /// What it should have shown.
        expected: u64,
        /// What it showed.
        seen: u64,
    },
}

impl ClockState {
    /// The freeze this is for every device of the host.
    #[must_use]
    pub const fn freeze(self) -> Option<Freeze> {
        match self {
            Self::Steady => None,
            Self::Settling { left_s } => Some(Freeze::Settling { left_s }),
            Self::Jumped { expected, seen } => Some(Freeze::Clock { expected, seen }),
        }
    }
}

/// How a moment compares with the mark.
enum Step {
    /// As it should be.
    Follows,
    /// Ahead, as after a time off.
    Away,
    /// Not possible.
    Off { expected: u64 },
}

impl ClockMark {
    /// The mark of a host that believes its clock as it is at `now`.
    #[must_use]
    pub const fn at(now: Moment) -> Self {
        Self {
            wall: now.wall,
            boot: now.boot,
            boot_id: now.boot_id,
            base_wall: now.wall,
            base_boot: now.boot,
            high: now.wall,
            settling: false,
            steady_s: 0,
            unset: false,
            jumped: None,
            cleared: false,
        }
    }

    /// What the mark says by itself, before anything new is seen.
    #[must_use]
    pub const fn state(&self) -> ClockState {
        match self.jumped {
            Some(Jump { expected, seen }) => ClockState::Jumped { expected, seen },
            None if self.settling || self.unset => ClockState::Settling {
                left_s: CLOCK_SETTLE_S.saturating_sub(self.steady_s),
            },
            None => ClockState::Steady,
        }
    }

    fn next(self, now: Moment) -> Self {
        match (self.jumped, self.step(now)) {
            (Some(jump), _) => jumped(jump, now),
            (None, Step::Follows) => self.follow(now),
            (None, _) if now.boot < CLOCK_SET_S => Self {
                unset: true,
                ..self
            },
            (None, Step::Away) => self.away(now),
            (None, Step::Off { expected }) => {
                let seen = now.wall;
                jumped(Jump { expected, seen }, now)
            }
        }
    }

    fn same_start(&self, now: Moment) -> bool {
        self.boot_id == now.boot_id && now.boot >= self.boot
    }

    fn step(&self, now: Moment) -> Step {
        let same_start = self.same_start(now);
        if same_start {
            let ran = now.boot.saturating_sub(self.base_boot);
            let expected = self.base_wall.saturating_add(ran);
            if expected.abs_diff(now.wall) <= CLOCK_MOVE_MAX_S {
                return Step::Follows;
            }
            if self.boot >= CLOCK_SET_S {
                return Step::Off { expected };
            }
        }
        match now.wall.checked_sub(self.high) {
            None if self.high.abs_diff(now.wall) > CLOCK_MOVE_MAX_S => Step::Off {
                expected: self.high,
            },
            Some(ahead) if ahead > CLOCK_AWAY_MAX_S => Step::Off {
                expected: self.high,
            },
            Some(ahead) if ahead > CLOCK_MOVE_MAX_S => Step::Away,
            // Near the last time seen, but not where this start had it before.
            _ if same_start => Step::Away,
            _ => Step::Follows,
        }
    }

    fn follow(self, now: Moment) -> Self {
        let same_start = self.same_start(now);
        let ran = if same_start {
            now.boot.saturating_sub(self.boot)
        } else {
            0
        };
        let steady_s = self.steady_s.saturating_add(ran);
        let settling = self.settling && steady_s < CLOCK_SETTLE_S;
        let base = if same_start { self } else { Self::at(now) };
        Self {
            base_wall: base.base_wall,
            base_boot: base.base_boot,
            high: self.high.max(now.wall),
            settling,
            steady_s: if settling { steady_s } else { 0 },
            ..Self::at(now)
        }
    }

    /// What ran steadily before counts on, or a machine that is off every week would never settle; but an hour of it has
    /// to come after the last time off.
    fn away(self, now: Moment) -> Self {
        Self {
            settling: true,
            steady_s: self.steady_s.min(CLOCK_SETTLE_S - CLOCK_SET_S),
            ..Self::at(now)
        }
    }
}

/// Looks at the clocks: gives the new mark, to be kept, and whether the clock may be believed.
///
/// To be called at every start, every minute or so, and right before anything expires or is purged. A host without a mark
/// is new, and believes its clock: nothing it received is older than the mark.
#[must_use]
pub fn advance(mark: Option<ClockMark>, now: Moment) -> (ClockMark, ClockState) {
    let next = match mark {
        Some(mark) if !mark.cleared => mark.next(now),
        _ => ClockMark::at(now),
    };
    (next, next.state())
}

const fn jumped(jump: Jump, now: Moment) -> ClockMark {
    ClockMark {
        jumped: Some(jump),
        ..ClockMark::at(now)
    }
}

/// The mark after a newer policy order of the owner: the next moment is believed as it is, so set the clock right before
/// the order comes. A clock that is only settling goes on settling.
#[must_use]
pub const fn cleared(mark: ClockMark) -> ClockMark {
    match mark.jumped {
        Some(_) => ClockMark {
            jumped: None,
            cleared: true,
            ..mark
        },
        None => mark,
    }
}
