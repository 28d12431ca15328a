//! One regular file being written.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use packnback_proto::format::entry::{Entry, EntryType};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::Done;
use super::attrs::Setter;
use super::dirs::TargetDir;
use crate::fs::error::{Action, WriteError};
use crate::fs::stat::Stat;

/// A file being written. It gets its attributes, and its name if an older file was in the way, in
/// [`FileSink::finish`]; dropped before that, it is removed. Several threads may write different parts at once.
#[derive(Debug)]
pub struct FileSink {
    pub(super) dir: Arc<TargetDir>,
    pub(super) setter: Arc<Setter>,
    pub(super) path: Vec<u8>,
    pub(super) name: Box<[u8]>,
    /// The name it is written under while an older file is still in place.
    pub(super) temporary: Option<Vec<u8>>,
    /// `None` once finished.
    pub(super) fd: Option<OwnedFd>,
    pub(super) size: u64,
    /// Bytes written or left as holes.
    covered: AtomicU64,
    /// End of the last byte written.
    end: AtomicU64,
}

impl FileSink {
    pub(super) fn new(
        dir: Arc<TargetDir>,
        setter: Arc<Setter>,
        entry: &Entry,
        name: &[u8],
        fd: OwnedFd,
        temporary: Option<Vec<u8>>,
    ) -> FileSink {
        FileSink {
            dir,
            setter,
            path: entry.path.clone(),
            name: name.into(),
            temporary,
            fd: Some(fd),
            size: entry.size,
            covered: AtomicU64::new(0),
            end: AtomicU64::new(0),
        }
    }

    /// Writes `bytes` at `off`.
    ///
    /// # Errors
    /// When that would pass the declared size, or the system refuses.
    pub fn write_at(&self, off: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end = self.check(off, len)?;
        let Some(fd) = &self.fd else {
            return Err(self.io(Action::Write, Errno::BADF));
        };
        let mut rest = bytes;
        let mut at = off;
        while !rest.is_empty() {
            match rustix::io::pwrite(fd, rest, at) {
                Ok(0) => return Err(self.io(Action::Write, Errno::IO)),
                Ok(n) => {
                    rest = rest.get(n..).unwrap_or_default();
                    at = at.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.io(Action::Write, errno)),
            }
        }
        self.covered.fetch_add(len, Ordering::Relaxed);
        self.end.fetch_max(end, Ordering::Relaxed);
        Ok(())
    }

    /// Leaves a hole of `len` bytes at `off`. Takes no space and no time.
    ///
    /// # Errors
    /// When that would pass the declared size.
    pub fn hole(&self, off: u64, len: u64) -> Result<(), WriteError> {
        self.check(off, len)?;
        self.covered.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    /// Writes `len` zeros at `off`: what was saved as zeros and not as a hole is no hole afterwards either.
    ///
    /// # Errors
    /// As [`FileSink::write_at`].
    pub fn zeros(&self, off: u64, len: u64) -> Result<(), WriteError> {
        static PIECE: [u8; 1 << 16] = [0; 1 << 16];
        let end = self.check(off, len)?;
        let mut at = off;
        while at < end {
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let piece = PIECE.get(..left).unwrap_or(&PIECE);
            self.write_at(at, piece)?;
            at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// End of a stretch, if it is within the declared size.
    fn check(&self, off: u64, len: u64) -> Result<u64, WriteError> {
        let end = off.checked_add(len);
        end.filter(|&end| end <= self.size)
            .ok_or_else(|| self.wrong_size(end.unwrap_or(u64::MAX)))
    }

    /// Checks that every declared byte was written or left as a hole, sets the attributes and puts the file in place.
    ///
    /// # Errors
    /// When bytes are missing or the system refuses; the file is then removed.
    pub fn finish(mut self, entry: &Entry) -> Result<Done, WriteError> {
        let covered = self.covered.load(Ordering::Relaxed);
        if covered != self.size {
            return Err(self.wrong_size(covered));
        }
        if entry.path != self.path || entry.kind != EntryType::File {
            return Err(WriteError::Malformed {
                path: self.path.clone(),
                what: "not the entry the file was begun with",
            });
        }
        let Some(fd) = &self.fd else {
            return Err(self.io(Action::Write, Errno::BADF));
        };
        if self.end.load(Ordering::Relaxed) < self.size {
            rustix::fs::ftruncate(fd, self.size).map_err(|errno| self.io(Action::Write, errno))?;
        }
        let raw = rustix::fs::fstat(fd).map_err(|errno| self.io(Action::Stat, errno))?;
        let want = self.setter.wanted(entry);
        self.setter
            .apply_fd(fd, &self.path, &want, &Stat::of(&raw), self.dir.inherits);
        if let Some(temporary) = &self.temporary {
            rustix::fs::renameat(&self.dir.fd, temporary, &self.dir.fd, &*self.name)
                .map_err(|errno| self.io(Action::Rename, errno))?;
        }
        self.fd = None;
        Ok(if self.temporary.is_some() {
            Done::Replaced
        } else {
            Done::Created
        })
    }

    fn wrong_size(&self, found: u64) -> WriteError {
        WriteError::WrongSize {
            path: self.path.clone(),
            declared: self.size,
            found,
        }
    }

    fn io(&self, action: Action, errno: Errno) -> WriteError {
        WriteError::io(&self.path, action, errno)
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if self.fd.is_some() {
            let name = self.temporary.as_deref().unwrap_or(&self.name);
            // Nobody is left to tell; an unfinished file is recognised by its time and written again next time.
            rustix::fs::unlinkat(&self.dir.fd, name, AtFlags::empty()).unwrap_or(());
        }
    }
}
