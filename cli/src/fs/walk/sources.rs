//! The given paths, resolved once: the kernel says what each one is, and the folder it lies in stays open.
//!
//! A path is a text only until here. `link/../x` is what the kernel finds there, not what the text looks like;
//! and what is walked later is what was found now, by the open folder, whatever the text leads to by then.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::fs::dir::stat_at;
use crate::fs::error::{Action, Problem};
use crate::fs::path::{check_path, join, path_cmp, split_parent, stored_path};
use crate::fs::stat::Kind;

/// Folders kept open; of more paths in more folders than that, the others are looked for again.
const HELD_MAX: usize = 64;

/// A path that is there.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Stored path: no `.`, `..` or empty name in it.
    pub(super) path: Vec<u8>,
    /// The folder it is in, if it is held; never for `/`.
    pub(super) parent: Option<Arc<OwnedFd>>,
}

/// A link that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedLink {
    /// Its stored path.
    pub link: Vec<u8>,
    /// Stored path of what it points to.
    pub target: Vec<u8>,
}

/// What a walk starts from.
#[derive(Debug, Default)]
pub struct Sources {
    found: Vec<Source>,
    named: Vec<Vec<u8>>,
    paths: Vec<Vec<u8>>,
    links: Vec<FollowedLink>,
    problems: Vec<Problem>,
    held: HashMap<Vec<u8>, Arc<OwnedFd>>,
}

impl Sources {
    /// Looks up each path. What is not there is a problem of its own, the rest is walked. Of a symbolic link
    /// both are taken: the link, and what it points to at its own place.
    #[must_use]
    pub fn resolve(given: &[PathBuf], cwd: &Path) -> Sources {
        let mut sources = Sources::default();
        for path in given {
            let (source, kind) = match sources.find(path, cwd) {
                Ok(found) => found,
                Err(error) => {
                    let path = stored_path(path, cwd);
                    let problem = Problem::new(path.clone(), Action::Stat, error);
                    sources.problems.push(problem);
                    sources.named.push(path);
                    continue;
                }
            };
            sources.named.push(source.path.clone());
            if kind == Kind::Symlink {
                sources.follow(&source.path);
            }
            sources.found.push(source);
        }
        sources.found.sort_by(|a, b| path_cmp(&a.path, &b.path));
        sources.found.dedup_by(|a, b| a.path == b.path);
        sources.named.sort_by(|a, b| path_cmp(a, b));
        sources.named.dedup();
        let all = sources.found.iter().map(|source| source.path.clone());
        sources.paths = all.chain(sources.named.iter().cloned()).collect();
        sources.paths.sort_by(|a, b| path_cmp(a, b));
        sources.paths.dedup();
        sources
    }

    /// Takes what a link points to as well.
    fn follow(&mut self, link: &[u8]) {
        let absolute = [b"/".as_slice(), link].concat();
        let target = std::fs::canonicalize(OsStr::from_bytes(&absolute))
            .and_then(|real| self.find(&real, Path::new("/")));
        match target {
            Ok((target, _)) => {
                self.links.push(FollowedLink {
                    link: link.to_vec(),
                    target: target.path.clone(),
                });
                self.found.push(target);
            }
            Err(error) => {
                let problem = Problem::new(link.to_vec(), Action::Follow, error);
                self.problems.push(problem);
            }
        }
    }

    /// The paths as given, as stored paths: clean, in order, each once, also those that are not there.
    #[must_use]
    pub fn named(&self) -> &[Vec<u8>] {
        &self.named
    }

    /// These and what links among them point to.
    #[must_use]
    pub fn paths(&self) -> &[Vec<u8>] {
        &self.paths
    }

    /// Links that were given, with what they point to.
    #[must_use]
    pub fn links(&self) -> &[FollowedLink] {
        &self.links
    }

    /// What is there, and what is not.
    pub(super) fn take(self) -> (Vec<Source>, Vec<Problem>) {
        (self.found, self.problems)
    }

    /// Finds one path, with what kind of file it is; a link is not followed.
    fn find(&mut self, path: &Path, cwd: &Path) -> io::Result<(Source, Kind)> {
        let path = kernel_path(path, cwd)?;
        if path.is_empty() {
            let source = Source { path, parent: None };
            return Ok((source, Kind::Dir));
        }
        check_path(&path).map_err(|bad| io::Error::new(io::ErrorKind::InvalidFilename, bad))?;
        let (above, name) = split_parent(&path);
        let parent = match self.held.get(above) {
            Some(parent) => Arc::clone(parent),
            None => Arc::new(open_folder(above)?),
        };
        let kind = stat_at(&parent, name)?.kind;
        let room = self.held.len() < HELD_MAX;
        if room {
            self.held.insert(above.to_vec(), Arc::clone(&parent));
        }
        let parent = Some(parent).filter(|_| room || self.held.contains_key(above));
        Ok((Source { path, parent }, kind))
    }
}

fn open_folder(path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let absolute = [b"/".as_slice(), path].concat();
    Ok(rustix::fs::openat(
        CWD,
        absolute.as_slice(),
        flags,
        Mode::empty(),
    )?)
}

/// The stored path of what the kernel finds under a path.
fn kernel_path(path: &Path, cwd: &Path) -> io::Result<Vec<u8>> {
    let text = path.as_os_str().as_bytes();
    if text.is_empty() {
        return Err(Errno::NOENT.into());
    }
    let names: Vec<&[u8]> = text
        .split(|&b| b == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .collect();
    let last_up = names.iter().rposition(|name| *name == b"..");
    let (up, down) = names.split_at(last_up.map_or(0, |at| at.saturating_add(1)));
    // Only the kernel knows where `..` leads.
    let base = if up.is_empty() {
        stored_path(Path::new(if path.is_absolute() { "/" } else { "." }), cwd)
    } else {
        let start = if path.is_absolute() {
            Path::new("/")
        } else {
            cwd
        };
        let up = start.join(OsStr::from_bytes(&up.join(&b'/')));
        stored_path(&std::fs::canonicalize(up)?, Path::new("/"))
    };
    Ok(down.iter().fold(base, |path, name| join(&path, name)))
}
