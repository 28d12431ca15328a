//! Whether the honest friend goes on, and what the host pays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use packnback_cli::parts::{Failure, Outcome, render};
use serde_json::Value;

use super::super::safe::{Check, check};
use super::super::scene::{failed, shown};
use super::super::trees;
use super::scene::{QUOTA, Scene};
use crate::staging::{Node, World, memory_peak, number, text};

/// Most memory of the host, at its highest.
const MEMORY_MAX: u64 = 200 << 20;
/// What a host may take on disk beside what it offers: its tables, logs of the database, and files that were emptied and
/// are given back by the next collection.
pub(super) const SLACK: u64 = 96 << 20;
/// What one scheme may add to the log of the host.
const LOG_MAX: u64 = 256 << 10;
/// Longest wait for one backup of the honest friend.
const WAIT: &str = "90s";

/// The honest friend, and the host before the first scheme.
pub(super) struct Honest {
    tree: PathBuf,
    runs: u32,
    disk: u64,
    log: u64,
    /// Its snapshots, in the order they were made.
    pub(super) snapshots: Vec<String>,
}

impl Honest {
    /// The first backups, before anything bad happens.
    pub(super) fn begin(world: &World, scene: &mut Scene) -> Outcome<Self> {
        let tree = world.folder().join("files/ann");
        trees::grow(&tree, "ann").map_err(|e| Failure::file("write", &tree, &e))?;
        let mut honest = Self {
            tree,
            runs: 0,
            disk: 0,
            log: 0,
            snapshots: Vec::new(),
        };
        for _ in 0..2 {
            let saved = honest.back_up(world, &scene.ann)?;
            if let Err(error) = saved {
                return Err(failed(format!("the honest friend's first backup: {error}")));
            }
        }
        honest.disk = disk(&scene.host)?;
        honest.log = log_len(&scene.host)?;
        Ok(honest)
    }

    /// The folder that is backed up.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// A backup that has to reach the host; else why it did not.
    fn back_up(&mut self, world: &World, ann: &Node) -> Outcome<Result<u64, String>> {
        self.runs = self.runs.saturating_add(1);
        let day = format!("day-{}", self.runs);
        trees::work(&self.tree, &day).map_err(|e| failed(format!("cannot write files: {e}")))?;
        let path = shown(&self.tree);
        let words = ["backup", &path, "--wait", "1", "--wait-timeout", WAIT];
        let ran = world.run(ann, &words)?;
        let Some(saved) = ran.result else {
            return Ok(Err(format!("it ended with {}", ran.status)));
        };
        self.snapshots.push(text(&saved, "snapshot"));
        let friends = number(&saved, "friends");
        // Ended with an alarm: that is for the check of alarms to judge.
        let good = friends >= 1;
        Ok(if good {
            Ok(friends)
        } else {
            Err(format!(
                "{friends} friends have it, ended with {}",
                ran.status
            ))
        })
    }

    /// A snapshot for Mal to ask about.
    pub(super) fn give_work(&mut self, world: &World, scene: &Scene) -> Outcome<()> {
        self.back_up(world, &scene.ann).map(|_| ())
    }

    /// The look after a scheme, while it holds what it can.
    pub(super) fn look(
        &mut self,
        world: &mut World,
        scene: &mut Scene,
        scheme: &str,
    ) -> Outcome<Check> {
        let mut bad = Vec::new();
        if let Err(error) = self.back_up(world, &scene.ann)? {
            bad.push(format!("Ann's backup did not reach the host: {error}"));
        }
        // A machine nobody is connected to yet: it must find a place too.
        scene.paper = world.start(&format!("paper-{}", self.runs))?;
        match super::after::snapshots_at_host(scene) {
            Ok(all) if all.len() >= self.snapshots.len().saturating_sub(1) => {}
            Ok(all) => bad.push(format!("{} of Ann's snapshots are listed", all.len())),
            Err(error) => bad.push(format!("a blank machine cannot read: {}", error.what)),
        }
        for node in [&scene.host, &scene.ann] {
            if let Err(error) = shows_clean_status(world, node)? {
                bad.push(error);
            }
        }
        let memory = memory_peak(scene.host.pid());
        let memory = memory.ok_or_else(|| failed("the host has ended"))?;
        if memory > MEMORY_MAX {
            bad.push(format!("memory: {}", render::bytes(memory)));
        }
        let disk = disk(&scene.host)?.saturating_sub(self.disk);
        if disk > QUOTA.saturating_add(SLACK) {
            bad.push(format!("disk: {} more than before", render::bytes(disk)));
        }
        let log = log_len(&scene.host)?;
        let grown = log.saturating_sub(self.log);
        self.log = log;
        if grown > LOG_MAX {
            bad.push(format!("log: {} more", render::bytes(grown)));
        }
        if let Some(line) = raw_line(&scene.host)? {
            bad.push(format!("log: a raw line, {line:?}"));
        }
        let alarms = scene.ann.client()?.status()?.alarms;
        let stolen = alarms.iter().filter(|alarm| accuses_key(&alarm.kind));
        if stolen.count() > 0 {
            bad.push("Ann is told that her key was stolen".to_owned());
        }
        let found = if bad.is_empty() {
            format!(
                "Ann's backup arrived; peak memory {}, disk +{}, log +{}",
                render::bytes(memory),
                render::bytes(disk),
                render::bytes(grown)
            )
        } else {
            bad.join("; ")
        };
        let what = format!("after `{scheme}` the honest friend goes on, and the host is well");
        Ok(check(what, bad.is_empty(), found))
    }
}

fn accuses_key(kind: &packnback_proto::wire::admin::AlarmKind) -> bool {
    use packnback_proto::wire::admin::AlarmKind;
    matches!(kind, AlarmKind::UnknownHead | AlarmKind::Fork)
}

/// `status` answers, and no text in it is anything but text.
fn shows_clean_status(world: &World, node: &Node) -> Outcome<Result<(), String>> {
    for words in [&["status"][..], &["peer", "list"]] {
        let ran = world.run(node, words)?;
        let Some(result) = ran.result else {
            return Ok(Err(format!(
                "`{}` of {} ended with {}",
                words.join(" "),
                node.name,
                ran.status
            )));
        };
        if let Some(raw) = raw_text(&result) {
            return Ok(Err(format!("{} shows raw text: {raw:?}", node.name)));
        }
    }
    Ok(Ok(()))
}

/// Whether a character would do something to a terminal, or to the order of reading.
fn is_raw(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn raw_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.chars().any(is_raw).then(|| text.clone()),
        Value::Array(all) => all.iter().find_map(raw_text),
        Value::Object(all) => all.values().find_map(raw_text),
        _ => None,
    }
}

fn log_of(node: &Node) -> Outcome<Vec<u8>> {
    let path = node.folders()?.log();
    fs::read(&path).map_err(|e| Failure::file("read", &path, &e))
}

fn log_len(node: &Node) -> Outcome<u64> {
    let path = node.folders()?.log();
    let found = fs::metadata(&path).map_err(|e| Failure::file("look at", &path, &e))?;
    Ok(found.len())
}

/// A line of the log with characters that are not text, or one that pretends to be another's.
fn raw_line(node: &Node) -> Outcome<Option<String>> {
    let log = String::from_utf8_lossy(&log_of(node)?).into_owned();
    let bad = |line: &&str| line.chars().any(is_raw) || line.starts_with("ERROR forged");
    Ok(log.lines().find(bad).map(str::to_owned))
}

/// Bytes on disk below the folder of a node.
fn disk(node: &Node) -> Outcome<u64> {
    let dir = node.folders()?.node_dir();
    blocks(&dir).map_err(|e| Failure::file("look at", &dir, &e))
}

fn blocks(dir: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0u64;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = match entry.metadata() {
            // The database removes its files while we look.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        let more = if found.is_dir() {
            blocks(&entry.path())?
        } else {
            found.blocks().saturating_mul(512)
        };
        sum = sum.saturating_add(more);
    }
    Ok(sum)
}
