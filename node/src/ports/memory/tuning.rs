//! Bounds and pauses of a node on the wire.

use std::time::Duration;

/// Bounds and pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Longest time to open a stream, dialling included.
    pub open_timeout: Duration,
    /// First pause before a lost friend is dialled again.
    pub redial_first: Duration,
    /// Longest pause between dials.
    pub redial_max: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            open_timeout: Duration::from_secs(30),
            redial_first: Duration::from_secs(1),
            redial_max: Duration::from_secs(300),
        }
    }
}
