//! Nodes on this machine, each with a home of its own, for the demo and the drill. Whatever happens, they end with the
//! program and their folders are removed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use packnback_cli::parts::{
    COMPANION_WORD, Cancel, Client, Exit, Failure, Home, Outcome, find_node_program, log_tail,
    render::Voice, system,
};
use packnback_sys::files::private_folder;
use packnback_sys::say::note;
use serde_json::Value;

const START_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];

/// A running node with a home of its own.
pub(crate) struct Node {
    /// Name of the person or machine.
    pub(crate) name: String,
    home: PathBuf,
    child: Child,
    addresses: Vec<String>,
}

impl Node {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// An address with its identity.
    pub(crate) fn address(&self) -> String {
        self.addresses.first().cloned().unwrap_or_default()
    }

    /// Every address with its identity.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The folders of the node.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub(crate) fn folders(&self) -> Outcome<Home> {
        Home::below(&self.home)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn client(&self) -> Outcome<Client> {
        Ok(Client::connect(&self.folders()?.socket())?)
    }

    fn kill(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a command that a [`World`] ran ended.
pub(crate) struct Ran {
    /// How.
    pub(crate) status: ExitStatus,
    /// The last line of standard output, if it is JSON.
    pub(crate) result: Option<Value>,
    /// The most memory it was seen to have, in bytes.
    pub(crate) peak_memory: u64,
}

/// What a person asked for, whatever is played.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The program that was called.
    pub(crate) packnback: &'a Path,
    /// How to talk.
    pub(crate) voice: Voice,
    /// Leave the folders behind.
    pub(crate) keep: bool,
}

/// The folder everything is below.
pub(crate) struct World {
    /// The program people call.
    packnback: PathBuf,
    /// The command it is for: part of the folder's name, and the code of its failures.
    what: &'static str,
    folder: PathBuf,
    keep: bool,
    cancel: Cancel,
}

impl World {
    /// Makes the folder. Listens for Ctrl-C.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make(setting: Setting<'_>, what: &'static str) -> Outcome<Self> {
        let cancel = system::cancel_and_clean_up()?;
        let top = std::env::temp_dir();
        let made = private_folder(&top, &format!("packnback-{what}-"));
        let folder = made.map_err(|e| Failure::file("make a folder in", &top, &e))?;
        Ok(Self {
            packnback: setting.packnback.to_owned(),
            what,
            folder,
            keep: setting.keep,
            cancel,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program of packnback as a process that ends with this one.
    pub(crate) fn companion(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.packnback);
        command.arg(COMPANION_WORD).arg(program);
        command
    }

    /// Whether somebody pressed Ctrl-C.
    ///
    /// # Errors
    /// If so.
    pub(crate) fn check(&self) -> Outcome<()> {
        if self.cancel.is_cancelled() {
            let failure =
                Failure::failed("interrupted", format!("the {} was interrupted", self.what));
            return Err(Failure {
                exit: Exit::Interrupted,
                ..failure
            }
            .safe("Its nodes are stopped and its folders removed."));
        }
        Ok(())
    }

    /// Starts a node on loopback ports the system chooses.
    pub(crate) fn start(&mut self, name: &str) -> Outcome<Node> {
        self.start_with(name, &[])
    }

    /// [`World::start`] with variables of its environment.
    pub(crate) fn start_with(&mut self, name: &str, variables: &[(&str, &str)]) -> Outcome<Node> {
        self.check()?;
        let folder = self.folder.join(name);
        let home = Home::below(&folder)?;
        home.create()?;
        let failed = |e: io::Error| Failure::failed(self.what, format!("cannot start a node: {e}"));
        let log = fs::File::create(home.log()).map_err(failed)?;
        let mut command = self.companion(&find_node_program()?);
        command.arg("--home").arg(&folder);
        for address in LISTEN {
            command.args(["--listen", address]);
        }
        command
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log);
        let child = command.spawn().map_err(failed)?;
        let mut node = Node {
            name: name.to_owned(),
            home: folder,
            child,
            addresses: Vec::new(),
        };
        node.addresses = self.wait_for(&mut node, &home)?;
        Ok(node)
    }

    fn wait_for(&self, node: &mut Node, home: &Home) -> Outcome<Vec<String>> {
        let started = Instant::now();
        loop {
            self.check()?;
            let ended = matches!(node.child.try_wait(), Ok(Some(_)));
            match Client::connect(&home.socket()) {
                Ok(client) if !client.hello().listen.is_empty() => {
                    return Ok(client.hello().listen.clone());
                }
                Err(error) if !error.is_not_running() => return Err(error.into()),
                _ if ended || started.elapsed() > START_DEADLINE => {
                    let tail = log_tail(&home.log()).unwrap_or_default();
                    return Err(Failure::failed(
                        self.what,
                        format!("the node of {} did not come up:\n{tail}", node.name),
                    ));
                }
                _ => std::thread::sleep(POLL),
            }
        }
    }

    /// Runs `packnback` as a person would, and reads what it prints for programs.
    ///
    /// # Errors
    /// When it cannot run or does not end with 0.
    pub(crate) fn command(
        &self,
        node: &Node,
        words: &[&str],
        input: Option<&str>,
    ) -> Outcome<Value> {
        let ran = self.start_and_wait(node, words, input, Stdio::inherit())?;
        if !ran.status.success() {
            return Err(Failure::failed(
                self.what,
                format!("`packnback {}` ended with {}", words.join(" "), ran.status),
            ));
        }
        ran.result.ok_or_else(|| {
            let command = words.first().copied().unwrap_or_default();
            unexpected(self.what, command)
        })
    }

    /// [`World::command`] for one that may fail, and then says nothing to the person.
    ///
    /// # Errors
    /// When it cannot run.
    pub(crate) fn run(&self, node: &Node, words: &[&str]) -> Outcome<Ran> {
        self.start_and_wait(node, words, None, Stdio::null())
    }

    fn start_and_wait(
        &self,
        node: &Node,
        words: &[&str],
        input: Option<&str>,
        notes: Stdio,
    ) -> Outcome<Ran> {
        self.check()?;
        let shown = words.first().copied().unwrap_or_default();
        let failed = |e: io::Error| {
            Failure::failed(self.what, format!("`packnback {shown}` could not run: {e}"))
        };
        let mut command = Command::new(&self.packnback);
        command
            .arg("--home")
            .arg(&node.home)
            .arg("--json")
            .args(words);
        command.env_remove(packnback_cli::parts::OWNER_KEY_VARIABLE);
        command
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(notes);
        let mut child = command.spawn().map_err(failed)?;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
            pipe.write_all(input.as_bytes()).map_err(failed)?;
        }
        let mut stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let reader = std::thread::spawn(move || io::read_to_string(&mut stdout));
        let mut peak_memory = 0;
        let status = loop {
            peak_memory = memory_peak(child.id()).unwrap_or(0).max(peak_memory);
            match child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if self.cancel.is_cancelled() => {
                    drop(child.kill());
                    drop(child.wait());
                    self.check()?;
                }
                None => std::thread::sleep(POLL),
            }
        };
        let text = reader
            .join()
            .map_err(|_| unexpected(self.what, shown))?
            .map_err(failed)?;
        self.check()?;
        let last = text.lines().next_back();
        let result = last.and_then(|line| serde_json::from_str(line).ok());
        Ok(Ran {
            status,
            result,
            peak_memory,
        })
    }

    /// What a thief or a fire does.
    pub(crate) fn lose(&self, mut node: Node) -> Outcome<()> {
        self.check()?;
        node.kill();
        fs::remove_dir_all(&node.home).map_err(|e| Failure::file("delete", &node.home, &e))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            note(&format!(
                "could not remove {}: {error}",
                self.folder.display()
            ));
        }
    }
}

/// The most memory a process has had so far, in bytes; nothing if it has ended.
pub(crate) fn memory_peak(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// A command printed something that is not what its documentation says.
pub(crate) fn unexpected(what: &'static str, command: &str) -> Failure {
    Failure::failed(
        what,
        format!("`packnback {command}` printed something unexpected"),
    )
}

/// A text in the output of a command, empty if it is not there.
pub(crate) fn text(value: &Value, name: &str) -> String {
    value
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A number in the output of a command, 0 if it is not there.
pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}
