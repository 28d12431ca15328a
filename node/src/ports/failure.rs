//! What is told to people.

use packnback_proto::wire::ErrorCode;

/// Something did not work, said so that a person can act on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Kind.
    pub code: ErrorCode,
    /// What happened.
    pub message: String,
    /// What is safe in spite of it.
    pub safe: String,
    /// What to do next.
    pub next: String,
}

impl Failure {
    /// A failure of this kind; [`Failure::safe`] and [`Failure::next`] add the rest.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            safe: String::new(),
            next: String::new(),
        }
    }

    /// Says what is safe in spite of it.
    #[must_use]
    pub fn safe(self, safe: impl Into<String>) -> Self {
        Self {
            safe: safe.into(),
            ..self
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Self {
        Self {
            next: next.into(),
            ..self
        }
    }
}
