//! What every implementation of a port has to pass. Each check says what is wrong instead of ending the
//! program, so that a test can also show that it finds a fault.

mod clock;
mod dice;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

pub use clock::clock;
pub use dice::dice;
pub use transport::TRANSPORT;

use super::Transport;

/// Longer than anything here takes on a busy machine: reached only by what never happens.
const BOUND: Duration = Duration::from_secs(60);

/// Makes nodes that can reach each other.
pub trait Lab: Send + Sync {
    /// The node with the key made of this number; `listens`: others can dial it.
    fn node(&self, n: u8, listens: bool) -> BoxFuture<'_, Arc<dyn Transport>>;
}

/// One thing that must hold.
pub struct Check {
    /// What, in words.
    pub name: &'static str,
    /// Finds out. The error says how it does not hold.
    pub run: for<'a> fn(&'a dyn Lab) -> BoxFuture<'a, anyhow::Result<()>>,
}

/// Something that must happen.
async fn happens<T>(what: &str, step: impl Future<Output = T>) -> anyhow::Result<T> {
    let done = tokio::time::timeout(BOUND, step).await;
    done.map_err(|_| anyhow::anyhow!("{what}: not after {} seconds", BOUND.as_secs()))
}
