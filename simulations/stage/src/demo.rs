//! `packnback demo`: the whole promise, on this machine, with real nodes and real files.

use std::path::{Path, PathBuf};
use std::time::Instant;

use packnback_cli::parts::{
    Exit, Failure, Outcome,
    render::{self, Voice},
};
use packnback_compare::{Comparison, compare_trees, measure};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::staging::{Node, Setting, World, number, text, unexpected};

/// Folders that are on most machines, the most telling first.
const USUAL: [&str; 4] = ["/usr/share", "/usr/share/doc", "/usr/include", "/etc"];
/// More would take longer than a person wants to look at.
const USUAL_MAX: u64 = 2 << 30;
const USUAL_MIN: u64 = 1 << 20;
const DIFFERENCES_SHOWN: usize = 20;

/// Runs the command.
///
/// # Errors
/// When a step fails, or anything came back otherwise than it was.
pub(crate) fn run(setting: Setting<'_>, dir: Option<PathBuf>) -> Outcome {
    let voice = setting.voice;
    let dir = match dir {
        Some(dir) => dir
            .canonicalize()
            .map_err(|e| Failure::file("use", &dir, &e))?,
        None => usual_folder()?,
    };
    let (files, bytes) = measure(&dir).map_err(|e| Failure::file("look at", &dir, &e))?;
    let mut demo = Demo {
        voice,
        started: Instant::now(),
        step: 0,
        steps: Vec::new(),
    };
    voice.say("packnback demo: three nodes on this machine; one of them will be lost.")?;
    voice.say(&format!(
        "To be saved: {} ({}, {})\n",
        dir.display(),
        render::counted(files, "file", "files"),
        render::bytes(bytes)
    ))?;
    let mut world = World::make(setting, "demo")?;
    let outcome = demo.play(&mut world, &dir);
    let folder = world.folder().display().to_string();
    if setting.keep {
        voice.note(&format!("The folders of the demo are in {folder}"));
    } else {
        voice.note(&format!(
            "Tidying up: the nodes of the demo end, and {folder} is removed; {} was only read.",
            dir.display()
        ));
    }
    let seconds = demo.started.elapsed().as_secs_f64();
    let identical = matches!(outcome, Ok(Exit::Done));
    voice.result(&json!({ "dir": dir, "files": files, "bytes": bytes, "identical": identical, "seconds": seconds, "steps": demo.steps }))?;
    outcome
}

fn usual_folder() -> Outcome<PathBuf> {
    let found = USUAL
        .into_iter()
        .map(PathBuf::from)
        .find(|dir| measure(dir).is_ok_and(|(_, bytes)| (USUAL_MIN..USUAL_MAX).contains(&bytes)));
    found.ok_or_else(|| {
        Failure::usage("found no folder of a good size to show")
            .next("Name one: packnback demo DIR")
    })
}

struct Demo {
    voice: Voice,
    started: Instant,
    step: u32,
    steps: Vec<Value>,
}

impl Demo {
    fn play(&mut self, world: &mut World, dir: &Path) -> Outcome {
        let (you, ann, bob) = self.three_nodes(world)?;
        let words = self.owner(world, &you)?;
        self.friends(world, &you, [&ann, &bob])?;
        self.first_backup(world, &you, dir)?;
        self.second_backup(world, &you, dir)?;
        self.loss(world, you)?;
        let target = self.recovery(world, &ann, &words)?;
        self.comparison(dir, &target)
    }

    /// Says what a step did and proved.
    fn done(&mut self, since: Instant, title: &str, lines: &[String]) -> Outcome<()> {
        self.step = self.step.saturating_add(1);
        let time = since.elapsed();
        self.steps
            .push(json!({ "title": title, "seconds": time.as_secs_f64(), "details": lines }));
        self.voice.say(&format!(
            "{}. {title:<58} {:>8}",
            self.step,
            render::duration(time)
        ))?;
        for line in lines {
            self.voice.say(&format!("     {line}"))?;
        }
        Ok(())
    }

    fn three_nodes(&mut self, world: &mut World) -> Outcome<(Node, Node, Node)> {
        let since = Instant::now();
        let (you, ann, bob) = (
            world.start("you")?,
            world.start("ann")?,
            world.start("bob")?,
        );
        let line =
            |node: &Node| format!("{:<4} pid {:<8} {}", node.name, node.pid(), node.address());
        self.done(
            since,
            "Three homes, three running nodes",
            &[line(&you), line(&ann), line(&bob)],
        )?;
        Ok((you, ann, bob))
    }

    fn owner(&mut self, world: &World, you: &Node) -> Outcome<Zeroizing<String>> {
        let since = Instant::now();
        let mut made = world.command(you, &["init", "--owner-words", "--label", "laptop"], None)?;
        let words = match made.get_mut("words").map(Value::take) {
            Some(Value::String(words)) => Zeroizing::new(words),
            _ => return Err(unexpected("demo", "init")),
        };
        let owner: String = text(&made, "owner").chars().take(8).collect();
        let count = words.split(' ').count();
        self.done(
            since,
            "packnback init",
            &[
                format!(
                    "Owner {owner}: its key is {count} words, kept by this demo as if on paper."
                ),
                "The machine itself holds what it needs to write, not to read.".into(),
            ],
        )?;
        Ok(words)
    }

    fn friends(&mut self, world: &World, you: &Node, friends: [&Node; 2]) -> Outcome<()> {
        let since = Instant::now();
        for friend in friends {
            let invite = world.command(you, &["peer", "invite", "--name", &friend.name], None)?;
            let token = text(&invite, "token");
            world.command(
                friend,
                &["peer", "accept", &token, "--name", &you.name],
                None,
            )?;
        }
        self.done(
            since,
            "packnback peer invite / peer accept, twice",
            &[
                "ann and bob are friends now. Nobody else gets past the gate of their nodes."
                    .into(),
            ],
        )
    }

    fn first_backup(&mut self, world: &World, you: &Node, dir: &Path) -> Outcome<()> {
        let since = Instant::now();
        let dir = dir.to_string_lossy();
        let saved = world.command(
            you,
            &["backup", &dir, "--wait", "2", "--wait-timeout", "30m"],
            None,
        )?;
        let (bytes, stored) = (number(&saved, "bytes"), number(&saved, "bytes_stored"));
        let seconds = saved.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
        let sent = saved
            .get("wait_seconds")
            .and_then(Value::as_f64)
            .unwrap_or(0.0);
        let rate = |n: u64, seconds: f64| {
            render::rate(n, std::time::Duration::from_secs_f64(seconds.max(0.001)))
        };
        self.done(since, "packnback backup DIR --wait 2", &[
            format!("{} of content in {}, stored as {} sealed bytes in {}.", render::bytes(bytes), render::counted(number(&saved, "entries"), "entry", "entries"), render::bytes(stored), render::counted(number(&saved, "objects_new"), "object", "objects")),
            format!("Saved in {seconds:.1} s ({}); {sent:.1} s later both friends had it and signed for it ({} to each).", rate(bytes, seconds), rate(stored, sent)),
        ])?;
        match number(&saved, "friends") {
            2 => Ok(()),
            n => Err(Failure::failed(
                "demo",
                format!("{n} of 2 friends hold the snapshot"),
            )),
        }
    }

    fn second_backup(&mut self, world: &World, you: &Node, dir: &Path) -> Outcome<()> {
        let since = Instant::now();
        let dir = dir.to_string_lossy();
        let saved = world.command(
            you,
            &["backup", &dir, "--wait", "2", "--wait-timeout", "30m"],
            None,
        )?;
        self.done(
            since,
            "packnback backup DIR again, nothing changed",
            &[format!(
                "{} looked at, {} of content read, {} stored.",
                render::counted(number(&saved, "entries"), "entry", "entries"),
                render::bytes(number(&saved, "bytes_read")),
                render::bytes(number(&saved, "bytes_stored")),
            )],
        )
    }

    fn loss(&mut self, world: &mut World, you: Node) -> Outcome<()> {
        let since = Instant::now();
        let (pid, home) = (you.pid(), you.home().to_owned());
        let size = measure(&home).map_or(0, |(_, bytes)| bytes);
        world.lose(you)?;
        self.done(
            since,
            "The machine is lost",
            &[format!(
                "kill -9 {pid}, and {} deleted: {} of store, identity and cache are gone.",
                home.display(),
                render::bytes(size)
            )],
        )
    }

    fn recovery(&mut self, world: &mut World, ann: &Node, words: &str) -> Outcome<PathBuf> {
        let since = Instant::now();
        let blank = world.start("you")?;
        let target = world.folder().join("target");
        let shown = target.to_string_lossy().into_owned();
        let address = ann.address();
        let back = world.command(
            &blank,
            &["recover", "--words", "--peer", &address, "--target", &shown],
            Some(words),
        )?;
        let first = back
            .get("restored")
            .and_then(|all| all.get(0))
            .cloned()
            .unwrap_or_default();
        let bytes = number(&first, "bytes_written");
        let seconds = first.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
        self.done(since, "packnback recover --words --peer ANN --target DIR", &[
            "A blank home, the 24 words and one friend's address: nothing else was known.".into(),
            format!("{} and {} came back in {seconds:.1} s ({}), each byte checked against its id and key.",
                render::counted(number(&first, "entries"), "entry", "entries"), render::bytes(bytes),
                render::rate(bytes, std::time::Duration::from_secs_f64(seconds.max(0.001)))),
        ])?;
        Ok(target)
    }

    fn comparison(&mut self, dir: &Path, target: &Path) -> Outcome {
        let since = Instant::now();
        let restored = target.join(dir.strip_prefix("/").unwrap_or(dir));
        let found = compare_trees(dir, &restored)
            .map_err(|e| Failure::failed("demo", format!("cannot compare the trees: {e}")))?;
        let Comparison {
            entries,
            files,
            bytes,
            xattrs,
            hard_links,
            never_saved,
            differences,
        } = &found;
        let mut more = Vec::new();
        if *never_saved > 0 {
            more.push(format!(
                "Left out on purpose, as always: {} (sockets of running programs, homes of nodes).",
                render::counted(*never_saved, "entry", "entries")
            ));
        }
        let mut lines = vec![
            format!(
                "{}: kind, mode, owner, time to the nanosecond, links, holes;",
                render::counted(*entries, "entry", "entries")
            ),
            format!(
                "{} byte by byte ({}), {}, {}.",
                render::counted(*files, "file", "files"),
                render::bytes(*bytes),
                render::counted(*xattrs, "extended attribute", "extended attributes"),
                render::counted(*hard_links, "group of hard links", "groups of hard links")
            ),
        ];
        lines.append(&mut more);
        self.done(since, "Compared with the original", &lines)?;
        self.voice.say("")?;
        if differences.is_empty() {
            self.voice.say(&format!(
                "Everything is back, identical, after {} in all.",
                render::duration(self.started.elapsed())
            ))?;
            return Ok(Exit::Done);
        }
        for difference in differences.iter().take(DIFFERENCES_SHOWN) {
            self.voice.note(&format!(
                "  {}: {}",
                render::path(&difference.path),
                difference.what
            ));
        }
        self.voice.note(&format!(
            "{} found. This should never happen.",
            render::counted(
                u64::try_from(differences.len()).unwrap_or(0),
                "difference",
                "differences"
            )
        ));
        Ok(Exit::Failed)
    }
}
