//! What `stat` does not say: extended attributes with ACLs, link targets, names of users and groups.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::error::{Action, Problem};
use super::read::OpenFile;
use super::stat::Kind;
use super::walk::Item;

/// Most bytes of extended attributes saved of one file: a segment must hold its entry.
pub(crate) const XATTR_TOTAL_MAX: usize = 1 << 20;

/// Attributes of a file beyond [`super::Stat`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Extended attributes by full name, POSIX ACLs among them as `system.posix_acl_*`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Target of a symbolic link.
    pub link: Option<Vec<u8>>,
}

/// Reads extended attributes and, of a symbolic link, its target. `file` is the open file if there is one
/// (saves a lookup). What cannot be read is added to `problems` and left out.
pub fn read_attributes(
    item: &Item,
    file: Option<&OpenFile>,
    problems: &mut Vec<Problem>,
) -> Attributes {
    let mut out = Attributes::default();
    if item.stat.kind == Kind::Symlink {
        match read_link(item) {
            Ok(target) => out.link = Some(target),
            Err(error) => problems.push(Problem::new(item.path(), Action::ReadLink, error)),
        }
    }
    let xattrs = match file {
        Some(file) => read_xattrs(&Source::Open(file)),
        None => item.dir.fd().and_then(|dir| {
            // The directory by its descriptor, so that no path is ever too long; the name is not followed.
            let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
            path.extend_from_slice(&item.name);
            read_xattrs(&Source::Path(&path))
        }),
    };
    match xattrs {
        Ok(xattrs) => out.xattrs = xattrs,
        Err(error) => problems.push(Problem::new(item.path(), Action::ReadXattr, error)),
    }
    out
}

/// Target of a symbolic link, of any length.
fn read_link(item: &Item) -> io::Result<Vec<u8>> {
    let dir = item.dir.fd()?;
    let name: &[u8] = &item.name;
    let target = rustix::fs::readlinkat(&dir, name, Vec::new())?;
    Ok(target.into_bytes())
}

enum Source<'a> {
    Open(&'a OpenFile),
    Path(&'a [u8]),
}

impl Source<'_> {
    fn list(&self, buf: &mut Vec<u8>) -> Result<usize, Errno> {
        match self {
            Source::Open(file) => rustix::fs::flistxattr(file, spare_capacity(buf)),
            Source::Path(path) => rustix::fs::llistxattr(*path, spare_capacity(buf)),
        }
    }

    fn get(&self, name: &[u8], buf: &mut Vec<u8>) -> Result<usize, Errno> {
        match self {
            Source::Open(file) => rustix::fs::fgetxattr(file, name, spare_capacity(buf)),
            Source::Path(path) => rustix::fs::lgetxattr(*path, name, spare_capacity(buf)),
        }
    }
}

/// Largest list of names and largest value the kernel gives out.
const XATTR_MAX: usize = 64 << 10;

fn read_xattrs(source: &Source<'_>) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut out = BTreeMap::new();
    let list = match sized(256, |buf| source.list(buf)) {
        Ok(list) => list,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(out),
        Err(error) => return Err(error.into()),
    };
    let mut total = 0;
    for name in list.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let value = match sized(1024, |buf| source.get(name, buf)) {
            Ok(value) => value,
            // Removed meanwhile, or shown but not for us (trusted.* without privilege).
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            Err(error) => return Err(error.into()),
        };
        total += name.len() + value.len();
        if total > XATTR_TOTAL_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "too many extended attributes",
            ));
        }
        out.insert(name.to_vec(), value);
    }
    Ok(out)
}

/// Calls with a buffer of `first` bytes, then with the largest the kernel needs.
fn sized(
    first: usize,
    call: impl Fn(&mut Vec<u8>) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    let mut buf = Vec::with_capacity(first);
    match call(&mut buf) {
        Err(Errno::RANGE) => {
            buf = Vec::with_capacity(XATTR_MAX);
            call(&mut buf)?;
            buf.shrink_to_fit();
        }
        other => {
            other?;
        }
    }
    Ok(buf)
}

/// Names of users and groups, looked up once each.
#[derive(Debug, Default)]
pub struct IdNames {
    users: Mutex<HashMap<u32, Option<Arc<str>>>>,
    groups: Mutex<HashMap<u32, Option<Arc<str>>>>,
}

impl IdNames {
    /// Nothing looked up yet.
    #[must_use]
    pub fn new() -> IdNames {
        IdNames::default()
    }

    /// Name of a user, if this machine knows one.
    #[must_use]
    pub fn user(&self, uid: u32) -> Option<Arc<str>> {
        let mut users = self.users.lock();
        users
            .entry(uid)
            .or_insert_with(|| {
                let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid));
                found.ok().flatten().map(|user| user.name.into())
            })
            .clone()
    }

    /// Name of a group, if this machine knows one.
    #[must_use]
    pub fn group(&self, gid: u32) -> Option<Arc<str>> {
        let mut groups = self.groups.lock();
        groups
            .entry(gid)
            .or_insert_with(|| {
                let found = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(gid));
                found.ok().flatten().map(|group| group.name.into())
            })
            .clone()
    }
}
