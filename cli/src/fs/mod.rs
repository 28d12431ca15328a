//! The file system: walking and reading what is saved, writing what is restored.
//!
//! - [`Walk`] lists trees in the order of the format and never stops at an error.
//! - [`Excludes`] decides what is left out.
//! - [`OpenFile`] reads content and notices change; [`read_attributes`] reads what `stat` does not say.
//! - [`mod@home_mark`] recognises the home of a node, which is neither saved nor written to.
//! - [`Target`] writes below one directory and nowhere else, however hostile the snapshot is.
//!
//! Paths are raw bytes relative to `/`, without leading slash ("stored paths"). Linux only.

mod acl;
mod dir;
mod error;
mod exclude;
mod home_mark;
mod meta;
mod path;
mod read;
mod stat;
#[cfg(test)]
mod tests;
mod walk;
mod write;

pub use acl::acl_names;
pub use error::{Action, Problem, WriteError, show};
pub use exclude::{Excludes, PatternError};
pub use meta::{IdNames, read_attributes};
pub use path::{check_path, is_at_or_below, path_cmp, split_parent, stored_path};
pub use read::{Extent, OpenFile, ReadOutcome};
pub use stat::{Kind, Stat};
pub use walk::{FollowedLink, Item, LeftWhy, SkipReason, Sources, Walk, WalkItem, WalkOptions};
pub use write::{
    Created, Done, FileSink, Judge, Kept, Level, NoteKind, Overwrite, Pruner, RestoreOptions,
    Swept, Target,
};

#[cfg(test)]
use path::{NAME_MAX, join};
#[cfg(test)]
use write::{Note, Report};
