//! The attacker reads: everything a host holds, and every secret of the stolen home as its key.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use packnback_cli::parts::{Bundle, Failure, Home, Outcome, Remote, Silent, export_raw, grant_all};
use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::{Kind, verify_object};
use packnback_proto::ids::ObjectId;
use rayon::prelude::*;

use super::attack::Attempt;
use super::scene::{Scene, failed, shown};
use super::secrets::{Effort, Locked, is_ephemeral, opens};
use super::trees::{MARKER, NAMED};
use crate::staging::{Node, World};

/// Windows of databases and logs, tried as keys of objects.
const WINDOWS_MAX: usize = 300_000;
/// Windows tried by one task.
const TASK: usize = 2048;

/// What the owner could read of a host, that is everything: a stand-in for a host that hands over its disk.
pub(super) fn disk_of(world: &World, scene: &Scene, host: &Node) -> Outcome<PathBuf> {
    let dir = world.folder().join(format!("disk-of-{}", host.name));
    let client = scene.paper.client()?;
    grant_all(&client, &scene.seed, &host.address(), true)?;
    export_raw(&Remote(&client), None, &[], &dir, &Silent::default())?;
    Ok(dir)
}

fn files_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn read_all(dir: &Path) -> Outcome<Vec<(PathBuf, Vec<u8>)>> {
    let files = files_below(dir).map_err(|e| Failure::file("read", dir, &e))?;
    let read = |path: PathBuf| match fs::read(&path) {
        Ok(bytes) => Ok((path, bytes)),
        Err(e) => Err(Failure::file("read", &path, &e)),
    };
    files.into_iter().map(read).collect()
}

/// The smallest object of each kind and session: what opens one opens all.
fn locks(objects: &[(PathBuf, Vec<u8>)]) -> Vec<Locked> {
    let mut smallest: BTreeMap<_, Locked> = BTreeMap::new();
    for (path, bytes) in objects {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| name.parse::<ObjectId>().ok()) else {
            continue;
        };
        let Ok(header) = verify_object(&id, bytes) else {
            continue;
        };
        let place = (header.kind, header.epk);
        if smallest
            .get(&place)
            .is_none_or(|known| known.bytes.len() > bytes.len())
        {
            let bytes = bytes.clone();
            smallest.insert(place, Locked { id, header, bytes });
        }
    }
    smallest.into_values().collect()
}

/// Tries every window of some bytes; the first object that opens.
fn windows_open(bytes: &[u8], psk: &Secret32, locked: &[Locked], effort: Effort) -> Option<String> {
    let windows = bytes.len().saturating_sub(31);
    let starts: Vec<usize> = (0..windows).step_by(TASK).collect();
    starts.par_iter().find_map_any(|start| {
        let mut decompressor = Decompressor::new().ok()?;
        let end = start.saturating_add(TASK).min(windows);
        (*start..end).find_map(|at| {
            let window = bytes.get(at..)?.first_chunk::<32>()?;
            if effort == Effort::Derived && is_ephemeral(window, locked) {
                return Some(format!("bytes {at}.. are the key of a session"));
            }
            let id = opens(&mut decompressor, window, psk, locked, effort)?;
            Some(format!("bytes {at}.. open object {}", id.short()))
        })
    })
}

fn attempt(name: &str, what: &str, outcome: &str, refusal: String) -> Attempt {
    Attempt {
        name: name.to_owned(),
        family: "read back".to_owned(),
        host: String::new(),
        what_was_tried: what.to_owned(),
        outcome: outcome.to_owned(),
        refusal,
    }
}

/// Everything of this family.
pub(super) fn run(scene: &Scene, stolen: &Path, disk: &Path) -> Outcome<Vec<Attempt>> {
    let home = read_all(stolen)?;
    let disk = read_all(disk)?;
    let locked = locks(&disk);
    if locked.is_empty() {
        return Err(failed("there is nothing on the disk of the host to open"));
    }
    let bundle = Bundle::load(&Home::below(stolen)?)?;
    let psk = &bundle.keys.device.psk;
    let mut attempts = vec![control(&scene.seed, psk, &locked)];
    attempts.push(key_files(&home, psk, &locked));
    attempts.push(bulk(&home, psk, locked));
    for (name, what, where_) in [
        (
            "plain-in-home",
            "find a saved file's content or name in the stolen home",
            &home,
        ),
        (
            "plain-on-host",
            "find a saved file's content or name on the disk of the host",
            &disk,
        ),
    ] {
        attempts.push(plain(name, what, where_));
    }
    Ok(attempts)
}

/// The search finds keys that are there: without this, that it finds none would say nothing.
fn control(seed: &OwnerSeed, psk: &Secret32, locked: &[Locked]) -> Attempt {
    let what = "control: the same search with the owner's keys, which must open";
    let secrets = [
        *seed.expose(),
        *seed.list_secret(0).expose(),
        *seed.decrypt_secret(0).expose(),
    ];
    let opened = secrets.iter().all(|secret| {
        let hidden = [&[1; 40][..], secret, &[2; 40]].concat();
        windows_open(&hidden, psk, locked, Effort::Derived).is_some()
    });
    if opened {
        let text = "owner seed, list key and content key are found and open".to_owned();
        attempt("control", what, "allowed", text)
    } else {
        let text = "the search is of no use: it does not find the owner's keys".to_owned();
        attempt("control", what, "error", text)
    }
}

/// Whether a file belongs to a database or is a log. Everything else of a home is read as a key file.
fn is_bulk(path: &Path) -> bool {
    let parts = path.iter().filter_map(|part| part.to_str());
    parts
        .into_iter()
        .any(|part| ["db", "cache", "node.log"].contains(&part))
}

fn key_files(home: &[(PathBuf, Vec<u8>)], psk: &Secret32, locked: &[Locked]) -> Attempt {
    let what = "every 32 bytes of the stolen key, bundle and settings, as any key there is";
    let (mut files, mut windows) = (0u64, 0usize);
    for (path, bytes) in home.iter().filter(|(path, _)| !is_bulk(path)) {
        if let Some(found) = windows_open(bytes, psk, locked, Effort::Derived) {
            let text = format!("{}: {found}", shown(path));
            return attempt("key-files", what, "succeeded", text);
        }
        files = files.saturating_add(1);
        windows = windows.saturating_add(bytes.len().saturating_sub(31));
    }
    if windows == 0 {
        return attempt("key-files", what, "error", "there are none".to_owned());
    }
    attempt(
        "key-files",
        what,
        "refused",
        nothing_opens(windows, files, locked),
    )
}

/// Not on chunks: each try reads all of one, and their keys follow from their content alone.
fn bulk(home: &[(PathBuf, Vec<u8>)], psk: &Secret32, mut locked: Vec<Locked>) -> Attempt {
    let what = "every 32 bytes of cache, database and log, as the key of an object";
    locked.retain(|object| object.header.kind != Kind::Chunk);
    locked.sort_by_key(|object| (object.header.kind, object.bytes.len()));
    locked.dedup_by_key(|object| object.header.kind);
    let mut large: Vec<_> = home.iter().filter(|(path, _)| is_bulk(path)).collect();
    // The cache first, then the smallest: those hold keys if any does.
    large.sort_by_key(|(path, bytes)| (!shown(path).contains("/cache/"), bytes.len()));
    let (mut left, mut tried, mut files) = (0usize, 0usize, 0u64);
    for (path, bytes) in large {
        let most = bytes.len().min(WINDOWS_MAX.saturating_sub(tried));
        let part = bytes.get(..most).unwrap_or_default();
        tried = tried.saturating_add(most);
        left = left.saturating_add(bytes.len().saturating_sub(most));
        files = files.saturating_add(u64::from(most > 0));
        if let Some(found) = windows_open(part, psk, &locked, Effort::Direct) {
            let text = format!("{}: {found}", shown(path));
            return attempt("bulk", what, "succeeded", text);
        }
    }
    let text = format!(
        "{}; {left} bytes were left out",
        nothing_opens(tried, files, &locked)
    );
    attempt("bulk", what, "refused", text)
}

fn nothing_opens(windows: usize, files: u64, locked: &[Locked]) -> String {
    format!(
        "nothing opens: {windows} candidates of {files} files on {} objects of different kinds and sessions",
        locked.len()
    )
}

fn plain(name: &str, what: &str, files: &[(PathBuf, Vec<u8>)]) -> Attempt {
    for needle in [MARKER, NAMED] {
        let needle = needle.as_bytes();
        for (path, bytes) in files {
            if bytes.windows(needle.len()).any(|window| window == needle) {
                return attempt(name, what, "succeeded", format!("it is in {}", shown(path)));
            }
        }
    }
    attempt(
        name,
        what,
        "refused",
        format!("not found in {} files", files.len()),
    )
}
