//! What a worker may take and what it gets.

use std::sync::Arc;
use std::time::Duration;

use super::wake::Bell;

/// What happens to a step that does not end in time. Either way it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStall {
    /// It is dropped, and the worker is made anew.
    Restart,
    /// It is left alone: it blocks a thread, and a second one would do no better.
    Report,
}

/// How the runner treats a worker.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Pause after the first error.
    pub(super) first: Duration,
    /// Longest pause after errors.
    pub(super) max: Duration,
    /// Longest pause after errors that go slowly.
    pub(super) slow_max: Duration,
    /// After an error that waits to be woken it looks again after this anyway.
    pub(super) look_again: Option<Duration>,
    /// Shortest pause before the moment a worker names.
    pub(super) floor: Duration,
    /// How long more reasons are gathered once it is woken.
    pub(super) gather: Duration,
    /// A step ends, or shows that it is alive, within this.
    pub(super) bound: Option<Duration>,
    pub(super) on_stall: OnStall,
    /// Share of the time it may work, in percent.
    pub(super) share: u8,
    /// Bytes it may move in a second.
    pub(super) rate: Option<u64>,
    pub(super) bells: Vec<Arc<Bell>>,
}

impl Rules {
    /// After errors it pauses `first`, then twice as long each time, at most `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            slow_max: max.saturating_mul(12),
            look_again: None,
            floor: first,
            gather: Duration::ZERO,
            bound: None,
            on_stall: OnStall::Restart,
            share: 100,
            rate: None,
            bells: Vec::new(),
        }
    }

    /// After an error that waits to be woken it looks again after this anyway.
    #[must_use]
    pub fn look_again(self, after: Duration) -> Self {
        Self {
            look_again: Some(after),
            ..self
        }
    }

    /// Once woken it waits this long for more reasons.
    #[must_use]
    pub fn gather(self, gather: Duration) -> Self {
        Self { gather, ..self }
    }

    /// A step ends, or shows that it is alive, within this. Without it a step may take for ever: for those
    /// that watch themselves.
    #[must_use]
    pub fn bound(self, bound: Duration, on_stall: OnStall) -> Self {
        Self {
            bound: Some(bound),
            on_stall,
            ..self
        }
    }

    /// It works for at most so much of the time, in percent.
    #[must_use]
    pub fn share(self, percent: u8) -> Self {
        Self {
            share: percent,
            ..self
        }
    }

    /// It moves at most so many bytes in a second, as told by [`super::Context::spent`].
    #[must_use]
    pub fn rate(self, bytes: u64) -> Self {
        Self {
            rate: Some(bytes),
            ..self
        }
    }

    /// It is woken whenever this bell rings.
    #[must_use]
    pub fn woken_by(mut self, bell: &Arc<Bell>) -> Self {
        self.bells.push(Arc::clone(bell));
        self
    }
}
