//! What can go wrong with one file, as data: nothing here ends a run.

use std::fmt;
use std::io;

use super::path::BadPath;

/// What was being done to a file when something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Reading attributes.
    Stat,
    /// Opening a directory.
    OpenDir,
    /// Reading the names in a directory.
    ListDir,
    /// Opening a file.
    Open,
    /// Reading content.
    Read,
    /// Reading extended attributes.
    ReadXattr,
    /// Keeping a modification time.
    KeepTime,
    /// Reading the target of a link.
    ReadLink,
    /// Going where a link points to.
    Follow,
    /// Creating a file system node.
    Create,
    /// Writing content.
    Write,
    /// Removing what is in the way or not in the snapshot.
    Remove,
    /// Renaming the finished file into place.
    Rename,
    /// Making a hard link.
    Link,
    /// Setting owner, mode, time or extended attributes.
    SetAttributes,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Stat => "read the attributes of",
            Action::OpenDir => "open the directory",
            Action::ListDir => "list the directory",
            Action::Open => "open",
            Action::Read => "read",
            Action::ReadXattr => "read the extended attributes of",
            Action::KeepTime => "keep the modification time of",
            Action::ReadLink => "read the link",
            Action::Follow => "find what is at the end of the link",
            Action::Create => "create",
            Action::Write => "write",
            Action::Remove => "remove",
            Action::Rename => "put in place",
            Action::Link => "link",
            Action::SetAttributes => "set the attributes of",
        })
    }
}

/// A file that could not be walked, read or described. The run goes on without it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {error}", show(path))]
pub struct Problem {
    /// Stored path (relative to `/`).
    pub path: Vec<u8>,
    /// What was tried.
    pub action: Action,
    /// What the system said.
    pub error: io::Error,
}

impl Problem {
    pub(crate) fn new(path: Vec<u8>, action: Action, error: impl Into<io::Error>) -> Problem {
        Problem {
            path,
            action,
            error: error.into(),
        }
    }

    /// Whether the file was deleted between being seen and being read.
    #[must_use]
    pub fn vanished(&self) -> bool {
        self.error.kind() == io::ErrorKind::NotFound
    }
}

/// Why something was not restored.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The path of the entry is not acceptable: damaged or hostile snapshot.
    #[error("refused: {reason} ({})", show(path))]
    BadPath {
        /// The path as it came.
        path: Vec<u8>,
        /// The rule it breaks.
        reason: BadPath,
    },
    /// The path leads through something that is not a directory (a symbolic link, for one).
    #[error(
        "refused: {} is not a directory, nothing is written through it",
        show(path)
    )]
    NotADirectory {
        /// The path of the directory that is none.
        path: Vec<u8>,
    },
    /// The path leads into the home of a node.
    #[error(
        "refused: {} is of the home of a node, nothing is written there",
        show(path)
    )]
    Home {
        /// The path that belongs to a home.
        path: Vec<u8>,
    },
    /// A folder is in the way that cannot go.
    #[error("a folder with something in it is in the way of {}", show(path))]
    InTheWay {
        /// The path of the entry.
        path: Vec<u8>,
    },
    /// The entry contradicts itself: a symbolic link without target, a device without number, a wrong kind.
    #[error("refused: the entry for {} is malformed: {what}", show(path))]
    Malformed {
        /// The path of the entry.
        path: Vec<u8>,
        /// What is wrong.
        what: &'static str,
    },
    /// More bytes were to be written than the entry declares, or fewer had been when the file was finished.
    #[error(
        "refused: {} is declared to have {declared} bytes, its content has {found}",
        show(path)
    )]
    WrongSize {
        /// The path of the entry.
        path: Vec<u8>,
        /// Bytes the entry declares.
        declared: u64,
        /// Bytes that came (at least).
        found: u64,
    },
    /// The system refused.
    #[error("cannot {action} {}: {error}", show(path))]
    Io {
        /// The path concerned.
        path: Vec<u8>,
        /// What was tried.
        action: Action,
        /// What the system said.
        error: io::Error,
    },
}

impl WriteError {
    pub(crate) fn io(path: &[u8], action: Action, error: impl Into<io::Error>) -> WriteError {
        WriteError::Io {
            path: path.to_vec(),
            action,
            error: error.into(),
        }
    }

    /// The path concerned.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match self {
            WriteError::BadPath { path, .. }
            | WriteError::NotADirectory { path }
            | WriteError::Home { path }
            | WriteError::InTheWay { path }
            | WriteError::Malformed { path, .. }
            | WriteError::WrongSize { path, .. }
            | WriteError::Io { path, .. } => path,
        }
    }

    /// Whether the snapshot is at fault rather than the machine: the entry is hostile or damaged.
    #[cfg(test)]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, WriteError::Io { .. } | WriteError::InTheWay { .. })
    }

    /// Whether going on is pointless because the disk is full or broken.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            WriteError::Io { error, .. } => matches!(
                error.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::ReadOnlyFilesystem
            ),
            _ => false,
        }
    }
}

/// Shows a stored path to a person: with a leading slash for a walk's paths left to the caller, control
/// characters and bytes that are not UTF-8 escaped.
#[must_use]
pub fn show(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}
