//! What the root says of what was left out on purpose.

use packnback_proto::format::root::{LeftOut, PATTERN_RULES};
use packnback_proto::limits::{
    EXCLUDE_LEN_MAX, PATH_LEN_MAX, ROOT_EXCLUDES_MAX, ROOT_LEFT_BYTES_MAX, ROOT_LEFT_PATHS_MAX,
    ROOT_PATHS_MAX, ROOT_PROBLEMS_MAX,
};

use super::ctx::Ctx;
use super::options::BackupOptions;

/// Paths left out: larger files, other file systems, homes of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftPaths {
    /// Stored paths, as many as there is room for.
    pub(super) paths: Vec<Vec<u8>>,
    /// Whether these are all.
    pub(super) complete: bool,
    bytes: usize,
}

impl Default for LeftPaths {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            complete: true,
            bytes: 0,
        }
    }
}

impl LeftPaths {
    /// Takes a path.
    pub(super) fn add(&mut self, path: Vec<u8>) {
        let bytes = self.bytes.saturating_add(path.len());
        let fits = bytes <= ROOT_LEFT_BYTES_MAX
            && self.paths.len() < ROOT_LEFT_PATHS_MAX
            && (1..=PATH_LEN_MAX).contains(&path.len());
        if fits {
            self.bytes = bytes;
            self.paths.push(path);
        } else {
            self.complete = false;
        }
    }
}

/// What was left out on purpose, as far as there is room to say it, and whether that is all.
pub(super) fn left_out(ctx: &Ctx<'_>, options: &BackupOptions) -> LeftOut {
    let left = ctx.left.lock();
    let troubles = ctx.troubles.lock();
    let walk = &options.walk;
    let fits = |pattern: &&[u8]| pattern.len() <= EXCLUDE_LEN_MAX;
    let patterns = walk.excludes.texts().filter(fits).take(ROOT_EXCLUDES_MAX);
    let patterns: Vec<Vec<u8>> = patterns.map(<[u8]>::to_vec).collect();
    let listed = u64::try_from(troubles.listed.len()).unwrap_or(u64::MAX);
    LeftOut {
        rules: PATTERN_RULES,
        complete: left.complete
            && patterns.len() == walk.excludes.texts().count()
            && troubles.count == listed
            && troubles.listed.len() <= ROOT_PROBLEMS_MAX
            && options.roots.len() <= ROOT_PATHS_MAX,
        patterns,
        caches: walk.exclude_caches,
        one_file_system: walk.one_file_system,
        larger_than: walk.exclude_larger_than,
        paths: left.paths.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_not_passed_over_in_silence() {
        let mut left = LeftPaths::default();
        for _ in 0..ROOT_LEFT_PATHS_MAX {
            left.add(b"p".to_vec());
        }
        assert!(left.complete);
        left.add(b"p".to_vec());
        assert!(!left.complete && left.paths.len() == ROOT_LEFT_PATHS_MAX);
        let mut left = LeftPaths::default();
        for _ in 0..ROOT_LEFT_BYTES_MAX / PATH_LEN_MAX {
            left.add(vec![b'p'; PATH_LEN_MAX]);
        }
        assert!(left.complete);
        left.add(b"p".to_vec());
        assert!(!left.complete);
    }
}
