//! `packnback-sim`: runs a scenario from a seed.

use clap::{Parser, Subcommand};
use packnback_simulations::scenario;

#[derive(Parser)]
#[command(version, about = "packnback under virtual time")]
struct Args {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// One device, three hosts, a day of trouble, then a day to catch up.
    Smoke {
        /// First seed. The same seed gives the same run.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many seeds to run.
        #[arg(long, default_value_t = 20)]
        runs: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let Scenario::Smoke { seed, runs } = Args::parse().scenario;
    for seed in (seed..).take(usize::try_from(runs)?) {
        println!("seed {seed}: {:?}", scenario::smoke_options(seed));
        let report =
            scenario::smoke(seed).map_err(|broken| anyhow::anyhow!("seed {seed}: {broken}"))?;
        println!(
            "  {} events, {} backups, {} receipts, {} crashes, {} broken sessions, trace {:016x}",
            report.events,
            report.backups,
            report.receipts,
            report.crashes,
            report.broken_sessions,
            report.trace
        );
    }
    println!("{runs} runs, no promise broken");
    Ok(())
}
