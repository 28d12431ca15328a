//! `packnback ls`: the files of a snapshot.

use std::io::{BufWriter, Write};

use packnback_proto::format::entry::{Entry, EntryType};
use serde_json::{Value, json};

use super::reading::device_name;
use super::restore::sets_of;
use super::{Context, inside};
use crate::args::LsArgs;
use crate::bundle::Bundle;
use crate::choice::chosen_text;
use crate::exit::{Exit, Outcome};
use crate::keys::ReaderKeys;
use crate::records::choose;
use crate::render::{self, output_failure};
use crate::sets::of_set;
use crate::snapshot::{Snapshot, snapshots};

/// Runs the command. With `--json` every entry is one line.
///
/// # Errors
/// Wrong key, no such snapshot or path, damaged names.
pub fn run(context: &Context, args: &LsArgs) -> Outcome {
    let key = context.any_key(&args.key)?;
    key.check_names()?;
    let own = Bundle::load_if_there(&context.home)?.map(|bundle| bundle.device());
    let keys = ReaderKeys::new(key);
    let client = context.node()?;
    let snaps = snapshots(&client, &keys)?;
    let sets = sets_of(context, &client, &keys, &snaps)?;
    let set = sets.pick(args.set.as_deref(), &snaps, own)?;
    let snaps = of_set(snaps, set);
    let snap = choose(&snaps, &args.snap, own)?;
    if args.snap == "latest"
        && let Some(others) = sets.others(&snaps, snap)
    {
        context.voice.note(&format!("note: {others}."));
    }
    if args.snap == "latest" && !context.voice.json {
        // Beside the list, which may be read by a program.
        context.voice.note(&chosen_text(snap, &device_name(snap)));
    }
    let below = args.below();
    let below = below.map(|path| inside::find(&client, &keys, snap, &path, args.is_from_top()));
    let below = below.transpose()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut broken = None;
    let quiet = context.voice.quiet;
    let visit = |entry: &Entry| {
        let line = if context.voice.json {
            entry_json(entry).to_string()
        } else if args.long || context.voice.verbose > 0 {
            long_line(entry)
        } else {
            shown_path(entry)
        };
        let written = if quiet {
            Ok(())
        } else {
            writeln!(out, "{line}")
        };
        broken = written.err();
        broken.is_none()
    };
    let open = Snapshot::open(&client, &keys, snap)?;
    let entries = below.map_or_else(|| open.entries(&[]), |path| open.below(&path));
    entries.each(visit)?;
    match broken.map_or_else(|| out.flush(), Err) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(output_failure(&error)),
    }
}

fn shown_path(entry: &Entry) -> String {
    let slash = if entry.kind == EntryType::Dir {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", render::path(&entry.path))
}

fn long_line(entry: &Entry) -> String {
    let who = |name: &Option<String>, number: u32| {
        name.as_ref()
            .map_or_else(|| number.to_string(), |name| render::path(name.as_bytes()))
    };
    let seconds = entry.mtime_ns.div_euclid(1_000_000_000);
    let time = u64::try_from(seconds).map_or_else(|_| seconds.to_string(), render::time);
    let link = entry
        .link
        .as_ref()
        .map(|link| format!(" -> {}", render::path(link)))
        .unwrap_or_default();
    format!(
        "{}{} {:>8} {:>8} {:>12} {time} {}{link}",
        kind_letter(entry.kind),
        permissions(entry.mode),
        who(&entry.user, entry.uid),
        who(&entry.group, entry.gid),
        entry.size,
        shown_path(entry),
    )
}

fn kind_letter(kind: EntryType) -> char {
    match kind {
        EntryType::File => '-',
        EntryType::Dir => 'd',
        EntryType::Symlink => 'l',
        EntryType::Fifo => 'p',
        EntryType::Char => 'c',
        EntryType::Block => 'b',
    }
}

/// As `ls -l` shows them.
fn permissions(mode: u32) -> String {
    let mut out = String::with_capacity(9);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        out.push(if bits & 4 == 0 { '-' } else { 'r' });
        out.push(if bits & 2 == 0 { '-' } else { 'w' });
        out.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

fn entry_json(entry: &Entry) -> Value {
    let kind = match entry.kind {
        EntryType::File => "file",
        EntryType::Dir => "dir",
        EntryType::Symlink => "symlink",
        EntryType::Fifo => "fifo",
        EntryType::Char => "char",
        EntryType::Block => "block",
    };
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let mut absolute = b"/".to_vec();
    absolute.extend_from_slice(&entry.path);
    let xattrs: serde_json::Map<String, Value> = entry
        .xattrs
        .iter()
        .map(|(name, value)| {
            (
                String::from_utf8_lossy(name).into_owned(),
                hex(value).into(),
            )
        })
        .collect();
    json!({
        "path": String::from_utf8_lossy(&absolute),
        "path_hex": std::str::from_utf8(&absolute).is_err().then(|| hex(&absolute)),
        "type": kind,
        "mode": format!("{:04o}", entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "user": entry.user,
        "group": entry.group,
        "mtime_ns": entry.mtime_ns.to_string(),
        "size": entry.size,
        "link": entry.link.as_ref().map(|link| String::from_utf8_lossy(link).into_owned()),
        "rdev": entry.rdev,
        "hardlink": entry.hardlink.map(|group| hex(&group)),
        "xattrs_hex": xattrs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_look_as_in_ls() {
        for (mode, text) in [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0, "---------"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }
}
