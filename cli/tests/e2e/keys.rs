//! Owner keys: where they go, what opens them, what refuses.

use std::fs;

use crate::support::{Machine, finish, state_of};

#[test]
fn the_words_the_file_and_the_sheet_are_one_key() {
    let machine = Machine::blank();
    let made = machine.ok(["init", "--owner-words", "--label", "laptop"]);
    let words = made["words"].as_str().unwrap();
    assert_eq!(words.split(' ').count(), 24);
    // Nothing below home holds the secret, in any form it could be written in.
    let seed = packnback_proto::words::from_words(words).unwrap();
    let hex = data_encoding::HEXLOWER.encode(seed.expose());
    for (path, _) in state_of(&machine.home()) {
        let bytes = fs::read(&path).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
        assert!(
            !holds(seed.expose()) && !holds(hex.as_bytes()) && !holds(words.as_bytes()),
            "{}",
            path.display()
        );
        assert!(
            !holds(seed.sign_key().seed().expose()),
            "signing key in {}",
            path.display()
        );
    }
    let checked = machine
        .run_with(["key", "verify-words"], Some(words.as_bytes()))
        .ends_with(0)
        .json();
    assert_eq!(checked["owner"], made["owner"]);
    assert_eq!(checked["this_home"], true);
    let sheet = machine
        .run_with(["key", "sheet", "--words"], Some(words.as_bytes()))
        .ends_with(0)
        .json();
    assert_eq!(sheet["words"], made["words"]);
    let text = finish(
        machine.command(["key", "sheet", "--words"]),
        Some(words.as_bytes()),
    );
    for part in [
        words.split(' ').next().unwrap(),
        " 1. ",
        "24. ",
        &made["owner"].as_str().unwrap()[..8],
        "packnback recover",
    ] {
        assert!(text.stdout.contains(part), "{part} in:\n{}", text.stdout);
    }
}

#[test]
fn a_key_file_opens_with_its_passphrase_only_and_passwd_changes_it() {
    let machine = Machine::blank();
    let file = |name: &str, text: &str| {
        let path = machine.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong, next) = (
        file("right", "correct horse\nsecond line\n"),
        file("wrong", "battery staple\n"),
        file("next", "another horse\n"),
    );
    let key = machine.key().to_str().unwrap().to_owned();
    let made = machine.ok(["key", "new", "--out", &key, "--passphrase-file", &right]);
    let sheet = |passphrase: &str| {
        machine.run([
            "key",
            "sheet",
            "--owner-key",
            &key,
            "--passphrase-file",
            passphrase,
        ])
    };
    assert_eq!(sheet(&right).ends_with(0).json()["owner"], made["owner"]);
    let before = fs::read(&key).unwrap();
    let refused = sheet(&wrong).ends_with(5);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("wrong passphrase")
    );
    machine
        .run([
            "key",
            "passwd",
            "--owner-key",
            &key,
            "--passphrase-file",
            &wrong,
            "--new-passphrase-file",
            &next,
        ])
        .ends_with(5);
    assert_eq!(
        fs::read(&key).unwrap(),
        before,
        "a refused change changes nothing"
    );
    machine.ok([
        "key",
        "passwd",
        "--owner-key",
        &key,
        "--passphrase-file",
        &right,
        "--new-passphrase-file",
        &next,
    ]);
    sheet(&right).ends_with(5);
    assert_eq!(sheet(&next).ends_with(0).json()["owner"], made["owner"]);
    // A truncated key file is told from a wrong passphrase.
    let bytes = fs::read(&key).unwrap();
    fs::write(&key, &bytes[..bytes.len() - 9]).unwrap();
    let cut = sheet(&next).ends_with(1).error();
    assert_eq!(cut["code"], "key-file", "{cut}");
    assert!(cut["next"].as_str().unwrap().contains("24 words"));
}

#[test]
fn a_second_device_of_the_same_owner_needs_only_the_key() {
    let one = Machine::with_owner();
    let two = Machine::blank();
    let key = one.key();
    let made = two.ok([
        "init",
        "--label",
        "second",
        "--owner-key",
        key.to_str().unwrap(),
    ]);
    assert_eq!(made["owner"], one.ok(["status"])["owner"]);
    assert_ne!(made["node"], one.ok(["status"])["node"]);
}
