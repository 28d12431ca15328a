//! Parts of the owner key: what each can do from the command line, and what it is refused.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::friends::{address, befriend};
use crate::support::{Machine, Ran, restored, same, state_of};
use crate::trees;

/// A part of a machine's owner key, in a file.
fn part(machine: &Machine, kind: &str) -> PathBuf {
    let out = machine.path(&format!("{kind}.key"));
    let made = machine.ok([
        "key",
        "export",
        &format!("--{kind}"),
        "--no-passphrase",
        "--owner-key",
        machine.key().to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(made["kind"], kind);
    out
}

fn with_key(machine: &Machine, words: &[&str], key: &Path) -> Ran {
    let mut all = words.to_vec();
    let key = key.to_str().unwrap();
    all.extend(["--owner-key", key]);
    machine.run(all)
}

fn refused(ran: Ran) -> Value {
    ran.ends_with(5).error()
}

fn lacks(ran: Ran, kind: &str) {
    let error = refused(ran);
    assert_eq!(error["code"], "key-lacks", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(kind), "{message}");
}

fn restore(machine: &Machine, key: &Path, name: &str) -> Ran {
    let target = machine.path(name);
    let words = ["restore", "latest", "--target", target.to_str().unwrap()];
    with_key(machine, &words, key)
}

#[test]
fn n22_each_part_does_what_it_says_and_is_refused_the_rest() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 20);
    machine.backup(&tree);
    let [sign, list, read] = ["sign-only", "list-only", "read-only"].map(|k| part(&machine, k));

    let listed = with_key(&machine, &["ls", "latest"], &list).ends_with(0);
    let full = with_key(&machine, &["ls", "latest"], &machine.key()).ends_with(0);
    assert_eq!(listed.stdout, full.stdout);
    lacks(restore(&machine, &list, "t1"), "list-only");
    assert!(!machine.path("t1").exists());

    restore(&machine, &read, "t2").ends_with(0);
    same(&tree, &restored(&machine.path("t2"), &tree));
    with_key(&machine, &["ls", "latest"], &read).ends_with(0);

    lacks(with_key(&machine, &["ls", "latest"], &sign), "sign-only");
    lacks(restore(&machine, &sign, "t3"), "sign-only");
    assert!(!machine.path("t3").exists());
    let limits = ["device", "limits", "test", "--snaps-per-day", "7"];
    let new = with_key(&machine, &limits, &sign).ends_with(0).json();
    assert_eq!(new["snaps_per_day"], 7);
    assert_eq!(new["label"], "test", "a key that signs sees for whom");

    let hold = ["order", "hold", "latest", "--yes"];
    with_key(&machine, &hold, &sign).ends_with(0);
    lacks(with_key(&machine, &hold, &list), "list-only");
    lacks(with_key(&machine, &hold, &read), "read-only");
    with_key(&machine, &["stats"], &list).ends_with(0);

    let before = state_of(&machine.home().join("config"));
    let out = machine.path("never");
    let out = out.to_str().unwrap();
    for (key, kind) in [(&list, "list-only"), (&read, "read-only")] {
        lacks(with_key(&machine, &limits, key), kind);
        let revoke = ["device", "revoke", "test"];
        lacks(with_key(&machine, &revoke, key), kind);
        lacks(
            with_key(&machine, &["key", "grant", "--out", out], key),
            kind,
        );
    }
    for (key, kind) in [
        (&sign, "sign-only"),
        (&list, "list-only"),
        (&read, "read-only"),
    ] {
        lacks(with_key(&machine, &["key", "sheet"], key), kind);
        let export = ["key", "export", "--full", "--no-passphrase", "--out", out];
        lacks(with_key(&machine, &export, key), kind);
    }
    assert_eq!(state_of(&machine.home().join("config")), before);
    assert!(!Path::new(out).exists());
    // A part below the home it protects the machine from is refused.
    let below = machine.home().join("config/part");
    let below = below.to_str().unwrap();
    let export = [
        "key",
        "export",
        "--read-only",
        "--no-passphrase",
        "--out",
        below,
    ];
    let error = refused(with_key(&machine, &export, &machine.key()));
    assert_eq!(error["code"], "key-below-home");
}

#[test]
fn a_part_has_a_passphrase_like_any_key_file() {
    let machine = Machine::blank();
    let key = machine.key();
    let phrase = machine.path("phrase");
    std::fs::write(&phrase, "correct horse\n").unwrap();
    let phrase = phrase.to_str().unwrap();
    machine.ok([
        "key",
        "new",
        "--no-passphrase",
        "--out",
        key.to_str().unwrap(),
    ]);
    let out = machine.path("list.key");
    let out = out.to_str().unwrap();
    let export = [
        "key",
        "export",
        "--list-only",
        "--epochs",
        "0..3",
        "--new-passphrase-file",
        phrase,
        "--out",
        out,
    ];
    let made = with_key(&machine, &export, &key).ends_with(0).json();
    assert_eq!(
        (&made["protected"], &made["epochs"][1]),
        (&true.into(), &3.into())
    );
    // Taking the passphrase off shows that it opens, and as what.
    let passwd = [
        "key",
        "passwd",
        "--no-passphrase",
        "--passphrase-file",
        phrase,
    ];
    let done = with_key(&machine, &passwd, Path::new(out))
        .ends_with(0)
        .json();
    assert_eq!(done["kind"], "list-only");
    // An existing file is never replaced by an export.
    let before = std::fs::read(out).unwrap();
    refused(with_key(&machine, &export, &key));
    assert_eq!(std::fs::read(out).unwrap(), before);
}

/// A restore box reads from a friend with a read-only key and a permission signed elsewhere.
#[test]
fn n22_a_restore_box_needs_a_signed_permission_beside_its_key() {
    let (you, ann, other) = (
        Machine::with_owner(),
        Machine::with_owner(),
        Machine::blank(),
    );
    let tree = you.path("tree");
    trees::plain(&tree, 30);
    befriend(&you, &ann, "ann");
    you.run(["backup", tree.to_str().unwrap(), "--wait", "all"])
        .ends_with(0);
    let (read, sign) = (part(&you, "read-only"), part(&you, "sign-only"));
    let addr = address(&ann);
    let target = other.path("target");
    let recover = |extra: &[&str]| {
        let mut words = vec!["recover", "--peer", &addr, "--target"];
        words.push(target.to_str().unwrap());
        words.extend(extra);
        with_key(&other, &words, &read)
    };
    assert_eq!(refused(recover(&[]))["code"], "grant");
    assert!(!target.exists());

    let grant = you.path("grant");
    let grant = grant.to_str().unwrap();
    with_key(
        &you,
        &["key", "grant", "--out", grant, "--days", "2"],
        &sign,
    )
    .ends_with(0);
    // Cut, or flipped: refused before anybody is asked.
    let bytes = std::fs::read(grant).unwrap();
    let bad = you.path("bad");
    let mut flipped = bytes.clone();
    flipped[60] ^= 1;
    for wrong in [&flipped[..], &bytes[..bytes.len() - 1]] {
        std::fs::write(&bad, wrong).unwrap();
        let error = refused(recover(&["--grant", bad.to_str().unwrap()]));
        assert_eq!(error["code"], "grant", "{error}");
    }
    // For another machine than this one or the recovery machine.
    let elsewhere = you.path("elsewhere");
    let elsewhere = elsewhere.to_str().unwrap();
    let ann_id = ann.ok(["status"])["node"].as_str().unwrap().to_owned();
    let words = ["key", "grant", "--reader", &ann_id, "--out", elsewhere];
    with_key(&you, &words, &sign).ends_with(0);
    assert_eq!(refused(recover(&["--grant", elsewhere]))["code"], "grant");
    assert!(!target.exists());

    recover(&["--grant", grant]).ends_with(0);
    same(&tree, &restored(&target, &tree));
}

/// The restoring machine never sees the owner key, nor a part of it.
#[test]
fn a_snapshot_is_restored_with_unsealed_session_keys() {
    let you = Machine::with_owner();
    let tree = you.path("tree");
    trees::plain(&tree, 30);
    you.backup(&tree);
    std::fs::write(tree.join("new"), "new").unwrap();
    let saved = you.backup(&tree);
    let (target, request, answer) = (you.path("target"), you.path("request"), you.path("answer"));
    let restore = |extra: &[&str]| {
        let mut words = vec!["restore", "latest", "--target", target.to_str().unwrap()];
        words.extend(extra);
        you.run(words)
    };
    let [request, answer] = [&request, &answer].map(|p| p.to_str().unwrap());
    let asked = restore(&["--unseal-request", request]).ends_with(0).json();
    assert_eq!(asked["snapshot"], saved["snapshot"]);
    assert_eq!(asked["sessions"], 2, "{asked}");
    assert!(!target.exists());

    let unseal = ["key", "unseal", request, "--out", answer];
    for kind in ["list-only", "sign-only"] {
        lacks(with_key(&you, &unseal, &part(&you, kind)), kind);
    }
    assert!(!Path::new(answer).exists());
    let opened = with_key(&you, &unseal, &you.key()).ends_with(0).json();
    assert_eq!(opened["snapshot"], saved["snapshot"]);
    assert_eq!(opened["label"], "test");
    assert_eq!(opened["machine"], asked["machine"]);

    // Flipped, or on another machine: refused, nothing written.
    let bad = you.path("bad");
    let mut flipped = std::fs::read(answer).unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&bad, flipped).unwrap();
    let error = refused(restore(&["--unsealed", bad.to_str().unwrap()]));
    assert_eq!(error["code"], "exchange");
    std::fs::rename(
        you.home().join("config/exchange.key"),
        you.path("exchange.key"),
    )
    .unwrap();
    refused(restore(&["--unsealed", answer]));
    assert!(!target.exists());
    std::fs::rename(
        you.path("exchange.key"),
        you.home().join("config/exchange.key"),
    )
    .unwrap();

    restore(&["--unsealed", answer]).ends_with(0);
    same(&tree, &restored(&target, &tree));
}
