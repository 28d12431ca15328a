//! What is left out of a backup: patterns in the manner of `.gitignore`.
//!
//! - A pattern without a slash (`*.o`, `node_modules`) matches a name anywhere.
//! - A pattern that starts with a slash (`/home/*/tmp`) matches from the top of the file system.
//! - A pattern with a slash inside (`target/debug`) matches those names in a row, anywhere.
//! - A slash at the end (`cache/`) matches directories only.
//! - `*` stands for any characters but the slash, `?` for one, `[a-z]` and `[!a-z]` for one of a set, and `**` in
//!   place of a name for any number of names (at the end: for everything below). `\` makes the next character plain.
//! - `!pattern` takes back what an earlier pattern left out. The last pattern that matches decides. What lies
//!   below a directory that is left out is never looked at, so it cannot be taken back.
//! - In a file: one pattern per line, empty lines and lines that start with `#` say nothing, spaces at the end
//!   are dropped (`\ ` keeps one).
//!
//! Names and patterns are bytes; case matters.

mod glob;
#[cfg(test)]
mod tests;

use glob::Glob;

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("exclude pattern {pattern:?}: {what}")]
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
    negated: bool,
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

    /// Whether the patterns leave out the file at `path` (stored path), not looking at its parents:
    /// a walk asks for each directory before it goes into it.
    #[must_use]
    pub fn matches(&self, path: &[u8], is_dir: bool) -> bool {
        let (_, name) = super::path::split_parent(path);
        self.decide(name, is_dir, || path.to_vec())
    }

    /// The same for a file or any directory it is in.
    #[must_use]
    pub fn matches_tree(&self, path: &[u8], is_dir: bool) -> bool {
        let slashes = path
            .iter()
            .enumerate()
            .filter(|&(_, &b)| b == b'/')
            .map(|(at, _)| at);
        let mut parents = slashes.filter_map(|at| path.get(..at));
        parents.any(|parent| self.matches(parent, true)) || self.matches(path, is_dir)
    }

    /// As [`Excludes::matches`]; the full path is only asked for when the name alone does not decide.
    pub(in crate::fs) fn decide(
        &self,
        name: &[u8],
        is_dir: bool,
        full: impl Fn() -> Vec<u8>,
    ) -> bool {
        let mut path: Option<Vec<u8>> = None;
        for pattern in self.patterns.iter().rev() {
            if (pattern.dir_only && !is_dir) || !pattern.last.matches(name) {
                continue;
            }
            let matched = match &*pattern.parents {
                [Part::Any] => true,
                parents => {
                    let path = path.get_or_insert_with(&full);
                    let (parent, _) = super::path::split_parent(path);
                    let names: Vec<&[u8]> = parent
                        .split(|&b| b == b'/')
                        .filter(|name| !name.is_empty())
                        .collect();
                    matches_parts(parents, &names)
                }
            };
            if matched {
                return !pattern.negated;
            }
        }
        false
    }
}

impl Pattern {
    fn parse(text: &[u8]) -> Result<Pattern, &'static str> {
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
            negated,
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
