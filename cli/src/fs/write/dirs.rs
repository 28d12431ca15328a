//! Directories below the target, reached from its descriptor only, never through a link.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::fs::error::{Action, WriteError};
use crate::fs::path::{KERNEL_PATH_MAX, check_path, is_at_or_below, join, split_parent};
use crate::fs::stat::{Kind, Stat};

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

    fn of(fd: OwnedFd) -> TargetDir {
        let set_gid = rustix::fs::fstat(&fd).map_or(true, |raw| raw.st_mode & 0o2000 != 0);
        let mut none: [u8; 0] = [];
        let acl = rustix::fs::fgetxattr(&fd, c"system.posix_acl_default", &mut none);
        let no_acl = matches!(acl, Err(Errno::NODATA | Errno::OPNOTSUPP));
        TargetDir {
            fd,
            inherits: set_gid || !no_acl,
        }
    }
}

/// The target's descriptor and the directories opened from it.
#[derive(Debug)]
pub(super) struct Dirs {
    /// `None` only in a dry run with no such directory.
    root: Option<Arc<TargetDir>>,
    open: Mutex<Open>,
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
    /// Opens the target directory itself; here, and only here, links are followed: the person named it.
    pub(super) fn open(dir: &Path, create: bool) -> Result<Dirs, std::io::Error> {
        if create {
            std::fs::create_dir_all(dir)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match rustix::fs::open(dir, flags, Mode::empty()) {
            Ok(fd) => Some(Arc::new(TargetDir::of(fd))),
            Err(Errno::NOENT) if !create => None,
            Err(errno) => return Err(errno.into()),
        };
        Ok(Dirs {
            root,
            open: Mutex::default(),
        })
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
        let dir = match open_beneath(&base.fd, rest) {
            Some(fd) => Arc::new(TargetDir::of(fd)),
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
            let opened = match open_one(&at.fd, name) {
                Err(Errno::NOENT) if create => {
                    make_dir(&at, name)
                        .map_err(|errno| WriteError::io(so_far, Action::Create, errno))?;
                    open_one(&at.fd, name)
                }
                other => other,
            };
            match opened {
                Ok(fd) => at = Arc::new(TargetDir::of(fd)),
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

/// Removes a file, or a directory with all that is in it, following no link and holding one directory open.
pub(super) fn remove_tree(parent: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), WriteError> {
    struct Level {
        path: Vec<u8>,
        identity: (u64, u64),
        left: Vec<Vec<u8>>,
    }
    let fail = |path: &[u8], errno: Errno| WriteError::io(path, Action::Remove, errno);
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return other.map_err(|errno| fail(path, errno)),
    }
    let mut levels: Vec<Level> = Vec::new();
    let mut here = open_one(parent, name).map_err(|errno| fail(path, errno))?;
    let mut here_path = path.to_vec();
    loop {
        let raw = rustix::fs::fstat(&here).map_err(|errno| fail(&here_path, errno))?;
        let left = empty_of_files(&here).map_err(|errno| fail(&here_path, errno))?;
        levels.push(Level {
            path: here_path.clone(),
            identity: (raw.st_dev, raw.st_ino),
            left,
        });
        // Up over all directories that are empty by now, then down into the next.
        loop {
            let Some(level) = levels.last_mut() else {
                return Ok(());
            };
            if let Some(next) = level.left.pop() {
                here_path = join(&level.path, &next);
                here = open_one(&here, &next).map_err(|errno| fail(&here_path, errno))?;
                break;
            }
            let empty = levels.pop().map(|level| level.path).unwrap_or_default();
            let Some(above) = levels.last() else {
                let removed = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
                return removed.map_err(|errno| fail(&empty, errno));
            };
            here = open_parent(&here, above.identity).map_err(|errno| fail(&empty, errno))?;
            let removed = rustix::fs::unlinkat(&here, split_parent(&empty).1, AtFlags::REMOVEDIR);
            removed.map_err(|errno| fail(&empty, errno))?;
        }
    }
}

/// The directory above, if it is still the one we came from.
fn open_parent(dir: &OwnedFd, identity: (u64, u64)) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(dir, c"..", flags, Mode::empty())?;
    let raw = rustix::fs::fstat(&parent)?;
    if (raw.st_dev, raw.st_ino) == identity {
        Ok(parent)
    } else {
        Err(Errno::STALE)
    }
}

/// Removes everything but directories and returns their names.
fn empty_of_files(dir: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut dirs = Vec::new();
    for name in names_in(dir)? {
        let raw = rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if Stat::of(&raw).kind == Kind::Dir {
            dirs.push(name);
        } else {
            rustix::fs::unlinkat(dir, &name, AtFlags::empty())?;
        }
    }
    Ok(dirs)
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
