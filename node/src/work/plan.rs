//! What follows from a step. Pure.

use std::time::Duration;

use packnback_proto::wire::blame::Retry;
use tokio::time::Instant;

use super::{Next, Rules, WorkError};
use crate::ports::backoff;

/// Steps in a row, each wanting another, after which it is looked at whether they do anything.
pub(super) const IN_A_ROW: u32 = 256;
/// So many steps that take less than this together do nothing.
const IN_A_ROW_TAKES: Duration = Duration::from_millis(25);

/// When and why a worker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Wait(Pause),
    End,
}

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// It ends then; `None`: when the worker is woken.
    pub(super) until: Option<Instant>,
    /// Even a worker that is woken rests until then.
    pub(super) earliest: Instant,
    /// How long more reasons are gathered once it is woken.
    pub(super) gather: Duration,
}

/// What a step took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) bytes: u64,
}

impl Took {
    /// Nothing was done at this moment.
    pub(super) fn nothing(at: Instant) -> Self {
        Self {
            began: at,
            ended: at,
            bytes: 0,
        }
    }
}

/// What follows from a step. `attempt`: errors in a row before it.
pub(super) fn plan(
    result: &Result<Next, WorkError>,
    rules: &Rules,
    took: Took,
    attempt: u32,
    random: u32,
) -> Plan {
    let now = took.ended;
    let earliest = now + rest_of(rules, took);
    let pause = |until: Option<Instant>| {
        Plan::Wait(Pause {
            until: until.map(|until| until.max(earliest)),
            earliest,
            gather: rules.gather,
        })
    };
    let (retry, after) = match result {
        Ok(Next::Again) => return pause(Some(now)),
        // Never at once, whatever the step came to: a worker that does not wait takes a whole core.
        Ok(Next::At(at)) => return pause(Some((*at).max(now + rules.floor))),
        Ok(Next::WhenWoken) => return pause(None),
        Ok(Next::Done) => return Plan::End,
        Err(error) => (error.retry(), error.after()),
    };
    let max = match retry {
        Retry::Never => return Plan::End,
        Retry::WhenWoken => {
            return after_error(pause(rules.look_again.map(|after| now + after)), rules);
        }
        Retry::Slowly => rules.slow_max,
        Retry::BackOff | Retry::Unknown => rules.max,
    };
    let until = now + backoff(attempt, rules.first, max, random).max(after);
    after_error(pause(Some(until)), rules)
}

/// A flood of reasons must not become a flood of tries.
fn after_error(plan: Plan, rules: &Rules) -> Plan {
    match plan {
        Plan::Wait(pause) => Plan::Wait(Pause {
            gather: rules.gather.max(rules.first),
            ..pause
        }),
        Plan::End => Plan::End,
    }
}

/// The rest after work that took `busy`, so that work takes at most `percent` of the time. Zero percent
/// counts as one, and a hundred or more need no rest.
fn rest(busy: Duration, percent: u8) -> Duration {
    let percent = u32::from(percent.clamp(1, 100));
    busy.saturating_mul(100 - percent) / percent
}

fn rest_of(rules: &Rules, took: Took) -> Duration {
    let busy = took.ended.saturating_duration_since(took.began);
    let by_rate = rules.rate.map_or(Duration::ZERO, |rate| {
        let ms = took.bytes.saturating_mul(1000) / rate.max(1);
        Duration::from_millis(ms).saturating_sub(busy)
    });
    rest(busy, rules.share).max(by_rate)
}

/// Notices a worker that always wants another step and does nothing.
#[derive(Debug, Default)]
pub(super) struct Row {
    count: u32,
    busy: Duration,
}

impl Row {
    /// Whether the worker spins: looked at after so many steps in a row.
    pub(super) fn spins(&mut self, next: &Result<Next, WorkError>, took: Took) -> bool {
        if !matches!(next, Ok(Next::Again)) {
            *self = Self::default();
            return false;
        }
        self.count = self.count.saturating_add(1);
        let busy = took.ended.saturating_duration_since(took.began);
        self.busy = self.busy.saturating_add(busy);
        if self.count < IN_A_ROW {
            return false;
        }
        let spins = self.busy < IN_A_ROW_TAKES;
        *self = Self::default();
        spins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(300);

    fn took(busy: Duration, bytes: u64) -> Took {
        let began = Instant::now();
        Took {
            began,
            ended: began + busy,
            bytes,
        }
    }

    fn pause(result: &Result<Next, WorkError>, rules: &Rules, took: Took, attempt: u32) -> Pause {
        match plan(result, rules, took, attempt, u32::MAX) {
            Plan::Wait(pause) => pause,
            Plan::End => Pause {
                until: None,
                earliest: took.began,
                gather: Duration::MAX,
            },
        }
    }

    #[test]
    fn a_share_of_the_time_is_worked() {
        assert_eq!(rest(FIRST, 5), FIRST * 19);
        assert_eq!(rest(FIRST, 50), FIRST);
        assert_eq!(rest(FIRST, 100), Duration::ZERO);
        assert_eq!(rest(FIRST, 200), Duration::ZERO);
        assert_eq!(rest(FIRST, 0), FIRST * 99);
    }

    #[test]
    fn a_worker_rests_as_its_share_and_its_rate_say_woken_or_not() {
        let rules = Rules::new(FIRST, MAX).share(10).rate(1000);
        let short = took(FIRST, 500);
        let next = pause(&Ok(Next::Again), &rules, short, 0);
        assert_eq!(next.until, Some(short.ended + FIRST * 9));
        assert_eq!(next.earliest, short.ended + FIRST * 9);
        let much = took(FIRST, 100_000);
        assert_eq!(
            pause(&Ok(Next::Again), &rules, much, 0).earliest,
            much.began + FIRST * 100
        );
        assert_eq!(pause(&Ok(Next::WhenWoken), &rules, much, 0).until, None);
    }

    #[test]
    fn no_moment_is_too_soon() {
        let (rules, took) = (Rules::new(FIRST, MAX), took(FIRST, 0));
        let past = pause(&Ok(Next::At(took.began)), &rules, took, 0);
        assert_eq!(past.until, Some(took.ended + FIRST));
        let later = took.ended + MAX;
        assert_eq!(
            pause(&Ok(Next::At(later)), &rules, took, 0).until,
            Some(later)
        );
    }

    #[test]
    fn pauses_grow_as_the_error_says() {
        let (rules, took) = (Rules::new(FIRST, MAX).look_again(MAX * 100), took(FIRST, 0));
        let until = |retry, attempt| {
            let error = WorkError::new("x", "x").retrying(retry);
            let pause = pause(&Err(error), &rules, took, attempt);
            pause.until.map(|until| until - took.ended)
        };
        assert_eq!(until(Retry::BackOff, 0), Some(FIRST));
        assert_eq!(until(Retry::BackOff, 3), Some(FIRST * 8));
        assert_eq!(until(Retry::BackOff, 30), Some(MAX));
        assert_eq!(until(Retry::Slowly, 30), Some(MAX * 12));
        assert_eq!(until(Retry::WhenWoken, 0), Some(MAX * 100));
        let never = Err(WorkError::new("x", "x").retrying(Retry::Never));
        assert_eq!(plan(&never, &rules, took, 0, 0), Plan::End);
    }

    #[test]
    fn after_an_error_reasons_are_gathered() {
        let (rules, took) = (Rules::new(FIRST, MAX), took(FIRST, 0));
        let error = Err(WorkError::new("x", "x"));
        assert_eq!(pause(&error, &rules, took, 5).gather, FIRST);
        assert_eq!(
            pause(&Ok(Next::WhenWoken), &rules, took, 0).gather,
            Duration::ZERO
        );
    }

    #[test]
    fn steps_in_a_row_that_do_nothing_are_noticed() {
        let (again, mut row) = (Ok(Next::Again), Row::default());
        let spins = |row: &mut Row, busy| {
            let steps = (0..IN_A_ROW).map(|_| row.spins(&again, took(busy, 0)));
            steps.filter(|spins| *spins).count()
        };
        assert_eq!(spins(&mut row, Duration::ZERO), 1);
        assert_eq!(spins(&mut row, Duration::from_millis(1)), 0);
        // One that waits in between does not spin.
        assert!((1..IN_A_ROW).all(|_| !row.spins(&again, took(Duration::ZERO, 0))));
        assert!(!row.spins(&Ok(Next::WhenWoken), took(Duration::ZERO, 0)));
        assert!(!row.spins(&again, took(Duration::ZERO, 0)));
    }
}
