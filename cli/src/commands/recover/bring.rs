//! Bringing snapshots back, each from whoever has it.

use std::path::{Path, PathBuf};

use packnback_proto::ids::SnapshotId;
use packnback_proto::newest::Line;
use serde_json::Value;

use super::super::Context;
use super::super::reading::{Reading, tell_choice};
use super::super::restore::{Finished, Job};
use super::Found;
use crate::args::RecoverArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::Cancel;
use crate::records::LoadedSnapshot;
use crate::recovered::{Folders, folder_name};
use crate::restore::RestoreError;
use crate::snapshot::Remote;

/// What came of one snapshot.
enum Came {
    /// A request for keys was written: there is no more to do now.
    Asked(Exit),
    /// It was to be listed only.
    Nothing,
    /// It was restored, whole or not.
    Back(Box<Finished>),
}

/// What came of all that was chosen.
pub(super) enum All {
    /// A request for keys was written: there is no more to do now.
    Asked(Exit),
    /// They were restored, as far as they can be read.
    Brought(Brought),
}

pub(super) struct Brought {
    pub(super) results: Vec<Value>,
    pub(super) worst: Exit,
    /// What nobody could give in a form that can be read.
    pub(super) unreadable: Vec<SnapshotId>,
}

pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a RecoverArgs,
    pub(super) reading: &'a Reading,
    pub(super) client: &'a Client,
    pub(super) found: &'a Found,
    pub(super) cancel: Cancel,
}

impl Work<'_> {
    /// Restores each one. One that cannot be read does not keep the others away: whoever held the key of a
    /// device once may have made it.
    pub(super) fn all(&self, chosen: &[&LoadedSnapshot]) -> Outcome<All> {
        let (context, found) = (self.context, self.found);
        let several = chosen.len() > 1;
        let mut brought = Brought {
            results: Vec::new(),
            worst: Exit::Done,
            unreadable: Vec::new(),
        };
        let mut last = None;
        for snap in chosen {
            tell_choice(context, &found.snaps, snap, found.known.as_ref())?;
            if several {
                let whose = found.whose(snap);
                context.voice.say(&format!("  It is of {whose}."))?;
            }
            match self.restore(snap, several) {
                Ok(Came::Asked(exit)) => return Ok(All::Asked(exit)),
                Ok(Came::Nothing) => {}
                Ok(Came::Back(done)) => {
                    brought.results.push(done.json(snap));
                    let exit = done.say(context.voice.after_deed(), &self.args.write)?;
                    if exit != Exit::Done {
                        brought.worst = exit;
                    }
                }
                Err(failure) if several && is_of_source(&failure) => {
                    context.voice.problem(&format!(
                        "{} of {} could not be brought back: {}. The others are.",
                        snap.id.short(),
                        found.whose(snap),
                        failure.what
                    ));
                    brought.unreadable.push(snap.id);
                    brought.worst = Exit::Incomplete;
                    last = Some(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        match last {
            Some(failure) if brought.results.is_empty() => Err(failure),
            _ => Ok(All::Brought(brought)),
        }
    }

    /// Restores one snapshot, from each friend that has it until one has all of it. What one of them
    /// brought stays: the next goes on from there.
    fn restore(&self, snap: &LoadedSnapshot, several: bool) -> Outcome<Came> {
        let none = Vec::new();
        let holders = self.found.holders.get(&snap.id).unwrap_or(&none);
        let mut left = holders.len();
        let mut partly = None;
        let mut last = Failure::from(RestoreError::NoSnapshot);
        for addr in holders {
            left = left.saturating_sub(1);
            match self.restore_from(addr, snap, several) {
                Ok(Came::Back(done)) if !done.report.is_complete() && left > 0 => {
                    self.context.voice.note(&format!(
                        "{addr} does not have all of it whole; the next friend is asked for the rest."
                    ));
                    partly = Some(done);
                }
                Ok(came) => return Ok(came),
                Err(failure) if is_of_source(&failure) => {
                    if left > 0 {
                        self.context.voice.note(&format!(
                            "{addr}: {}; the next friend is asked.",
                            failure.what
                        ));
                    }
                    last = failure;
                }
                Err(failure) => return Err(failure),
            }
        }
        partly.map_or(Err(last), |done| Ok(Came::Back(done)))
    }

    /// Where a line of backups goes: where it went before, so that a run goes on where another stopped
    /// although more or fewer machines were found.
    fn folder(&self, target: &Path, snap: &LoadedSnapshot, several: bool) -> Outcome<PathBuf> {
        let whole = std::path::absolute(target).map_err(|e| Failure::file("find", target, &e))?;
        let folders = Folders::read(&self.context.home);
        let line = Line::of(&snap.snap);
        if let Some(before) = folders.of(line, &whole).filter(|before| before.is_dir()) {
            return Ok(before);
        }
        let folder = if several || folders.is_used_by_another(line, &whole) {
            whole.join(folder_name(snap, &self.found.snaps))
        } else {
            whole.clone()
        };
        if !self.args.write.dry_run
            && let Err(failure) = folders.note(&self.context.home, line, &whole, &folder)
        {
            self.context.voice.note(&format!("note: {}.", failure.what));
        }
        Ok(folder)
    }

    fn restore_from(&self, addr: &str, snap: &LoadedSnapshot, several: bool) -> Outcome<Came> {
        let (args, context) = (self.args, self.context);
        let remote = Remote(self.client);
        self.reading.open_host(self.client, addr, true)?;
        let asked =
            self.reading
                .prepare(context, &args.handed, &remote, snap, &self.found.snaps)?;
        if let Some(exit) = asked {
            return Ok(Came::Asked(exit));
        }
        let Some(target) = &args.target else {
            return Ok(Came::Nothing);
        };
        let job = Job {
            below: args.snapshot.as_ref().and_then(|what| what.path.clone()),
            from_top: args.snapshot.as_ref().is_some_and(|what| what.from_top),
            target: self.folder(target, snap, several)?,
            write: &args.write,
            cancel: self.cancel.clone(),
        };
        job.run(context.voice, &self.reading.keys, &remote, snap)
            .map(|done| Came::Back(Box::new(done)))
    }
}

/// Whether another friend may do better: not if it is the target, the keys or the person that ends it.
fn is_of_source(failure: &Failure) -> bool {
    let here = [
        "target",
        "no-path",
        "key-lacks",
        "disk-full",
        "file",
        "node-not-running",
        "restore",
        "exchange",
    ];
    !matches!(failure.exit, Exit::Interrupted | Exit::Usage) && !here.contains(&failure.code)
}
