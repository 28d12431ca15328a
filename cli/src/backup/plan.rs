//! The planner: follows the walk, cuts it into runs of entries that become segments, and decides
//! for each run whether it is stored already, and if not, which of its files have to be read.
//!
//! Where a run ends depends on paths and sizes alone, so that a change in one place leaves all
//! other segments as they are.

use std::collections::{HashMap, HashSet};

use crossbeam_channel::Sender;
use packnback_proto::limits::{CHUNK_MIN, REFS_MAX, SEGMENT_ENTRIES_MAX, SEGMENT_RAW_MAX};

use super::ctx::Ctx;
use super::devices::Devices;
use super::report::BackupError;
use super::reread::Turns;
use super::stage::{Batch, GroupEnd, Message, Planned, Reused, Step};
use super::stale::Watch;
use crate::cache::{DataRef, FileKey, FileRecord, Hash16, PathHash, SegmentRecord};
use crate::fs::{Item, Kind, LeftWhy, SkipReason, Walk, WalkItem};
use crate::pipeline::{Permit, Stop};
use crate::progress::Counters;

/// Entries of one batch at most.
const BATCH_ENTRIES: usize = 256;
/// Bytes to be read for one batch, roughly.
const BATCH_BYTES: u64 = 2 << 20;
/// Memory of one planned entry beside its path.
const ENTRY_BYTES: usize = 512;
/// Estimated bytes of an entry in a segment beside path and chunks.
const ENTRY_RAW: usize = 256;
/// Estimated bytes of one chunk in an entry.
const CHUNK_RAW: usize = 48;

/// Segments of earlier runs that are still on the node, by print.
pub(super) type Known = HashMap<Hash16, SegmentRecord>;

pub(super) struct Planner<'a, 'c> {
    ctx: &'a Ctx<'c>,
    known: Known,
    turns: Turns,
    batches: Sender<Batch>,
    out: Sender<Message>,
    run: Run,
    watch: Watch,
    devices: Devices,
    links: HashSet<[u8; 8]>,
    seq: u64,
}

/// A run of entries being collected.
#[derive(Default)]
struct Run {
    planned: Vec<Planned>,
    /// What its print is made from.
    described: Vec<u8>,
    first: Option<PathHash>,
    ids: Option<(u32, u32)>,
    refs: usize,
    raw: usize,
    files: u64,
}

impl<'a, 'c> Planner<'a, 'c> {
    pub(super) fn new(
        ctx: &'a Ctx<'c>,
        known: Known,
        turns: Turns,
        batches: Sender<Batch>,
        out: Sender<Message>,
    ) -> Self {
        Self {
            ctx,
            known,
            turns,
            batches,
            out,
            run: Run::default(),
            watch: Watch::default(),
            devices: Devices::default(),
            links: HashSet::new(),
            seq: 0,
        }
    }

    /// Follows a walk to its end.
    pub(super) fn follow(mut self, mut walk: Walk) -> Result<(), Stop> {
        self.watch = Watch::new(walk.roots());
        let counters = self.ctx.progress.counters();
        let (mut inside, mut content) = (0u64, 0u64);
        for step in walk.by_ref() {
            self.ctx.check()?;
            match step {
                WalkItem::Entry(item) => {
                    Counters::add(&counters.entries_found, 1);
                    if item.inside {
                        let is_dir = item.stat.kind == Kind::Dir;
                        (inside, content) = (inside + 1, content + u64::from(!is_dir));
                    }
                    if item.stat.kind == Kind::File {
                        Counters::add(&counters.bytes_found, item.stat.size);
                    }
                    self.entry(item)?;
                }
                WalkItem::Skipped { item, reason } => {
                    let text = match reason {
                        SkipReason::Socket => "a socket: belongs to a running program",
                        SkipReason::UnknownKind => "a kind of file this program does not know",
                    };
                    self.ctx.skip(&item.path(), text.to_owned());
                }
                WalkItem::Left { path, why } => self.left(&path, why),
                WalkItem::Problem(problem) => {
                    if !problem.vanished() {
                        self.watch.lose(&problem.path);
                    }
                    self.ctx.problem(&problem);
                }
            }
        }
        let numbers = &self.ctx.numbers;
        Counters::add(&numbers.inside, inside);
        Counters::add(&numbers.content, content);
        Counters::add(&numbers.excluded, walk.excluded());
        Counters::add(&counters.found_all, 1);
        self.close_run()?;
        self.watch.finish(self.ctx);
        Ok(())
    }

    /// What is left out on purpose; only of a home nobody asked for it.
    fn left(&self, path: &[u8], why: LeftWhy) {
        self.ctx.left.lock().add(path.to_vec());
        if why == LeftWhy::Home {
            self.ctx
                .skip(path, "belongs to the home of a node".to_owned());
            self.ctx.homes.lock().push(path.to_vec());
        }
    }

    fn entry(&mut self, item: Item) -> Result<(), Stop> {
        let path = item.path();
        let hash = self.ctx.cache_key.path(&path);
        let file_system = self.devices.of(&item, &hash);
        let lasting = file_system.lasting(&item.stat);
        let stat = self.ctx.cache_key.stat(&lasting);
        let (raw, refs) = estimate(&path, &item);
        let full = self.run.planned.len() >= SEGMENT_ENTRIES_MAX
            || self.run.raw.saturating_add(raw) > SEGMENT_RAW_MAX / 2
            || self.run.refs.saturating_add(refs) > REFS_MAX;
        if (hash.is_cut() || full) && !self.run.planned.is_empty() {
            self.close_run()?;
        }
        let hardlink = item
            .stat
            .hardlink_key()
            .map(|(_, ino)| self.ctx.cache_key.hard_link(&file_system.first, ino));
        let carries = hardlink.is_none_or(|group| self.links.insert(group));
        let is_dir = item.stat.kind == Kind::Dir;
        let dir = is_dir.then(|| hash.dir_key());
        let key = self.watch.enter(self.ctx, &path, &hash, dir);
        self.run
            .describe(self.ctx, &hash, &stat, &item, hardlink, carries);
        self.run.raw = self.run.raw.saturating_add(raw);
        self.run.refs = self.run.refs.saturating_add(refs);
        self.run.files = self
            .run
            .files
            .saturating_add(u64::from(item.stat.kind == Kind::File));
        self.run.planned.push(Planned {
            item,
            path,
            key,
            stat,
            dir,
            hardlink,
            carries,
            known: None,
            said: None,
            old: None,
        });
        Ok(())
    }

    /// Decides what happens to the run collected so far, and starts a new one.
    fn close_run(&mut self) -> Result<(), Stop> {
        let run = std::mem::take(&mut self.run);
        if run.planned.is_empty() {
            return Ok(());
        }
        let print = self.ctx.cache_key.segment(&run.described);
        let again = run.first.is_some_and(|first| self.turns.include(&first));
        if let Some(record) = self
            .known
            .remove(&print)
            .filter(|_| !self.ctx.full && !again)
        {
            return self.reuse(run, print, record);
        }
        let mut planned = run.planned;
        let keys: Vec<FileKey> = planned.iter().map(|p| p.key).collect();
        let numbers = &self.ctx.numbers;
        for (planned, old) in planned.iter_mut().zip(self.ctx.cache.files(&keys)) {
            let is_file = planned.item.stat.kind == Kind::File;
            planned.known = old.as_ref().and_then(|old| believe(self.ctx, planned, old));
            if let Some(dir) = planned.dir {
                let changed = old.is_some() && planned.known.is_none();
                self.watch.decide(self.ctx, dir, changed);
            }
            if is_file {
                let counter = match (&planned.known, &old) {
                    (Some(_), _) => &numbers.files_unmodified,
                    (None, Some(_)) => &numbers.files_changed,
                    (None, None) => &numbers.files_new,
                };
                Counters::add(counter, 1);
            }
            if again && !matches!(planned.known, None | Some(DataRef::None)) {
                planned.said = planned.known.take();
                Counters::add(&numbers.files_reread, 1);
            }
            planned.old = old.map(Box::new);
        }
        self.send_batches(planned, GroupEnd { print })
    }

    fn reuse(&mut self, run: Run, print: Hash16, record: SegmentRecord) -> Result<(), Stop> {
        let mut firsts = Vec::with_capacity(record.segments.len());
        let mut at = 0usize;
        for (_, entries) in &record.segments {
            firsts.push(
                run.planned
                    .get(at)
                    .map(|p| p.path.clone())
                    .unwrap_or_default(),
            );
            at = at.saturating_add(usize::try_from(*entries).unwrap_or(usize::MAX));
        }
        for dir in run.planned.iter().filter_map(|p| p.dir) {
            self.watch.decide(self.ctx, dir, false);
        }
        Counters::add(&self.ctx.numbers.files_unmodified, run.files);
        let counters = self.ctx.progress.counters();
        let entries = u64::try_from(run.planned.len()).unwrap_or(u64::MAX);
        Counters::add(&counters.entries_done, entries);
        Counters::add(&counters.bytes_done, record.bytes);
        let step = Step::Reused(Reused {
            print,
            record,
            firsts,
        });
        let seq = self.next_seq();
        self.out.send(Message { seq, step }).map_err(|_| Stop)
    }

    fn send_batches(&mut self, planned: Vec<Planned>, end: GroupEnd) -> Result<(), Stop> {
        let mut rest = planned.into_iter().peekable();
        let mut batch = Vec::new();
        let (mut bytes, mut memory) = (0u64, 0usize);
        while let Some(planned) = rest.next() {
            if planned.known.is_none() && planned.item.stat.kind == Kind::File {
                bytes = bytes.saturating_add(planned.item.stat.size);
            }
            memory = memory
                .saturating_add(planned.path.len())
                .saturating_add(ENTRY_BYTES);
            batch.push(planned);
            let is_last = rest.peek().is_none();
            if is_last || batch.len() >= BATCH_ENTRIES || bytes >= BATCH_BYTES {
                let batch = Batch {
                    seq: self.next_seq(),
                    planned: std::mem::take(&mut batch),
                    end: is_last.then_some(end),
                    permit: self.room(memory)?,
                };
                (bytes, memory) = (0, 0);
                self.batches.send(batch).map_err(|_| Stop)?;
            }
        }
        Ok(())
    }

    fn room(&self, bytes: usize) -> Result<Permit, Stop> {
        let permit = self.ctx.window.acquire(bytes);
        self.ctx.check()?;
        Ok(permit)
    }

    fn next_seq(&mut self) -> u64 {
        let seq = self.seq;
        self.seq = self.seq.saturating_add(1);
        seq
    }
}

impl Run {
    /// Adds an entry to what the print is made from: everything that its place in a segment shows.
    fn describe(
        &mut self,
        ctx: &Ctx<'_>,
        hash: &PathHash,
        stat: &Hash16,
        item: &Item,
        hardlink: Option<[u8; 8]>,
        carries: bool,
    ) {
        if self.described.is_empty() {
            self.first = Some(*hash);
            self.described.extend_from_slice(&ctx.dom.to_le_bytes());
            self.described
                .extend_from_slice(&ctx.session.epoch.to_le_bytes());
        }
        self.described.extend_from_slice(hash.as_bytes());
        self.described.extend_from_slice(stat);
        self.described
            .push(u8::from(hardlink.is_some()) | (u8::from(carries) << 1));
        // Links find each other by it, across segments that are used again and such that are not.
        self.described
            .extend_from_slice(hardlink.as_ref().map_or(&[], |group| group.as_slice()));
        // Names can change while numbers do not.
        let ids = (item.stat.uid, item.stat.gid);
        if self.ids != Some(ids) {
            self.ids = Some(ids);
            for name in [ctx.names.user(ids.0), ctx.names.group(ids.1)] {
                self.described
                    .extend_from_slice(name.as_deref().unwrap_or_default().as_bytes());
                self.described.push(0);
            }
        }
    }
}

/// Estimated bytes and references an entry takes in a segment, from path and size alone.
fn estimate(path: &[u8], item: &Item) -> (usize, usize) {
    let chunks = match item.stat.kind {
        Kind::File => usize::try_from(item.stat.size).unwrap_or(usize::MAX) / CHUNK_MIN,
        _ => 0,
    };
    let chunks = chunks.saturating_add(1).min(2048);
    let raw = path
        .len()
        .saturating_add(ENTRY_RAW)
        .saturating_add(chunks.saturating_mul(CHUNK_RAW));
    (raw, chunks)
}

/// What the cache says of the content of a file, if it still holds.
fn believe(ctx: &Ctx<'_>, planned: &Planned, old: &FileRecord) -> Option<DataRef> {
    if ctx.full || old.stat != planned.stat {
        return None;
    }
    let has_content =
        planned.item.stat.kind == Kind::File && planned.item.stat.size > 0 && planned.carries;
    if !has_content {
        return Some(DataRef::None);
    }
    let fits = match &old.data {
        DataRef::None => false,
        DataRef::Small { at, .. } => {
            ctx.shares()
                && u64::from(at.len) == planned.item.stat.size
                && !ctx.repacks(&at.pack, at.len)
        }
        DataRef::Chunks { dom, .. } => *dom == ctx.dom,
        DataRef::Maps(_) => ctx.shares(),
    };
    fits.then(|| old.data.clone())
}

/// Segments of earlier runs that can be used again: on the node with all they refer to, and not
/// resting on packs that are mostly dead.
pub(super) fn known_segments(
    ctx: &Ctx<'_>,
    mut records: Vec<(Hash16, SegmentRecord)>,
) -> Result<Known, BackupError> {
    if ctx.full || !ctx.shares() {
        return Ok(Known::new());
    }
    let sparse: HashSet<[u8; 8]> = ctx
        .sparse
        .iter()
        .filter_map(|id| id.as_bytes().first_chunk().copied())
        .collect();
    records.retain(|(_, record)| !record.packs.iter().any(|pack| sparse.contains(pack)));
    let ids: Vec<_> = records
        .iter()
        .flat_map(|(_, record)| record.segments.iter().map(|(id, _)| *id))
        .collect();
    if ids.is_empty() {
        return Ok(Known::new());
    }
    let mut there = ctx.node.have(&ids)?.into_iter();
    let mut known = Known::new();
    for (print, record) in records {
        let complete = record
            .segments
            .iter()
            .fold(true, |all, _| there.next().unwrap_or(false) && all);
        if complete && !record.segments.is_empty() {
            known.insert(print, record);
        }
    }
    Ok(known)
}
