//! What a segment says about one file: [`Entry`] and where its bytes are: [`FileData`].

use std::collections::BTreeMap;

/// Domain number of chunks that are private to one session (`dedup = session`).
pub const DOM_PRIVATE: u32 = u32::MAX;

/// Kind of a file system node (format: entry key 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryType {
    /// Regular file.
    File = 0,
    /// Directory.
    Dir = 1,
    /// Symbolic link.
    Symlink = 2,
    /// Named pipe.
    Fifo = 3,
    /// Character device.
    Char = 4,
    /// Block device.
    Block = 5,
}

/// One file system node, as saved. Paths are relative to `/`, without leading or trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path bytes: `/`-separated, no empty, `.` or `..` component, no NUL. Any other byte is legal.
    pub path: Vec<u8>,
    /// Kind of node.
    pub kind: EntryType,
    /// Permission bits, set-id and sticky bits included (`st_mode & 0o7777`).
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in nanoseconds since the epoch. Years 1385 to 2554 fit an `i128` with room; format: int64.
    pub mtime_ns: i64,
    /// Length of a regular file in bytes, else 0.
    pub size: u64,
    /// Target of a symbolic link.
    pub link: Option<Vec<u8>>,
    /// Extended attributes by full name (`user.x`, `system.posix_acl_access`, ...).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Device number of a device node, as `st_rdev`.
    pub rdev: Option<u64>,
    /// Group of hard links: entries of one snapshot with equal values are one file.
    pub hardlink: Option<[u8; 8]>,
    /// Where the content is. `None` for an empty file, for anything but a regular file, and for
    /// every hard link after the first of its group.
    pub data: Option<FileData>,
    /// Name of `uid` on the saved machine.
    pub user: Option<String>,
    /// Name of `gid` on the saved machine.
    pub group: Option<String>,
    /// Names, on the saved machine, of the users and groups that the access lists in `xattrs` mention by
    /// number; ascending.
    pub acl_names: Vec<AclName>,
}

/// The name of a user or group that an access list mentions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclName {
    /// A group, else a user.
    pub is_group: bool,
    /// Its number in the access list.
    pub id: u32,
    /// Its name.
    pub name: String,
}

/// Where the bytes of a file are. `ref_idx` values index the reference list of the object that
/// holds this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileData {
    /// `len` bytes at `off` in the plain payload of a pack.
    Pack {
        /// Index of the pack in the reference list.
        ref_idx: u32,
        /// Offset in bytes.
        off: u32,
        /// Length in bytes.
        len: u32,
    },
    /// A list of chunks and holes, in file order.
    Chunks {
        /// Dedup group, or [`DOM_PRIVATE`].
        dom: u32,
        /// Index into the segment's session table: whose key opens `kb`.
        ses_idx: u32,
        /// Chunks and holes.
        parts: Vec<Part>,
        /// Sealed chunk keys (format: kb).
        kb: Vec<u8>,
    },
    /// Map objects, in file order.
    Maps {
        /// Indexes of the maps in the reference list.
        refs: Vec<u32>,
    },
}

/// One piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A chunk of `len` plain bytes.
    Chunk {
        /// Index in the reference list.
        ref_idx: u32,
        /// Plain length in bytes.
        len: u32,
    },
    /// A hole of `len` bytes.
    Hole {
        /// Length in bytes.
        len: u64,
    },
}

impl Part {
    /// Bytes of the file this part covers.
    #[must_use]
    pub fn len(&self) -> u64 {
        match *self {
            Part::Chunk { len, .. } => u64::from(len),
            Part::Hole { len } => len,
        }
    }

    /// Whether the part covers nothing (never written; refused by readers).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
