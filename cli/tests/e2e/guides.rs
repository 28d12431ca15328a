//! What README.md and the guides tell people to type works as it is written.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use packnback_cli::parts::{FIRST_STEPS, parse};

use crate::support::{Machine, finish, restored, same, state_of};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn texts() -> Vec<PathBuf> {
    let mut found = vec![top().join("README.md")];
    let entries = fs::read_dir(top().join("docs/guides")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    found.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "md")));
    found
}

/// The command lines of a text: in blocks, where a remark stands behind `#` or far to the right, and
/// between backticks.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
        } else if !block {
            prose.push_str(line);
            prose.push(' ');
        } else if let Some(at) = line.find("packnback ")
            && line[..at].chars().last().is_none_or(|before| before == ' ')
        {
            let line = line[at..].split(" #").next().unwrap();
            found.push(line.split("   ").next().unwrap().trim().to_owned());
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    found.extend(
        spans
            .filter(|span| span.starts_with("packnback "))
            .map(|span| span.trim().to_owned()),
    );
    found
}

/// As a shell takes it apart, as far as the texts need it.
fn words(command: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    for (at, part) in command.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.into());
        } else {
            words.extend(part.split_whitespace().map(OsString::from));
        }
    }
    words
}

fn is_name(command: &str, error: &clap::Error) -> bool {
    error.kind() == ErrorKind::MissingRequiredArgument && !command.contains('-')
}

#[test]
fn every_command_line_of_the_texts_is_one() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for path in texts() {
        for command in commands(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            match parse(words(&command)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::DisplayHelp => {}
                // A sentence about `packnback ls` names the command only.
                Err(error) if is_name(&command, &error) => {}
                Err(error) => wrong.push(format!("{}: {command}\n{error}", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "{seen} only");
}

#[test]
fn the_first_commands_are_the_same_everywhere() {
    for name in ["README.md", "docs/guides/friends.md"] {
        let text = fs::read_to_string(top().join(name)).unwrap();
        let all = commands(&text);
        let mut rest = all.iter();
        for (step, _) in FIRST_STEPS {
            assert!(
                rest.any(|command| command == step),
                "{name}: {step} is missing, or not in this order"
            );
        }
    }
}

/// `packnback ls latest Documents` from the home folder, and from anywhere else.
#[test]
fn a_path_is_found_as_people_name_it() {
    let machine = Machine::with_owner();
    let you = machine.path("you");
    let documents = you.join("Documents");
    fs::create_dir_all(documents.join("letters")).unwrap();
    fs::write(documents.join("letters/a"), b"a").unwrap();
    fs::create_dir_all(you.join("Pictures/letters")).unwrap();
    machine.backup(&documents);
    let key = machine.key().to_str().unwrap().to_owned();
    let from = |folder: &Path, words: &[&str]| {
        let mut command = machine.command(words);
        command.current_dir(folder).args(["--owner-key", &key]);
        finish(command, None)
    };
    let elsewhere = machine.path(".");
    let whole = documents.to_str().unwrap();
    for (folder, path) in [
        (&you, "Documents"),
        (&documents, "letters"),
        (&elsewhere, "Documents/letters"),
        (&elsewhere, "letters/a"),
        (&elsewhere, whole),
        (&elsewhere, whole.strip_prefix('/').unwrap()),
    ] {
        let listed = from(folder, &["ls", "latest", path]).ends_with(0);
        assert!(
            listed.stdout.contains("/you/Documents/letters/a\n"),
            "{listed:?}"
        );
        // Which one `latest` was is said beside the list.
        assert!(listed.stderr.contains("Snapshot "), "{listed:?}");
    }
    for path in ["/Documents", "etters", "Documents/none"] {
        from(&you, &["ls", "latest", path]).ends_with(1);
    }
    let back = machine.path("back");
    let target = ["--target", back.to_str().unwrap()];
    let restore = |what| from(&elsewhere, &["restore", what, target[0], target[1]]);
    restore("latest:Documents").ends_with(0);
    same(&documents, &restored(&back, &documents));
    // In two saved folders: both are named, and nothing is written.
    machine.ok(["backup", whole, you.join("Pictures").to_str().unwrap()]);
    let before = state_of(&back);
    let refused = restore("latest:letters").ends_with(5);
    for named in ["/you/Documents/letters", "/you/Pictures/letters"] {
        assert!(refused.stderr.contains(named), "{refused:?}");
    }
    assert_eq!(state_of(&back), before);
    let dir = machine.path("raw");
    let export = from_without_key(&machine, &["export", "latest", dir.to_str().unwrap()]);
    assert!(export.stdout.contains("Snapshot ") && export.stdout.contains(" of test, made "));
}

fn from_without_key(machine: &Machine, words: &[&str]) -> crate::support::Ran {
    finish(machine.command(words), None).ends_with(0)
}

#[test]
fn manual_pages_and_completions_are_written() {
    let machine = Machine::blank();
    let dir = machine.path("man/man1");
    let made = machine.ok(["man", dir.to_str().unwrap()]);
    let pages = fs::read_dir(&dir).unwrap().count();
    assert_eq!(made["pages"], pages);
    let page = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    assert!(page("packnback.1").contains("\\-\\-json"));
    assert!(page("packnback-key-export.1").contains("\\-\\-epochs"));
    assert!(!page("packnback-key-export.1").contains("\\-\\-verbose"));
    let help = from_without_key(&machine, &["completions", "--help"]);
    assert!(
        help.stdout
            .contains("bash-completion/completions/packnback")
    );
    let script = from_without_key(&machine, &["completions", "bash"]);
    assert!(script.stdout.contains("--json") && script.stderr.is_empty());
    // Where it cannot be written nothing is said to be done.
    let file = machine.path("file");
    fs::write(&file, b"").unwrap();
    machine.run(["man", file.to_str().unwrap()]).ends_with(1);
}

#[test]
fn a_new_key_file_has_no_weak_passphrase() {
    let machine = Machine::with_owner();
    let (weak, key) = (machine.path("weak"), machine.key());
    fs::write(&weak, "secret\n").unwrap();
    let (weak, key) = (weak.to_str().unwrap(), key.to_str().unwrap());
    let out = machine.path("new.key");
    let out = out.to_str().unwrap();
    let before = state_of(machine.dir.path());
    let before: Vec<_> = before
        .into_iter()
        .filter(|(path, _)| !path.starts_with(machine.home()))
        .collect();
    for words in [
        &["key", "new", "--out", out, "--passphrase-file", weak][..],
        &[
            "key",
            "passwd",
            "--owner-key",
            key,
            "--new-passphrase-file",
            weak,
        ],
        &[
            "key",
            "export",
            "--full",
            "--owner-key",
            key,
            "--out",
            out,
            "--new-passphrase-file",
            weak,
        ],
    ] {
        let error = machine.run(words).ends_with(5).error();
        assert_eq!(error["code"], "passphrase", "{error}");
        let said = error["message"].as_str().unwrap();
        assert!(
            said.contains("6 characters") && said.contains("at least 10"),
            "{said}"
        );
    }
    let blank = Machine::blank();
    let init = ["init", "--owner-key-out", out, "--passphrase-file", weak];
    blank.run(init).ends_with(5);
    assert!(blank.ok(["status"])["owner"].is_null());
    let mut after = state_of(machine.dir.path());
    after.retain(|(path, _)| !path.starts_with(machine.home()));
    assert_eq!(after, before);
}
