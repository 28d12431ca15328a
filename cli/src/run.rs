//! From the command line to the command, and from its outcome to the exit code.

use std::ffi::OsString;

use clap::error::ErrorKind;
use packnback_sys::say;

use crate::args::{self, Cli, Command, OrderCommand};
use crate::commands::{self, Context};
use crate::exit::{Exit, Failure, Outcome};
use crate::home::Home;
use crate::render::{Voice, output_failure};
use crate::spawn::{COMPANION_WORD, LAUNCH_WORD, become_companion, become_stage, launch_and_leave};

/// Runs the program.
pub fn run(words: impl Iterator<Item = OsString>) -> Exit {
    let words: Vec<OsString> = words.collect();
    if let Some(exit) = internal(&words) {
        return exit;
    }
    run_with(words.clone(), |cli, voice| command(cli, voice, &words))
}

/// Understands the words and tells how it ended; `carry_out` does what they ask for.
pub fn run_with(words: Vec<OsString>, carry_out: impl FnOnce(Cli, Voice) -> Outcome) -> Exit {
    crate::system::harden();
    let json_wanted = wants_json(&words);
    let cli = match args::parse(words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, json_wanted),
    };
    let voice = Voice {
        json: cli.global.json,
        quiet: cli.global.quiet,
        verbose: cli.global.verbose,
        done: false,
    };
    match carry_out(cli, voice) {
        Ok(exit) => {
            never_mute(exit, voice);
            exit
        }
        Err(failure) => {
            report(&failure, voice);
            failure.exit
        }
    }
}

/// `-q` leaves out what is as it should be, not what a person has to know.
fn never_mute(exit: Exit, voice: Voice) {
    let what = match exit {
        Exit::Incomplete => "done, but some files are missing or not as they should be",
        Exit::NotSafe => "not safe yet: fewer friends have it than asked for",
        Exit::Alarm => {
            "done, but there is an alarm: somebody else may be using this device's key (packnback status)"
        }
        _ => return,
    };
    if voice.quiet && !say::was_anything_noted() {
        voice.problem(&format!("packnback: {what}"));
    }
}

/// What this program starts itself for.
fn internal(words: &[OsString]) -> Option<Exit> {
    let rest = words.iter().skip(2).cloned();
    let done = match words.get(1)?.to_str()? {
        LAUNCH_WORD => launch_and_leave(rest),
        COMPANION_WORD => become_companion(rest),
        _ => return None,
    };
    Some(match done {
        Ok(()) => Exit::Done,
        Err(error) => {
            say::note(&error.to_string());
            Exit::Failed
        }
    })
}

/// Whether `--json` is among words that could not be understood as a whole.
fn wants_json(words: &[OsString]) -> bool {
    let mut options = words.iter().skip(1).take_while(|word| *word != "--");
    options.any(|word| word == "--json")
}

/// Help that was asked for, or what is wrong with the words.
fn usage(error: &clap::Error, json: bool) -> Exit {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return match error.print() {
            Err(lost) if lost.kind() != std::io::ErrorKind::BrokenPipe => {
                report(&output_failure(&lost), Voice::default());
                Exit::Failed
            }
            _ => Exit::Done,
        };
    }
    if json {
        let text = error.render().to_string();
        let what = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        let failure = Failure::usage(what)
            .safe("Nothing was done.")
            .next("See what can be said: packnback help");
        report(
            &failure,
            Voice {
                json,
                ..Voice::default()
            },
        );
    } else {
        // Nobody can be told, and nothing was done.
        drop(error.print());
    }
    Exit::Usage
}

fn command(cli: Cli, voice: Voice, words: &[OsString]) -> Outcome {
    let home = || Home::find(cli.global.home.as_deref());
    let context = || {
        Ok::<_, Failure>(Context {
            home: home()?,
            voice,
        })
    };
    match cli.command {
        Command::Init(args) => commands::init::run(&context()?, &args),
        Command::Backup(args) => commands::backup::run(&context()?, args),
        Command::Snapshots { all, set } => {
            commands::snapshots::run(&context()?, all, set.as_deref())
        }
        Command::Ls(args) => commands::ls::run(&context()?, &args),
        Command::Restore(args) => commands::restore::run(&context()?, args),
        Command::Recover(args) => commands::recover::run(&context()?, &args),
        Command::Status {
            require,
            ack,
            addresses,
        } => commands::status::run(&context()?, require, &ack, addresses),
        Command::Forget(args) => commands::forget::run(&context()?, &args),
        // Checking and signing a request must not need, nor touch, a home.
        Command::Order(OrderCommand::Show { file }) => commands::order::show(voice, &file),
        Command::Order(OrderCommand::Sign(args)) => commands::order::sign(voice, &args),
        Command::Order(args) => commands::order::run(&context()?, args),
        Command::Policy(args) => commands::policy::run(&context()?, args),
        Command::Stats(args) => commands::stats::run(&context()?, &args),
        Command::Host(args) => commands::host::run(&context()?, args),
        Command::Device(args) => commands::device::run(&context()?, args),
        Command::Key(args) => commands::key::run(&context()?, args),
        Command::Export(args) => commands::export::run(&context()?, &args),
        Command::Peer(args) => commands::peer::run(&context()?, args),
        Command::Node(args) => commands::node::run(&context()?, args),
        // Played by a program of its own: attackers have no business in this one.
        Command::Demo { .. } | Command::Drill(_) => Err(become_stage(words)),
        Command::Version => commands::version::run(voice),
        Command::Completions { shell } => commands::completions::run(voice, shell),
        Command::Man { dir } => commands::man::run(voice, &dir),
    }
}

/// Tells of a failure on standard error: text, or with `--json` one line of JSON.
fn report(failure: &Failure, voice: Voice) {
    if failure.what.is_empty() {
        return;
    }
    if voice.json {
        let value = serde_json::json!({
            "error": {
                "code": failure.code,
                "exit": failure.exit.number(),
                "message": failure.what,
                "safe": failure.safe,
                "next": failure.next,
            }
        });
        say::note(&value.to_string());
    } else {
        say::note(&format!("packnback: {failure}"));
    }
}
