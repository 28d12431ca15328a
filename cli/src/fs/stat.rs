//! What `stat` says about a file, in the units the format uses.

use packnback_proto::format::entry::EntryType;
use rustix::fs::FileType;

/// Kind of a file system node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Character device.
    Char,
    /// Block device.
    Block,
    /// Socket: never saved.
    Socket,
    /// Something this program does not know: never saved.
    Unknown,
}

impl Kind {
    /// The kind as the format knows it; `None` for what is not saved.
    #[must_use]
    pub fn entry_type(self) -> Option<EntryType> {
        match self {
            Kind::File => Some(EntryType::File),
            Kind::Dir => Some(EntryType::Dir),
            Kind::Symlink => Some(EntryType::Symlink),
            Kind::Fifo => Some(EntryType::Fifo),
            Kind::Char => Some(EntryType::Char),
            Kind::Block => Some(EntryType::Block),
            Kind::Socket | Kind::Unknown => None,
        }
    }

    pub(crate) fn of_mode(st_mode: u32) -> Kind {
        match FileType::from_raw_mode(st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::Char,
            FileType::BlockDevice => Kind::Block,
            FileType::Socket => Kind::Socket,
            FileType::Unknown => Kind::Unknown,
        }
    }
}

/// Attributes of a file. Two equal values mean: nothing has changed that `stat` can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// Permission bits with set-id and sticky bits (`st_mode & 0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// Number of hard links.
    pub nlink: u64,
    /// Blocks of 512 bytes in use.
    pub blocks: u64,
    /// Kind of node.
    pub kind: Kind,
}

impl Stat {
    /// From the kernel's answer.
    #[must_use]
    pub fn of(raw: &rustix::fs::Stat) -> Stat {
        Stat {
            dev: raw.st_dev,
            ino: raw.st_ino,
            size: u64::try_from(raw.st_size).unwrap_or(0),
            mtime_ns: nanoseconds(raw.st_mtime, raw.st_mtime_nsec),
            ctime_ns: nanoseconds(raw.st_ctime, raw.st_ctime_nsec),
            mode: raw.st_mode & 0o7777,
            uid: raw.st_uid,
            gid: raw.st_gid,
            rdev: raw.st_rdev,
            nlink: raw.st_nlink,
            blocks: u64::try_from(raw.st_blocks).unwrap_or(0),
            kind: Kind::of_mode(raw.st_mode),
        }
    }

    /// Identity of a file that has more than one name; `None` for directories and files with one name.
    #[must_use]
    pub fn hardlink_key(&self) -> Option<(u64, u64)> {
        (self.nlink > 1 && self.kind != Kind::Dir).then_some((self.dev, self.ino))
    }

    /// Whether the file has fewer blocks than its length needs, so that asking for holes is worth a call.
    #[must_use]
    pub fn may_have_holes(&self) -> bool {
        self.kind == Kind::File && self.blocks.saturating_mul(512) < self.size
    }

    /// Same file, and nothing about its content or attributes has changed.
    #[must_use]
    pub fn same_content_as(&self, other: &Stat) -> bool {
        self.same_file_as(other)
            && self.size == other.size
            && self.mtime_ns == other.mtime_ns
            && self.ctime_ns == other.ctime_ns
    }

    /// The same in everything that changes when content or attributes do.
    #[must_use]
    pub fn is_as(&self, other: &Stat) -> bool {
        let shown = |stat: &Stat| (stat.mode, stat.uid, stat.gid, stat.rdev);
        self.same_content_as(other) && shown(self) == shown(other)
    }

    /// Same device, inode and kind.
    #[must_use]
    pub fn same_file_as(&self, other: &Stat) -> bool {
        self.dev == other.dev && self.ino == other.ino && self.kind == other.kind
    }
}

/// Seconds and nanoseconds in one number; saturates in the years 1677 and 2262.
fn nanoseconds(seconds: i64, nanos: u64) -> i64 {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    i64::try_from(total).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX })
}
