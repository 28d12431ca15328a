//! Somebody who held Ann's machine once, and dates snapshots as it likes: does that decide what the newest is?

use std::path::PathBuf;

use packnback_cli::parts::{Exit, Failure, Outcome};
use serde_json::{Value, json};

use super::super::attack::{Attempt, converse, copy_dir};
use super::super::safe::{Check, check, compared};
use super::super::scene::shown;
use super::honest::Honest;
use super::scene::Scene;
use crate::staging::{World, text};

/// Commits snapshots of 1970, of 9999 and of the last second there is under Ann's key, and with the highest number.
pub(super) fn attack(world: &mut World, scene: &Scene) -> Outcome<Vec<Attempt>> {
    let stolen = world.folder().join("stolen");
    let home = scene.ann.home();
    copy_dir(home, &stolen).map_err(|e| Failure::file("copy", home, &e))?;
    let spec = json!({ "ransomware": {
        "home": shown(&stolen),
        "socket": shown(&scene.ann.folders()?.socket()),
        "hosts": [scene.host.address()],
        "other_device": Scene::id(&scene.host)?.to_string(),
        "families": ["dates"],
    }});
    converse(world, &spec, |_, _| Ok(()))
}

/// Ann backs up once more. That is the newest of her files for a blank machine, and comes back although what the
/// thief made beside it cannot be read.
pub(super) fn newest(world: &World, scene: &Scene, honest: &mut Honest) -> Outcome<Check> {
    let what =
        "Ann's newest is what the host received last, and comes back beside what the thief made";
    honest.give_work(world, scene)?;
    let newest = honest.snapshots.last().cloned().unwrap_or_default();
    let target = world.folder().join("after/newest");
    let (key, into, address) = (shown(&scene.key_file), shown(&target), scene.host.address());
    let words = [
        "recover",
        "--owner-key",
        &key,
        "--peer",
        &address,
        "--target",
        &into,
    ];
    let ran = world.run(&scene.paper, &words)?;
    let restored = ran.result.as_ref().and_then(|told| told.get("restored"));
    let ours = restored.and_then(Value::as_array).and_then(|all| {
        let mut all = all.iter();
        all.find(|one| text(one, "snapshot") == newest)
    });
    let Some(ours) = ours else {
        let found = format!("recover ended with {} and did not bring it", ran.status);
        return Ok(check(what, false, found));
    };
    let below = honest.tree().strip_prefix("/").unwrap_or(honest.tree());
    let folder = PathBuf::from(text(ours, "target"));
    let (same, found) = compared(honest.tree(), &folder.join(below));
    let found = format!("recover ended with {}; {found}", ran.status);
    // Done, but the thief's cannot be read.
    let told = ran.status.code() == Some(i32::from(Exit::Incomplete.number()));
    Ok(check(what, told && same, found))
}
