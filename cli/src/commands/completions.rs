//! `packnback completions SHELL`.

use std::io::{IsTerminal, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Exit, Outcome};
use crate::render::{Voice, output_failure};

/// Runs the command.
///
/// # Errors
/// When nobody reads it.
pub fn run(voice: Voice, shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "packnback", &mut script);
    std::io::stdout()
        .lock()
        .write_all(&script)
        .map_err(|e| output_failure(&e))?;
    if std::io::stderr().is_terminal() {
        voice.note("Where this goes: packnback completions --help");
    }
    Ok(Exit::Done)
}
