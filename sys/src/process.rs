//! What a daemon takes over from whoever starts it, and gets rid of.
//!
//! A node is started by whatever command needs it first: from cron with a lock on descriptor 9, from a
//! script under `nice` and `ulimit -t`, from a folder that is going away. It lives on long after that,
//! and must not keep, hold or suffer any of it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::RawFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Files a node may have open where nobody allows more: tables, friends, programs.
const FILES: u64 = 524_288;
/// More than this need not be asked for.
const FILES_MOST: u64 = 1 << 20;
/// What programs are built for.
const STACK: u64 = 8 << 20;
/// Descriptors looked at where `/proc` is not to be had.
const DESCRIPTORS: RawFd = 65_536;
/// Limits that end or starve a process that lives long. None of them has a use for a node.
const SHORT_LIVES: [(Resource, &str); 5] = [
    (Resource::Cpu, "processor time"),
    (Resource::Fsize, "size of a file"),
    (Resource::As, "memory (address space)"),
    (Resource::Data, "memory (data)"),
    (Resource::Rss, "memory (resident)"),
];
/// Signals that cannot be caught, or not sensibly.
const NOT_CAUGHT: [i32; 5] = [
    nix::libc::SIGKILL,
    nix::libc::SIGSTOP,
    nix::libc::SIGILL,
    nix::libc::SIGFPE,
    nix::libc::SIGSEGV,
];
const LAST_SIGNAL: i32 = 64;

/// For the first line of a daemon, however it was started: closes whatever the caller had open beside
/// input, output and errors, lets signals through, keeps what it writes to itself, and asks for as many
/// open files as it may have. To be called before there is any other thread or open file.
pub fn begin_daemon() {
    close_inherited();
    // Only this thread exists, so all threads to come take it over.
    let unblocked = SigSet::empty().thread_set_mask();
    rustix::process::umask(Mode::from_raw_mode(0o077));
    if let Err(error) = unblocked {
        crate::say::note(&format!("note: some signals stay blocked: {error}"));
    }
    raise(Resource::Nofile, FILES_MOST);
}

/// For the short-lived process between a command and the daemon it starts: leaves the caller's session
/// and terminal, priorities, limits, processors, ignored signals and working folder. What needs rights that
/// this user lacks stays as it is; [`inherited`] tells.
///
/// # Errors
/// When the working folder cannot be left.
pub fn leave_caller() -> io::Result<()> {
    close_inherited();
    // Fails only for a process that leads a group, and then it leads its own.
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(0o077));
    std::env::set_current_dir("/")?;
    forget_ignored_signals();
    // Each of these as far as the system allows it.
    let _ = rustix::process::setpriority_process(None, 0);
    usual_disk_priority();
    every_processor();
    drop(std::fs::write("/proc/self/oom_score_adj", "0"));
    for (limit, _) in SHORT_LIVES {
        let none = Rlimit {
            current: None,
            maximum: None,
        };
        if setrlimit(limit, none).is_err() {
            raise(limit, u64::MAX);
        }
    }
    let files = Rlimit {
        current: Some(FILES),
        maximum: Some(FILES),
    };
    let few = getrlimit(Resource::Nofile)
        .maximum
        .is_some_and(|most| most < FILES);
    if !few || setrlimit(Resource::Nofile, files).is_err() {
        raise(Resource::Nofile, FILES_MOST);
    }
    raise(Resource::Nproc, u64::MAX);
    raise(Resource::Stack, STACK);
    Ok(())
}

/// What of the caller's environment a daemon needs: where programs and texts are, not what a shell was told.
pub fn kept_variables() -> impl Iterator<Item = (OsString, OsString)> {
    const KEPT: [&str; 14] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "MALLOC_ARENA_MAX",
        "RUST_BACKTRACE",
        "PACKNBACK_LOG",
        "PACKNBACK_GRACE_DAYS",
        "PACKNBACK_SCRUB_DAYS",
    ];
    std::env::vars_os().filter(|(name, _)| {
        let locale = name.as_encoded_bytes().starts_with(b"LC_");
        locale || KEPT.iter().any(|kept| OsStr::new(kept) == name)
    })
}

/// What this process still suffers from whoever started it, for its log.
#[must_use]
pub fn inherited() -> Vec<String> {
    let mut found = Vec::new();
    for (limit, name) in SHORT_LIVES {
        if let Some(most) = getrlimit(limit).current {
            found.push(format!("a limit on {name}: {most}"));
        }
    }
    match rustix::process::getpriority_process(None) {
        Ok(nice) if nice > 0 => found.push(format!("a low priority (nice {nice})")),
        _ => {}
    }
    found
}

/// Whether a signal was set to be ignored before this program began, as `nohup` does.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    u32::try_from(signal)
        .ok()
        .and_then(|signal| signal.checked_sub(1))
        .and_then(|bit| 1u64.checked_shl(bit))
        .is_some_and(|bit| ignored & bit != 0)
}

fn close_inherited() {
    let first = 3;
    let listed: Option<Vec<RawFd>> = std::fs::read_dir("/proc/self/fd").ok().map(|entries| {
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter_map(|name| name.to_str().and_then(|name| name.parse().ok()))
            .collect()
    });
    let all = listed.unwrap_or_else(|| (first..DESCRIPTORS).collect());
    for descriptor in all.into_iter().filter(|number| *number >= first) {
        // The one the list was read through is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// A signal that is caught goes back to what the system does with it when another program takes over; one
/// that is ignored stays ignored for ever.
fn forget_ignored_signals() {
    for signal in (1..=LAST_SIGNAL).filter(|signal| !NOT_CAUGHT.contains(signal)) {
        // Those the C library keeps for itself cannot be had, nor ignored.
        drop(signal_hook::flag::register(
            signal,
            Arc::new(AtomicBool::new(false)),
        ));
    }
}

/// There is a program for it on nearly every machine; without it, disk priority follows the processor's.
fn usual_disk_priority() {
    let own = std::process::id().to_string();
    let mut command = Command::new("ionice");
    command.args(["-c", "0", "-p", &own]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Not there, or not allowed.
    drop(command.status());
}

fn every_processor() {
    let mut all = CpuSet::new();
    for processor in 0..CpuSet::MAX_CPU {
        all.set(processor);
    }
    // The system takes those there are.
    let _ = sched_setaffinity(None, &all);
}

/// Raises a limit as far as it goes, up to `most`.
fn raise(limit: Resource, most: u64) {
    let now = getrlimit(limit);
    let Some(current) = now.current else { return };
    let wanted = now.maximum.map_or(most, |hard| hard.min(most));
    if current < wanted {
        let current = (now.maximum.is_some() || wanted < u64::MAX).then_some(wanted);
        // It is only a wish.
        let _ = setrlimit(
            limit,
            Rlimit {
                current,
                maximum: now.maximum,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_a_daemon_needs_is_kept_of_the_environment() {
        // Set for every test process.
        assert!(std::env::var_os("PATH").is_some());
        let kept: Vec<OsString> = kept_variables().map(|(name, _)| name).collect();
        assert!(kept.contains(&"PATH".into()));
        assert!(!kept.contains(&"CARGO_MANIFEST_DIR".into()));
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    }

    #[test]
    fn a_signal_that_is_ignored_is_seen() {
        // Programs in this language begin with it ignored.
        assert!(is_ignored(nix::libc::SIGPIPE));
        assert!(!is_ignored(nix::libc::SIGTERM));
        assert!(!is_ignored(0) && !is_ignored(-1) && !is_ignored(200));
    }
}
