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

/// Paths the cases speak of.
struct Paths {
    key: String,
    other: String,
    target: String,
    tree: String,
    below: String,
}

type Row<'a> = (
    &'static str,
    Vec<String>,
    Option<&'static str>,
    i32,
    &'static [&'static str],
);

fn cases(rows: Vec<Row<'_>>) -> Vec<Case> {
    let case = |(name, words, input, code, says)| Case {
        name,
        words,
        input,
        code,
        says,
    };
    rows.into_iter().map(case).collect()
}

fn key_cases(p: &Paths) -> Vec<Case> {
    let ls = |key: &str| words(&format!("ls latest --owner-key {key}"));
    let unknown = "xbandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
        abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art";
    let swapped = "art abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
        abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon";
    let no_key = words(&format!("restore latest --target {}", p.target));
    cases(vec![
        (
            "other owner's key",
            ls(&p.other),
            None,
            5,
            &["belongs to owner", "--home DIR"],
        ),
        (
            "other owner's words",
            words("ls latest --words"),
            Some(STRANGER),
            5,
            &["belongs to owner"],
        ),
        (
            "two words",
            words("ls latest --words"),
            Some("abandon abandon"),
            5,
            &["24 words, these are 2", "verify-words"],
        ),
        (
            "no word of the list",
            words("key verify-words"),
            Some(unknown),
            5,
            &["xbandon"],
        ),
        (
            "words in the wrong order",
            words("key verify-words"),
            Some(swapped),
            5,
            &["do not fit together"],
        ),
        (
            "no key at all",
            no_key,
            None,
            2,
            &["--owner-key FILE or --words"],
        ),
        (
            "a key file that is not there",
            ls("/nonexistent/key"),
            None,
            1,
            &["/nonexistent/key", "--words"],
        ),
        (
            "a file that is no key",
            ls("/etc/passwd"),
            None,
            1,
            &["/etc/passwd", "--words"],
        ),
        (
            "over an existing key",
            with("key new --no-passphrase --out", &p.key),
            None,
            5,
            &["exists already", "not touched"],
        ),
    ])
}

fn setup_cases(p: &Paths) -> Vec<Case> {
    let below = with("init --no-passphrase --owner-key-out", &p.below);
    cases(vec![
        (
            "a second init",
            words("init --owner-words"),
            None,
            5,
            &["already belongs to owner", "--home DIR"],
        ),
        (
            "init with nobody to show the key to",
            words("init"),
            None,
            2,
            &["--owner-key-out FILE, or --owner-words"],
        ),
        ("the key below home", below, None, 5, &["below the home"]),
        (
            "an invite that is none",
            words("peer accept hello"),
            None,
            5,
            &["invite"],
        ),
        (
            "no such friend",
            words("peer ping ann"),
            None,
            1,
            &["no friend", "peer list"],
        ),
    ])
}

fn use_cases(p: &Paths) -> Vec<Case> {
    let restore = |what: &str| {
        words(&format!(
            "restore {what} --target {} --owner-key {}",
            p.target, p.key
        ))
    };
    cases(vec![
        (
            "no such snapshot",
            restore("0000ffff"),
            None,
            1,
            &["no snapshot 0000ffff", "packnback snapshots"],
        ),
        ("not an id", restore("yesterday"), None, 2, &["latest"]),
        (
            "no such path",
            restore("latest:/not/there"),
            None,
            1,
            &["not in the snapshot"],
        ),
        (
            "a path that is not there",
            words("backup /not/there"),
            None,
            3,
            &["/not/there"],
        ),
        (
            "a bad pattern",
            with("backup --exclude [a", &p.tree),
            None,
            2,
            &["pattern"],
        ),
        (
            "a bad size",
            with("backup --exclude-larger-than 5X", &p.tree),
            None,
            2,
            &["5X"],
        ),
    ])
}

#[test]
fn every_mistake_has_its_message_and_changes_nothing() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 10);
    machine.backup(&tree);
    let home = machine.home();
    let other = machine.path("other.key");
    machine.ok([
        "key",
        "new",
        "--no-passphrase",
        "--out",
        other.to_str().unwrap(),
    ]);
    let paths = Paths {
        key: machine.key().to_str().unwrap().to_owned(),
        other: other.to_str().unwrap().to_owned(),
        target: machine.path("never").to_str().unwrap().to_owned(),
        tree: tree.to_str().unwrap().to_owned(),
        below: home.join("config/owner.key").to_str().unwrap().to_owned(),
    };
    let cases: Vec<Case> = [key_cases(&paths), setup_cases(&paths), use_cases(&paths)]
        .into_iter()
        .flatten()
        .collect();
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
            !fs::exists(&paths.target).unwrap(),
            "{} wrote the target",
            case.name
        );
    }
    assert_eq!(state_of(&home.join("config")), before);
    assert_eq!(machine.ok(["snapshots"]), snapshots);
    assert!(!fs::exists(&paths.below).unwrap());
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
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
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
