//! Which entries of a snapshot are wanted.

use packnback_proto::format::entry::{Entry, EntryType};

use super::options::RestoreOptions;
use crate::fs::{Excludes, is_at_or_below, split_parent};

/// An entry to restore.
pub(super) struct Wanted {
    pub(super) entry: Entry,
    /// A folder that only leads to what was saved, or to what is asked for.
    pub(super) is_passage: bool,
}

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

fn is_above(path: &[u8], other: &[u8]) -> bool {
    other.len() > path.len() && is_at_or_below(other, path)
}

impl<'a> Selection<'a> {
    pub(super) fn new(options: &'a RestoreOptions, roots: &'a [Vec<u8>]) -> Self {
        Self {
            below: options.below.as_deref(),
            include: options.include.as_ref(),
            exclude: options.exclude.as_ref(),
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

    /// Whether a folder only leads to what was saved or asked for.
    fn is_passage(&self, path: &[u8]) -> bool {
        let in_root = || self.roots.iter().any(|root| is_at_or_below(path, root));
        let above_root = || self.roots.iter().any(|root| is_above(path, root));
        self.below.is_some_and(|below| is_above(path, below)) || (above_root() && !in_root())
    }

    /// The outermost root a path belongs to: the one that is not below another.
    fn root_of(&self, path: &[u8]) -> &'a [u8] {
        let of = |root: &&Vec<u8>| is_at_or_below(path, root) || is_at_or_below(root, path);
        let roots = self.roots.iter().filter(of);
        roots.min_by_key(|root| root.len()).map_or(&[], |root| root)
    }

    fn is_left(&self, path: &[u8], is_dir: bool) -> bool {
        self.exclude
            .is_some_and(|globs| globs.matches(path, self.root_of(path), is_dir))
    }

    fn is_taken(&self, path: &[u8], is_dir: bool) -> bool {
        self.include
            .is_some_and(|globs| globs.asks_for(path, self.root_of(path), is_dir))
    }

    /// Whether what is at this path would be asked for if the snapshot had it: by name, or with a folder
    /// it is in. It may be a file or a folder.
    pub(super) fn would_ask_for(&self, path: &[u8]) -> bool {
        if !self.is_in_part(path) {
            return false;
        }
        let mut taken = self.include.is_none() || self.is_taken(path, false);
        if self.is_left(path, false) {
            return false;
        }
        let mut at = path;
        while !at.is_empty() {
            if self.is_left(at, true) {
                return false;
            }
            taken |= self.is_taken(at, true);
            at = split_parent(at).0;
        }
        taken
    }

    /// The entries to restore now, because of this one: directories above it first.
    pub(super) fn next(&mut self, entry: Entry) -> Vec<Wanted> {
        let path = entry.path.as_slice();
        let under =
            |dir: &Option<Vec<u8>>| dir.as_ref().is_some_and(|dir| is_at_or_below(path, dir));
        self.above.retain(|dir| is_at_or_below(path, &dir.path));
        if under(&self.left) {
            return Vec::new();
        }
        let is_dir = entry.kind == EntryType::Dir;
        if self.is_left(path, is_dir) {
            self.left = Some(entry.path);
            return Vec::new();
        }
        let inside = under(&self.taken);
        let taken = self.include.is_none() || inside || self.is_taken(path, is_dir);
        if taken && is_dir && !inside {
            self.taken = Some(entry.path.clone());
        }
        let is_passage = is_dir && self.is_passage(path);
        if taken && !is_passage && self.is_in_part(path) {
            let above = std::mem::take(&mut self.above).into_iter();
            let passages = above.map(|entry| Wanted {
                entry,
                is_passage: true,
            });
            let own = Wanted {
                entry,
                is_passage: false,
            };
            return passages.chain([own]).collect();
        }
        if is_dir {
            self.above.push(entry);
        }
        Vec::new()
    }
}
