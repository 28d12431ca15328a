//! One restore: the tree is read in order, its files are handed to workers pack by pack; names that
//! need others to be there first (hard links, attributes of directories, deletions) come last.

use std::collections::{BTreeMap, HashMap};

use crossbeam_channel::{Sender, bounded};
use packnback_proto::format::entry::{Entry, EntryType, FileData};
use packnback_proto::format::root::Root;
use packnback_proto::ids::ObjectId;

use super::after::{finish, prune};
use super::ctx::Ctx;
use super::held::Asked;
use super::large::{Large, Spread};
use super::options::{RestoreError, RestoreOptions, RestoreReport};
use super::select::{Selection, Wanted};
use super::totals::{Claim, check_totals};
use super::work::{self, Small, Task};
use crate::fs::{Target, show};
use crate::keys::ReaderKeys;
use crate::pipeline::Stop;
use crate::progress::{Counters, Progress};
use crate::snapshot::{Found, Layout, ObjectSource, Part, Reader, Snapshot, Tables};

/// Entries without content handed over together.
const PLAIN_TOGETHER: usize = 128;

/// Writes a snapshot, or a part of it, below a directory.
///
/// # Errors
/// [`RestoreError`] if nothing can be restored; damage to single files is in the report instead.
pub fn run(
    options: &RestoreOptions,
    keys: &ReaderKeys,
    source: &dyn ObjectSource,
    progress: &dyn Progress,
) -> Result<RestoreReport, RestoreError> {
    // Told before anything is made.
    keys.check_contents()?;
    let reader = Reader::new(source, keys).counting(progress);
    let open = Snapshot::read(reader, &options.snapshot)?;
    let root = open.shared_root();
    check_totals(&root)?;
    let asked = if options.delete {
        Some(Asked::of(options, &root)?)
    } else {
        None
    };
    let mut write = options.write.clone();
    write.dry_run |= options.dry_run;
    let target = Target::open(&options.target, write).map_err(|e| RestoreError::Target {
        path: options.target.clone(),
        reason: e.to_string(),
    })?;
    let ctx = Ctx::new(options, open.fresh(), &target, progress, asked);
    Counters::add(&progress.counters().entries_found, entries_of(&root));
    Counters::add(&progress.counters().bytes_found, root.stats.bytes);
    Counters::add(&progress.counters().found_all, 1);
    match restore(&ctx) {
        Ok(()) => {
            finish(&ctx, &root);
            Ok(ctx.report())
        }
        Err(Stop) => Err(ctx
            .failure()
            .unwrap_or_else(|| RestoreError::Internal("it stopped without a reason".into()))),
    }
}

fn entries_of(root: &Root) -> u64 {
    root.children.iter().map(|child| child.entries).sum()
}

fn threads(wanted: usize) -> usize {
    match wanted {
        // Two more than cores: somebody always waits for the node.
        0 => {
            std::thread::available_parallelism()
                .map_or(2, std::num::NonZero::get)
                .min(16)
                + 2
        }
        n => n.min(64),
    }
}

fn restore(ctx: &Ctx<'_>) -> Result<(), Stop> {
    let mut rest = passes(ctx, None)?;
    if rest.seen == 0 && ctx.options.below.is_some() {
        let below = show(ctx.options.below.as_deref().unwrap_or_default());
        return Err(ctx.fail(RestoreError::NoPath(below)));
    }
    // Links whose file is outside of what was asked for: its content is found in the whole tree.
    let orphans = std::mem::take(&mut rest.orphans);
    if !orphans.is_empty() {
        let found = passes(ctx, Some(orphans))?;
        rest.links.extend(found.links);
        for (_, entries) in found.orphans {
            for entry in entries {
                ctx.damaged_in_source(
                    &entry.path,
                    "the file it is a hard link of is not in the snapshot".into(),
                );
            }
        }
    }
    for (entry, first) in rest.links {
        ctx.check()?;
        let result = ctx.target.add_hard_link(&entry, &first);
        ctx.done(&entry, result)?;
    }
    if rest.lost {
        let text = "nothing was removed: a part of the snapshot is unreadable";
        if ctx.options.delete {
            ctx.note(&[], text.into());
        }
        return Ok(());
    }
    prune(ctx)
}

/// What a pass leaves for later.
#[derive(Default)]
struct Rest {
    /// Hard links and the path of their file.
    links: Vec<(Entry, Vec<u8>)>,
    /// Hard links whose file was not seen.
    orphans: HashMap<[u8; 8], Vec<Entry>>,
    seen: u64,
    /// A part of the tree could not be read.
    lost: bool,
}

/// One pass over the tree with workers. With `orphans`, only to find their content.
fn passes(ctx: &Ctx<'_>, orphans: Option<HashMap<[u8; 8], Vec<Entry>>>) -> Result<Rest, Stop> {
    let n = threads(ctx.options.threads);
    let (tasks_in, tasks_out) = bounded(n.saturating_mul(2));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n)
            .map(|_| {
                let tasks = tasks_out.clone();
                scope.spawn(move || work::run(ctx, &tasks))
            })
            .collect();
        drop(tasks_out);
        let mut pass = Pass {
            ctx,
            tasks: tasks_in,
            firsts: HashMap::new(),
            finding: orphans.is_some(),
            rest: Rest {
                orphans: orphans.unwrap_or_default(),
                ..Rest::default()
            },
            plain: Vec::new(),
            roots: &ctx.snapshot.root().paths,
            left: Claim::of(ctx.snapshot.root()),
        };
        let walked = pass.walk();
        let rest = walked.and_then(|()| pass.finish());
        let mut result = rest;
        for worker in workers {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(stop)) => result = Err(stop),
                Err(_) => {
                    result = Err(ctx.fail(RestoreError::Internal("a worker panicked".into())));
                }
            }
        }
        result
    })
}

struct Pass<'p, 'c> {
    ctx: &'p Ctx<'c>,
    tasks: Sender<Task<'c>>,
    /// Path of the file of each group of hard links.
    firsts: HashMap<[u8; 8], Vec<u8>>,
    finding: bool,
    rest: Rest,
    plain: Vec<Entry>,
    roots: &'p [Vec<u8>],
    left: Claim,
}

impl<'c> Pass<'_, 'c> {
    fn walk(&mut self) -> Result<(), Stop> {
        let options = self.ctx.options;
        let within = if self.finding {
            None
        } else {
            options.below.as_deref()
        };
        let mut selection = Selection::new(options, self.roots);
        let ctx = self.ctx;
        for found in ctx.snapshot.parts(within) {
            match found.map_err(|error| ctx.fail(error.into()))? {
                Found::Part(part) => self.part(part, &mut selection)?,
                Found::Lost { first, fault } => {
                    self.rest.lost = true;
                    if !self.finding {
                        ctx.damaged_in_source(
                            &first,
                            format!("names from here on are lost: {}", fault.reason()),
                        );
                        self.rest.seen = self.rest.seen.saturating_add(1);
                    }
                }
            }
            ctx.check()?;
        }
        ctx.check()
    }

    fn finish(mut self) -> Result<Rest, Stop> {
        self.send_plain()?;
        Ok(self.rest)
    }

    fn send(&self, task: Task<'c>) -> Result<(), Stop> {
        self.tasks.send(task).map_err(|_| Stop)
    }

    fn send_plain(&mut self) -> Result<(), Stop> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let plain = std::mem::take(&mut self.plain);
        self.send(Task::Plain(plain))
    }

    fn part(&mut self, part: Part, selection: &mut Selection<'_>) -> Result<(), Stop> {
        let Part { entries, tables } = part;
        let mut packs: BTreeMap<ObjectId, Vec<Small>> = BTreeMap::new();
        if !self.finding {
            let taken = self.left.take(&entries);
            taken.map_err(|error| self.ctx.fail(error))?;
        }
        for entry in entries {
            let wanted = if self.finding {
                self.found(entry)
            } else {
                selection.next(entry)
            };
            for Wanted { entry, is_passage } in wanted {
                self.rest.seen = self.rest.seen.saturating_add(1);
                if is_passage {
                    let result = self.ctx.target.add_passage(&entry);
                    self.ctx.done(&entry, result)?;
                } else if entry.kind == EntryType::Dir || self.ctx.clear(&entry)? {
                    self.entry(entry, &tables, &mut packs)?;
                }
            }
        }
        for (id, files) in packs {
            // Where something is in place already it may not be wanted.
            if !self.ctx.resumes {
                let asked = self.ctx.snapshot.pack_ahead(id);
                asked.map_err(|fault| self.ctx.fail(fault.into()))?;
            }
            self.send(Task::Pack(id, files))?;
        }
        self.send_plain()
    }

    /// In the second pass: the file of orphaned links, under the name of the first of them.
    fn found(&mut self, entry: Entry) -> Vec<Wanted> {
        let orphans = entry
            .hardlink
            .filter(|_| entry.data.is_some())
            .and_then(|group| self.rest.orphans.remove(&group));
        let mut orphans = orphans.unwrap_or_default().into_iter();
        let Some(first) = orphans.next() else {
            return Vec::new();
        };
        self.rest
            .links
            .extend(orphans.map(|link| (link, first.path.clone())));
        vec![Wanted {
            entry: Entry {
                data: entry.data,
                ..first
            },
            is_passage: false,
        }]
    }

    fn entry(
        &mut self,
        mut entry: Entry,
        tables: &Tables,
        packs: &mut BTreeMap<ObjectId, Vec<Small>>,
    ) -> Result<(), Stop> {
        if entry.kind == EntryType::Dir {
            let result = self.ctx.target.add_dir(&entry);
            return self.ctx.done(&entry, result);
        }
        if let Some(group) = entry.hardlink {
            if let Some(first) = self.firsts.get(&group) {
                self.rest.links.push((entry, first.clone()));
                return Ok(());
            }
            let is_file = entry.kind == EntryType::File;
            if is_file && entry.size > 0 && entry.data.is_none() {
                self.rest.orphans.entry(group).or_default().push(entry);
                return Ok(());
            }
            self.firsts.insert(group, entry.path.clone());
        }
        match entry.data.take() {
            None => {
                self.plain.push(entry);
                if self.plain.len() >= PLAIN_TOGETHER {
                    self.send_plain()
                } else {
                    Ok(())
                }
            }
            Some(FileData::Pack { ref_idx, off, len }) => {
                let files = packs.entry(tables.object(ref_idx)).or_default();
                files.push(Small { entry, off, len });
                Ok(())
            }
            Some(data) => self.large(entry, &data, tables),
        }
    }

    fn large(&mut self, entry: Entry, data: &FileData, tables: &Tables) -> Result<(), Stop> {
        let ctx = self.ctx;
        ctx.progress.file(&entry.path);
        let Some(file) = Large::start(ctx, entry)? else {
            return Ok(());
        };
        let tasks = &self.tasks;
        let mut send = |job| tasks.send(Task::Chunks(job)).map_err(|_| Stop);
        let layout = Layout::of(ctx.snapshot.reader().keys(), Some(data), tables);
        Spread::new(ctx, file, &mut send).all(layout)
    }
}
