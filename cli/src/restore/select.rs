//! Which entries of a snapshot are wanted.

use packnback_proto::format::entry::{Entry, EntryType};

use crate::fs::{Excludes, is_at_or_below};

/// Decides entry by entry, in path order.
pub(super) struct Selection<'a> {
    below: Option<&'a [u8]>,
    include: Option<&'a Excludes>,
    exclude: Option<&'a Excludes>,
    /// Roots of the snapshot: patterns apply below them.
    roots: &'a [Vec<u8>],
    /// The last directory taken or left out as a whole.
    taken: Option<Vec<u8>>,
    left: Option<Vec<u8>>,
    /// Directories on the way to something that may be wanted.
    above: Vec<Entry>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(
        below: Option<&'a [u8]>,
        include: Option<&'a Excludes>,
        exclude: Option<&'a Excludes>,
        roots: &'a [Vec<u8>],
    ) -> Self {
        Self {
            below,
            include,
            exclude,
            roots,
            taken: None,
            left: None,
            above: Vec::new(),
        }
    }

    /// Whether the path is in the part of the tree that was asked for.
    pub(super) fn is_in_part(&self, path: &[u8]) -> bool {
        self.below.is_none_or(|below| is_at_or_below(path, below))
    }

    /// The outermost root a path belongs to: the one that is not below another.
    fn root_of(&self, path: &[u8]) -> &'a [u8] {
        let of = |root: &&Vec<u8>| is_at_or_below(path, root) || is_at_or_below(root, path);
        let roots = self.roots.iter().filter(of);
        roots.min_by_key(|root| root.len()).map_or(&[], |root| root)
    }

    /// The entries to restore now, because of this one: directories above it first.
    pub(super) fn next(&mut self, entry: Entry) -> Vec<Entry> {
        let path = entry.path.as_slice();
        let under =
            |dir: &Option<Vec<u8>>| dir.as_ref().is_some_and(|dir| is_at_or_below(path, dir));
        if !self.is_in_part(path) || under(&self.left) {
            return Vec::new();
        }
        let is_dir = entry.kind == EntryType::Dir;
        let excluded = self
            .exclude
            .is_some_and(|globs| globs.matches(path, self.root_of(path), is_dir));
        if excluded {
            self.left = Some(entry.path);
            return Vec::new();
        }
        let Some(include) = self.include else {
            return vec![entry];
        };
        self.above.retain(|dir| is_at_or_below(path, &dir.path));
        let inside = under(&self.taken);
        if inside || include.asks_for(path, self.root_of(path), is_dir) {
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
