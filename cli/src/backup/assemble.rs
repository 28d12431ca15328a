//! The assembler: takes entries in path order, builds the segments, and tells the cache.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crossbeam_channel::Receiver;
use packnback_proto::format::entry::{Entry, EntryType};
use packnback_proto::format::frame::Compressor;
use packnback_proto::format::header::Kind;
use packnback_proto::format::object::seal_object;
use packnback_proto::format::root::Stats;
use packnback_proto::format::segment;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::HAVE_IDS_MAX;

use super::checkpoint::Checkpoints;
use super::ctx::{Ctx, WINDOW};
use super::pack::PackBox;
use super::report::BackupError;
use super::segment::{build, of_no_run, split};
use super::stage::{Built, Content, Finished, GroupEnd, Message, Reused, Step};
use crate::cache::{DataRef, FileFact, FileRecord, Hash16, SegmentRecord, SmallRef};
use crate::pipeline::{Permit, Stop};

/// A part of the tree that is stored.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) first: Vec<u8>,
    pub(super) id: ObjectId,
    pub(super) entries: u64,
}

/// What the assembler made.
#[derive(Default)]
pub(super) struct Assembled {
    pub(super) nodes: Vec<Node>,
    pub(super) stats: Stats,
    /// For the cache, once the snapshot is committed.
    pub(super) segments: Vec<(Hash16, SegmentRecord)>,
    /// Segments used again.
    pub(super) reused: Vec<Hash16>,
    /// What all segments hold,
    pub(super) contents: HashSet<Hash16>,
    /// and which of them are new.
    pub(super) contents_new: Vec<(Hash16, ObjectId)>,
}

/// A segment that is stored.
struct Stored {
    id: ObjectId,
    entries: u32,
    content: Hash16,
}

/// A run of entries whose packs may be open still.
#[derive(Default)]
struct Group {
    built: Vec<Built>,
    steady: bool,
    end: Option<GroupEnd>,
    permits: Vec<Permit>,
}

enum Pending {
    Group(Group),
    Reused(Reused),
}

pub(super) struct Assembler<'a, 'c> {
    ctx: &'a Ctx<'c>,
    packs: &'a [PackBox],
    checkpoints: Checkpoints,
    scope: [u8; 8],
    compressor: Compressor,
    early: BTreeMap<u64, Step>,
    next: u64,
    open: Group,
    pending: VecDeque<Pending>,
    made: Assembled,
}

impl<'a, 'c> Assembler<'a, 'c> {
    pub(super) fn new(
        ctx: &'a Ctx<'c>,
        packs: &'a [PackBox],
        checkpoints: Checkpoints,
        scope: [u8; 8],
    ) -> Result<Self, Stop> {
        let compressor =
            Compressor::new().map_err(|e| ctx.fail(BackupError::Internal(e.to_string())))?;
        Ok(Self {
            ctx,
            packs,
            checkpoints,
            scope,
            compressor,
            early: BTreeMap::new(),
            next: 0,
            open: Group {
                steady: true,
                ..Group::default()
            },
            pending: VecDeque::new(),
            made: Assembled::default(),
        })
    }

    /// Runs until the planner and all workers are done.
    pub(super) fn run(
        mut self,
        messages: &Receiver<Message>,
    ) -> Result<(Assembled, Checkpoints), Stop> {
        for message in messages {
            self.ctx.check()?;
            self.early.insert(message.seq, message.step);
            while let Some(step) = self.early.remove(&self.next) {
                self.next = self.next.saturating_add(1);
                self.step(step);
            }
            self.settle(false)?;
        }
        self.ctx.check()?;
        self.settle(true)?;
        if !self.early.is_empty() || !self.open.built.is_empty() {
            return Err(self
                .ctx
                .fail(BackupError::Internal("entries are missing".into())));
        }
        self.ask_assumed(0)?;
        Ok((self.made, self.checkpoints))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Reused(reused) => self.pending.push_back(Pending::Reused(reused)),
            Step::Finished(Finished {
                built,
                steady,
                end,
                permit,
            }) => {
                self.open.built.extend(built);
                self.open.steady &= steady;
                self.open.permits.push(permit);
                if end.is_some() {
                    self.open.end = end;
                    let fresh = Group {
                        steady: true,
                        ..Group::default()
                    };
                    self.pending
                        .push_back(Pending::Group(std::mem::replace(&mut self.open, fresh)));
                }
            }
        }
    }

    /// Finishes the groups at the front whose packs are sealed; all of them, sealing what is open,
    /// if `all` or if too much waits.
    fn settle(&mut self, all: bool) -> Result<(), Stop> {
        let crowded = self.ctx.window.used().saturating_mul(2) > WINDOW;
        let mut force = all || (crowded && self.pending.len() > 1);
        if force {
            for pack in self.packs {
                pack.flush(self.ctx, &mut self.compressor)?;
            }
        }
        while let Some(pending) = self.pending.front() {
            if let Pending::Group(group) = pending
                && !force
                && !is_ready(group)
            {
                break;
            }
            match self.pending.pop_front() {
                Some(Pending::Group(group)) => self.group(group)?,
                Some(Pending::Reused(reused)) => self.reused(reused),
                None => break,
            }
            force = all || (force && !self.pending.is_empty());
            self.checkpoints.maybe(self.ctx)?;
        }
        self.ask_assumed(HAVE_IDS_MAX)
    }

    fn reused(&mut self, reused: Reused) {
        let Reused {
            print,
            record,
            firsts,
        } = reused;
        self.made.stats.files = self.made.stats.files.saturating_add(record.files.into());
        self.made.stats.dirs = self.made.stats.dirs.saturating_add(record.dirs.into());
        self.made.stats.bytes = self.made.stats.bytes.saturating_add(record.bytes);
        let entries: u64 = record.segments.iter().map(|(_, n)| u64::from(*n)).sum();
        let named = u64::from(record.files).saturating_add(record.dirs.into());
        let others = entries.saturating_sub(named);
        self.made.stats.others = self.made.stats.others.saturating_add(others);
        for ((id, entries), first) in record.segments.iter().zip(firsts) {
            self.made.nodes.push(Node {
                first,
                id: *id,
                entries: u64::from(*entries),
            });
        }
        self.made.contents.extend(record.contents);
        self.made.reused.push(print);
    }

    fn group(&mut self, group: Group) -> Result<(), Stop> {
        let mut record = SegmentRecord {
            scope: self.scope,
            ..SegmentRecord::default()
        };
        let mut entries = Vec::with_capacity(group.built.len());
        let mut facts = Vec::with_capacity(group.built.len());
        for built in group.built {
            let data = resolve(built.content)?;
            self.count(&built.entry, &mut record);
            if let DataRef::Small { at, .. } = &data
                && let Some(pack) = at.pack.as_bytes().first_chunk()
                && !record.packs.contains(pack)
            {
                record.packs.push(*pack);
            }
            if let Some(told) = built.told {
                // Who shares nothing leaves no trace of a content either.
                let is_traced = self.ctx.shares() || !matches!(data, DataRef::Small { .. });
                let new = FileRecord {
                    stat: told.stat,
                    dir: told.dir,
                    data: if is_traced {
                        data.clone()
                    } else {
                        DataRef::None
                    },
                };
                facts.push(FileFact {
                    key: told.key,
                    old: told.old,
                    new: Some(new),
                });
            }
            entries.push((built.entry, data));
        }
        for part in split(entries) {
            let stored = self.segment(part)?;
            record.segments.push((stored.id, stored.entries));
            record.contents.push(stored.content);
        }
        self.ctx.facts.lock().files.extend(facts);
        if let Some(end) = group
            .end
            .filter(|_| group.steady && !record.segments.is_empty())
        {
            self.made.segments.push((end.print, record));
        }
        drop(group.permits);
        Ok(())
    }

    fn segment(&mut self, part: Vec<(Entry, DataRef)>) -> Result<Stored, Stop> {
        let ctx = self.ctx;
        let format = |e: String| ctx.fail(BackupError::Format(e));
        let first = part
            .first()
            .map(|(entry, _)| entry.path.clone())
            .unwrap_or_default();
        let (segment, refs) =
            build(part).ok_or_else(|| format("a reference is not in its list".into()))?;
        let entries = u32::try_from(segment.entries.len()).map_err(|e| format(e.to_string()))?;
        let raw = segment::encode(&segment).map_err(|e| format(e.to_string()))?;
        let plain = of_no_run(&segment).map_err(|e| format(e.to_string()))?;
        let plain = plain.as_deref().unwrap_or(&raw);
        let content = ctx.cache_key.content(ctx.session.epoch, plain, &refs);
        let known = ctx.cache.content(&content);
        let id = match known.filter(|_| ctx.shares() && !ctx.full) {
            Some(id) => {
                ctx.assume([id]);
                id
            }
            None => {
                let header = ctx.session.header(Kind::Segment, 2, refs);
                let sealed = seal_object(&mut self.compressor, &header, &ctx.session.node, &raw)
                    .map_err(|e| format(e.to_string()))?;
                let id = ctx.put(sealed)?;
                if ctx.shares() {
                    self.made.contents_new.push((content, id));
                }
                id
            }
        };
        self.made.contents.insert(content);
        self.made.nodes.push(Node {
            first,
            id,
            entries: entries.into(),
        });
        Ok(Stored {
            id,
            entries,
            content,
        })
    }

    fn count(&mut self, entry: &Entry, record: &mut SegmentRecord) {
        let stats = &mut self.made.stats;
        match entry.kind {
            EntryType::File => {
                stats.files = stats.files.saturating_add(1);
                stats.bytes = stats.bytes.saturating_add(entry.size);
                record.files = record.files.saturating_add(1);
                record.bytes = record.bytes.saturating_add(entry.size);
            }
            EntryType::Dir => {
                stats.dirs = stats.dirs.saturating_add(1);
                record.dirs = record.dirs.saturating_add(1);
            }
            _ => stats.others = stats.others.saturating_add(1),
        }
    }

    /// Asks the node for what was taken on trust, once there are more than `limit`.
    fn ask_assumed(&mut self, limit: usize) -> Result<(), Stop> {
        let ids: Vec<ObjectId> = {
            let mut assumed = self.ctx.assumed.lock();
            if assumed.len() <= limit || self.ctx.dry_run {
                return Ok(());
            }
            assumed.drain().collect()
        };
        let answers = self
            .ctx
            .node
            .have(&ids)
            .map_err(|e| self.ctx.fail(e.into()))?;
        let lost: std::collections::BTreeSet<ObjectId> = ids
            .iter()
            .zip(answers)
            .filter(|(_, there)| !there)
            .map(|(id, _)| *id)
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let n = lost.len();
        if let Err(error) = self.ctx.cache.forget_objects(&lost) {
            self.ctx
                .warnings
                .lock()
                .push(format!("the cache could not be corrected: {error}"));
        }
        Err(self.ctx.fail(BackupError::Missing(n)))
    }
}

fn is_ready(group: &Group) -> bool {
    group.built.iter().all(|built| match &built.content {
        Content::Pending { at, .. } => at.slot.try_id().is_some(),
        _ => true,
    })
}

/// The place of content, waiting for its pack if need be.
fn resolve(content: Content) -> Result<DataRef, Stop> {
    Ok(match content {
        Content::None => DataRef::None,
        Content::Stored(data) => data,
        Content::Pending { content, at } => {
            let pack = at.slot.wait()?;
            DataRef::Small {
                content,
                at: SmallRef {
                    pack,
                    off: at.off,
                    len: at.len,
                },
            }
        }
    })
}
