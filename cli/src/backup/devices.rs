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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use packnback_proto::crypto::secret::Secret32;

    use super::*;
    use crate::cache::CacheKey;
    use crate::fs::{Walk, WalkItem, WalkOptions};

    fn item() -> Item {
        let dir = tempfile::tempdir().unwrap();
        let roots = [dir.path().to_path_buf()];
        let walk = Walk::new(&roots, Path::new("/"), WalkOptions::default());
        let mut items = walk.filter_map(|step| match step {
            WalkItem::Entry(item) => Some(item),
            _ => None,
        });
        items.next().unwrap()
    }

    #[test]
    fn a_file_system_goes_by_its_first_path_whatever_its_number() {
        let key = CacheKey::new(Secret32::new([5; 32]));
        let (first, second) = (key.path(b"mnt"), key.path(b"mnt/f"));
        let numbered = |dev: u64| {
            let mut item = item();
            item.stat.dev = dev;
            item.stat.ino = 7;
            item
        };
        let run = |dev: u64| {
            let mut devices = Devices::default();
            devices.of(&numbered(dev), &first);
            let found = devices.of(&numbered(dev), &second);
            let other = devices.of(&numbered(dev + 1), &second);
            let link = |found: &FileSystem| key.hard_link(&found.first, 7);
            (link(&found), link(&other))
        };
        let (one, other) = run(40);
        assert_eq!(run(50), (one, other), "another number, the same disk");
        assert_ne!(one, other, "two disks are two");
        let item = item();
        let moved = Stat {
            dev: item.stat.dev + 1,
            ..item.stat
        };
        assert_eq!(key.stat(&item.stat), key.stat(&moved));
        let replaced = Stat {
            ino: item.stat.ino + 1,
            ..item.stat
        };
        assert_ne!(key.stat(&item.stat), key.stat(&replaced));
    }
}
