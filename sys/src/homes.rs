//! Where the home of a node is, and whether it is safe to use: one answer for both programs.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Variable that names the home of a node.
pub const HOME_VARIABLE: &str = "PACKNBACK_HOME";
/// Folder of the node within the data folder.
pub const NODE_DIR: &str = "node";
/// Write for the group or for others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// The two folders of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// What the owner gave to this device.
    pub config: PathBuf,
    /// The node's folder and the cache.
    pub data: PathBuf,
}

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing says where it is.
    #[error("there is no home directory for this user: the variable HOME is {0}")]
    None(&'static str),
    /// A variable names a folder that depends on where a command is run.
    #[error("the variable {name} is not an absolute path ({value:?})")]
    Relative {
        /// Which variable.
        name: &'static str,
        /// What it says.
        value: OsString,
    },
    /// A folder is another user's.
    #[error("{} belongs to user {owner}, this is user {ours}", path.display())]
    OtherUser {
        /// Which folder.
        path: PathBuf,
        /// Whose.
        owner: u32,
        /// Who runs.
        ours: u32,
    },
    /// A folder would be made inside another user's: root with `HOME` of a user, most likely.
    #[error("{} is inside {}, which belongs to user {owner}; this is user {ours}", path.display(), inside.display())]
    InsideOtherUser {
        /// Which folder would be made.
        path: PathBuf,
        /// What is there of its path.
        inside: PathBuf,
        /// Whose that is.
        owner: u32,
        /// Who runs.
        ours: u32,
    },
    /// Others may write to a folder, or replace it.
    #[error("other users of this machine may write to {} (its mode is {mode:04o})", path.display())]
    Open {
        /// Which folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Something else is where a folder should be.
    #[error("{} is not a folder", .0.display())]
    NoFolder(PathBuf),
    /// The file system said no.
    #[error("cannot look at {}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl HomeError {
    /// What a person can do about it.
    #[must_use]
    pub fn next(&self) -> String {
        match self {
            Self::None(_) => "Set HOME, or name a folder with --home DIR.".into(),
            Self::Relative { name, .. } => format!(
                "Give {name} a path that begins with a slash (or unset it), or name a folder with --home DIR."
            ),
            Self::OtherUser { .. } => {
                "Run as that user, or name another folder with --home DIR.".into()
            }
            Self::InsideOtherUser { .. } => "Run as that user, use root's own home (sudo -H), or name another folder with --home DIR.".into(),
            Self::Open { path, .. } => format!(
                "See who wrote there; if all is as it should be: chmod go-w {}",
                path.display()
            ),
            Self::NoFolder(_) => "Name another folder with --home DIR.".into(),
            Self::Io { .. } => {
                "Check the folders above it, or name another folder with --home DIR.".into()
            }
        }
    }
}

/// The folders of the home: as named, else as the variables say.
///
/// # Errors
/// When they say nothing, or something that changes with the working folder.
pub fn find(
    named: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Folders, HomeError> {
    if let Some(home) = named {
        if home.is_relative() && variable(HOME_VARIABLE).as_deref() == Some(home.as_os_str()) {
            return Err(HomeError::Relative {
                name: HOME_VARIABLE,
                value: home.as_os_str().to_owned(),
            });
        }
        return below(home);
    }
    let absolute = |name: &'static str| -> Result<Option<PathBuf>, HomeError> {
        match variable(name).filter(|value| !value.is_empty()) {
            Some(value) if Path::new(&value).is_absolute() => Ok(Some(value.into())),
            Some(value) => Err(HomeError::Relative { name, value }),
            None => Ok(None),
        }
    };
    let folder = |name, usual: &str| match absolute(name)? {
        Some(dir) => Ok(dir.join("packnback")),
        None => match absolute("HOME")? {
            Some(home) => Ok(home.join(usual).join("packnback")),
            None if variable("HOME").is_some() => Err(HomeError::None("empty")),
            None => Err(HomeError::None("not set")),
        },
    };
    Ok(Folders {
        config: folder("XDG_CONFIG_HOME", ".config")?,
        data: folder("XDG_DATA_HOME", ".local/share")?,
    })
}

/// Everything below one folder.
///
/// # Errors
/// When the working folder is gone.
pub fn below(home: &Path) -> Result<Folders, HomeError> {
    let home = std::path::absolute(home).map_err(|error| HomeError::Io {
        path: home.to_owned(),
        error,
    })?;
    Ok(Folders {
        config: home.join("config"),
        data: home,
    })
}

impl Folders {
    /// The node's folder.
    #[must_use]
    pub fn node(&self) -> PathBuf {
        self.data.join(NODE_DIR)
    }

    /// Refuses folders that are there and that another user of this machine owns or may write to: what is
    /// kept there could be read, replaced or lost.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn check(&self) -> Result<(), HomeError> {
        [&self.config, &self.data, &self.node()]
            .into_iter()
            .try_for_each(|dir| check(dir))
    }

    /// The same before something is made: what is to be made must not lie in another user's folder, who
    /// could replace it, and could not use it.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn check_new(&self) -> Result<(), HomeError> {
        self.check()?;
        [&self.config, &self.data, &self.node()]
            .into_iter()
            .try_for_each(|dir| check_place(dir))
    }
}

fn look(path: &Path) -> Result<Option<Metadata>, HomeError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(HomeError::NoFolder(path.to_owned())),
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(HomeError::NoFolder(path.to_owned()))
        }
        Err(error) => Err(HomeError::Io {
            path: path.to_owned(),
            error,
        }),
    }
}

fn ours() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn check(path: &Path) -> Result<(), HomeError> {
    let Some(found) = look(path)? else {
        return Ok(());
    };
    if found.uid() != ours() {
        return Err(HomeError::OtherUser {
            path: path.to_owned(),
            owner: found.uid(),
            ours: ours(),
        });
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(HomeError::Open {
            path: path.to_owned(),
            mode: found.mode() & 0o7777,
        });
    }
    Ok(())
}

/// What is there of the path of a folder to be made.
fn check_place(path: &Path) -> Result<(), HomeError> {
    for above in path.ancestors() {
        let Some(found) = look(above)? else { continue };
        if found.uid() != ours() && found.uid() != 0 {
            return Err(HomeError::InsideOtherUser {
                path: path.to_owned(),
                inside: above.to_owned(),
                owner: found.uid(),
                ours: ours(),
            });
        }
        let open = found.mode() & 0o002 != 0 && found.mode() & STICKY == 0;
        if open {
            return Err(HomeError::Open {
                path: above.to_owned(),
                mode: found.mode() & 0o7777,
            });
        }
        return Ok(());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn found(pairs: &[(&str, &str)], named: Option<&str>) -> Result<Folders, HomeError> {
        find(named.map(Path::new), |name| {
            let of_name = pairs.iter().find(|(known, _)| *known == name);
            of_name.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn a_home_is_where_the_variables_say_and_nowhere_else() {
        let at = |config: &str, data: &str| Folders {
            config: config.into(),
            data: data.into(),
        };
        let home = ("HOME", "/h");
        let usual = at("/h/.config/packnback", "/h/.local/share/packnback");
        assert_eq!(found(&[home], None).unwrap(), usual);
        assert_eq!(
            found(&[home, ("XDG_CONFIG_HOME", "")], None).unwrap(),
            usual
        );
        let elsewhere = [home, ("XDG_CONFIG_HOME", "/c"), ("XDG_DATA_HOME", "/d")];
        assert_eq!(
            found(&elsewhere, None).unwrap(),
            at("/c/packnback", "/d/packnback")
        );
        assert_eq!(
            found(&elsewhere[1..], None).unwrap().config,
            Path::new("/c/packnback")
        );
        assert_eq!(found(&[], Some("/x")).unwrap(), at("/x/config", "/x"));
        let own = found(&[], Some("x")).unwrap();
        assert!(
            own.data.is_absolute(),
            "a word on the command line may be relative"
        );
    }

    #[test]
    fn an_empty_or_relative_variable_is_refused() {
        let home = ("HOME", "/h");
        for (pairs, named, what) in [
            (&[][..], None, "HOME is not set"),
            (&[("HOME", "")][..], None, "HOME is empty"),
            (&[("HOME", "h")][..], None, "HOME is not an absolute path"),
            (&[("HOME", ".")][..], None, "HOME is not an absolute path"),
            (
                &[home, ("XDG_DATA_HOME", "d")][..],
                None,
                "XDG_DATA_HOME is not",
            ),
            (
                &[home, ("XDG_CONFIG_HOME", "./c")][..],
                None,
                "XDG_CONFIG_HOME is not",
            ),
            (
                &[home, (HOME_VARIABLE, "p")][..],
                Some("p"),
                "PACKNBACK_HOME is not",
            ),
            (&[("XDG_DATA_HOME", "/d")][..], None, "HOME is not set"),
        ] {
            let error = found(pairs, named).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert!(!error.next().is_empty());
        }
    }

    #[test]
    fn a_folder_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folders = below(&dir.path().join("home")).unwrap();
        folders.check_new().unwrap();
        fs::create_dir_all(folders.node()).unwrap();
        fs::create_dir_all(&folders.config).unwrap();
        for path in [&folders.data, &folders.node(), &folders.config] {
            for (mode, good) in [
                (0o755, true),
                (0o775, false),
                (0o777, false),
                (0o1777, false),
                (0o700, true),
            ] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                assert_eq!(folders.check().is_ok(), good, "{path:?} {mode:o}");
                assert_eq!(folders.check_new().is_ok(), good, "{path:?} {mode:o}");
            }
        }
        fs::remove_dir(folders.node()).unwrap();
        fs::write(folders.node(), b"").unwrap();
        assert!(matches!(folders.check(), Err(HomeError::NoFolder(_))));
    }

    #[test]
    fn a_home_is_not_made_where_others_could_replace_it() {
        let dir = tempfile::tempdir().unwrap();
        let folders = below(&dir.path().join("a/b/home")).unwrap();
        for (mode, good) in [(0o777, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(folders.check_new().is_ok(), good, "{mode:o}");
            folders.check().unwrap();
        }
        if !rustix::process::geteuid().is_root() {
            return; // only root can make a folder of another user
        }
        std::os::unix::fs::chown(dir.path(), Some(4711), None).unwrap();
        assert!(matches!(
            folders.check_new(),
            Err(HomeError::InsideOtherUser { owner: 4711, .. })
        ));
        fs::create_dir_all(&folders.data).unwrap();
        folders.check_new().unwrap();
        std::os::unix::fs::chown(&folders.data, Some(4711), None).unwrap();
        assert!(matches!(
            folders.check(),
            Err(HomeError::OtherUser { owner: 4711, .. })
        ));
    }
}
