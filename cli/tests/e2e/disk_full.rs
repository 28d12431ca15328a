//! A disk that is full: told clearly, and nothing that was acknowledged is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Machine, finish};
use crate::trees;

/// A small disk. Only root may mount one, and not in every container.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(&at);
        let done = mount.status().is_ok_and(|status| status.success());
        done.then_some(Self(at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_below_the_home_loses_nothing() {
    let machine = Machine::with_owner();
    machine.ok(["node", "stop"]);
    let small = machine.path("small disk");
    // A little more than the node keeps in reserve.
    let Some(_disk) = Disk::mount(small.clone(), "330M") else {
        return;
    };
    let home = small.join("home");
    let on_disk = |words: &[&str]| {
        let mut command = Command::new(crate::support::PROGRAM);
        command.arg("--home").arg(&home).arg("--json").args(words);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        finish(command, None)
    };
    let key = machine.path("small.key");
    let key = key.to_str().unwrap();
    on_disk(&["node", "start", "--listen", "/ip4/127.0.0.1/tcp/0"]).ends_with(0);
    on_disk(&["init", "--no-passphrase", "--owner-key-out", key]).ends_with(0);
    let (tree, huge) = (machine.path("tree"), machine.path("huge"));
    trees::plain(&tree, 20);
    fs::write(&huge, trees::noise(1, 300 << 20)).unwrap();
    let first = on_disk(&["backup", tree.to_str().unwrap()])
        .ends_with(0)
        .json();
    let refused = on_disk(&["backup", huge.to_str().unwrap()])
        .ends_with(1)
        .error();
    assert_eq!(refused["code"], "disk-full", "{refused}");
    for part in ["safe", "next"] {
        assert!(!refused[part].as_str().unwrap().is_empty(), "{refused}");
    }
    let listed = on_disk(&["snapshots"]).ends_with(0).json();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(listed["snapshots"][0]["id"], first["snapshot"]);
    let target = machine.path("target");
    on_disk(&[
        "restore",
        "latest",
        "--target",
        target.to_str().unwrap(),
        "--owner-key",
        key,
    ])
    .ends_with(0);
    crate::support::same(&tree, &crate::support::restored(&target, &tree));
    on_disk(&["node", "stop"]).ends_with(0);
}

#[test]
fn a_full_disk_below_the_target_ends_with_a_clear_message() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 120);
    machine.backup(&tree);
    let Some(_disk) = Disk::mount(machine.path("target"), "3M") else {
        return;
    };
    let key = machine.key();
    let words = [
        "restore",
        "latest",
        "--target",
        machine.path("target").to_str().unwrap(),
        "--owner-key",
        key.to_str().unwrap(),
    ]
    .map(str::to_owned);
    // Seen before anything is written.
    let ran = machine.run(&words).ends_with(1);
    assert!(ran.stderr.contains("too little room"), "{ran:?}");
    assert_eq!(fs::read_dir(machine.path("target")).unwrap().count(), 0);
    let words = [&words[..], &["--ignore-space".to_owned()]].concat();
    let ran = machine.run(&words);
    assert!(ran.code == 1 || ran.code == 3, "{ran:?}");
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(told.contains("No space left"), "{told}");
    assert!(
        only_whole_files(&machine.path("target"), Path::new("/")),
        "half a file was left under its name"
    );
}

/// Whether every file that has its name also has the content of the original.
fn only_whole_files(target: &Path, root: &Path) -> bool {
    let mut left = vec![target.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let original = root.join(path.strip_prefix(target).unwrap());
                if original.exists() && fs::read(&path).unwrap() != fs::read(original).unwrap() {
                    return false;
                }
            }
        }
    }
    true
}
