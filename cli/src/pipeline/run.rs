//! One run of a pipeline: whether it goes on, and why it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::budget::Budget;

/// A flag set by a signal handler: the run ends at the next file, keeping what is already durable.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The run is over; why, is in [`Run::failure`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop;

/// Why a run can end early.
pub(crate) trait RunError {
    /// Somebody asked it to.
    fn cancelled() -> Self;
}

/// Shared by all threads of a run.
pub(crate) struct Run<E> {
    cancel: Cancel,
    stopped: AtomicBool,
    failure: Mutex<Option<E>>,
    /// Closed at the end, so that nobody waits for room any more.
    budgets: Vec<Budget>,
}

impl<E: RunError> Run<E> {
    pub(crate) fn new(cancel: Cancel, budgets: Vec<Budget>) -> Self {
        Self {
            cancel,
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
            budgets,
        }
    }

    /// Ends the run. The first reason counts.
    pub(crate) fn fail(&self, error: E) -> Stop {
        self.failure.lock().get_or_insert(error);
        self.stop();
        Stop
    }

    /// Ends the run without a reason of its own, and lets everybody out who waits for room.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.budgets.iter().for_each(Budget::close);
    }

    /// Whether the run goes on.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(self.fail(E::cancelled()));
        }
        if self.stopped.load(Ordering::Acquire) {
            return Err(Stop);
        }
        Ok(())
    }

    /// Whether somebody asked it to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Why it is over.
    pub(crate) fn failure(&self) -> Option<E> {
        self.failure.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl RunError for &str {
        fn cancelled() -> Self {
            "cancelled"
        }
    }

    #[test]
    fn the_first_reason_counts_and_nobody_waits_any_more() {
        let budget = Budget::new(1);
        let cancel = Cancel::default();
        let run = Run::new(cancel.clone(), vec![budget.clone()]);
        assert!(run.check().is_ok());
        let _all = budget.acquire(1);
        assert!(budget.try_acquire(1).is_none());
        let Stop = run.fail("full");
        cancel.cancel();
        assert!(run.check().is_err());
        // Not blocked: the budget is closed.
        let _more = budget.acquire(1);
        assert_eq!((run.failure(), run.failure()), (Some("full"), None));
    }
}
