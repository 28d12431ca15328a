//! Everything this node does by itself, as workers under one runner.
//!
//! A worker says what one step of its work is and when the next is due. The runner does the rest, the same
//! for all: wakes it, waits, backs off after errors, rests it, watches that a step ends, catches panics,
//! counts, tells, and ends it.
//!
//! | Module | Does |
//! |---|---|
//! | `runner` | starts, lists, wakes and ends workers |
//! | `drive` | runs one worker: step, judge, wait |
//! | `plan` | what follows from a step: pure |
//! | `rules` | what a worker may and gets: bounds, pauses, share of the time |
//! | `wake` | reasons to look, gathered and never lost |
//! | `context` | what a step is given |
//! | `record` | what is known of a worker, for people |
//! | `error` | why a step failed: whose fault, and whether trying again helps |

mod context;
mod drive;
mod error;
mod plan;
mod record;
mod rules;
mod runner;
mod wake;

#[cfg(test)]
mod tests;

use std::future::{Future, pending};

use packnback_proto::wire::work::Progress;
use tokio::time::Instant;

pub use context::Context;
pub use error::WorkError;
pub use rules::{OnStall, Rules};
pub use runner::{Handle, Runner};
pub use wake::Bell;

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is more to do.
    Again,
    /// Nothing before this moment, unless the worker is woken.
    At(Instant),
    /// Nothing until the worker is woken.
    WhenWoken,
    /// Nothing ever again.
    Done,
}

/// What a worker says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Things that wait to be done, if it counts them.
    pub queue: Option<u64>,
    /// How far it is, if it knows.
    pub progress: Option<Progress>,
    /// For people; may be empty.
    pub note: String,
}

/// Something this node does by itself. See the module.
pub trait Worker: Send + 'static {
    /// Its name: one per runner.
    fn name(&self) -> String;

    /// One step. It may be dropped at any await: when the worker is ended, and when the step takes too long.
    ///
    /// # Errors
    /// [`WorkError`]: the runner asks it whether and when to try again.
    fn step(&mut self, cx: &Context) -> impl Future<Output = Result<Next, WorkError>> + Send;

    /// How it stands after a step.
    fn status(&self) -> Status {
        Status::default()
    }

    /// Returns when there is a reason to look that only the worker knows of. Asked while it waits; it may be
    /// dropped at any await, and must not lose what happened before it was asked.
    fn nudge(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }
}
