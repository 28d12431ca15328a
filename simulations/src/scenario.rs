//! Scenarios: what the program and the tests run.

use crate::checks::Broken;
use crate::plan::Shape;
use crate::trace::{Report, Tell, Trace};
use crate::world::World;

/// Three hosts and two devices for a month: 25 days of trouble, then five in which everything has to be put right.
pub const MONTH: Shape = Shape {
    hosts: 3,
    devices: 2,
    trouble_d: 25,
    calm_d: 5,
    backup_every_h: 12,
};

/// The same people for nine days.
pub const SHORT: Shape = Shape {
    hosts: 3,
    devices: 2,
    trouble_d: 4,
    calm_d: 5,
    backup_every_h: 6,
};

/// Two hosts and a device for five days: what a test has time for.
pub const TINY: Shape = Shape {
    hosts: 2,
    devices: 1,
    trouble_d: 2,
    calm_d: 3,
    backup_every_h: 6,
};

/// How a run ended.
pub struct Ended {
    /// What it came to.
    pub outcome: Result<Report, Broken>,
    /// What happened.
    pub trace: Trace,
}

/// Runs a scenario from a seed. `tell` is told every event as it happens.
///
/// # Errors
/// Out of memory or threads.
pub fn run(shape: Shape, seed: u64, tell: Option<Tell>) -> std::io::Result<Ended> {
    // Only a clock: everything else a node needs is in the world.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(async {
        let trace = Trace::new(tell);
        let outcome = World::new(shape, seed, trace.clone()).run().await;
        Ended { outcome, trace }
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The trace as it is told, line by line.
    fn told(seed: u64) -> (u64, u64, Result<Report, Broken>) {
        let ended = run(TINY, seed, None).unwrap();
        (ended.trace.hash(), ended.trace.len(), ended.outcome)
    }

    #[test]
    fn a_seed_gives_the_same_run_to_the_last_event() {
        let (first, second) = (told(1), told(1));
        assert_eq!(first, second);
        assert_ne!(first.0, told(2).0);
    }

    #[test]
    fn trouble_for_days_breaks_no_promise() {
        for seed in 3..6 {
            let ended = run(TINY, seed, None).unwrap();
            let last = ended.trace.last().join("\n");
            let report = ended
                .outcome
                .map_err(|broken| format!("seed {seed}: {broken}\n{last}"));
            let report = report.unwrap();
            assert!(
                report.faults > 20 && report.made > 8,
                "too tame: {report:?}"
            );
        }
    }
}
