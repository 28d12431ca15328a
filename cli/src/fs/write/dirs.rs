//! Directories below the target, reached from its descriptor only, never through a link.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::fs::error::{Action, WriteError};
use crate::fs::home_mark::{HomeMark, home_mark};
use crate::fs::path::{KERNEL_PATH_MAX, check_path, is_at_or_below, split_parent};
use crate::fs::stat::Stat;

/// Directories kept open. Those in use by unfinished files come on top.
const OPEN_DIRS_MAX: usize = 256;

/// What directories are made with until their attributes are set: for us alone.
const PRIVATE_DIR: Mode = Mode::RWXU;

/// An open directory below the target.
#[derive(Debug)]
pub struct TargetDir {
    pub(super) fd: OwnedFd,
    /// Whether new files in it get a group or an ACL from it.
    pub(super) inherits: bool,
    /// What in it is of the home of a node.
    pub(super) mark: HomeMark,
}

impl TargetDir {
    /// A path by which calls without a descriptor argument reach the name in this directory, of bounded length.
    pub(super) fn proc_path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", self.fd.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        path
    }

    /// Attributes of a name in it; `None` if there is none.
    pub(super) fn stat(&self, name: &[u8]) -> Result<Option<Stat>, Errno> {
        match rustix::fs::statat(
            &self.fd,
            name,
            AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT,
        ) {
            Ok(raw) => Ok(Some(Stat::of(&raw))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// `guarded`: something may be in it already.
    pub(super) fn of(fd: OwnedFd, guarded: bool) -> TargetDir {
        let mark = if guarded {
            home_mark(&fd, |_| true)
        } else {
            HomeMark::None
        };
        let set_gid = rustix::fs::fstat(&fd).map_or(true, |raw| raw.st_mode & 0o2000 != 0);
        let mut none: [u8; 0] = [];
        let acl = rustix::fs::fgetxattr(&fd, c"system.posix_acl_default", &mut none);
        let no_acl = matches!(acl, Err(Errno::NODATA | Errno::OPNOTSUPP));
        TargetDir {
            fd,
            inherits: set_gid || !no_acl,
            mark,
        }
    }
}

/// The target's descriptor and the directories opened from it.
#[derive(Debug)]
pub(super) struct Dirs {
    /// `None` only in a dry run with no such directory.
    root: Option<Arc<TargetDir>>,
    open: Mutex<Open>,
    /// Folders on the way to what is restored: used as they are found, links followed within the target.
    passages: Mutex<HashSet<Box<[u8]>>>,
    /// Folders made because something was to be in them, before or without an entry of their own.
    unnamed: Mutex<HashSet<Box<[u8]>>>,
    /// Something was in the target already.
    guarded: bool,
}

#[derive(Debug, Default)]
struct Open {
    by_path: HashMap<Box<[u8]>, (Arc<TargetDir>, u64)>,
    /// Lengths of the paths in there: a deep path has many ancestors, and few are worth a look.
    lengths: HashSet<usize>,
    clock: u64,
}

impl Open {
    fn lookup(&mut self, path: &[u8]) -> Option<Arc<TargetDir>> {
        if !self.lengths.contains(&path.len()) {
            return None;
        }
        self.clock += 1;
        let (dir, used) = self.by_path.get_mut(path)?;
        *used = self.clock;
        Some(Arc::clone(dir))
    }

    fn retain(&mut self, keep: impl Fn(&[u8], u64) -> bool) {
        self.by_path.retain(|path, (_, used)| keep(path, *used));
        self.lengths = self.by_path.keys().map(|path| path.len()).collect();
    }
}

impl Dirs {
    /// Of an open target. `guarded`: something may be in it already, a home of a node for one.
    pub(super) fn of(root: Option<OwnedFd>, guarded: bool) -> Dirs {
        Dirs {
            root: root.map(|fd| Arc::new(TargetDir::of(fd, guarded))),
            open: Mutex::default(),
            passages: Mutex::default(),
            unnamed: Mutex::default(),
            guarded,
        }
    }

    /// From now on, `path` is used as it is found.
    pub(super) fn pass(&self, path: &[u8]) {
        self.passages.lock().insert(path.into());
    }

    /// Opens what is used as it is found, a link followed if it stays within the target.
    pub(super) fn open_passage(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let root = self.root.as_ref().ok_or(Errno::NOENT)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open = |more| rustix::fs::openat2(&root.fd, path, flags | more, Mode::empty(), resolve);
        match open(OFlags::RDONLY) {
            Err(Errno::ACCESS) => open(OFlags::PATH),
            other => other,
        }
    }

    /// Whether something was in it when it was opened.
    pub(super) fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// The target itself.
    pub(super) fn root_fd(&self) -> Option<&OwnedFd> {
        self.root.as_ref().map(|root| &root.fd)
    }

    /// Folders that were made and have no entry of their own.
    pub(super) fn take_unnamed(&self) -> Vec<Box<[u8]>> {
        self.unnamed.lock().drain().collect()
    }

    /// An entry says what this folder is to be.
    pub(super) fn named(&self, path: &[u8]) {
        self.unnamed.lock().remove(path);
    }

    /// The directory at `path` if it is there. Nothing is made.
    pub(super) fn find(&self, path: &[u8]) -> Result<Option<Arc<TargetDir>>, WriteError> {
        match self.get(path, false) {
            Err(WriteError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(dir) => Ok(Some(dir)),
        }
    }

    /// The directory at `path`; with `create`, it and its parents are made if missing.
    pub(super) fn get(&self, path: &[u8], create: bool) -> Result<Arc<TargetDir>, WriteError> {
        let root = self
            .root
            .as_ref()
            .ok_or_else(|| WriteError::io(path, Action::OpenDir, Errno::NOENT))?;
        if path.is_empty() {
            return Ok(Arc::clone(root));
        }
        if let Some(dir) = self.open.lock().lookup(path) {
            return Ok(dir);
        }
        check_path(path).map_err(|reason| WriteError::BadPath {
            path: path.to_vec(),
            reason,
        })?;
        let (base, known) = self.nearest(path).unwrap_or_else(|| (Arc::clone(root), 0));
        let rest = path.get(known..).unwrap_or_default();
        // Where something was before, each folder on the way is looked at.
        let beneath = if self.guarded {
            None
        } else {
            open_beneath(&base.fd, rest)
        };
        let dir = match beneath {
            Some(fd) => Arc::new(TargetDir::of(fd, false)),
            None => self.descend(base, path, known, create)?,
        };
        self.keep(path, &dir);
        Ok(dir)
    }

    /// The nearest open ancestor, and how much of the path it and its slash are.
    fn nearest(&self, path: &[u8]) -> Option<(Arc<TargetDir>, usize)> {
        let mut open = self.open.lock();
        let mut ancestor = split_parent(path).0;
        while !ancestor.is_empty() {
            if let Some(dir) = open.lookup(ancestor) {
                return Some((dir, ancestor.len() + 1));
            }
            ancestor = split_parent(ancestor).0;
        }
        None
    }

    /// From `base`, which is the first `known` bytes of `path`, one name at a time.
    fn descend(
        &self,
        base: Arc<TargetDir>,
        path: &[u8],
        known: usize,
        create: bool,
    ) -> Result<Arc<TargetDir>, WriteError> {
        let mut at = base;
        let mut end = known;
        for (level, name) in path
            .get(known..)
            .unwrap_or_default()
            .split(|&b| b == b'/')
            .enumerate()
        {
            end += name.len();
            let so_far = path.get(..end).unwrap_or(path);
            end += 1;
            if at.mark.covers(name) {
                return Err(WriteError::Home {
                    path: so_far.to_vec(),
                });
            }
            let opened = match open_one(&at.fd, name) {
                Err(Errno::NOENT) if create => {
                    make_dir(&at, name)
                        .map_err(|errno| WriteError::io(so_far, Action::Create, errno))?;
                    self.unnamed.lock().insert(so_far.into());
                    open_one(&at.fd, name)
                }
                Err(Errno::LOOP | Errno::NOTDIR) if self.passages.lock().contains(so_far) => {
                    self.open_passage(so_far)
                }
                other => other,
            };
            match opened {
                Ok(fd) => {
                    at = Arc::new(TargetDir::of(fd, self.guarded));
                    if at.mark == HomeMark::Whole {
                        return Err(WriteError::Home {
                            path: so_far.to_vec(),
                        });
                    }
                }
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(WriteError::NotADirectory {
                        path: so_far.to_vec(),
                    });
                }
                Err(errno) => return Err(WriteError::io(so_far, Action::OpenDir, errno)),
            }
            // Marks on a long way, so that the next one to go there does not start from the top.
            if level % 64 == 63 {
                self.keep(so_far, &at);
            }
        }
        Ok(at)
    }

    /// Forgets a directory that was removed, with all below it.
    pub(super) fn forget(&self, path: &[u8]) {
        self.open.lock().retain(|key, _| !is_at_or_below(key, path));
    }

    /// Closes all but the target.
    pub(super) fn close(&self) {
        self.open.lock().retain(|_, _| false);
    }

    fn keep(&self, path: &[u8], dir: &Arc<TargetDir>) {
        let mut open = self.open.lock();
        if open.by_path.len() >= OPEN_DIRS_MAX {
            // Half of them at once, so that the search for the oldest is paid rarely.
            let mut ages: Vec<u64> = open.by_path.values().map(|&(_, used)| used).collect();
            ages.sort_unstable();
            let middle = ages.get(ages.len() / 2).copied().unwrap_or(u64::MAX);
            open.retain(|_, used| used > middle);
        }
        open.clock += 1;
        let now = open.clock;
        open.lengths.insert(path.len());
        open.by_path.insert(path.into(), (Arc::clone(dir), now));
    }
}

/// Opens several levels at once. `None`: the slow way has to find out why not.
fn open_beneath(base: &OwnedFd, relative: &[u8]) -> Option<OwnedFd> {
    if !relative.contains(&b'/') || relative.len() > KERNEL_PATH_MAX {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(base, relative, flags, Mode::empty(), resolve).ok()
}

/// Opens a directory by one checked name, not following a link.
pub(super) fn open_one(base: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(base, name, flags | OFlags::RDONLY, Mode::empty()) {
        // May be passed through although it may not be listed.
        Err(Errno::ACCESS) => rustix::fs::openat(base, name, flags | OFlags::PATH, Mode::empty()),
        other => other,
    }
}

/// Makes a directory for us alone that inherits nothing. It being there already is fine if another thread made it.
pub(super) fn make_dir(parent: &TargetDir, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::mkdirat(&parent.fd, name, PRIVATE_DIR) {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    if parent.inherits {
        let fd = open_one(&parent.fd, name)?;
        for acl in [c"system.posix_acl_default", c"system.posix_acl_access"] {
            match rustix::fs::fremovexattr(&fd, acl) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno),
            }
        }
        rustix::fs::fchmod(&fd, PRIVATE_DIR)?;
    }
    Ok(())
}

/// Which directory it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl Identity {
    pub(super) fn of(raw: &rustix::fs::Stat) -> Self {
        Self {
            device: raw.st_dev,
            inode: raw.st_ino,
        }
    }
}

/// The directory above, if it is still the one we came from.
pub(super) fn open_parent(dir: &OwnedFd, identity: Identity) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(dir, c"..", flags, Mode::empty())?;
    let raw = rustix::fs::fstat(&parent)?;
    if Identity::of(&raw) == identity {
        Ok(parent)
    } else {
        Err(Errno::STALE)
    }
}

/// All names in a directory but `.` and `..`.
pub(super) fn names_in(dir: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}
