//! Several seeds at once, each on a thread and in a world of its own.

use std::ops::Range;

use parking_lot::Mutex;

use crate::plan::Shape;
use crate::scenario::{self, Ended};
use crate::trace::Tell;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// The scenario.
    pub shape: Shape,
    /// From which seeds.
    pub seeds: Range<u64>,
    /// Whether every event is told.
    pub tells_all: bool,
    /// Is told how it goes, line by line.
    pub say: Tell,
}

impl Jobs {
    /// Runs so many at once (0: one for each processor). Whether all promises were kept.
    ///
    /// # Errors
    /// A run could not begin, or panicked.
    pub fn run(&self, at_once: usize) -> anyhow::Result<bool> {
        let at_once = match at_once {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            at_once => at_once,
        };
        let seeds = Mutex::new(self.seeds.clone());
        std::thread::scope(|scope| {
            let work = || -> std::io::Result<bool> {
                let mut are_kept = true;
                loop {
                    let seed = seeds.lock().next();
                    let Some(seed) = seed else {
                        return Ok(are_kept);
                    };
                    are_kept &= self.one(seed)?;
                }
            };
            let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            let mut are_kept = true;
            for thread in threads {
                let ended = thread.join();
                are_kept &= ended.map_err(|_| anyhow::anyhow!("a run panicked"))??;
            }
            Ok(are_kept)
        })
    }

    /// Runs a seed and tells how it went; whether all promises were kept.
    fn one(&self, seed: u64) -> std::io::Result<bool> {
        let tell = self.tells_all.then_some(self.say);
        let Ended { outcome, trace } = scenario::run(self.shape, seed, tell)?;
        match outcome {
            Ok(report) => {
                (self.say)(&format!(
                    "seed {seed}: {} events, {} faults, {} backups and {} that failed, trace {:016x}",
                    report.events, report.faults, report.made, report.failed, report.trace
                ));
                Ok(true)
            }
            Err(broken) => {
                let (time, events) = (trace.time(), trace.len());
                (self.say)(&format!(
                    "seed {seed}: at {time} after {events} events: {broken}"
                ));
                if !self.tells_all {
                    trace
                        .last()
                        .iter()
                        .for_each(|line| (self.say)(&format!("  {line}")));
                }
                Ok(false)
            }
        }
    }
}
