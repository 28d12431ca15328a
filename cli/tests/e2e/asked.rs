//! What a backup is asked for in odd ways: what is there is saved, what is not is said, and the exit code tells.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{Machine, PROGRAM, Ran, finish, ran, restored};
use crate::trees;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Paths in the newest snapshot.
fn saved(machine: &Machine) -> Vec<String> {
    let key = machine.key();
    let listed = machine.run(["ls", "latest", "--owner-key", text(&key)]);
    let path = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        entry["path"].as_str().unwrap().to_owned()
    };
    listed.ends_with(0).stdout.lines().map(path).collect()
}

fn snapshots(machine: &Machine) -> usize {
    let found = machine.ok(["snapshots"]);
    found["snapshots"].as_array().unwrap().len()
}

#[test]
fn what_is_not_there_keeps_nothing_else_out() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 5);
    let gone = machine.path("not-mounted");
    let both = machine
        .run(["backup", text(&tree), text(&gone)])
        .ends_with(3)
        .json();
    assert_eq!(both["complete"], false);
    let snapshot = both["snapshot"].as_str().unwrap();
    machine.check(snapshot, &tree, "back");
    let alone = machine.run(["backup", text(&gone)]).ends_with(3);
    assert_eq!(alone.error()["code"], "nothing");
    assert!(alone.stderr.contains("not-mounted"), "{alone:?}");
    assert_eq!(snapshots(&machine), 1);
}

#[test]
fn patterns_that_leave_nothing_make_no_snapshot() {
    let machine = Machine::with_owner();
    let tree = machine.path("tmp/tree");
    trees::plain(&tree, 5);
    for dry in [&[][..], &["-n"]] {
        let words = ["backup", text(&tree), "-e", "**"];
        let ran = machine.run(words.iter().chain(dry)).ends_with(3);
        assert_eq!(ran.error()["code"], "nothing");
    }
    assert_eq!(snapshots(&machine), 0);
    // A folder above the source is not what a pattern is about.
    let said = machine.ok(["backup", text(&tree), "-e", "tmp/**", "-e", "tmp"]);
    assert!(said["files"].as_u64().unwrap() >= 5);
    assert!(said["warnings"][0].as_str().unwrap().contains("'tmp/**'"));
    let snapshot = said["snapshot"].as_str().unwrap();
    machine.check(snapshot, &tree, "back");
    // The same words at a restore.
    let (key, target) = (machine.key(), machine.path("part"));
    let words = ["restore", "latest", "--target", text(&target)];
    let words = words.into_iter().chain(["--owner-key", text(&key)]);
    machine.ok(words.chain(["-e", "tmp/**", "-e", "tmp"]));
    crate::support::same(&tree, &restored(&target, &tree));
}

#[test]
fn an_exclude_file_with_a_byte_order_mark_works() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 3);
    fs::write(tree.join("a.tmp"), "x").unwrap();
    let list = machine.path("list");
    fs::write(&list, b"\xef\xbb\xbf*.tmp\r\n\xff*\r\n").unwrap();
    machine.ok(["backup", text(&tree), "--exclude-file", text(&list)]);
    assert!(!saved(&machine).iter().any(|path| path.ends_with("a.tmp")));
    let missing = machine.path("no-list");
    let ran = machine.run(["backup", text(&tree), "--exclude-file", text(&missing)]);
    assert!(ran.ends_with(1).stderr.contains("no-list"));
}

#[test]
fn a_path_is_what_the_kernel_finds() {
    let machine = Machine::with_owner();
    let base = machine.path("base");
    for (dir, content) in [
        ("disk/data", "right"),
        ("here/data", "wrong"),
        ("disk/pool", ""),
    ] {
        fs::create_dir_all(base.join(dir)).unwrap();
        fs::write(base.join(dir).join("f"), content).unwrap();
    }
    symlink("../disk/pool", base.join("here/link")).unwrap();
    symlink("disk/data", base.join("data")).unwrap();
    machine.ok(["backup", text(&base.join("here/link/../data"))]);
    assert!(saved(&machine).contains(&text(&base.join("disk/data/f")).to_owned()));
    assert!(!saved(&machine).iter().any(|path| path.contains("/here")));
    for link in ["data", "data/"] {
        let said = machine.ok(["backup", text(&base.join(link))]);
        assert_eq!(said["files"], 1);
        assert!(said["remarks"][0].as_str().unwrap().contains("is a link"));
        let paths = saved(&machine);
        assert!(paths.contains(&text(&base.join("data")).to_owned()));
        assert!(paths.contains(&text(&base.join("disk/data/f")).to_owned()));
    }
}

/// Runs the program in a folder that is removed before.
fn from_nowhere(machine: &Machine, words: &[&str]) -> Ran {
    let gone = machine.path("gone");
    fs::create_dir(&gone).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "rmdir \"$1\"; shift; exec \"$@\"", "sh"])
        .arg(&gone)
        .arg(PROGRAM)
        .arg("--home")
        .arg(machine.home())
        .args(words)
        .current_dir(&gone)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    ran(command.spawn().unwrap())
}

#[test]
fn a_working_folder_that_is_gone_matters_to_relative_paths_only() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 3);
    from_nowhere(&machine, &["backup", text(&tree)]).ends_with(0);
    let relative = from_nowhere(&machine, &["backup", "x"]).ends_with(1);
    assert!(relative.stderr.contains("working folder"), "{relative:?}");
    assert_eq!(snapshots(&machine), 1);
}

#[test]
fn wrong_words_are_refused_before_anything_is_read() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 3);
    let long = "n".repeat(300);
    let cases: &[&[&str]] = &[
        &["backup", text(&tree), "--stdin"],
        &["backup", text(&tree), "--exec", "echo x"],
        &["backup", text(&tree), "--stdin-filename", "db.sql"],
        &["backup", "--stdin", "--stdin-filename", &long],
        &["backup", "--exec", "echo x", "--stdin-filename", ".."],
        &["backup", "--exec", " "],
        &["backup", ""],
        &["backup", text(&tree), ""],
        &["backup", text(&tree), "-e", ""],
    ];
    for words in cases {
        let ran = finish(machine.command(*words), Some(b"dump"));
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
    }
    let failing = machine
        .run(["backup", "--exec", "echo half; exit 3"])
        .ends_with(1);
    assert_eq!(failing.error()["code"], "pipe");
    assert!(failing.stderr.contains("exit status: 3"), "{failing:?}");
    assert_eq!(snapshots(&machine), 0);
    machine.run(["backup", "-n", text(&tree)]).ends_with(0);
    assert_eq!(snapshots(&machine), 0);
}

#[test]
fn names_that_are_no_text_are_named_and_left_out_by_pattern() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    fs::create_dir(&tree).unwrap();
    let name = OsString::from_vec(b"caf\xe9".to_vec());
    fs::write(tree.join(&name), "latin").unwrap();
    fs::write(tree.join("f"), "text").unwrap();
    let one = tree.join(&name);
    let said = machine.ok([OsStr::new("backup"), one.as_os_str()]);
    assert_eq!(said["files"], 1);
    let pattern = OsStr::from_bytes(b"caf\xe9*");
    let words = [
        OsStr::new("backup"),
        tree.as_os_str(),
        "-e".as_ref(),
        pattern,
    ];
    let said = machine.ok(words);
    assert_eq!(said["files"], 1);
    assert_eq!(said["warnings"], serde_json::json!([]));
    // The same folder twice, and one inside the other: each file once.
    let said = machine.ok([tree.as_os_str(), one.as_os_str(), tree.as_os_str()]
        .into_iter()
        .fold(vec![OsStr::new("backup")], |mut words, path| {
            words.push(path);
            words
        }));
    assert_eq!(said["files"], 2);
}

#[test]
fn few_open_files_empty_no_cache() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 30);
    // What was written just before a backup is read once more at the next.
    while machine.ok(["backup", "--no-reread", text(&tree)])["bytes_read"] != 0 {}
    for dir in fs::read_dir(&tree).unwrap() {
        let dir = dir.unwrap().path();
        if dir.is_dir() {
            fs::write(dir.join("added"), "a").unwrap();
        }
    }
    // Whatever comes of it: from so few that nothing opens to so many that all does.
    for limit in [12, 16, 20, 24, 28, 32, 40, 64] {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        command.args(["-c", &script, "sh"]).arg(PROGRAM);
        command.arg("--home").arg(machine.home());
        command.args(["backup", "--no-reread", text(&tree)]);
        drop(finish(command, None));
    }
    let after = machine.ok(["backup", "--no-reread", text(&tree)]);
    // But the files added, perhaps, all is known.
    assert!(after["bytes_read"].as_u64().unwrap() < 100, "{after}");
}

#[test]
fn a_home_in_what_is_saved_is_left_out_from_the_first_backup_on() {
    let machine = Machine::with_owner();
    let other = machine.path("home/other");
    fs::create_dir_all(other.join("node")).unwrap();
    fs::write(other.join("node/identity.key"), b"PNBNODE1 of another node").unwrap();
    fs::write(machine.path("home/doc"), "a").unwrap();
    for _ in 0..2 {
        let said = machine.ok(["backup", text(&machine.home())]);
        let remark = said["remarks"][0].as_str().unwrap();
        assert!(remark.contains("home of a node"), "{remark}");
        let paths = saved(&machine);
        assert!(paths.iter().any(|path| path.ends_with("/home/doc")));
        for part in ["/cache", "/node", "/config"] {
            assert!(!paths.iter().any(|path| path.ends_with(part)), "{paths:?}");
        }
    }
    let asked = machine.run(["backup", text(&machine.path("home/node/db"))]);
    assert_eq!(asked.ends_with(3).error()["code"], "nothing");
}

#[test]
fn a_day_whose_limit_is_reached_ends_with_4_and_says_so() {
    let (you, ann) = (Machine::with_owner(), Machine::with_owner());
    let tree = you.path("tree");
    trees::plain(&tree, 3);
    let key = you.key();
    let words = ["device", "limits", "test", "--snaps-per-day", "1"];
    you.ok(words.into_iter().chain(["--owner-key", text(&key)]));
    // Alone on this machine there is nobody to refuse.
    let said = you.ok(["backup", text(&tree)]);
    assert_eq!(said["day_limit"], serde_json::Value::Null);
    crate::friends::befriend(&you, &ann, "ann");
    let over = you.run(["backup", text(&tree)]).ends_with(4);
    let reason = over.json()["day_limit"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("snapshot 2") && reason.contains("1 a day"),
        "{reason}"
    );
    assert!(over.stderr.contains("device limits"), "{over:?}");
    assert_eq!(over.json()["complete"], true);
}
