//! The file systems of a walk, told apart for longer than a run.
//!
//! A device number holds until the disk is mounted again: another port, a restart, a snapshot of btrfs, and it
//! is another. So a file system goes by the first path seen on it, which is where it is mounted or a root.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::FsWord;

use crate::cache::PathHash;
use crate::fs::{Item, Kind, Stat};

/// FAT, and exFAT: they have no inode numbers, the kernel makes some up at each mount.
const UNNUMBERED: [FsWord; 2] = [0x4d44, 0x2011_bab0];

/// One file system.
#[derive(Clone, Copy)]
pub(super) struct FileSystem {
    dev: u64,
    /// First path seen on it.
    pub(super) first: PathHash,
    /// Whether a file keeps its number.
    numbered: bool,
}

impl FileSystem {
    /// What of the attributes tells whether a file is as it was.
    pub(super) fn lasting(&self, stat: &Stat) -> Stat {
        Stat {
            ino: if self.numbered { stat.ino } else { 0 },
            ..*stat
        }
    }
}

/// Those met so far.
#[derive(Default)]
pub(super) struct Devices {
    met: Vec<FileSystem>,
    last: Option<FileSystem>,
}

impl Devices {
    /// The file system of the next item of the walk.
    pub(super) fn of(&mut self, item: &Item, path: &PathHash) -> FileSystem {
        let dev = item.stat.dev;
        if let Some(last) = self.last.filter(|last| last.dev == dev) {
            return last;
        }
        let known = self.met.iter().find(|known| known.dev == dev).copied();
        let found = known.unwrap_or_else(|| {
            let new = FileSystem {
                dev,
                first: *path,
                numbered: is_numbered(item),
            };
            self.met.push(new);
            new
        });
        self.last = Some(found);
        found
    }
}

/// Asked once for each file system. One that cannot be asked is taken to be like most.
fn is_numbered(item: &Item) -> bool {
    if !matches!(item.stat.kind, Kind::Dir | Kind::File) {
        return true;
    }
    let Ok(dir) = item.dir.fd() else { return true };
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(&item.name);
    rustix::fs::statfs(path.as_slice()).map_or(true, |found| !UNNUMBERED.contains(&found.f_type))
}
