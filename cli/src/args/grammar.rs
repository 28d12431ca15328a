//! The definitions as a whole: what every command shares is listed once.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::Cli;

/// The first commands, as README.md, the guide and the help name them.
pub const FIRST_STEPS: &[(&str, &str)] = &[
    (
        "packnback init",
        "shows the 24 words: write them down, they are the only key",
    ),
    ("packnback backup ~/Documents", "starts the node by itself"),
    ("packnback status", "the first line says whether it is safe"),
    (
        "packnback peer invite --quota 200G",
        "send the line it prints to a friend",
    ),
    (
        "packnback peer accept",
        "your friend runs this, and pastes the line",
    ),
    (
        "packnback backup ~/Documents --wait 1",
        "done when your friend has confirmed all of it",
    ),
    ("packnback ls latest Documents --words", "what is in it"),
    (
        "packnback restore latest --target /tmp/back --words",
        "all of it comes back below /tmp/back",
    ),
];

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some files are missing,
4 not safe yet (too few receipts), 5 refused (key, passphrase, owner or policy),
6 done, but there is an alarm (packnback status), 130 ended by Ctrl-C.";

const SHARED: &str =
    "`packnback help` lists the options that go with every command (--home, --json, -q, -v).";

/// What stands below the list of commands.
pub(super) fn after_help() -> String {
    let mut text = String::from("A first backup:\n");
    for (command, what) in FIRST_STEPS {
        for part in ["  ", command, "\n      ", what, "\n"] {
            text.push_str(part);
        }
    }
    text.push('\n');
    text.push_str(EXIT_CODES);
    text
}

/// The definitions as they are shown and parsed: options of every command work everywhere, and are
/// listed by `packnback help` only.
#[must_use]
pub fn grammar() -> Command {
    let command = Cli::command();
    // What a command defines itself is not overwritten by what it inherits.
    let shared: Vec<Arg> = command
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .map(|arg| arg.clone().hide(true))
        .collect();
    command.mut_subcommands(|sub| with_hint(sub.args(&shared)))
}

fn with_hint(command: Command) -> Command {
    let hint = match command.get_after_help() {
        Some(own) => format!("{own}\n\n{SHARED}"),
        None => SHARED.to_owned(),
    };
    command.after_help(hint).mut_subcommands(with_hint)
}

/// Parses a command line, with the name of the program first.
///
/// # Errors
/// What is wrong with it, or the help that was asked for.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut grammar = grammar();
    let found = grammar.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&found).map_err(|error| error.format(&mut grammar))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn help_of(words: &[&str]) -> String {
        let words = words.iter().map(OsString::from);
        let words = std::iter::once("packnback".into()).chain(words);
        parse(words).unwrap_err().render().to_string()
    }

    #[test]
    fn the_definitions_hold_together() {
        grammar().debug_assert();
    }

    #[test]
    fn options_of_every_command_are_listed_once() {
        let top = help_of(&["help"]);
        assert!(top.contains("--json") && top.contains("--home"), "{top}");
        for words in [
            &["backup", "--help"][..],
            &["help", "backup"],
            &["peer", "--help"],
            &["peer", "invite", "-h"],
            &["completions", "-h"],
        ] {
            let text = help_of(words);
            assert!(text.contains("`packnback help` lists"), "{text}");
            for option in ["  --json", "--home <DIR>", "--verbose", "--quiet"] {
                assert!(!text.contains(option), "{words:?} {option}:\n{text}");
            }
        }
    }

    #[test]
    fn options_of_every_command_work_everywhere() {
        for words in [
            "packnback --json -q -v --home /h peer list",
            "packnback peer --json -q -v --home /h list",
            "packnback peer list --json -q -v --home /h",
        ] {
            let global = parse(words.split(' ').map(OsString::from)).unwrap().global;
            assert!(global.json && global.quiet, "{words}");
            assert_eq!(global.verbose, 1, "{words}");
            assert_eq!(global.home.as_deref(), Some("/h".as_ref()), "{words}");
        }
    }

    #[test]
    fn the_first_steps_are_commands() {
        for (command, _) in FIRST_STEPS {
            parse(command.split(' ').map(OsString::from)).unwrap();
        }
    }
}
