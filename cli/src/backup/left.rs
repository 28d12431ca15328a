//! What the root says of what was left out on purpose.

use packnback_proto::format::root::{LeftOut, PATTERN_RULES};
use packnback_proto::limits::{
    EXCLUDE_LEN_MAX, ROOT_EXCLUDES_MAX, ROOT_PATHS_MAX, ROOT_PROBLEMS_MAX,
};

use super::ctx::Ctx;
use super::options::BackupOptions;

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
