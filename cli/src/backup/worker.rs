//! Workers: read files, find or store their content, describe them.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError, select};
use packnback_proto::format::entry::{Entry, EntryType};
use packnback_proto::format::frame::Compressor;
use packnback_proto::format::validate_entry;
use packnback_proto::limits::SMALL_MAX;

use super::chunks::{Hands, Job};
use super::ctx::Ctx;
use super::pack::PackBox;
use super::read::{self, Read};
use super::report::{BackupError, Cause};
use super::reread;
use super::run::now_ns;
use super::seen::PendingSmall;
use super::stage::{Batch, Built, Content, Finished, Message, Planned, Step, Told};
use crate::cache::{DataRef, Hash16};
use crate::fs::{Action, Kind, Problem, Stat, acl_names, read_attributes};
use crate::pipeline::Stop;
use crate::progress::{Counters, Shown};

/// How far the clock of a file server may be ahead of this machine's.
const CLOCKS_APART_NS: i64 = 60_000_000_000;

/// No attributes have this hash: the content is known, the state of the file is not.
pub(super) const UNSTEADY: Hash16 = [0; 16];

pub(super) struct Worker<'a, 'c> {
    pub(super) ctx: &'a Ctx<'c>,
    pub(super) packs: &'a PackBox,
    pub(super) compressor: Compressor,
    pub(super) jobs: Receiver<Job>,
    pub(super) queue: Sender<Job>,
    pub(super) buf: Vec<u8>,
    /// What the display was told of the file at hand.
    pub(super) shown: Shown,
}

/// Runs until there are no more batches and no more jobs.
pub(super) fn run(
    ctx: &Ctx<'_>,
    packs: &PackBox,
    jobs: Receiver<Job>,
    queue: Sender<Job>,
    batches: &Receiver<Batch>,
    out: &Sender<Message>,
) -> Result<(), Stop> {
    let compressor =
        Compressor::new().map_err(|e| ctx.fail(BackupError::Internal(e.to_string())))?;
    let mut worker = Worker {
        ctx,
        packs,
        compressor,
        jobs: jobs.clone(),
        queue,
        buf: Vec::new(),
        shown: Shown::default(),
    };
    let result = worker.serve(batches, out);
    // Jobs of others are worth doing even after an end of one's own: they wait for them.
    let Worker {
        mut compressor,
        queue,
        ..
    } = worker;
    drop(queue);
    for job in jobs {
        job.run(ctx, &mut compressor);
    }
    if result.is_ok() {
        packs.flush(ctx, &mut compressor)
    } else {
        result
    }
}

impl Worker<'_, '_> {
    fn serve(&mut self, batches: &Receiver<Batch>, out: &Sender<Message>) -> Result<(), Stop> {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => {
                    job.run(self.ctx, &mut self.compressor);
                    continue;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
            select! {
                recv(self.jobs) -> job => if let Ok(job) = job {
                    job.run(self.ctx, &mut self.compressor);
                },
                recv(batches) -> batch => {
                    let Ok(batch) = batch else { return Ok(()) };
                    let seq = batch.seq;
                    let step = Step::Finished(self.batch(batch)?);
                    if out.send(Message { seq, step }).is_err() {
                        return Err(Stop);
                    }
                }
            }
        }
    }

    fn batch(&mut self, batch: Batch) -> Result<Finished, Stop> {
        let mut finished = Finished {
            built: Vec::with_capacity(batch.planned.len()),
            steady: true,
            end: batch.end,
            permit: batch.permit,
        };
        for planned in batch.planned {
            self.ctx.check()?;
            let is_file = planned.item.stat.kind == Kind::File;
            self.shown = Shown::of(if is_file { planned.item.stat.size } else { 0 });
            self.one(planned, &mut finished)?;
            let counters = self.ctx.progress.counters();
            Counters::add(&counters.entries_done, 1);
            Counters::add(&counters.bytes_done, self.shown.rest());
        }
        Ok(finished)
    }

    /// One entry. What cannot be saved is noted and left out.
    fn one(&mut self, planned: Planned, finished: &mut Finished) -> Result<(), Stop> {
        if let Some(known) = planned.known.clone() {
            return self.known(planned, known, finished);
        }
        if planned.item.stat.kind == Kind::File && planned.carries {
            self.file(planned, finished)
        } else {
            self.plain(planned, finished)
        }
    }

    /// Nothing has changed but perhaps the neighbours: only attributes are read.
    fn known(
        &mut self,
        planned: Planned,
        known: DataRef,
        finished: &mut Finished,
    ) -> Result<(), Stop> {
        let mut problems = Vec::new();
        let stat = planned.item.stat;
        let entry = describe(self.ctx, &planned, None, &stat, &mut problems);
        self.ctx.assume(crate::cache::objects(&known));
        finished.steady &= problems.is_empty();
        metadata_problems(self.ctx, problems);
        let content = Content::Stored(if planned.carries {
            known
        } else {
            DataRef::None
        });
        self.add(
            Built {
                entry,
                content,
                told: None,
            },
            finished,
        );
        Ok(())
    }

    /// Anything without content of its own.
    fn plain(&mut self, planned: Planned, finished: &mut Finished) -> Result<(), Stop> {
        let mut problems = Vec::new();
        let stat = planned.item.stat;
        let entry = describe(self.ctx, &planned, None, &stat, &mut problems);
        let steady = !is_racy(self.ctx, &stat);
        finished.steady &= steady && problems.is_empty();
        metadata_problems(self.ctx, problems);
        let told = told(planned, steady);
        self.add(
            Built {
                entry,
                content: Content::None,
                told: Some(told),
            },
            finished,
        );
        Ok(())
    }

    /// A regular file whose content must be read.
    fn file(&mut self, planned: Planned, finished: &mut Finished) -> Result<(), Stop> {
        self.ctx.progress.file(&planned.path);
        let packs = self.packs;
        let mut hands = Hands {
            ctx: self.ctx,
            compressor: &mut self.compressor,
            jobs: &self.jobs,
            queue: &self.queue,
            shown: self.shown,
        };
        let read = read::file(&mut hands, &mut self.buf, &planned)?;
        self.shown = hands.shown;
        let read = match read {
            Ok(read) => read,
            Err(problem) => {
                finished.steady = false;
                lost(self.ctx, &planned.path, &problem);
                return Ok(());
            }
        };
        let Read {
            file,
            stat,
            content,
            clean,
        } = read;
        let mut problems = Vec::new();
        let mut entry = describe(self.ctx, &planned, Some(&file), &stat, &mut problems);
        let content = match content {
            read::Body::Empty => {
                entry.size = 0;
                Content::None
            }
            read::Body::Small => {
                entry.size = u64::try_from(self.buf.len()).unwrap_or(u64::MAX);
                small(self.ctx, packs, &mut self.compressor, &self.buf)?
            }
            read::Body::Large { data, len } => {
                entry.size = len;
                Content::Stored(data)
            }
        };
        let steady = clean && stat.is_as(&planned.item.stat) && !is_racy(self.ctx, &stat);
        finished.steady &= steady && problems.is_empty();
        metadata_problems(self.ctx, problems);
        if !clean {
            self.ctx.trouble(
                &planned.path,
                Cause::Changed,
                "changed while it was read; what was read is saved".into(),
            );
        }
        let differs = |said| !reread::agrees(said, &content);
        if steady && planned.said.as_ref().is_some_and(differs) {
            self.ctx.differs(&planned.path);
        }
        let told = told(planned, steady);
        self.add(
            Built {
                entry,
                content,
                told: Some(told),
            },
            finished,
        );
        Ok(())
    }

    fn add(&self, built: Built, finished: &mut Finished) {
        let mut probe = built;
        // Content is not in the entry yet; a size without content is checked when it is.
        let size = std::mem::take(&mut probe.entry.size);
        let valid = validate_entry(&probe.entry);
        probe.entry.size = size;
        match valid {
            Ok(()) => finished.built.push(probe),
            Err(error) => {
                finished.steady = false;
                let text = format!("cannot be described: {error}");
                self.ctx.trouble(&probe.entry.path, Cause::Failing, text);
            }
        }
    }
}

/// Finds or stores the content of a small file.
fn small(
    ctx: &Ctx<'_>,
    packs: &PackBox,
    compressor: &mut Compressor,
    bytes: &[u8],
) -> Result<Content, Stop> {
    let content = ctx.cache_key.small(bytes);
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if let Some(at) = ctx.seen.small(&content) {
        return Ok(Content::Pending { content, at });
    }
    let known = ctx
        .cache
        .small(&content)
        .filter(|at| at.len == len && ctx.shares() && !ctx.full);
    if let Some(at) = known.filter(|at| !ctx.repacks(&at.pack, len)) {
        ctx.assume([at.pack]);
        return Ok(Content::Stored(DataRef::Small { content, at }));
    }
    let (slot, off) = packs.add(ctx, compressor, bytes)?;
    let at = PendingSmall { slot, off, len };
    ctx.seen.add_small(content, at.clone());
    Ok(Content::Pending { content, at })
}

/// Whether a change now might leave the attributes as they are: if they are from just now. A time that is
/// still to come is nobody's now, but for a clock of another machine that is a little ahead.
fn is_racy(ctx: &Ctx<'_>, stat: &Stat) -> bool {
    let just_now =
        |time: i64| time >= ctx.racy_ns && time <= now_ns().saturating_add(CLOCKS_APART_NS);
    just_now(stat.mtime_ns) || just_now(stat.ctime_ns)
}

fn told(planned: Planned, steady: bool) -> Told {
    Told {
        key: planned.key,
        stat: if steady { planned.stat } else { UNSTEADY },
        dir: planned.dir,
        old: planned.old,
    }
}

fn metadata_problems(ctx: &Ctx<'_>, problems: Vec<Problem>) {
    for problem in problems {
        let text = format!("cannot {}: {}", problem.action, problem.error);
        ctx.trouble(&problem.path, Cause::Metadata, text);
    }
}

fn lost(ctx: &Ctx<'_>, path: &[u8], problem: &Problem) {
    if problem.vanished() {
        let text = "vanished before it could be read".to_owned();
        ctx.trouble(path, Cause::Vanished, text);
    } else {
        ctx.problem(problem);
    }
}

/// The entry of a file, without its content.
fn describe(
    ctx: &Ctx<'_>,
    planned: &Planned,
    file: Option<&crate::fs::OpenFile>,
    stat: &Stat,
    problems: &mut Vec<Problem>,
) -> Entry {
    let attributes = read_attributes(&planned.item, file, problems);
    problems.extend(lost_time(planned, stat));
    let kind = stat.kind.entry_type().unwrap_or(EntryType::File);
    let name = |name: Option<Arc<str>>| name.filter(|n| !n.is_empty()).map(|n| n.to_string());
    Entry {
        path: planned.path.clone(),
        kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        mtime_ns: stat.mtime_ns,
        size: if kind == EntryType::File {
            stat.size
        } else {
            0
        },
        link: attributes.link,
        acl_names: acl_names(&attributes.xattrs, &ctx.names),
        xattrs: attributes.xattrs,
        rdev: matches!(kind, EntryType::Char | EntryType::Block).then_some(stat.rdev),
        hardlink: planned.hardlink,
        data: None,
        user: name(ctx.names.user(stat.uid)),
        group: name(ctx.names.group(stat.gid)),
    }
}

/// A modification time that the format cannot hold.
fn lost_time(planned: &Planned, stat: &Stat) -> Option<Problem> {
    let lost = stat.mtime_ns == i64::MAX || stat.mtime_ns == i64::MIN;
    lost.then(|| Problem {
        path: planned.path.clone(),
        action: Action::KeepTime,
        error: std::io::Error::other("it is not in the years 1678 to 2262"),
    })
}

/// Small files go into packs: with holes they do not, so that the holes stay.
pub(super) fn is_small(stat: &Stat) -> bool {
    usize::try_from(stat.size).is_ok_and(|size| size <= SMALL_MAX)
}
