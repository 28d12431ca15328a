//! Requests that wait for each other: begun in the order they were asked in, each when the one before it is done.

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A queue of turns.
#[derive(Default)]
pub(super) struct Turns {
    /// Tells when the last one that was given out is over.
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

/// A place in the queue. The next one's turn comes when it is dropped.
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _over: oneshot::Sender<()>,
}

impl Turns {
    /// The next place.
    pub(super) fn next(&self) -> Turn {
        let (over, told) = oneshot::channel();
        Turn {
            before: self.last.lock().replace(told),
            _over: over,
        }
    }
}

impl Turn {
    /// Waits until all before it are over.
    pub(super) async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // ignored: nothing is ever sent, it ends when the one before is dropped
            let _ = before.await;
        }
    }
}
