//! What comes after the last file: deletions, attributes of directories, and what is worth a note.

use packnback_proto::format::entry::EntryType;
use packnback_proto::format::root::Root;

use super::ctx::Ctx;
use crate::fs::{NoteKind, Pruner, is_at_or_below};
use crate::pipeline::Stop;
use crate::snapshot::Found;

/// Removes what is not in the snapshot though it would have been, in a pass of its own: nothing is being
/// written any more, and all of the tree is known to be readable.
pub(super) fn prune(ctx: &Ctx<'_>) -> Result<(), Stop> {
    let Some(asked) = &ctx.asked else {
        return Ok(());
    };
    let below = ctx.options.below.as_deref();
    let is_in_part = |path: &[u8]| below.is_none_or(|below| is_at_or_below(path, below));
    let mut pruner = Pruner::new(asked, &ctx.snapshot.root().paths);
    let mut lost = false;
    for found in ctx.snapshot.parts(below) {
        match found.map_err(|error| ctx.fail(error.into()))? {
            Found::Part(part) => {
                let entries = part.entries.iter();
                for entry in entries.filter(|entry| is_in_part(&entry.path)) {
                    pruner.visit(ctx.target, &entry.path, entry.kind == EntryType::Dir);
                }
            }
            // Not knowing what belongs here, nothing may be removed.
            Found::Lost { .. } => lost = true,
        }
        ctx.check()?;
        if lost {
            break;
        }
    }
    let swept = if lost {
        ctx.note(
            &[],
            "nothing more was removed: a part of the snapshot is unreadable".into(),
        );
        pruner.stop()
    } else {
        pruner.finish(ctx.target)
    };
    let mut all = ctx.swept.lock();
    all.add(swept);
    for error in std::mem::take(&mut all.errors) {
        ctx.damaged(error.path(), error.to_string());
    }
    Ok(())
}

/// What a note says.
fn note_text(kind: NoteKind, is_open: bool) -> &'static str {
    match (kind, is_open) {
        (NoteKind::Owner, _) => "owner or group could not be set",
        (NoteKind::Mode, _) => "permissions could not be set",
        (NoteKind::Time, _) => "modification time could not be set",
        (NoteKind::Xattr, _) => "an extended attribute could not be set",
        (NoteKind::UnknownXattr, _) => "an extended attribute of unknown meaning was left out",
        (NoteKind::SetIdDropped, false) => "set-id bits or capabilities were left out",
        (NoteKind::DeviceLeft, false) => "a device node, left out",
        (NoteKind::LabelLeft, false) => "a security label was left out",
        (NoteKind::SetIdDropped, true) => {
            "set-id bits or capabilities were left out: others can enter the target (--privileges)"
        }
        (NoteKind::DeviceLeft, true) => {
            "a device node, left out: others can enter the target (--privileges)"
        }
        (NoteKind::LabelLeft, true) => {
            "a security label was left out: others can enter the target (--privileges)"
        }
    }
}

pub(super) fn finish(ctx: &Ctx<'_>, root: &Root) {
    let report = ctx.target.finish(&root.paths);
    let is_open =
        ctx.options.write.closed_only && ctx.options.write.devices && !ctx.target.is_closed();
    let told = u64::try_from(report.notes.len()).unwrap_or(u64::MAX);
    let all = report.note_counts.values().sum::<u64>();
    for note in report.notes {
        let text = note_text(note.kind, is_open);
        let reason = match note.error {
            Some(error) => format!("{text}: {error}"),
            None => text.to_owned(),
        };
        ctx.note(&note.path, reason);
    }
    ctx.more_notes(all.saturating_sub(told));
    for error in report.errors {
        ctx.damaged(error.path(), error.to_string());
    }
}
