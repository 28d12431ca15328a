//! How a run of the program ends: exit codes, and failures a person can act on.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Exit codes of the program (docs/cli.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Done, but some files are missing or not as they should be.
    Incomplete = 3,
    /// Not safe yet: fewer receipts than asked for.
    NotSafe = 4,
    /// Refused: wrong key, passphrase or words, another owner, or against a policy.
    Refused = 5,
    /// Done, but somebody else may be using this device's key: see `packnback status`.
    Alarm = 6,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Why a command did not do what it was asked to, for people: what happened, what is safe in spite of
/// it, what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// Stable name of the kind, for programs.
    pub code: &'static str,
    /// What happened.
    pub what: String,
    /// What is safe.
    pub safe: String,
    /// What to do next.
    pub next: String,
}

/// Result of a command.
pub type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    /// A failure with exit code 1.
    #[must_use]
    pub fn failed(code: &'static str, what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            code,
            what: what.into(),
            safe: String::new(),
            next: String::new(),
        }
    }

    /// Wrong usage.
    #[must_use]
    pub fn usage(what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::failed("usage", what)
        }
    }

    /// Refused by key or policy.
    #[must_use]
    pub fn refused(code: &'static str, what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Refused,
            ..Self::failed(code, what)
        }
    }

    /// Adds what is safe.
    #[must_use]
    pub fn safe(mut self, safe: impl Into<String>) -> Self {
        self.safe = safe.into();
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// A file could not be used. Tells a full disk apart, which asks for another remedy.
    #[must_use]
    pub fn file(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let failure = Self::failed(
            "file",
            format!("cannot {doing} {}: {error}", path.display()),
        );
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self {
                code: "disk-full",
                ..failure.next("Free some space on that disk, then run the same command again.")
            },
            io::ErrorKind::PermissionDenied => {
                failure.next("Check who owns it, or run as the user it belongs to.")
            }
            _ => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.safe.is_empty() {
            write!(f, "\n  safe: {}", self.safe)?;
        }
        if !self.next.is_empty() {
            write!(f, "\n  next: {}", self.next)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
