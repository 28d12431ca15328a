//! What a node does with its own store as time goes by. One file for each.
//!
//! | Module | Does |
//! |---|---|
//! | `collect` | expiry, orders at the end of their grace, space: every ten minutes |

mod collect;

use std::sync::Arc;

use crate::store::Store;
use crate::work::Runner;

/// Starts them all.
pub fn start(runner: &Runner, store: &Arc<Store>) {
    collect::start(runner, store);
}
