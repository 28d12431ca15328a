//! What a node tells of its workers: body of the reply to `Workers`. Times are unix seconds.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::blame::{Fault, Retry};
use super::types::text_enum;
use crate::text;

text_enum! {
    /// What a worker does now.
    WorkState, Unknown, {
        /// A step is under way.
        Running = "running",
        /// A step is under way for longer than it may take.
        Stalled = "stalled",
        /// Until a time, or until it is woken.
        Waiting = "waiting",
        /// Until it is woken.
        Idle = "idle",
        /// The last step failed; it waits for the next try, or to be woken.
        Failed = "failed",
        /// It will not run again.
        Done = "done",
    }
}

/// How far a worker is with what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// Of so much; `None`: not known.
    pub total: Option<u64>,
}

/// The last error of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkErrorInfo {
    /// Kind, as counted.
    #[serde(deserialize_with = "text::cleaned")]
    pub kind: String,
    /// Whose fault.
    pub fault: Fault,
    /// Whether trying again helps.
    pub retry: Retry,
    /// For people.
    #[serde(deserialize_with = "text::cleaned")]
    pub text: String,
    /// When.
    pub at: u64,
}

/// Errors of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkErrors {
    /// Kind.
    #[serde(deserialize_with = "text::cleaned")]
    pub kind: String,
    /// How many since the node started.
    pub count: u64,
}

/// A worker of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Its name.
    #[serde(deserialize_with = "text::cleaned")]
    pub name: String,
    /// What it does now.
    pub state: WorkState,
    /// When its last step began.
    pub last_run: Option<u64>,
    /// When its next step is due, unless it is woken before.
    pub next_run: Option<u64>,
    /// Steps since the node started.
    pub runs: u64,
    /// Errors since the node started, by kind.
    pub errors: Vec<WorkErrors>,
    /// The last of them.
    pub last_error: Option<WorkErrorInfo>,
    /// Things that wait to be done, if it counts them.
    pub queue: Option<u64>,
    /// How far it is, if it knows.
    pub progress: Option<Progress>,
    /// What it says of itself; may be empty.
    #[serde(default, deserialize_with = "text::cleaned")]
    pub note: String,
}
