//! A directory of the walk, as a place to open files from: a name and a parent, and a descriptor that
//! may be closed at any time and is opened again when needed.
//!
//! Nothing here ever gives the kernel a path longer than it takes, so the depth of a tree is bounded by
//! memory alone; and at most `capacity` directories are open at any moment, whatever the tree.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::path::KERNEL_PATH_MAX;
use super::stat::Stat;

/// Paths up to this length are kept in the directory. Longer ones are kept only now and then on the way down
/// and put together from there when asked for, so that a deep tree needs little memory.
const KEPT_PATH_MAX: usize = 1024;

/// Closes the directories that were opened longest ago, so that descriptors never run out.
#[derive(Debug)]
pub struct FdCache {
    capacity: usize,
    open: Mutex<VecDeque<Weak<Dir>>>,
}

impl FdCache {
    /// At most `capacity` open directories.
    #[must_use]
    pub fn new(capacity: usize) -> Arc<FdCache> {
        Arc::new(FdCache {
            capacity: capacity.max(4),
            open: Mutex::new(VecDeque::new()),
        })
    }

    fn remember(&self, dir: &Arc<Dir>) {
        let evicted = {
            let mut open = self.open.lock();
            open.push_back(Arc::downgrade(dir));
            if open.len() > self.capacity {
                open.pop_front()
            } else {
                None
            }
        };
        if let Some(old) = evicted.and_then(|weak| weak.upgrade())
            && !Arc::ptr_eq(&old, dir)
        {
            old.state.lock().fd = None;
        }
    }
}

/// A directory seen by the walk.
#[derive(Debug)]
pub struct Dir {
    parent: Option<Arc<Dir>>,
    name: Box<[u8]>,
    /// Stored path, if kept.
    path: Option<Box<[u8]>>,
    path_len: usize,
    /// Directories up to one whose path is kept.
    levels_to_kept: usize,
    /// Whether a symbolic link of this name is followed: only for the ancestors of the roots.
    follow: bool,
    cache: Arc<FdCache>,
    /// The directory itself, found before: it is not looked for again.
    held: Option<Arc<OwnedFd>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fd: Option<Arc<OwnedFd>>,
    /// (dev, ino) as first opened: opening again must give the same directory.
    identity: Option<(u64, u64)>,
}

impl Dir {
    /// The top of the tree, `/`.
    pub(crate) fn top(cache: Arc<FdCache>) -> Arc<Dir> {
        Arc::new(Dir {
            parent: None,
            name: Box::default(),
            path: Some(Box::default()),
            path_len: 0,
            levels_to_kept: 0,
            follow: true,
            cache,
            held: None,
            state: Mutex::default(),
        })
    }

    /// A directory below this one. Nothing is opened yet.
    pub(crate) fn child(self: &Arc<Dir>, name: &[u8], follow: bool) -> Arc<Dir> {
        let path_len = if self.path_len == 0 {
            name.len()
        } else {
            self.path_len + 1 + name.len()
        };
        // With the second term, all paths kept on the way down are together at most 64 times as long as the longest.
        let keep = path_len <= KEPT_PATH_MAX || self.levels_to_kept >= 64.max(path_len / 64);
        let path = keep.then(|| {
            let mut path = Vec::with_capacity(path_len);
            self.push_child_path(name, &mut path);
            path.into_boxed_slice()
        });
        Arc::new(Dir {
            parent: Some(Arc::clone(self)),
            name: name.into(),
            path,
            path_len,
            levels_to_kept: if keep { 0 } else { self.levels_to_kept + 1 },
            follow,
            cache: Arc::clone(&self.cache),
            held: None,
            state: Mutex::default(),
        })
    }

    /// The same directory, opened already, good for passing through only.
    pub(crate) fn held(self: Arc<Dir>, fd: &Arc<OwnedFd>) -> Arc<Dir> {
        let mut dir = self;
        // Nobody else has it yet.
        if let Some(dir) = Arc::get_mut(&mut dir) {
            dir.held = Some(Arc::clone(fd));
        }
        dir
    }

    /// Stored path of this directory; empty for `/`.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.path_len);
        self.push_path(&mut out);
        out
    }

    /// Length of the stored path.
    pub(crate) fn path_len(&self) -> usize {
        self.path_len
    }

    /// Appends the stored path to `out`.
    pub fn push_path(&self, out: &mut Vec<u8>) {
        let mut names: Vec<&Dir> = Vec::new();
        let mut at = self;
        loop {
            if let Some(path) = &at.path {
                out.extend_from_slice(path);
                break;
            }
            names.push(at);
            match &at.parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        for dir in names.iter().rev() {
            out.push(b'/');
            out.extend_from_slice(&dir.name);
        }
    }

    /// Appends the stored path of the file `name` in this directory to `out`.
    pub fn push_child_path(&self, name: &[u8], out: &mut Vec<u8>) {
        self.push_path(out);
        if self.path_len != 0 {
            out.push(b'/');
        }
        out.extend_from_slice(name);
    }

    /// An open descriptor of this directory, opened again if it was closed to save descriptors.
    ///
    /// # Errors
    /// What `openat` says; [`Errno::STALE`] when another directory is now in its place.
    pub fn fd(self: &Arc<Dir>) -> io::Result<Arc<OwnedFd>> {
        if let Some(fd) = &self.held {
            return Ok(Arc::clone(fd));
        }
        if let Some(fd) = &self.state.lock().fd {
            return Ok(Arc::clone(fd));
        }
        // Up to the nearest open ancestor, then down again, opening as much as fits in one call.
        let mut chain: Vec<&Arc<Dir>> = vec![self];
        let mut base: Option<Arc<OwnedFd>> = None;
        let mut at = self;
        while let Some(parent) = &at.parent {
            if let Some(fd) = parent.held.as_ref().or(parent.state.lock().fd.as_ref()) {
                base = Some(Arc::clone(fd));
                break;
            }
            chain.push(parent);
            at = parent;
        }
        while let Some(dir) = chain.pop() {
            // Deep trees: only every hundredth directory on the way down is opened by itself.
            let mut relative = dir.name.to_vec();
            let mut last = dir;
            while let Some(next) = chain.last() {
                let fits = relative.len() + 1 + next.name.len() < KERNEL_PATH_MAX;
                if !fits || last.follow || next.follow || relative.is_empty() {
                    break;
                }
                relative.push(b'/');
                relative.extend_from_slice(&next.name);
                last = next;
                chain.pop();
            }
            base = Some(last.open_from(base.as_deref(), &relative)?);
        }
        base.ok_or_else(|| io::Error::from(Errno::BADF))
    }

    /// Opens this directory by `relative` from `base` and keeps the descriptor.
    fn open_from(
        self: &Arc<Dir>,
        base: Option<&OwnedFd>,
        relative: &[u8],
    ) -> io::Result<Arc<OwnedFd>> {
        let fd = match base {
            None => open_dir(rustix::fs::CWD, b"/", true)?,
            Some(base) if relative.contains(&b'/') => open_deep(base, relative)?,
            Some(base) => open_dir(base, relative, self.follow)?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        let fd = Arc::new(fd);
        {
            let mut state = self.state.lock();
            let identity = (stat.st_dev, stat.st_ino);
            if *state.identity.get_or_insert(identity) != identity {
                return Err(Errno::STALE.into());
            }
            if let Some(other) = &state.fd {
                return Ok(Arc::clone(other));
            }
            state.fd = Some(Arc::clone(&fd));
        }
        self.cache.remember(self);
        Ok(fd)
    }

    /// Device and inode, once it has been open.
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        self.state.lock().identity
    }
}

impl Drop for Dir {
    /// Takes the chain of parents apart step by step: a tree 100,000 levels deep must not use the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(dir) = next {
            next = match Arc::into_inner(dir) {
                Some(mut last_owner) => last_owner.parent.take(),
                None => None,
            };
        }
    }
}

/// Attributes of a name, never following a link and never mounting anything.
pub(crate) fn stat_at(dir: &OwnedFd, name: &[u8]) -> io::Result<Stat> {
    let raw = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)?;
    Ok(Stat::of(&raw))
}

/// Opens a directory by one name, without changing its access time where that is allowed.
fn open_dir(base: impl rustix::fd::AsFd, name: &[u8], follow: bool) -> io::Result<OwnedFd> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOATIME;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    let base = base.as_fd();
    let opened = match rustix::fs::openat(base, name, flags, Mode::empty()) {
        Err(Errno::PERM) => {
            rustix::fs::openat(base, name, flags.difference(OFlags::NOATIME), Mode::empty())
        }
        other => other,
    };
    match opened {
        // An ancestor of a root that may be passed through but not listed.
        Err(Errno::ACCESS) if follow => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(base, name, flags, Mode::empty())?)
        }
        other => Ok(other?),
    }
}

/// Opens a directory several levels down, following no link on the way.
fn open_deep(base: &OwnedFd, relative: &[u8]) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(base, relative, flags, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => {
            let mut at: Option<OwnedFd> = None;
            for name in relative.split(|&b| b == b'/') {
                let next = match &at {
                    None => open_dir(base, name, false)?,
                    Some(dir) => open_dir(dir, name, false)?,
                };
                at = Some(next);
            }
            at.ok_or_else(|| Errno::NOENT.into())
        }
        other => Ok(other?),
    }
}
