//! `packnback restore`: files come back from a snapshot.

use std::time::{Duration, Instant};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use packnback_proto::format::entry::Entry;
use serde_json::{Value, json};

use super::Context;
use super::reading::{Reading, own_catalog, tell_choice};
use crate::args::{OverwriteArg, RestoreArgs, WriteArgs};
use crate::backup::{Cancel, FileNote};
use crate::bundle::Bundle;
use crate::client::{ObjectSource, Remote};
use crate::exit::{Exit, Failure, Outcome};
use crate::fs;
use crate::meter::Meter;
use crate::records::choose;
use crate::render::{self, Voice};
use crate::restore::{
    self, LoadedSnapshot, ReaderKeys, RestoreError, RestoreOptions, RestoreReport,
};
use crate::sets::{Sets, of_set, present};
use crate::spawn::reach_node;
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
    let client = reach_node(&context.home)?;
    let remote = Remote(&client);
    let source: &dyn ObjectSource = match &args.from {
        Some(peer) => {
            let addr = super::peer::resolve_address(&client, peer)?;
            reading.open_host(&client, &addr, false)?;
            &remote
        }
        None => &client,
    };
    let all = restore::snapshots(source, keys)?;
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
            && let Ok(root) = restore::about(source, keys, snap)
        {
            sets.learn(snap.snap.set, &root);
        }
    }
    Ok(sets)
}

/// One restore.
pub struct Job<'a> {
    /// Part of the snapshot.
    pub below: Option<Vec<u8>>,
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
}

impl Job<'_> {
    /// Restores.
    ///
    /// # Errors
    /// [`crate::restore::RestoreError`] in words for people.
    pub fn run(
        self,
        voice: Voice,
        keys: &ReaderKeys,
        source: &dyn ObjectSource,
        snap: &LoadedSnapshot,
    ) -> Outcome<Finished> {
        let write = self.write;
        if let Some(below) = &self.below {
            // A path that is not there is told before anything is made.
            let mut there = false;
            let mut look = |_: &Entry| {
                there = true;
                false
            };
            restore::tree(source, keys, snap, Some(below), &mut look)?;
            if !there {
                return Err(RestoreError::NoPath(format!("/{}", render::path(below))).into());
            }
        }
        let privileged = !write.no_privileges && rustix::process::geteuid().is_root();
        let options = RestoreOptions {
            snapshot: snap.clone(),
            below: self.below,
            include: globs(&write.include)?,
            exclude: globs(&write.exclude)?,
            target: self.target.clone(),
            write: fs::RestoreOptions {
                overwrite: match write.overwrite {
                    OverwriteArg::Always => fs::Overwrite::Always,
                    OverwriteArg::IfChanged => fs::Overwrite::IfChanged,
                    OverwriteArg::Never => fs::Overwrite::Never,
                },
                dry_run: write.dry_run,
                numeric_ids: write.numeric_ids,
                set_id: privileged,
                devices: privileged,
            },
            delete: write.delete,
            dry_run: write.dry_run,
            verify: write.verify,
            threads: write.threads,
            cancel: self.cancel,
        };
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
            target: self.target,
        })
    }
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
        if report.deleted > 0 {
            voice.say(&format!(
                "Removed {} not in the snapshot.",
                render::counted(report.deleted, "entry", "entries")
            ))?;
        }
        show_notes(
            voice,
            "Attributes that could not be set",
            &report.notes,
            report.notes_more,
        );
        if report.is_complete() {
            return Ok(Exit::Done);
        }
        show_notes(
            voice.aloud(),
            "NOT restored as they were saved",
            &report.damage,
            report.damage_more,
        );
        voice.problem("  safe: everything else is restored and checked.");
        voice.problem("  next: another copy may be whole: packnback restore --from FRIEND ...");
        Ok(Exit::Incomplete)
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

/// Patterns on stored paths. One without a slash matches at any depth; what is below a match matches.
fn globs(patterns: &[String]) -> Outcome<Option<GlobSet>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let bad = |e: globset::Error| {
        Failure::usage(format!("the pattern cannot be understood: {e}"))
            .safe("Nothing was written.")
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let plain = pattern.trim_end_matches('/');
        let base = match plain.strip_prefix('/') {
            Some(rooted) => rooted.to_owned(),
            None => format!("**/{plain}"),
        };
        for glob in [base.clone(), format!("{base}/**")] {
            set.add(
                GlobBuilder::new(&glob)
                    .literal_separator(true)
                    .build()
                    .map_err(bad)?,
            );
        }
    }
    set.build().map(Some).map_err(bad)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_match_files_and_what_is_below() {
        let set = globs(&["*.txt".into(), "/home/ann/".into()])
            .unwrap()
            .unwrap();
        for (path, matches) in [
            ("a.txt", true),
            ("x/y/a.txt", true),
            ("a.txt/below", true),
            ("a.txtx", false),
            ("home/ann", true),
            ("home/ann/x", true),
            ("home/anna", false),
            ("x/home/ann", false),
        ] {
            assert_eq!(set.is_match(path), matches, "{path}");
        }
        assert!(globs(&[]).unwrap().is_none());
        assert_eq!(globs(&["a[".into()]).unwrap_err().exit, Exit::Usage);
    }
}
