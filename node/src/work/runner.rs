//! Starts, lists, wakes and ends workers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::wire::work::WorkerInfo;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::drive::Drive;
use super::record::Entry;
use super::{Rules, Worker};
use crate::ports::Env;

/// Longest wait for workers to end. What blocks a thread is told to end and is not waited for.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Runs the workers of a node. Clones are the same runner; when the last is dropped, all workers end.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    env: Env,
    ending: CancellationToken,
    tasks: TaskTracker,
    workers: Mutex<BTreeMap<String, Arc<Entry>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner without workers.
    #[must_use]
    pub fn new(env: Env) -> Self {
        Self(Arc::new(Inner {
            env,
            ending: CancellationToken::new(),
            tasks: TaskTracker::new(),
            workers: Mutex::default(),
        }))
    }

    /// Starts a worker. `make` makes it, now and again after it panicked or stalled. One of the same name is
    /// ended first.
    pub fn start<W: Worker>(
        &self,
        rules: Rules,
        make: impl Fn() -> W + Send + Sync + 'static,
    ) -> Handle {
        let worker = make();
        let entry = Entry::new(worker.name(), self.0.ending.child_token());
        let entry = Arc::new(entry);
        for bell in &rules.bells {
            bell.heard_by(&entry.wake);
        }
        let old = {
            let mut workers = self.0.workers.lock();
            workers.insert(entry.name.clone(), Arc::clone(&entry))
        };
        if let Some(old) = old {
            old.ending.cancel();
        }
        let drive = Drive::new(make, worker, rules, Arc::clone(&entry), self.0.env.clone());
        self.0.tasks.spawn(drive.run());
        Handle {
            entry,
            runner: Arc::downgrade(&self.0),
        }
    }

    /// Wakes the worker of this name; whether there is one.
    pub fn wake(&self, name: &str, reason: &'static str) -> bool {
        let workers = self.0.workers.lock();
        let entry = workers.get(name);
        if let Some(entry) = entry {
            entry.wake.wake(reason);
        }
        entry.is_some()
    }

    /// All workers, by name. Those that ended by themselves are listed, those that were ended are not.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let clock = &self.0.env.clock;
        let (wall, now) = (clock.now(), clock.instant());
        let workers = self.0.workers.lock();
        workers
            .values()
            .map(|entry| entry.info(wall, now))
            .collect()
    }

    /// Ends all workers, and returns once they have ended. Steps under way are dropped; no worker starts again.
    pub async fn shutdown(&self) {
        self.0.ending.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(ENDS_WITHIN, self.0.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some workers do not end; the node ends without them");
        }
    }
}

/// One worker that was started. Dropping it leaves the worker alone.
#[derive(Debug)]
pub struct Handle {
    entry: Arc<Entry>,
    runner: std::sync::Weak<Inner>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runner")
    }
}

impl Handle {
    /// Wakes it.
    pub fn wake(&self, reason: &'static str) {
        self.entry.wake.wake(reason);
    }

    /// Ends it, and takes it off the list. A step under way is dropped at its next await.
    pub fn end(&self) {
        self.entry.ending.cancel();
        if let Some(inner) = self.runner.upgrade() {
            let mut workers = inner.workers.lock();
            if workers
                .get(&self.entry.name)
                .is_some_and(|entry| Arc::ptr_eq(entry, &self.entry))
            {
                workers.remove(&self.entry.name);
            }
        }
    }
}
