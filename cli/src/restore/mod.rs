//! Restore: what the reading room gives of a snapshot, written below a directory.
//!
//! ```text
//! snapshot ─> one pass over its parts in path order ─┬─> packs  ─┐ asked for ahead
//!                                                     ├─> chunks ─┼─> workers: take, open, write
//!                                                     └─> others ─┘
//! then: hard links, deletions, attributes of directories
//! ```

mod after;
mod ctx;
mod export;
mod held;
mod large;
mod options;
mod run;
mod select;
mod survey;
mod totals;
mod verify;
mod work;

pub use export::export_raw;
pub use options::{RestoreError, RestoreOptions, RestoreReport};
pub use run::run;
pub use survey::{Survey, survey};
