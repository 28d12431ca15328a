//! The attacker: a process of its own, with a copy of everything the laptop has.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use packnback_cli::parts::{Failure, Outcome, log_tail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::loot;
use super::scene::{Scene, failed, shown};
use crate::attack::ATTACK_WORD;
use crate::staging::World;

/// What the attacker tells of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Attempt {
    pub(super) name: String,
    pub(super) family: String,
    /// Hex, or empty for the own node.
    pub(super) host: String,
    pub(super) what_was_tried: String,
    pub(super) outcome: String,
    pub(super) refusal: String,
}

/// Copies the home of the laptop as a thief finds it, its node running.
pub(super) fn steal(world: &World, scene: &Scene) -> Outcome<PathBuf> {
    let stolen = world.folder().join("stolen");
    let home = scene.laptop()?.home();
    copy_dir(home, &stolen).map_err(|e| Failure::file("copy", home, &e))?;
    Ok(stolen)
}

/// Regular files only. What goes away while it is copied is left out, as a thief would.
pub(super) fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            kind => kind?,
        };
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else if kind.is_file() {
            match fs::copy(entry.path(), &target) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                done => drop(done?),
            }
        }
    }
    Ok(())
}

/// Killed if the drill ends early.
struct Attacker(Child);

impl Drop for Attacker {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs the attacker. `held` is called while it holds the sessions it could get; it goes on afterwards.
pub(super) fn run(
    world: &mut World,
    scene: &Scene,
    stolen: &Path,
    held: impl FnMut(&mut World, &str) -> Outcome<()>,
) -> Outcome<Vec<Attempt>> {
    converse(world, &describe(scene, stolen)?, held)
}

/// Runs an attacker by its description.
pub(super) fn converse(
    world: &mut World,
    spec: &Value,
    mut held: impl FnMut(&mut World, &str) -> Outcome<()>,
) -> Outcome<Vec<Attempt>> {
    let file = world.folder().join("attacker.json");
    fs::write(&file, spec.to_string()).map_err(|e| Failure::file("write", &file, &e))?;
    let log = world.folder().join("attacker.log");
    let mut attacker = start(world, &file, &log)?;
    let broken = |e: io::Error| failed(format!("the attacker cannot be talked to: {e}"));
    let (input, output) = (attacker.0.stdin.take(), attacker.0.stdout.take());
    let mut input = input.ok_or_else(|| broken(io::ErrorKind::BrokenPipe.into()))?;
    let output = output.ok_or_else(|| broken(io::ErrorKind::BrokenPipe.into()))?;
    let mut attempts = Vec::new();
    for line in BufReader::new(output).lines() {
        world.check()?;
        let line = line.map_err(broken)?;
        let said: Value = serde_json::from_str(&line)
            .map_err(|e| failed(format!("the attacker said {line}: {e}")))?;
        if let Some(what) = said.get("holding").and_then(Value::as_str) {
            held(world, what)?;
            input.write_all(b"\n").map_err(broken)?;
            continue;
        }
        let attempt = serde_json::from_value(said);
        attempts.push(attempt.map_err(|e| failed(format!("the attacker said {line}: {e}")))?);
    }
    world.check()?;
    let ended = attacker.0.wait().map_err(broken)?;
    if !ended.success() || attempts.is_empty() {
        let tail = log_tail(&log).unwrap_or_default();
        return Err(failed(format!("the attacker ended with {ended}:\n{tail}")));
    }
    Ok(attempts)
}

fn describe(scene: &Scene, stolen: &Path) -> Outcome<Value> {
    let laptop = scene.laptop()?.folders()?;
    let hosts: Vec<String> = scene.hosts().iter().map(|host| host.address()).collect();
    Ok(json!({ "ransomware": {
        "home": shown(stolen),
        "socket": shown(&laptop.socket()),
        "hosts": hosts,
        "other_device": Scene::host_id(&scene.desk)?.to_string(),
        "captured": loot::collect(scene)?,
    }}))
}

fn start(world: &World, spec: &Path, log: &Path) -> Outcome<Attacker> {
    let cannot = |e: io::Error| failed(format!("cannot start the attacker: {e}"));
    let log = fs::File::create(log).map_err(cannot)?;
    let mut command = world.companion(&std::env::current_exe().map_err(cannot)?);
    command
        .arg(ATTACK_WORD)
        .arg(spec)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    Ok(Attacker(command.spawn().map_err(cannot)?))
}
