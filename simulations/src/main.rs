//! `packnback-sim`: runs a scenario from a seed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use packnback_simulations::jobs::Jobs;
use packnback_simulations::scenario;

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
    let jobs = Jobs {
        shape,
        seeds: runs.seed..runs.seed.saturating_add(runs.runs),
        tells_all: runs.trace,
        say: |line| println!("{line}"),
    };
    if jobs.run(runs.jobs)? {
        println!("{} runs, no promise broken", runs.runs);
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
