//! What the last run knew, so that the next one reads only what changed.
//!
//! Losing it costs time, never data: an unusable cache is a warning.

mod key;
mod record;

pub use key::{CacheKey, DirKey, FileKey, Hash16, PathHash};
pub use record::{DataRef, FileRecord, PackUse, PartRef, SegmentRecord, SmallRef};

use std::path::Path;

use packnback_proto::crypto::secret::Secret32;

/// The cache of this device, or nothing that behaves like an empty one.
pub struct Cache {
    warning: Option<String>,
}

impl Cache {
    /// Opens the cache in `dir`, makes it if needed, rebuilds it if damaged. If all fails (another
    /// run holds it, for one) the result knows nothing and keeps nothing; [`Cache::warning`] says why.
    #[must_use]
    pub fn open(dir: &Path, cache_key: &Secret32) -> Self {
        let _ = (dir, cache_key);
        Self::none()
    }

    /// Knows nothing, keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { warning: None }
    }

    /// Why the cache is not in use, or that it was rebuilt.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}
