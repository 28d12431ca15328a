//! The clocks of this machine, as retention looks at them.

use packnback_proto::policy::Moment;
use rustix::time::{ClockId, clock_gettime};

/// This moment: the given wall clock, and what the system says of its start. Where it does not say,
/// every moment looks like one of a machine that was just started.
#[must_use]
pub fn moment(wall: u64) -> Moment {
    let boot = clock_gettime(ClockId::Boottime).tv_sec;
    Moment {
        wall,
        boot: u64::try_from(boot).unwrap_or(0),
        boot_id: boot_id().unwrap_or_default(),
    }
}

/// `/proc/sys/kernel/random/boot_id`: a UUID that changes with every start.
fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_moments_are_of_one_start_and_in_order() {
        let (first, second) = (moment(1), moment(2));
        assert_eq!(first.boot_id, second.boot_id);
        assert!(second.boot >= first.boot);
    }
}
