//! Removing what the snapshot does not have.

use std::collections::HashSet;

use super::Target;
use super::dirs::names_in;
use crate::fs::error::{Action, WriteError};
use crate::fs::path::{is_at_or_below, join, split_parent};

/// `--delete`: removes what is in the target but not in the snapshot. It is told every path of the snapshot in
/// order ([`crate::fs::path_cmp`]); what is not told, in a directory that is at or below one of the saved roots, goes.
#[derive(Debug)]
pub struct Pruner {
    roots: Vec<Vec<u8>>,
    levels: Vec<Level>,
}

/// A directory of the snapshot and the names seen in it.
#[derive(Debug)]
struct Level {
    path: Vec<u8>,
    names: HashSet<Box<[u8]>>,
}

impl Pruner {
    /// `roots` are the saved roots, as stored paths; directories above them are never touched.
    #[must_use]
    pub fn new(roots: &[Vec<u8>]) -> Pruner {
        let top = Level {
            path: Vec::new(),
            names: HashSet::new(),
        };
        Pruner {
            roots: roots.to_vec(),
            levels: vec![top],
        }
    }

    /// The next path of the snapshot. Returns the stored paths that were (or, in a dry run, would be) removed.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn visit(
        &mut self,
        target: &Target,
        path: &[u8],
        is_dir: bool,
    ) -> Result<Vec<Vec<u8>>, WriteError> {
        let mut removed = Vec::new();
        while let Some(level) = self.levels.last() {
            if is_at_or_below(path, &level.path) {
                break;
            }
            self.leave(target, &mut removed)?;
        }
        let (parent, name) = split_parent(path);
        if let Some(level) = self.levels.last_mut().filter(|level| level.path == parent) {
            level.names.insert(name.into());
        }
        if is_dir {
            self.levels.push(Level {
                path: path.to_vec(),
                names: HashSet::new(),
            });
        }
        Ok(removed)
    }

    /// After the last path.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn finish(mut self, target: &Target) -> Result<Vec<Vec<u8>>, WriteError> {
        let mut removed = Vec::new();
        while !self.levels.is_empty() {
            self.leave(target, &mut removed)?;
        }
        Ok(removed)
    }

    /// The directory on top is complete: removes what was not named.
    fn leave(&mut self, target: &Target, removed: &mut Vec<Vec<u8>>) -> Result<(), WriteError> {
        let Some(level) = self.levels.pop() else {
            return Ok(());
        };
        if !self
            .roots
            .iter()
            .any(|root| is_at_or_below(&level.path, root))
        {
            return Ok(());
        }
        let dir = match target.dirs.find(&level.path) {
            Ok(Some(dir)) => dir,
            // Not made, for a reason that was reported when it was to be made.
            Ok(None) | Err(WriteError::NotADirectory { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut names = names_in(&dir.fd)
            .map_err(|errno| WriteError::io(&level.path, Action::ListDir, errno))?;
        names.sort_unstable();
        for name in names {
            if !level.names.contains(name.as_slice()) {
                let path = join(&level.path, &name);
                target.remove(&path)?;
                removed.push(path);
            }
        }
        Ok(())
    }
}
