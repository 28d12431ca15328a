//! What a root says of the tree below it, and what is there.

use packnback_proto::format::entry::{Entry, EntryType};
use packnback_proto::format::root::Root;

use super::options::RestoreError;

/// A root says how much there is below it, twice: both must be the same.
///
/// # Errors
/// [`RestoreError::Excess`].
pub(super) fn check_totals(root: &Root) -> Result<(), RestoreError> {
    let stats = &root.stats;
    let named = [stats.files, stats.dirs, stats.others];
    let mut named = named.into_iter();
    let said = named.try_fold(0u64, |sum, number| sum.checked_add(number));
    let mut listed = root.children.iter().map(|child| child.entries);
    let listed = listed.try_fold(0u64, |sum, number| sum.checked_add(number));
    if said.is_some() && said == listed {
        return Ok(());
    }
    Err(RestoreError::Excess(format!(
        "{} entries, and {} in its parts",
        said.unwrap_or(u64::MAX),
        listed.unwrap_or(u64::MAX)
    )))
}

/// What the root says there is, less what has come.
pub(super) struct Claim {
    entries: u64,
    bytes: u64,
}

impl Claim {
    pub(super) fn of(root: &Root) -> Self {
        let stats = &root.stats;
        let named = stats.files.saturating_add(stats.dirs);
        Self {
            entries: named.saturating_add(stats.others),
            bytes: stats.bytes,
        }
    }

    /// Takes entries off; a tree that holds more than its root says would write without bound.
    pub(super) fn take(&mut self, entries: &[Entry]) -> Result<(), RestoreError> {
        let more = |what: &str| RestoreError::Excess(what.to_owned());
        let files = entries.iter().filter(|entry| entry.kind == EntryType::File);
        let bytes = files.fold(0u64, |sum, file| sum.saturating_add(file.size));
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let left = self.entries.checked_sub(count);
        self.entries = left.ok_or_else(|| more("more entries"))?;
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or_else(|| more("more bytes of content"))?;
        Ok(())
    }
}
