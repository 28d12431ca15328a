//! Where work that blocks runs: hashing, the disk.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

/// The work was cut short: it panicked, or the node is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node failed inside, or is stopping")]
pub struct Stopped;

/// Where work that blocks runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// On threads of its own.
    Pool,
    /// At once, where it was asked for: nothing else happens meanwhile, so that what follows is the same
    /// each time.
    Inline,
    /// The same, on a machine that is slow.
    Late(Lag),
}

/// How long each piece of work takes on a slow machine; it may change. Copies are the same.
#[derive(Debug, Clone, Copy)]
pub struct Lag(&'static AtomicU64);

impl Lag {
    /// None to begin with. It is never freed: a machine of a simulation has one.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// From now on.
    pub fn set(self, each: Duration) {
        let micros = u64::try_from(each.as_micros()).unwrap_or(u64::MAX);
        self.0.store(micros, Ordering::Relaxed);
    }

    async fn pass(self) {
        match self.0.load(Ordering::Relaxed) {
            0 => {}
            micros => tokio::time::sleep(Duration::from_micros(micros)).await,
        }
    }
}

impl Default for Lag {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Lag {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Lag {}

impl Blocking {
    /// Runs it and waits.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        match self {
            Self::Pool => tokio::task::spawn_blocking(work).await.map_err(|_| Stopped),
            Self::Inline => inline(work),
            Self::Late(lag) => {
                lag.pass().await;
                inline(work)
            }
        }
    }

    /// Runs it as one of several; the outcome is had from `tasks`.
    pub fn start<T: Send + 'static>(
        self,
        tasks: &mut JoinSet<Result<T, Stopped>>,
        work: impl FnOnce() -> T + Send + 'static,
    ) {
        match self {
            // A panic is the error of the task.
            Self::Pool => {
                tasks.spawn_blocking(|| Ok(work()));
            }
            Self::Inline => {
                let done = inline(work);
                tasks.spawn(std::future::ready(done));
            }
            Self::Late(lag) => {
                tasks.spawn(async move {
                    lag.pass().await;
                    inline(work)
                });
            }
        }
    }
}

/// A panic ends this work and no more, as on a thread of its own.
fn inline<T>(work: impl FnOnce() -> T) -> Result<T, Stopped> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| Stopped)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_a_panic_ends_it_only() {
        for blocking in [Blocking::Pool, Blocking::Inline, Blocking::Late(Lag::new())] {
            assert_eq!(blocking.run(|| 7).await, Ok(7));
            let broken = blocking.run(|| panic!("meant to"));
            assert_eq!(broken.await, Err::<(), _>(Stopped));
            let mut tasks = JoinSet::new();
            for n in 0..4 {
                blocking.start(&mut tasks, move || n);
            }
            let mut done = Vec::new();
            while let Some(one) = tasks.join_next().await {
                done.push(one.unwrap().unwrap());
            }
            done.sort_unstable();
            assert_eq!(done, [0, 1, 2, 3]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_machine_takes_its_time() {
        let lag = Lag::new();
        let (blocking, start) = (Blocking::Late(lag), tokio::time::Instant::now());
        blocking.run(|| ()).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        lag.set(Duration::from_secs(3));
        blocking.run(|| ()).await.unwrap();
        let mut tasks = JoinSet::new();
        blocking.start(&mut tasks, || ());
        tasks.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(6));
    }
}
