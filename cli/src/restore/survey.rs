//! A look at the target before anything is written: whether there is room, and what is newer there than in
//! the snapshot.

use std::path::Path;

use packnback_proto::format::entry::{Entry, EntryType, FileData, Part};

use super::held::Held;
use super::options::{RestoreError, RestoreOptions};
use super::select::Selection;
use super::totals::check_totals;
use crate::fs::{Kind, Overwrite, Stat, Target, is_at_or_below};
use crate::keys::ReaderKeys;
use crate::snapshot::{Found, ObjectSource, Piece, Reader, Snapshot, Tables};

/// Paths that are named.
const NAMED_MAX: usize = 4096;
const BLOCK: u64 = 512;

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// Stored paths of what is newer in the target than in the snapshot and would be overwritten.
    pub newer: Vec<Vec<u8>>,
    /// How many more.
    pub newer_more: u64,
}

/// Looks at the target. Reads the tree only if something is there already, or room may be short.
///
/// # Errors
/// When there is too little room, or the snapshot contradicts itself, or does not say what it left out
/// though something is to be removed.
pub fn survey(
    options: &RestoreOptions,
    keys: &ReaderKeys,
    source: &dyn ObjectSource,
) -> Result<Survey, RestoreError> {
    keys.check_contents()?;
    let open = Snapshot::open(source, keys, &options.snapshot)?;
    let root = open.root();
    check_totals(root)?;
    if options.delete {
        Held::of(root)?;
    }
    let mut write = options.write.clone();
    write.dry_run = true;
    let target = Target::open(&options.target, write).map_err(|e| RestoreError::Target {
        path: options.target.clone(),
        reason: e.to_string(),
    })?;
    let free = target.free_bytes().or_else(|| free_above(&options.target));
    let is_short = free.is_some_and(|free| free < root.stats.bytes);
    let is_there = !target.is_empty() && !target.is_made();
    let looks = is_there && options.write.overwrite != Overwrite::Never;
    if !looks && !is_short {
        return Ok(Survey::default());
    }
    let mut look = Look {
        reader: open.reader(),
        target: &target,
        looks,
        measures: is_short && !options.ignore_space && !options.dry_run,
        needed: 0,
        freed: 0,
        foreign: None,
        found: Survey::default(),
    };
    let mut selection = Selection::new(options, &root.paths);
    for found in open.parts(options.below.as_deref()) {
        // What is lost is told by the restore itself.
        let Found::Part(part) = found? else {
            continue;
        };
        for entry in part.entries {
            for wanted in selection.next(entry) {
                look.entry(&wanted.entry, wanted.is_passage, &part.tables);
            }
        }
        if options.cancel.is_cancelled() {
            break;
        }
    }
    let needed = look.needed.saturating_sub(look.freed);
    match free {
        Some(free) if look.measures && needed > free => Err(RestoreError::Space {
            path: options.target.clone(),
            needed,
            free,
        }),
        _ => Ok(look.found),
    }
}

/// Where the target is not there yet: of the nearest folder that is.
fn free_above(target: &Path) -> Option<u64> {
    let target = std::path::absolute(target).ok()?;
    let found = target
        .ancestors()
        .find_map(|dir| rustix::fs::statvfs(dir).ok())?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

struct Look<'a> {
    reader: Reader<'a>,
    target: &'a Target,
    looks: bool,
    measures: bool,
    needed: u64,
    freed: u64,
    /// The last folder that is on another file system than the target.
    foreign: Option<Vec<u8>>,
    found: Survey,
}

impl Look<'_> {
    fn entry(&mut self, entry: &Entry, is_passage: bool, tables: &Tables) {
        let there = self.target.stat(&entry.path).ok().flatten();
        if self.looks && !is_passage && there.is_some_and(|there| is_newer(entry, &there)) {
            if self.found.newer.len() < NAMED_MAX {
                self.found.newer.push(entry.path.clone());
            } else {
                self.found.newer_more = self.found.newer_more.saturating_add(1);
            }
        }
        if self.measures {
            self.measure(entry, there, tables);
        }
    }

    /// Adds up what is to be written into the file system of the target, holes left out.
    fn measure(&mut self, entry: &Entry, there: Option<Stat>, tables: &Tables) {
        let is_under = |dir: &Vec<u8>| is_at_or_below(&entry.path, dir);
        if self.foreign.as_ref().is_some_and(is_under) {
            return;
        }
        if entry.kind == EntryType::Dir {
            let device = self.target.device();
            if there.is_some_and(|there| Some(there.dev) != device) {
                self.foreign = Some(entry.path.clone());
            }
            return;
        }
        let Some(data) = &entry.data else { return };
        if let Some(there) = there.filter(|there| there.kind == Kind::File) {
            if there.size == entry.size && there.mtime_ns == entry.mtime_ns {
                return;
            }
            self.freed = self
                .freed
                .saturating_add(there.blocks.saturating_mul(BLOCK));
        }
        let bytes = match data {
            FileData::Pack { len, .. } => u64::from(*len),
            FileData::Chunks { parts, .. } => parts.iter().map(chunk_len).sum(),
            FileData::Maps { refs: maps } => {
                // What is wrong with one is told by the restore itself.
                let maps = maps.iter().map(|map| {
                    let id = tables.object(*map);
                    self.reader.map(id, self.reader.ask(&[id])?)
                });
                let pieces = maps.flatten().flat_map(|map| map.pieces);
                let chunks = pieces.filter(|piece| matches!(piece, Piece::Chunk(_)));
                chunks.map(|chunk| chunk.len()).sum()
            }
        };
        self.needed = self.needed.saturating_add(bytes);
    }
}

fn chunk_len(part: &Part) -> u64 {
    match part {
        Part::Chunk { len, .. } => u64::from(*len),
        Part::Hole { .. } => 0,
    }
}

/// Whether somebody has changed in the target, after it was saved, what is to be overwritten.
fn is_newer(entry: &Entry, there: &Stat) -> bool {
    there.kind != Kind::Dir && there.mtime_ns > entry.mtime_ns
}
