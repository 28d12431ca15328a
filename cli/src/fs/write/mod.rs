//! Writing a snapshot below one directory, and nowhere else.
//!
//! A snapshot may be damaged or hostile, so nothing in it is trusted: paths are checked, every directory is
//! reached from the target's descriptor without following a link, sizes are those declared, and set-id bits
//! and device nodes appear only when asked for. [`Target`] may be used by many threads at once.

mod attrs;
mod dirs;
mod folders;
mod open;
mod place;
mod prune;
mod sink;
mod target;

pub use prune::{Judge, Kept, Level, Pruner, Swept};
pub use sink::FileSink;
pub use target::Target;

/// What happens to files that are already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// They are replaced.
    Always,
    /// They are replaced unless kind, size, modification time and mode are those of the entry: this is also
    /// how an interrupted restore goes on where it stopped.
    #[default]
    IfChanged,
    /// They are left alone.
    Never,
}

/// How to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// What happens to files that are already there.
    pub overwrite: Overwrite,
    /// Change nothing; say what would be done.
    pub dry_run: bool,
    /// Use the numbers of users and groups, not their names on this machine.
    pub numeric_ids: bool,
    /// Restore set-user-id and set-group-id bits of files, and file capabilities.
    pub set_id: bool,
    /// Restore device nodes.
    pub devices: bool,
    /// Restore the attributes that a system reads: labels of security, `trusted.*`.
    pub labels: bool,
    /// These three only into a target that nobody else can enter: what is in it may be of an attacker.
    pub closed_only: bool,
}

/// What was done about an entry (or, in a dry run, would be done).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was not there and now is.
    Created,
    /// Something else was there; now it is this.
    Replaced,
    /// It was there already and was left as it is.
    Kept,
    /// It is not restored by these options (a device node, say). A [`Note`] tells why.
    Left,
}

/// How to go on with a regular file.
#[derive(Debug)]
pub enum Created {
    /// Write the content here, then finish.
    Write(FileSink),
    /// No content is wanted: see [`Done`].
    No(Done),
}

/// What could not be restored of an entry whose content is fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoteKind {
    /// Owner or group (needs root).
    Owner,
    /// Permission bits.
    Mode,
    /// Modification time.
    Time,
    /// An extended attribute or ACL.
    Xattr,
    /// Set-id bits or capabilities were dropped, as no option asked for them.
    SetIdDropped,
    /// A device node was left out, as no option asked for it.
    DeviceLeft,
    /// An extended attribute was left out: only the system reads it, and no option asked for it.
    LabelLeft,
    /// An extended attribute was left out: this program does not know what it would do.
    UnknownXattr,
}

/// A remark on one entry.
#[derive(Debug)]
pub struct Note {
    /// Stored path.
    pub path: Vec<u8>,
    /// What is missing.
    pub kind: NoteKind,
    /// What the system said, if it was asked.
    pub error: Option<std::io::Error>,
}

/// Everything worth telling once a restore is over.
#[derive(Debug, Default)]
pub struct Report {
    /// The first notes of each kind.
    pub notes: Vec<Note>,
    /// How many notes of each kind there were.
    pub note_counts: std::collections::BTreeMap<NoteKind, u64>,
    /// Directories whose attributes could not be set.
    pub errors: Vec<super::error::WriteError>,
}
