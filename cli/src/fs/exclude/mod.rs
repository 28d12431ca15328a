//! Patterns in the manner of `.gitignore`: what is left out of a backup, and which files are restored.
//!
//! - A pattern without a slash (`*.o`, `node_modules`) matches a name anywhere below a root.
//! - A pattern that starts with a slash (`/home/*/tmp`) matches from the top of the file system.
//! - A pattern with a slash inside (`target/debug`) matches those names in a row, anywhere below a root. The
//!   folders above a root, and its own name, are not looked at: where a folder lies says nothing of what is in it.
//! - A slash at the end (`cache/`) matches directories only.
//! - `*` stands for any characters but the slash, `?` for one, `[a-z]` and `[!a-z]` for one of a set, and `**` in
//!   place of a name for any number of names (at the end: for everything below). `\` makes the next character plain.
//! - `!pattern` takes back what an earlier pattern left out. The last pattern that matches decides. What lies
//!   below a directory that is left out is never looked at, so it cannot be taken back.
//! - In a file: one pattern per line, empty lines and lines that start with `#` say nothing, spaces at the end
//!   are dropped (`\ ` keeps one), as is a byte order mark at the start.
//!
//! Names and patterns are bytes; case matters.

mod glob;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use glob::Glob;

/// What some editors put in front of a text to say that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?}: {what}")]
pub struct PatternError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A list of patterns; the last that matches decides.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// As a person wrote it.
    text: Box<[u8]>,
    /// Whether it ever decided about a file. Copies of a list share this.
    used: Arc<AtomicBool>,
    negated: bool,
    /// Matches from the top of the file system, not from a root.
    anchored: bool,
    dir_only: bool,
    /// All components but the last.
    parents: Box<[Part]>,
    last: Glob,
}

#[derive(Debug, Clone)]
enum Part {
    /// One component.
    One(Glob),
    /// `**`: any number of components, also none.
    Any,
}

impl Excludes {
    /// Nothing is excluded.
    #[must_use]
    pub fn new() -> Excludes {
        Excludes::default()
    }

    /// Adds one pattern.
    ///
    /// # Errors
    /// When the pattern is malformed.
    pub fn add(&mut self, pattern: &[u8]) -> Result<(), PatternError> {
        let parsed = Pattern::parse(pattern).map_err(|what| PatternError {
            pattern: String::from_utf8_lossy(pattern).into_owned(),
            what,
        })?;
        self.patterns.push(parsed);
        Ok(())
    }

    /// Adds the patterns in the text of an exclude file: one per line, `#` comments, empty lines.
    ///
    /// # Errors
    /// When a pattern is malformed.
    pub fn add_file(&mut self, text: &[u8]) -> Result<(), PatternError> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for line in text.split(|&b| b == b'\n') {
            let line = trim_end(line.strip_suffix(b"\r").unwrap_or(line));
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            self.add(line)?;
        }
        Ok(())
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns as they were written, in order.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.patterns.iter().map(|pattern| &*pattern.text)
    }

    /// The patterns that have decided about no file so far.
    pub fn unused(&self) -> impl Iterator<Item = &[u8]> {
        let unused = |pattern: &&Pattern| !pattern.used.load(Ordering::Relaxed);
        self.patterns
            .iter()
            .filter(unused)
            .map(|pattern| &*pattern.text)
    }

    /// Whether the patterns leave out the file at `path` (stored path), not looking at its parents: a walk
    /// asks for each directory before it goes into it. At `root` and above it only patterns from the top of
    /// the file system count.
    #[must_use]
    pub fn matches(&self, path: &[u8], root: &[u8], is_dir: bool) -> bool {
        let from = is_below(path, root).then_some(root.len());
        self.at(path, from, is_dir)
    }

    /// The same for a file or any directory below the root it is in: whether a backup of `root` with these
    /// patterns has left it out. A root is never left out, nor is what leads to it.
    #[must_use]
    pub fn matches_tree(&self, path: &[u8], root: &[u8], is_dir: bool) -> bool {
        let slashes = path
            .iter()
            .enumerate()
            .filter(|&(_, &b)| b == b'/')
            .map(|(at, _)| at);
        let mut parents = slashes.filter_map(|at| path.get(..at));
        let matches =
            |path: &[u8], is_dir| is_below(path, root) && self.matches(path, root, is_dir);
        parents.any(|parent| matches(parent, true)) || matches(path, is_dir)
    }

    /// Whether the patterns ask for the file at `path`, not looking at its parents. As [`Excludes::matches`],
    /// but the root's own name counts: who names it means it.
    #[must_use]
    pub fn asks_for(&self, path: &[u8], root: &[u8], is_dir: bool) -> bool {
        let (above, _) = super::path::split_parent(root);
        let from = super::path::is_at_or_below(path, root).then_some(above.len());
        self.at(path, from, is_dir)
    }

    fn at(&self, path: &[u8], from: Option<usize>, is_dir: bool) -> bool {
        let (_, name) = super::path::split_parent(path);
        self.decide(name, from, is_dir, || path.to_vec())
    }

    /// The last pattern that matches a name decides. Patterns that are not from the top of the file system
    /// see the path behind its first `from` bytes, and do not count if there is none. The full path is only
    /// asked for when the name alone does not decide.
    pub(in crate::fs) fn decide(
        &self,
        name: &[u8],
        from: Option<usize>,
        is_dir: bool,
        full: impl Fn() -> Vec<u8>,
    ) -> bool {
        let mut path: Option<Vec<u8>> = None;
        for pattern in self.patterns.iter().rev() {
            let from = if pattern.anchored { Some(0) } else { from };
            let Some(from) = from.filter(|_| is_dir || !pattern.dir_only) else {
                continue;
            };
            if !pattern.last.matches(name) {
                continue;
            }
            let matched = match &*pattern.parents {
                [Part::Any] => true,
                parents => {
                    let path = path.get_or_insert_with(&full);
                    let (parent, _) = super::path::split_parent(path);
                    let names: Vec<&[u8]> = parent
                        .get(from..)
                        .unwrap_or_default()
                        .split(|&b| b == b'/')
                        .filter(|name| !name.is_empty())
                        .collect();
                    matches_parts(parents, &names)
                }
            };
            if matched {
                // Read first: written by every thread, one flag would be fought over.
                if !pattern.used.load(Ordering::Relaxed) {
                    pattern.used.store(true, Ordering::Relaxed);
                }
                return !pattern.negated;
            }
        }
        false
    }
}

/// Whether a path lies below a root, not being the root.
fn is_below(path: &[u8], root: &[u8]) -> bool {
    path.len() > root.len() && super::path::is_at_or_below(path, root)
}

impl Pattern {
    fn parse(written: &[u8]) -> Result<Pattern, &'static str> {
        let text = written;
        let (negated, text) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if text.contains(&0) {
            return Err("it holds a NUL byte, which no name does");
        }
        let anchored = text.starts_with(b"/");
        let dir_only = text.ends_with(b"/");
        let mut parts = Vec::new();
        if !anchored {
            parts.push(Part::Any);
        }
        for name in text.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
            if name == b"." || name == b".." {
                return Err("'.' and '..' have no meaning in a pattern");
            }
            if name == b"**" {
                if !matches!(parts.last(), Some(Part::Any)) {
                    parts.push(Part::Any);
                }
            } else {
                parts.push(Part::One(Glob::parse(name)?));
            }
        }
        let last = match parts.pop() {
            Some(Part::One(glob)) => glob,
            // `**` at the end: at least one name below.
            Some(Part::Any) if text.contains(&b'*') => {
                parts.push(Part::Any);
                Glob::parse(b"*")?
            }
            _ => return Err("it names nothing"),
        };
        Ok(Pattern {
            text: written.into(),
            used: Arc::default(),
            negated,
            anchored,
            dir_only,
            parents: parts.into(),
            last,
        })
    }
}

/// Whether the parts match all of the names. As for characters, only the last `**` need be tried again.
fn matches_parts(parts: &[Part], names: &[&[u8]]) -> bool {
    let mut pattern = parts;
    let mut rest = names;
    let mut retry: Option<(&[Part], &[&[u8]])> = None;
    loop {
        match (pattern.split_first(), rest.split_first()) {
            (None, None) => return true,
            (Some((Part::Any, after)), _) => {
                pattern = after;
                retry = Some((after, rest));
                continue;
            }
            (Some((Part::One(glob), after)), Some((name, others))) if glob.matches(name) => {
                pattern = after;
                rest = others;
                continue;
            }
            _ => {}
        }
        let Some((after_any, from)) = retry else {
            return false;
        };
        let Some((_, shorter)) = from.split_first() else {
            return false;
        };
        pattern = after_any;
        rest = shorter;
        retry = Some((after_any, shorter));
    }
}

/// Drops spaces and tabs at the end, but not one that is quoted.
fn trim_end(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let Some((b' ' | b'\t', before)) = line.split_last() {
        let backslashes = before.iter().rev().take_while(|&&b| b == b'\\').count();
        if backslashes % 2 == 1 {
            break;
        }
        line = before;
    }
    line
}
