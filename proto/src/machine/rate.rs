//! How fast questions may come: a bucket that refills with time.

/// What is left of an allowance of so many per hour. Starts full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    per_hour: u64,
    left: u64,
    at: u64,
}

impl Allowance {
    /// A full allowance at `now` (unix seconds).
    #[must_use]
    pub const fn new(per_hour: u64, now: u64) -> Self {
        Self {
            per_hour,
            left: per_hour,
            at: now,
        }
    }

    /// Takes `n`, or says no and takes nothing. A clock that runs back refills nothing.
    pub fn take(&mut self, n: u64, now: u64) -> bool {
        self.refill(now);
        match self.left.checked_sub(n) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Takes `n`, or all that is left: for what is known only after it was used.
    pub fn spend(&mut self, n: u64, now: u64) {
        self.refill(now);
        self.left = self.left.saturating_sub(n);
    }

    fn refill(&mut self, now: u64) {
        let passed = now.saturating_sub(self.at);
        let refill = self.per_hour.saturating_mul(passed) / 3600;
        // Only time that gave something is used up, so that frequent questions still refill.
        if refill > 0 {
            self.left = self.left.saturating_add(refill).min(self.per_hour);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_exact_and_refills_with_time() {
        let mut allowance = Allowance::new(3600, 100);
        assert!(allowance.take(3600, 100));
        assert!(!allowance.take(1, 100));
        assert!(!allowance.take(1, 50), "a clock that runs back");
        assert!(allowance.take(10, 110));
        assert!(!allowance.take(1, 110));
        assert!(!allowance.take(3601, u64::MAX));
        assert!(allowance.take(3600, u64::MAX));
        let mut allowance = Allowance::new(3600, 100);
        allowance.spend(3599, 100);
        assert!(allowance.take(1, 100));
        allowance.spend(5, 101);
        assert!(!allowance.take(1, 101));
    }
}
