//! Why a step failed.

use std::time::Duration;

use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::blame::{Fault, Retry};

use crate::ports::{Failure, NetError};
use crate::service::Refusal;
use crate::store::StoreError;

/// Kind of the error of a step that panicked.
pub(super) const PANIC: &str = "panic";
/// Kind of the error of a step that did not end.
pub(super) const STALLED: &str = "stalled";

/// A step failed. Errors of one kind are counted together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WorkError {
    kind: &'static str,
    fault: Fault,
    retry: Retry,
    after: Duration,
    text: String,
}

impl WorkError {
    /// An error of the kind of this code: whose fault it is and whether trying again helps follow from it.
    #[must_use]
    pub fn of(code: ErrorCode, text: impl Into<String>) -> Self {
        Self::new(code.as_str(), text)
            .blame(code.fault())
            .retrying(code.retry())
    }

    /// An error of the own store. A disk gets well, or is mended, while the node runs: it is tried as usual.
    #[must_use]
    pub fn of_own_disk(code: ErrorCode, text: impl Into<String>) -> Self {
        let retry = match code.retry() {
            Retry::Slowly => Retry::BackOff,
            other => other,
        };
        Self::of(code, text).blame(Fault::Disk).retrying(retry)
    }

    /// An error of this kind, of this node, that may go by itself.
    #[must_use]
    pub fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            kind,
            fault: Fault::Ours,
            retry: Retry::BackOff,
            after: Duration::ZERO,
            text: text.into(),
        }
    }

    /// The same, as the fault of somebody else.
    #[must_use]
    pub fn blame(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// The same, to be tried again in another way.
    #[must_use]
    pub fn retrying(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same, not to be tried again by itself before so long.
    #[must_use]
    pub fn not_before(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub(super) fn panicked(what: &(dyn std::any::Any + Send)) -> Self {
        let text = what
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| what.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Self::new(
            PANIC,
            format!("it broke off at an error in the program: {text}"),
        )
    }

    pub(super) fn stalled(bound: Duration) -> Self {
        let text = format!("a step did not end within {} seconds", bound.as_secs());
        Self::new(STALLED, text)
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// Shortest pause before it is tried again by itself.
    pub(super) fn after(&self) -> Duration {
        self.after
    }

    /// Whether and how to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.retry
    }
}

impl From<Failure> for WorkError {
    fn from(failure: Failure) -> Self {
        Self::of(failure.code, failure.message)
    }
}

impl From<&NetError> for WorkError {
    fn from(error: &NetError) -> Self {
        Self::of(error.code(), error.to_string())
    }
}

impl From<Refusal> for WorkError {
    fn from(refusal: Refusal) -> Self {
        Self::of(refusal.code, refusal.message)
    }
}

impl From<StoreError> for WorkError {
    fn from(error: StoreError) -> Self {
        Self::of_own_disk(error.code(), error.to_string())
    }
}
