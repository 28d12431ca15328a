//! The time and the dice of the network task: those of the system.

use std::sync::Arc;

use crate::ports::{Clock as _, Dice, SystemClock, SystemDice};

/// Unix seconds; 0 for a clock before 1970.
#[must_use]
pub fn now_s() -> u64 {
    SystemClock.now()
}

/// A random number for the jitter of pauses.
#[must_use]
pub(crate) fn random_u32() -> u32 {
    let dice: Arc<dyn Dice> = Arc::new(SystemDice);
    dice.jitter()
}
