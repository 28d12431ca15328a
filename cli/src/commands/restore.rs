//! `packnback restore`: files come back from a snapshot.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::patterns::patterns;
use super::reading::{Reading, own_catalog, tell_choice};
use super::{Context, inside};
use crate::args::{OverwriteArg, RestoreArgs, WriteArgs};
use crate::bundle::Bundle;
use crate::exit::{Exit, Failure, Outcome};
use crate::fs;
use crate::keys::ReaderKeys;
use crate::meter::Meter;
use crate::pipeline::{Cancel, FileNote};
use crate::records::{LoadedSnapshot, choose};
use crate::render::{self, Voice};
use crate::restore::{self, RestoreOptions, RestoreReport, Survey};
use crate::sets::{Sets, of_set, present};
use crate::snapshot::{ObjectSource, Remote, Snapshot, snapshots};
use crate::system;

const NOTES_SHOWN: usize = 20;
/// Sets whose names are looked up in their roots.
const SETS_NAMED: usize = 256;
/// What Ctrl-C leaves behind.
pub const SAFE_TO_STOP: &str =
    "Every file restored so far is complete; the same command goes on where it stopped.";

/// Runs the command.
///
/// # Errors
/// Wrong key, no such snapshot or path, a target that cannot be written.
pub fn run(context: &Context, args: RestoreArgs) -> Outcome {
    let reading = Reading::find(context, &args.key, &args.handed)?;
    let keys = &reading.keys;
    keys.check_contents()?;
    let own = Bundle::load_if_there(&context.home)?.map(|bundle| bundle.device());
    let client = context.node()?;
    let remote = Remote(&client);
    let source: &dyn ObjectSource = match &args.from {
        Some(peer) => {
            let addr = super::peer::resolve_address(&client, peer)?;
            reading.open_host(&client, &addr, false)?;
            &remote
        }
        None => &client,
    };
    let all = snapshots(source, keys)?;
    let sets = sets_of(context, source, keys, &all)?;
    let set = sets.pick(args.set.as_deref(), &all, own)?;
    let snaps = of_set(all.clone(), set);
    let snap = choose(&snaps, &args.what.snap, own)?;
    if args.what.snap == "latest"
        && let Some(others) = sets.others(&snaps, snap)
    {
        context.voice.note(&format!("note: {others}."));
    }
    let known = args
        .from
        .as_ref()
        .and_then(|_| own_catalog(&client, keys.owner()));
    tell_choice(context, &snaps, snap, known.as_ref())?;
    if let Some(exit) = reading.prepare(context, &args.handed, source, snap, &all)? {
        return Ok(exit);
    }
    let cancel = system::cancel_on_signal(SAFE_TO_STOP)?;
    let job = Job {
        below: args.what.path.clone(),
        from_top: args.what.from_top,
        target: args.target.clone(),
        write: &args.write,
        cancel,
    };
    let done = job.run(context.voice, keys, source, snap)?;
    // What was written stays, whoever may be told or not.
    let voice = context.voice.after_deed();
    voice.result(&done.json(snap))?;
    done.say(voice, &args.write)
}

/// What the backup sets are called: as noted here, and as the newest root of each says, which the keys
/// open. A root that cannot be read now is told when it is restored.
///
/// # Errors
/// When this home has a bundle that cannot be used.
pub fn sets_of(
    context: &Context,
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
    snaps: &[LoadedSnapshot],
) -> Outcome<Sets> {
    let bundle = Bundle::load_if_there(&context.home)?;
    let mut sets = Sets::of(&context.home, bundle.as_ref());
    let mut seen = std::collections::BTreeSet::new();
    let several = present(snaps, None).len() > 1;
    let newest = snaps.iter().filter(|snap| seen.insert(snap.snap.set));
    for snap in newest.take(SETS_NAMED).filter(|_| several) {
        if sets.name(&snap.snap.set).is_none()
            && let Ok(open) = Snapshot::open(source, keys, snap)
        {
            sets.learn(snap.snap.set, open.root());
        }
    }
    Ok(sets)
}

/// One restore.
pub struct Job<'a> {
    /// Part of the snapshot.
    pub below: Option<Vec<u8>>,
    /// Whether the part was named from the top.
    pub from_top: bool,
    /// Where to.
    pub target: std::path::PathBuf,
    /// How.
    pub write: &'a WriteArgs,
    /// Ends it early.
    pub cancel: Cancel,
}

/// What came of it.
pub struct Finished {
    /// The report.
    pub report: RestoreReport,
    /// How long it took.
    pub time: Duration,
    /// Where to.
    pub target: std::path::PathBuf,
    /// What was newer in the target than in the snapshot.
    pub survey: Survey,
}

impl Job<'_> {
    /// Restores.
    ///
    /// # Errors
    /// [`crate::restore::RestoreError`] in words for people.
    pub fn run(
        mut self,
        voice: Voice,
        keys: &ReaderKeys,
        source: &dyn ObjectSource,
        snap: &LoadedSnapshot,
    ) -> Outcome<Finished> {
        let write = self.write;
        if let Some(below) = self.below.take() {
            // A path that is not there is told before anything is made.
            let found = inside::find(source, keys, snap, &below, self.from_top)?;
            if found != below {
                voice.say(&format!("/{} of it.", render::path(&found)))?;
            }
            self.below = Some(found);
        }
        if write.delete && !write.dry_run {
            let open = Snapshot::open(source, keys, snap)?;
            self.confirm_delete(voice, &open.root().paths)?;
        }
        let options = self.options(snap)?;
        let survey = restore::survey(&options, keys, source)?;
        confirm_newer(voice, &survey, write)?;
        let meter = Meter::start(
            voice,
            if write.dry_run {
                "checking"
            } else {
                "restoring"
            },
        );
        let started = Instant::now();
        let report = restore::run(&options, keys, source, &meter)?;
        Ok(Finished {
            report,
            time: started.elapsed(),
            target: options.target,
            survey,
        })
    }

    fn options(&self, snap: &LoadedSnapshot) -> Outcome<RestoreOptions> {
        let write = self.write;
        let is_root = rustix::process::geteuid().is_root();
        let privileged = write.privileges || (is_root && !write.no_privileges);
        Ok(RestoreOptions {
            snapshot: snap.clone(),
            below: self.below.clone(),
            include: patterns(&write.include)?,
            exclude: patterns(&write.exclude)?,
            target: self.target.clone(),
            write: fs::RestoreOptions {
                overwrite: match write.overwrite {
                    Some(OverwriteArg::Always) => fs::Overwrite::Always,
                    Some(OverwriteArg::IfChanged) | None => fs::Overwrite::IfChanged,
                    Some(OverwriteArg::Never) => fs::Overwrite::Never,
                },
                dry_run: write.dry_run,
                numeric_ids: write.numeric_ids,
                set_id: privileged,
                devices: privileged,
                labels: privileged,
                closed_only: !write.privileges,
            },
            delete: write.delete,
            ignore_space: write.ignore_space,
            dry_run: write.dry_run,
            verify: write.verify,
            threads: write.threads,
            cancel: self.cancel.clone(),
        })
    }

    /// Removing files of the running system is not done by the way. Who says what it is about, or has saved
    /// no more than some folders further down, has said it.
    fn confirm_delete(&self, voice: Voice, roots: &[Vec<u8>]) -> Outcome<()> {
        let write = self.write;
        let filtered =
            self.below.is_some() || !write.include.is_empty() || !write.exclude.is_empty();
        let is_top = self
            .target
            .canonicalize()
            .is_ok_and(|target| target == std::path::Path::new("/"));
        if filtered || !is_top || write.confirm_delete {
            return Ok(());
        }
        let named: Vec<String> = roots
            .iter()
            .map(|root| format!("/{}", render::path(root)))
            .collect();
        let what = format!(
            "everything below {} that is not in the snapshot, and would have been saved, will be removed",
            named.join(", ")
        );
        let agreed = if may_ask(voice) {
            ask(&format!("{what}. Type `delete` to go on: "))? == "delete"
        } else {
            !roots.iter().any(|root| !root.contains(&b'/'))
        };
        if agreed {
            return Ok(());
        }
        Err(Failure::refused("delete", what)
            .safe("Nothing was written and nothing was removed.")
            .next("Say what is meant (SNAP:PATH or --include), or confirm it: --confirm-delete. With -n what would go is named."))
    }
}

fn may_ask(voice: Voice) -> bool {
    !voice.json && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks the person at the terminal.
fn ask(question: &str) -> Outcome<String> {
    let failed = |e: io::Error| {
        Failure::failed("ask", format!("cannot ask: {e}")).safe("Nothing was written.")
    };
    let mut out = io::stderr().lock();
    out.write_all(question.as_bytes())
        .and_then(|()| out.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(answer.trim().to_lowercase())
}

/// Names what is newer here than in the snapshot; on a terminal, a person decides unless she has.
fn confirm_newer(voice: Voice, survey: &Survey, write: &WriteArgs) -> Outcome<()> {
    if survey.newer.is_empty() || write.overwrite == Some(OverwriteArg::Always) {
        return Ok(());
    }
    let newer: Vec<FileNote> = survey
        .newer
        .iter()
        .map(|path| FileNote {
            path: path.clone(),
            reason: "changed here since it was saved".into(),
        })
        .collect();
    let will = if write.dry_run {
        "Newer here than in the snapshot; these would be overwritten"
    } else {
        "Newer here than in the snapshot; these are overwritten"
    };
    show_notes(voice, will, &newer, survey.newer_more);
    if write.dry_run || write.overwrite.is_some() || !may_ask(voice) {
        return Ok(());
    }
    if matches!(ask("Overwrite them? [y/N] ")?.as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(
        Failure::refused("newer", "what is newer here was not to be overwritten")
            .safe("Nothing was written.")
            .next("Keep all that is there: --overwrite never. Bring a part back elsewhere: --include, another --target."),
    )
}

impl Finished {
    /// For programs.
    #[must_use]
    pub fn json(&self, snap: &LoadedSnapshot) -> Value {
        let report = &self.report;
        json!({
            "snapshot": snap.id.to_string(),
            "time": render::time_utc(snap.snap.time),
            "received": snap.received.map(render::time_utc),
            "device": snap.snap.device.to_string(),
            "target": self.target,
            "complete": report.is_complete(),
            "entries": report.entries,
            "files_written": report.files_written,
            "files_kept": report.files_kept,
            "bytes_written": report.bytes_written,
            "deleted": report.deleted,
            "removed": report.removed.iter().map(|path| path_json(path)).collect::<Vec<_>>(),
            "left": report.left.iter().map(note_json).collect::<Vec<_>>(),
            "left_more": report.left_more,
            "newer": self.survey.newer.iter().map(|path| path_json(path)).collect::<Vec<_>>(),
            "newer_more": self.survey.newer_more,
            "unmatched": report.unmatched.iter().map(|p| String::from_utf8_lossy(p)).collect::<Vec<_>>(),
            "objects": report.objects,
            "bytes_fetched": report.bytes_fetched,
            "seconds": self.time.as_secs_f64(),
            "damage": report.damage.iter().map(note_json).collect::<Vec<_>>(),
            "damage_more": report.damage_more,
            "notes": report.notes.iter().map(note_json).collect::<Vec<_>>(),
            "notes_more": report.notes_more,
        })
    }

    /// For people. Gives the exit code.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn say(&self, voice: Voice, write: &WriteArgs) -> Outcome {
        let report = &self.report;
        let would = if write.dry_run {
            "Would restore"
        } else {
            "Restored"
        };
        voice.say(&format!(
            "{would} {} into {}: {} written ({}), {} already there, in {} ({}).",
            render::counted(report.entries, "entry", "entries"),
            self.target.display(),
            render::counted(report.files_written, "file", "files"),
            render::bytes(report.bytes_written),
            render::count(report.files_kept),
            render::duration(self.time),
            render::rate(report.bytes_written, self.time),
        ))?;
        self.say_removed(voice, write)?;
        show_notes(
            voice,
            "Not restored exactly",
            &report.notes,
            report.notes_more,
        );
        for pattern in &report.unmatched {
            voice.note(&format!(
                "note: nothing in the snapshot matches '{}'",
                render::path(pattern)
            ));
        }
        if report.is_complete() {
            return Ok(Exit::Done);
        }
        if report.is_nothing() {
            voice.problem("NOTHING was restored: nothing in the snapshot is what was asked for.");
            voice.problem("  safe: nothing was written.");
            voice.problem("  next: look at what is in it: packnback ls SNAP");
            return Ok(Exit::Incomplete);
        }
        show_notes(
            voice.aloud(),
            "NOT restored as they were saved",
            &report.damage,
            report.damage_more,
        );
        if report.source_at_fault {
            voice.problem("  safe: everything else is restored and checked.");
            voice.problem("  next: another copy may be whole: packnback restore --from FRIEND ...");
        } else {
            voice.problem("  safe: the snapshot is whole, and everything else is restored.");
            voice.problem("  next: see to what is named above (move it away, or let it go with --delete), and run the same command again: it goes on where it stopped.");
        }
        Ok(Exit::Incomplete)
    }
}

impl Finished {
    /// What was removed because the snapshot does not have it, and what was not.
    fn say_removed(&self, voice: Voice, write: &WriteArgs) -> Outcome<()> {
        let report = &self.report;
        if report.deleted > 0 {
            let removed = if write.dry_run {
                "Would remove"
            } else {
                "Removed"
            };
            voice.say(&format!(
                "{removed} {} not in the snapshot{}",
                render::counted(report.deleted, "entry", "entries"),
                if write.dry_run { ":" } else { "." }
            ))?;
            if write.dry_run || voice.verbose > 0 {
                for path in &report.removed {
                    voice.say(&format!("  /{}", render::path(path)))?;
                }
            }
        }
        if !report.left.is_empty() && (write.dry_run || voice.verbose > 0) {
            show_notes(
                voice,
                "Left, though not in the snapshot",
                &report.left,
                report.left_more,
            );
        }
        Ok(())
    }
}

/// Lists remarks on files, the first of them in full.
pub fn show_notes(voice: Voice, title: &str, notes: &[FileNote], more: u64) {
    if notes.is_empty() {
        return;
    }
    let all = u64::try_from(notes.len())
        .unwrap_or(u64::MAX)
        .saturating_add(more);
    voice.note(&format!("{title}: {}", render::count(all)));
    let limit = if voice.verbose > 0 {
        usize::MAX
    } else {
        NOTES_SHOWN
    };
    for note in notes.iter().take(limit) {
        voice.note(&format!("  /{}: {}", render::path(&note.path), note.reason));
    }
    let hidden = all.saturating_sub(u64::try_from(notes.len().min(limit)).unwrap_or(0));
    if hidden > 0 {
        voice.note(&format!("  and {} more", render::count(hidden)));
    }
}

/// A remark for programs.
#[must_use]
pub fn note_json(note: &FileNote) -> Value {
    let mut absolute = b"/".to_vec();
    absolute.extend_from_slice(&note.path);
    json!({
        "path": String::from_utf8_lossy(&absolute),
        "path_hex": std::str::from_utf8(&absolute).is_err().then(|| data_encoding::HEXLOWER.encode(&absolute)),
        "reason": note.reason,
    })
}

fn path_json(path: &[u8]) -> Value {
    let mut absolute = b"/".to_vec();
    absolute.extend_from_slice(path);
    json!(String::from_utf8_lossy(&absolute))
}
