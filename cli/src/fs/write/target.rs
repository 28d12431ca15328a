//! The directory everything is restored below.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use packnback_proto::format::entry::{Entry, EntryType};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attrs::{Attributes, Setter};
use super::dirs::{Dirs, TargetDir};
use super::place::{Spot, create_new, fresh, same_special, temporary_name};
use super::prune::{Judge, Swept};
use super::{Created, Done, FileSink, NoteKind, Overwrite, RestoreOptions, open};
use crate::fs::error::{Action, WriteError};
use crate::fs::path::{check_path, split_parent};
use crate::fs::stat::{Kind, Stat};

/// The directory everything is restored below. Share it by reference or `Arc`.
#[derive(Debug)]
pub struct Target {
    pub(super) options: RestoreOptions,
    pub(super) dirs: Dirs,
    pub(super) setter: Arc<Setter>,
    /// Directories whose attributes are set at the end.
    pub(super) made: Mutex<Vec<(Box<[u8]>, Attributes)>>,
    /// Made by this restore: the mode it gets in the end.
    pub(super) made_target: Option<Mode>,
    is_closed: bool,
}

impl Target {
    /// Opens the target directory, creating it if needed (not in a dry run).
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub fn open(dir: &Path, mut options: RestoreOptions) -> Result<Target, WriteError> {
        use std::os::unix::ffi::OsStrExt;
        let opened = open::open(dir, !options.dry_run)
            .map_err(|error| WriteError::io(dir.as_os_str().as_bytes(), Action::OpenDir, error))?;
        if options.closed_only && !opened.closed {
            (options.set_id, options.devices, options.labels) = (false, false, false);
        }
        let setter = Arc::new(Setter::new(options.clone()));
        Ok(Target {
            options,
            dirs: Dirs::of(opened.fd, opened.guarded),
            setter,
            made: Mutex::default(),
            made_target: opened.made,
            is_closed: opened.closed,
        })
    }

    /// Whether nobody else can enter it, for now at least.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether this restore made it, now or before it was interrupted.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.made_target.is_some()
    }

    /// Whether nothing was in it when it was opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.dirs.is_guarded()
    }

    /// The file system it is on.
    #[must_use]
    pub fn device(&self) -> Option<u64> {
        Some(rustix::fs::fstat(self.dirs.root_fd()?).ok()?.st_dev)
    }

    /// Free bytes where it is; `None` if that cannot be told.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        let found = rustix::fs::fstatvfs(self.dirs.root_fd()?).ok()?;
        let blocks = if self.setter.privileged() {
            found.f_bfree
        } else {
            found.f_bavail
        };
        Some(blocks.saturating_mul(found.f_frsize))
    }

    /// Makes room for an entry that is not a directory where a directory is now: removes what is in it as far as
    /// the judge lets it go. A dry run says what it would do.
    ///
    /// # Errors
    /// [`WriteError::InTheWay`] if something in it stays; what the system says.
    pub fn clear(
        &self,
        path: &[u8],
        judge: &dyn Judge,
        swept: &mut Swept,
    ) -> Result<(), WriteError> {
        let Some(spot) = self.spot_if_there(path)? else {
            return Ok(());
        };
        let there = spot.dir.stat(spot.name);
        let there = there.map_err(|errno| WriteError::io(path, Action::Stat, errno))?;
        if !there.is_some_and(|there| there.kind == Kind::Dir) {
            return Ok(());
        }
        if super::prune::sweep(self, judge, &spot.dir.fd, path, swept) {
            return Ok(());
        }
        Err(WriteError::InTheWay {
            path: path.to_vec(),
        })
    }

    /// The options it was opened with.
    #[must_use]
    pub fn options(&self) -> &RestoreOptions {
        &self.options
    }

    /// The directory at `path`, made with all its parents if missing (not in a dry run). Cached.
    ///
    /// # Errors
    /// A refusal if the path is bad or leads through a symbolic link; else what the system says.
    pub fn dir(&self, path: &[u8]) -> Result<Arc<TargetDir>, WriteError> {
        self.dirs.get(path, !self.options.dry_run)
    }

    /// Starts a regular file.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn create_file(&self, entry: &Entry) -> Result<Created, WriteError> {
        expect_kind(entry, entry.kind == EntryType::File, "not a regular file")?;
        let Some(spot) = self.spot(&entry.path)? else {
            return Ok(Created::No(Done::Created));
        };
        if !self.options.dry_run {
            match create_new(&spot.dir, spot.name) {
                Ok(fd) => return Ok(Created::Write(self.sink(spot, entry, fd, None))),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(WriteError::io(&entry.path, Action::Create, errno)),
            }
        }
        let done = self.decide(entry, &spot, |stat| {
            stat.kind == Kind::File
                && stat.size == entry.size
                && stat.mtime_ns == entry.mtime_ns
                && self.is_mode(entry, stat)
        })?;
        if done != Done::Replaced || self.options.dry_run {
            return Ok(Created::No(done));
        }
        let temporary = temporary_name(spot.name);
        let fd = fresh(&spot.dir, &temporary, || create_new(&spot.dir, &temporary))
            .map_err(|errno| WriteError::io(&entry.path, Action::Create, errno))?;
        Ok(Created::Write(self.sink(spot, entry, fd, Some(temporary))))
    }

    fn sink(
        &self,
        spot: Spot<'_>,
        entry: &Entry,
        fd: OwnedFd,
        temporary: Option<Vec<u8>>,
    ) -> FileSink {
        FileSink::new(
            spot.dir,
            Arc::clone(&self.setter),
            entry,
            spot.name,
            fd,
            temporary,
        )
    }

    /// A regular file in one go, if its content is at hand (small files).
    ///
    /// # Errors
    /// As [`Target::create_file`] and [`super::FileSink::finish`].
    pub fn write_file(&self, entry: &Entry, content: &[u8]) -> Result<Done, WriteError> {
        match self.create_file(entry)? {
            Created::No(done) => Ok(done),
            Created::Write(sink) => {
                sink.write_at(0, content)?;
                sink.finish(entry)
            }
        }
    }

    /// Makes `entry` one more name of the file restored at `first`.
    ///
    /// # Errors
    /// A refusal (also when `first` leads out of the target) or what the system says.
    pub fn add_hard_link(&self, entry: &Entry, first: &[u8]) -> Result<Done, WriteError> {
        expect_kind(
            entry,
            entry.kind != EntryType::Dir,
            "a directory with a second name",
        )?;
        let Some(spot) = self.spot(&entry.path)? else {
            return Ok(Done::Created);
        };
        let fail = |action, errno| WriteError::io(&entry.path, action, errno);
        let missing = || WriteError::io(first, Action::Link, Errno::NOENT);
        let source = match self.spot_if_there(first)? {
            None if self.options.dry_run => return self.decide(entry, &spot, |_| false),
            None => return Err(missing()),
            Some(source) => source,
        };
        let stat = match source
            .dir
            .stat(source.name)
            .map_err(|errno| fail(Action::Link, errno))?
        {
            None if self.options.dry_run => return self.decide(entry, &spot, |_| false),
            None => return Err(missing()),
            Some(stat) => stat,
        };
        expect_kind(
            entry,
            stat.kind.entry_type() == Some(entry.kind),
            "linked to something of another kind",
        )?;
        let there = spot
            .dir
            .stat(spot.name)
            .map_err(|errno| fail(Action::Stat, errno))?;
        if there.is_some_and(|there| there.same_file_as(&stat)) {
            return Ok(Done::Kept);
        }
        let done = self.decide(entry, &spot, |_| false)?;
        if self.options.dry_run || done == Done::Kept {
            return Ok(done);
        }
        let link = |name: &[u8]| {
            rustix::fs::linkat(
                &source.dir.fd,
                source.name,
                &spot.dir.fd,
                name,
                AtFlags::empty(),
            )
        };
        self.place(entry, &spot, done, Action::Link, link, |_| {})
    }

    /// Makes a symbolic link, named pipe or device node.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn add_special(&self, entry: &Entry) -> Result<Done, WriteError> {
        let kind = match entry.kind {
            EntryType::Symlink => FileType::Symlink,
            EntryType::Fifo => FileType::Fifo,
            EntryType::Char => FileType::CharacterDevice,
            EntryType::Block => FileType::BlockDevice,
            EntryType::File | EntryType::Dir => {
                return Err(malformed(entry, "not a link, pipe or device"));
            }
        };
        let target = entry.link.as_deref().unwrap_or_default();
        if kind == FileType::Symlink && (target.is_empty() || target.contains(&0)) {
            return Err(malformed(entry, "a symbolic link without a usable target"));
        }
        let is_device = matches!(entry.kind, EntryType::Char | EntryType::Block);
        let device = entry.rdev.unwrap_or(0);
        expect_kind(
            entry,
            !is_device || entry.rdev.is_some(),
            "a device without a number",
        )?;
        let Some(spot) = self.spot(&entry.path)? else {
            return Ok(Done::Created);
        };
        if is_device && !self.options.devices {
            self.setter.note(&entry.path, NoteKind::DeviceLeft, None);
            return Ok(Done::Left);
        }
        let same = |there: &Stat| same_special(entry, there, &spot, self.setter.mode(entry));
        let done = self.decide(entry, &spot, same)?;
        if self.options.dry_run || done == Done::Kept {
            return Ok(done);
        }
        let make = |name: &[u8]| match kind {
            FileType::Symlink => rustix::fs::symlinkat(target, &spot.dir.fd, name),
            kind => rustix::fs::mknodat(&spot.dir.fd, name, kind, Mode::RUSR | Mode::WUSR, device),
        };
        let want = self.setter.wanted(entry);
        self.place(
            entry,
            &spot,
            done,
            Action::Create,
            make,
            |name| match spot.dir.stat(name) {
                Ok(Some(now)) => self
                    .setter
                    .apply_name(&spot.dir, name, &entry.path, &want, &now),
                Ok(None) => self
                    .setter
                    .note(&entry.path, NoteKind::Mode, Some(Errno::NOENT)),
                Err(errno) => self.setter.note(&entry.path, NoteKind::Mode, Some(errno)),
            },
        )
    }

    /// Makes something under its own name, or under a temporary one that then replaces what is there.
    fn place(
        &self,
        entry: &Entry,
        spot: &Spot<'_>,
        done: Done,
        action: Action,
        make: impl Fn(&[u8]) -> Result<(), Errno>,
        attributes: impl Fn(&[u8]),
    ) -> Result<Done, WriteError> {
        let fail = |action, errno| WriteError::io(&entry.path, action, errno);
        if done == Done::Created {
            make(spot.name).map_err(|errno| fail(action, errno))?;
            attributes(spot.name);
            return Ok(done);
        }
        let temporary = temporary_name(spot.name);
        fresh(&spot.dir, &temporary, || make(&temporary)).map_err(|errno| fail(action, errno))?;
        attributes(&temporary);
        let renamed = rustix::fs::renameat(&spot.dir.fd, &*temporary, &spot.dir.fd, spot.name);
        renamed.map_err(|errno| {
            rustix::fs::unlinkat(&spot.dir.fd, &*temporary, AtFlags::empty()).unwrap_or(());
            fail(Action::Rename, errno)
        })?;
        Ok(done)
    }

    /// What to do where something may be in the way; an empty directory in the way is removed already.
    fn decide(
        &self,
        entry: &Entry,
        spot: &Spot<'_>,
        same: impl Fn(&Stat) -> bool,
    ) -> Result<Done, WriteError> {
        let fail = |action, errno| WriteError::io(&entry.path, action, errno);
        let Some(there) = spot
            .dir
            .stat(spot.name)
            .map_err(|errno| fail(Action::Stat, errno))?
        else {
            return Ok(Done::Created);
        };
        match self.options.overwrite {
            Overwrite::Never => return Ok(Done::Kept),
            Overwrite::IfChanged if same(&there) => {
                self.mend_owner(entry, spot, &there);
                return Ok(Done::Kept);
            }
            Overwrite::IfChanged | Overwrite::Always => {}
        }
        if there.kind == Kind::Dir && !self.options.dry_run {
            self.dirs.forget(&entry.path);
            let removed = rustix::fs::unlinkat(&spot.dir.fd, spot.name, AtFlags::REMOVEDIR);
            removed.map_err(|errno| match errno {
                Errno::NOTEMPTY | Errno::EXIST => WriteError::InTheWay {
                    path: entry.path.clone(),
                },
                errno => fail(Action::Remove, errno),
            })?;
        }
        Ok(Done::Replaced)
    }

    /// A file that is kept may still belong to somebody else, or lack its extended attributes.
    fn mend_owner(&self, entry: &Entry, spot: &Spot<'_>, there: &Stat) {
        let same_owner = self.setter.owner(entry) == (there.uid, there.gid);
        if self.options.dry_run || (same_owner && entry.xattrs.is_empty()) {
            return;
        }
        let mut want = self.setter.wanted(entry);
        if same_owner {
            want.mode = there.mode;
        }
        self.setter
            .apply_name(&spot.dir, spot.name, &entry.path, &want, there);
    }

    /// Whether a file has the mode it is to get; or the one that was saved, set-id bits included: what is there
    /// already as it was saved loses nothing.
    fn is_mode(&self, entry: &Entry, there: &Stat) -> bool {
        there.mode == self.setter.mode(entry) || there.mode == entry.mode & 0o7777
    }

    /// Opens a regular file that is there, to compare its content (`--verify`).
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn open_existing(&self, path: &[u8]) -> Result<OwnedFd, WriteError> {
        let fail = |errno| WriteError::io(path, Action::Open, errno);
        let spot = self
            .spot_if_there(path)?
            .ok_or_else(|| fail(Errno::NOENT))?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = rustix::fs::openat(&spot.dir.fd, spot.name, flags, Mode::empty()).map_err(fail)?;
        let raw = rustix::fs::fstat(&fd).map_err(fail)?;
        if Stat::of(&raw).kind != Kind::File {
            return Err(fail(Errno::INVAL));
        }
        Ok(fd)
    }

    /// Attributes of what is at `path`, following no link; `None` if nothing is.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn stat(&self, path: &[u8]) -> Result<Option<Stat>, WriteError> {
        match self.spot_if_there(path)? {
            None => Ok(None),
            Some(spot) => spot
                .dir
                .stat(spot.name)
                .map_err(|errno| WriteError::io(path, Action::Stat, errno)),
        }
    }

    /// Directory and name of a path, with the directory made if missing; `None` in a dry run without it.
    pub(super) fn spot<'a>(&self, path: &'a [u8]) -> Result<Option<Spot<'a>>, WriteError> {
        if self.options.dry_run {
            return self.spot_if_there(path);
        }
        check_path(path).map_err(|reason| WriteError::BadPath {
            path: path.to_vec(),
            reason,
        })?;
        let (parent, name) = split_parent(path);
        let dir = self.dirs.get(parent, true)?;
        if dir.mark.covers(name) {
            return Err(WriteError::Home {
                path: path.to_vec(),
            });
        }
        Ok(Some(Spot { dir, name }))
    }

    pub(super) fn spot_if_there<'a>(&self, path: &'a [u8]) -> Result<Option<Spot<'a>>, WriteError> {
        check_path(path).map_err(|reason| WriteError::BadPath {
            path: path.to_vec(),
            reason,
        })?;
        let (parent, name) = split_parent(path);
        let dir = self.dirs.find(parent)?;
        if dir.as_ref().is_some_and(|dir| dir.mark.covers(name)) {
            return Err(WriteError::Home {
                path: path.to_vec(),
            });
        }
        Ok(dir.map(|dir| Spot { dir, name }))
    }
}

pub(super) fn expect_kind(
    entry: &Entry,
    right: bool,
    what: &'static str,
) -> Result<(), WriteError> {
    if right {
        Ok(())
    } else {
        Err(malformed(entry, what))
    }
}

fn malformed(entry: &Entry, what: &'static str) -> WriteError {
    WriteError::Malformed {
        path: entry.path.clone(),
        what,
    }
}
