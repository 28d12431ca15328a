//! `packnback backup`: a new snapshot.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use packnback_proto::ids::NodeId;
use packnback_proto::limits::{EXCLUDE_LEN_MAX, ROOT_EXCLUDES_MAX};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::admin::AlarmInfo;
use packnback_proto::wire::local::HostCopy;
use serde_json::{Value, json};

use super::Context;
use super::alarm::{self, alarm_json, is_about};
use super::restore::{note_json, show_notes};
use crate::args::{BackupArgs, DedupArg, WaitFor};
use crate::backup::{self, BackupOptions, BackupReport, Cause, Dedup, StdinFile};
use crate::bundle::Bundle;
use crate::cache::Cache;
use crate::client::Client;
use crate::commands::wait::{self, Ended, Waited, Wish};
use crate::exit::{Exit, Failure, Outcome};
use crate::files::read_small;
use crate::fs::{Excludes, WalkOptions};
use crate::meter::Meter;
use crate::pipeline::Cancel;
use crate::render::{self, Voice};
use crate::sets;
use crate::system;

const EXCLUDE_FILE_MAX: u64 = 16 * 1024 * 1024;
const SAFE_TO_STOP: &str = "No snapshot is made now; earlier ones are untouched, and what was sent need not be sent again.";

/// Runs the command.
///
/// # Errors
/// When there is no snapshot. Files that could not be saved make exit code 3 instead.
pub fn run(context: &Context, args: BackupArgs) -> Outcome {
    let (bundle, client) = context.device()?;
    let cancel = system::cancel_on_signal(SAFE_TO_STOP)?;
    let options = BackupOptions {
        cancel: cancel.clone(),
        ..options(context, &args, &bundle)?
    };
    let cache = open_cache(context);
    let meter = Meter::start(
        context.voice,
        if args.dry_run { "checking" } else { "saving" },
    );
    let started = Instant::now();
    let report = backup::run(options, &bundle.keys, &client, &cache, &meter);
    drop(meter);
    let report = report?;
    let time = started.elapsed();
    // From here on it is there, whoever may be told or not.
    let voice = match report.snapshot {
        Some(_) => {
            system::say_when_stopped(wait::SAFE_TO_STOP);
            context.voice.after_deed()
        }
        None => context.voice,
    };
    say_report(voice, &args, &report, time)?;
    if let (Some(set), Some(_)) = (report.set, report.snapshot)
        && let Err(error) = sets::note(&context.home, set, &report.set_label)
    {
        let text = format!("note: the name of the backup set could not be noted: {error}");
        voice.note(&text);
    }
    let waited = match report.snapshot {
        Some(snap) => {
            let wish = Wish {
                wait: args.wait,
                timeout_s: args.wait_timeout,
                cancel: &cancel,
            };
            wait::run(voice, &client, snap, wish)
        }
        None => Waited::nobody_asked(),
    };
    let day = match report.snapshot {
        Some(_) => day_used_up(&client, &bundle, &waited),
        None => None,
    };
    let json = report_json(&report, &waited, time, day.as_ref());
    voice.result(&json)?;
    let exit = finish(voice, &args, &report, &waited, bundle.device())?;
    Ok(match (day, exit) {
        (Some(reason), Exit::Done | Exit::Incomplete | Exit::NotSafe) => {
            wait::say_day(voice, &reason);
            Exit::NotSafe
        }
        (_, exit) => exit,
    })
}

/// Why friends take no more of this device today, if so: hosts go by its certificate, this machine's own node
/// does not.
fn day_used_up(client: &Client, bundle: &Bundle, waited: &Waited) -> Option<String> {
    let mut left = waited.hosts.iter().filter(|copy| !copy.receipt).peekable();
    left.peek()?;
    let cert = bundle.cert.value();
    let devices = client.devices().unwrap_or_default();
    let own = devices.iter().find(|info| info.device == bundle.device());
    if let Some(own) = own.filter(|own| own.day_snaps > cert.snaps_per_day) {
        return Some(format!(
            "this is snapshot {} of this device today, and friends take {} a day",
            render::count(own.day_snaps),
            render::count(cert.snaps_per_day)
        ));
    }
    if let Some(own) = own.filter(|own| own.day_bytes > cert.new_bytes_per_day) {
        return Some(format!(
            "this device has stored {} today, and friends take {} a day",
            render::bytes(own.day_bytes),
            render::bytes(cert.new_bytes_per_day)
        ));
    }
    let code = format!("({})", ErrorCode::DayBudget.as_str());
    let error = left.find_map(|copy| copy.last_error.as_ref().filter(|e| e.contains(&code)));
    error.map(|error| render::path(error.as_bytes()))
}

fn options(context: &Context, args: &BackupArgs, bundle: &Bundle) -> Outcome<BackupOptions> {
    let walk = WalkOptions {
        excludes: excludes(args)?,
        exclude_caches: args.exclude_caches,
        exclude_larger_than: args.exclude_larger_than,
        one_file_system: args.one_file_system,
        exclude_inodes: own_folders(context),
        threads: None,
    };
    Ok(BackupOptions {
        roots: args.paths.clone(),
        cwd: cwd(&args.paths)?,
        walk,
        stdin: pipe(args)?,
        label: args.tag.clone().unwrap_or_else(|| bundle.label.clone()),
        set: args.set.clone(),
        time: system::now(),
        tool: concat!("packnback ", env!("CARGO_PKG_VERSION")).to_owned(),
        full: args.full,
        reread: !args.no_reread,
        dedup: match args.dedup {
            DedupArg::Owner => Dedup::Owner,
            DedupArg::Session => Dedup::Session,
        },
        dry_run: args.dry_run,
        threads: args.threads,
        cancel: Cancel::default(),
    })
}

/// Where relative paths start; not asked for if there are none, as it may be gone.
fn cwd(paths: &[PathBuf]) -> Outcome<PathBuf> {
    if paths.iter().any(|path| path.as_os_str().is_empty()) {
        return Err(Failure::usage("a path is empty: is a variable not set?")
            .safe("No snapshot was made; earlier ones are untouched.")
            .next("Name what is to be saved; the working folder is `.`"));
    }
    if paths.iter().all(|path| path.is_absolute()) {
        return Ok(PathBuf::from("/"));
    }
    std::env::current_dir().map_err(|e| {
        Failure::failed("cwd", format!("the working folder is gone: {e}"))
            .safe("No snapshot was made; earlier ones are untouched.")
            .next("Go to another folder, or name paths that start with a slash.")
    })
}

/// What is read instead of files.
fn pipe(args: &BackupArgs) -> Outcome<Option<StdinFile>> {
    let name = args
        .stdin_filename
        .clone()
        .unwrap_or_else(|| PathBuf::from("stdin"));
    if args.stdin || args.exec.is_some() {
        backup::check_name(&name)?;
    }
    let reader: Box<dyn Read + Send> = match &args.exec {
        Some(command) if command.trim().is_empty() => {
            return Err(Failure::usage("--exec has no command").safe("No snapshot was made."));
        }
        Some(command) => Box::new(Output::of(command)?),
        None if args.stdin => Box::new(io::stdin()),
        None => return Ok(None),
    };
    Ok(Some(StdinFile { name, reader }))
}

fn excludes(args: &BackupArgs) -> Outcome<Excludes> {
    let bad = |e: crate::fs::PatternError| {
        Failure::usage(format!("the pattern cannot be understood: {e}"))
            .safe("No snapshot was made.")
    };
    let mut excludes = Excludes::new();
    for pattern in &args.exclude {
        excludes.add(pattern.as_bytes()).map_err(bad)?;
    }
    for file in &args.exclude_file {
        let text = read_small(file, EXCLUDE_FILE_MAX).map_err(|e| {
            Failure::file("read the patterns in", file, &e).safe("No snapshot was made.")
        })?;
        excludes.add_file(&text).map_err(bad)?;
    }
    let too_long = excludes.texts().any(|text| text.len() > EXCLUDE_LEN_MAX);
    if too_long || excludes.texts().count() > ROOT_EXCLUDES_MAX {
        // A snapshot that names some of its patterns only would pass for one that had no others.
        return Err(Failure::usage(format!(
            "a snapshot can name {ROOT_EXCLUDES_MAX} patterns of {EXCLUDE_LEN_MAX} bytes"
        ))
        .safe("No snapshot was made."));
    }
    Ok(excludes)
}

/// The own home, should it not look like one (its cache is elsewhere, its node has never run): a store in a backup
/// would grow by itself with every run.
fn own_folders(context: &Context) -> Vec<(u64, u64)> {
    let home = &context.home;
    let folders = [
        home.node_dir(),
        home.cache_dir(),
        home.config_dir().to_owned(),
    ];
    folders
        .iter()
        .filter_map(|dir| dir.metadata().ok())
        .map(|found| (found.dev(), found.ino()))
        .collect()
}

fn open_cache(context: &Context) -> Cache {
    let cache = Cache::open_kept(&context.home.cache_dir(), &context.home.places());
    if let Some(warning) = cache.warning() {
        context.voice.note(&format!("note: {warning}"));
    }
    cache
}

/// What a command prints. Its failure is an error at the end, so that no snapshot is made of half a dump.
struct Output {
    child: Child,
    stdout: ChildStdout,
    ended: bool,
}

impl Output {
    fn of(command: &str) -> Outcome<Self> {
        let failed = |e: io::Error| {
            Failure::failed("exec", format!("cannot run {command:?}: {e}"))
                .safe("No snapshot was made.")
        };
        let mut child = Command::new("/bin/sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            child,
            stdout,
            ended: false,
        })
    }
}

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stdout.read(buf)?;
        if read == 0 && !buf.is_empty() && !self.ended {
            let status = self.child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("the command failed ({status})")));
            }
            self.ended = true;
        }
        Ok(read)
    }
}

fn say_report(
    voice: Voice,
    args: &BackupArgs,
    report: &BackupReport,
    time: Duration,
) -> Outcome<()> {
    let totals = &report.totals;
    let title = match report.snapshot {
        Some(snap) => format!("Snapshot {}", snap.short()),
        None => "Dry run, nothing was stored".to_owned(),
    };
    voice.say(&format!(
        "{title}: {}, {} in {} ({}).",
        render::counted(totals.files, "file", "files"),
        render::bytes(totals.bytes),
        render::duration(time),
        render::rate(totals.bytes, time),
    ))?;
    voice.say(&format!(
        "  {} new, {} changed, {} unchanged; read {}, stored {} in {}.",
        render::count(totals.files_new),
        render::count(totals.files_changed),
        render::count(totals.files_unmodified),
        render::bytes(totals.bytes_read),
        render::bytes(totals.bytes_stored),
        render::counted(totals.objects_new, "new object", "new objects"),
    ))?;
    if totals.files_reread > 0 {
        voice.say(&format!(
            "  {} of the unchanged read all the same: it was their turn (each has one day in fifty).",
            render::count(totals.files_reread)
        ))?;
    }
    for remark in &report.remarks {
        voice.say(&format!("  {remark}"))?;
    }
    for warning in &report.warnings {
        voice.note(&format!("note: {warning}"));
    }
    if voice.verbose > 0 || args.dry_run {
        show_notes(voice, "Left out", &report.skipped, report.skipped_more);
    } else if !report.skipped.is_empty() {
        let all = u64::try_from(report.skipped.len())
            .unwrap_or(0)
            .saturating_add(report.skipped_more);
        voice.say(&format!(
            "  {} left out that cannot be saved, sockets for example (-v lists them).",
            render::count(all)
        ))?;
    }
    if report.pending_orders > 0 {
        voice.note(&format!(
            "note: {} of the owner not carried out yet. Nobody but the owner can sign one: if that is news, look at it (packnback order list).",
            render::counted(report.pending_orders.into(), "order", "orders")
        ));
    }
    Ok(())
}

fn report_json(
    report: &BackupReport,
    waited: &Waited,
    time: Duration,
    day_limit: Option<&String>,
) -> Value {
    let totals = &report.totals;
    json!({
        "snapshot": report.snapshot.map(|id| id.to_string()),
        "root": report.root.map(|id| id.to_string()),
        "set": report.set.map(|set| set.to_string()),
        "set_name": report.set_label,
        "complete": report.is_complete(),
        "entries": totals.entries,
        "files": totals.files,
        "dirs": totals.dirs,
        "bytes": totals.bytes,
        "files_new": totals.files_new,
        "files_changed": totals.files_changed,
        "files_unmodified": totals.files_unmodified,
        "files_reread": totals.files_reread,
        "files_differ": totals.files_differ,
        "bytes_read": totals.bytes_read,
        "objects_new": totals.objects_new,
        "bytes_stored": totals.bytes_stored,
        "seconds": time.as_secs_f64(),
        "problems": report.problems.iter().map(note_json).collect::<Vec<_>>(),
        "problems_more": report.problems_more,
        "skipped": report.skipped.iter().map(note_json).collect::<Vec<_>>(),
        "skipped_more": report.skipped_more,
        "remarks": report.remarks,
        "warnings": report.warnings,
        "pending_orders": report.pending_orders,
        "alarms": report.alarms.iter().map(alarm_json).collect::<Vec<_>>(),
        "safe": waited.enough,
        "friends": waited.done(),
        "copies": waited.hosts.iter().map(super::status::copy_json).collect::<Vec<_>>(),
        "day_limit": day_limit,
        "wait_seconds": waited.time.as_secs_f64(),
    })
}

fn finish(
    voice: Voice,
    args: &BackupArgs,
    report: &BackupReport,
    waited: &Waited,
    own: NodeId,
) -> Outcome {
    if report.snapshot.is_some() {
        say_copies(voice, args, waited)?;
    }
    if !report.is_complete() {
        show_notes(
            voice.aloud(),
            "NOT saved, or not as they are now",
            &report.problems,
            report.problems_more,
        );
        voice.problem("  safe: everything else is in the snapshot.");
        for cause in &report.causes {
            voice.problem(&format!("  next: {}", remedy(*cause)));
        }
    }
    alarm::shout(voice, &report.alarms);
    let exit = match (waited.enough, report.is_complete()) {
        (false, _) => Exit::NotSafe,
        (true, false) => Exit::Incomplete,
        (true, true) => Exit::Done,
    };
    // An alarm about another device of the owner is shown here; it is that device which is in danger.
    let own = report.alarms.iter().filter(|alarm| is_about(alarm, own));
    let own: Vec<AlarmInfo> = own.cloned().collect();
    Ok(alarm::exit_with(&own, exit))
}

/// What to do about files that are not saved as they are.
fn remedy(cause: Cause) -> &'static str {
    match cause {
        Cause::Forbidden => {
            "what is denied: run it again as a user who may read it, or leave it out with --exclude."
        }
        Cause::Failing => {
            "what cannot be read: the reason is the system's; look after the disk, or at limits of this user."
        }
        Cause::Vanished => {
            "what was not there: nothing, if it was removed meanwhile; else check the path, and whether its disk is there."
        }
        Cause::Changed => {
            "what changed: run it again when nothing writes to it, save a snapshot of the file system, or a dump with --exec."
        }
        Cause::Metadata => {
            "attributes that are lost: the content is saved; keep what they say elsewhere if it matters."
        }
    }
}

fn say_copies(voice: Voice, args: &BackupArgs, waited: &Waited) -> Outcome<()> {
    let done = waited.done();
    let all = waited.hosts.len();
    if args.wait.is_none() {
        if let Some(Ended::Lost(why)) = &waited.ended {
            voice.note(&format!(
                "note: how many friends have it is not known: {why}"
            ));
            return Ok(());
        }
        return match all {
            0 => voice.say("  It is on this machine only: invite a friend (packnback peer invite)."),
            _ => voice.say(&format!("  It is on this machine and on {done} of {all} friends; it goes to the others by itself (packnback status).")),
        };
    }
    if waited.enough {
        return voice.say(&format!(
            "  Safe on {done} of {all} friends after {}.",
            render::duration(waited.time)
        ));
    }
    voice.problem(&format!(
        "Not safe yet: on {done} of {} after {}.",
        render::counted(u64::try_from(all).unwrap_or(0), "friend", "friends"),
        render::duration(waited.time)
    ));
    match (&waited.ended, args.wait) {
        (Some(Ended::Stopped), _) => voice.problem("  You stopped waiting."),
        (Some(Ended::Lost(why)), _) => {
            voice.problem(&format!("  How far it got is not known: {why}"));
        }
        (Some(Ended::TooFew), _) if all == 0 => {
            voice.problem("  There are no friends yet: packnback peer invite");
        }
        (Some(Ended::TooFew), Some(WaitFor::Hosts(asked))) => voice.problem(&format!(
            "  You asked for {asked} friends, and there {} only {all}: invite another (packnback peer invite), or ask for fewer.",
            if all == 1 { "is" } else { "are" }
        )),
        _ => {}
    }
    let left: Vec<HostCopy> = waited
        .hosts
        .iter()
        .filter(|copy| !copy.receipt)
        .cloned()
        .collect();
    if !left.is_empty() {
        voice.problem(&format!("  {}", super::status::left(&left)));
    }
    voice.problem("  safe: the snapshot is complete on this machine, and goes out by itself while the node runs.");
    voice.problem("  next: look again with `packnback status`; a longer wait: --wait-timeout 12h");
    Ok(())
}
