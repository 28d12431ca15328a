//! A budget of bytes: whoever wants more than is left waits until others give back.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// A number of bytes that may be in use at once. Cheap to clone.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limit: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    used: usize,
    /// No more waiting: what uses the budget is over.
    closed: bool,
}

impl Budget {
    /// At most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            limit,
            state: Mutex::default(),
            freed: Condvar::new(),
        }))
    }

    /// Waits until `bytes` are free. A request over the whole limit waits until nothing is in use,
    /// so it cannot wait for ever.
    #[must_use]
    pub fn acquire(&self, bytes: usize) -> Permit {
        let mut state = self.0.state.lock();
        while !self.fits(&state, bytes) {
            self.0.freed.wait(&mut state);
        }
        state.used = state.used.saturating_add(bytes);
        Permit {
            budget: self.clone(),
            bytes,
        }
    }

    /// As [`Budget::acquire`], but does not wait.
    #[must_use]
    pub fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        let mut state = self.0.state.lock();
        if !self.fits(&state, bytes) {
            return None;
        }
        state.used = state.used.saturating_add(bytes);
        Some(Permit {
            budget: self.clone(),
            bytes,
        })
    }

    fn fits(&self, state: &State, bytes: usize) -> bool {
        state.closed || state.used == 0 || state.used.saturating_add(bytes) <= self.0.limit
    }

    /// Lets everybody through from now on: the work is being given up.
    pub fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.freed.notify_all();
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.state.lock().used
    }
}

/// A share of a [`Budget`], given back when dropped.
pub struct Permit {
    budget: Budget,
    bytes: usize,
}

impl Permit {
    /// Gives back all but `bytes`.
    #[cfg(test)]
    pub fn shrink(&mut self, bytes: usize) {
        let give = self.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(give);
        self.budget.release(give);
    }
}

impl Budget {
    fn release(&self, bytes: usize) {
        if bytes > 0 {
            let mut state = self.0.state.lock();
            state.used = state.used.saturating_sub(bytes);
            drop(state);
            self.0.freed.notify_all();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}
