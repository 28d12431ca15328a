//! Reading the content of a file, and noticing that it changed meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Advice, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::error::{Action, Problem};
use super::stat::{Kind, Stat};
use super::walk::Item;

/// Files at least this long are announced to the kernel as read once from start to end.
const ADVISE_MIN: u64 = 4 << 20;

/// Stretches in which the kernel is told that what was read is not needed again.
const RELEASE_STEP: u64 = 8 << 20;

/// A stretch of a file: data, or a hole that reads as zeros and has no blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Bytes from `off` on.
    Data {
        /// Start.
        off: u64,
        /// Length in bytes.
        len: u64,
    },
    /// A hole from `off` on.
    Hole {
        /// Start.
        off: u64,
        /// Length in bytes.
        len: u64,
    },
}

/// What is known about a file once it has been read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Nothing changed while it was read: `stat` describes what was read.
    Clean,
    /// It was written to, truncated, extended or had its attributes changed meanwhile: read it again, or
    /// report it. What was read may be a mixture.
    Changed {
        /// Attributes now.
        now: Stat,
    },
}

/// A regular file opened for reading.
#[derive(Debug)]
pub struct OpenFile {
    fd: OwnedFd,
    stat: Stat,
    /// Large enough for advice to the kernel.
    advised: bool,
    /// How far it was told that we are done.
    released: AtomicU64,
}

impl OpenFile {
    /// Opens what the walk saw. Following no link, never blocking on a pipe, without changing the access
    /// time where that is allowed; refused if it is not the same regular file any more.
    ///
    /// # Errors
    /// A [`Problem`] that names the file.
    pub fn open(item: &Item) -> Result<OpenFile, Problem> {
        Self::try_open(item).map_err(|error| Problem::new(item.path(), Action::Open, error))
    }

    fn try_open(item: &Item) -> io::Result<OpenFile> {
        let dir = item.dir.fd()?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let name: &[u8] = &item.name;
        let fd = match rustix::fs::openat(&dir, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => rustix::fs::openat(&dir, name, flags, Mode::empty()),
            other => other,
        }?;
        let stat = Stat::of(&rustix::fs::fstat(&fd)?);
        if stat.kind != Kind::File || !stat.same_file_as(&item.stat) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it was replaced by another file meanwhile",
            ));
        }
        let advised = stat.size >= ADVISE_MIN;
        if advised {
            // Only a hint: a file system that does not take it reads all the same.
            rustix::fs::fadvise(&fd, 0, None, Advice::Sequential).unwrap_or(());
        }
        Ok(OpenFile {
            fd,
            stat,
            advised,
            released: AtomicU64::new(0),
        })
    }

    /// Attributes as of opening. They, not those of the walk, belong to what is read.
    #[must_use]
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Reads a small file whole into `buf` (cleared first), at most `limit` bytes. One call if it has the size
    /// it had at opening; whether it grew beyond that, [`OpenFile::outcome`] tells.
    ///
    /// # Errors
    /// What `read` says; also when the file holds more than `limit` bytes by now.
    pub fn read_small(&self, buf: &mut Vec<u8>, limit: usize) -> io::Result<()> {
        buf.clear();
        let expected = usize::try_from(self.stat.size).unwrap_or(usize::MAX);
        loop {
            // One byte more than expected, so that growth shows and a short count means the end.
            let want = expected
                .min(limit)
                .saturating_add(1)
                .saturating_sub(buf.len())
                .max(1);
            buf.reserve(want);
            let got = match rustix::io::read(&self.fd, rustix::buffer::spare_capacity(buf)) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            if buf.len() > limit {
                buf.truncate(limit);
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "it grew while it was read",
                ));
            }
            if got == 0 || buf.len() == expected {
                return Ok(());
            }
        }
    }

    /// Fills `buf` from `off` on; fewer bytes than asked for mean the end of the file.
    ///
    /// # Errors
    /// What `pread` says.
    pub fn read_at(&self, off: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = off.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match rustix::io::pread(&self.fd, rest, at) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    /// Appends up to `want` bytes from `off` on to `buf`; fewer mean the end of the file.
    ///
    /// # Errors
    /// What `pread` says; `buf` is then as before.
    pub fn append_at(&self, off: u64, want: usize, buf: &mut Vec<u8>) -> io::Result<usize> {
        let start = buf.len();
        // Clearing the memory costs far less than the copy that follows, and reading into all spare room of a
        // large buffer would read more than is wanted.
        buf.resize(start.saturating_add(want), 0);
        let result = self.read_at(off, buf.get_mut(start..).unwrap_or_default());
        let got = result.as_ref().map_or(0, |&got| got);
        buf.truncate(start + got);
        result
    }

    /// Data and holes of the file, in order, covering exactly the size at opening. One extent of data when
    /// the file has no holes or its file system cannot tell.
    ///
    /// # Errors
    /// What `lseek` says.
    pub fn extents(&self) -> io::Result<Vec<Extent>> {
        let size = self.stat.size;
        if size == 0 {
            return Ok(Vec::new());
        }
        if !self.stat.may_have_holes() {
            return Ok(vec![Extent::Data { off: 0, len: size }]);
        }
        let mut out = Vec::new();
        let mut off = 0;
        while off < size {
            let data = match rustix::fs::seek(&self.fd, SeekFrom::Data(off)) {
                Ok(at) => at.min(size),
                Err(Errno::NXIO) => size,
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                    return Ok(vec![Extent::Data { off: 0, len: size }]);
                }
                Err(error) => return Err(error.into()),
            };
            if data > off {
                out.push(Extent::Hole {
                    off,
                    len: data - off,
                });
            }
            if data >= size {
                break;
            }
            let hole = match rustix::fs::seek(&self.fd, SeekFrom::Hole(data)) {
                Ok(at) => at.clamp(data, size),
                Err(Errno::NXIO) => size,
                Err(error) => return Err(error.into()),
            };
            if hole > data {
                out.push(Extent::Data {
                    off: data,
                    len: hole - data,
                });
            }
            // A file that changes under us must not keep us here.
            off = hole.max(data.saturating_add(1));
        }
        Ok(out)
    }

    /// Tells the kernel that what was read up to `off` will not be needed again, so that backing up a large
    /// file does not push everything else out of memory. Does nothing for smaller files.
    pub fn release(&self, off: u64) {
        if !self.advised {
            return;
        }
        let from = self.released.load(Ordering::Relaxed);
        if off.saturating_sub(from) >= RELEASE_STEP {
            let len = std::num::NonZeroU64::new(off - from);
            rustix::fs::fadvise(&self.fd, from, len, Advice::DontNeed).unwrap_or(());
            self.released.store(off, Ordering::Relaxed);
        }
    }

    /// To be called after the last read, with the number of bytes read: has the file changed since it was opened?
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn outcome(&self, bytes_read: u64) -> io::Result<ReadOutcome> {
        let now = Stat::of(&rustix::fs::fstat(&self.fd)?);
        if bytes_read == self.stat.size && now.same_content_as(&self.stat) {
            return Ok(ReadOutcome::Clean);
        }
        Ok(ReadOutcome::Changed { now })
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
