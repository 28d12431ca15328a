//! Homes, nodes and commands for the tests.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use packnback_compare::compare_trees;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_packnback");

/// The other programs must have been built too: `make build` does all.
fn check_programs() {
    for name in ["packnback-node", "packnback-stage"] {
        let program = Path::new(PROGRAM).with_file_name(name);
        assert!(
            program.is_file(),
            "{} is missing: run `make build` first (or cargo build --release --workspace --bins)",
            program.display()
        );
    }
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The last line of standard output, which `--json` makes an object.
    pub(crate) fn json(&self) -> Value {
        let line = self
            .stdout
            .lines()
            .next_back()
            .unwrap_or_else(|| panic!("no output: {self:?}"));
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The error object of `--json`.
    pub(crate) fn error(&self) -> Value {
        let found = self
            .stderr
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str::<Value>(line).ok());
        found.unwrap_or_else(|| panic!("no error object: {self:?}"))["error"].clone()
    }

    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

/// One person's machine: a home, and the owner key elsewhere.
pub(crate) struct Machine {
    pub(crate) dir: TempDir,
}

impl Machine {
    /// A blank machine whose node listens on loopback only.
    pub(crate) fn blank() -> Self {
        check_programs();
        let machine = Self {
            dir: tempfile::Builder::new()
                .prefix("packnback-e2e-")
                .tempdir()
                .unwrap(),
        };
        machine.start_node();
        machine
    }

    /// A machine with an owner, whose key file is [`Machine::key`].
    pub(crate) fn with_owner() -> Self {
        let machine = Self::blank();
        let key = machine.key();
        machine.ok([
            OsStr::new("init"),
            "--no-passphrase".as_ref(),
            "--label".as_ref(),
            "test".as_ref(),
            "--owner-key-out".as_ref(),
            key.as_os_str(),
        ]);
        machine
    }

    pub(crate) fn start_node(&self) {
        self.ok([
            "node",
            "start",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--listen",
            "/ip4/127.0.0.1/udp/0/quic-v1",
        ]);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.path("owner.key")
    }

    /// A command for this home, not started.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--home").arg(self.home()).args(words);
        command
            .env_remove("PACKNBACK_OWNER_KEY")
            .env_remove("PACKNBACK_HOME");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command with `--json`.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ran {
        self.run_with(words, None)
    }

    pub(crate) fn run_with<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
        input: Option<&[u8]>,
    ) -> Ran {
        let mut command = self.command(words);
        command.arg("--json");
        finish(command, input)
    }

    /// Runs a command that must end with 0.
    #[track_caller]
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Value {
        self.run(words).ends_with(0).json()
    }

    #[track_caller]
    pub(crate) fn backup(&self, tree: &Path) -> Value {
        self.ok([OsStr::new("backup"), tree.as_os_str()])
    }

    /// Restores a snapshot to a fresh folder and compares the tree.
    #[track_caller]
    pub(crate) fn check(&self, snapshot: &str, tree: &Path, name: &str) {
        let target = self.path(name);
        let (what, key) = (OsStr::new(snapshot), self.key());
        self.run([
            OsStr::new("restore"),
            what,
            "--target".as_ref(),
            target.as_os_str(),
            "--owner-key".as_ref(),
            key.as_os_str(),
        ])
        .ends_with(0);
        same(tree, &restored(&target, tree));
    }

    /// Process id of the node, if one answers.
    pub(crate) fn node_pid(&self) -> i32 {
        i32::try_from(self.ok(["status"])["pid"].as_u64().unwrap()).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A node that is gone already cannot be stopped; the folder goes anyway.
        drop(self.command(["node", "stop"]).status());
    }
}

pub(crate) fn finish(mut command: Command, input: Option<&[u8]>) -> Ran {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // A program that refuses early does not read all of it.
        drop(pipe.write_all(input));
    }
    ran(child)
}

pub(crate) fn ran(child: Child) -> Ran {
    use std::os::unix::process::ExitStatusExt;
    let output = child.wait_with_output().unwrap();
    let code = output
        .status
        .code()
        .unwrap_or_else(|| -output.status.signal().unwrap());
    Ran {
        code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Where a tree is below a target.
pub(crate) fn restored(target: &Path, tree: &Path) -> PathBuf {
    target.join(tree.strip_prefix("/").unwrap())
}

#[track_caller]
pub(crate) fn same(left: &Path, right: &Path) {
    let found = compare_trees(left, right).unwrap();
    assert!(
        found.differences.is_empty(),
        "{:#?}",
        found
            .differences
            .iter()
            .take(10)
            .map(|d| (String::from_utf8_lossy(&d.path), &d.what))
            .collect::<Vec<_>>()
    );
    assert!(found.entries > 0);
}

/// Every file below a folder with its content's hash, except what runs on by itself.
pub(crate) fn state_of(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_file() {
                let hash = blake3::hash(&std::fs::read(&path).unwrap_or_default());
                found.push((path, hash.to_hex().to_string()));
            }
        }
    }
    found.sort();
    found
}
