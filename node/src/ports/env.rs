//! The ports that every room needs, handed down together.

use std::fmt;
use std::sync::Arc;

use super::blocking::Blocking;
use super::clock::Clock;
use super::dice::Dice;
use super::system::{SystemClock, SystemDice};

/// Time, randomness, and where blocking work runs.
#[derive(Clone)]
pub struct Env {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub dice: Arc<dyn Dice>,
    /// Where work that blocks runs.
    pub blocking: Blocking,
}

impl Env {
    /// Those of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            dice: Arc::new(SystemDice),
            blocking: Blocking::Pool,
        }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Env");
        all.field("now", &self.clock.now());
        all.field("blocking", &self.blocking)
            .finish_non_exhaustive()
    }
}
