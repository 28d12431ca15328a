//! What is saved comes back as it was.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixListener;

use crate::support::{Machine, restored, same};
use crate::trees;

#[test]
fn a_tree_with_everything_in_it_comes_back_exactly() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::rich(&tree);
    let _socket = UnixListener::bind(tree.join("socket")).unwrap();
    let saved = machine.backup(&tree);
    assert_eq!(saved["complete"], true, "{saved}");
    assert_eq!(
        saved["skipped"].as_array().unwrap().len(),
        1,
        "the socket: {saved}"
    );
    fs::remove_file(tree.join("socket")).unwrap();
    trees::set_mtime(&tree, 1_700_000_000, 7);
    let saved = machine.backup(&tree);
    machine.check(saved["snapshot"].as_str().unwrap(), &tree, "target");
    // What is a hole stays one: a terabyte of nothing takes no space.
    let hole = fs::metadata(restored(&machine.path("target"), &tree).join("only a hole")).unwrap();
    assert!(std::os::unix::fs::MetadataExt::blocks(&hole) < 64);
    // A second restore finds everything in place.
    let key = machine.key();
    let target = machine.path("target");
    let again = machine.ok([
        OsStr::new("restore"),
        "latest".as_ref(),
        "--target".as_ref(),
        target.as_os_str(),
        "--owner-key".as_ref(),
        key.as_os_str(),
    ]);
    assert_eq!(again["files_written"], 0, "{again}");
    same(&tree, &restored(&target, &tree));
}

#[test]
fn a_part_comes_back_and_patterns_choose() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    for (name, text) in [
        ("a/b/one.txt", "1"),
        ("a/b/two.log", "2"),
        ("a/three.txt", "3"),
        ("four.txt", "4"),
    ] {
        fs::write(tree.join(name), text).unwrap();
    }
    machine.backup(&tree);
    let key = machine.key();
    let restore = |what: &str, target: &str, more: &[&str]| {
        let target = machine.path(target);
        let mut words = vec![
            "restore".into(),
            what.to_owned(),
            "--target".into(),
            target.to_string_lossy().into_owned(),
            "--owner-key".into(),
            key.to_string_lossy().into_owned(),
        ];
        words.extend(more.iter().map(ToString::to_string));
        machine.ok(&words);
        restored(&target, &tree)
    };
    let part = restore(&format!("latest:{}/a/b", tree.display()), "part", &[]);
    assert!(part.join("a/b/one.txt").is_file() && !part.join("a/three.txt").exists());
    let chosen = restore(
        "latest",
        "chosen",
        &["--include", "*.txt", "--exclude", "one.*"],
    );
    assert!(chosen.join("four.txt").is_file() && chosen.join("a/three.txt").is_file());
    assert!(!chosen.join("a/b/one.txt").exists() && !chosen.join("a/b/two.log").exists());
    let dry = restore("latest", "dry", &["--dry-run"]);
    assert!(!dry.join("four.txt").exists());
}

#[test]
fn overwriting_and_deleting_do_what_they_say() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("file"), "saved").unwrap();
    let saved = machine.backup(&tree);
    let snapshot = saved["snapshot"].as_str().unwrap();
    machine.check(snapshot, &tree, "target");
    let target = machine.path("target");
    let file = restored(&target, &tree).join("file");
    let stray = restored(&target, &tree).join("stray");
    let key = machine.key().to_string_lossy().into_owned();
    let shown = target.to_string_lossy().into_owned();
    let restore = |more: &[&str]| {
        let words = [
            &["restore", snapshot, "--target", &shown, "--owner-key", &key],
            more,
        ]
        .concat();
        machine.ok(&words)
    };
    fs::write(&file, "changed here").unwrap();
    fs::write(&stray, "not in the snapshot").unwrap();
    restore(&["--overwrite", "never"]);
    assert_eq!(fs::read(&file).unwrap(), b"changed here");
    restore(&[]);
    assert_eq!(fs::read(&file).unwrap(), b"saved");
    assert!(stray.exists());
    restore(&["--delete", "--verify"]);
    assert!(!stray.exists());
    same(&tree, &restored(&target, &tree));
}

#[test]
fn standard_input_and_commands_are_saved_as_files() {
    let machine = Machine::with_owner();
    let dump = trees::noise(9, 5_000_000);
    let ran = machine
        .run_with(
            ["backup", "--stdin", "--stdin-filename", "db/dump.sql"],
            Some(&dump),
        )
        .ends_with(0);
    let (key, target) = (machine.key(), machine.path("target"));
    let what = ran.json()["snapshot"].as_str().unwrap().to_owned();
    machine.ok([
        OsStr::new("restore"),
        what.as_ref(),
        "--target".as_ref(),
        target.as_os_str(),
        "--owner-key".as_ref(),
        key.as_os_str(),
    ]);
    assert!(fs::read(target.join("db/dump.sql")).unwrap() == dump);
    machine.ok([
        "backup",
        "--exec",
        "printf 'from a command'",
        "--stdin-filename",
        "out",
    ]);
    machine.ok([
        OsStr::new("restore"),
        "latest".as_ref(),
        "--target".as_ref(),
        target.as_os_str(),
        "--owner-key".as_ref(),
        key.as_os_str(),
    ]);
    assert_eq!(fs::read(target.join("out")).unwrap(), b"from a command");
    let before = machine.ok(["snapshots"])["snapshots"]
        .as_array()
        .unwrap()
        .len();
    let failed = machine.run([
        "backup",
        "--exec",
        "printf half; exit 3",
        "--stdin-filename",
        "out",
    ]);
    assert_ne!(failed.code, 0, "{failed:?}");
    let after = machine.ok(["snapshots"])["snapshots"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(before, after, "half a dump is no snapshot");
}

#[test]
fn what_is_excluded_is_not_saved() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    for name in [
        "keep/a.txt",
        "keep/b.tmp",
        "node_modules/x",
        "cache/data",
        "big",
    ] {
        fs::create_dir_all(tree.join(name).parent().unwrap()).unwrap();
        fs::write(tree.join(name), noise_for(name)).unwrap();
    }
    fs::write(
        tree.join("cache/CACHEDIR.TAG"),
        "Signature: 8a477f597d28d172789f06886806bc55\n",
    )
    .unwrap();
    fs::write(machine.path("patterns"), "# comment\nnode_modules/\n").unwrap();
    let patterns = machine.path("patterns");
    machine.ok([
        OsStr::new("backup"),
        tree.as_os_str(),
        "--exclude".as_ref(),
        "*.tmp".as_ref(),
        "--exclude-file".as_ref(),
        patterns.as_os_str(),
        "--exclude-caches".as_ref(),
        "--exclude-larger-than".as_ref(),
        "100K".as_ref(),
    ]);
    let key = machine.key();
    let listed = machine
        .run([
            OsStr::new("ls"),
            "latest".as_ref(),
            tree.as_os_str(),
            "--owner-key".as_ref(),
            key.as_os_str(),
        ])
        .ends_with(0);
    let paths: Vec<String> = listed
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["path"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .map(|path| {
            path.strip_prefix(tree.to_str().unwrap())
                .unwrap_or(&path)
                .to_owned()
        })
        .collect();
    for (path, wanted) in [
        ("/keep/a.txt", true),
        ("/keep/b.tmp", false),
        ("/node_modules/x", false),
        ("/cache/data", false),
        ("/cache/CACHEDIR.TAG", true),
        ("/big", false),
    ] {
        assert_eq!(
            paths.iter().any(|p| p == path),
            wanted,
            "{path} in {paths:?}"
        );
    }
}

fn noise_for(name: &str) -> Vec<u8> {
    if name == "big" {
        trees::noise(5, 200_000)
    } else {
        name.as_bytes().to_vec()
    }
}
