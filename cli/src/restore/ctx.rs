//! What all threads of one restore share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use packnback_proto::format::entry::Entry;
use parking_lot::Mutex;

use super::held::Asked;
use super::large::Zeros;
use super::options::{RestoreError, RestoreOptions, RestoreReport};
use crate::fs::{Done, Kept, Swept, Target, WriteError};
use crate::pipeline::{Budget, FileNote, Notes, Run, Stop};
use crate::progress::{Counters, Progress};
use crate::snapshot::{Fault, Snapshot};

/// Plain bytes of large files that may be on their way.
const AHEAD: usize = 48 << 20;
#[derive(Default)]
pub(super) struct Numbers {
    entries: AtomicU64,
    written: AtomicU64,
    kept: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) objects: AtomicU64,
}

pub(super) struct Ctx<'a> {
    pub(super) options: &'a RestoreOptions,
    pub(super) snapshot: Snapshot<'a>,
    pub(super) target: &'a Target,
    pub(super) progress: &'a dyn Progress,
    pub(super) zeros: Zeros,
    /// Plain bytes asked for and not written yet.
    pub(super) ahead: Budget,
    /// Something is in the target already: ask before fetching.
    pub(super) resumes: bool,
    /// What may be removed, if anything.
    pub(super) asked: Option<Asked<'a>>,
    pub(super) swept: Mutex<Swept>,
    source_at_fault: AtomicBool,
    pub(super) numbers: Numbers,
    damage: Mutex<Notes>,
    notes: Mutex<Notes>,
    run: Run<RestoreError>,
}

impl<'a> Ctx<'a> {
    pub(super) fn new(
        options: &'a RestoreOptions,
        snapshot: Snapshot<'a>,
        target: &'a Target,
        progress: &'a dyn Progress,
        asked: Option<Asked<'a>>,
    ) -> Self {
        let ahead = Budget::new(AHEAD);
        Self {
            options,
            snapshot,
            target,
            progress,
            zeros: Zeros::default(),
            ahead: ahead.clone(),
            resumes: !target.is_empty(),
            asked,
            swept: Mutex::default(),
            source_at_fault: AtomicBool::new(false),
            numbers: Numbers::default(),
            damage: Mutex::default(),
            notes: Mutex::default(),
            run: Run::new(options.cancel.clone(), vec![ahead.clone()]),
        }
    }

    pub(super) fn fail(&self, error: RestoreError) -> Stop {
        self.run.fail(error)
    }

    pub(super) fn check(&self) -> Result<(), Stop> {
        self.run.check()
    }

    pub(super) fn failure(&self) -> Option<RestoreError> {
        self.run.failure()
    }

    /// A file that is not restored as it was saved.
    pub(super) fn damaged(&self, path: &[u8], reason: String) {
        self.progress.problem(path, &reason);
        self.damage.lock().add(path, reason);
    }

    /// The same because of what the source gave: another copy may do better.
    pub(super) fn damaged_in_source(&self, path: &[u8], reason: String) {
        self.blame_source();
        self.damaged(path, reason);
    }

    /// Something in the source is missing or wrong.
    pub(super) fn blame_source(&self) {
        self.source_at_fault.store(true, Ordering::Release);
    }

    /// Makes room for an entry where a folder is, if what is in it may be removed. Whether there is room.
    pub(super) fn clear(&self, entry: &Entry) -> Result<bool, Stop> {
        let Some(asked) = self.asked.as_ref().filter(|_| self.resumes) else {
            return Ok(true);
        };
        let cleared = self
            .target
            .clear(&entry.path, asked, &mut self.swept.lock());
        match cleared {
            Ok(()) => Ok(true),
            Err(error) => self.unwritten(&entry.path, &error).map(|()| false),
        }
    }

    /// Something about a file whose content is fine.
    pub(super) fn note(&self, path: &[u8], reason: String) {
        self.notes.lock().add(path, reason);
    }

    /// An object is unusable: so are these files. Ends the run if the source is gone.
    pub(super) fn lost<'e>(
        &self,
        fault: &Fault,
        paths: impl Iterator<Item = &'e [u8]>,
    ) -> Result<(), Stop> {
        if let Fault::Source(error) = fault {
            return Err(self.fail(error.clone().into()));
        }
        for path in paths {
            self.damaged_in_source(path, fault.reason());
        }
        Ok(())
    }

    /// The system refused to write. Ends the run if the disk is full or broken.
    pub(super) fn unwritten(&self, path: &[u8], error: &WriteError) -> Result<(), Stop> {
        if error.is_fatal() {
            return Err(self.fail(RestoreError::Target {
                path: self.options.target.clone(),
                reason: error.to_string(),
            }));
        }
        if matches!(error, WriteError::Home { .. }) {
            self.note(path, "of the home of a node, left as it is".into());
        } else {
            self.damaged(path, error.to_string());
        }
        Ok(())
    }

    /// Takes the outcome for one entry.
    pub(super) fn done(&self, entry: &Entry, result: Result<Done, WriteError>) -> Result<(), Stop> {
        self.done_rest(entry, 0, result)
    }

    /// Takes the outcome for one entry of which so many bytes were shown as done while it was written.
    pub(super) fn done_rest(
        &self,
        entry: &Entry,
        shown: u64,
        result: Result<Done, WriteError>,
    ) -> Result<(), Stop> {
        let counters = self.progress.counters();
        Counters::add(&counters.entries_done, 1);
        Counters::add(&counters.bytes_done, entry.size.saturating_sub(shown));
        let done = match result {
            Ok(done) => done,
            Err(error) => return self.unwritten(&entry.path, &error),
        };
        Counters::add(&self.numbers.entries, 1);
        if entry.kind == packnback_proto::format::entry::EntryType::File {
            match done {
                Done::Created | Done::Replaced => Counters::add(&self.numbers.written, 1),
                Done::Kept => Counters::add(&self.numbers.kept, 1),
                Done::Left => {}
            }
        }
        Ok(())
    }

    /// Patterns that decided about nothing.
    fn unmatched(&self) -> Vec<Vec<u8>> {
        let lists = [&self.options.include, &self.options.exclude];
        let unused = lists.into_iter().flatten().flat_map(|list| list.unused());
        unused.map(<[u8]>::to_vec).collect()
    }

    /// Notes of which only the number is known.
    pub(super) fn more_notes(&self, count: u64) {
        self.notes.lock().add_more(count);
    }

    pub(super) fn report(&self) -> RestoreReport {
        let numbers = &self.numbers;
        let take = |notes: &Mutex<Notes>| {
            let notes = std::mem::take(&mut *notes.lock());
            (notes.listed, notes.more)
        };
        let (mut damage, damage_more) = take(&self.damage);
        let (notes, notes_more) = take(&self.notes);
        let swept = std::mem::take(&mut *self.swept.lock());
        let left: Vec<FileNote> = swept
            .kept
            .iter()
            .map(|(path, why)| FileNote {
                path: path.clone(),
                reason: kept_text(*why).into(),
            })
            .collect();
        let left_more = swept
            .kept_count
            .saturating_sub(u64::try_from(left.len()).unwrap_or(0));
        damage.sort_by(|a, b| crate::fs::path_cmp(&a.path, &b.path));
        RestoreReport {
            entries: Counters::get(&numbers.entries),
            files_written: Counters::get(&numbers.written),
            files_kept: Counters::get(&numbers.kept),
            bytes_written: Counters::get(&numbers.bytes_written),
            deleted: swept.removed_count,
            removed: swept.removed,
            left,
            left_more,
            unmatched: self.unmatched(),
            source_at_fault: self.source_at_fault.load(Ordering::Acquire),
            objects: Counters::get(&numbers.objects),
            bytes_fetched: Counters::get(&self.progress.counters().bytes_moved),
            damage,
            damage_more,
            notes,
            notes_more,
        }
    }
}

fn kept_text(why: Kept) -> &'static str {
    match why {
        Kept::Outside => "not asked for",
        Kept::LeftOut => "the backup was told to leave it out",
        Kept::NotSaved => "the backup could not save it",
        Kept::OtherFileSystem => "on another file system",
        Kept::Home => "of the home of a node",
    }
}
