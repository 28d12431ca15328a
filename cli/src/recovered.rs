//! Whose backups were brought back into this home, and which there were: so that going on here goes on
//! as that owner, and the machine that is gone stays in the lists.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::newest::Line;
use packnback_proto::wire::ids::{push_record, split_records};

use crate::exit::{Failure, Outcome};
use crate::files::{Existing, read_small, write_private};
use crate::home::Home;
use crate::records::LoadedSnapshot;

const FILE: &str = "recovered-owner";
const LEN_MAX: u64 = 64 * 1024;
const RECORDS: &str = "recovered-records";
const RECORDS_MAX: usize = 64 * 1024 * 1024;

/// Keeps the records friends listed. They are signed and hold no secret; what does not fit is left out.
///
/// # Errors
/// When they cannot be written.
pub fn keep_records(home: &Home, envelopes: &[Vec<u8>]) -> Outcome<()> {
    // The node of a blank machine may have been started by itself: then there is no such folder yet.
    home.create()?;
    let path = home.config_dir().join(RECORDS);
    let mut body = Vec::new();
    for envelope in envelopes {
        if body.len().saturating_add(envelope.len()) > RECORDS_MAX {
            break;
        }
        let whole = body.len();
        if push_record(&mut body, envelope).is_err() {
            body.truncate(whole);
        }
    }
    write_private(&path, &body, Existing::Replace)
        .map_err(|e| Failure::file("keep the list of snapshots in", &path, &e))
}

/// The records kept; empty if there are none, or they are no longer readable. Unchecked.
#[must_use]
pub fn kept_records(home: &Home) -> Vec<Vec<u8>> {
    let most = u64::try_from(RECORDS_MAX)
        .unwrap_or(u64::MAX)
        .saturating_mul(2);
    let Ok(body) = read_small(&home.config_dir().join(RECORDS), most) else {
        return Vec::new();
    };
    let envelopes = split_records(&body).unwrap_or_default();
    envelopes.into_iter().map(<[u8]>::to_vec).collect()
}

/// Notes that something of this owner was asked for with its key, and which hosts were asked.
///
/// # Errors
/// When it cannot be written.
pub fn note_owner(home: &Home, owner: OwnerId, hosts: &[NodeId]) -> Outcome<()> {
    home.create()?;
    let path = home.config_dir().join(FILE);
    let mut text = format!("{owner}\n");
    for host in hosts {
        text.push_str(&format!("{host}\n"));
    }
    write_private(&path, text.as_bytes(), Existing::Replace)
        .map_err(|e| Failure::file("note the owner in", &path, &e))
}

fn noted(home: &Home) -> Option<String> {
    let bytes = read_small(&home.config_dir().join(FILE), LEN_MAX).ok()?;
    String::from_utf8(bytes).ok()
}

/// The owner noted; `None` if there is none, or the note is no longer readable.
#[must_use]
pub fn noted_owner(home: &Home) -> Option<OwnerId> {
    noted(home)?.lines().next()?.parse().ok()
}

/// The hosts that were asked then: their word counts for what they listed.
#[must_use]
pub fn noted_hosts(home: &Home) -> Vec<NodeId> {
    let text = noted(home).unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| line.parse().ok())
        .collect()
}

const FOLDERS: &str = "recovered-folders";

/// Which line of backups was brought back where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders(Vec<Went>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Went {
    line: String,
    target: PathBuf,
    folder: PathBuf,
}

fn line_text(line: Line) -> String {
    format!("{}-{}", line.device, line.set)
}

fn path_text(path: &Path) -> String {
    data_encoding::HEXLOWER.encode(path.as_os_str().as_bytes())
}

fn path_of(text: &str) -> Option<PathBuf> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

impl Folders {
    /// Those noted in a home; none if the note is not readable.
    #[must_use]
    pub fn read(home: &Home) -> Self {
        let bytes = read_small(&home.config_dir().join(FOLDERS), LEN_MAX).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let went = text.lines().filter_map(|line| {
            let mut fields = line.split(' ');
            Some(Went {
                line: fields.next()?.to_owned(),
                target: path_of(fields.next()?)?,
                folder: path_of(fields.next()?)?,
            })
        });
        Self(went.collect())
    }

    /// Where a line went below this target.
    #[must_use]
    pub fn of(&self, line: Line, target: &Path) -> Option<PathBuf> {
        let line = line_text(line);
        let went = self.0.iter().rev();
        let mut went = went.filter(|went| went.line == line && went.target == target);
        went.next().map(|went| went.folder.clone())
    }

    /// Whether the target itself holds another line.
    #[must_use]
    pub fn is_used_by_another(&self, line: Line, target: &Path) -> bool {
        let line = line_text(line);
        self.0
            .iter()
            .any(|went| went.line != line && went.folder == target)
    }

    /// Adds where a line goes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, home: &Home, line: Line, target: &Path, folder: &Path) -> Outcome<()> {
        let mut all = self.0.clone();
        all.push(Went {
            line: line_text(line),
            target: target.to_owned(),
            folder: folder.to_owned(),
        });
        let mut text = String::new();
        for went in &all {
            let (target, folder) = (path_text(&went.target), path_text(&went.folder));
            text.push_str(&format!("{} {target} {folder}\n", went.line));
        }
        let path = home.config_dir().join(FOLDERS);
        write_private(&path, text.as_bytes(), Existing::Replace)
            .map_err(|e| Failure::file("note the folder in", &path, &e))
    }
}

/// A home into which backups were brought back goes on as their owner: a new key would begin a second
/// owner beside the first, whose history nobody would look at any more.
///
/// # Errors
/// When `owner` (`None`: a new one is to be made) is not the one noted.
pub fn check_goes_on(home: &Home, owner: Option<OwnerId>) -> Outcome<()> {
    let Some(noted) = noted_owner(home).filter(|noted| Some(*noted) != owner) else {
        return Ok(());
    };
    let what = match owner {
        None => "init would make a new owner".to_owned(),
        Some(other) => format!("this key is of owner {}", other.short()),
    };
    Err(Failure::refused(
        "recovered-owner",
        format!(
            "backups of owner {} were recovered into this home, and {what}",
            noted.short()
        ),
    )
    .safe("Nothing was made.")
    .next(format!(
        "To go on as owner {}: packnback init --owner-key FILE (or --words). For another owner use another folder: --home DIR",
        noted.short()
    )))
}

/// A folder for one of several lines: the name of its device as far as it makes one, its id to be
/// unique, and what it saves if the device saves several things.
#[must_use]
pub fn folder_name(snap: &LoadedSnapshot, snaps: &[LoadedSnapshot]) -> PathBuf {
    let label = snap.device_label.clone().unwrap_or_default();
    let clean: String = label
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect();
    let device = snap.snap.device.short();
    let mut name = if clean.is_empty() {
        device
    } else {
        format!("{clean}-{device}")
    };
    let other = |other: &LoadedSnapshot| {
        other.snap.device == snap.snap.device && other.snap.set != snap.snap.set
    };
    if snaps.iter().any(other) {
        let set: String = snap.snap.set.to_string().chars().take(8).collect();
        name.push('-');
        name.push_str(&set);
    }
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_machine_whose_node_was_started_by_itself_can_be_recovered_to() {
        let dir = tempfile::tempdir().unwrap();
        // As the node leaves it: no folder of the owner's gifts.
        std::fs::create_dir_all(dir.path().join("home/node")).unwrap();
        for home in ["home", "none"] {
            let home = Home::below(&dir.path().join(home)).unwrap();
            keep_records(&home, &[vec![1, 2, 3]]).unwrap();
            assert_eq!(kept_records(&home), [vec![1, 2, 3]]);
            note_owner(&home, OwnerId([1; 32]), &[]).unwrap();
            assert_eq!(noted_owner(&home), Some(OwnerId([1; 32])));
        }
    }
}
