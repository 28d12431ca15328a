//! Where everything of one node lives, see docs/cli.md, "Homes".

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use packnback_sys::homes::{self, Folders, HomeError};

use crate::exit::{Failure, Outcome};

/// The folders of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(Folders);

impl Home {
    /// From `--home` (or its environment variable), else from the XDG variables.
    ///
    /// # Errors
    /// When there is no home directory to be found, or a variable names one that depends on the working
    /// folder.
    pub fn find(home: Option<&Path>) -> Outcome<Self> {
        let found = homes::find(home, |name| std::env::var_os(name));
        found.map(Self).map_err(refusal)
    }

    /// Everything below one folder.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn below(home: &Path) -> Outcome<Self> {
        homes::below(home).map(Self).map_err(refusal)
    }

    /// Folder of what the owner gave to this device.
    #[must_use]
    pub fn config_dir(&self) -> &Path {
        &self.0.config
    }

    /// Folder that holds the node's folder and the cache; the daemon is started with it.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.0.data
    }

    /// The device bundle.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.0.config.join("device.bundle")
    }

    /// What the last run knew; may be deleted.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.0.data.join("cache")
    }

    /// Where small files and segments are in the node's store: beside it, so that a lost cache is no lost store.
    #[must_use]
    pub fn places(&self) -> PathBuf {
        self.node_dir().join("places")
    }

    /// The node's folder.
    #[must_use]
    pub fn node_dir(&self) -> PathBuf {
        self.0.node()
    }

    /// The node's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.node_dir().join("node.sock")
    }

    /// The node's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.node_dir().join("node.log")
    }

    /// Makes the folders, for this user only.
    ///
    /// # Errors
    /// When a folder cannot be made, belongs to somebody else, or would lie in a folder of somebody else.
    pub fn create(&self) -> Outcome<()> {
        self.0.check_new().map_err(refusal)?;
        for dir in [&self.0.config, &self.0.data, &self.node_dir()] {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir);
            made.map_err(|e| Failure::file("make the folder", dir, &e))?;
        }
        self.check_user()
    }

    /// Refuses a home that another user of this machine owns or may write to: what root wrote there, its
    /// owner could replace, and what they wrote could be lost to them.
    ///
    /// # Errors
    /// When it belongs to somebody else, or is open to others.
    pub fn check_user(&self) -> Outcome<()> {
        self.0.check().map_err(refusal)
    }

    /// Whether a file would be below this home, links followed: the owner's secret must not be.
    #[must_use]
    pub fn contains(&self, file: &Path) -> bool {
        let real = real_path(file);
        [&self.0.config, &self.0.data]
            .iter()
            .any(|dir| real.starts_with(real_path(dir)))
    }
}

fn refusal(error: HomeError) -> Failure {
    let next = error.next();
    let failure = match &error {
        HomeError::OtherUser { .. } | HomeError::InsideOtherUser { .. } => {
            Failure::refused("other-user", error.to_string())
        }
        HomeError::Open { .. } => Failure::refused("open-home", error.to_string()),
        HomeError::None(_) | HomeError::Relative { .. } => Failure::usage(error.to_string()),
        HomeError::NoFolder(_) | HomeError::Io { .. } => Failure::failed("home", error.to_string()),
    };
    failure.safe("Nothing was changed.").next(next)
}

/// The path with every link followed as far as it exists.
fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest = Vec::new();
    let mut dir = path.as_path();
    loop {
        if let Ok(real) = dir.canonicalize() {
            return rest.iter().rev().fold(real, |path, name| path.join(name));
        }
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
            return path;
        };
        rest.push(name.to_owned());
        dir = parent;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_below_home_is_seen_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(&dir.path().join("home")).unwrap();
        home.create().unwrap();
        std::os::unix::fs::symlink(dir.path().join("home/node"), dir.path().join("elsewhere"))
            .unwrap();
        assert!(home.contains(&dir.path().join("home/key")));
        assert!(home.contains(&dir.path().join("elsewhere/new/key")));
        assert!(home.contains(&dir.path().join("x/../home/key")) || !dir.path().join("x").exists());
        assert!(!home.contains(&dir.path().join("key")));
        assert!(!home.contains(&dir.path().join("home2/key")));
    }
}
