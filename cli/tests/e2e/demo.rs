//! The demo proves what it says, and leaves nothing behind.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{PROGRAM, finish, ran};
use crate::trees;

fn demo(temp: &std::path::Path, tree: &std::path::Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["--json", "demo"])
        .arg(tree)
        .env("TMPDIR", temp);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn nodes_below(temp: &std::path::Path) -> usize {
    let wanted = temp.to_str().unwrap().to_owned();
    let lines = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(&wanted))
        .count()
}

#[test]
fn the_demo_brings_everything_back_and_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let (temp, tree) = (dir.path().join("tmp"), dir.path().join("tree"));
    fs::create_dir(&temp).unwrap();
    trees::rich(&tree);
    let ran = finish(demo(&temp, &tree), None).ends_with(0);
    let told = ran.json();
    assert_eq!(told["identical"], true);
    assert_eq!(told["steps"].as_array().unwrap().len(), 8, "{told}");
    assert_eq!(fs::read_dir(&temp).unwrap().count(), 0);
    assert_eq!(nodes_below(&temp), 0);
}

#[test]
fn an_interrupted_demo_cleans_up_too() {
    let dir = tempfile::tempdir().unwrap();
    let (temp, tree) = (dir.path().join("tmp"), dir.path().join("tree"));
    fs::create_dir(&temp).unwrap();
    trees::plain(&tree, 50);
    let child = demo(&temp, &tree).spawn().unwrap();
    // Interrupt it as soon as it has made its folder.
    while fs::read_dir(&temp).unwrap().count() == 0 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ran = ran(child).ends_with(130);
    assert!(ran.stderr.contains("interrupted"), "{}", ran.stderr);
    assert_eq!(fs::read_dir(&temp).unwrap().count(), 0);
    assert_eq!(nodes_below(&temp), 0);
}

/// Demo and drills are played by a program of its own, which may be left out where only backups are wanted.
#[test]
fn without_the_stage_the_demo_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let alone = dir.path().join("packnback");
    fs::copy(PROGRAM, &alone).unwrap();
    for words in [&["demo"][..], &["drill", "ransomware"]] {
        let mut command = Command::new(&alone);
        command
            .arg("--json")
            .args(words)
            .env("PATH", dir.path())
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let ran = finish(command, None).ends_with(1);
        let error = ran.error();
        assert_eq!(error["code"], "stage-program", "{error}");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("packnback-stage")
        );
        assert!(error["next"].as_str().unwrap().contains("same folder"));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing was made"
        );
    }
}
