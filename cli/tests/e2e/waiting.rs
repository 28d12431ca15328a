//! `backup --wait` that cannot come to its end: what it says is true, and it does not hold anybody.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::friends::befriend;
use crate::support::{Machine, finish};
use crate::trees;

/// A machine, its only friend, and a tree to save.
fn pair() -> (Machine, Machine, String) {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    befriend(&you, &ann, "ann");
    let tree = you.path("tree");
    trees::plain(&tree, 10);
    (you, ann, tree.to_str().unwrap().to_owned())
}

#[test]
fn ctrl_c_ends_waiting_at_once_and_says_that_the_snapshot_is_made() {
    let (you, ann, tree) = pair();
    ann.ok(["node", "stop"]);
    let words = ["backup", &tree, "--wait", "1", "--wait-timeout", "10h"];
    let mut command = you.command(words);
    command.stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    stdout.read_line(&mut said).unwrap();
    // It is there now, and the friend will never have it: nothing but the signal ends this.
    assert!(said.starts_with("Snapshot "), "{said}");
    let listed = you.ok(["snapshots"]);
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 1, "{listed}");
    assert!(child.try_wait().unwrap().is_none());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    stdout.read_to_string(&mut said).unwrap();
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4), "{said}{told}");
    assert!(told.contains("The snapshot is made"), "{told}");
    assert!(told.contains("Not safe yet: on 0 of 1 friend"), "{told}");
    assert!(told.contains("You stopped waiting"), "{told}");
    assert!(!told.contains("No snapshot"), "{told}");
    you.check("latest", &you.path("tree"), "target");
}

#[test]
fn more_friends_than_there_are_are_not_waited_for() {
    let (you, _ann, tree) = pair();
    let words = ["backup", &tree, "--wait", "2", "--wait-timeout", "10h"];
    let told = finish(you.command(words), None).ends_with(4);
    let asked = "You asked for 2 friends, and there is only 1";
    assert!(told.stderr.contains(asked), "{told:?}");
    assert!(told.stdout.starts_with("Snapshot "), "{told:?}");
    let json = you.run(words).ends_with(4).json();
    assert_eq!(
        (&json["safe"], json["copies"].as_array().unwrap().len()),
        (&false.into(), 1)
    );
    assert!(json["snapshot"].is_string(), "{json}");
    // As many as there are is waited for, and comes.
    you.run(["backup", &tree, "--wait", "1", "--wait-timeout", "120s"])
        .ends_with(0);
}
