//! What of a folder belongs to the home of a node, as docs/cli.md, "Homes", says.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// Longest beginning of a file in which its mark may be.
const BEGINNING: u64 = 64;

/// Whether what has this name in an open folder is of the home of a node.
pub(crate) fn is_of_a_home(dir: impl AsFd, name: &[u8]) -> bool {
    let dir = dir.as_fd();
    let below = |name: &str| open(dir, name, OFlags::DIRECTORY).is_some_and(is_part);
    let itself = open(dir, ".", OFlags::DIRECTORY).is_some_and(is_part);
    let beside = match name {
        b"node" | b"cache" => below("node"),
        b"config" => below("config"),
        _ => false,
    };
    itself || beside
}

/// Whether a folder is that of a node, or of what an owner gave to a device.
fn is_part(dir: OwnedFd) -> bool {
    let marked = |name: &str, mark: &[u8]| {
        let file = open(&dir, name, OFlags::NOFOLLOW | OFlags::NONBLOCK).map(File::from);
        let file = file.filter(|file| file.metadata().is_ok_and(|found| found.is_file()));
        let mut start = Vec::new();
        file.is_some_and(|file| file.take(BEGINNING).read_to_end(&mut start).is_ok())
            && start.windows(mark.len()).any(|window| window == mark)
    };
    let has_store = || {
        open(&dir, "node.lock", OFlags::NOFOLLOW).is_some()
            && open(&dir, "db", OFlags::DIRECTORY | OFlags::NOFOLLOW).is_some()
    };
    marked("identity.key", b"PNBNODE") || marked("device.bundle", b"PNBDEV") || has_store()
}

fn open(dir: impl AsFd, name: &str, flags: OFlags) -> Option<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::openat(dir, name, flags, Mode::empty()).ok()
}
