//! What has to work when all is over.

use std::time::{Duration, Instant};

use packnback_cli::parts::{Outcome, Remote, grant_all, render};
use packnback_proto::record::{Record, decode_record};

use super::super::safe::{Check, check, compared};
use super::super::scene::{failed, shown};
use super::honest::Honest;
use super::scene::Scene;
use crate::staging::World;

/// Longest time a recovery from a host that never ends may take.
const RECOVER_MAX: Duration = Duration::from_secs(120);
/// Most memory of a command.
const MEMORY_MAX: u64 = 200 << 20;
/// An order is carried and carried out within seconds; this is for a machine that is busy.
const CARRY_DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);
/// Owners at the host: its own, Ann's, Mal's.
const OWNERS: usize = 3;

/// Everything.
pub(super) fn all(world: &World, scene: &Scene, honest: &Honest) -> Outcome<Vec<Check>> {
    Ok(vec![
        owners(world, scene)?,
        deletion(world, scene, honest)?,
        recovery(world, scene, honest)?,
    ])
}

/// The administrator sees who is served, and no more than who is.
fn owners(world: &World, scene: &Scene) -> Outcome<Check> {
    let ran = world.run(&scene.host, &["host", "owners"])?;
    let listed = ran.result.as_ref().and_then(|told| told.get("owners"));
    let listed = listed.and_then(serde_json::Value::as_array);
    let count = listed.map_or(0, Vec::len);
    let ann = scene.seed.owner_id().to_string();
    let has_ann = listed.is_some_and(|all| {
        all.iter()
            .any(|one| one.get("owner").and_then(|owner| owner.as_str()) == Some(&ann))
    });
    Ok(check(
        "the host lists the owners it serves, Ann among them",
        has_ann && count <= OWNERS,
        format!(
            "{count} owners, Ann {}",
            if has_ann { "among them" } else { "missing" }
        ),
    ))
}

/// Ann lets her first snapshot go, and the host does it.
fn deletion(world: &World, scene: &Scene, honest: &Honest) -> Outcome<Check> {
    let what = "Ann's order to forget a snapshot is carried out";
    let first = honest
        .snapshots
        .first()
        .ok_or_else(|| failed("no snapshot"))?;
    let key = shown(&scene.key_file);
    let words = ["forget", first, "--owner-key", &key, "-y"];
    let ran = world.run(&scene.ann, &words)?;
    if !ran.status.success() {
        return Ok(check(
            what,
            false,
            format!("forget ended with {}", ran.status),
        ));
    }
    let started = Instant::now();
    loop {
        world.check()?;
        world.run(&scene.host, &["host", "collect"])?;
        let left = snapshots_at_host(scene)?;
        if !left.iter().any(|id| id == first) {
            let found = format!("gone, {} others are there", left.len());
            return Ok(check(what, !left.is_empty(), found));
        }
        if started.elapsed() > CARRY_DEADLINE {
            return Ok(check(what, false, "it is still there"));
        }
        std::thread::sleep(POLL);
    }
}

/// Ids of Ann's snapshots that the host lists to a blank machine with her key.
pub(super) fn snapshots_at_host(scene: &Scene) -> Outcome<Vec<String>> {
    let records = records_at_host(scene)?;
    let snaps = records
        .iter()
        .filter_map(|bytes| match decode_record(bytes) {
            Ok(Record::Snap(snap)) => Some(snap.id().to_string()),
            _ => None,
        });
    Ok(snaps.collect())
}

/// Every record of Ann's that the host lists to a blank machine with her key.
pub(super) fn records_at_host(scene: &Scene) -> Outcome<Vec<Vec<u8>>> {
    let client = scene.paper.client()?;
    grant_all(&client, &scene.seed, &scene.host.address(), true)?;
    Ok(packnback_cli::parts::ObjectSource::records(
        &Remote(&client),
        None,
    )?)
}

/// Nothing but Ann's key and the host, and everything comes back.
fn recovery(world: &World, scene: &Scene, honest: &Honest) -> Outcome<Check> {
    let what = "Ann's files come back identical from the host, with nothing but her key";
    let target = world.folder().join("after/ann");
    let (key, into, address) = (shown(&scene.key_file), shown(&target), scene.host.address());
    let newest = honest
        .snapshots
        .last()
        .ok_or_else(|| failed("no snapshot"))?;
    let words = [
        "recover",
        "--owner-key",
        &key,
        "--peer",
        &address,
        "--snapshot",
        newest,
        "--target",
        &into,
    ];
    let ran = world.run(&scene.paper, &words)?;
    if !ran.status.success() {
        return Ok(check(
            what,
            false,
            format!("recover ended with {}", ran.status),
        ));
    }
    let below = honest.tree().strip_prefix("/").unwrap_or(honest.tree());
    let (good, found) = compared(honest.tree(), &target.join(below));
    Ok(check(what, good, found))
}

/// A list of records that does not end is left in time and without much memory.
pub(super) fn recover_from_mal(world: &World, scene: &Scene, address: &str) -> Outcome<Check> {
    let target = world.folder().join("after/mal");
    let (key, into) = (shown(&scene.key_file), shown(&target));
    let words = [
        "recover",
        "--owner-key",
        &key,
        "--peer",
        address,
        "--target",
        &into,
    ];
    let started = Instant::now();
    let ran = world.run(&scene.paper, &words)?;
    let took = started.elapsed();
    let memory = ran.peak_memory;
    Ok(check(
        "recovering from a host whose list does not end is given up in time, and says so",
        !ran.status.success() && took < RECOVER_MAX && memory < MEMORY_MAX,
        format!(
            "ended with {} after {}, peak memory {}",
            ran.status,
            render::duration(took),
            render::bytes(memory)
        ),
    ))
}
