//! The nodes of the demo. Whatever happens, they end with it and their folders are removed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backup::Cancel;
use crate::client::Client;
use crate::exit::{Exit, Failure, Outcome};
use crate::home::Home;
use crate::spawn::{COMPANION_WORD, find_node_program, log_tail};
use crate::system;

const START_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];

/// A running node with a home of its own.
pub(super) struct Node {
    /// Name of the person.
    pub(super) name: String,
    home: PathBuf,
    child: Child,
    addresses: Vec<String>,
}

impl Node {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// An address with its identity.
    pub(super) fn address(&self) -> String {
        self.addresses.first().cloned().unwrap_or_default()
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

/// The folder everything of the demo is below.
pub(super) struct World {
    folder: PathBuf,
    keep: bool,
    cancel: Cancel,
}

impl World {
    pub(super) fn make(keep: bool) -> Outcome<Self> {
        let cancel = system::cancel_and_clean_up()?;
        let folder = std::env::temp_dir().join(format!("packnback-demo-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| Failure::file("make", &folder, &e))?;
        Ok(Self {
            folder,
            keep,
            cancel,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn check(&self) -> Outcome<()> {
        if self.cancel.is_cancelled() {
            let failure = Failure::failed("interrupted", "the demo was interrupted");
            return Err(Failure {
                exit: Exit::Interrupted,
                ..failure
            }
            .safe("Its nodes are stopped and its folders removed."));
        }
        Ok(())
    }

    /// Starts a node on loopback ports the system chooses.
    pub(super) fn start(&mut self, name: &str) -> Outcome<Node> {
        self.check()?;
        let folder = self.folder.join(name);
        let home = Home::below(&folder)?;
        home.create()?;
        let failed = |e: io::Error| Failure::failed("demo", format!("cannot start a node: {e}"));
        let log = fs::File::create(home.log()).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .arg(COMPANION_WORD)
            .arg(find_node_program()?)
            .arg("--home")
            .arg(&folder);
        for address in LISTEN {
            command.args(["--listen", address]);
        }
        command
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
                        "demo",
                        format!("the node of {} did not come up:\n{tail}", node.name),
                    ));
                }
                _ => std::thread::sleep(POLL),
            }
        }
    }

    /// Runs this program as a person would, and reads what it prints for programs.
    pub(super) fn command(
        &self,
        node: &Node,
        words: &[&str],
        input: Option<&str>,
    ) -> Outcome<Value> {
        self.check()?;
        let shown = words.first().copied().unwrap_or_default();
        let failed = |e: io::Error| {
            Failure::failed("demo", format!("`packnback {shown}` could not run: {e}"))
        };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .arg("--home")
            .arg(&node.home)
            .arg("--json")
            .args(words);
        command.env_remove(crate::secrets::OWNER_KEY_VARIABLE);
        command
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
            pipe.write_all(input.as_bytes()).map_err(failed)?;
        }
        let mut stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let reader = std::thread::spawn(move || io::read_to_string(&mut stdout));
        let status = loop {
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
            .map_err(|_| super::unexpected(shown))?
            .map_err(failed)?;
        self.check()?;
        if !status.success() {
            return Err(Failure::failed(
                "demo",
                format!("`packnback {}` ended with {status}", words.join(" ")),
            ));
        }
        text.lines()
            .next_back()
            .and_then(|line| serde_json::from_str(line).ok())
            .ok_or_else(|| super::unexpected(shown))
    }

    /// What a thief or a fire does.
    pub(super) fn lose(&self, mut node: Node) -> Outcome<()> {
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
            eprintln!("could not remove {}: {error}", self.folder.display());
        }
    }
}
