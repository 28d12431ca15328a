//! One run from start to commit.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::bounded;

use packnback_proto::crypto::keys::{SetName, set_id};
use packnback_proto::format::root::Stats;
use packnback_proto::ids::{ObjectId, SetId};
use packnback_proto::limits::ROOT_PATHS_MAX;
use packnback_proto::wire::local::{CommitAnswer, Opened};

use super::assemble::{Assembled, Assembler};
use super::checkpoint;
use super::ctx::{Ctx, CtxParts};
use super::options::BackupOptions;
use super::pack::PackBox;
use super::plan::{Known, Planner, known_segments};
use super::report::{BackupError, BackupReport, Cause, Totals};
use super::reread::{self, Turns};
use super::tree::{self, About};
use super::{left, stdin, worker};
use crate::cache::{Cache, Facts, Hash16};
use crate::client::NodeLink;
use crate::fs::{Excludes, FollowedLink, Sources, Walk};
use crate::keys::DeviceBundleKeys;
use crate::pipeline::{FileNote, Stop};
use crate::progress::{Counters, Progress};
use crate::render;

/// Files changed this short before the start may change again without showing it.
const RACY_NS: i64 = 2_000_000_000;
/// Paths or patterns of one kind named in one remark.
const NAMED_MAX: usize = 5;

/// The clock, nanoseconds since the epoch.
pub(super) fn now_ns() -> i64 {
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
    match pipeline(&ctx, options, keys, &mut report) {
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
    keys: &DeviceBundleKeys,
    report: &mut BackupReport,
) -> Result<(), Stop> {
    let sources = match &options.stdin {
        Some(_) => Sources::default(),
        None => Sources::resolve(&options.roots, &options.cwd),
    };
    report.remarks.extend(sources.links().iter().map(followed));
    let paths = paths(options, &sources).map_err(|e| ctx.fail(e))?;
    let named = match &options.stdin {
        Some(_) => paths.as_slice(),
        None => sources.named(),
    };
    let set = set_of(options, named, keys);
    report.set_label = crate::sets::label(options.set.as_deref(), named);
    let scope = ctx.cache_key.scope(&paths);
    let all = ctx.cache.segments();
    let of_scope = all.iter().filter(|(_, record)| record.scope == scope);
    let of_scope: Vec<Hash16> = of_scope.map(|(print, _)| *print).collect();
    let known = known_segments(ctx, all).map_err(|e| ctx.fail(e))?;
    let turns = turns(ctx, options, &scope);
    let piped = options.stdin.is_some();
    let mut assembled = stages(ctx, options, sources, (known, turns), scope)?;
    let (stats, nodes) = (assembled.stats, std::mem::take(&mut assembled.nodes));
    let named = stats.files.saturating_add(stats.dirs);
    report.totals = Totals {
        entries: named.saturating_add(stats.others),
        files: stats.files,
        dirs: stats.dirs,
        bytes: stats.bytes,
        ..Totals::default()
    };
    if !piped {
        let empty = nothing(ctx, nodes.is_empty()).map_err(|e| ctx.fail(e))?;
        report.remarks.extend(empty);
        report.remarks.extend(homes(&ctx.homes.lock()));
        ctx.warnings.lock().extend(unused(&options.walk.excludes));
    }
    let root = tree::build(ctx, nodes, about(ctx, options, paths, stats))?;
    if ctx.dry_run {
        return Ok(());
    }
    ctx.check()?;
    commit(ctx, root, set, options.time, report)?;
    let facts = Facts {
        turns: turns.taken().map(|day| (scope, day)),
        ..learned(ctx, assembled, of_scope, scope)
    };
    let written = ctx.cache.apply(&facts).and_then(|()| ctx.cache.flush());
    if let Err(error) = written {
        let text = format!("the cache could not be written: {error}");
        ctx.warnings.lock().push(text);
    }
    Ok(())
}

/// What the cache is told once the snapshot is there.
fn learned(ctx: &Ctx<'_>, assembled: Assembled, of_scope: Vec<Hash16>, scope: [u8; 8]) -> Facts {
    let kept = assembled.segments.iter().map(|(print, _)| print);
    let kept: HashSet<Hash16> = kept.chain(&assembled.reused).copied().collect();
    Facts {
        segments: assembled.segments,
        segments_gone: of_scope
            .into_iter()
            .filter(|print| !kept.contains(print))
            .collect(),
        contents_gone: ctx
            .cache
            .contents(&scope)
            .into_iter()
            .filter(|content| !assembled.contents.contains(content))
            .collect(),
        contents: assembled.contents_new,
        scope,
        ..Facts::default()
    }
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
        excludes: options.walk.excludes.texts().map(<[u8]>::to_vec).collect(),
        left: left::left_out(ctx, options),
        stats: Stats {
            new_objects: Counters::get(&ctx.numbers.objects_new),
            new_bytes: Counters::get(&ctx.numbers.bytes_stored),
            ..stats
        },
    }
}

/// The backup set of this run: by its name, else by what it was asked to save. What a link among it points to may
/// change from run to run.
fn set_of(options: &BackupOptions, named: &[Vec<u8>], keys: &DeviceBundleKeys) -> SetId {
    let name = match &options.set {
        Some(name) => SetName::Given(name),
        None => SetName::Roots(named),
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
        CommitAnswer::Committed(done) => {
            report.snapshot = Some(done.snap);
            report.receipt = done.receipt.0;
            Ok(())
        }
        CommitAnswer::Missing(ids) => {
            let n = ids.len();
            if let Err(error) = ctx.cache.forget_objects(&ids.into_iter().collect()) {
                let text = format!("the cache could not be corrected: {error}");
                ctx.warnings.lock().push(text);
            }
            Err(ctx.fail(BackupError::Missing(n)))
        }
    }
}

/// What was asked for, as stored paths.
fn paths(options: &BackupOptions, sources: &Sources) -> Result<Vec<Vec<u8>>, BackupError> {
    if let Some(stdin) = &options.stdin {
        return Ok(vec![stdin::stored(&stdin.name)]);
    }
    let paths = sources.paths().to_vec();
    if paths.len() > ROOT_PATHS_MAX {
        return Err(BackupError::Paths(paths.len()));
    }
    Ok(paths)
}

fn followed(link: &FollowedLink) -> String {
    format!(
        "/{} is a link: it is saved, and so is /{}, which it points to.",
        render::path(&link.link),
        render::path(&link.target)
    )
}

/// Refuses if nothing of what was asked for is there to be saved, and says why; a remark if there are only folders.
fn nothing(ctx: &Ctx<'_>, is_empty: bool) -> Result<Option<String>, BackupError> {
    let numbers = &ctx.numbers;
    let (inside, content) = (
        Counters::get(&numbers.inside),
        Counters::get(&numbers.content),
    );
    let excluded = Counters::get(&numbers.excluded);
    if content > 0 && !is_empty {
        return Ok(None);
    }
    let first = [&ctx.troubles, &ctx.skipped].into_iter().find_map(|notes| {
        let notes = notes.lock();
        let more = match notes.count.saturating_sub(1) {
            0 => String::new(),
            n => format!(" (and {} more)", render::count(n)),
        };
        let first = notes.listed.first()?;
        Some(format!(
            "/{}: {}{more}",
            render::path(&first.path),
            first.text
        ))
    });
    if excluded > 0 && !is_empty {
        let what = render::counted(excluded, "file or folder", "files and folders");
        let text = format!("what was given to be left out covers everything there is ({what})");
        return Err(BackupError::Nothing(text));
    }
    let failed = {
        let troubles = ctx.troubles.lock();
        let is_lost = |cause: &Cause| !matches!(cause, Cause::Changed | Cause::Metadata);
        troubles.causes.iter().any(is_lost)
    };
    if inside == 0 || is_empty || failed {
        let text = first.unwrap_or_else(|| "none of the given paths is there".into());
        return Err(BackupError::Nothing(text));
    }
    let only_folders = "There is no file in what was given, only folders: is a disk missing?";
    Ok(first.is_none().then(|| only_folders.to_owned()))
}

/// What is said of homes that were left out.
fn homes(found: &[Vec<u8>]) -> Option<String> {
    let named = found.iter().take(NAMED_MAX);
    let named: Vec<String> = named
        .map(|path| format!("/{}", render::path(path)))
        .collect();
    let more = match found.len().saturating_sub(named.len()) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let named = named.join(", ");
    (!found.is_empty()).then(|| format!("The home of a node is never saved: {named}{more}."))
}

/// What is said of patterns that decided nothing.
fn unused(excludes: &Excludes) -> Option<String> {
    let unused: Vec<String> = excludes.unused().map(render::path).collect();
    let named: Vec<String> = unused
        .iter()
        .take(NAMED_MAX)
        .map(|p| format!("'{p}'"))
        .collect();
    let more = match unused.len().saturating_sub(named.len()) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    (!named.is_empty()).then(|| {
        format!(
            "nothing matched {}{more}: patterns see what is below the given paths, and only those that \
             start with a slash see the whole path",
            named.join(", ")
        )
    })
}

/// Planner, workers, assembler and checkpoints, each in threads of its own.
fn stages(
    ctx: &Ctx<'_>,
    options: &mut BackupOptions,
    sources: Sources,
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
                    let walk = Walk::over(sources, walk);
                    Planner::new(ctx, known, (batches_in, messages_in)).follow(walk)
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
    report.causes.clone_from(&ctx.troubles.lock().causes);
    (report.skipped, report.skipped_more) = notes(&ctx.skipped);
    report.warnings.append(&mut ctx.warnings.lock());
    if let Some(first) = ctx.first_differs.lock().take() {
        report
            .warnings
            .push(reread::differ_text(report.totals.files_differ, &first));
    }
}
