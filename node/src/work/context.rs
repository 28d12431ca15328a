//! What a step is given.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use packnback_proto::wire::ErrorCode;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::record::Entry;
use super::wake::Reasons;
use super::{Status, WorkError};
use crate::ports::Env;

/// See the module.
pub struct Context {
    entry: Arc<Entry>,
    env: Env,
    woken: Reasons,
    began: Instant,
    sign: Mutex<Instant>,
    bytes: AtomicU64,
}

impl Context {
    pub(super) fn new(entry: Arc<Entry>, env: Env) -> Self {
        let now = env.clock.instant();
        Self {
            woken: entry.wake.take(),
            entry,
            env,
            began: now,
            sign: Mutex::new(now),
            bytes: AtomicU64::new(0),
        }
    }

    /// This moment.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.env.clock.instant()
    }

    /// This moment in unix seconds.
    #[must_use]
    pub fn wall(&self) -> u64 {
        self.env.clock.now()
    }

    /// The ports of the node.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Whether this step comes of a reason, not of the time.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// Whether this step comes, among others, of this reason.
    #[must_use]
    pub fn is_woken_by(&self, reason: &str) -> bool {
        self.woken.contains(reason)
    }

    /// The step goes on, and something moved: the time it may take begins anew.
    pub fn alive(&self) {
        *self.sign.lock() = self.now();
    }

    /// The step moved so many bytes.
    pub fn spent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says how it stands in the middle of a step.
    pub fn show(&self, status: Status) {
        self.entry.show(status);
    }

    /// Runs what blocks a thread. It is given a sign that is set when the worker is ended: then what it does
    /// is of no use any more, and it should return.
    ///
    /// # Errors
    /// Those of the work; a panic in it.
    pub async fn blocking<T, E>(
        &self,
        work: impl FnOnce(&CancellationToken) -> Result<T, E> + Send + 'static,
    ) -> Result<T, WorkError>
    where
        T: Send + 'static,
        E: Send + 'static,
        WorkError: From<E>,
    {
        let ending = self.entry.ending.clone();
        // A panic is caught where it happens: it says more there.
        let caught = move || std::panic::catch_unwind(AssertUnwindSafe(|| work(&ending)));
        match self.env.blocking.run(caught).await {
            Ok(Ok(done)) => Ok(done?),
            Ok(Err(panic)) => Err(WorkError::panicked(&*panic)),
            Err(stopped) => Err(WorkError::of(ErrorCode::Internal, stopped.to_string())),
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn last_sign(&self) -> Instant {
        *self.sign.lock()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
