//! Listing one directory: names in order, attributes, what is left out.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::pool::{Node, Out};
use super::roots::Roots;
use super::{Item, LeftWhy, SkipReason, WalkItem, WalkOptions};
use crate::fs::dir::{Dir, stat_at};
use crate::fs::error::{Action, Problem};
use crate::fs::home_mark::{HomeMark, home_mark};
use crate::fs::stat::{Kind, Stat};

/// Directories with more names than this are read in several blocks.
const BLOCK: usize = 1024;

/// Name of the file that marks a cache.
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";

/// What that file must begin with (bford.info/cachedir).
const CACHE_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Something to list.
pub(super) enum Work {
    /// A directory.
    Dir(Place),
    /// Some of the names of a directory.
    Block {
        place: Arc<Place>,
        names: Arc<Names>,
        from: usize,
    },
}

/// A directory and what holds in it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) dir: Arc<Dir>,
    /// At or below a root. Otherwise only what leads to roots is listed.
    pub(super) inside: bool,
    /// Roots below.
    pub(super) roots: Option<Arc<Roots>>,
    /// File system of the root this belongs to.
    pub(super) device: u64,
    /// Length of the stored path of the outermost root this belongs to: patterns see what is behind.
    pub(super) root_len: usize,
}

/// Memory that is used again for every directory.
pub(super) struct Scratch {
    buf: Vec<u8>,
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch {
            buf: Vec::with_capacity(32 << 10),
        }
    }
}

/// Names of a directory, sorted.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a name is among the bytes.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Names {
    fn push(&mut self, name: &[u8]) -> Result<(), Errno> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| Errno::FBIG)?;
        self.bytes.extend_from_slice(name);
        let end = u32::try_from(self.bytes.len()).map_err(|_| Errno::FBIG)?;
        self.spans.push(Span { start, end });
        Ok(())
    }

    fn name(bytes: &[u8], span: Span) -> &[u8] {
        let start = usize::try_from(span.start).unwrap_or(usize::MAX);
        let end = usize::try_from(span.end).unwrap_or(usize::MAX);
        bytes.get(start..end).unwrap_or_default()
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.spans
            .sort_unstable_by(|&a, &b| Names::name(bytes, a).cmp(Names::name(bytes, b)));
    }

    fn iter(&self, from: usize, count: usize) -> impl Iterator<Item = &[u8]> {
        self.spans
            .iter()
            .skip(from)
            .take(count)
            .map(|&span| Names::name(&self.bytes, span))
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.spans
            .binary_search_by(|&span| Names::name(&self.bytes, span).cmp(name))
            .is_ok()
    }

    /// Only the names for which `keep` says so.
    fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let bytes = &self.bytes;
        self.spans.retain(|&span| keep(Names::name(bytes, span)));
    }
}

/// A directory found in another.
struct Below<'a> {
    name: &'a [u8],
    stat: &'a Stat,
    /// What is in it is saved.
    inside: bool,
    /// It was named by whoever asked for the backup.
    is_root: bool,
}

/// Lists directories by the options of the walk.
pub(super) struct Lister {
    pub(super) options: WalkOptions,
    pub(super) excluded: AtomicU64,
}

impl Lister {
    /// Does a piece of work.
    pub(super) fn run(&self, work: Work, scratch: &mut Scratch) -> Vec<Out> {
        let mut outs = Vec::new();
        let (place, names, from) = match work {
            Work::Block { place, names, from } => (place, names, from),
            Work::Dir(place) => match self.names(&place, scratch, &mut outs) {
                Ok(names) => (Arc::new(place), Arc::new(names), 0),
                Err((action, errno)) => {
                    return vec![Out::Emit(WalkItem::Problem(Problem::new(
                        place.dir.path(),
                        action,
                        errno,
                    )))];
                }
            },
        };
        if from == 0 && names.spans.len() > BLOCK {
            let blocks = (0..names.spans.len()).step_by(BLOCK);
            outs.extend(blocks.map(|from| Out::Expand(Node::new(block(&place, &names, from)))));
            return outs;
        }
        // A block's number is `from + 1`, so that the first one is not cut into blocks again.
        self.stat_all(&place, names.iter(from.saturating_sub(1), BLOCK), &mut outs);
        outs
    }

    /// The names to look at in a directory, sorted.
    fn names(
        &self,
        place: &Place,
        scratch: &mut Scratch,
        outs: &mut Vec<Out>,
    ) -> Result<Names, (Action, std::io::Error)> {
        let mut names = Names::default();
        let roots_below = place.roots.iter().flat_map(|roots| roots.below.keys());
        if !place.inside {
            for name in roots_below {
                names
                    .push(name)
                    .map_err(|errno| (Action::ListDir, errno.into()))?;
            }
            if let Ok(fd) = place.dir.fd() {
                leave_home(place, &home_mark(&fd, |_| true), &mut names, outs);
            }
            return Ok(names);
        }
        let fd = place.dir.fd().map_err(|error| (Action::OpenDir, error))?;
        let moved = place
            .dir
            .identity()
            .is_some_and(|(device, _)| device != place.device);
        if self.options.one_file_system && moved {
            outs.push(left(place.dir.path(), LeftWhy::FileSystem));
            return Ok(names);
        }
        read_names(&fd, scratch, &mut names).map_err(|errno| (Action::ListDir, errno.into()))?;
        names.sort();
        if self.options.exclude_caches && names.contains(CACHE_TAG) && is_cache(&fd) {
            let all = names.spans.len();
            let is_root = |name: &[u8]| {
                place
                    .roots
                    .as_ref()
                    .is_some_and(|roots| roots.below.contains_key(name))
            };
            names.retain(|name| name == CACHE_TAG || is_root(name));
            self.count_excluded(all - names.spans.len());
        }
        let missing: Vec<&Box<[u8]>> = roots_below.filter(|name| !names.contains(name)).collect();
        if !missing.is_empty() {
            for name in missing {
                names
                    .push(name)
                    .map_err(|errno| (Action::ListDir, errno.into()))?;
            }
            names.sort();
        }
        let mark = home_mark(&fd, |name| names.contains(name));
        leave_home(place, &mark, &mut names, outs);
        Ok(names)
    }

    fn stat_all<'a>(
        &self,
        place: &Arc<Place>,
        names: impl Iterator<Item = &'a [u8]>,
        outs: &mut Vec<Out>,
    ) {
        outs.reserve(names.size_hint().1.unwrap_or(0));
        match place.dir.fd() {
            Ok(fd) => names.for_each(|name| self.stat_one(place, &fd, name, outs)),
            Err(error) => {
                let problem = Problem::new(place.dir.path(), Action::OpenDir, error);
                outs.push(Out::Emit(WalkItem::Problem(problem)));
            }
        }
    }

    fn stat_one(&self, place: &Place, fd: &OwnedFd, name: &[u8], outs: &mut Vec<Out>) {
        let roots = place.roots.as_ref().and_then(|roots| roots.below.get(name));
        let leads_on = roots.is_some_and(|roots| roots.leads_on());
        let stat = if leads_on {
            stat_followed(fd, name)
        } else {
            stat_at(fd, name)
        };
        let stat = match stat {
            Ok(stat) => stat,
            Err(error) => {
                let mut path = Vec::new();
                place.dir.push_child_path(name, &mut path);
                outs.push(Out::Emit(WalkItem::Problem(Problem::new(
                    path,
                    Action::Stat,
                    error,
                ))));
                return;
            }
        };
        let is_root = roots.is_some_and(|roots| roots.is_root);
        if self.is_larger(place, &stat, is_root) {
            let mut path = Vec::new();
            place.dir.push_child_path(name, &mut path);
            outs.push(left(path, LeftWhy::Larger));
            self.count_excluded(1);
            return;
        }
        let left_out = self.leaves_out(place, name, &stat, is_root);
        if left_out && !leads_on {
            self.count_excluded(1);
            return;
        }
        let item = Item {
            dir: Arc::clone(&place.dir),
            name: name.into(),
            stat,
            inside: is_root || place.inside,
        };
        let reason = match stat.kind {
            Kind::Socket => SkipReason::Socket,
            Kind::Unknown => SkipReason::UnknownKind,
            kind => {
                outs.push(Out::Emit(WalkItem::Entry(item)));
                if kind == Kind::Dir {
                    let inside = is_root || (place.inside && !left_out);
                    let below = Below {
                        name,
                        stat: &stat,
                        inside,
                        is_root,
                    };
                    self.descend(place, &below, roots, outs);
                }
                return;
            }
        };
        outs.push(Out::Emit(WalkItem::Skipped { item, reason }));
    }

    /// Adds the content of a directory to what is to come.
    fn descend(
        &self,
        place: &Place,
        below: &Below<'_>,
        roots: Option<&Arc<Roots>>,
        outs: &mut Vec<Out>,
    ) {
        let Below {
            name,
            stat,
            inside,
            is_root,
        } = *below;
        let leads_on = roots.is_some_and(|roots| roots.leads_on());
        let device = if is_root { stat.dev } else { place.device };
        let foreign = self.options.one_file_system && inside && stat.dev != device;
        if foreign {
            let mut path = Vec::new();
            place.dir.push_child_path(name, &mut path);
            outs.push(left(path, LeftWhy::FileSystem));
        }
        let inside = inside && !foreign;
        if !inside && !leads_on {
            return;
        }
        let dir = place.dir.child(name, leads_on);
        let root_len = match place.inside {
            true => place.root_len,
            false => dir.path_len(),
        };
        let roots = roots.filter(|roots| roots.leads_on()).cloned();
        let handle = roots.as_ref().and_then(|roots| roots.handle.as_ref());
        let dir = match handle.filter(|_| !inside) {
            Some(handle) => dir.held(handle),
            None => dir,
        };
        outs.push(Out::Expand(Node::new(Work::Dir(Place {
            dir,
            inside,
            roots,
            device,
            root_len,
        }))));
    }

    fn is_larger(&self, place: &Place, stat: &Stat, is_root: bool) -> bool {
        let limit = self.options.exclude_larger_than;
        stat.kind == Kind::File
            && place.inside
            && !is_root
            && limit.is_some_and(|limit| stat.size > limit)
    }

    fn leaves_out(&self, place: &Place, name: &[u8], stat: &Stat, is_root: bool) -> bool {
        let options = &self.options;
        if options.exclude_inodes.contains(&(stat.dev, stat.ino)) {
            return true;
        }
        if is_root || !place.inside {
            return false;
        }
        let is_dir = stat.kind == Kind::Dir;
        options
            .excludes
            .decide(name, Some(place.root_len), is_dir, || {
                let mut path = Vec::new();
                place.dir.push_child_path(name, &mut path);
                path
            })
    }

    fn count_excluded(&self, count: usize) {
        self.excluded
            .fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Takes out what belongs to the home of a node, also what was named as a root: a store would grow by itself with
/// every backup of it, and keys have no business in one.
fn leave_home(place: &Place, mark: &HomeMark, names: &mut Names, outs: &mut Vec<Out>) {
    match mark {
        HomeMark::None => return,
        HomeMark::Whole => outs.push(left(place.dir.path(), LeftWhy::Home)),
        HomeMark::Names(covered) => {
            for name in covered.iter().filter(|name| names.contains(name)) {
                let mut path = Vec::new();
                place.dir.push_child_path(name, &mut path);
                outs.push(left(path, LeftWhy::Home));
            }
        }
    }
    names.retain(|name| !mark.covers(name));
}

fn left(path: Vec<u8>, why: LeftWhy) -> Out {
    Out::Emit(WalkItem::Left { path, why })
}

fn block(place: &Arc<Place>, names: &Arc<Names>, from: usize) -> Work {
    Work::Block {
        place: Arc::clone(place),
        names: Arc::clone(names),
        from: from + 1,
    }
}

/// Attributes of an ancestor of a root: the person named a path through it, so links are followed.
fn stat_followed(fd: &OwnedFd, name: &[u8]) -> std::io::Result<Stat> {
    Ok(Stat::of(&rustix::fs::statat(fd, name, AtFlags::empty())?))
}

/// All names but `.` and `..`, as they come.
fn read_names(fd: &OwnedFd, scratch: &mut Scratch, names: &mut Names) -> Result<(), Errno> {
    scratch.buf.clear();
    let mut entries = RawDir::new(fd.as_fd(), scratch.buf.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            // Opened only to pass through, as it may not be read.
            Err(Errno::BADF) => return Err(Errno::ACCESS),
            other => other?,
        };
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name)?;
        }
    }
    Ok(())
}

/// Whether the directory holds a tag with the right signature: a regular file, not a link.
fn is_cache(fd: &OwnedFd) -> bool {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let Ok(file) = rustix::fs::openat(fd, CACHE_TAG, flags, Mode::empty()) else {
        return false;
    };
    let regular = rustix::fs::fstat(&file).is_ok_and(|raw| Stat::of(&raw).kind == Kind::File);
    let mut start = [0_u8; CACHE_SIGNATURE.len()];
    regular
        && rustix::io::pread(&file, &mut start, 0).is_ok_and(|n| n == start.len())
        && start == *CACHE_SIGNATURE
}
