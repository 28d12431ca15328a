//! The time.

use futures::future::BoxFuture;
use packnback_proto::policy::Moment;
use tokio::time::Instant;

/// The time, as the node knows it. Pauses and waits are measured by tokio, whose time a simulation can
/// turn as well.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, unix seconds. It may be wrong, and it may jump either way.
    fn now(&self) -> u64;

    /// What else tells how much time went by: how long the machine has been up, and since which start.
    fn moment(&self) -> Moment;

    /// Never goes back.
    fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Returns at this instant, or at once if it is over.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at))
    }
}
