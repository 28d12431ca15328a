//! Removing what the snapshot does not have, but would have if it had been there.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::Target;
use super::dirs::{Identity, names_in, open_one, open_parent};
use crate::fs::error::{Action, WriteError};
use crate::fs::home_mark::{HomeMark, home_mark};
use crate::fs::path::{is_at_or_below, join, split_parent};
use crate::fs::stat::{Kind, Stat};

/// Kept paths that are told one by one.
const KEPT_MAX: usize = 4096;
/// Removed paths that are told one by one; all of them in a dry run.
const REMOVED_MAX: usize = 4096;
/// File that marks a cache.
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";

/// Why something is left that the snapshot does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is not in what was saved, or not in what was asked for.
    Outside,
    /// The backup was told to leave it out.
    LeftOut,
    /// The backup could not save it.
    NotSaved,
    /// It is on another file system.
    OtherFileSystem,
    /// It is of the home of a node.
    Home,
}

/// A directory of the snapshot, as it is in the target.
#[derive(Debug)]
pub struct Level<'a> {
    /// Stored path.
    pub path: &'a [u8],
    /// What the snapshot has in it.
    pub names: &'a HashSet<Box<[u8]>>,
    /// Something is mounted here.
    pub is_mount: bool,
    /// Something is mounted here or above, below the root this belongs to.
    pub is_foreign: bool,
}

/// Knows what the snapshot would have held.
pub trait Judge {
    /// Why nothing in a directory of the snapshot may be removed, if so.
    fn keeps_level(&self, level: &Level<'_>) -> Option<Kept>;
    /// Why this must stay although the snapshot does not have it, with all that is in it.
    fn keeps(&self, path: &[u8], stat: &Stat) -> Option<Kept>;
    /// Whether what is in marked folders was not saved.
    fn leaves_caches(&self) -> bool;
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Swept {
    /// Stored paths that were (in a dry run: would be) removed, what is in a folder before the folder.
    pub removed: Vec<Vec<u8>>,
    /// How many.
    pub removed_count: u64,
    /// What was left, and why; nothing that is merely outside.
    pub kept: Vec<(Vec<u8>, Kept)>,
    /// How many.
    pub kept_count: u64,
    /// What the system did not let be removed.
    pub errors: Vec<WriteError>,
}

impl Swept {
    /// Takes over what came of another.
    pub fn add(&mut self, other: Swept) {
        self.removed.extend(other.removed);
        self.removed_count = self.removed_count.saturating_add(other.removed_count);
        self.kept.extend(other.kept);
        self.kept_count = self.kept_count.saturating_add(other.kept_count);
        self.errors.extend(other.errors);
    }

    fn kept(&mut self, path: &[u8], why: Kept) {
        if why == Kept::Outside {
            return;
        }
        self.kept_count = self.kept_count.saturating_add(1);
        if self.kept.len() < KEPT_MAX {
            self.kept.push((path.to_vec(), why));
        }
    }

    fn removed(&mut self, path: &[u8], is_dry: bool) {
        self.removed_count = self.removed_count.saturating_add(1);
        if is_dry || self.removed.len() < REMOVED_MAX {
            self.removed.push(path.to_vec());
        }
    }
}

/// `--delete`: removes what is in the target but not in the snapshot. It is told every path of the snapshot in
/// order ([`crate::fs::path_cmp`]); what is not told, in a directory of the snapshot, goes if the judge does not
/// want it kept. What is in the home of a node stays, and no other file system is gone into.
pub struct Pruner<'j> {
    judge: &'j dyn Judge,
    roots: Vec<Vec<u8>>,
    levels: Vec<Own>,
    swept: Swept,
}

/// A directory of the snapshot and the names seen in it.
#[derive(Debug)]
struct Own {
    path: Vec<u8>,
    names: HashSet<Box<[u8]>>,
    mount: Option<Mount>,
    is_mount: bool,
    is_foreign: bool,
}

/// What tells one mounted file system from another, also where one is mounted twice.
type Mount = (u64, u64);

fn mount_of(fd: &OwnedFd) -> Option<Mount> {
    let device = rustix::fs::fstat(fd).ok()?.st_dev;
    let found = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
    Some((device, found.map_or(0, |found| found.stx_mnt_id)))
}

impl<'j> Pruner<'j> {
    /// `roots` are the saved roots, as stored paths.
    #[must_use]
    pub fn new(judge: &'j dyn Judge, roots: &[Vec<u8>]) -> Pruner<'j> {
        Pruner {
            judge,
            roots: roots.to_vec(),
            levels: Vec::new(),
            swept: Swept::default(),
        }
    }

    /// The next path of the snapshot.
    pub fn visit(&mut self, target: &Target, path: &[u8], is_dir: bool) {
        if self.levels.is_empty() {
            self.enter(target, Vec::new());
        }
        while let Some(level) = self.levels.last() {
            if is_at_or_below(path, &level.path) {
                break;
            }
            self.leave(target);
        }
        if let Some(level) = self.levels.last_mut() {
            // What leads to a path belongs here even if the snapshot does not say so.
            let rest = path.get(level.path.len()..).unwrap_or_default();
            let mut names = rest.split(|&b| b == b'/').filter(|name| !name.is_empty());
            if let Some(name) = names.next() {
                level.names.insert(name.into());
            }
        }
        if is_dir {
            self.enter(target, path.to_vec());
        }
    }

    fn enter(&mut self, target: &Target, path: Vec<u8>) {
        let is_root = self.roots.contains(&path);
        let mount = target.dirs.find(&path).ok().flatten();
        let mount = mount.and_then(|dir| mount_of(&dir.fd));
        let (before, foreign) = match self.levels.last() {
            Some(above) => (above.mount, above.is_foreign),
            None => (mount, false),
        };
        let is_mount = mount != before;
        self.levels.push(Own {
            path,
            names: HashSet::new(),
            mount,
            is_mount,
            is_foreign: !is_root && (foreign || is_mount),
        });
    }

    /// What came of it so far; nothing more is removed.
    #[must_use]
    pub fn stop(self) -> Swept {
        self.swept
    }

    /// After the last path.
    #[must_use]
    pub fn finish(mut self, target: &Target) -> Swept {
        while !self.levels.is_empty() {
            self.leave(target);
        }
        self.swept
    }

    /// The directory on top is complete: removes what was not named.
    fn leave(&mut self, target: &Target) {
        let Some(own) = self.levels.pop() else {
            return;
        };
        let level = Level {
            path: &own.path,
            names: &own.names,
            is_mount: own.is_mount,
            is_foreign: own.is_foreign,
        };
        let kept = self.judge.keeps_level(&level);
        if kept == Some(Kept::Outside) {
            return;
        }
        let dir = match target.dirs.find(&own.path) {
            Ok(Some(dir)) => dir,
            // Not made, for a reason that was reported when it was to be made.
            Ok(None) | Err(WriteError::NotADirectory { .. } | WriteError::Home { .. }) => return,
            Err(error) => return self.swept.errors.push(error),
        };
        let names = match names_in(&dir.fd) {
            Ok(names) => names,
            Err(errno) => {
                let error = WriteError::io(&own.path, Action::ListDir, errno);
                return self.swept.errors.push(error);
            }
        };
        let mut others: Vec<_> = names
            .into_iter()
            .filter(|name| !own.names.contains(name.as_slice()))
            .collect();
        others.sort_unstable();
        let Some(last) = others.last() else { return };
        if let Some(why) = kept {
            let path = if others.len() == 1 {
                join(&own.path, last)
            } else {
                own.path
            };
            return self.swept.kept(&path, why);
        }
        let mut sweep = Sweep {
            target,
            judge: self.judge,
            swept: &mut self.swept,
        };
        sweep.some_of(&dir.fd, &own.path, others);
    }
}

/// Removes what is at `path` and must not stay. Whether all of it is gone.
pub(super) fn sweep(
    target: &Target,
    judge: &dyn Judge,
    dir: &OwnedFd,
    path: &[u8],
    swept: &mut Swept,
) -> bool {
    let (above, name) = split_parent(path);
    let mut sweep = Sweep {
        target,
        judge,
        swept,
    };
    sweep.some_of(dir, above, vec![name.to_vec()])
}

struct Sweep<'s> {
    target: &'s Target,
    judge: &'s dyn Judge,
    swept: &'s mut Swept,
}

/// A directory that is being emptied.
struct Emptying {
    /// Length of its path.
    len: usize,
    identity: Identity,
    mount: Option<Mount>,
    /// Directories in it that are still to be looked into.
    left: Vec<Vec<u8>>,
    /// Something in it stays.
    stays: bool,
}

impl Sweep<'_> {
    /// Of a directory, what has these names. Whether all of it is gone. Holds one directory open beside
    /// `dir`, whatever the depth.
    fn some_of(&mut self, dir: &OwnedFd, path: &[u8], names: Vec<Vec<u8>>) -> bool {
        let mut path = path.to_vec();
        let Some(first) = self.look(dir, &path, names) else {
            return false;
        };
        let mut levels = vec![first];
        let mut here: Option<OwnedFd> = None;
        while let Some(level) = levels.last_mut() {
            path.truncate(level.len);
            if let Some(name) = level.left.pop() {
                path = join(&path, &name);
                let at = here.as_ref().unwrap_or(dir);
                match self.go_into(at, &path, level.mount) {
                    Some((fd, next)) => {
                        here = Some(fd);
                        levels.push(next);
                    }
                    None => level.stays = true,
                }
                continue;
            }
            let stays = level.stays;
            let depth = levels.len();
            levels.pop();
            let Some(above) = levels.last_mut() else {
                return !stays;
            };
            here = match &here {
                Some(below) if depth > 2 => match open_parent(below, above.identity) {
                    Ok(parent) => Some(parent),
                    Err(errno) => {
                        self.fail(&path, Action::Remove, errno);
                        return false;
                    }
                },
                _ => None,
            };
            let at = here.as_ref().unwrap_or(dir);
            above.stays |= stays || !self.unlink(at, &path, AtFlags::REMOVEDIR);
        }
        false
    }

    /// Removes the files among these names that may go, and says which directories are to be looked into.
    fn look(&mut self, dir: &OwnedFd, path: &[u8], names: Vec<Vec<u8>>) -> Option<Emptying> {
        let raw = match rustix::fs::fstat(dir) {
            Ok(raw) => raw,
            Err(errno) => {
                self.fail(path, Action::Stat, errno);
                return None;
            }
        };
        let mut level = Emptying {
            len: path.len(),
            identity: Identity::of(&raw),
            mount: mount_of(dir),
            left: Vec::new(),
            stays: false,
        };
        let mark = home_mark(dir, |_| true);
        for name in names {
            let own = join(path, &name);
            let stat = match rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(raw) => Stat::of(&raw),
                Err(Errno::NOENT) => continue,
                Err(errno) => {
                    level.stays = true;
                    self.fail(&own, Action::Stat, errno);
                    continue;
                }
            };
            let why = match self.judge.keeps(&own, &stat) {
                None if mark.covers(&name) => Some(Kept::Home),
                why => why,
            };
            if let Some(why) = why {
                level.stays = true;
                self.swept.kept(&own, why);
            } else if stat.kind == Kind::Dir {
                level.left.push(name);
            } else {
                level.stays |= !self.unlink(dir, &own, AtFlags::empty());
            }
        }
        Some(level)
    }

    /// Opens the directory at `path`, which is in `at`, and looks at what is in it. `None`: it stays.
    fn go_into(
        &mut self,
        at: &OwnedFd,
        path: &[u8],
        mount: Option<Mount>,
    ) -> Option<(OwnedFd, Emptying)> {
        let opened = open_one(at, split_parent(path).1).and_then(|fd| {
            let mut names = names_in(&fd)?;
            names.sort_unstable();
            Ok((fd, names))
        });
        let (fd, names) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.fail(path, Action::OpenDir, errno);
                return None;
            }
        };
        let is_cache = self.judge.leaves_caches() && names.iter().any(|name| name == CACHE_TAG);
        let why = if mount_of(&fd) != mount {
            Kept::OtherFileSystem
        } else if home_mark(&fd, |_| true) == HomeMark::Whole {
            Kept::Home
        } else if is_cache {
            Kept::LeftOut
        } else {
            let level = self.look(&fd, path, names)?;
            return Some((fd, level));
        };
        self.swept.kept(path, why);
        None
    }

    /// Whether what is at `path`, which is in `at`, is gone (in a dry run: would be).
    fn unlink(&mut self, at: &OwnedFd, path: &[u8], flags: AtFlags) -> bool {
        if !self.target.options().dry_run {
            if flags == AtFlags::REMOVEDIR {
                self.target.dirs.forget(path);
            }
            match rustix::fs::unlinkat(at, split_parent(path).1, flags) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    self.fail(path, Action::Remove, errno);
                    return false;
                }
            }
        }
        self.swept.removed(path, self.target.options().dry_run);
        true
    }

    fn fail(&mut self, path: &[u8], action: Action, errno: Errno) {
        self.swept.errors.push(WriteError::io(path, action, errno));
    }
}
