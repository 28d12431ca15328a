//! Where work that blocks runs: hashing, the disk.

use std::panic::AssertUnwindSafe;

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
}

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
        for blocking in [Blocking::Pool, Blocking::Inline] {
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
}
