//! Which snapshots of a device a host may let go, and when it must not let anything go (docs/retention.md).
//!
//! Pure and total: facts and `now` come in, verdicts come out. Everything is per device: no function here sees the
//! snapshots of two devices, so none can make one pay for another. Within a device each backup set is judged by itself.
//!
//! - [`evaluate`] says of each snapshot why it stays, or when it may go.
//! - [`expire`] picks what is marked now: oldest first, few per day, nothing while frozen.
//! - [`flood`] and [`fork`] find what [`Freeze`]s a device, [`advance`] watches the clock of the host.
//! - [`effective_time`] is the time retention goes by.

mod calendar;
mod clock;
mod expiry;
mod freeze;
mod retention;
mod timing;

#[cfg(test)]
mod tests;

pub use calendar::{DAY_S, Date, Period, Rule};
pub use clock::{ClockMark, ClockState, Jump, Moment, advance, cleared};
pub use expiry::{Day, daily_cap, expire};
pub use freeze::{Freeze, Frozen, Link, flood, fork};
pub use retention::{Reason, Rules, SnapFact, Verdict, evaluate};
pub use timing::effective_time;
