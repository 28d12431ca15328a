//! The right time, and the clock of a machine as its node sees it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use packnback_node::ports::Clock;
use packnback_node::ports::memory::VirtualClock;
use packnback_proto::policy::Moment;
use tokio::time::Instant;

use crate::pulse::Pulse;

/// The world starts at this unix time.
pub const START: u64 = 1_800_000_000;

/// The right time, which no machine knows.
#[derive(Debug, Clone, Copy)]
pub struct Epoch(Instant);

impl Epoch {
    /// The world starts now.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Unix seconds.
    #[must_use]
    pub fn now(self) -> u64 {
        START.saturating_add(self.0.elapsed().as_secs())
    }

    /// When it is so long after the start.
    #[must_use]
    pub fn after(self, since: Duration) -> Instant {
        self.0 + since
    }
}

impl Default for Epoch {
    fn default() -> Self {
        Self::new()
    }
}

/// The clock of a machine, which counts how often a node looks at it.
pub struct CountedClock {
    /// The clock.
    pub inner: Arc<VirtualClock>,
    /// Who looks.
    pub pulse: Pulse,
}

impl Clock for CountedClock {
    fn now(&self) -> u64 {
        self.pulse.beat();
        self.inner.now()
    }

    fn moment(&self) -> Moment {
        self.pulse.beat();
        self.inner.moment()
    }

    fn instant(&self) -> Instant {
        self.pulse.beat();
        self.inner.instant()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.pulse.beat();
        self.inner.sleep_until(at)
    }
}
