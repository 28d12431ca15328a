//! From the words on the command line to what is played: `PACKNBACK WORDS...` (the program that was called, and what it
//! was asked for), or `--attack FILE` for the attacker's own process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use packnback_cli::parts::{Cli, Command, DrillCommand, Exit, Failure, Outcome, render::Voice};
use packnback_cli::run_with;
use packnback_node::config::Config;
use packnback_sys::process::begin_daemon;
use packnback_sys::say::note;

use crate::attack::ATTACK_WORD;
use crate::staging::Setting;
use crate::{attack, demo, drill};

/// Runs the program with all its words, its own name first.
#[must_use]
pub fn run(mut words: Vec<OsString>) -> Exit {
    if words.len() < 3 {
        note(
            "packnback-stage: started by `packnback demo` and `packnback drill`, see `packnback help drill`",
        );
        return Exit::Usage;
    }
    let first = words.remove(1);
    match words.get(1) {
        Some(spec) if first == ATTACK_WORD => attack(Path::new(spec)),
        _ => {
            let packnback = PathBuf::from(first);
            run_with(words, |cli, voice| play(&packnback, cli, voice))
        }
    }
}

fn play(packnback: &Path, cli: Cli, voice: Voice) -> Outcome {
    let setting = |keep| Setting {
        packnback,
        voice,
        keep,
    };
    match cli.command {
        Command::Demo { dir, keep } => demo::run(setting(keep), dir),
        Command::Drill(DrillCommand::Ransomware { keep }) => drill::ransomware(setting(keep)),
        Command::Drill(DrillCommand::HostileFriend { scheme, keep }) => {
            drill::hostile_friend(setting(keep), &scheme)
        }
        _ => Err(Failure::usage(
            "packnback-stage plays the demo and the drills, and nothing else",
        )),
    }
}

/// The attacker is as long-lived and as hungry for files as a node, and logs as one.
fn attack(spec: &Path) -> Exit {
    begin_daemon();
    packnback_node::log::init(&Config::parse_from(["packnback-stage"]));
    match attack::run(spec) {
        Ok(()) => Exit::Done,
        Err(error) => {
            note(&format!("packnback-stage: {error:#}"));
            Exit::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(words: &[&str]) -> Exit {
        run(words.iter().map(Into::into).collect())
    }

    #[test]
    fn only_what_packnback_hands_on_is_played() {
        assert_eq!(ended(&["packnback-stage"]), Exit::Usage);
        assert_eq!(ended(&["packnback-stage", "demo"]), Exit::Usage);
        let handed_on = |word| ended(&["packnback-stage", "/nowhere/packnback", word]);
        assert_eq!(handed_on("version"), Exit::Usage);
        assert_eq!(handed_on("no-such-command"), Exit::Usage);
    }
}
