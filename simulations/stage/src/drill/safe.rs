//! What has to be afterwards as it was before.

use std::collections::BTreeSet;
use std::path::Path;

use packnback_cli::parts::{Outcome, render::path};
use packnback_compare::compare_trees;
use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::wire::admin::{AlarmKind, PolicyInfo, RetentionInfo};

use super::scene::{Kept, Scene, failed, shown};
use crate::staging::{Node, World};

/// One thing that was looked at.
pub(super) struct Check {
    /// What.
    pub(super) what: String,
    /// Whether it is as it has to be.
    pub(super) good: bool,
    /// What was found.
    pub(super) found: String,
}

pub(super) fn check(what: impl Into<String>, good: bool, found: impl Into<String>) -> Check {
    Check {
        what: what.into(),
        good,
        found: found.into(),
    }
}

/// What the hosts held before.
pub(super) struct Before {
    /// For each host: its name and every record it showed to the owner.
    records: Vec<(String, BTreeSet<Vec<u8>>)>,
    /// What retention said on the owner's own host, or why it said nothing.
    retention: Result<Vec<RetentionInfo>, String>,
}

impl Before {
    pub(super) fn look(scene: &Scene) -> Outcome<Self> {
        let mut records = Vec::new();
        for host in scene.hosts() {
            let shown = scene.records(host)?.into_iter().collect();
            records.push((host.name.clone(), shown));
        }
        Ok(Self {
            records,
            retention: retention(scene),
        })
    }

    /// Nothing that was there is gone or other than it was; what keeps it still does.
    pub(super) fn compare(&self, scene: &Scene) -> Outcome<Vec<Check>> {
        let mut checks = Vec::new();
        for host in scene.hosts() {
            let now: BTreeSet<Vec<u8>> = scene.records(host)?.into_iter().collect();
            let before = self.records.iter().find(|(name, _)| *name == host.name);
            let (_, before) = before.ok_or_else(|| failed("a host came from nowhere"))?;
            let gone = before.difference(&now).count();
            checks.push(check(
                format!("records on {} are all there, byte by byte", host.name),
                gone == 0 && !before.is_empty(),
                format!("{} before, {gone} gone, {} now", before.len(), now.len()),
            ));
        }
        match (&self.retention, &retention(scene)) {
            (Ok(before), Ok(now)) => compare_retention(before, now, &mut checks),
            (Err(error), _) | (_, Err(error)) => {
                checks.push(check("retention is as before", false, error.clone()));
            }
        }
        Ok(checks)
    }
}

fn retention(scene: &Scene) -> Result<Vec<RetentionInfo>, String> {
    let client = scene.nas.client().map_err(|e| e.what)?;
    client.retention(None, None).map_err(|e| e.to_string())
}

fn compare_retention(before: &[RetentionInfo], now: &[RetentionInfo], checks: &mut Vec<Check>) {
    for device in before {
        checks.push(same_policy(device, now));
        checks.push(still_kept(device, now));
    }
    let devices = before.iter().filter(|one| !one.snaps.is_empty()).count();
    checks.push(check(
        "retention was there to be displaced",
        devices >= 2 && before.iter().all(|one| one.policy.is_some()),
        format!("{devices} devices with snapshots"),
    ));
}

fn same_policy(device: &RetentionInfo, now: &[RetentionInfo]) -> Check {
    let policy = policy_of(now, &device.device);
    let said = |policy: Option<&PolicyInfo>| {
        policy.map_or_else(
            || "none".to_owned(),
            |policy| format!("number {}", policy.pseq),
        )
    };
    let before = device.policy.as_ref();
    check(
        format!(
            "the policy for {} is the owner's last",
            device.device.short()
        ),
        policy == before,
        format!("before: {}, now: {}", said(before), said(policy)),
    )
}

fn policy_of<'a>(all: &'a [RetentionInfo], device: &NodeId) -> Option<&'a PolicyInfo> {
    let found = all.iter().find(|one| one.device == *device);
    found.and_then(|one| one.policy.as_ref())
}

/// Every snapshot of before stays, for every reason it stayed for.
fn still_kept(before: &RetentionInfo, now: &[RetentionInfo]) -> Check {
    let name = before.device.short();
    let what = format!("every earlier snapshot of {name} is kept for the reasons of before");
    let now = now.iter().find(|one| one.device == before.device);
    let mut lost: Vec<SnapshotId> = Vec::new();
    for snap in &before.snaps {
        let found = now.and_then(|now| now.snaps.iter().find(|one| one.snap == snap.snap));
        let kept = found.is_some_and(|found| {
            found.going.is_none()
                && (!found.reasons.is_empty() || snap.reasons.is_empty())
                && found.received == snap.received
        });
        if !kept {
            lost.push(snap.snap);
        }
    }
    let found = format!(
        "{} snapshots, {} of them in danger",
        before.snaps.len(),
        lost.len()
    );
    check(what, lost.is_empty(), found)
}

/// Whether the laptop's own node noticed that its key was used elsewhere.
pub(super) fn alarm(node: &Node) -> Outcome<Check> {
    let alarms = node.client()?.status()?.alarms;
    let found = alarms
        .iter()
        .find(|alarm| matches!(alarm.kind, AlarmKind::UnknownHead | AlarmKind::Fork));
    Ok(check(
        "the laptop's own node raised an alarm about snapshots it did not make",
        found.is_some(),
        found.map_or_else(|| "no alarm".to_owned(), |alarm| alarm.text.clone()),
    ))
}

/// Restores every snapshot from every host, with nothing but the owner key.
pub(super) fn restore_all(world: &World, scene: &Scene) -> Outcome<Vec<Check>> {
    let mut checks = Vec::new();
    for kept in &scene.kept {
        for host in scene.hosts() {
            checks.push(restore(world, scene, kept, host)?);
        }
    }
    Ok(checks)
}

fn restore(world: &World, scene: &Scene, kept: &Kept, host: &Node) -> Outcome<Check> {
    let short: String = kept.snapshot.chars().take(8).collect();
    let what = format!(
        "snapshot {short} of {} comes back identical from {}",
        kept.machine, host.name
    );
    let target = world.folder().join(format!("after/{}-{short}", host.name));
    let (key, into, address) = (shown(&scene.key_file), shown(&target), host.address());
    let words = [
        "recover",
        "--owner-key",
        &key,
        "--peer",
        &address,
        "--snapshot",
        &kept.snapshot,
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
    let (good, found) = compared(&kept.reference.join(&kept.below), &target.join(&kept.below));
    Ok(check(what, good, found))
}

pub(super) fn compared(reference: &Path, target: &Path) -> (bool, String) {
    match compare_trees(reference, target) {
        Ok(found) if found.differences.is_empty() => (
            found.files > 0,
            format!("{} entries, {} bytes", found.entries, found.bytes),
        ),
        Ok(found) => {
            let first = found.differences.first();
            let first = first.map_or(String::new(), |one| {
                format!("{} {}", path(&one.path), one.what)
            });
            let number = found.differences.len();
            (false, format!("{number} differences, the first: {first}"))
        }
        Err(error) => (false, format!("cannot compare: {error}")),
    }
}
