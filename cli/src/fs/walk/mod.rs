//! Listing trees: every file once, in the order of the format, whatever goes wrong on the way.

mod list;
mod pool;
mod roots;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use list::{Lister, Place, Scratch, Work};
use pool::{Node, Out, Pool};
use roots::Roots;
pub use sources::{FollowedLink, Sources};

use super::dir::{Dir, FdCache};
use super::error::Problem;
use super::exclude::Excludes;
use super::stat::Stat;

/// What to walk and what to leave out.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions {
    /// Patterns of what is left out. The roots themselves are never left out.
    pub excludes: Excludes,
    /// Directories marked by a valid `CACHEDIR.TAG` are saved empty but for the tag.
    pub exclude_caches: bool,
    /// Regular files larger than this many bytes are left out.
    pub exclude_larger_than: Option<u64>,
    /// Directories on another file system than their root are saved empty.
    pub one_file_system: bool,
    /// Files left out by (device, inode), with what is below them: our own folders.
    pub exclude_inodes: Vec<(u64, u64)>,
    /// Helper threads; 0 does everything in the caller's thread. Default: as many as there are cores, at most 4.
    pub threads: Option<usize>,
}

/// A file system node the walk has found.
#[derive(Debug, Clone)]
pub struct Item {
    /// The directory it is in: opens it without a path.
    pub dir: Arc<Dir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its attributes.
    pub stat: Stat,
    /// At or below a root, and not only on the way to one.
    pub inside: bool,
}

impl Item {
    /// Stored path.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_path(&mut out);
        out
    }

    /// Appends the stored path to `out`.
    pub fn push_path(&self, out: &mut Vec<u8>) {
        self.dir.push_child_path(&self.name, out);
    }
}

/// Why a file is not saved although it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Sockets have no content and belong to a running program.
    Socket,
    /// A kind of file this program does not know.
    UnknownKind,
}

/// Why a node is left out although it could be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftWhy {
    /// It belongs to the home of a node.
    Home,
    /// It is larger than was asked for.
    Larger,
    /// It is on another file system than was asked for.
    FileSystem,
}

/// One step of the walk.
#[derive(Debug)]
pub enum WalkItem {
    /// A node to save. A directory comes before what is in it.
    Entry(Item),
    /// A node that is never saved; worth a note.
    Skipped {
        /// The node.
        item: Item,
        /// Why.
        reason: SkipReason,
    },
    /// A node, or all that is in it, that is left out for another reason than a pattern or a mark in its folder.
    Left {
        /// Stored path.
        path: Vec<u8>,
        /// Why.
        why: LeftWhy,
    },
    /// Something could not be read. The walk goes on.
    Problem(Problem),
}

/// A walk over one or several roots. See the module documentation.
pub struct Walk {
    roots: Vec<Vec<u8>>,
    pool: Arc<Pool>,
    helpers: Vec<JoinHandle<()>>,
    frames: Vec<std::vec::IntoIter<Out>>,
    scratch: Scratch,
}

impl Walk {
    /// Starts a walk. Relative roots are relative to `cwd`.
    #[must_use]
    pub fn new(roots: &[PathBuf], cwd: &Path, options: WalkOptions) -> Walk {
        Walk::over(Sources::resolve(roots, cwd), options)
    }

    /// Starts a walk over what was found.
    #[must_use]
    pub fn over(sources: Sources, options: WalkOptions) -> Walk {
        let (found, problems) = sources.take();
        let tree = Roots::new(&found);
        let top = Dir::top(FdCache::new(fd_budget()));
        // Should even the top not open, listing it says so.
        let device = top
            .fd()
            .ok()
            .and_then(|_| top.identity())
            .map_or(0, |(device, _)| device);
        let threads = options.threads.unwrap_or_else(default_threads);
        let pool = Pool::new(Lister {
            options,
            excluded: AtomicU64::new(0),
        });
        let inside = tree.is_root;
        let place = Place {
            dir: top,
            inside,
            roots: tree.leads_on().then(|| Arc::new(tree)),
            device,
            root_len: 0,
        };
        let problems = problems
            .into_iter()
            .map(|p| Out::Emit(WalkItem::Problem(p)));
        let walk = Out::Expand(Node::new(Work::Dir(place)));
        let first: Vec<Out> = problems.chain([walk]).collect();
        let helpers = (0..threads)
            .filter_map(|number| spawn_helper(&pool, number))
            .collect();
        Walk {
            roots: found.into_iter().map(|source| source.path).collect(),
            pool,
            helpers,
            frames: vec![first.into_iter()],
            scratch: Scratch::new(),
        }
    }

    /// The roots that are there, as stored paths: clean, sorted, each once.
    #[must_use]
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// Files left out so far by patterns, size, cache tags or as our own. What lies below a directory that is
    /// left out is not counted.
    #[must_use]
    pub fn excluded(&self) -> u64 {
        self.pool.lister.excluded.load(Ordering::Relaxed)
    }
}

impl Iterator for Walk {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
        loop {
            match self.frames.last_mut()?.next() {
                Some(Out::Emit(item)) => return Some(item),
                Some(Out::Expand(node)) => {
                    let outs = self.pool.get(&node, &mut self.scratch);
                    self.frames.push(outs.into_iter());
                }
                None => {
                    self.frames.pop();
                }
            }
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.pool.stop();
        for helper in self.helpers.drain(..) {
            // A helper that panicked has said so itself; the walk did its work.
            helper.join().unwrap_or(());
        }
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}

fn spawn_helper(pool: &Arc<Pool>, number: usize) -> Option<JoinHandle<()>> {
    let pool = Arc::clone(pool);
    // Without helpers the walk is slower, not wrong.
    std::thread::Builder::new()
        .name(format!("walk-{number}"))
        .spawn(move || pool.help())
        .ok()
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

/// Directories kept open: a quarter of what the process may open at all, the rest is for files and sockets.
fn fd_budget() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(4096);
    usize::try_from(limit / 4)
        .unwrap_or(usize::MAX)
        .clamp(8, 512)
}
