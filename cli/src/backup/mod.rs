//! The backup pipeline: files in, sealed objects out, one snapshot at the end.
//!
//! ```text
//! walk ─> planner ─┬─> workers: read, find or store content, describe ─┬─> assembler: segments,
//!                  │      └─ jobs: chunks of very large files           │   indexes, root, commit
//!                  └──────── runs of entries that are stored already ──┘      │
//!                                                        checkpoints <────────┘ facts for the cache
//! ```
//! Every arrow is a bounded channel, memory is bounded by budgets of bytes: the window of entries
//! between planner and assembler, chunks in flight, and what waits for the node's socket.

mod assemble;
mod checkpoint;
mod chunks;
mod ctx;
mod devices;
mod left;
mod options;
mod pack;
mod plan;
mod read;
mod report;
mod reread;
mod run;
mod seen;
mod segment;
mod stage;
mod stale;
mod stdin;
mod tree;
mod worker;

#[cfg(test)]
mod tests;

pub use options::{BackupOptions, Dedup, StdinFile};
pub use report::{BackupError, BackupReport, Cause};
pub use stdin::check_name;

use crate::cache::Cache;
use crate::client::NodeLink;
use crate::keys::DeviceBundleKeys;
use crate::progress::Progress;

/// Saves what `options` say through the node.
///
/// # Errors
/// [`BackupError`]: there is no snapshot then. Problems with single files are in the report instead.
pub fn run(
    mut options: BackupOptions,
    keys: &DeviceBundleKeys,
    node: &dyn NodeLink,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    if let Some(stdin) = &options.stdin {
        stdin::check_name(&stdin.name)?;
    }
    let piped = options.stdin.is_some();
    if piped && !options.roots.is_empty() {
        let both = "standard input and paths cannot be saved in one snapshot";
        return Err(BackupError::Format(both.into()));
    }
    match run::once(&mut options, keys, node, cache, progress) {
        // The cache was wrong and has been corrected: it will not be wrong in the same way again.
        Err(BackupError::Missing(n)) if !piped => {
            let mut report = run::once(&mut options, keys, node, cache, progress)?;
            report.warnings.push(format!(
                "the node had lost {n} objects of earlier backups; they were stored again"
            ));
            Ok(report)
        }
        other => other,
    }
}
