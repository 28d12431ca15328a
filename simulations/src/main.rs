//! `packnback-sim`: runs a scenario from a seed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use packnback_simulations::plan::Shape;
use packnback_simulations::scenario::{self, Ended};

#[derive(Parser)]
#[command(version, about = "packnback under virtual time")]
struct Args {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Three hosts and two devices for nine days, four of them in trouble.
    Smoke(Runs),
    /// The same for a month.
    Month(Runs),
}

#[derive(clap::Args)]
struct Runs {
    /// First seed. The same seed gives the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 20)]
    runs: u64,
    /// Tell every event.
    #[arg(long)]
    trace: bool,
    /// Runs at the same time; 0: one for each processor.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    let (shape, runs) = match Args::parse().scenario {
        Scenario::Smoke(runs) => (scenario::SHORT, runs),
        Scenario::Month(runs) => (scenario::MONTH, runs),
    };
    let jobs = match runs.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let next = std::sync::Mutex::new(runs.seed..runs.seed.saturating_add(runs.runs));
    let broken = std::thread::scope(|scope| {
        let work = || -> std::io::Result<bool> {
            let mut broken = false;
            while let Some(seed) = next.lock().ok().and_then(|mut seeds| seeds.next()) {
                broken |= one(shape, seed, runs.trace)?;
            }
            Ok(broken)
        };
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut broken = false;
        for thread in threads {
            let ended = thread.join();
            broken |= ended.map_err(|_| anyhow::anyhow!("a run panicked"))??;
        }
        anyhow::Ok(broken)
    })?;
    if broken {
        return Ok(ExitCode::FAILURE);
    }
    println!("{} runs, no promise broken", runs.runs);
    Ok(ExitCode::SUCCESS)
}

/// Runs a seed and tells how it went; whether a promise was broken.
fn one(shape: Shape, seed: u64, tells_all: bool) -> std::io::Result<bool> {
    let tell = |line: &str| println!("{line}");
    let Ended { outcome, trace } = scenario::run(shape, seed, tells_all.then_some(tell))?;
    match outcome {
        Ok(report) => {
            println!(
                "seed {seed}: {} events, {} faults, {} backups and {} that failed, trace {:016x}",
                report.events, report.faults, report.made, report.failed, report.trace
            );
            Ok(false)
        }
        Err(broken) => {
            println!(
                "seed {seed}: at {} after {} events: {broken}",
                trace.time(),
                trace.len()
            );
            if !tells_all {
                trace.last().iter().for_each(|line| println!("  {line}"));
            }
            Ok(true)
        }
    }
}
