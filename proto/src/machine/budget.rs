//! How much a device may store: its quota, its bytes per day, its snapshots per day.

use serde::{Deserialize, Serialize};

use crate::limits::SNAPS_PER_DAY_MAX;
use crate::record::Cert;
use crate::wire::ErrorCode;

/// Seconds of a day (UTC).
pub const DAY_S: u64 = 86_400;

/// What a device has used. Kept per owner and device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes stored for it.
    pub bytes: u64,
    /// Day of the two counters below: days since the epoch by the host's clock.
    pub day: u64,
    /// New bytes on that day.
    pub day_bytes: u64,
    /// Snapshots on that day.
    pub day_snaps: u64,
}

/// The limits that apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes stored.
    pub bytes: u64,
    /// Most new bytes per day.
    pub day_bytes: u64,
    /// Most snapshots per day.
    pub day_snaps: u64,
}

impl Limits {
    /// Limits of a certificate on a host that offers `offered` bytes.
    #[must_use]
    pub fn new(cert: &Cert, offered: u64) -> Self {
        Self {
            bytes: cert.quota_bytes.min(offered),
            day_bytes: cert.new_bytes_per_day,
            day_snaps: cert.snaps_per_day.min(SNAPS_PER_DAY_MAX),
        }
    }

    /// No limits: a node's own device on its own disk.
    pub const NONE: Self = Self {
        bytes: u64::MAX,
        day_bytes: u64::MAX,
        day_snaps: u64::MAX,
    };
}

/// Why something does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BudgetRefusal {
    /// The quota is used up.
    #[error("the quota of {limit} bytes is used up ({used} bytes stored)")]
    Quota {
        /// Stored already.
        used: u64,
        /// Allowed.
        limit: u64,
    },
    /// The bytes of the day are used up.
    #[error("the {limit} new bytes allowed per day are used up")]
    DayBytes {
        /// Allowed.
        limit: u64,
    },
    /// The snapshots of the day are used up.
    #[error("the {limit} snapshots allowed per day are used up")]
    DaySnaps {
        /// Allowed.
        limit: u64,
    },
}

impl BudgetRefusal {
    /// Kind of the refusal on the wire.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Quota { .. } => ErrorCode::Quota,
            Self::DayBytes { .. } | Self::DaySnaps { .. } => ErrorCode::DayBudget,
        }
    }
}

impl Usage {
    /// The same usage, seen on the day of `now`. A clock that runs backwards opens no new day.
    #[must_use]
    pub fn on_day_of(self, now: u64) -> Self {
        let today = now / DAY_S;
        if today > self.day {
            Self {
                day: today,
                day_bytes: 0,
                day_snaps: 0,
                ..self
            }
        } else {
            self
        }
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn left(&self, limits: &Limits) -> u64 {
        let total = limits.bytes.saturating_sub(self.bytes);
        total.min(limits.day_bytes.saturating_sub(self.day_bytes))
    }

    /// Whether bytes fit that are on the disk and not claimed yet: `waiting` of them in all, `today`
    /// those this session put since it synced.
    ///
    /// # Errors
    /// [`BudgetRefusal`].
    pub fn may_take(
        &self,
        waiting: u64,
        today: u64,
        limits: &Limits,
        now: u64,
    ) -> Result<(), BudgetRefusal> {
        if self.bytes.saturating_add(waiting) > limits.bytes {
            return Err(BudgetRefusal::Quota {
                used: self.bytes,
                limit: limits.bytes,
            });
        }
        self.add_bytes(today, limits, now).map(|_| ())
    }

    /// Adds `new` stored bytes.
    ///
    /// # Errors
    /// [`BudgetRefusal`]; the usage is unchanged then.
    pub fn add_bytes(self, new: u64, limits: &Limits, now: u64) -> Result<Self, BudgetRefusal> {
        let usage = self.on_day_of(now);
        let bytes = usage.bytes.saturating_add(new);
        let day_bytes = usage.day_bytes.saturating_add(new);
        if bytes > limits.bytes {
            return Err(BudgetRefusal::Quota {
                used: usage.bytes,
                limit: limits.bytes,
            });
        }
        if day_bytes > limits.day_bytes {
            return Err(BudgetRefusal::DayBytes {
                limit: limits.day_bytes,
            });
        }
        Ok(Self {
            bytes,
            day_bytes,
            ..usage
        })
    }

    /// Adds one snapshot.
    ///
    /// # Errors
    /// [`BudgetRefusal`]; the usage is unchanged then.
    pub fn add_snap(self, limits: &Limits, now: u64) -> Result<Self, BudgetRefusal> {
        let usage = self.on_day_of(now);
        if usage.day_snaps >= limits.day_snaps {
            return Err(BudgetRefusal::DaySnaps {
                limit: limits.day_snaps,
            });
        }
        Ok(Self {
            day_snaps: usage.day_snaps.saturating_add(1),
            ..usage
        })
    }
}
