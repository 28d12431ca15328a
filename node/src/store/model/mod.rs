#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! Random interleavings of backups, questions, commits, orders, collection and crashes, against a
//! naive twin that knows only which snapshots there should be (docs/collection.md).
//!
//! After every step: each snapshot that should be there is whole to the last byte, the counts are
//! what counting anew gives, and what an open session was told is still true. At the end: nothing is
//! left that no snapshot needs.
//!
//! `PACKNBACK_MODEL_RUNS` sets the number of runs of each test, `PACKNBACK_MODEL_SEED` the first.

mod check;
mod steps;
mod world;

use world::World;

/// Steps of one run.
const STEPS: usize = 48;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn runs(first: u64, faults: bool) {
    let first = number("PACKNBACK_MODEL_SEED", first);
    for seed in first..first + number("PACKNBACK_MODEL_RUNS", 2500) {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, faults);
            for step in 0..STEPS {
                world.step();
                world.check();
                if step % 6 == 0 {
                    world.check_unclaimed();
                }
            }
            world.end();
        });
        if let Err(panic) = run {
            let what = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            panic!("seed {seed}: {}", what.unwrap_or_default());
        }
    }
}

#[test]
fn n02_n03_model_without_faults() {
    runs(1, false);
}

#[test]
fn n02_n03_model_without_faults_other_seeds() {
    runs(1_000_000, false);
}

#[test]
fn n02_n03_model_with_crashes_at_any_write() {
    runs(2_000_000, true);
}

#[test]
fn n02_n03_model_with_crashes_at_any_write_other_seeds() {
    runs(3_000_000, true);
}
