//! What a person set for this node: a small file in its folder, `settings.json`, written by `packnback node set` and
//! read at every start. It may be edited by hand while the node does not run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use packnback_sys::files::{Existing, write_private};
use serde::{Deserialize, Serialize};

use crate::net::Multiaddr;

/// Name of the file in the folder of the node.
pub const SETTINGS_NAME: &str = "settings.json";

/// The settings. What is empty was not set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen: multiaddresses.
    pub listen: Vec<String>,
    /// What this node calls itself to friends.
    pub name: String,
}

/// The settings cannot be had, or cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file system said no.
    #[error("cannot use {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It was edited, and not well. Guessing what was meant could open the node to a network it was kept from.
    #[error(
        "{path} cannot be read: {reason}; mend it, or delete it to go on as if nothing had been set"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Settings {
    /// Reads the settings; none if there is no file.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn load(dir: &Path) -> Result<Self, SettingsError> {
        let path = dir.join(SETTINGS_NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(SettingsError::Io { path, error }),
        };
        let damaged = |reason: String| SettingsError::Damaged {
            path: path.clone(),
            reason,
        };
        let settings: Self =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        settings.addrs().map_err(damaged)?;
        Ok(settings)
    }

    /// Writes them; durable on return.
    ///
    /// # Errors
    /// [`SettingsError::Io`]: then the file is as it was.
    pub fn save(&self, dir: &Path) -> Result<(), SettingsError> {
        let path = dir.join(SETTINGS_NAME);
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        write_private(&path, &text, Existing::Replace)
            .map_err(|error| SettingsError::Io { path, error })
    }

    /// Where to listen, read.
    ///
    /// # Errors
    /// What is no address.
    pub fn addrs(&self) -> Result<Vec<Multiaddr>, String> {
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| format!("{text} is not a multiaddress"))
        };
        self.listen.iter().map(parse).collect()
    }

    /// What this node calls itself: as set, else as the machine is called.
    #[must_use]
    pub fn shown_name(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy().into_owned();
        if host == "(none)" {
            String::new()
        } else {
            host
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_stay_and_what_is_wrong_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(dir.path()).unwrap(), Settings::default());
        let settings = Settings {
            listen: vec!["/ip4/0.0.0.0/tcp/4801".to_owned()],
            name: "anna".to_owned(),
        };
        settings.save(dir.path()).unwrap();
        assert_eq!(Settings::load(dir.path()).unwrap(), settings);
        assert_eq!(settings.shown_name(), "anna");
        for wrong in ["", "{", r#"{"listen": ["nowhere"]}"#, r#"{"listn": []}"#] {
            let path = dir.path().join(SETTINGS_NAME);
            fs::write(&path, wrong).unwrap();
            let error = Settings::load(dir.path()).unwrap_err();
            assert!(
                matches!(error, SettingsError::Damaged { .. }),
                "{wrong}: {error}"
            );
            assert_eq!(fs::read_to_string(path).unwrap(), wrong);
        }
    }
}
