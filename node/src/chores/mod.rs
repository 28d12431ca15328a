//! What a node does with its own store as time goes by. One file for each.
//!
//! | Module | Does |
//! |---|---|
//! | `collect` | expiry, orders at the end of their grace, space: every ten minutes |
//! | `scrub` | reads everything that is stored, to find what the disk has lost: every 30 days |

mod collect;
mod scrub;

use std::sync::Arc;

use crate::store::Store;
use crate::work::Runner;

/// How often, where a person may say.
#[derive(Debug, Clone, Copy)]
pub struct ChoresConfig {
    /// Days between two readings of everything; 0: at every start.
    pub scrub_days: u64,
}

/// Starts them all.
pub fn start(runner: &Runner, store: &Arc<Store>, config: ChoresConfig) {
    collect::start(runner, store);
    scrub::start(runner, store, config.scrub_days);
}
