//! Which entries of a snapshot are wanted.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::GlobSet;
use packnback_proto::format::entry::{Entry, EntryType};

use crate::fs::is_at_or_below;

/// Decides entry by entry, in path order.
pub(super) struct Selection<'a> {
    below: Option<&'a [u8]>,
    include: Option<&'a GlobSet>,
    exclude: Option<&'a GlobSet>,
    /// The last directory taken or left out as a whole.
    taken: Option<Vec<u8>>,
    left: Option<Vec<u8>>,
    /// Directories on the way to something that may be wanted.
    above: Vec<Entry>,
}

fn matches(globs: Option<&GlobSet>, path: &[u8]) -> bool {
    globs.is_some_and(|globs| globs.is_match(OsStr::from_bytes(path)))
}

impl<'a> Selection<'a> {
    pub(super) fn new(
        below: Option<&'a [u8]>,
        include: Option<&'a GlobSet>,
        exclude: Option<&'a GlobSet>,
    ) -> Self {
        Self {
            below,
            include,
            exclude,
            taken: None,
            left: None,
            above: Vec::new(),
        }
    }

    /// Whether the path is in the part of the tree that was asked for.
    pub(super) fn is_in_part(&self, path: &[u8]) -> bool {
        self.below.is_none_or(|below| is_at_or_below(path, below))
    }

    /// The entries to restore now, because of this one: directories above it first.
    pub(super) fn next(&mut self, entry: Entry) -> Vec<Entry> {
        let path = entry.path.as_slice();
        let under =
            |dir: &Option<Vec<u8>>| dir.as_ref().is_some_and(|dir| is_at_or_below(path, dir));
        if !self.is_in_part(path) || under(&self.left) {
            return Vec::new();
        }
        if matches(self.exclude, path) {
            self.left = Some(entry.path);
            return Vec::new();
        }
        if self.include.is_none() {
            return vec![entry];
        }
        self.above.retain(|dir| is_at_or_below(path, &dir.path));
        let is_dir = entry.kind == EntryType::Dir;
        let inside = under(&self.taken);
        if inside || matches(self.include, path) {
            if is_dir && !inside {
                self.taken = Some(entry.path.clone());
            }
            let mut wanted = std::mem::take(&mut self.above);
            wanted.push(entry);
            return wanted;
        }
        if is_dir {
            self.above.push(entry);
        }
        Vec::new()
    }
}
