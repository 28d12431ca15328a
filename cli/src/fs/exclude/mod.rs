//! What is left out of a backup: patterns.

mod glob;

use std::path::Path;

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
pub struct Excludes {}

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
    pub fn add(&mut self, _pattern: &[u8]) -> Result<(), PatternError> {
        Ok(())
    }

    /// Adds the patterns in the text of an exclude file: one per line, `#` comments, empty lines.
    ///
    /// # Errors
    /// When a pattern is malformed.
    pub fn add_file(&mut self, _text: &[u8]) -> Result<(), PatternError> {
        let _ = Path::new("");
        Ok(())
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whether the patterns leave out the file at `path` (stored path), not looking at its parents:
    /// a walk asks for each directory before it goes into it.
    #[must_use]
    pub fn matches(&self, _path: &[u8], _is_dir: bool) -> bool {
        false
    }

    /// The same for a file or any directory it is in.
    #[must_use]
    pub fn matches_tree(&self, _path: &[u8], _is_dir: bool) -> bool {
        false
    }
}
