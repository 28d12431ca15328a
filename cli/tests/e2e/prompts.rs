//! What a person is asked at a terminal, and what comes of the answers: on a real one, which the program controls as it
//! would any other. An answer is typed only once its question is there.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::friends::{address, befriend};
use crate::support::{Machine, PROGRAM, restored, same};
use crate::trees;

/// A terminal with a program in it.
struct Terminal {
    screen: File,
    child: Child,
    /// All that was ever shown.
    shown: String,
    /// How much of it was waited for.
    seen: usize,
}

impl Terminal {
    fn run<S: AsRef<OsStr>>(machine: &Machine, words: impl IntoIterator<Item = S>) -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&own).unwrap();
        unlockpt(&own).unwrap();
        let name = ptsname(&own, Vec::new()).unwrap();
        let open = || {
            let name = Path::new(name.to_str().unwrap());
            let file = OpenOptions::new().read(true).write(true).open(name);
            OwnedFd::from(file.unwrap())
        };
        // Makes it the terminal that /dev/tty is: passphrases are asked for there.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", PROGRAM, "--home"])
            .arg(machine.home())
            .args(words)
            .env_remove("PACKNBACK_OWNER_KEY")
            .env("COLUMNS", "500")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        Self {
            screen: File::from(own),
            child,
            shown: String::new(),
            seen: 0,
        }
    }

    /// Reads on; `false` when nobody has the terminal open any more.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // A terminal that nobody has open gives an error.
        let n = self.screen.read(&mut bytes).unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(&bytes[..n]));
        n > 0
    }

    /// Waits until this is shown, behind what was waited for before.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            assert!(self.read(), "{text:?} was not shown:\n{}", self.shown);
        }
    }

    /// Answers a question.
    #[track_caller]
    fn answer(&mut self, question: &str, line: &str) {
        self.wait_for(question);
        self.screen
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Answers a question whose answer must not be shown.
    #[track_caller]
    fn answer_hidden(&mut self, question: &str, line: &str) {
        self.wait_for(question);
        while tcgetattr(&self.screen)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
        {
            std::thread::yield_now();
        }
        self.screen
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Waits for the end; all that was shown.
    #[track_caller]
    fn ends_with(mut self, code: i32) -> String {
        while self.read() {}
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{}", self.shown);
        self.shown
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn words_are_asked_for_one_by_one_and_a_wrong_one_is_told_at_once() {
    let (you, ann) = (Machine::blank(), Machine::with_owner());
    let made = you.ok(["init", "--owner-words", "--label", "laptop"]);
    let words = made["words"].as_str().unwrap().to_owned();
    let tree = you.path("tree");
    trees::plain(&tree, 12);
    befriend(&you, &ann, "ann");
    you.ok([
        "backup",
        text(&tree),
        "--wait",
        "all",
        "--wait-timeout",
        "300s",
    ]);
    you.ok(["node", "stop"]);
    fs::remove_dir_all(you.home()).unwrap();
    you.start_node();
    let (target, from) = (you.path("back"), address(&ann));
    let recover = [
        "recover",
        "--words",
        "--peer",
        &from,
        "--target",
        text(&target),
    ];
    let mut terminal = Terminal::run(&you, recover);
    for (number, word) in (1..).zip(words.split(' ')) {
        if number == 7 {
            terminal.answer_hidden("word 7 of 24: ", "packnback");
            terminal.wait_for("is not in the list");
            // Nothing at all is no word either.
            terminal.answer_hidden("word 7 of 24: ", "");
        }
        terminal.answer_hidden(&format!("word {number} of 24: "), word);
    }
    let shown = terminal.ends_with(0);
    same(&tree, &restored(&target, &tree));
    for pair in words.split(' ').collect::<Vec<_>>().windows(2) {
        assert!(!shown.contains(&pair.join(" ")), "{shown}");
    }
    assert!(!shown.contains("24: packnback"), "{shown}");
    // In one line, with the last word of another sheet: they do not fit.
    let (most, last) = words.rsplit_once(' ').unwrap();
    let other = if last == "abandon" { "zoo" } else { "abandon" };
    let empty = you.path("empty");
    let again = [
        "recover",
        "--words",
        "--peer",
        &from,
        "--target",
        text(&empty),
    ];
    let mut terminal = Terminal::run(&you, again);
    terminal.answer_hidden("word 1 of 24: ", &format!("{most} {other}"));
    let shown = terminal.ends_with(5);
    assert!(shown.contains("do not fit together"), "{shown}");
    assert!(!empty.exists());
}

#[test]
fn newer_files_are_overwritten_only_when_a_person_says_so() {
    let machine = Machine::with_owner();
    let (tree, key) = (machine.path("tree"), machine.key());
    trees::plain(&tree, 5);
    let file = tree.join("d1/f1");
    let saved = fs::read(&file).unwrap();
    machine.backup(&tree);
    fs::write(&file, "written since").unwrap();
    let restore = [
        "restore",
        "latest",
        "--target",
        "/",
        "--owner-key",
        text(&key),
    ];
    for no in ["n", "", "no", "what?"] {
        let mut terminal = Terminal::run(&machine, restore);
        terminal.wait_for(text(&file));
        terminal.answer("Overwrite them? [y/N] ", no);
        terminal.ends_with(5);
        assert_eq!(fs::read(&file).unwrap(), b"written since", "{no:?}");
    }
    let mut terminal = Terminal::run(&machine, restore);
    terminal.answer("Overwrite them? [y/N] ", "y");
    terminal.ends_with(0);
    assert_eq!(fs::read(&file).unwrap(), saved);
}

#[test]
fn the_word_must_be_typed_before_anything_goes_from_the_root_folder() {
    let machine = Machine::with_owner();
    let (tree, key) = (machine.path("tree"), machine.key());
    trees::plain(&tree, 5);
    machine.backup(&tree);
    let new = tree.join("d1/new");
    fs::write(&new, "new").unwrap();
    let words = ["restore", "latest", "--target", "/", "--delete"];
    let restore = || words.into_iter().chain(["--owner-key", text(&key)]);
    for wrong in ["y", "yes", "", "delete it"] {
        let mut terminal = Terminal::run(&machine, restore());
        terminal.wait_for(text(&tree));
        terminal.answer("Type `delete` to go on: ", wrong);
        let shown = terminal.ends_with(5);
        assert!(shown.contains("nothing was removed"), "{shown}");
        assert!(new.exists(), "{wrong:?}");
    }
    let mut terminal = Terminal::run(&machine, restore());
    terminal.answer("Type `delete` to go on: ", "delete");
    terminal.ends_with(0);
    assert!(!new.exists() && tree.join("d1/f1").exists());
}

#[test]
fn passphrases_are_typed_twice_have_a_floor_and_are_not_shown() {
    let machine = Machine::blank();
    let key = machine.key();
    let make = ["key", "new", "--out", text(&key)];
    let mut terminal = Terminal::run(&machine, make);
    terminal.answer_hidden("New passphrase for", "battery staple");
    terminal.answer_hidden("The same again: ", "battery stable");
    let shown = terminal.ends_with(5);
    assert!(shown.contains("differ"), "{shown}");
    assert!(!key.exists());

    let mut terminal = Terminal::run(&machine, make);
    terminal.answer_hidden("New passphrase for", "short one");
    terminal.wait_for("Another one, please.");
    terminal.answer_hidden("New passphrase for", "battery staple");
    terminal.answer_hidden("The same again: ", "battery staple");
    let shown = terminal.ends_with(0);
    for secret in ["short one", "battery staple"] {
        assert!(!shown.contains(secret), "{shown}");
    }

    let before = fs::read(&key).unwrap();
    let sheet = ["key", "sheet", "--owner-key", text(&key)];
    let mut terminal = Terminal::run(&machine, sheet);
    terminal.answer_hidden("Passphrase of", "battery stable");
    assert!(terminal.ends_with(5).contains("wrong passphrase"));
    let mut terminal = Terminal::run(&machine, sheet);
    terminal.answer_hidden("Passphrase of", "battery staple");
    let shown = terminal.ends_with(0);
    assert!(!shown.contains("battery staple"), "{shown}");
    assert_eq!(fs::read(&key).unwrap(), before);
}

#[test]
fn an_invite_is_pasted_and_the_space_given_back_is_asked_for() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    let invite = you.ok(["peer", "invite", "--name", "ann", "--quota", "5G"]);
    let token = invite["token"].as_str().unwrap();
    let accept = ["peer", "accept", "--name", "you"];
    let peers = |machine: &Machine| machine.ok(["peer", "list"])["peers"].clone();

    let mut terminal = Terminal::run(&ann, accept);
    terminal.answer("Paste the line your friend sent", "");
    terminal.ends_with(2);
    let mut terminal = Terminal::run(&ann, accept);
    terminal.answer("Paste the line your friend sent", token);
    for _ in 0..3 {
        terminal.answer("Space you give back", "plenty");
    }
    terminal.ends_with(5);
    assert_eq!(peers(&ann).as_array().unwrap().len(), 0);

    let mut terminal = Terminal::run(&ann, accept);
    terminal.answer("Paste the line your friend sent", token);
    terminal.answer("Space you give back", "900000T");
    terminal.wait_for("That is more than is free.");
    terminal.answer("Space you give back", "64M");
    terminal.wait_for("is a friend now");
    terminal.ends_with(0);
    let given = &peers(&ann)[0]["quota_given"];
    assert_eq!(given.as_u64(), Some(64 << 20), "{given}");

    let remove = ["peer", "remove", "you"];
    for no in ["n", "", "remove"] {
        let mut terminal = Terminal::run(&ann, remove);
        terminal.answer("Go on? [y/N] ", no);
        terminal.ends_with(5);
        assert_eq!(peers(&ann).as_array().unwrap().len(), 1, "{no:?}");
    }
    let mut terminal = Terminal::run(&ann, remove);
    terminal.answer("Go on? [y/N] ", "y");
    terminal.wait_for("is no friend any more");
    terminal.ends_with(0);
    assert_eq!(peers(&ann).as_array().unwrap().len(), 0);
}
