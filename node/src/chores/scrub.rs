//! Reads everything that is stored and compares it with its address, so that what the disk has lost is known
//! while other copies exist. Slowly, and going on where it was after a restart.

use std::sync::Arc;
use std::time::Duration;

use packnback_proto::wire::work::Progress;

use crate::store::{ScrubRow, Scrubbed, Store};
use crate::work::{Context, Next, OnStall, Rules, Runner, Status, WorkError, Worker};

const DAY_S: u64 = 86_400;
/// Read in one step, and told to the runner, which rests the worker.
const STEP_BYTES: u64 = 4 << 20;
/// Read in a second, at most.
const RATE: u64 = 8 << 20;
/// Share of the time it works, in percent, at most.
const SHARE: u8 = 5;
/// The place is kept whenever so much was read.
const KEEP_EVERY: u64 = 64 << 20;
/// Two readings are never closer, however often a person wants them.
const PAUSE_MIN_S: u64 = 3600;
const RETRY: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(6 * 3600);
/// A step that takes longer is told.
const BOUND: Duration = Duration::from_secs(600);

pub(super) fn start(runner: &Runner, store: &Arc<Store>, days: u64) {
    let store = Arc::clone(store);
    let rules = Rules::new(RETRY, RETRY_MAX)
        .share(SHARE)
        .rate(RATE)
        .bound(BOUND, OnStall::Report);
    runner.start(rules, move || Scrub::new(Arc::clone(&store), days));
}

struct Scrub {
    store: Arc<Store>,
    days: u64,
    /// As kept, and what was read since.
    row: Option<ScrubRow>,
    /// Read since the place was kept.
    unkept: u64,
    /// Objects there are.
    total: u64,
    /// No reading began since the worker was made.
    is_fresh: bool,
}

impl Scrub {
    fn new(store: Arc<Store>, days: u64) -> Self {
        Self {
            store,
            days,
            row: None,
            unkept: 0,
            total: 0,
            is_fresh: true,
        }
    }

    /// Seconds until the next reading is due.
    fn due_in(&self, row: &ScrubRow, now: u64) -> u64 {
        let Some(finished) = row.finished else {
            return 0;
        };
        if self.days == 0 && self.is_fresh {
            return 0;
        }
        let every = self.days.saturating_mul(DAY_S).max(PAUSE_MIN_S);
        // By a clock that went back it was finished in the future: then it counts from now.
        finished.min(now).saturating_add(every).saturating_sub(now)
    }

    async fn begin(&mut self, cx: &Context, row: &ScrubRow) -> Result<ScrubRow, WorkError> {
        let store = Arc::clone(&self.store);
        let owners = cx.blocking(move |_| store.owners()).await?;
        let objects = owners.iter().map(|(_, totals)| totals.objects);
        self.total = objects.fold(0, u64::saturating_add);
        self.is_fresh = false;
        Ok(if row.place.is_some() {
            row.clone()
        } else {
            row.begun(cx.wall())
        })
    }

    fn tell(&self, row: &ScrubRow) {
        if row.damaged > 0 || row.unread > 0 {
            tracing::error!(
                objects = row.objects,
                bytes = row.bytes,
                damaged = row.damaged,
                unread = row.unread,
                "everything stored was read: some of it is damaged"
            );
        } else {
            tracing::info!(
                objects = row.objects,
                bytes = row.bytes,
                "everything stored was read and is sound"
            );
        }
    }
}

impl Worker for Scrub {
    fn name(&self) -> String {
        "scrub".to_owned()
    }

    async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
        let row = match self.row.take() {
            Some(row) => row,
            None => {
                let store = Arc::clone(&self.store);
                cx.blocking(move |_| store.scrub_row()).await?
            }
        };
        let due_in = self.due_in(&row, cx.wall());
        if row.place.is_none() && due_in > 0 {
            self.row = Some(row);
            return Ok(Next::At(cx.now() + Duration::from_secs(due_in)));
        }
        let row = if self.is_fresh || row.place.is_none() {
            self.begin(cx, &row).await?
        } else {
            row
        };
        let (store, before, wall) = (Arc::clone(&self.store), row, cx.wall());
        let keeps = self.unkept >= KEEP_EVERY;
        let scrubbed = cx.blocking(move |ending| {
            let is_ending = || ending.is_cancelled();
            let scrubbed = store.scrub(&before, STEP_BYTES, wall, &is_ending)?;
            if keeps || scrubbed.row.place.is_none() || !scrubbed.damaged.is_empty() {
                store.keep_scrub_row(&scrubbed.row)?;
            }
            Ok::<_, crate::store::StoreError>(scrubbed)
        });
        let Scrubbed {
            row,
            bytes,
            damaged,
        } = scrubbed.await?;
        for (owner, id) in &damaged {
            tracing::error!(owner = %owner.short(), object = %id, "a stored object is damaged: it is not served");
        }
        cx.spent(bytes);
        self.unkept = if keeps {
            bytes
        } else {
            self.unkept.saturating_add(bytes)
        };
        let next = if row.place.is_some() {
            Next::Again
        } else {
            self.tell(&row);
            Next::At(cx.now() + Duration::from_secs(self.due_in(&row, cx.wall())))
        };
        self.row = Some(row);
        Ok(next)
    }

    fn status(&self) -> Status {
        let Some(row) = &self.row else {
            return Status::default();
        };
        let progress = row.place.is_some().then_some(Progress {
            done: row.objects,
            total: Some(self.total.max(row.objects)),
        });
        let when = if row.place.is_some() {
            "so far"
        } else {
            "last time"
        };
        Status {
            queue: None,
            progress,
            note: format!(
                "{when} {} objects of {} bytes were read, {} damaged",
                row.objects, row.bytes, row.damaged
            ),
        }
    }
}

#[cfg(test)]
mod tests;
