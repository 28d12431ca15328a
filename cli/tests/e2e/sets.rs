//! Backup sets: what saves one folder never displaces what saves another.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::friends::{address, befriend};
use crate::support::{Machine, restored, same, state_of};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn folder(machine: &Machine, name: &str, version: u8) -> PathBuf {
    let dir = machine.path(name);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("{name}.{version}")), [version; 3000]).unwrap();
    dir
}

fn id(saved: &Value) -> String {
    saved["snapshot"].as_str().unwrap().to_owned()
}

fn restore(machine: &Machine, words: &[&str], to: &str) -> (PathBuf, String) {
    let (target, key) = (machine.path(to), machine.key());
    let mut all = vec!["restore", "latest", "--target", text(&target)];
    all.extend(["--owner-key", text(&key)]);
    all.extend(words);
    let ran = machine.run(all).ends_with(0);
    (target, ran.stderr)
}

#[test]
fn sets_of_one_machine_do_not_displace_each_other() {
    let machine = Machine::with_owner();
    let documents = folder(&machine, "Documents", 1);
    let of_documents = id(&machine.backup(&documents));
    let mut of_pictures = Vec::new();
    let mut pictures = PathBuf::new();
    for version in 1..=4 {
        pictures = folder(&machine, "Pictures", version);
        of_pictures.push(id(&machine.backup(&pictures)));
    }
    let listed = machine.ok(["snapshots"]);
    let listed = listed["snapshots"].as_array().unwrap();
    let sets: BTreeSet<&str> = listed.iter().map(|s| s["set"].as_str().unwrap()).collect();
    assert_eq!((listed.len(), sets.len()), (5, 2), "{listed:?}");
    assert_eq!(listed[4]["set_name"], text(&documents));
    let of_set = machine.ok(["snapshots", "--set", text(&documents)]);
    assert_eq!(of_set["snapshots"].as_array().unwrap().len(), 1);

    // The newest of all, and the word that there are others.
    let (target, said) = restore(&machine, &[], "newest");
    same(&pictures, &restored(&target, &pictures));
    assert!(
        said.contains("--set") && said.contains("Documents"),
        "{said}"
    );
    for (n, name) in [text(&documents), sets_of(&listed[4])].iter().enumerate() {
        let (target, said) = restore(&machine, &["--set", name], &format!("chosen{n}"));
        same(&documents, &restored(&target, &documents));
        assert!(!said.contains("--set NAME"), "{said}");
    }
    let nothing = machine.path("nothing");
    let key = machine.key();
    let unknown = [
        "restore",
        "latest",
        "--set",
        "Music",
        "--target",
        text(&nothing),
    ];
    let ran = machine.run(unknown.into_iter().chain(["--owner-key", text(&key)]));
    assert_eq!(ran.ends_with(1).error()["code"], "no-set");
    assert!(!nothing.exists());

    // Rules keep what they say of each.
    let request = machine.path("request");
    let asked = machine.ok([
        "forget",
        "--keep-last",
        "1",
        "--request-out",
        text(&request),
    ]);
    let goes = asked["devices"][0]["goes"].as_array().unwrap();
    let goes: BTreeSet<&str> = goes.iter().map(|s| s["id"].as_str().unwrap()).collect();
    let expected: BTreeSet<&str> = of_pictures[..3].iter().map(String::as_str).collect();
    assert_eq!(goes, expected, "{asked}");
    assert!(!goes.contains(of_documents.as_str()));
    // Of several newest ones none is guessed.
    let before = state_of(&machine.path("home").join("config"));
    let again = machine.path("again");
    machine
        .run(["forget", "latest", "--request-out", text(&again)])
        .ends_with(2);
    assert!(!again.exists());
    assert_eq!(state_of(&machine.path("home").join("config")), before);
}

fn sets_of(listed: &Value) -> &str {
    &listed["set"].as_str().unwrap()[..8]
}

#[test]
fn a_named_set_goes_on_whatever_it_saves() {
    let machine = Machine::with_owner();
    let (one, two) = (folder(&machine, "one", 1), folder(&machine, "two", 1));
    let save = |paths: &[&Path]| {
        let paths = paths.iter().map(|path| text(path));
        machine.ok(["backup", "--set", "home"].into_iter().chain(paths))
    };
    let first = save(&[&one]);
    let second = save(&[&two, &one]);
    let third = machine.ok(["backup", text(&one), text(&two)]);
    let fourth = machine.ok(["backup", text(&two), text(&one)]);
    assert_eq!(first["set"], second["set"]);
    assert_ne!(first["set"], third["set"]);
    assert_eq!(third["set"], fourth["set"], "in any order");
    assert_eq!(first["set_name"], "home");
    // The name comes from the snapshot where the note is lost.
    fs::remove_file(machine.home().join("config/backup-sets")).unwrap();
    let key = machine.key();
    let ls = ["ls", "latest", "--set", "home", "--owner-key", text(&key)];
    let shown = machine.run(ls).ends_with(0);
    assert!(shown.stdout.contains("two.1"), "{shown:?}");
    for bad in ["", "a\nb", &"x".repeat(129)] {
        machine
            .run(["backup", "--set", bad, text(&one)])
            .ends_with(2);
    }
}

#[test]
fn n21_recover_brings_back_every_set() {
    let (you, ann) = (Machine::with_owner(), Machine::with_owner());
    let (documents, pictures) = (folder(&you, "Documents", 1), folder(&you, "Pictures", 1));
    befriend(&you, &ann, "ann");
    for tree in [&documents, &pictures] {
        you.run([
            "backup",
            text(tree),
            "--wait",
            "all",
            "--wait-timeout",
            "120s",
        ])
        .ends_with(0);
    }
    you.ok(["node", "stop"]);
    fs::remove_dir_all(you.home()).unwrap();
    you.start_node();
    let (key, from) = (you.key(), address(&ann));
    let recover = |to: &Path, more: &[&str]| {
        let mut words = vec!["recover", "--owner-key", text(&key), "--peer", &from];
        words.extend(["--target", text(to)]);
        words.extend(more);
        you.ok(words)
    };
    let back = recover(&you.path("all"), &[]);
    let targets: Vec<PathBuf> = back["restored"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| PathBuf::from(one["target"].as_str().unwrap()))
        .collect();
    assert_eq!(targets.len(), 2, "{back}");
    for tree in [&documents, &pictures] {
        let found = targets.iter().map(|target| restored(target, tree));
        let found: Vec<PathBuf> = found.filter(|found| found.exists()).collect();
        assert_eq!(found.len(), 1, "{back}");
        same(tree, &found[0]);
    }
    let one = you.path("one");
    recover(&one, &["--set", text(&documents)]);
    same(&documents, &restored(&one, &documents));
    assert!(!restored(&one, &pictures).exists());
}
