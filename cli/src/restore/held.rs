//! What a snapshot would have held: before anything is removed because a snapshot does not have it, it
//! must be told apart from what was not to be saved, and from what could not be.

use std::collections::HashMap;

use packnback_proto::format::root::{LeftOut, PATTERN_RULES, ProblemKind, Root};
use packnback_proto::limits::{PATH_LEN_MAX, ROOT_PATHS_MAX};

use super::options::{RestoreError, RestoreOptions};
use super::select::Selection;
use crate::fs::{Excludes, Judge, Kept, Kind, Level, Stat, is_at_or_below, split_parent};

/// File that marks a cache.
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";

/// What was saved and what was left out, of one snapshot.
pub(super) struct Held<'a> {
    roots: &'a [Vec<u8>],
    left: &'a LeftOut,
    patterns: Excludes,
    /// Left out by name of its own, or not saved because of a problem.
    missing: HashMap<&'a [u8], Kept>,
}

impl<'a> Held<'a> {
    /// From the root of a snapshot.
    ///
    /// # Errors
    /// When it does not say all that has to be known.
    pub(super) fn of(root: &'a Root) -> Result<Self, RestoreError> {
        let unknown = |what: &str| RestoreError::Untold(what.to_owned());
        let left = root
            .left
            .as_ref()
            .ok_or_else(|| unknown("the program that made it did not record what it left out"))?;
        if left.rules != PATTERN_RULES {
            return Err(unknown(
                "its patterns are of a kind this program does not know",
            ));
        }
        let cut = !left.complete || root.paths.len() > ROOT_PATHS_MAX;
        if cut || root.problems.iter().any(|p| p.path.len() >= PATH_LEN_MAX) {
            return Err(unknown(
                "more was left out, or could not be saved, than its record has room for",
            ));
        }
        let mut patterns = Excludes::new();
        for pattern in &left.patterns {
            let added = patterns.add(pattern);
            added.map_err(|_| unknown("one of its patterns cannot be understood"))?;
        }
        let failed = root.problems.iter().filter(|problem| {
            // What changed, or lacks attributes, is in the snapshot.
            !matches!(problem.kind, ProblemKind::Changed | ProblemKind::Metadata)
        });
        let failed = failed.map(|problem| (problem.path.as_slice(), Kept::NotSaved));
        let left_out = left
            .paths
            .iter()
            .map(|path| (path.as_slice(), Kept::LeftOut));
        let missing = left_out.chain(failed).collect();
        Ok(Self {
            roots: &root.paths,
            left,
            patterns,
            missing,
        })
    }

    /// The innermost root a path is in.
    fn root_of(&self, path: &[u8]) -> Option<&'a [u8]> {
        let roots = self.roots.iter().map(Vec::as_slice);
        roots
            .filter(|root| is_at_or_below(path, root))
            .max_by_key(|root| root.len())
    }

    /// The outermost root a path is in: patterns see what is behind it.
    fn outer_root_of(&self, path: &[u8]) -> &'a [u8] {
        let roots = self.roots.iter().map(Vec::as_slice);
        roots
            .filter(|root| is_at_or_below(path, root))
            .min_by_key(|root| root.len())
            .unwrap_or_default()
    }

    /// Whether a pattern left this out, or a folder it is in. What is now a file may have been a folder.
    fn is_excluded(&self, path: &[u8]) -> bool {
        let Some(root) = self.root_of(path) else {
            return true;
        };
        let outer = self.outer_root_of(path);
        let mut at = path;
        // Up to the innermost root: a root is never left out, whatever it lies in.
        while at.len() > root.len() {
            if self.patterns.matches(at, outer, true) {
                return true;
            }
            at = split_parent(at).0;
        }
        path.len() > root.len() && self.patterns.matches(path, outer, false)
    }

    /// Whether this is at or below what was not saved.
    fn missing(&self, path: &[u8]) -> Option<Kept> {
        let mut at = path;
        while !at.is_empty() {
            if let Some(why) = self.missing.get(at) {
                return Some(*why);
            }
            at = split_parent(at).0;
        }
        None
    }
}

impl Judge for Held<'_> {
    fn keeps_level(&self, level: &Level<'_>) -> Option<Kept> {
        if self.root_of(level.path).is_none() {
            return Some(Kept::Outside);
        }
        if self.left.caches && level.names.contains(CACHE_TAG) {
            return Some(Kept::LeftOut);
        }
        // Saved empty on purpose, or with nothing in it at that time: the disk that is there now is not
        // what was saved.
        let was_left = level.is_foreign && self.left.one_file_system;
        if was_left || (level.is_mount && level.names.is_empty()) {
            return Some(Kept::OtherFileSystem);
        }
        self.missing(level.path)
            .or_else(|| self.is_excluded(level.path).then_some(Kept::LeftOut))
    }

    fn keeps(&self, path: &[u8], stat: &Stat) -> Option<Kept> {
        if matches!(stat.kind, Kind::Socket | Kind::Unknown) {
            return Some(Kept::LeftOut);
        }
        let larger = self.left.larger_than;
        if stat.kind == Kind::File && larger.is_some_and(|limit| stat.size > limit) {
            return Some(Kept::LeftOut);
        }
        self.missing(path)
            .or_else(|| self.is_excluded(path).then_some(Kept::LeftOut))
    }

    fn leaves_caches(&self) -> bool {
        self.left.caches
    }
}

/// What the snapshot would have held, of what was asked for.
pub(super) struct Asked<'a> {
    held: Held<'a>,
    selection: Selection<'a>,
}

impl<'a> Asked<'a> {
    /// From the root of a snapshot.
    ///
    /// # Errors
    /// As [`Held::of`].
    pub(super) fn of(options: &'a RestoreOptions, root: &'a Root) -> Result<Self, RestoreError> {
        Ok(Self {
            held: Held::of(root)?,
            selection: Selection::new(options, &root.paths),
        })
    }
}

impl Judge for Asked<'_> {
    fn keeps_level(&self, level: &Level<'_>) -> Option<Kept> {
        if !self.selection.is_in_part(level.path) {
            return Some(Kept::Outside);
        }
        self.held.keeps_level(level)
    }

    fn keeps(&self, path: &[u8], stat: &Stat) -> Option<Kept> {
        if !self.selection.would_ask_for(path) {
            return Some(Kept::Outside);
        }
        self.held.keeps(path, stat)
    }

    fn leaves_caches(&self) -> bool {
        self.held.leaves_caches()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use packnback_proto::format::root::{Problem, Stats};

    use super::*;

    fn root(paths: &[&str], left: Option<LeftOut>) -> Root {
        Root {
            label: String::new(),
            start: 0,
            end: 0,
            tool: String::new(),
            chunker: 1,
            group: 0,
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            excludes: Vec::new(),
            problem_count: 0,
            problems: Vec::new(),
            stats: Stats::default(),
            children: Vec::new(),
            set: String::new(),
            left,
        }
    }

    fn told(patterns: &[&str]) -> LeftOut {
        LeftOut {
            rules: PATTERN_RULES,
            patterns: patterns.iter().map(|p| p.as_bytes().to_vec()).collect(),
            complete: true,
            ..LeftOut::default()
        }
    }

    fn stat(kind: Kind, size: u64) -> Stat {
        let dir = tempfile::tempdir().unwrap();
        let raw = rustix::fs::stat(dir.path()).unwrap();
        Stat {
            kind,
            size,
            ..Stat::of(&raw)
        }
    }

    #[test]
    fn what_is_not_told_in_full_is_refused() {
        let untold = |root: &Root| matches!(Held::of(root), Err(RestoreError::Untold(_)));
        assert!(untold(&root(&["a"], None)));
        let cut = LeftOut {
            complete: false,
            ..told(&[])
        };
        assert!(untold(&root(&["a"], Some(cut))));
        let other = LeftOut {
            rules: PATTERN_RULES + 1,
            ..told(&[])
        };
        assert!(untold(&root(&["a"], Some(other))));
        assert!(untold(&root(&["a"], Some(told(&["a["])))));
        assert!(!untold(&root(&["a"], Some(told(&["*.iso"])))));
    }

    #[test]
    fn patterns_limits_and_problems_keep() {
        let mut left = told(&["*.iso", "build/", "!keep.iso", "/home/ann/x/y"]);
        left.larger_than = Some(100);
        left.paths = vec![b"home/ann/film".to_vec()];
        let mut root = root(&["home/ann", "home/ann/build/kept", "srv"], Some(left));
        let problem = |path: &str, kind| Problem {
            path: path.as_bytes().to_vec(),
            kind,
            text: String::new(),
        };
        root.problems = vec![
            problem("home/ann/closed", ProblemKind::Unreadable),
            problem("home/ann/gone", ProblemKind::Vanished),
            problem("home/ann/odd", ProblemKind::Metadata),
        ];
        let held = Held::of(&root).unwrap();
        let file = stat(Kind::File, 10);
        for (path, kept) in [
            ("home/ann/new", None),
            ("home/ann/vm.iso", Some(Kept::LeftOut)),
            ("home/ann/keep.iso", None),
            // A folder then, a file now.
            ("home/ann/build", Some(Kept::LeftOut)),
            ("home/ann/build/x", Some(Kept::LeftOut)),
            ("home/ann/build/kept/new", None),
            ("home/ann/build/kept/new.iso", Some(Kept::LeftOut)),
            ("home/ann/x/y/z", Some(Kept::LeftOut)),
            ("home/ann/closed", Some(Kept::NotSaved)),
            ("home/ann/closed/letter", Some(Kept::NotSaved)),
            ("home/ann/closed-not", None),
            ("home/ann/gone", Some(Kept::NotSaved)),
            ("home/ann/odd", None),
            ("home/ann/film", Some(Kept::LeftOut)),
            ("home/bob/new", Some(Kept::LeftOut)),
            ("srv/new", None),
        ] {
            assert_eq!(held.keeps(path.as_bytes(), &file), kept, "{path}");
        }
        let keeps = |kind, size| held.keeps(b"home/ann/new", &stat(kind, size));
        assert_eq!(keeps(Kind::File, 101), Some(Kept::LeftOut));
        assert_eq!(keeps(Kind::Dir, 4096), None);
        assert_eq!(keeps(Kind::Socket, 0), Some(Kept::LeftOut));
    }

    #[test]
    fn a_level_on_another_disk_is_kept_unless_it_was_saved() {
        let names = std::collections::HashSet::from([Box::from(&b"x"[..])]);
        let none = std::collections::HashSet::new();
        let level = |path, is_mount, full: bool| Level {
            path,
            names: if full { &names } else { &none },
            is_mount,
            is_foreign: is_mount && path != b"srv",
        };
        let free = root(&["srv"], Some(told(&[])));
        let held = Held::of(&free).unwrap();
        assert_eq!(held.keeps_level(&level(b"srv/disk", true, true)), None);
        let other = Some(Kept::OtherFileSystem);
        assert_eq!(held.keeps_level(&level(b"srv/disk", true, false)), other);
        assert_eq!(held.keeps_level(&level(b"srv/disk", false, false)), None);
        assert_eq!(
            held.keeps_level(&level(b"home", false, true)),
            Some(Kept::Outside)
        );
        let mut left = told(&[]);
        left.one_file_system = true;
        let bound = root(&["srv"], Some(left));
        let held = Held::of(&bound).unwrap();
        assert_eq!(held.keeps_level(&level(b"srv/disk", true, true)), other);
        assert_eq!(held.keeps_level(&level(b"srv", true, true)), None);
    }
}
