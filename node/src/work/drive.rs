//! Runs one worker: step, judge, wait.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt as _;
use packnback_proto::wire::blame::Retry;
use tokio::time::Instant;

use super::plan::{Pause, Plan, Row, Took, plan};
use super::record::Entry;
use super::{Context, Next, OnStall, Rules, WorkError, Worker};
use crate::ports::{Clock, Env};

/// One worker and what makes it. It is made anew after it panicked or stalled: what it knew may be half true.
pub(super) struct Drive<W, F> {
    make: F,
    worker: Option<W>,
    rules: Rules,
    entry: Arc<Entry>,
    env: Env,
    /// Errors in a row.
    attempt: u32,
    /// Panics in a row while it waited.
    broken: u32,
    row: Row,
}

impl<W: Worker, F: Fn() -> W + Send + Sync> Drive<W, F> {
    pub(super) fn new(make: F, worker: W, rules: Rules, entry: Arc<Entry>, env: Env) -> Self {
        Self {
            make,
            worker: Some(worker),
            rules,
            entry,
            env,
            attempt: 0,
            broken: 0,
            row: Row::default(),
        }
    }

    /// Until it is done or ended.
    pub(super) async fn run(mut self) {
        let ending = self.entry.ending.clone();
        tokio::select! {
            biased;
            () = ending.cancelled() => self.entry.ends(false),
            () = self.go_on() => {}
        }
    }

    async fn go_on(&mut self) {
        loop {
            let (mut result, mut took) = self.step().await;
            loop {
                let Plan::Wait(pause) = self.judge(&result, took) else {
                    self.entry.ends(result.is_err());
                    return;
                };
                self.entry.waits(pause.until, result.is_err());
                let was_whole = self.worker.is_some();
                let Err(error) = self.wait(pause).await else {
                    if was_whole {
                        self.broken = 0;
                    }
                    break;
                };
                // It panicked while it waited.
                result = Err(error);
                took = Took::nothing(self.env.clock.instant());
                self.attempt = self.broken;
                self.broken = self.broken.saturating_add(1);
            }
        }
    }

    async fn step(&mut self) -> (Result<Next, WorkError>, Took) {
        let cx = Context::new(Arc::clone(&self.entry), self.env.clone());
        self.entry.begins(cx.wall());
        let result = self.watched(&cx).await;
        let took = Took {
            began: cx.began(),
            ended: self.env.clock.instant(),
            bytes: cx.bytes(),
        };
        (result, took)
    }

    async fn watched(&mut self, cx: &Context) -> Result<Next, WorkError> {
        let (worker, make) = (self.worker.take(), &self.make);
        let work = async move {
            let mut worker = worker.unwrap_or_else(make);
            let next = worker.step(cx).await;
            let status = worker.status();
            (worker, next, status)
        };
        let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
        let mut bound = self.rules.bound;
        let done = loop {
            let until = bound.map(|bound| cx.last_sign() + bound);
            tokio::select! {
                biased;
                done = &mut work => break done,
                () = sleep_until(&*self.env.clock, until) => {}
            }
            let Some(limit) =
                bound.filter(|bound| cx.last_sign() + *bound <= self.env.clock.instant())
            else {
                continue;
            };
            let error = WorkError::stalled(limit);
            if self.rules.on_stall == OnStall::Restart {
                return Err(error);
            }
            self.entry.failed(&error, cx.wall());
            self.entry.stalls();
            bound = None;
        };
        match done {
            Ok((worker, next, status)) => {
                self.worker = Some(worker);
                self.entry.show(status);
                next
            }
            Err(panic) => Err(WorkError::panicked(&*panic)),
        }
    }

    /// Counts and tells, and says what follows.
    fn judge(&mut self, result: &Result<Next, WorkError>, took: Took) -> Plan {
        let (attempt, random) = (self.attempt, self.env.dice.jitter());
        match result {
            Ok(_) => {
                self.attempt = 0;
                self.entry.went_well();
            }
            Err(error) => {
                self.attempt = attempt.saturating_add(1);
                self.entry.failed(error, self.env.clock.now());
            }
        }
        let mut planned = plan(result, &self.rules, took, attempt, random);
        if self.row.spins(result, took)
            && let Plan::Wait(pause) = &mut planned
        {
            let error = WorkError::new("spinning", "it always wants another step and does nothing");
            let error = error.retrying(Retry::BackOff);
            self.entry.failed(&error, self.env.clock.now());
            pause.earliest = took.ended + self.rules.first;
            pause.until = Some(pause.earliest);
        }
        planned
    }

    /// Until its time, or until there is a reason to look: then errors in a row are counted anew.
    async fn wait(&mut self, pause: Pause) -> Result<(), WorkError> {
        if pause
            .until
            .is_some_and(|until| until <= self.env.clock.instant())
        {
            // Others want to run as well.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let waited = {
            let (worker, wake, clock) = (&mut self.worker, &self.entry.wake, &*self.env.clock);
            let nudged = async move {
                match worker {
                    Some(worker) => worker.nudge().await,
                    None => pending().await,
                }
            };
            let nudged = pin!(AssertUnwindSafe(nudged).catch_unwind());
            tokio::select! {
                biased;
                () = wake.woken() => Waited::Woken,
                nudged = nudged => match nudged {
                    Ok(()) => Waited::Nudged,
                    Err(panic) => Waited::Broken(WorkError::panicked(&*panic)),
                },
                () = sleep_until(clock, pause.until) => Waited::Long,
            }
        };
        let gathered = match waited {
            Waited::Woken => self.env.clock.instant() + pause.gather,
            Waited::Nudged => self.env.clock.instant(),
            Waited::Long => return Ok(()),
            Waited::Broken(error) => {
                self.worker = None;
                return Err(error);
            }
        };
        // Not longer than without the reason.
        let gathered = pause.until.map_or(gathered, |until| gathered.min(until));
        self.env
            .clock
            .sleep_until(gathered.max(pause.earliest))
            .await;
        self.attempt = 0;
        Ok(())
    }
}

/// How a pause ended.
enum Waited {
    /// By its time.
    Long,
    Woken,
    Nudged,
    /// The worker panicked.
    Broken(WorkError),
}

async fn sleep_until(clock: &dyn Clock, until: Option<Instant>) {
    match until {
        Some(until) => clock.sleep_until(until).await,
        None => pending().await,
    }
}
