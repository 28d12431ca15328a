//! Reasons to look: gathered under their names while a worker is busy, and never lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Why a worker was woken: names, each once however often it happened.
pub(super) type Reasons = BTreeSet<&'static str>;

/// What wakes one worker.
#[derive(Debug, Default)]
pub(super) struct Wake {
    reasons: Mutex<Reasons>,
    notify: Notify,
}

impl Wake {
    /// There is a reason to look.
    pub(super) fn wake(&self, reason: &'static str) {
        self.reasons.lock().insert(reason);
        self.notify.notify_one();
    }

    /// The reasons since they were last taken. What comes after this, comes before the next step.
    pub(super) fn take(&self) -> Reasons {
        std::mem::take(&mut *self.reasons.lock())
    }

    /// Returns once there is a reason.
    pub(super) async fn woken(&self) {
        while self.reasons.lock().is_empty() {
            self.notify.notified().await;
        }
    }
}

/// Wakes several workers at once, under its name.
#[derive(Debug)]
pub struct Bell {
    name: &'static str,
    hear: Mutex<Vec<Weak<Wake>>>,
}

impl Bell {
    /// A bell nobody hears yet.
    #[must_use]
    pub fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            hear: Mutex::default(),
        })
    }

    /// Wakes all workers that hear it. Returns at once.
    pub fn ring(&self) {
        self.hear.lock().retain(|wake| {
            let wake = wake.upgrade();
            if let Some(wake) = &wake {
                wake.wake(self.name);
            }
            wake.is_some()
        });
    }

    pub(super) fn heard_by(&self, wake: &Arc<Wake>) {
        let mut hear = self.hear.lock();
        hear.retain(|wake| wake.strong_count() > 0);
        hear.push(Arc::downgrade(wake));
    }
}
