//! The daemon: see `packnback_node`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Parser as _;
use packnback_node::config::Config;
use packnback_sys::process::begin_daemon;
use packnback_sys::say::note;

/// Tells the allocator of glibc how many arenas to use.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Objects of a few MiB pass from thread to thread; with an arena per thread each keeps some of
/// that memory for itself (measured: 157 MB at the peak of an upload, with one arena 114 MB, at no
/// cost in time). The setting is read before `main`, so the program starts itself anew.
fn with_one_arena() {
    if std::env::var_os(ARENAS).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let mut again = Command::new(program);
        // Returns only if it failed; then it goes on as it is.
        let error = again
            .args(std::env::args_os().skip(1))
            .env(ARENAS, "1")
            .exec();
        note(&format!(
            "packnback-node: memory may grow, {ARENAS} could not be set: {error}"
        ));
    }
}

fn main() -> ExitCode {
    begin_daemon();
    with_one_arena();
    let config = Config::parse();
    packnback_node::log::init(&config);
    let done = if config.read_only {
        packnback_node::reader::run(&config)
    } else {
        packnback_node::runtime::run(&config)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("packnback-node: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
