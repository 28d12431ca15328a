//! Pauses and limits of everything that goes on by itself.

use std::time::Duration;

/// Pauses and limits of replication.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Pause after the first failure.
    pub retry_first: Duration,
    /// Longest pause.
    pub retry_max: Duration,
    /// A transfer on which nothing moves for this long is dead.
    pub stall: Duration,
    /// Longest time without a session: even with nothing to send, a host is asked what it knows.
    pub check: Duration,
    /// First pause before a host is asked again for a snapshot that only other hosts can bring it.
    pub lacking: Duration,
    /// Pause between two looks at what the owner's other hosts have.
    pub pull_every: Duration,
    /// Another host's snapshot is copied once it is this old there: its device may be about to
    /// bring it here.
    pub pull_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            stall: Duration::from_secs(30),
            check: Duration::from_secs(6 * 3600),
            lacking: Duration::from_secs(60),
            pull_every: Duration::from_secs(3600),
            pull_after: Duration::from_secs(900),
        }
    }
}
