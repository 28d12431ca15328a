//! Workers: fetch, open, write.

use crossbeam_channel::Receiver;
use packnback_proto::format::entry::{Entry, EntryType};
use packnback_proto::format::frame::Decompressor;
use packnback_proto::ids::ObjectId;

use super::ctx::Ctx;
use super::large::ChunkJob;
use super::options::RestoreError;
use super::verify;
use crate::fs::Kind;
use crate::pipeline::Stop;
use crate::progress::Counters;
use crate::snapshot::Room;

/// A small file and where it is in its pack.
pub(super) struct Small {
    pub(super) entry: Entry,
    pub(super) off: u32,
    pub(super) len: u32,
}

/// Work for one worker.
pub(super) enum Task<'a> {
    /// Files of one pack.
    Pack(ObjectId, Vec<Small>),
    /// Chunks of a file.
    Chunks(ChunkJob<'a>),
    /// Entries without content.
    Plain(Vec<Entry>),
}

/// Runs until there are no more tasks.
pub(super) fn run(ctx: &Ctx<'_>, tasks: &Receiver<Task<'_>>) -> Result<(), Stop> {
    let mut decompressor =
        Decompressor::new().map_err(|e| ctx.fail(RestoreError::Internal(e.to_string())))?;
    let mut room = Room::default();
    for task in tasks {
        ctx.check()?;
        match task {
            Task::Pack(id, files) => pack(ctx, id, files)?,
            Task::Chunks(job) => job.run(ctx, &mut decompressor, &mut room)?,
            Task::Plain(entries) => {
                for entry in entries {
                    plain(ctx, &entry)?;
                }
            }
        }
    }
    Ok(())
}

fn plain(ctx: &Ctx<'_>, entry: &Entry) -> Result<(), Stop> {
    let result = match entry.kind {
        EntryType::File => ctx.target.write_file(entry, &[]),
        _ => ctx.target.add_special(entry),
    };
    ctx.done(entry, result)
}

/// Whether a file is in place already, as far as can be told without its content.
fn is_kept(ctx: &Ctx<'_>, entry: &Entry) -> bool {
    if !ctx.resumes || ctx.options.verify {
        return false;
    }
    match ctx.options.write.overwrite {
        crate::fs::Overwrite::Always => false,
        crate::fs::Overwrite::Never => matches!(ctx.target.stat(&entry.path), Ok(Some(_))),
        crate::fs::Overwrite::IfChanged => match ctx.target.stat(&entry.path) {
            Ok(Some(stat)) => {
                stat.kind == Kind::File
                    && stat.size == entry.size
                    && stat.mtime_ns == entry.mtime_ns
            }
            _ => false,
        },
    }
}

fn pack(ctx: &Ctx<'_>, id: ObjectId, mut files: Vec<Small>) -> Result<(), Stop> {
    if ctx.resumes {
        let (kept, wanted): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|file| is_kept(ctx, &file.entry));
        files = wanted;
        for file in kept {
            // The file system decides in the end; should it want the content after all, it gets it.
            match ctx.target.create_file(&file.entry) {
                Ok(crate::fs::Created::No(done)) => ctx.done(&file.entry, Ok(done))?,
                Ok(crate::fs::Created::Write(sink)) => {
                    drop(sink);
                    files.push(file);
                }
                Err(error) => ctx.done(&file.entry, Err(error))?,
            }
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    let content = match ctx.snapshot.pack(id) {
        Ok(content) => content,
        Err(fault) => return ctx.lost(&fault, files.iter().map(|f| f.entry.path.as_slice())),
    };
    Counters::add(&ctx.numbers.objects, 1);
    for file in files {
        ctx.check()?;
        ctx.progress.file(&file.entry.path);
        let range = usize::try_from(file.off)
            .ok()
            .zip(usize::try_from(file.len).ok());
        let bytes = range.and_then(|(off, len)| content.bytes().get(off..off.checked_add(len)?));
        let Some(bytes) = bytes else {
            ctx.damaged_in_source(
                &file.entry.path,
                "its pack is shorter than its entry says".into(),
            );
            continue;
        };
        let result = ctx.target.write_file(&file.entry, bytes);
        let counts = matches!(
            result,
            Ok(crate::fs::Done::Created | crate::fs::Done::Replaced)
        );
        if counts {
            Counters::add(&ctx.numbers.bytes_written, file.entry.size);
        }
        let written = result.is_ok();
        ctx.done(&file.entry, result)?;
        if written && ctx.options.verify {
            verify::small(ctx, &file.entry, bytes);
        }
    }
    Ok(())
}
