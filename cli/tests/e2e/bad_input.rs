//! What people get wrong: each a clear message, the right exit code, and nothing changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Machine, finish, state_of};
use crate::trees;

/// Words that fit together, of nobody.
const STRANGER: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art";

struct Case {
    name: &'static str,
    words: Vec<String>,
    input: Option<&'static str>,
    code: i32,
    says: &'static [&'static str],
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn with(text: &str, last: &str) -> Vec<String> {
    let mut all = words(text);
    all.push(last.to_owned());
    all
}

#[test]
fn every_mistake_has_its_message_and_changes_nothing() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 10);
    machine.backup(&tree);
    let (key, home) = (machine.key(), machine.home());
    let key = key.to_str().unwrap();
    let other = machine.path("other.key");
    let other = other.to_str().unwrap();
    machine.ok(["key", "new", "--no-passphrase", "--out", other]);
    let target = machine.path("never");
    let target = target.to_str().unwrap();
    let below = home.join("config/owner.key");
    let cases = [
        Case {
            name: "other owner's key",
            words: words(&format!("ls latest --owner-key {other}")),
            input: None,
            code: 5,
            says: &["belongs to owner", "--home DIR"],
        },
        Case {
            name: "other owner's words",
            words: words("ls latest --words"),
            input: Some(STRANGER),
            code: 5,
            says: &["belongs to owner"],
        },
        Case {
            name: "a wrong word",
            words: words("ls latest --words"),
            input: Some("abandon abandom"),
            code: 5,
            says: &["24 words, these are 2", "verify-words"],
        },
        Case {
            name: "a word not in the list",
            words: words("key verify-words"),
            input: Some(
                "xbandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art",
            ),
            code: 5,
            says: &["xbandon"],
        },
        Case {
            name: "words in the wrong order",
            words: words("key verify-words"),
            input: Some(
                "art abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon",
            ),
            code: 5,
            says: &["do not fit together"],
        },
        Case {
            name: "no key at all",
            words: words(&format!("restore latest --target {target}")),
            input: None,
            code: 2,
            says: &["--owner-key FILE or --words"],
        },
        Case {
            name: "a key file that is not there",
            words: words("ls latest --owner-key /nonexistent/key"),
            input: None,
            code: 1,
            says: &["/nonexistent/key", "--words"],
        },
        Case {
            name: "a file that is no key",
            words: words(&format!(
                "ls latest --owner-key {PROGRAM}",
                PROGRAM = "/etc/hostname"
            )),
            input: None,
            code: 1,
            says: &["not a key file"],
        },
        Case {
            name: "a second init",
            words: words("init --owner-words"),
            input: None,
            code: 5,
            says: &["already belongs to owner", "--home DIR"],
        },
        Case {
            name: "init with nobody to show the key to",
            words: words("init"),
            input: None,
            code: 2,
            says: &["--owner-key-out FILE, or --owner-words"],
        },
        Case {
            name: "the key below home",
            words: with(
                "init --no-passphrase --owner-key-out",
                below.to_str().unwrap(),
            ),
            input: None,
            code: 5,
            says: &["below the home"],
        },
        Case {
            name: "over an existing key",
            words: words(&format!("key new --no-passphrase --out {key}")),
            input: None,
            code: 5,
            says: &["exists already", "not touched"],
        },
        Case {
            name: "no such snapshot",
            words: words(&format!(
                "restore 0000ffff --target {target} --owner-key {key}"
            )),
            input: None,
            code: 1,
            says: &["no snapshot 0000ffff", "packnback snapshots"],
        },
        Case {
            name: "not an id",
            words: words(&format!("ls yesterday --owner-key {key}")),
            input: None,
            code: 2,
            says: &["latest"],
        },
        Case {
            name: "no such path",
            words: words(&format!(
                "restore latest:/not/there --target {target} --owner-key {key}"
            )),
            input: None,
            code: 1,
            says: &["not in the snapshot"],
        },
        Case {
            name: "a path that is not there",
            words: words("backup /not/there"),
            input: None,
            code: 1,
            says: &["/not/there"],
        },
        Case {
            name: "a bad pattern",
            words: with("backup --exclude [a", tree.to_str().unwrap()),
            input: None,
            code: 2,
            says: &["pattern"],
        },
        Case {
            name: "a bad size",
            words: with("backup --exclude-larger-than 5X", tree.to_str().unwrap()),
            input: None,
            code: 2,
            says: &["5X"],
        },
        Case {
            name: "an invite that is none",
            words: words("peer accept hello"),
            input: None,
            code: 5,
            says: &["invite"],
        },
        Case {
            name: "no such friend",
            words: words("peer ping ann"),
            input: None,
            code: 1,
            says: &["no friend", "peer list"],
        },
        Case {
            name: "an unreachable friend",
            words: words(
                "recover --words --peer /ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
            ),
            input: None,
            code: 5,
            says: &["words"],
        },
    ];
    let before = state_of(&home.join("config"));
    let snapshots = machine.ok(["snapshots"]);
    for case in &cases {
        let ran = machine.run_with(&case.words, case.input.map(str::as_bytes));
        assert_eq!(ran.code, case.code, "{}: {ran:?}", case.name);
        for part in case.says {
            assert!(
                ran.stderr.contains(part),
                "{}: {part:?} not in {}",
                case.name,
                ran.stderr
            );
        }
        assert!(
            !fs::exists(target).unwrap(),
            "{} wrote the target",
            case.name
        );
    }
    assert_eq!(state_of(&home.join("config")), before);
    assert_eq!(machine.ok(["snapshots"]), snapshots);
    assert!(!below.exists());
}

#[test]
fn an_unreachable_friend_is_told_and_nothing_is_written() {
    let machine = Machine::with_owner();
    let target = machine.path("target");
    let key = machine.key();
    let ran = machine.run([
        "recover",
        "--owner-key",
        key.to_str().unwrap(),
        "--target",
        target.to_str().unwrap(),
        "--peer",
        "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
    ]);
    let error = ran.ends_with(1).error();
    assert_eq!(error["code"], "unreachable", "{error}");
    assert!(!error["next"].as_str().unwrap().is_empty());
    assert!(!target.exists());
}

#[test]
fn a_damaged_device_bundle_is_told_never_replaced() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 5);
    let saved = machine.backup(&tree);
    let bundle = machine.home().join("config/device.bundle");
    let whole = fs::read(&bundle).unwrap();
    assert_eq!(
        fs::metadata(&bundle).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for damaged in [
        whole[..whole.len() / 2].to_vec(),
        Vec::new(),
        whole.iter().map(|b| b ^ 1).collect(),
    ] {
        fs::write(&bundle, &damaged).unwrap();
        for words in [
            vec!["backup", tree.to_str().unwrap()],
            vec!["snapshots"],
            vec!["init", "--owner-words"],
        ] {
            let error = machine.run(&words).ends_with(1).error();
            assert_eq!(error["code"], "bundle", "{error}");
            assert!(error["next"].as_str().unwrap().contains("init --owner-key"));
        }
        assert_eq!(fs::read(&bundle).unwrap(), damaged);
    }
    // Done as the message says: the file moved away, the device enrolled again, nothing was lost.
    fs::remove_file(&bundle).unwrap();
    let missing = machine
        .run(["backup", tree.to_str().unwrap()])
        .ends_with(1)
        .error();
    assert_eq!(missing["code"], "no-device");
    let stranger = machine.run(["init", "--owner-words"]).ends_with(5).error();
    assert_eq!(
        stranger["code"], "has-owner",
        "the node remembers its owner: {stranger}"
    );
    machine.ok(["init", "--owner-key", machine.key().to_str().unwrap()]);
    machine.check(saved["snapshot"].as_str().unwrap(), &tree, "target");
}

#[test]
fn a_socket_of_a_dead_node_is_no_obstacle() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 5);
    let saved = machine.backup(&tree);
    let pid = rustix::process::Pid::from_raw(machine.node_pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(machine.home().join("node/node.sock").exists());
    machine.check(saved["snapshot"].as_str().unwrap(), &tree, "target");
}

#[test]
fn a_node_that_cannot_start_shows_the_end_of_its_log() {
    let machine = Machine::with_owner();
    machine.ok(["node", "stop"]);
    let identity = machine.home().join("node/identity.key");
    let whole = fs::read(&identity).unwrap();
    fs::write(&identity, b"short").unwrap();
    let error = machine.run(["status"]).ends_with(1).error();
    assert_eq!(error["code"], "node-start", "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("log"),
        "{error}"
    );
    assert_eq!(
        fs::read(&identity).unwrap(),
        b"short",
        "an identity is never made anew over a damaged one"
    );
    fs::write(&identity, whole).unwrap();
    machine.start_node();
}

#[test]
fn files_that_cannot_be_read_end_with_three_and_the_rest_is_saved() {
    if rustix::process::geteuid().is_root() {
        // Root reads everything; a folder that vanishes while it is read needs no rights.
        return unreadable_by_io_error();
    }
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 10);
    let secret = tree.join("d1/f1");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0)).unwrap();
    let ran = machine.run(["backup", tree.to_str().unwrap()]).ends_with(3);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let saved = ran.json();
    assert_eq!(saved["complete"], false);
    assert_eq!(saved["problems"].as_array().unwrap().len(), 1, "{saved}");
    assert_eq!(saved["files"], 9);
}

/// `/proc/self/mem` is a regular file that gives an error to root as well.
fn unreadable_by_io_error() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 10);
    let ran = machine
        .run(["backup", tree.to_str().unwrap(), "/proc/self/mem"])
        .ends_with(3);
    let saved = ran.json();
    assert_eq!(saved["complete"], false);
    assert_eq!(saved["problems"].as_array().unwrap().len(), 1, "{saved}");
    assert_eq!(
        machine.ok(["snapshots"])["snapshots"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn without_friends_waiting_ends_with_four_and_the_snapshot_is_there() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 5);
    for wait in ["1", "all"] {
        let saved = machine
            .run([
                "backup",
                tree.to_str().unwrap(),
                "--wait",
                wait,
                "--wait-timeout",
                "5s",
            ])
            .ends_with(4)
            .json();
        assert_eq!(saved["safe"], false);
        machine.check(
            saved["snapshot"].as_str().unwrap(),
            &tree,
            &format!("target-{wait}"),
        );
    }
    machine.run(["status", "--require", "1"]).ends_with(4);
    machine.run(["status", "--require", "0"]).ends_with(0);
}

#[test]
fn a_home_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let machine = Machine::with_owner();
    std::os::unix::fs::chown(machine.home(), Some(12345), None).unwrap();
    let error = machine.run(["status"]).ends_with(5).error();
    assert_eq!(error["code"], "other-user");
    std::os::unix::fs::chown(machine.home(), Some(0), None).unwrap();
}

#[test]
fn messages_for_people_say_what_is_safe_and_what_to_do() {
    let machine = Machine::with_owner();
    let ran = finish(machine.command(["init", "--owner-words"]), None).ends_with(5);
    assert!(ran.stdout.is_empty());
    for part in [
        "packnback: this home already belongs to owner",
        "\n  safe: ",
        "\n  next: ",
    ] {
        assert!(ran.stderr.contains(part), "{part:?} in {}", ran.stderr);
    }
    let usage = finish(machine.command(["backup"]), None).ends_with(2);
    assert!(usage.stderr.contains("<PATH>"), "{}", usage.stderr);
}
