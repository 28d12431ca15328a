//! Reaching the local node, and starting it when nobody answers: nobody has to learn about daemons.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use packnback_sys::process::{kept_variables, leave_caller};
use packnback_sys::say::line;
use rustix::process::Pid;

use crate::client::{Client, ClientError};
use crate::exit::{Failure, Outcome};
use crate::home::Home;

/// Name of the daemon's program.
pub const NODE_PROGRAM: &str = "packnback-node";
/// Name of the program that plays the demo and the drills.
const STAGE_PROGRAM: &str = "packnback-stage";
/// Word after the program's name that makes it launch the daemon and end.
pub const LAUNCH_WORD: &str = "internal-launch-node";
/// Word that makes the program become a daemon that ends with its parent (for the demo).
pub const COMPANION_WORD: &str = "internal-companion-node";
/// A store that was cut off may take a while to open.
const START_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(15);
const LOG_TAIL: u64 = 1500;

/// Connects to the node of a home; starts it if nobody answers.
///
/// # Errors
/// When it does not answer and cannot be started either.
pub fn reach_node(home: &Home) -> Outcome<Client> {
    match Client::connect(&home.socket()) {
        Err(error) if nobody_there(&error) && is_read_only(home) => start_reader(home),
        Err(error) if nobody_there(&error) => start_node(home, &[]),
        other => other.map_err(Failure::from),
    }
}

/// Whether nothing can be written where the node keeps its socket and lock.
fn is_read_only(home: &Home) -> bool {
    let access = rustix::fs::access(home.node_dir(), rustix::fs::Access::WRITE_OK);
    matches!(
        access,
        Err(rustix::io::Errno::ROFS | rustix::io::Errno::ACCESS)
    )
}

/// A node for this command alone, which only reads: it ends with the connection.
fn start_reader(home: &Home) -> Outcome<Client> {
    home.check_user()?;
    let program = find_node_program()?;
    let failed = |e: io::Error| {
        Failure::failed(
            "node-start",
            format!("cannot start {}: {e}", program.display()),
        )
        .safe("Nothing was changed.")
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let mut command = Command::new(&program);
    command
        .arg0(NODE_PROGRAM)
        .arg("--home")
        .arg(home.data_dir());
    command.args(["--read-only", "--log", "error"]);
    command
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null());
    drop(command.spawn().map_err(failed)?);
    // Else this process would hold the other end too, and never hear that it ended.
    drop(command);
    Client::over(ours).map_err(|e| {
        Failure::from(e)
            .next("The disk of the home cannot be written: what the node said is above.")
    })
}

/// Connects to the node of a home if it runs.
///
/// # Errors
/// When something answers that is no node of this version.
pub fn running_node(home: &Home) -> Outcome<Option<Client>> {
    match Client::connect(&home.socket()) {
        Err(error) if nobody_there(&error) => Ok(None),
        other => other.map(Some).map_err(Failure::from),
    }
}

/// Nobody listens, or who listened is just ending.
fn nobody_there(error: &ClientError) -> bool {
    error.is_not_running() || matches!(error, ClientError::Closed | ClientError::Io(_))
}

/// Starts the node of a home in the background and connects to it.
///
/// # Errors
/// When it does not come up; the message has the end of its log.
pub fn start_node(home: &Home, listen: &[String]) -> Outcome<Client> {
    home.create()?;
    let started = Instant::now();
    let mut node: Option<Pid> = None;
    loop {
        match Client::connect(&home.socket()) {
            Err(error) if nobody_there(&error) => {}
            other => return other.map_err(|e| late_failure(home, e)),
        }
        // Somebody who holds the lock and does not answer is about to, or about to end.
        let ended = node.is_some_and(|pid| !is_alive(pid));
        if !lock_is_held(home) {
            match node {
                None => node = Some(launch(home, listen)?),
                Some(_) if ended => return Err(not_started(home, true)),
                Some(_) => {}
            }
        }
        if started.elapsed() > START_DEADLINE {
            return Err(not_started(home, ended));
        }
        std::thread::sleep(POLL);
    }
}

fn is_alive(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

/// Whether some node holds this home: it keeps an exclusive lock on a file there.
#[must_use]
pub fn lock_is_held(home: &Home) -> bool {
    let Ok(file) = File::open(home.node_dir().join("node.lock")) else {
        return false;
    };
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
}

fn late_failure(home: &Home, error: ClientError) -> Failure {
    let failure = Failure::from(error);
    let next = format!("{} Its log: {}", failure.next, home.log().display());
    failure.next(next)
}

fn not_started(home: &Home, ended: bool) -> Failure {
    let how = if ended {
        "ended at once"
    } else {
        "did not answer in time"
    };
    let tail = log_tail(&home.log()).unwrap_or_default();
    let mut what = format!("the node ({NODE_PROGRAM}) {how}");
    if !tail.is_empty() {
        what.push_str("; the end of its log:\n    ");
        what.push_str(&tail.replace('\n', "\n    "));
    }
    let failure = Failure::failed("node-start", what)
        .safe("Nothing was changed; what it acknowledged before is on disk.");
    let full = ["No space left", "StorageFull", "disk full"]
        .iter()
        .any(|sign| tail.contains(sign));
    if full {
        failure.next(format!(
            "Free some space on the disk of {}, then try again.",
            home.data_dir().display()
        ))
    } else {
        failure.next(format!(
            "Look at {}, or try another folder with --home.",
            home.log().display()
        ))
    }
}

/// The last lines of the log.
///
/// # Errors
/// When it cannot be read.
pub fn log_tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len().saturating_sub(8);
    Ok(lines.get(last..).unwrap_or_default().join("\n"))
}

/// The daemon's program: beside this one, else in `PATH`.
///
/// # Errors
/// When it is in neither place.
pub fn find_node_program() -> Outcome<PathBuf> {
    find_program(NODE_PROGRAM, "node-program")
}

fn find_program(name: &str, code: &'static str) -> Outcome<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.iter().flat_map(|exe| {
        // Test programs live one folder below the programs.
        let dir = exe.parent();
        [dir, dir.and_then(Path::parent)]
            .into_iter()
            .flatten()
            .map(|dir| dir.join(name))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|dir| dir.join(name));
    let found = beside.chain(in_path).find(|file| file.is_file());
    found.ok_or_else(|| {
        Failure::failed(
            code,
            format!("the program {name} is neither beside this one nor in PATH"),
        )
        .safe("Nothing was changed.")
        .next("Install the programs of packnback into the same folder.")
    })
}

/// Starts the daemon through a short-lived process of its own session, so that it belongs to nobody:
/// closing the terminal does not end it.
fn launch(home: &Home, listen: &[String]) -> Outcome<Pid> {
    let node = find_node_program()?;
    let failed = |e: io::Error| {
        Failure::failed(
            "node-start",
            format!("cannot start {}: {e}", node.display()),
        )
        .safe("Nothing was changed.")
    };
    let own = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(own);
    command
        .arg(LAUNCH_WORD)
        .arg(&node)
        .arg(home.log())
        .arg(home.data_dir())
        .args(listen);
    let output = command.stdin(Stdio::null()).output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    pid.filter(|_| output.status.success()).ok_or_else(|| {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        failed(io::Error::other(why))
    })
}

/// The short-lived process: `NODE LOG HOME LISTEN...`. Prints the daemon's process id. What the caller had
/// open, was limited to or was told stays behind here.
///
/// # Errors
/// When the daemon's program cannot be started.
pub fn launch_and_leave(mut words: impl Iterator<Item = std::ffi::OsString>) -> io::Result<()> {
    let mut word = || words.next().ok_or(io::ErrorKind::InvalidInput);
    let (node, log, home) = (word()?, word()?, word()?);
    leave_caller()?;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(PathBuf::from(log))?;
    let mut command = Command::new(&node);
    command.arg0(NODE_PROGRAM).arg("--home").arg(home);
    for address in words {
        command.arg("--listen").arg(address);
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .env_clear()
        .envs(kept_variables());
    line(&command.spawn()?.id().to_string())
}

/// Becomes the program named, which is killed when the process that started this one ends.
///
/// # Errors
/// When it cannot be started; else this does not return.
pub fn become_companion(mut words: impl Iterator<Item = std::ffi::OsString>) -> io::Result<()> {
    let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let name = Path::new(&program).file_name().map(ToOwned::to_owned);
    let mut command = Command::new(&program);
    command.arg0(name.unwrap_or(program)).args(words);
    Err(command.exec())
}

/// Becomes the program that plays the demo and the drills, and hands on all the words this one was given. Returns only
/// when that cannot be started.
pub fn become_stage(words: &[std::ffi::OsString]) -> Failure {
    let program = match find_program(STAGE_PROGRAM, "stage-program") {
        Ok(program) => program,
        Err(failure) => return failure,
    };
    let failed = |e: io::Error| {
        Failure::failed(
            "stage-start",
            format!("cannot start {}: {e}", program.display()),
        )
        .safe("Nothing was changed.")
    };
    match std::env::current_exe() {
        Ok(own) => {
            let mut command = Command::new(&program);
            failed(command.arg(own).args(words.iter().skip(1)).exec())
        }
        Err(error) => failed(error),
    }
}
