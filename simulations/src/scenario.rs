//! Scenarios: what the program and the tests run.

use crate::checkers::Broken;
use crate::rng::Rng;
use crate::world::{Options, Report, World};

/// One device, three hosts, a day of trouble, then a day to catch up. How much trouble depends on the seed.
#[must_use]
pub fn smoke_options(seed: u64) -> Options {
    let mut rng = Rng::new(seed ^ 0x5eed);
    Options {
        hosts: 3,
        segments: 5 + rng.below(40),
        backups: 12 + rng.below(12),
        link_breaks_one_in: 3 + rng.below(30),
        crash_every_s: 600 + rng.below(20_000),
        rate: 100_000 + rng.below(20_000_000),
        faults_until_s: 86_400,
        end_s: 2 * 86_400,
    }
}

/// Runs the smoke scenario.
///
/// # Errors
/// [`Broken`]: a promise was broken.
pub fn smoke(seed: u64) -> Result<Report, Broken> {
    World::new(smoke_options(seed), seed).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_for_a_day_then_everything_arrives() {
        let mut trouble = 0;
        for seed in 0..40 {
            let report = smoke(seed).unwrap_or_else(|broken| panic_with(seed, &broken));
            assert_eq!(report.receipts, 3 * report.backups, "seed {seed}");
            trouble += report.crashes + report.broken_sessions;
        }
        assert!(trouble > 1000, "the scenario is too tame: {trouble}");
    }

    #[test]
    fn same_seed_same_run() {
        assert_eq!(smoke(11), smoke(11));
        assert_ne!(smoke(11).map(|r| r.trace), smoke(12).map(|r| r.trace));
    }

    #[test]
    fn a_host_without_room_is_noticed_and_nothing_is_claimed() {
        let mut options = smoke_options(3);
        options.hosts = 1;
        options.end_s = 10; // before anything can arrive
        let broken = World::new(options, 3).run();
        assert!(
            matches!(broken, Err(Broken::NotConverged { receipts: 0, .. })),
            "{broken:?}"
        );
    }

    #[expect(clippy::panic, reason = "a test")]
    fn panic_with(seed: u64, broken: &Broken) -> Report {
        panic!("seed {seed}: {broken}")
    }
}
