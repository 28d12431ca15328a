//! A round of everything that goes with time, every few minutes.

use std::sync::Arc;
use std::time::Duration;

use crate::store::Store;
use crate::work::{Context, Next, OnStall, Rules, Runner, Status, WorkError, Worker};

/// Pause between two rounds.
const EVERY: Duration = Duration::from_secs(600);
/// Pause after the first error.
const RETRY: Duration = Duration::from_secs(60);
/// A round that takes longer is told.
const BOUND: Duration = Duration::from_secs(6 * 3600);

pub(super) fn start(runner: &Runner, store: &Arc<Store>) {
    let store = Arc::clone(store);
    let rules = Rules::new(RETRY, EVERY).bound(BOUND, OnStall::Report);
    runner.start(rules, move || Collect {
        store: Arc::clone(&store),
        freed: 0,
    });
}

struct Collect {
    store: Arc<Store>,
    /// Objects, since the node started.
    freed: u64,
}

impl Worker for Collect {
    fn name(&self) -> String {
        "collect".to_owned()
    }

    async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
        let (store, moment) = (Arc::clone(&self.store), cx.env().clock.moment());
        let round = cx.blocking(move |_| store.collect(moment, false));
        let round = round.await.inspect_err(|error| {
            tracing::error!(%error, "collecting failed; nothing in doubt was freed");
        })?;
        self.freed = self.freed.saturating_add(round.done.objects);
        if round.done.snaps > 0 || round.done.objects > 0 {
            tracing::info!(done = ?round.done, marked = round.marked, "collected");
        }
        Ok(Next::At(cx.now() + EVERY))
    }

    fn status(&self) -> Status {
        Status {
            note: format!("freed {} objects since the node started", self.freed),
            ..Status::default()
        }
    }
}
