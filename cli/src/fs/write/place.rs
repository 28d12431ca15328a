//! Putting one node in its place: alone, or under a temporary name that then takes the place of an older one.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use packnback_proto::format::entry::{Entry, EntryType};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::dirs::TargetDir;
use crate::fs::stat::Stat;

/// Where an entry goes: its directory and its name in it.
pub(super) struct Spot<'a> {
    pub(super) dir: Arc<TargetDir>,
    pub(super) name: &'a [u8],
}

/// A new file for us alone. Never opens what is there, a link least of all.
pub(super) fn create_new(dir: &TargetDir, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&dir.fd, name, flags, Mode::RUSR | Mode::WUSR)
}

/// Makes something under a temporary name, removing what an interrupted restore left under it.
pub(super) fn fresh<T>(
    dir: &TargetDir,
    name: &[u8],
    make: impl Fn() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match make() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty())?;
            make()
        }
        other => other,
    }
}

/// The name under which a replacement is made. The same every time, so that an interrupted restore leaves
/// nothing behind that the next one does not reuse.
pub(super) fn temporary_name(name: &[u8]) -> Vec<u8> {
    let mark = blake3::hash(name);
    format!(".packnback-{}", mark.to_hex().get(..16).unwrap_or_default()).into_bytes()
}

/// Whether a link, pipe or device is already what the entry wants.
pub(super) fn same_special(entry: &Entry, there: &Stat, spot: &Spot<'_>, mode: u32) -> bool {
    if there.kind.entry_type() != Some(entry.kind) || there.mtime_ns != entry.mtime_ns {
        return false;
    }
    match entry.kind {
        EntryType::Symlink => rustix::fs::readlinkat(&spot.dir.fd, spot.name, Vec::new())
            .is_ok_and(|target| Some(target.to_bytes()) == entry.link.as_deref()),
        EntryType::Fifo => there.mode == mode,
        _ => there.mode == mode && Some(there.rdev) == entry.rdev,
    }
}
