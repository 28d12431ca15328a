//! Comparing two trees by everything a backup keeps.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::homes::is_of_a_home;

const BUFFER: usize = 256 * 1024;

/// Two trees differ here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Path below both roots.
    pub path: Vec<u8>,
    /// What differs.
    pub what: String,
}

/// What was compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Entries looked at, the roots included.
    pub entries: u64,
    /// Regular files compared byte by byte.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Extended attributes compared.
    pub xattrs: u64,
    /// Groups of hard links.
    pub hard_links: u64,
    /// Only on the left, because no backup saves it: sockets, and homes of nodes.
    pub never_saved: u64,
    /// Everything that differs.
    pub differences: Vec<Difference>,
}

/// Compares two trees: kind, mode, owner, size, content, modification time to the nanosecond, extended
/// attributes (so ACLs), link targets, groups of hard links, device numbers and holes.
///
/// # Errors
/// When something cannot be read; nothing can be said then.
pub fn compare_trees(left: &Path, right: &Path) -> io::Result<Comparison> {
    let mut walk = Walk::default();
    let (a, b) = (open_root(left)?, open_root(right)?);
    walk.entry(&mut Vec::new(), &a, &b)?;
    walk.check_hard_links();
    Ok(walk.result)
}

/// A node by its parent's descriptor and its name: paths may be longer than the system takes.
struct Node {
    dir: std::os::fd::OwnedFd,
    name: OsString,
}

/// A regular file, and what the system says of it.
struct Regular<'a> {
    node: &'a Node,
    stat: &'a rustix::fs::Stat,
}

fn open_root(path: &Path) -> io::Result<Node> {
    let path = std::path::absolute(path)?;
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent.to_owned(), name.to_owned()),
        _ => (PathBuf::from("/"), OsString::from(".")),
    };
    Ok(Node {
        dir: open_dir(rustix::fs::CWD, parent.as_os_str())?,
        name,
    })
}

fn open_dir(dir: impl std::os::fd::AsFd, name: &OsStr) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

type Inode = (u64, u64);
/// Start and end in bytes.
type Range = (u64, u64);

#[derive(Default)]
struct Walk {
    result: Comparison,
    /// For each side: the paths of every inode with several names.
    links: [BTreeMap<Inode, Vec<Vec<u8>>>; 2],
}

impl Walk {
    fn differs(&mut self, path: &[u8], what: impl Into<String>) {
        self.result.differences.push(Difference {
            path: path.to_vec(),
            what: what.into(),
        });
    }

    fn entry(&mut self, path: &mut Vec<u8>, a: &Node, b: &Node) -> io::Result<()> {
        let (left, right) = (stat(a)?, stat(b)?);
        self.result.entries = self.result.entries.saturating_add(1);
        let kind = FileType::from_raw_mode(left.st_mode);
        if kind != FileType::from_raw_mode(right.st_mode) {
            self.differs(
                path,
                format!(
                    "kind {kind:?} and {:?}",
                    FileType::from_raw_mode(right.st_mode)
                ),
            );
            return Ok(());
        }
        let fields = [
            ("mode", i128::from(left.st_mode), i128::from(right.st_mode)),
            ("owner", left.st_uid.into(), right.st_uid.into()),
            ("group", left.st_gid.into(), right.st_gid.into()),
            ("modification time", mtime(&left), mtime(&right)),
        ];
        for (name, left, right) in fields {
            if left != right {
                self.differs(path, format!("{name} {left} and {right}"));
            }
        }
        self.xattrs(path, a, b)?;
        if kind != FileType::Directory {
            for (side, stat) in [&left, &right].into_iter().enumerate() {
                if let Some(links) = self.links.get_mut(side).filter(|_| stat.st_nlink > 1) {
                    links
                        .entry((stat.st_dev, stat.st_ino))
                        .or_default()
                        .push(path.clone());
                }
            }
        }
        match kind {
            FileType::Directory => self.directory(path, a, b),
            FileType::RegularFile => {
                let (a, b) = (
                    Regular {
                        node: a,
                        stat: &left,
                    },
                    Regular {
                        node: b,
                        stat: &right,
                    },
                );
                self.file(path, &a, &b)
            }
            FileType::Symlink => {
                let (left, right) = (link(a)?, link(b)?);
                if left != right {
                    self.differs(path, "link target");
                }
                Ok(())
            }
            FileType::CharacterDevice | FileType::BlockDevice if left.st_rdev != right.st_rdev => {
                self.differs(path, "device number");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn directory(&mut self, path: &mut Vec<u8>, a: &Node, b: &Node) -> io::Result<()> {
        let (left, right) = (open_dir(&a.dir, &a.name)?, open_dir(&b.dir, &b.name)?);
        let (names, others) = (list(&left)?, list(&right)?);
        for name in others
            .iter()
            .filter(|name| names.binary_search(name).is_err())
        {
            self.differs(&child(path, name), "only on the right");
        }
        for name in names {
            let longer = child(path, &name);
            if others.binary_search(&name).is_err() {
                if is_never_saved(&left, &name) {
                    self.result.never_saved = self.result.never_saved.saturating_add(1);
                } else {
                    self.differs(&longer, "only on the left");
                }
                continue;
            }
            let before = std::mem::replace(path, longer);
            let a = Node {
                dir: left.try_clone()?,
                name: name.clone(),
            };
            let b = Node {
                dir: right.try_clone()?,
                name,
            };
            self.entry(path, &a, &b)?;
            *path = before;
        }
        Ok(())
    }

    fn file(&mut self, path: &[u8], a: &Regular<'_>, b: &Regular<'_>) -> io::Result<()> {
        let size = |stat: &rustix::fs::Stat| u64::try_from(stat.st_size).unwrap_or(0);
        let (left, right) = (size(a.stat), size(b.stat));
        if left != right {
            self.differs(path, format!("size {left} and {right}"));
            return Ok(());
        }
        let (mut x, mut y) = (open_file(a.node)?, open_file(b.node)?);
        let (gaps, others) = (holes(&x, left)?, holes(&y, right)?);
        x.rewind()?;
        y.rewind()?;
        if let Some(at) = first_difference(&mut x, &mut y, [&gaps, &others])? {
            self.differs(path, format!("content from byte {at} on"));
        }
        // Another file system may keep holes at another grain.
        if a.stat.st_dev == b.stat.st_dev && gaps != others {
            self.differs(path, "holes");
        }
        self.result.files = self.result.files.saturating_add(1);
        self.result.bytes = self.result.bytes.saturating_add(left);
        Ok(())
    }

    fn xattrs(&mut self, path: &[u8], a: &Node, b: &Node) -> io::Result<()> {
        let (left, right) = (xattrs(a)?, xattrs(b)?);
        self.result.xattrs = self
            .result
            .xattrs
            .saturating_add(u64::try_from(left.len()).unwrap_or(0));
        if left != right {
            let name = left
                .iter()
                .find(|(name, value)| right.get(*name) != Some(value))
                .map(|(name, _)| name);
            let name = name.or_else(|| right.keys().find(|name| !left.contains_key(*name)));
            let name = name
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .unwrap_or_default();
            self.differs(path, format!("extended attribute {name}"));
        }
        Ok(())
    }

    /// The same names belong together on both sides. Names outside the trees do not count.
    fn check_hard_links(&mut self) {
        let groups = |links: &BTreeMap<Inode, Vec<Vec<u8>>>| {
            let mut groups: Vec<Vec<Vec<u8>>> = links
                .values()
                .filter(|names| names.len() > 1)
                .cloned()
                .collect();
            groups.sort();
            groups
        };
        let [left, right] = &self.links;
        let (left, right) = (groups(left), groups(right));
        self.result.hard_links = u64::try_from(left.len()).unwrap_or(0);
        let known: HashMap<&Vec<Vec<u8>>, ()> = right.iter().map(|group| (group, ())).collect();
        let missing: Vec<_> = left
            .iter()
            .filter(|group| !known.contains_key(group))
            .cloned()
            .collect();
        let more = right
            .len()
            .saturating_sub(left.len().saturating_sub(missing.len()));
        for group in missing {
            self.differs(
                group.first().map_or(&[], Vec::as_slice),
                format!("hard links of {} names", group.len()),
            );
        }
        if more > 0 && self.result.differences.is_empty() {
            self.differs(
                b"",
                format!("{more} groups of hard links only on the right"),
            );
        }
    }
}

/// Whether what has this name in a folder is saved by no backup, by design: a socket is of a running
/// program, and the home of a node would grow by every backup of itself.
fn is_never_saved(dir: &std::os::fd::OwnedFd, name: &OsStr) -> bool {
    let is_socket = || {
        rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Socket)
    };
    is_socket() || is_of_a_home(dir, name.as_bytes())
}

fn child(path: &[u8], name: &OsStr) -> Vec<u8> {
    let mut out = path.to_vec();
    if !out.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(name.as_bytes());
    out
}

fn stat(node: &Node) -> io::Result<rustix::fs::Stat> {
    Ok(rustix::fs::statat(
        &node.dir,
        &node.name,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn mtime(stat: &rustix::fs::Stat) -> i128 {
    i128::from(stat.st_mtime)
        .saturating_mul(1_000_000_000)
        .saturating_add(i128::from(stat.st_mtime_nsec))
}

fn list(dir: &std::os::fd::OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

fn link(node: &Node) -> io::Result<CString> {
    Ok(rustix::fs::readlinkat(&node.dir, &node.name, Vec::new())?)
}

fn open_file(node: &Node) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(
        &node.dir,
        &node.name,
        flags,
        Mode::empty(),
    )?))
}

/// The first byte that differs. What is a hole on both sides is not read: it is all zeros.
fn first_difference(a: &mut File, b: &mut File, holes: [&[Range]; 2]) -> io::Result<Option<u64>> {
    let (mut x, mut y) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut at = 0u64;
    loop {
        if let Some(end) = hole_at(holes, at) {
            at = end;
            a.seek(io::SeekFrom::Start(at))?;
            b.seek(io::SeekFrom::Start(at))?;
        }
        let (n, m) = (fill(a, &mut x)?, fill(b, &mut y)?);
        let (left, right) = (
            x.get(..n).unwrap_or_default(),
            y.get(..m).unwrap_or_default(),
        );
        if left != right {
            let same = left.iter().zip(right).take_while(|(l, r)| l == r).count();
            return Ok(Some(at.saturating_add(u64::try_from(same).unwrap_or(0))));
        }
        if n == 0 {
            return Ok(None);
        }
        at = at.saturating_add(u64::try_from(n).unwrap_or(0));
    }
}

/// Where the hole ends that both sides have at `at`.
fn hole_at([left, right]: [&[Range]; 2], at: u64) -> Option<u64> {
    let end = |holes: &[Range]| {
        let found = holes.partition_point(|(_, end)| *end <= at);
        holes
            .get(found)
            .filter(|(start, _)| *start <= at)
            .map(|(_, end)| *end)
    };
    Some(end(left)?.min(end(right)?))
}

fn fill(file: &mut File, buf: &mut [u8]) -> io::Result<usize> {
    let mut at = 0;
    while let Some(rest) = buf.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(n) => at = at.saturating_add(n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(at)
}

/// The holes of a file: where they begin and end.
fn holes(file: &File, size: u64) -> io::Result<Vec<Range>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => size,
            Err(Errno::INVAL) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        if data > at {
            found.push((at, data));
        }
        if data >= size {
            break;
        }
        at = rustix::fs::seek(file, SeekFrom::Hole(data))?;
    }
    Ok(found)
}

/// Extended attributes by way of `/proc/self/fd`, which works for links and long paths too.
fn xattrs(node: &Node) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    use std::os::fd::AsRawFd;
    let path = Path::new("/proc/self/fd")
        .join(node.dir.as_raw_fd().to_string())
        .join(&node.name);
    let mut names = vec![0u8; 64 * 1024];
    let len = match rustix::fs::llistxattr(&path, &mut names[..]) {
        Ok(len) => len,
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => return Ok(BTreeMap::new()),
        Err(e) => return Err(e.into()),
    };
    let mut found = BTreeMap::new();
    let mut value = vec![0u8; 64 * 1024];
    for name in names
        .get(..len)
        .unwrap_or_default()
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
    {
        let len = match rustix::fs::lgetxattr(&path, name, &mut value[..]) {
            Ok(len) => len,
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => continue,
            Err(e) => return Err(e.into()),
        };
        found.insert(name.to_vec(), value.get(..len).unwrap_or_default().to_vec());
    }
    Ok(found)
}

/// Number and bytes of the regular files below a folder.
///
/// # Errors
/// When the folder cannot be read; what is below it and cannot be read is left out.
pub fn measure(dir: &Path) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0u64, 0u64);
    let mut left = vec![dir.to_owned()];
    dir.metadata()?;
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if found.is_dir() {
                left.push(entry.path());
            } else if is_plain(&found) {
                files = files.saturating_add(1);
                bytes = bytes.saturating_add(found.len());
            }
        }
    }
    Ok((files, bytes))
}

fn is_plain(found: &Metadata) -> bool {
    let kind = found.file_type();
    found.nlink() > 0 && kind.is_file() && !kind.is_fifo() && !kind.is_socket()
}

#[cfg(test)]
mod tests;
