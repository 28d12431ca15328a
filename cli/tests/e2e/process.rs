//! What surrounds the programs: readers that leave, disks that are full, callers that hold locks, homes of others.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Machine, PROGRAM, finish, ran};

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// The write end of a pipe whose reader has gone.
fn closed_pipe() -> Stdio {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    pipe.into()
}

fn tree(machine: &Machine) -> std::path::PathBuf {
    let tree = machine.path("tree");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("a"), b"a").unwrap();
    tree
}

fn snapshots(machine: &Machine) -> usize {
    machine.ok(["snapshots"])["snapshots"]
        .as_array()
        .unwrap()
        .len()
}

/// Something to remark on in every backup: a socket and a file that cannot be read whole.
fn with_remarks(tree: &Path) {
    std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
}

#[test]
fn a_snapshot_is_made_whether_its_remarks_can_be_written_or_not() {
    let machine = Machine::with_owner();
    let tree = tree(&machine);
    with_remarks(&tree);
    let words = [
        "backup",
        "-v",
        tree.to_str().unwrap(),
        "/proc/sys/kernel/ostype",
    ];
    let good = machine.run(words);
    assert!(matches!(good.code, 0 | 3), "{good:?}");
    let mut made = 1;
    for stderr in [full as fn() -> Stdio, closed_pipe] {
        for json in [true, false] {
            let mut command = machine.command(words);
            if json {
                command.arg("--json");
            }
            command.stderr(stderr());
            let ended = finish(command, None);
            assert_eq!(ended.code, good.code, "{ended:?}");
            made += 1;
            assert_eq!(snapshots(&machine), made);
        }
    }
}

#[test]
fn a_snapshot_is_told_by_the_exit_code_where_its_answer_cannot_be_written() {
    let machine = Machine::with_owner();
    let tree = tree(&machine);
    let mut made = 0;
    for (stdout, json) in [
        (full as fn() -> Stdio, true),
        (full, false),
        (closed_pipe, true),
        (closed_pipe, false),
    ] {
        let mut command = machine.command(["backup", tree.to_str().unwrap()]);
        if json {
            command.arg("--json");
        }
        command.stdout(stdout());
        let ended = finish(command, None).ends_with(0);
        made += 1;
        assert_eq!(snapshots(&machine), made);
        // A disk that is full is worth a word, and the answer goes where it can be read.
        if made <= 2 {
            assert!(
                ended.stderr.contains("Snapshot") || ended.stderr.contains("\"snapshot\""),
                "{ended:?}"
            );
        }
    }
    // Where the answer is all there is, it is a failure that it was not given.
    let mut command = machine.command(["snapshots", "--json"]);
    command.stdout(full());
    let ended = finish(command, None).ends_with(1);
    assert_eq!(ended.error()["code"], "output");
}

#[test]
fn a_node_goes_on_where_its_log_cannot_be_written() {
    let machine = Machine::with_owner();
    let tree = tree(&machine);
    machine.ok(["node", "stop"]);
    let node = Path::new(PROGRAM).with_file_name("packnback-node");
    let mut command = Command::new(node);
    command
        .arg("--home")
        .arg(machine.home())
        .args(["--listen", "/ip4/127.0.0.1/tcp/0", "--log", "debug"])
        .stdin(Stdio::null())
        .stdout(full())
        .stderr(full());
    let mut child = command.spawn().unwrap();
    // Whoever asks before it holds the lock starts a node of its own.
    let socket = machine.home().join("node/node.sock");
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "the node ended");
        std::thread::yield_now();
    }
    machine.backup(&tree);
    assert_eq!(machine.node_pid(), i32::try_from(child.id()).unwrap());
    machine.ok(["node", "stop"]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn problems_are_told_however_quiet() {
    let machine = Machine::with_owner();
    let tree = tree(&machine);
    let mut words = vec!["backup", "-q", tree.to_str().unwrap()];
    let silent = finish(machine.command(&words), None).ends_with(0);
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("", ""));
    words.extend(["--wait", "2"]);
    let told = finish(machine.command(&words), None).ends_with(4);
    assert!(told.stderr.contains("Not safe yet"), "{told:?}");
    assert!(told.stderr.contains("no friends"), "{told:?}");
    let told = finish(machine.command(["status", "-q", "--require", "1"]), None).ends_with(4);
    assert!(told.stderr.contains("Not safe yet"), "{told:?}");
}

#[test]
fn wrong_words_are_told_as_json_when_asked_for() {
    for words in [
        &["--json", "backup", "--no-such-option"][..],
        &["no-such-command", "--json"],
        &["policy", "set", "--min-age", "30", "--json"],
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(words).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = ran(command.spawn().unwrap()).ends_with(2);
        assert_eq!(ended.error()["exit"], 2, "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    let mut command = Command::new(PROGRAM);
    command.args(["--home", "/x", "forget", "--keep-within", "90"]);
    let ended = finish_piped(command).ends_with(2);
    assert!(ended.stderr.contains("90 what? Write 90d"), "{ended:?}");
}

fn finish_piped(mut command: Command) -> crate::support::Ran {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    ran(command.spawn().unwrap())
}

/// A shell that leaves every trace it can on what it starts.
const CALLER: &str = r#"
exec 7<"$0" 9>"$LOCK"
flock -n 9 || exit 99
ulimit -St 3600; ulimit -Sf 9000000; ulimit -Sn 200
umask 0
trap '' USR1 HUP INT QUIT
cd "$CALLER_FOLDER"
export SECRET_OF_THE_CALLER=1
nice -n 5 "$PROGRAM" --home "$NODE_HOME" backup "$TREE" >/dev/null
"#;

#[test]
fn a_node_keeps_nothing_of_the_command_that_started_it() {
    let machine = Machine::with_owner();
    let tree = tree(&machine);
    machine.ok(["node", "stop"]);
    let run = || {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", CALLER, "/etc/hostname"])
            .env("LOCK", machine.path("lock"))
            .env("CALLER_FOLDER", machine.path("."))
            .env("PROGRAM", PROGRAM)
            .env("NODE_HOME", machine.home())
            .env("TREE", &tree);
        finish_piped(shell)
    };
    run().ends_with(0);
    // The lock went with its shell.
    run().ends_with(0);
    let pid = machine.node_pid();
    let proc_of = |name: &str| Path::new("/proc").join(pid.to_string()).join(name);
    for entry in fs::read_dir(proc_of("fd")).unwrap() {
        let Ok(target) = fs::read_link(entry.unwrap().path()) else {
            continue;
        };
        assert_ne!(target, machine.path("lock"));
        assert_ne!(target, Path::new("/etc/hostname"));
        assert!(!target.starts_with("/dev/pts"), "{target:?}");
    }
    assert_eq!(fs::read_link(proc_of("cwd")).unwrap(), Path::new("/"));
    let environment = fs::read(proc_of("environ")).unwrap();
    let text = String::from_utf8_lossy(&environment);
    assert!(
        !text.contains("SECRET_OF_THE_CALLER") && text.contains("PATH="),
        "{text}"
    );
    let limits = fs::read_to_string(proc_of("limits")).unwrap();
    let soft = |name: &str| {
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(soft("Max cpu time"), "unlimited");
    assert_eq!(soft("Max file size"), "unlimited");
    assert!(
        soft("Max open files").parse::<u64>().unwrap() > 200,
        "{limits}"
    );
    let status = fs::read_to_string(proc_of("status")).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().to_owned()
    };
    assert_eq!(field("Umask:"), "0077");
    assert_eq!(u64::from_str_radix(&field("SigBlk:"), 16).unwrap(), 0);
    // All that is left is what every program in this language ignores: writing to nobody. Two signals are
    // the C library's own: nobody can set them, nor ignore them.
    let ignored = u64::from_str_radix(&field("SigIgn:"), 16).unwrap() & !(0b11 << 31);
    assert_eq!(ignored, 1 << 12);
    let stat = fs::read_to_string(proc_of("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(fields[4], "0", "a terminal: {stat}");
    assert_ne!(
        fields[3],
        std::process::id().to_string(),
        "the session: {stat}"
    );
    if is_root() {
        assert_eq!(fields[16], "0", "nice: {stat}");
    }
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

#[test]
fn a_home_that_depends_on_the_folder_is_refused_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("HOME", ""),
        ("HOME", "here"),
        ("XDG_DATA_HOME", "here"),
        ("XDG_CONFIG_HOME", "./here"),
        ("PACKNBACK_HOME", "here"),
    ] {
        for program in ["packnback", "packnback-node"] {
            let path = Path::new(PROGRAM).with_file_name(program);
            let mut command = Command::new(path);
            command.env_clear().env("HOME", "/nowhere").env(name, value);
            command.current_dir(dir.path());
            if program == "packnback" {
                command.args(["status", "--json"]);
            }
            if program == "packnback-node" && name == "XDG_CONFIG_HOME" {
                command.arg("--offline");
            }
            let ended = finish_piped(command);
            assert!(ended.code > 0, "{name}={value:?} {program}: {ended:?}");
            assert!(ended.stderr.contains(name), "{name}={value:?}: {ended:?}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_home_others_may_write_to_is_refused_by_both_programs() {
    let machine = Machine::with_owner();
    machine.ok(["node", "stop"]);
    let home = machine.home();
    let before = crate::support::state_of(&home);
    let node = Path::new(PROGRAM).with_file_name("packnback-node");
    for folder in [home.clone(), home.join("node")] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        for words in [
            &["status"][..],
            &["snapshots"],
            &["node", "start"],
            &["peer", "list"],
        ] {
            let ended = machine.run(words).ends_with(5);
            assert_eq!(ended.error()["code"], "open-home", "{ended:?}");
        }
        let mut command = Command::new(&node);
        command.arg("--home").arg(&home).arg("--offline");
        let ended = finish_piped(command).ends_with(1);
        assert!(ended.stderr.contains("may write to"), "{ended:?}");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!(crate::support::state_of(&home), before);
    machine.ok(["status"]);
}

#[test]
fn root_makes_nothing_in_the_home_of_a_user() {
    if !is_root() {
        return; // nobody else can make a folder of another user
    }
    let dir = tempfile::tempdir().unwrap();
    let user = dir.path().join("user");
    fs::create_dir(&user).unwrap();
    std::os::unix::fs::chown(&user, Some(4711), Some(4711)).unwrap();
    for words in [
        &["node", "start"][..],
        &["status"],
        &["init", "--no-passphrase", "--owner-key-out", "/nowhere/k"],
    ] {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("HOME", &user)
            .env("PATH", "/usr/bin:/bin")
            .args(words)
            .arg("--json");
        let ended = finish_piped(command).ends_with(5);
        assert_eq!(ended.error()["code"], "other-user", "{ended:?}");
        assert!(
            ended.error()["next"].as_str().unwrap().contains("sudo -H"),
            "{ended:?}"
        );
    }
    let node = Path::new(PROGRAM).with_file_name("packnback-node");
    let mut command = Command::new(node);
    command.env_clear().env("HOME", &user).arg("--offline");
    finish_piped(command).ends_with(1);
    assert_eq!(fs::read_dir(&user).unwrap().count(), 0);
}

/// The node is there and does not answer: stopped, or waiting for a disk that hangs.
#[test]
fn a_node_that_does_not_answer_holds_no_command_for_ever() {
    let machine = Machine::with_owner();
    let tree = tree(&machine);
    let pid = rustix::process::Pid::from_raw(machine.node_pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let words = [
        &["status"][..],
        &["snapshots"],
        &["node", "stop"],
        &["node", "start"],
        &["peer", "list"],
        &["backup", tree.to_str().unwrap()],
    ];
    // All at once: each of them waits for the same time.
    let running: Vec<_> = words
        .iter()
        .map(|words| {
            let mut command = machine.command(*words);
            command.arg("--json").spawn().unwrap()
        })
        .collect();
    let ended: Vec<_> = running.into_iter().map(ran).collect();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    for ended in ended {
        let ended = ended.ends_with(1);
        let error = ended.error();
        assert_eq!(error["code"], "node-silent", "{ended:?}");
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(&pid.as_raw_nonzero().to_string()), "{said}");
        assert!(
            error["next"].as_str().unwrap().contains("kill -CONT"),
            "{ended:?}"
        );
    }
    assert_eq!(snapshots(&machine), 0);
    machine.backup(&tree);
}

#[test]
fn a_home_on_a_disk_that_cannot_be_written_lists_and_restores() {
    let machine = Machine::with_owner();
    let tree = tree(&machine);
    let id = machine.backup(&tree)["snapshot"]
        .as_str()
        .unwrap()
        .to_owned();
    machine.ok(["node", "stop"]);
    let home = machine.home();
    let before = crate::support::state_of(&home);
    let script = r#"
mount --bind "$HOME_DIR" "$HOME_DIR" && mount -o remount,bind,ro "$HOME_DIR" || exit 77
set -e
"$PROGRAM" --home "$HOME_DIR" snapshots --json | grep -q "$ID"
"$PROGRAM" --home "$HOME_DIR" status --json | grep -q "$ID"
"$PROGRAM" --home "$HOME_DIR" ls "$ID" --owner-key "$KEY" | grep -q tree/a
"$PROGRAM" --home "$HOME_DIR" restore "$ID" --owner-key "$KEY" --target "$TARGET"
if "$PROGRAM" --home "$HOME_DIR" backup "$TREE" 2>"$TARGET.err"; then exit 9; fi
grep -q "cannot be written" "$TARGET.err"
"#;
    let target = machine.path("back");
    let mut shell = Command::new("unshare");
    shell
        .args(["-m", "bash", "-c", script])
        .env("HOME_DIR", &home)
        .env("PROGRAM", PROGRAM)
        .env("ID", &id)
        .env("KEY", machine.key())
        .env("TREE", &tree)
        .env("TARGET", &target);
    let ended = finish_piped(shell);
    if ended.code != 0 && (ended.code == 77 || ended.stderr.contains("unshare")) {
        return; // no right to mount here
    }
    ended.ends_with(0);
    crate::support::same(&tree, &crate::support::restored(&target, &tree));
    assert_eq!(crate::support::state_of(&home), before);
}
