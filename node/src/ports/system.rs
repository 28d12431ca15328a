//! The clocks and the dice of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use packnback_proto::policy::Moment;
use rustix::time::{ClockId, clock_gettime};

use super::clock::Clock;
use super::dice::{Dice, NoDice};

/// The clock of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// 0 for a clock before 1970.
    fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs())
    }

    /// Where the system does not say, every moment looks like one of a machine that was just started.
    fn moment(&self) -> Moment {
        let boot = clock_gettime(ClockId::Boottime).tv_sec;
        Moment {
            wall: self.now(),
            boot: u64::try_from(boot).unwrap_or(0),
            boot_id: boot_id().unwrap_or_default(),
        }
    }
}

/// `/proc/sys/kernel/random/boot_id`: a UUID that changes with every start.
fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?;
    bytes.try_into().ok()
}

/// The random numbers of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemDice;

impl Dice for SystemDice {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoDice> {
        getrandom::fill(out).map_err(|_| NoDice)
    }
}
