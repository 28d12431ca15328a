//! Whether a node works or spins: how often it looks at its clock and its disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Looks without any time going by after which a node spins. A round over everything there is takes some thousands.
const STILL_MAX: u64 = 400_000;

#[derive(Debug, Default)]
struct Inner {
    all: AtomicU64,
    spins: AtomicBool,
    /// When it was last looked at, and how often then.
    still: Mutex<Option<(Instant, u64)>>,
}

/// See the module. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Inner>);

impl Pulse {
    /// The node looks at something.
    pub fn beat(&self) {
        self.0.all.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut still = self.0.still.lock();
        let times = match *still {
            Some((at, times)) if at == now => times + 1,
            _ => 1,
        };
        *still = Some((now, times));
        if times > STILL_MAX {
            self.0.spins.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it went on and on without any time going by.
    #[must_use]
    pub fn spins(&self) -> bool {
        self.0.spins.load(Ordering::Relaxed)
    }

    /// Looks since it was asked last.
    #[must_use]
    pub fn take(&self) -> u64 {
        self.0.all.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn going_on_without_time_is_spinning_and_work_is_not() {
        let pulse = Pulse::default();
        for _ in 0..20 {
            for _ in 0..STILL_MAX {
                pulse.beat();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!pulse.spins());
        assert_eq!(pulse.take(), 20 * STILL_MAX);
        for _ in 0..=STILL_MAX {
            pulse.beat();
        }
        assert!(pulse.spins());
    }
}
