//! A clock that can be turned.

use packnback_proto::policy::Moment;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::ports::Clock;

#[derive(Debug, Clone, Copy)]
struct Wall {
    /// What it showed when it was last set, unix seconds.
    shown: u64,
    /// When that was.
    at: Instant,
    /// Parts in a million that it is too fast.
    fast_ppm: u32,
    booted: Instant,
    boots: u64,
}

impl Wall {
    fn now(&self) -> u64 {
        let gone = self.at.elapsed().as_secs();
        let ahead = gone.saturating_mul(u64::from(self.fast_ppm)) / 1_000_000;
        self.shown.saturating_add(gone).saturating_add(ahead)
    }
}

/// A wall clock over tokio's time, which may be paused: it can be wrong, fast, and set anew.
#[derive(Debug)]
pub struct VirtualClock(Mutex<Wall>);

impl VirtualClock {
    /// Shows this many unix seconds now, on a machine that starts now.
    #[must_use]
    pub fn new(shown: u64) -> Self {
        let at = Instant::now();
        Self(Mutex::new(Wall {
            shown,
            at,
            fast_ppm: 0,
            booted: at,
            boots: 1,
        }))
    }

    /// Somebody sets it: it goes on from there.
    pub fn set(&self, shown: u64) {
        let mut wall = self.0.lock();
        (wall.shown, wall.at) = (shown, Instant::now());
    }

    /// From now on it is so much too fast.
    pub fn run_fast(&self, ppm: u32) {
        let mut wall = self.0.lock();
        (wall.shown, wall.at, wall.fast_ppm) = (wall.now(), Instant::now(), ppm);
    }

    /// The machine starts anew; what the clock shows stays.
    pub fn reboot(&self) {
        let mut wall = self.0.lock();
        (wall.booted, wall.boots) = (Instant::now(), wall.boots.saturating_add(1));
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> u64 {
        self.0.lock().now()
    }

    fn moment(&self) -> Moment {
        let wall = *self.0.lock();
        Moment {
            wall: wall.now(),
            boot: wall.booted.elapsed().as_secs(),
            boot_id: u128::from(wall.boots).to_be_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_wrong_as_it_is_told_to() {
        let clock = VirtualClock::new(1000);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(clock.now(), 1050);
        let before = clock.moment();
        clock.set(5);
        assert_eq!((clock.now(), clock.moment().boot), (5, 50));
        clock.run_fast(500_000);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!((clock.now(), clock.moment().boot), (155, 150));
        assert_eq!(clock.moment().boot_id, before.boot_id);
        clock.reboot();
        assert_eq!((clock.now(), clock.moment().boot), (155, 0));
        assert_ne!(clock.moment().boot_id, before.boot_id);
    }
}
