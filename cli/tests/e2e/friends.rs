//! Snapshots go to friends, and come back from them when the machine is lost.

use std::fs;

use serde_json::Value;

use crate::support::{Machine, restored, same};
use crate::trees;

pub(crate) fn befriend(one: &Machine, two: &Machine, name: &str) {
    let invite = one.ok(["peer", "invite", "--name", name, "--quota", "5G"]);
    two.ok([
        "peer",
        "accept",
        invite["token"].as_str().unwrap(),
        "--name",
        "owner",
        "--quota",
        "5G",
    ]);
}

pub(crate) fn address(machine: &Machine) -> String {
    let status = machine.ok(["status"]);
    let listen = status["listen"].as_array().unwrap();
    listen.first().unwrap().as_str().unwrap().to_owned()
}

/// Negative test 21, the part of this release: total loss, one friend, 24 words.
#[test]
fn n21_total_loss_is_undone_with_the_key_and_one_friend() {
    let (you, ann, bob) = (
        Machine::with_owner(),
        Machine::with_owner(),
        Machine::blank(),
    );
    let tree = you.path("tree");
    trees::plain(&tree, 120);
    befriend(&you, &ann, "ann");
    befriend(&you, &bob, "bob");
    let saved = you
        .run([
            "backup",
            tree.to_str().unwrap(),
            "--wait",
            "all",
            "--wait-timeout",
            "120s",
        ])
        .ends_with(0)
        .json();
    assert_eq!(saved["friends"], 2, "{saved}");
    assert_eq!(
        you.ok(["status", "--require", "2"])["snapshots"][0]["friends"],
        2
    );
    let listed = you.ok(["snapshots"]);
    assert_eq!(listed["snapshots"][0]["friends"], 2, "{listed}");

    // The machine is lost; its key was elsewhere.
    you.ok(["node", "stop"]);
    fs::remove_dir_all(you.home()).unwrap();
    let key = you.key();
    let key = key.to_str().unwrap();
    you.start_node();
    let found = you.ok(["recover", "--owner-key", key, "--peer", &address(&ann)]);
    assert_eq!(found["snapshots"][0]["id"], saved["snapshot"]);
    assert_eq!(found["snapshots"][0]["label"], "test");
    let target = you.path("target");
    let back = you.ok([
        "recover",
        "--owner-key",
        key,
        "--peer",
        &address(&bob),
        "--target",
        target.to_str().unwrap(),
    ]);
    assert_eq!(back["complete"], true, "{back}");
    same(&tree, &restored(&target, &tree));

    // A stranger's key opens nothing there, although the friend is reached.
    let stranger = you.path("stranger.key");
    let stranger = stranger.to_str().unwrap();
    you.ok(["key", "new", "--no-passphrase", "--out", stranger]);
    let ran = you.run([
        "recover",
        "--owner-key",
        stranger,
        "--peer",
        &address(&ann),
        "--target",
        you.path("x").to_str().unwrap(),
    ]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(!you.path("x").exists());
}

#[test]
fn a_friend_that_is_away_means_not_safe_yet_and_catches_up_later() {
    let (you, ann) = (Machine::with_owner(), Machine::with_owner());
    let tree = you.path("tree");
    trees::plain(&tree, 30);
    befriend(&you, &ann, "ann");
    ann.ok(["node", "stop"]);
    let saved = you
        .run([
            "backup",
            tree.to_str().unwrap(),
            "--wait",
            "1",
            "--wait-timeout",
            "2s",
        ])
        .ends_with(4)
        .json();
    assert_eq!(saved["friends"], 0);
    assert_eq!(saved["copies"][0]["receipt"], false, "{saved}");
    let unreachable = you.run(["peer", "ping", "ann"]);
    assert_eq!(unreachable.code, 1, "{unreachable:?}");
    // She comes back, wherever she listens now, and dials us.
    ann.start_node();
    let again = you
        .run([
            "backup",
            tree.to_str().unwrap(),
            "--wait",
            "1",
            "--wait-timeout",
            "120s",
        ])
        .ends_with(0)
        .json();
    assert_eq!(again["friends"], 1);
    let status: Value = you.ok(["status"]);
    assert!(
        status["snapshots"]
            .as_array()
            .unwrap()
            .iter()
            .any(|s| s["id"] == saved["snapshot"])
    );
    let peers = you.ok(["peer", "list"]);
    assert_eq!(peers["peers"][0]["name"], "ann");
    you.ok(["peer", "ping", "ann"]);
    you.ok(["peer", "remove", "ann", "--yes"]);
    assert_eq!(
        you.ok(["peer", "list"])["peers"].as_array().unwrap().len(),
        0
    );
}

#[test]
fn an_invite_works_once() {
    let (you, ann, eve) = (Machine::with_owner(), Machine::blank(), Machine::blank());
    let invite = you.ok(["peer", "invite"]);
    let token = invite["token"].as_str().unwrap();
    ann.ok(["peer", "accept", token]);
    let refused = eve.run(["peer", "accept", token]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(!refused.error()["next"].as_str().unwrap().is_empty());
    assert_eq!(
        you.ok(["peer", "list"])["peers"].as_array().unwrap().len(),
        1
    );
    assert_eq!(
        eve.ok(["peer", "list"])["peers"].as_array().unwrap().len(),
        0
    );
}
