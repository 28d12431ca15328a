//! Orders from the request to the freed bytes, and what refuses on the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::friends::befriend;
use crate::support::{Machine, PROGRAM, Ran, finish};

/// A machine with this many snapshots, the oldest first, and the tree of the newest.
pub(crate) fn with_snapshots(machine: &Machine, count: usize) -> (Vec<String>, PathBuf) {
    let tree = machine.path("tree");
    fs::create_dir_all(&tree).unwrap();
    let mut ids = Vec::new();
    for n in 0..count {
        fs::write(tree.join(format!("file{n}")), vec![n as u8; 200_000 + n]).unwrap();
        let saved = machine.backup(&tree);
        ids.push(saved["snapshot"].as_str().unwrap().to_owned());
    }
    (ids, tree)
}

/// A node that carries out deletions as soon as they are collected.
pub(crate) fn without_grace(machine: &Machine) {
    machine.ok(["node", "stop"]);
    let mut command = machine.command([
        "node",
        "start",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--listen",
        "/ip4/127.0.0.1/udp/0/quic-v1",
    ]);
    command.env("PACKNBACK_GRACE_DAYS", "0");
    finish(command, None).ends_with(0);
}

/// The program on a machine without a home, a node or a network.
pub(crate) fn offline(words: &[&str]) -> Ran {
    let mut command = Command::new(PROGRAM);
    command
        .args(words)
        .arg("--json")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command, None)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn orders(machine: &Machine) -> Vec<Value> {
    machine.ok(["order", "list"])["orders"]
        .as_array()
        .unwrap()
        .clone()
}

pub(crate) fn going(machine: &Machine) -> Vec<String> {
    let listed = machine.ok(["snapshots"]);
    let snaps = listed["snapshots"].as_array().unwrap();
    let going = snaps.iter().filter(|snap| !snap["goes"].is_null());
    going
        .map(|snap| snap["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_request_is_signed_offline_carried_back_and_taken_back_in_time() {
    let machine = Machine::with_owner();
    let (ids, tree) = with_snapshots(&machine, 4);
    let (request, signed) = (machine.path("r"), machine.path("signed"));
    let asked = machine.ok(["forget", &ids[0], &ids[1], "--request-out", text(&request)]);
    assert_eq!(asked["devices"][0]["remains"], 2, "{asked}");
    assert_eq!(asked["devices"][0]["loses_newest"], false);
    assert!(orders(&machine).is_empty() && going(&machine).is_empty());

    // A machine with nothing but the request and the key.
    let key = machine.key();
    let shown = offline(&["order", "show", text(&request)])
        .ends_with(0)
        .json();
    assert_eq!(shown["devices"][0]["goes"].as_array().unwrap().len(), 2);
    assert_eq!(
        shown["devices"][0]["label"],
        Value::Null,
        "names are sealed"
    );
    let sign = |request: &Path, key: &Path| {
        offline(&[
            "order",
            "sign",
            text(request),
            "--owner-key",
            text(key),
            "--out",
            text(&signed),
            "--qr",
            "--yes",
        ])
    };
    let bytes = fs::read(&request).unwrap();
    let flipped = machine.path("flipped");
    for at in [20, bytes.len() / 2, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        fs::write(&flipped, bytes).unwrap();
        assert_ne!(sign(&flipped, &key).code, 0, "byte {at}");
        assert!(!signed.exists(), "byte {at}");
    }
    let stranger = machine.path("stranger.key");
    machine.ok(["key", "new", "--no-passphrase", "--out", text(&stranger)]);
    assert_eq!(
        sign(&request, &stranger).ends_with(5).error()["code"],
        "request"
    );
    assert!(!signed.exists());
    let done = sign(&request, &key).ends_with(0).json();
    assert_eq!(done["qr_drawn"], 1, "{done}");

    // Back home: it waits, and is taken back.
    let done = machine.ok(["order", "submit", text(&signed)]);
    assert_eq!(done["orders"][0]["state"], "waiting", "{done}");
    let mut marked = going(&machine);
    marked.reverse();
    assert_eq!(marked, ids[..2]);
    let listed = orders(&machine);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(listed[0]["snapshots"], 2);
    let status = machine.ok(["status"]);
    assert_eq!(status["orders_waiting"], 1, "{status}");
    machine.ok(["order", "cancel", &id[..8], "--owner-key", text(&key)]);
    assert!(going(&machine).is_empty());
    let again = machine.ok(["order", "submit", text(&signed)]);
    assert_eq!(
        again["orders"][0]["state"], "cancelled",
        "played again: {again}"
    );
    assert!(going(&machine).is_empty());
    machine.check(&ids[3], &tree, "back");
}

#[test]
fn the_newest_goes_only_with_its_digits() {
    let machine = Machine::with_owner();
    let (ids, _) = with_snapshots(&machine, 2);
    let key = machine.key();
    let forget = |more: &[&str]| {
        let words = ["forget", "latest", "--yes", "--owner-key", text(&key)];
        machine.run([&words[..], more].concat())
    };
    for more in [
        &[][..],
        &["--confirm-newest", &ids[0]],
        &["--confirm-newest", &ids[1][..7]],
    ] {
        assert_eq!(forget(more).ends_with(5).error()["code"], "newest");
        assert!(orders(&machine).is_empty() && going(&machine).is_empty());
    }
    // Without a yes nobody is asked who is not there.
    machine
        .run(["forget", &ids[0], "--owner-key", text(&key)])
        .ends_with(2);
    assert!(orders(&machine).is_empty());
    forget(&["--confirm-newest", &ids[1][..8]]).ends_with(0);
    assert_eq!(going(&machine), ids[1..]);
    // The one before is the newest that remains now.
    let words = ["forget", &ids[0], "--yes", "--owner-key", text(&key)];
    assert_eq!(machine.run(words).ends_with(5).error()["code"], "newest");
}

#[test]
fn what_was_forgotten_is_freed_and_the_rest_stays_whole() {
    let machine = Machine::with_owner();
    without_grace(&machine);
    let (ids, tree) = with_snapshots(&machine, 4);
    let before = machine.ok(["stats"]);
    assert_eq!(before["snapshots"].as_array().unwrap().len(), 4);
    let key = machine.key();
    let forgotten = machine.ok([
        "forget",
        "--keep-last",
        "2",
        "--yes",
        "--owner-key",
        text(&key),
    ]);
    assert_eq!(forgotten["orders"][0]["snapshots"], 2, "{forgotten}");
    let freed = machine.ok(["host", "collect"]);
    assert_eq!(freed["snapshots"], 2, "{freed}");
    assert!(freed["freed_bytes"].as_u64().unwrap() > 0, "{freed}");
    let left = machine.ok(["snapshots"]);
    let left: Vec<&str> = left["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|snap| snap["id"].as_str().unwrap())
        .collect();
    assert_eq!(left, [&ids[3], &ids[2]]);
    let after = machine.ok(["stats", "--owner-key", text(&key)]);
    assert!(after["stored_bytes"].as_u64() < before["stored_bytes"].as_u64());
    assert!(after["snapshots"][0]["source_bytes"].as_u64().unwrap() > 800_000);
    machine.check(&ids[3], &tree, "back");
    // Gone snapshots do not remain in a request, and cannot be asked for.
    machine.run(["forget", &ids[0], "--dry-run"]).ends_with(1);
    let plan = machine.ok(["forget", &ids[2], "--dry-run"]);
    assert_eq!(plan["devices"][0]["remains"], 1, "{plan}");
}

#[test]
fn held_snapshots_stay_and_ranges_keep_their_bound() {
    let machine = Machine::with_owner();
    let (ids, _) = with_snapshots(&machine, 3);
    let key = machine.key();
    machine.ok(["order", "hold", &ids[0], "--owner-key", text(&key)]);
    let done = machine.ok(["forget", &ids[0], "--yes", "--owner-key", text(&key)]);
    assert_eq!(done["orders"][0]["snapshots"], 0, "{done}");
    assert!(done["orders"][0]["note"].as_str().unwrap().contains("held"));
    assert!(going(&machine).is_empty());
    let range = |max: &str| {
        let words = [
            "order",
            "delete-range",
            "--device",
            "test",
            "--from",
            "2020-01-01",
            "--to",
            "2100-01-01",
            "--max",
            max,
            "--owner-key",
            text(&key),
            "--yes",
            "--confirm-newest",
            &ids[2],
        ];
        machine.run(words)
    };
    let count = orders(&machine).len();
    range("1").ends_with(1);
    assert_eq!(orders(&machine).len(), count, "nothing was signed");
    range("3").ends_with(0);
    let mut marked = going(&machine);
    marked.reverse();
    assert_eq!(marked, ids[1..], "the held one stays");
}

#[test]
fn everything_goes_only_with_the_owners_digits_and_after_thirty_days() {
    let machine = Machine::with_owner();
    without_grace(&machine);
    with_snapshots(&machine, 1);
    let key = machine.key();
    let owner = machine.ok(["status"])["owner"].as_str().unwrap().to_owned();
    let drop = |more: &[&str]| {
        let words = [
            "order",
            "drop-owner",
            "--host",
            "self",
            "--yes",
            "--owner-key",
            text(&key),
        ];
        machine.run([&words[..], more].concat())
    };
    assert_eq!(drop(&[]).ends_with(5).error()["code"], "drop-owner");
    assert!(orders(&machine).is_empty());
    drop(&["--confirm-owner", &owner[..8]]).ends_with(0);
    machine.ok(["host", "collect"]);
    assert_eq!(
        machine.ok(["stats"])["snapshots"].as_array().unwrap().len(),
        1
    );
    assert_eq!(orders(&machine)[0]["state"], "waiting");
}

/// Orders reach hosts that were away when they were signed, and are carried out there.
#[test]
fn an_order_is_carried_to_a_host_that_was_away() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    without_grace(&ann);
    befriend(&you, &ann, "ann");
    let (ids, tree) = with_snapshots(&you, 2);
    you.run([
        "backup",
        text(&tree),
        "--wait",
        "1",
        "--wait-timeout",
        "120s",
    ])
    .ends_with(0);
    let stored = || {
        let owners = ann.ok(["host", "owners"]);
        owners["owners"][0]["snapshots"].as_u64()
    };
    assert_eq!(stored(), Some(3));
    ann.ok(["node", "stop"]);
    let key = you.key();
    you.ok(["forget", &ids[0], "--yes", "--owner-key", text(&key)]);
    let told = || orders(&you)[0]["told"].as_array().unwrap().clone();
    assert_eq!(told(), Vec::<Value>::new());
    let mut command = ann.command(["node", "start", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"]);
    command.env("PACKNBACK_GRACE_DAYS", "0");
    finish(command, None).ends_with(0);
    // Any command to the node takes a moment: no other pause is needed between two looks.
    let deadline = Instant::now() + Duration::from_secs(120);
    while stored() != Some(2) {
        assert!(Instant::now() < deadline, "the order did not arrive");
        ann.ok(["host", "collect"]);
    }
    while told().is_empty() {
        assert!(Instant::now() < deadline, "nobody says that it arrived");
    }
    let ann_id = &you.ok(["peer", "list"])["peers"][0]["node"];
    assert_eq!(told(), std::slice::from_ref(ann_id));
}
