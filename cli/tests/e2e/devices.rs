//! Several machines of one owner: asked for, answered, told apart, limited and stopped.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::friends::befriend;
use crate::support::{Machine, Ran, state_of};
use crate::trees;

fn config(machine: &Machine) -> Vec<(PathBuf, String)> {
    state_of(&machine.home().join("config"))
}

fn key(machine: &Machine) -> String {
    machine.key().to_str().unwrap().to_owned()
}

fn request(machine: &Machine, label: &str) -> Value {
    machine.ok(["init", "--join-request", "-", "--label", label])
}

/// The owner's answer to a request, made on `owner`.
fn enroll(owner: &Machine, request: &Value, extra: &[&str]) -> Value {
    let text = request["request"].as_str().unwrap();
    let key = key(owner);
    let mut words = vec!["device", "enroll", text, "--owner-key", &key, "--out", "-"];
    words.extend(extra);
    owner.ok(words)
}

fn join(machine: &Machine, text: &Value) -> Ran {
    machine.run(["init", "--join", text.as_str().unwrap()])
}

fn refused(ran: Ran) -> Value {
    ran.ends_with(5).error()
}

#[test]
fn n22_a_bundle_makes_one_machine_a_device_and_no_other() {
    let (you, two, three) = (Machine::with_owner(), Machine::blank(), Machine::blank());
    let asked = request(&two, "second");
    let print = asked["fingerprint"].as_str().unwrap();
    let made = enroll(&you, &asked, &["--fingerprint", print]);
    assert_eq!(made["fingerprint"], asked["fingerprint"]);
    assert_eq!(made["device"], asked["node"]);
    assert_eq!(
        (&made["snaps_per_day"], &made["group"]),
        (&48.into(), &0.into())
    );
    let bundle = made["bundle"].clone();

    // Another machine, one that never asked and one that did.
    let before = config(&three);
    refused(join(&three, &bundle));
    request(&three, "third");
    let asked_too = config(&three);
    assert_ne!(before, asked_too);
    refused(join(&three, &bundle));
    assert_eq!(config(&three), asked_too);
    assert_eq!(three.ok(["status"])["owner"], Value::Null);
    // With the other machine's key file it is still another machine.
    let stolen = three.home().join("config/exchange.key");
    fs::copy(two.home().join("config/exchange.key"), &stolen).unwrap();
    refused(join(&three, &bundle));
    assert_eq!(three.ok(["status"])["owner"], Value::Null);

    // Changed, or not of the owner that was expected.
    let mut text = bundle.as_str().unwrap().to_owned();
    let last = text.pop().unwrap();
    text.push(if last == 'a' { 'b' } else { 'a' });
    let before = config(&two);
    refused(join(&two, &text.into()));
    let words = ["init", "--owner", "0000", "--join"];
    let other = two.run(words.into_iter().chain([bundle.as_str().unwrap()]));
    assert_eq!(refused(other)["code"], "join");
    assert_eq!(config(&two), before);
    assert_eq!(two.ok(["status"])["owner"], Value::Null);

    let joined = join(&two, &bundle).ends_with(0).json();
    assert_eq!(joined["owner"], you.ok(["status"])["owner"]);
    assert_eq!(joined["label"], "second");
    let tree = two.path("tree");
    trees::plain(&tree, 10);
    two.backup(&tree);
    // Again: the same. It reads nothing, as no device does.
    join(&two, &bundle).ends_with(0);
    two.run(["ls", "latest"]).ends_with(2);

    // Newer ones replace it; the old one, replayed, does not come back.
    // The number is the time in seconds: the next one, as soon as there is one.
    let first = joined["serial"].as_u64();
    let newer = loop {
        let newer = enroll(&you, &asked, &["--label", "renamed", "--quota", "5G"]);
        if newer["serial"].as_u64() > first {
            break newer;
        }
    };
    let newer = join(&two, &newer["bundle"]).ends_with(0).json();
    assert_eq!(newer["label"], "renamed");
    let before = config(&two);
    assert_eq!(refused(join(&two, &bundle))["code"], "join");
    assert_eq!(config(&two), before);
    two.backup(&tree);
}

#[test]
fn requests_that_were_swapped_or_damaged_are_not_answered() {
    let (you, two) = (Machine::with_owner(), Machine::blank());
    let asked = request(&two, "second");
    let text = asked["request"].as_str().unwrap();
    let key = key(&you);
    let enroll = |text: &str, print: &str| {
        you.run([
            "device",
            "enroll",
            text,
            "--fingerprint",
            print,
            "--owner-key",
            &key,
            "--out",
            "-",
        ])
    };
    let error = refused(enroll(text, "0000 0000 0000 0000"));
    assert_eq!(error["code"], "fingerprint");
    let print = asked["fingerprint"].as_str().unwrap();
    refused(enroll(&text[..text.len() - 1], print));
    enroll(text, print).ends_with(0);
    // The same as a file and through a pipe.
    let file = two.path("request");
    fs::write(&file, format!("{}\n", text.to_uppercase())).unwrap();
    enroll(file.to_str().unwrap(), print).ends_with(0);
    you.run_with(
        ["device", "enroll", "-", "--owner-key", &key, "--out", "-"],
        Some(text.as_bytes()),
    )
    .ends_with(0);
}

#[test]
fn machines_of_one_owner_store_equal_content_once() {
    let (you, two, ann) = (
        Machine::with_owner(),
        Machine::blank(),
        Machine::with_owner(),
    );
    let asked = request(&two, "second");
    let made = enroll(&you, &asked, &[]);
    join(&two, &made["bundle"]).ends_with(0);
    befriend(&you, &ann, "ann");
    befriend(&two, &ann, "ann");
    let noise: Vec<u8> = (0..6_u64 << 17)
        .flat_map(|i| blake3::hash(&i.to_le_bytes()).as_bytes()[..8].to_vec())
        .collect();
    let save = |machine: &Machine, name: &str| {
        let tree = machine.path("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join(name), &noise).unwrap();
        machine
            .run(["backup", tree.to_str().unwrap(), "--wait", "all"])
            .ends_with(0);
    };
    let stored = || {
        let status = ann.ok(["status"]);
        status["stored_bytes"].as_u64().unwrap()
    };
    save(&you, "big");
    let once = stored();
    assert!(once > u64::try_from(noise.len()).unwrap());
    save(&two, "the same under another name");
    let more = stored() - once;
    assert!(
        more < 100_000,
        "{more} bytes more for content that is there"
    );
    // Both come back, each with its own name.
    let target = two.path("target");
    let key = key(&you);
    two.run([
        "restore",
        "latest",
        "--owner-key",
        &key,
        "--target",
        target.to_str().unwrap(),
    ])
    .ends_with(0);
}

#[test]
fn limits_and_revocation_reach_the_device_and_the_records() {
    let (you, two) = (Machine::with_owner(), Machine::blank());
    let key = key(&you);
    let asked = request(&two, "second");
    let made = enroll(
        &you,
        &asked,
        &["--snaps-per-day", "9", "--perms", "put,list"],
    );
    join(&two, &made["bundle"]).ends_with(0);
    let own = two.ok(["device", "list"]);
    let row = &own["devices"][0];
    assert_eq!(
        (&row["label"], &row["snaps_per_day"]),
        (&"second".into(), &9.into())
    );
    assert_eq!(row["permissions"], serde_json::json!(["put", "list"]));

    // On the device itself: in force at once.
    let words = [
        "device",
        "limits",
        "test",
        "--quota",
        "1T",
        "--owner-key",
        &key,
    ];
    assert_eq!(you.ok(words)["in_force"], true);
    let listed = you.ok(["device", "list"]);
    assert_eq!(listed["devices"][0]["quota"], 1_u64 << 40);
    // For another one: a certificate to carry. Here its own is told by the file.
    let error = two
        .run(["device", "limits", "second", "--quota", "1G"])
        .ends_with(2);
    assert_eq!(error.error()["code"], "usage");
    let limits = [
        "device",
        "limits",
        "second",
        "--quota",
        "3G",
        "--owner-key",
        &key,
    ];
    let new = two.ok(limits.into_iter().chain(["--out", "-"]));
    let before = config(&two);
    refused(join(&you, &new["certificate"]));
    assert_eq!(config(&two), before);
    let taken = join(&two, &new["certificate"]).ends_with(0).json();
    assert_eq!(taken["quota"], 3_u64 << 30);
    assert_eq!(taken["label"], "second");
    assert!(taken["serial"].as_u64() > made["serial"].as_u64());

    let order = two.path("order");
    let words = [
        "device",
        "revoke",
        "second",
        "--owner-key",
        &key,
        "--reason",
        "lost",
    ];
    two.ok(words.into_iter().chain(["--out", order.to_str().unwrap()]));
    assert_eq!(two.ok(["device", "list"])["devices"][0]["revoked"], false);
    let done = two.ok(words);
    assert_eq!(done["device"], asked["node"]);
    assert_eq!(two.ok(["device", "list"])["devices"][0]["revoked"], true);
}

#[test]
fn a_new_group_is_one_above_the_known_ones() {
    let (you, two) = (Machine::with_owner(), Machine::blank());
    let asked = request(&two, "second");
    let made = enroll(&you, &asked, &["--new-group"]);
    assert_eq!(made["group"], 1);
    join(&two, &made["bundle"]).ends_with(0);
    let tree = two.path("tree");
    trees::plain(&tree, 5);
    two.backup(&tree);
    let target = two.path("target");
    let key = key(&you);
    two.run([
        "restore",
        "latest",
        "--owner-key",
        &key,
        "--verify",
        "--target",
        target.to_str().unwrap(),
    ])
    .ends_with(0);
    // A certificate of the old group does not fit the keys of the new one.
    let offline = Machine::blank();
    let text = asked["request"].as_str().unwrap();
    let words = [
        "device",
        "enroll",
        text,
        "--new-group",
        "--owner-key",
        &key,
        "--out",
        "-",
    ];
    offline.run(words).ends_with(2);
}
