//! One run from start to commit.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::bounded;

use packnback_proto::crypto::keys::{SetName, set_id};
use packnback_proto::format::root::Stats;
use packnback_proto::ids::{ObjectId, SetId};

use super::assemble::{Assembled, Assembler};
use super::checkpoint;
use super::ctx::{Ctx, CtxParts, Stop};
use super::options::{BackupOptions, DeviceBundleKeys};
use super::pack::PackBox;
use super::plan::{Known, Planner, known_segments};
use super::report::{BackupError, BackupReport, FileNote, Totals};
use super::reread::{self, Turns};
use super::tree::{self, About};
use super::{stdin, worker};
use crate::cache::{Cache, Facts, Hash16};
use crate::client::{Committed, NodeLink, Opened};
use crate::fs::{Walk, stored_path};
use crate::progress::{Counters, Progress};

/// Files changed this short before the start may change again without showing it.
const RACY_NS: i64 = 2_000_000_000;

fn now_ns() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

fn start_ns(time: u64) -> i64 {
    i64::try_from(time.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX)
}

fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism()
            .map_or(2, std::num::NonZero::get)
            .min(32),
        n => n.min(64),
    }
}

/// Runs the pipeline once.
pub(super) fn once(
    options: &mut BackupOptions,
    keys: &DeviceBundleKeys,
    node: &dyn NodeLink,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    let opened = if options.dry_run {
        Opened::default()
    } else {
        node.open()?
    };
    let ctx = Ctx::new(CtxParts {
        node,
        cache,
        progress,
        keys,
        racy_ns: start_ns(options.time).saturating_sub(RACY_NS),
        full: options.full,
        dry_run: options.dry_run,
        dedup: options.dedup,
        cancel: options.cancel.clone(),
    })?;
    let mut report = BackupReport {
        pending_orders: opened.pending_orders,
        alarms: opened.alarms.clone(),
        ..BackupReport::default()
    };
    report.warnings.extend(cache.warning().map(str::to_owned));
    let set = set_of(options, keys);
    report.set_label = crate::sets::label(options.set.as_deref(), &paths(options));
    match pipeline(&ctx, options, set, &mut report) {
        Ok(()) => {
            fill(&ctx, &mut report);
            Ok(report)
        }
        Err(Stop) => Err(ctx
            .failure()
            .unwrap_or_else(|| BackupError::Internal("it stopped without a reason".into()))),
    }
}

fn pipeline(
    ctx: &Ctx<'_>,
    options: &mut BackupOptions,
    set: SetId,
    report: &mut BackupReport,
) -> Result<(), Stop> {
    let paths = paths(options);
    let scope = ctx.cache_key.scope(&paths);
    let all = ctx.cache.segments();
    let of_scope = all.iter().filter(|(_, record)| record.scope == scope);
    let of_scope: Vec<Hash16> = of_scope.map(|(print, _)| *print).collect();
    let known = known_segments(ctx, all).map_err(|e| ctx.fail(e))?;
    let turns = turns(ctx, options, &scope);
    let assembled = stages(ctx, options, (known, turns), scope)?;
    let (stats, nodes) = (assembled.stats, assembled.nodes);
    let named = stats.files.saturating_add(stats.dirs);
    report.totals = Totals {
        entries: named.saturating_add(stats.others),
        files: stats.files,
        dirs: stats.dirs,
        bytes: stats.bytes,
        ..Totals::default()
    };
    if nodes.is_empty() {
        return Err(ctx.fail(BackupError::Nothing));
    }
    let root = tree::build(ctx, nodes, about(ctx, options, paths, stats))?;
    if ctx.dry_run {
        return Ok(());
    }
    ctx.check()?;
    commit(ctx, root, set, options.time, report)?;
    let kept = assembled.segments.iter().map(|(print, _)| print);
    let kept: HashSet<Hash16> = kept.chain(&assembled.reused).copied().collect();
    let facts = Facts {
        segments: assembled.segments,
        segments_gone: of_scope
            .into_iter()
            .filter(|print| !kept.contains(print))
            .collect(),
        turns: turns.taken().map(|day| (scope, day)),
        ..Facts::default()
    };
    let written = ctx.cache.apply(&facts).and_then(|()| ctx.cache.flush());
    if let Err(error) = written {
        let text = format!("the cache could not be written: {error}");
        ctx.warnings.lock().push(text);
    }
    Ok(())
}

/// What is read again although it looks unchanged.
fn turns(ctx: &Ctx<'_>, options: &BackupOptions, scope: &[u8; 8]) -> Turns {
    if !options.reread || options.dry_run || options.full || options.stdin.is_some() {
        return Turns::NONE;
    }
    let today = u32::try_from(options.time / 86_400).unwrap_or(u32::MAX);
    Turns::since(ctx.cache.turns(scope), today)
}

/// What the root says of this run.
fn about(ctx: &Ctx<'_>, options: &BackupOptions, paths: Vec<Vec<u8>>, stats: Stats) -> About {
    let end = u64::try_from(now_ns() / 1_000_000_000).unwrap_or(options.time);
    About {
        label: options.label.clone(),
        set: options.set.clone(),
        start: options.time,
        end: end.max(options.time),
        tool: options.tool.clone(),
        paths,
        excludes: options.exclude_texts.clone(),
        stats: Stats {
            new_objects: Counters::get(&ctx.numbers.objects_new),
            new_bytes: Counters::get(&ctx.numbers.bytes_stored),
            ..stats
        },
    }
}

/// The backup set of this run: by its name, else by what it saves.
fn set_of(options: &BackupOptions, keys: &DeviceBundleKeys) -> SetId {
    let paths = paths(options);
    let name = match &options.set {
        Some(name) => SetName::Given(name),
        None => SetName::Roots(&paths),
    };
    set_id(&keys.device.set_key, name)
}

fn commit(
    ctx: &Ctx<'_>,
    root: ObjectId,
    set: SetId,
    time: u64,
    report: &mut BackupReport,
) -> Result<(), Stop> {
    report.root = Some(root);
    report.set = Some(set);
    let committed = ctx.node.commit(root, set, time);
    match committed.map_err(|e| ctx.fail(e.into()))? {
        Committed::Done { snap, receipt, .. } => {
            report.snapshot = Some(snap);
            report.receipt = receipt;
            Ok(())
        }
        Committed::Missing(ids) => {
            let n = ids.len();
            if let Err(error) = ctx.cache.forget_objects(&ids.into_iter().collect()) {
                let text = format!("the cache could not be corrected: {error}");
                ctx.warnings.lock().push(text);
            }
            Err(ctx.fail(BackupError::Missing(n)))
        }
    }
}

fn paths(options: &BackupOptions) -> Vec<Vec<u8>> {
    match &options.stdin {
        Some(stdin) => vec![stored_path(&stdin.name, std::path::Path::new("/"))],
        None => {
            let mut paths: Vec<_> = options
                .roots
                .iter()
                .map(|root| stored_path(root, &options.cwd))
                .collect();
            paths.sort_by(|a, b| crate::fs::path_cmp(a, b));
            paths.dedup();
            paths
        }
    }
}

/// Planner, workers, assembler and checkpoints, each in threads of its own.
fn stages(
    ctx: &Ctx<'_>,
    options: &mut BackupOptions,
    known: (Known, Turns),
    scope: [u8; 8],
) -> Result<Assembled, Stop> {
    let n = threads(options.threads);
    let packs: Vec<PackBox> = (0..n).map(|_| PackBox::default()).collect();
    let (batches_in, batches_out) = bounded(n.saturating_mul(2));
    let (messages_in, messages_out) = bounded(64);
    let (queue, jobs) = bounded(n.saturating_mul(8));
    let (checkpoints, facts) = checkpoint::pair();
    let piped = options.stdin.take();
    let (roots, cwd) = (options.roots.clone(), options.cwd.clone());
    let walk = options.walk.clone();
    std::thread::scope(|scope_threads| {
        let saver = scope_threads.spawn(move || checkpoint::run(ctx, &facts));
        for pack in &packs {
            let ends = (jobs.clone(), queue.clone());
            let (batches, out) = (batches_out.clone(), messages_in.clone());
            scope_threads.spawn(move || {
                if worker::run(ctx, pack, ends, &batches, &out).is_err() {
                    pack.abandon();
                }
            });
        }
        drop(batches_out);
        scope_threads.spawn(move || {
            let result = match piped {
                Some(stdin) => {
                    drop(batches_in);
                    stdin::run(ctx, stdin, (jobs, queue), &messages_in)
                }
                None => {
                    drop((jobs, queue));
                    let walk = Walk::new(&roots, &cwd, walk);
                    Planner::new(ctx, known, (batches_in, messages_in))
                        .follow(walk)
                        .map(drop)
                }
            };
            // The reason is in the context.
            result.unwrap_or(());
        });
        let assembled = Assembler::new(ctx, &packs, checkpoints, scope)
            .and_then(|assembler| assembler.run(&messages_out));
        if assembled.is_err() {
            // Let everybody out who waits for room.
            ctx.stop();
            packs.iter().for_each(PackBox::abandon);
        }
        drop(messages_out);
        let assembled = match assembled {
            Ok((assembled, checkpoints)) => checkpoints.finish(ctx).map(|()| assembled),
            Err(stop) => Err(stop),
        };
        match saver.join() {
            Ok(Ok(())) => assembled,
            Ok(Err(stop)) => Err(stop),
            Err(_) => Err(ctx.fail(BackupError::Internal(
                "the checkpoint thread panicked".into(),
            ))),
        }
    })
}

/// The parts of the report that come from all stages.
fn fill(ctx: &Ctx<'_>, report: &mut BackupReport) {
    let numbers = &ctx.numbers;
    let totals = &mut report.totals;
    totals.files_new = Counters::get(&numbers.files_new);
    totals.files_changed = Counters::get(&numbers.files_changed);
    totals.files_unmodified = Counters::get(&numbers.files_unmodified);
    totals.files_reread = Counters::get(&numbers.files_reread);
    totals.files_differ = Counters::get(&numbers.files_differ);
    totals.bytes_read = Counters::get(&numbers.bytes_read);
    totals.objects_new = Counters::get(&numbers.objects_new);
    totals.bytes_stored = Counters::get(&numbers.bytes_stored);
    let notes = |troubles: &parking_lot::Mutex<super::ctx::Troubles>| {
        let troubles = troubles.lock();
        let listed: Vec<FileNote> = troubles
            .listed
            .iter()
            .map(|t| FileNote {
                path: t.path.clone(),
                reason: t.text.clone(),
            })
            .collect();
        let more = troubles
            .count
            .saturating_sub(u64::try_from(listed.len()).unwrap_or(0));
        (listed, more)
    };
    (report.problems, report.problems_more) = notes(&ctx.troubles);
    (report.skipped, report.skipped_more) = notes(&ctx.skipped);
    report.warnings.append(&mut ctx.warnings.lock());
    if let Some(first) = ctx.first_differs.lock().take() {
        report
            .warnings
            .push(reread::differ_text(report.totals.files_differ, &first));
    }
}
