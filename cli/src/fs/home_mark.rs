//! Recognising the home of a node, any node's, by what is in it and not by where it is.
//!
//! A backup leaves homes out (a store would grow by itself with every run, and keys have no business
//! in there); a restore writes nothing into one and removes nothing from one. A home may be that of
//! another node, of another user, behind a link, or moved: so the folder itself is asked, by an open
//! descriptor. docs/cli.md, "Homes", says what is in one.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::stat::{Kind, Stat};

/// The node's folder in a home.
const NODE: &[u8] = b"node";
/// The cache beside it.
const CACHE: &[u8] = b"cache";
/// What the owner gave to the device, beside it or alone.
const CONFIG: &[u8] = b"config";

/// Files that only a home has, and what is in their first bytes.
const SIGNS: [(&[u8], &[u8]); 2] = [(b"identity.key", b"PNBNODE"), (b"device.bundle", b"PNBDEV")];
/// A node's folder whose key is gone is still one: its lock and its store.
const LOCK: &[u8] = b"node.lock";
const STORE: &[u8] = b"db";

/// How much of a file is looked at.
const LOOK: usize = 64;
/// Folders above that are looked at; deeper than any path a person names.
const LEVELS_MAX: usize = 4096;

/// What of a folder belongs to the home of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HomeMark {
    /// Nothing.
    None,
    /// All that is in it: it is a node's folder, or holds what the owner gave to a device.
    Whole,
    /// What has one of these names.
    Names(Vec<&'static [u8]>),
}

impl HomeMark {
    /// Whether what has this name in the folder belongs to a home.
    #[must_use]
    pub fn covers(&self, name: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::Whole => true,
            Self::Names(names) => names.contains(&name),
        }
    }
}

/// What of an open folder belongs to the home of a node. `has` says whether there may be something of
/// this name in it: whoever has listed it already saves calls to the system by answering exactly,
/// anybody else says yes.
#[must_use]
pub fn home_mark(dir: impl AsFd, has: impl Fn(&[u8]) -> bool) -> HomeMark {
    let dir = dir.as_fd();
    if is_part(dir, &has) {
        return HomeMark::Whole;
    }
    let inside = |name: &[u8]| {
        has(name) && open_dir(dir, name).is_ok_and(|below| is_part(below.as_fd(), &|_| true))
    };
    let mut names = Vec::new();
    if inside(NODE) {
        // A cache has no mark of its own; beside a node's folder it is the node's.
        names.extend([NODE, CACHE]);
    }
    if inside(CONFIG) {
        names.push(CONFIG);
    }
    if names.is_empty() {
        HomeMark::None
    } else {
        HomeMark::Names(names)
    }
}

/// Whether an open folder is in the home of a node, or in a folder that is, and so on up to the top.
///
/// # Errors
/// When a folder above cannot be gone to.
pub fn is_in_home(dir: impl AsFd) -> Result<bool, Errno> {
    let mut here = dir.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
    if home_mark(&here, |_| true) == HomeMark::Whole {
        return Ok(true);
    }
    for _ in 0..LEVELS_MAX {
        let own = Stat::of(&rustix::fs::fstat(&here)?);
        let above = open_dir(here.as_fd(), b"..")?;
        if Stat::of(&rustix::fs::fstat(&above)?).same_file_as(&own) {
            return Ok(false);
        }
        // By what it is, not by its name: the descriptor may have come here through a link.
        let is_own = |name: &&[u8]| {
            rustix::fs::statat(&above, *name, AtFlags::empty())
                .is_ok_and(|raw| Stat::of(&raw).same_file_as(&own))
        };
        match home_mark(&above, |_| true) {
            HomeMark::Whole => return Ok(true),
            HomeMark::Names(names) if names.iter().any(is_own) => return Ok(true),
            _ => here = above,
        }
    }
    Err(Errno::NAMETOOLONG)
}

/// Whether a folder is a node's, or a device's.
fn is_part(dir: std::os::fd::BorrowedFd<'_>, has: &dyn Fn(&[u8]) -> bool) -> bool {
    let signed = |(name, start): (&[u8], &[u8])| has(name) && starts_with(dir, name, start);
    let is_store = || {
        has(LOCK) && has(STORE) && is_kind(dir, LOCK, Kind::File) && is_kind(dir, STORE, Kind::Dir)
    };
    SIGNS.into_iter().any(signed) || is_store()
}

fn is_kind(dir: std::os::fd::BorrowedFd<'_>, name: &[u8], kind: Kind) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
        .is_ok_and(|raw| Stat::of(&raw).kind == kind)
}

/// Whether a regular file has a mark in its first bytes. One that must not be read counts: whoever
/// keeps a file of this name closed has a reason.
fn starts_with(dir: std::os::fd::BorrowedFd<'_>, name: &[u8], mark: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, name, flags | OFlags::NOCTTY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::ACCESS) => return is_kind(dir, name, Kind::File),
        Err(_) => return false,
    };
    let is_file = rustix::fs::fstat(&file).is_ok_and(|raw| Stat::of(&raw).kind == Kind::File);
    let mut start = [0_u8; LOOK];
    let read = match rustix::io::pread(&file, &mut start, 0) {
        Ok(read) if is_file => read,
        _ => return false,
    };
    let start = start.get(..read).unwrap_or_default();
    start.windows(mark.len()).any(|window| window == mark)
}

/// Opens a folder to look into, links followed: a node's folder may be on another disk.
fn open_dir(dir: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn mark(dir: &Path) -> HomeMark {
        home_mark(File::open(dir).unwrap(), |_| true)
    }

    fn in_home(dir: &Path) -> bool {
        is_in_home(File::open(dir).unwrap()).unwrap()
    }

    /// A home as `--home` lays it out.
    fn home(dir: &Path) {
        for part in ["node/db/objects", "cache", "config"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        fs::write(dir.join("node/identity.key"), b"PNBNODE1 and a seed").unwrap();
        fs::write(dir.join("config/device.bundle"), b"\xab\x01gPNBDEV1\x02").unwrap();
    }

    #[test]
    fn a_home_is_known_by_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("any name");
        home(&here);
        let parts = HomeMark::Names(vec![NODE, CACHE, CONFIG]);
        assert_eq!(mark(&here), parts);
        assert!(parts.covers(b"cache") && !parts.covers(b"owner.key"));
        assert_eq!(mark(&here.join("node")), HomeMark::Whole);
        assert_eq!(mark(&here.join("config")), HomeMark::Whole);
        // As seen by somebody who has listed the folder.
        let folder = File::open(&here).unwrap();
        assert_eq!(
            home_mark(&folder, |name| name == NODE),
            HomeMark::Names(vec![NODE, CACHE])
        );
        assert_eq!(home_mark(&folder, |_| false), HomeMark::None);
        for below in ["node/db/objects", "cache", "config", "node"] {
            assert!(in_home(&here.join(below)), "{below}");
        }
        assert!(!in_home(&here) && !in_home(dir.path()));
    }

    #[test]
    fn a_node_without_its_key_and_one_behind_a_link_are_homes_too() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("big disk");
        fs::create_dir_all(real.join("db")).unwrap();
        fs::write(real.join("node.lock"), b"").unwrap();
        let home = dir.path().join("home");
        fs::create_dir_all(home.join("cache")).unwrap();
        symlink(&real, home.join("node")).unwrap();
        assert_eq!(mark(&real), HomeMark::Whole);
        assert_eq!(mark(&home), HomeMark::Names(vec![NODE, CACHE]));
        assert!(in_home(&home.join("cache")) && in_home(&real.join("db")));
    }

    #[test]
    fn what_only_has_such_names_is_no_home() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["node", "config", "cache"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("node/identity.key"), b"a key to something").unwrap();
        fs::write(dir.path().join("node/node.lock"), b"").unwrap();
        fs::create_dir(dir.path().join("config/device.bundle")).unwrap();
        symlink("/nowhere", dir.path().join("config/identity.key")).unwrap();
        for name in ["", "node", "config", "cache"] {
            assert_eq!(mark(&dir.path().join(name)), HomeMark::None, "{name}");
        }
    }

    #[test]
    fn a_pipe_of_such_a_name_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let here = File::open(dir.path()).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(&here, "identity.key", kind, Mode::RWXU, 0).unwrap();
        assert_eq!(mark(dir.path()), HomeMark::None);
    }
}
