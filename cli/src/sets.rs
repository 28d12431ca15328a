//! Backup sets by their names: hosts and this machine's node know them by a blind id only.
//!
//! A device notes the names of its own sets in its home, beside the bundle. Where the owner key is at
//! hand the names come from the roots, which say them whoever made the backup.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use packnback_proto::crypto::keys::{SetName, set_id};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::root::Root;
use packnback_proto::ids::{NodeId, SetId};
use packnback_proto::newest::Line;
use serde_json::{Value, json};

use crate::args::stored;
use crate::bundle::Bundle;
use crate::exit::{Failure, Outcome};
use crate::files::{Existing, read_small, write_private};
use crate::home::Home;
use crate::records::Snapshot;
use crate::render;

const FILE: &str = "backup-sets";
const FILE_MAX: u64 = 1 << 20;
/// Names noted; the oldest make room.
const NOTED_MAX: usize = 1024;
/// Digits by which a set without a name is shown and named.
const DIGITS: usize = 8;

/// What the sets of a home are called, as far as it is known here.
#[derive(Default)]
pub struct Sets {
    names: BTreeMap<SetId, String>,
    key: Option<Secret32>,
}

impl Sets {
    /// The names noted in a home. A note that cannot be read is no obstacle: it is for people.
    #[must_use]
    pub fn of(home: &Home, bundle: Option<&Bundle>) -> Self {
        let noted = noted(home);
        Self {
            names: noted.into_iter().collect(),
            key: bundle.map(|bundle| bundle.keys.device.set_key.duplicate()),
        }
    }

    /// Learns the name of a set from a root of it.
    pub fn learn(&mut self, set: SetId, root: &Root) {
        let name = (!root.set.is_empty()).then_some(root.set.as_str());
        self.names.insert(set, label(name, &root.paths));
    }

    /// What a set is called, or the first digits of its id.
    #[must_use]
    pub fn show(&self, set: &SetId) -> String {
        let name = self.names.get(set);
        name.map_or_else(|| digits(set), |name| render::path(name.as_bytes()))
    }

    /// The name of a set, if it is known.
    #[must_use]
    pub fn name(&self, set: &SetId) -> Option<&str> {
        self.names.get(set).map(String::as_str)
    }

    /// Finds the set that a person means among those there are: by its name, by one of the paths it
    /// saves, or by the first digits of its id.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn find(&self, text: &str, present: &BTreeSet<SetId>) -> Outcome<SetId> {
        let given = self
            .key
            .as_ref()
            .map(|key| set_id(key, SetName::Given(text)));
        let path = stored(text.as_bytes()).unwrap_or_default();
        let rooted = [path];
        let rooted = self
            .key
            .as_ref()
            .map(|key| set_id(key, SetName::Roots(&rooted)));
        let exact = present
            .iter()
            .find(|set| Some(**set) == given || self.name(set) == Some(text));
        if let Some(set) = exact.or_else(|| present.iter().find(|set| Some(**set) == rooted)) {
            return Ok(*set);
        }
        let lower = text.to_ascii_lowercase();
        let begins = |set: &&SetId| {
            (lower.len() >= 4 && set.to_string().starts_with(&lower))
                || self.name(set).is_some_and(|name| saves(name, text))
        };
        let found: Vec<&SetId> = present.iter().filter(begins).collect();
        match found.as_slice() {
            [one] => Ok(**one),
            [] => Err(Failure::failed(
                "no-set",
                format!("there is no backup set {}", render::path(text.as_bytes())),
            )
            .safe("Nothing was changed.")
            .next(format!("There are: {}.", self.list(present)))),
            _ => Err(Failure::usage(format!(
                "several backup sets are called or begin like {}",
                render::path(text.as_bytes())
            ))
            .safe("Nothing was changed.")
            .next(
                "Say the whole name, or more digits of the id (packnback snapshots shows both).",
            )),
        }
    }

    /// The sets, for people.
    #[must_use]
    pub fn list(&self, present: &BTreeSet<SetId>) -> String {
        let names: Vec<String> = present.iter().map(|set| self.show(set)).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join("; ")
        }
    }

    /// The set that is meant, if one was named, among the sets of these snapshots.
    ///
    /// # Errors
    /// As [`Sets::find`].
    pub fn pick<S: Snapshot>(
        &self,
        named: Option<&str>,
        snaps: &[S],
        device: Option<NodeId>,
    ) -> Outcome<Option<SetId>> {
        let Some(text) = named else { return Ok(None) };
        let own = present(snaps, device);
        // Of this machine first; a machine that made none looks at those of all.
        let all = if own.is_empty() {
            present(snaps, None)
        } else {
            own
        };
        self.find(text, &all).map(Some)
    }

    /// What a person has to know who took the newest of a device that has several sets: that there
    /// are others, and how to get them.
    #[must_use]
    pub fn others<S: Snapshot>(&self, snaps: &[S], chosen: &S) -> Option<String> {
        let line = Line::of(chosen.snap());
        let others = present(snaps, Some(line.device));
        let others: BTreeSet<SetId> = others.into_iter().filter(|set| *set != line.set).collect();
        (!others.is_empty()).then(|| {
            format!(
                "this is the newest of backup set {}. The machine has other sets, each with a newest of its own: {}. Choose one with --set NAME",
                self.show(&line.set),
                self.list(&others)
            )
        })
    }
}

/// The sets there are, of a device or of all.
#[must_use]
pub fn present<S: Snapshot>(snaps: &[S], device: Option<NodeId>) -> BTreeSet<SetId> {
    let of_device = snaps
        .iter()
        .filter(|snap| device.is_none_or(|device| snap.snap().device == device));
    of_device.map(|snap| snap.snap().set).collect()
}

/// Those of a set, or all.
#[must_use]
pub fn of_set<S: Snapshot + Clone>(snaps: Vec<S>, set: Option<SetId>) -> Vec<S> {
    let Some(set) = set else { return snaps };
    snaps
        .into_iter()
        .filter(|snap| snap.snap().set == set)
        .collect()
}

/// What a set is called: by a person, or by what it saves.
#[must_use]
pub fn label(name: Option<&str>, paths: &[Vec<u8>]) -> String {
    if let Some(name) = name {
        return name.to_owned();
    }
    let paths: Vec<String> = paths
        .iter()
        .map(|path| format!("/{}", String::from_utf8_lossy(path)))
        .collect();
    paths.join(", ")
}

/// Whether a set that is called by its paths saves this one.
fn saves(name: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    !path.is_empty() && name.split(", ").any(|saved| saved == path)
}

fn digits(set: &SetId) -> String {
    let mut digits = set.to_string();
    digits.truncate(DIGITS);
    digits
}

fn noted(home: &Home) -> Vec<(SetId, String)> {
    let bytes = read_small(&home.config_dir().join(FILE), FILE_MAX).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines()
        .filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let set = line.get("id")?.as_str()?.parse().ok()?;
            Some((set, line.get("name")?.as_str()?.to_owned()))
        })
        .collect()
}

/// Notes what a set is called, for the commands that have no key.
///
/// # Errors
/// When it cannot be written.
pub fn note(home: &Home, set: SetId, name: &str) -> io::Result<()> {
    let mut all = noted(home);
    if all
        .iter()
        .any(|(known, noted)| *known == set && noted == name)
    {
        return Ok(());
    }
    all.retain(|(known, _)| *known != set);
    all.push((set, name.to_owned()));
    let skip = all.len().saturating_sub(NOTED_MAX);
    let lines = all.iter().skip(skip).map(|(set, name)| {
        let line = json!({ "id": set.to_string(), "name": name });
        format!("{line}\n")
    });
    let text: String = lines.collect();
    write_private(
        &home.config_dir().join(FILE),
        text.as_bytes(),
        Existing::Replace,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(n: u8) -> SetId {
        SetId([n; 16])
    }

    #[test]
    fn names_are_noted_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path()).unwrap();
        home.create().unwrap();
        note(&home, set(1), "photos").unwrap();
        note(&home, set(2), "/home/ada, /etc").unwrap();
        note(&home, set(1), "pictures").unwrap();
        let sets = Sets::of(&home, None);
        let all = BTreeSet::from([set(1), set(2), set(3)]);
        assert_eq!(sets.find("pictures", &all).unwrap(), set(1));
        assert_eq!(sets.find("/etc/", &all).unwrap(), set(2));
        assert_eq!(sets.find("0303", &all).unwrap(), set(3));
        assert_eq!(sets.show(&set(3)), "03030303");
        for unknown in ["photos", "/et", "030", ""] {
            assert!(sets.find(unknown, &all).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_device_finds_its_sets_without_a_note() {
        let key = Secret32::new([7; 32]);
        let paths = [b"home/ada".to_vec()];
        let (named, rooted) = (
            set_id(&key, SetName::Given("photos")),
            set_id(&key, SetName::Roots(&paths)),
        );
        let sets = Sets {
            key: Some(key),
            ..Sets::default()
        };
        let all = BTreeSet::from([named, rooted]);
        assert_eq!(sets.find("photos", &all).unwrap(), named);
        assert_eq!(sets.find("/home/ada", &all).unwrap(), rooted);
    }
}
