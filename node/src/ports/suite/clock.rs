//! Of clocks.

use std::time::Duration;

use anyhow::ensure;

use super::happens;
use crate::ports::Clock;

/// The clock goes on, and waits as long as it says.
///
/// # Errors
/// What does not hold.
pub async fn clock(clock: &dyn Clock) -> anyhow::Result<()> {
    let (began, first) = (clock.instant(), clock.moment());
    ensure!(
        first.wall.abs_diff(clock.now()) <= 1,
        "a moment shows another time than the clock"
    );
    for ms in [0, 1, 20] {
        let until = clock.instant() + Duration::from_millis(ms);
        happens("a sleep", clock.sleep_until(until)).await?;
        ensure!(clock.instant() >= until, "it slept less than it was told");
    }
    happens("a sleep until what is over", clock.sleep_until(began)).await?;
    let until = clock.instant() + Duration::from_millis(1100);
    happens("a sleep", clock.sleep_until(until)).await?;
    let last = clock.moment();
    ensure!(clock.instant() > began, "its instants stand still");
    ensure!(clock.now() > first.wall, "the wall clock stands still");
    ensure!(
        last.boot > first.boot,
        "the time since the start stands still"
    );
    ensure!(
        last.boot_id == first.boot_id,
        "the machine started meanwhile"
    );
    Ok(())
}
