//! The target directory itself: found or made, and whether others can enter it.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::dirs::names_in;
use crate::fs::home_mark::is_in_home;
use crate::fs::stat::Stat;

/// On a directory that a restore has made and not finished: whoever goes on with it knows that the attributes
/// are not yet those it is to have. Its value is the mode, if no entry says it.
pub(super) const UNFINISHED: &CStr = c"user.packnback.unfinished";
const PRIVATE: Mode = Mode::RWXU;

/// An open target.
pub(super) struct Opened {
    /// `None` only in a dry run with no such directory.
    pub(super) fd: Option<OwnedFd>,
    /// Made by this restore, now or before it was interrupted: the mode it gets in the end.
    pub(super) made: Option<Mode>,
    /// Something is in it already.
    pub(super) guarded: bool,
    /// Nobody else can enter it for now.
    pub(super) closed: bool,
}

/// Opens the target directory; here, and only here, any link is followed: the person named it. A new one is for
/// us alone until the restore is finished.
pub(super) fn open(dir: &Path, create: bool) -> io::Result<Opened> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || rustix::fs::open(dir, flags, Mode::empty());
    let (fd, made) = match open() {
        Ok(fd) => {
            let made = unfinished(&fd).map(|mode| mode.unwrap_or(PRIVATE));
            (fd, made)
        }
        Err(Errno::NOENT) if create => {
            if let Some(parent) = dir.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::create_dir(dir)?;
            let fd = open()?;
            let mode = Mode::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode & 0o7777);
            rustix::fs::fchmod(&fd, PRIVATE)?;
            set_unfinished(&fd, Some(mode));
            (fd, Some(mode))
        }
        Err(Errno::NOENT) => {
            return Ok(Opened {
                fd: None,
                made: None,
                guarded: false,
                closed: true,
            });
        }
        Err(errno) => return Err(errno.into()),
    };
    if is_in_home(&fd)? {
        return Err(io::Error::other("it is in the home of a node"));
    }
    Ok(Opened {
        guarded: !names_in(&fd)?.is_empty(),
        closed: made.is_some() || !others_can_enter(&fd)?,
        fd: Some(fd),
        made,
    })
}

/// Puts the mark on a directory; without it, only the attributes of one that is finished after an interruption
/// are missing.
pub(super) fn set_unfinished(fd: &OwnedFd, mode: Option<Mode>) {
    let value = mode.map(|mode| format!("{:o}", mode.as_raw_mode()));
    let value = value.unwrap_or_default();
    rustix::fs::fsetxattr(fd, UNFINISHED, value.as_bytes(), XattrFlags::empty()).unwrap_or(());
}

/// Whether an earlier run of ours has made this directory and not finished it, and the mode it is to get.
pub(super) fn unfinished(fd: &OwnedFd) -> Option<Option<Mode>> {
    let mut value = [0_u8; 8];
    let len = rustix::fs::fgetxattr(fd, UNFINISHED, &mut value).ok()?;
    let stat = Stat::of(&rustix::fs::fstat(fd).ok()?);
    let ours = stat.uid == rustix::process::geteuid().as_raw() && stat.mode & 0o077 == 0;
    let text = std::str::from_utf8(value.get(..len)?).ok()?;
    let mode = u32::from_str_radix(text, 8).ok().map(|mode| mode & 0o777);
    ours.then_some(mode.map(Mode::from_raw_mode))
}

/// The target is as it is to be.
pub(super) fn finish(fd: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(fd, UNFINISHED) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
        Err(errno) => return Err(errno),
    }
    rustix::fs::fchmod(fd, mode)
}

/// Whether another user can get into a directory: unless it, or one it is in, is ours and for us alone.
fn others_can_enter(dir: &OwnedFd) -> Result<bool, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = rustix::process::geteuid().as_raw();
    let mut here = rustix::fs::openat(dir, c".", flags, Mode::empty())?;
    loop {
        let stat = Stat::of(&rustix::fs::fstat(&here)?);
        if stat.uid == own && stat.mode & 0o011 == 0 {
            return Ok(false);
        }
        let above = rustix::fs::openat(&here, c"..", flags, Mode::empty())?;
        if Stat::of(&rustix::fs::fstat(&above)?).same_file_as(&stat) {
            return Ok(true);
        }
        here = above;
    }
}
