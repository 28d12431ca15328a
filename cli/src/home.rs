//! Where everything of one node lives, see docs/cli.md, "Homes".

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::exit::{Failure, Outcome};

/// The folders of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    config: PathBuf,
    data: PathBuf,
}

impl Home {
    /// From `--home` (or its environment variable), else from the XDG variables.
    ///
    /// # Errors
    /// When there is no home directory to be found.
    pub fn find(home: Option<&Path>) -> Outcome<Self> {
        if let Some(home) = home {
            return Self::below(home);
        }
        let user = std::env::var_os("HOME").map(PathBuf::from);
        let folder = |variable: &str, usual: &str| {
            std::env::var_os(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| user.as_ref().map(|home| home.join(usual)))
                .map(|path| path.join("packnback"))
                .ok_or_else(|| {
                    Failure::usage("there is no home directory for this user")
                        .next("Name a folder: packnback --home DIR ...")
                })
        };
        Ok(Self {
            config: folder("XDG_CONFIG_HOME", ".config")?,
            data: folder("XDG_DATA_HOME", ".local/share")?,
        })
    }

    /// Everything below one folder.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn below(home: &Path) -> Outcome<Self> {
        let home = std::path::absolute(home).map_err(|e| Failure::file("find", home, &e))?;
        Ok(Self {
            config: home.join("config"),
            data: home,
        })
    }

    /// Folder of what the owner gave to this device.
    #[must_use]
    pub fn config_dir(&self) -> &Path {
        &self.config
    }

    /// Folder that holds the node's folder and the cache; the daemon is started with it.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// The device bundle.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.config.join("device.bundle")
    }

    /// What the last run knew; may be deleted.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.data.join("cache")
    }

    /// Where small files and segments are in the node's store: beside it, so that a lost cache is no lost store.
    #[must_use]
    pub fn places(&self) -> PathBuf {
        self.node_dir().join("places")
    }

    /// The node's folder.
    #[must_use]
    pub fn node_dir(&self) -> PathBuf {
        self.data.join("node")
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
    /// When a folder cannot be made, or belongs to somebody else.
    pub fn create(&self) -> Outcome<()> {
        for dir in [&self.config, &self.data, &self.node_dir()] {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir);
            made.map_err(|e| Failure::file("make the folder", dir, &e))?;
        }
        self.check_user()
    }

    /// Refuses a home that another user of this machine owns: what root wrote there, its owner could
    /// replace, and what they wrote could be lost to them.
    ///
    /// # Errors
    /// When it belongs to somebody else.
    pub fn check_user(&self) -> Outcome<()> {
        let ours = rustix::process::geteuid().as_raw();
        for dir in [&self.config, &self.data] {
            match fs::metadata(dir) {
                Ok(found) if found.uid() != ours => {
                    return Err(Failure::refused(
                        "other-user",
                        format!(
                            "{} belongs to user {}, this is user {ours}",
                            dir.display(),
                            found.uid()
                        ),
                    )
                    .safe("Nothing was changed.")
                    .next("Run as that user, or name another folder with --home."));
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Failure::file("look at", dir, &e)),
            }
        }
        Ok(())
    }

    /// Whether a file would be below this home, links followed: the owner's secret must not be.
    #[must_use]
    pub fn contains(&self, file: &Path) -> bool {
        let real = real_path(file);
        [&self.config, &self.data]
            .iter()
            .any(|dir| real.starts_with(real_path(dir)))
    }
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
