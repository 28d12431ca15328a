//! What is known of a worker, for people and for the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use packnback_proto::wire::blame::Fault;
use packnback_proto::wire::work::{WorkErrorInfo, WorkErrors, WorkState, WorkerInfo};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{PANIC, STALLED};
use super::wake::Wake;
use super::{Status, WorkError};

/// One worker, as the runner and the list of workers share it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) wake: Arc<Wake>,
    /// The worker is to end.
    pub(super) ending: CancellationToken,
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Record {
    state: WorkState,
    last_run: Option<u64>,
    next: Option<Instant>,
    runs: u64,
    errors: BTreeMap<&'static str, u64>,
    last_error: Option<WorkErrorInfo>,
    status: Status,
    /// The kind of error that was told since the last step that went well.
    told: Option<&'static str>,
}

impl Entry {
    pub(super) fn new(name: String, ending: CancellationToken) -> Self {
        Self {
            name,
            wake: Arc::default(),
            ending,
            record: Mutex::new(Record {
                state: WorkState::Waiting,
                last_run: None,
                next: None,
                runs: 0,
                errors: BTreeMap::new(),
                last_error: None,
                status: Status::default(),
                told: None,
            }),
        }
    }

    pub(super) fn begins(&self, wall: u64) {
        let mut record = self.record.lock();
        record.state = WorkState::Running;
        record.last_run = Some(wall);
        record.next = None;
        record.runs = record.runs.saturating_add(1);
    }

    pub(super) fn show(&self, status: Status) {
        self.record.lock().status = status;
    }

    pub(super) fn went_well(&self) {
        let mut record = self.record.lock();
        if record.told.take().is_some() {
            tracing::debug!(worker = self.name, "works again");
        }
    }

    pub(super) fn waits(&self, until: Option<Instant>, failed: bool) {
        let mut record = self.record.lock();
        record.next = until;
        record.state = match (failed, until) {
            (true, _) => WorkState::Failed,
            (false, Some(_)) => WorkState::Waiting,
            (false, None) => WorkState::Idle,
        };
    }

    /// It will not run again.
    pub(super) fn ends(&self, failed: bool) {
        let mut record = self.record.lock();
        record.next = None;
        record.state = if failed {
            WorkState::Failed
        } else {
            WorkState::Done
        };
    }

    pub(super) fn stalls(&self) {
        self.record.lock().state = WorkState::Stalled;
    }

    /// Counts an error, and tells it unless the last ones were of the same kind.
    pub(super) fn failed(&self, error: &WorkError, wall: u64) {
        let mut record = self.record.lock();
        let count = record.errors.entry(error.kind()).or_default();
        *count = count.saturating_add(1);
        record.last_error = Some(WorkErrorInfo {
            kind: error.kind().to_owned(),
            fault: error.fault(),
            retry: error.retry(),
            text: error.to_string(),
            at: wall,
        });
        let was_told = record.told.replace(error.kind()) == Some(error.kind());
        drop(record);
        let (worker, kind, retry) = (&self.name, error.kind(), error.retry());
        match (was_told, kind, error.fault()) {
            (true, _, _) => tracing::debug!(worker, kind, %retry, %error, "failed again"),
            (false, PANIC | STALLED, _) => tracing::error!(worker, kind, %retry, %error, "failed"),
            (false, _, Fault::Line | Fault::Theirs) => {
                tracing::info!(worker, kind, %retry, %error, "failed");
            }
            (false, _, _) => tracing::warn!(worker, kind, %retry, %error, "failed"),
        }
    }

    pub(super) fn info(&self, wall: u64, now: Instant) -> WorkerInfo {
        let record = self.record.lock();
        let next_run = record.next.map(|at| {
            let left = at.saturating_duration_since(now);
            let whole = left
                .as_secs()
                .saturating_add(u64::from(left.subsec_nanos() > 0));
            wall.saturating_add(whole)
        });
        let errors = record.errors.iter().map(|(kind, count)| WorkErrors {
            kind: (*kind).to_owned(),
            count: *count,
        });
        WorkerInfo {
            name: self.name.clone(),
            state: record.state,
            last_run: record.last_run,
            next_run,
            runs: record.runs,
            errors: errors.collect(),
            last_error: record.last_error.clone(),
            queue: record.status.queue,
            progress: record.status.progress,
            note: record.status.note.clone(),
        }
    }
}
