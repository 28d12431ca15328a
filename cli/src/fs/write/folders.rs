//! Directories of the target: made at once, for us alone, and given their attributes when nothing below changes any more.

use std::os::fd::AsRawFd;

use packnback_proto::format::entry::{Entry, EntryType};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::attrs::Attributes;
use super::dirs::{make_dir, open_one};
use super::place::Spot;
use super::target::expect_kind;
use super::{Done, Overwrite, Report, Target, open};
use crate::fs::error::{Action, WriteError};
use crate::fs::home_mark::{HomeMark, home_mark};
use crate::fs::path::{is_at_or_below, path_cmp};
use crate::fs::stat::{Kind, Stat};

impl Target {
    /// Makes the directory of an entry. Its attributes are set by [`Target::finish`], when nothing below changes any more.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn add_dir(&self, entry: &Entry) -> Result<Done, WriteError> {
        expect_kind(entry, entry.kind == EntryType::Dir, "not a directory")?;
        let Some(spot) = self.spot(&entry.path)? else {
            return Ok(Done::Created);
        };
        let fail = |action, errno| WriteError::io(&entry.path, action, errno);
        let there = spot
            .dir
            .stat(spot.name)
            .map_err(|errno| fail(Action::Stat, errno))?;
        let done = match there {
            None => Done::Created,
            Some(stat) if stat.kind == Kind::Dir => Done::Kept,
            Some(_) if self.options.overwrite == Overwrite::Never => return Ok(Done::Kept),
            Some(_) => Done::Replaced,
        };
        if done == Done::Kept {
            self.refuse_home(&spot, entry)?;
        }
        if self.options.dry_run {
            return Ok(done);
        }
        if done == Done::Replaced {
            let removed = rustix::fs::unlinkat(&spot.dir.fd, spot.name, AtFlags::empty());
            removed.map_err(|errno| fail(Action::Remove, errno))?;
        }
        if done == Done::Kept {
            if self.options.overwrite == Overwrite::Never {
                return Ok(done);
            }
            self.make_accessible(&spot, there);
        } else {
            make_dir(&spot.dir, spot.name).map_err(|errno| fail(Action::Create, errno))?;
        }
        self.attributes_later(entry);
        Ok(done)
    }

    /// A directory on the way to what is restored: one above what was saved, or above what was asked for. It is
    /// used as it is found, a link to a directory too as long as it stays within the target. Only one that is made
    /// now gets its attributes, as they were saved.
    ///
    /// # Errors
    /// A refusal or what the system says.
    pub fn add_passage(&self, entry: &Entry) -> Result<Done, WriteError> {
        expect_kind(entry, entry.kind == EntryType::Dir, "not a directory")?;
        self.dirs.pass(&entry.path);
        let Some(spot) = self.spot(&entry.path)? else {
            return Ok(Done::Created);
        };
        let fail = |action, errno| WriteError::io(&entry.path, action, errno);
        let there = spot
            .dir
            .stat(spot.name)
            .map_err(|errno| fail(Action::Stat, errno))?;
        match there {
            None if self.options.dry_run => Ok(Done::Created),
            None => {
                make_dir(&spot.dir, spot.name).map_err(|errno| fail(Action::Create, errno))?;
                if let Ok(fd) = open_one(&spot.dir.fd, spot.name) {
                    open::set_unfinished(&fd, None);
                }
                self.attributes_later(entry);
                Ok(Done::Created)
            }
            Some(stat) if stat.kind == Kind::Dir => {
                self.refuse_home(&spot, entry)?;
                let fd = open_one(&spot.dir.fd, spot.name);
                let is_ours = fd.is_ok_and(|fd| open::unfinished(&fd).is_some());
                if is_ours && !self.options.dry_run {
                    self.attributes_later(entry);
                }
                Ok(Done::Kept)
            }
            Some(_) => match self.dirs.open_passage(&entry.path) {
                Ok(_) => Ok(Done::Kept),
                Err(_) => Err(WriteError::NotADirectory {
                    path: entry.path.clone(),
                }),
            },
        }
    }

    fn attributes_later(&self, entry: &Entry) {
        self.dirs.named(&entry.path);
        let own = (entry.path.as_slice().into(), self.setter.wanted(entry));
        self.made.lock().push(own);
    }

    /// The folder of a node keeps its own attributes, too.
    fn refuse_home(&self, spot: &Spot<'_>, entry: &Entry) -> Result<(), WriteError> {
        let is_home = open_one(&spot.dir.fd, spot.name)
            .is_ok_and(|fd| home_mark(&fd, |_| true) == HomeMark::Whole);
        if is_home {
            return Err(WriteError::Home {
                path: entry.path.clone(),
            });
        }
        Ok(())
    }

    /// Without privileges, a directory restored earlier may be closed to us: open it until the end.
    fn make_accessible(&self, spot: &Spot<'_>, there: Option<Stat>) {
        let closed = there.is_some_and(|stat| stat.mode & 0o700 != 0o700);
        if closed && !self.setter.privileged() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
            if let Ok(pinned) = rustix::fs::openat(&spot.dir.fd, spot.name, flags, Mode::empty()) {
                // If this fails, creating files in it fails too and is reported then.
                rustix::fs::chmod(format!("/proc/self/fd/{}", pinned.as_raw_fd()), Mode::RWXU)
                    .unwrap_or(());
            }
        }
    }

    /// Sets the attributes of all directories, deepest first, and tells what was worth a note. To be called
    /// when all files are finished. `roots`: what was saved; folders above that no entry describes are made as
    /// anybody makes one.
    #[must_use]
    pub fn finish(&self, roots: &[Vec<u8>]) -> Report {
        let mut made = std::mem::take(&mut *self.made.lock());
        made.sort_by(|(a, _), (b, _)| path_cmp(b, a));
        let mut errors = Vec::new();
        for (path, want) in &made {
            if let Err(error) = self.finish_dir(path, want) {
                errors.push(error);
            }
        }
        self.finish_unnamed(roots, &mut errors);
        if let (Some(mode), Some(fd)) = (self.made_target, self.dirs.root_fd())
            && !self.options.dry_run
            && let Err(errno) = open::finish(fd, mode)
        {
            errors.push(WriteError::io(&[], Action::SetAttributes, errno));
        }
        self.dirs.close();
        let (notes, note_counts) = self.setter.take_notes();
        Report {
            notes,
            note_counts,
            errors,
        }
    }

    fn finish_dir(&self, path: &[u8], want: &Attributes) -> Result<(), WriteError> {
        let fail = |errno| WriteError::io(path, Action::SetAttributes, errno);
        let spot = self
            .spot_if_there(path)?
            .ok_or_else(|| fail(Errno::NOENT))?;
        let fd = open_one(&spot.dir.fd, spot.name).map_err(fail)?;
        let now = Stat::of(&rustix::fs::fstat(&fd).map_err(fail)?);
        self.setter.apply_fd(&fd, path, want, &now, true);
        Ok(())
    }

    fn finish_unnamed(&self, roots: &[Vec<u8>], errors: &mut Vec<WriteError>) {
        let is_above = |path: &[u8]| {
            let mut roots = roots.iter();
            roots.any(|root| root.len() > path.len() && is_at_or_below(root, path))
        };
        let unnamed = self.dirs.take_unnamed();
        let above: Vec<_> = unnamed.iter().filter(|path| is_above(path)).collect();
        if above.is_empty() {
            return;
        }
        // Asked for by setting it: there is no other way.
        let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
        rustix::process::umask(mask);
        let mode = Mode::from_raw_mode(0o777).difference(mask);
        for path in above {
            let set = self.spot_if_there(path).and_then(|spot| {
                let fail = |errno| WriteError::io(path, Action::SetAttributes, errno);
                let spot = spot.ok_or_else(|| fail(Errno::NOENT))?;
                let fd = open_one(&spot.dir.fd, spot.name).map_err(fail)?;
                rustix::fs::fchmod(&fd, mode).map_err(fail)
            });
            errors.extend(set.err());
        }
    }
}
