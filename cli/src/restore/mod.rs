//! Restore: records, tree, content; every byte checked against id and key before it is used.
//!
//! ```text
//! records ─> snapshot ─> root ─> indexes ─> segments ─> one pass in path order ─┬─> packs  ─┐
//!                                                                                ├─> chunks ─┼─> workers: fetch,
//!                                                                                └─> others ─┘   open, write
//! then: hard links, deletions, attributes of directories
//! ```

mod after;
mod ctx;
mod export;
mod held;
mod keys;
mod large;
mod open;
mod options;
mod packs;
mod records;
mod run;
mod select;
mod sessions;
mod survey;
mod totals;
mod tree;
mod verify;
mod work;

pub use export::export_raw;
pub use keys::ReaderKeys;
pub use options::{LoadedSnapshot, RawExport, RestoreError, RestoreOptions, RestoreReport};
pub use records::{named, snapshots};
pub use run::run;
pub use sessions::{closed_sessions, visible_sessions};
pub use survey::{Survey, survey};
pub use tree::{about, tree};
