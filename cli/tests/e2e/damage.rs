//! A damaged byte on the disk of a node: it starts, says what is the matter, and gives back the rest.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::support::Machine;
use crate::trees;

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files
}

fn flip(file: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

/// A machine with a backup, stopped, its tables in their files and damaged there.
fn with_damaged_tables(at: impl Fn(usize) -> usize) -> (Machine, PathBuf) {
    let you = Machine::with_owner();
    let tree = you.path("tree");
    trees::plain(&tree, 40);
    you.backup(&tree);
    you.ok(["node", "stop"]);
    // Started once more, so that the rows lie in their files.
    you.ok(["status"]);
    you.ok(["node", "stop"]);
    for file in files(&you.home().join("node/db/tables"), "sst") {
        flip(&file, &at);
    }
    (you, tree)
}

/// It starts, says that rows may be lost, knows whose it is, and takes and gives back the next backup.
fn says_so_and_goes_on(at: impl Fn(usize) -> usize) {
    let (you, tree) = with_damaged_tables(at);
    let collected = you.run(["host", "collect"]).ends_with(0).json();
    assert_eq!(collected["owners_stopped"], 0, "{collected}");
    let status = you.run(["status"]).json();
    let alarms = status["alarms"].as_array().unwrap();
    assert!(
        alarms.iter().any(|alarm| alarm["kind"] == "damage"),
        "{status}"
    );
    let saved = you.run([OsStr::new("backup"), tree.as_os_str()]).json();
    you.check(saved["snapshot"].as_str().unwrap(), &tree, "target");
}

#[test]
fn a_node_starts_says_so_and_goes_on_where_the_ends_of_its_tables_are_damaged() {
    says_so_and_goes_on(|len| len - 20);
}

#[test]
fn a_node_starts_says_so_and_goes_on_where_rows_of_its_tables_are_damaged() {
    says_so_and_goes_on(|len| len / 3);
}

#[test]
fn damaged_objects_are_named_and_never_called_untouched() {
    let you = Machine::with_owner();
    let tree = you.path("tree");
    trees::plain(&tree, 40);
    you.backup(&tree);
    you.ok(["node", "stop"]);
    let objects = you.home().join("node/db/objects");
    for file in files(&objects, "blob") {
        // The beginning and the middle: an object, and how the file begins.
        flip(&file, |len| len / 2);
    }
    // The index of the objects is gone, too: what is in the files is found again.
    for file in files(&objects, "sst") {
        flip(&file, |len| len - 20);
    }
    let run = you.run(["host", "collect"]).ends_with(0);
    let collected = run.json();
    assert_eq!(collected["owners_stopped"], 0, "{collected}");
    assert!(
        collected["damaged_objects"].as_u64().unwrap() > 0,
        "{collected}"
    );
    let status = you.run(["status"]).json();
    let alarms = status["alarms"].as_array().unwrap();
    assert!(
        alarms.iter().any(|alarm| alarm["kind"] == "damage"),
        "{status}"
    );
}
