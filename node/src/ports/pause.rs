//! When to try again: exponential, capped, with jitter. Pure.

use std::time::Duration;

/// The pause before attempt `attempt` (0 = the first retry): `first * 2^attempt`, at most `max`,
/// times a factor between 0.5 and 1 that `random` picks, so that friends who lost the same host do
/// not all come back at the same moment.
#[must_use]
pub fn backoff(attempt: u32, first: Duration, max: Duration, random: u32) -> Duration {
    let factor = 2_u32.checked_pow(attempt).unwrap_or(u32::MAX);
    let full = first.saturating_mul(factor).min(max);
    let jitter = (full / 2).mul_f64(f64::from(random) / f64::from(u32::MAX));
    full / 2 + jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(300);

    #[test]
    fn pauses_double_up_to_the_cap() {
        let full = |attempt| backoff(attempt, FIRST, MAX, u32::MAX);
        assert_eq!(full(0), FIRST);
        assert_eq!(full(1), FIRST * 2);
        assert_eq!(full(8), FIRST * 256);
        assert_eq!(full(9), MAX);
        assert_eq!(full(u32::MAX), MAX);
    }

    #[test]
    fn jitter_never_leaves_its_half() {
        for attempt in 0..12 {
            let least = backoff(attempt, FIRST, MAX, 0);
            let most = backoff(attempt, FIRST, MAX, u32::MAX);
            assert_eq!(least * 2, most);
            let middle = backoff(attempt, FIRST, MAX, u32::MAX / 2);
            assert!(least < middle && middle < most);
        }
    }
}
