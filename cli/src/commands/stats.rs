//! `packnback stats`: what is stored, and what deduplication and compression save.

use std::collections::BTreeMap;

use packnback_proto::ids::SnapshotId;
use packnback_proto::wire::admin::{OwnerStats, SnapStats};
use serde_json::{Value, json};

use super::host::find_owner;
use super::{Context, reader_keys};
use crate::args::StatsArgs;
use crate::client::Client;
use crate::exit::{Exit, Outcome};
use crate::keys::ReaderKeys;
use crate::render;
use crate::snapshot::{Snapshot, snapshots};

const LISTED_MAX: usize = 20;

/// Runs the command.
///
/// # Errors
/// Wrong keys, a node that cannot be asked.
pub fn run(context: &Context, args: &StatsArgs) -> Outcome {
    context.home.check_user()?;
    let keys = reader_keys(context, &args.key)?;
    let client = context.node()?;
    let owner = match &args.owner {
        Some(text) => Some(find_owner(&client, text)?),
        None => None,
    };
    let stats = client.stats(owner)?;
    let sources = match keys {
        Some(keys) if keys.owner() == stats.owner => sources(context, &client, &keys, &stats)?,
        _ => BTreeMap::new(),
    };
    context.voice.result(&stats_json(&stats, &sources))?;
    context
        .voice
        .say(&text(&stats, &sources, context.voice.verbose > 0))?;
    Ok(Exit::Done)
}

/// Bytes of the files of each snapshot, from the roots.
fn sources(
    context: &Context,
    client: &Client,
    keys: &ReaderKeys,
    stats: &OwnerStats,
) -> Outcome<BTreeMap<SnapshotId, u64>> {
    let mut found = BTreeMap::new();
    for snap in snapshots(client, keys)? {
        if !stats.snaps.iter().any(|known| known.snap == snap.id) {
            continue;
        }
        match Snapshot::open(client, keys, &snap) {
            Ok(open) => drop(found.insert(snap.id, open.root().stats.bytes)),
            Err(error) => context
                .voice
                .note(&format!("note: {}: {error}", snap.id.short())),
        }
    }
    Ok(found)
}

/// `a / b` with two digits behind the point; `None` without a sensible answer.
fn factor(a: u64, b: u64) -> Option<f64> {
    let half = u128::from(b) / 2;
    let hundredths = u128::from(a)
        .saturating_mul(100)
        .saturating_add(half)
        .checked_div(u128::from(b))?;
    u32::try_from(hundredths)
        .ok()
        .map(|hundredths| f64::from(hundredths) / 100.0)
}

fn factor_text(a: u64, b: u64) -> String {
    factor(a, b).map_or_else(|| "-".into(), |factor| format!("{factor:.2}x"))
}

fn reachable(stats: &OwnerStats) -> u64 {
    stats
        .snaps
        .iter()
        .fold(0, |sum: u64, snap| sum.saturating_add(snap.bytes))
}

fn text(stats: &OwnerStats, sources: &BTreeMap<SnapshotId, u64>, all: bool) -> String {
    let reachable = reachable(stats);
    let mut lines = vec![
        format!("Owner {}", stats.owner.short()),
        format!(
            "  stored      {} in {}",
            render::bytes(stats.bytes),
            render::counted(stats.objects, "object", "objects")
        ),
    ];
    if stats.loose_bytes > 0 {
        lines.push(format!(
            "  of that     {} belong to no snapshot: uploads under way or broken off, and what is about to be freed",
            render::bytes(stats.loose_bytes)
        ));
    }
    lines.push(format!(
        "  snapshots   {}, {} if each stood alone: {} by deduplication",
        render::count(u64::try_from(stats.snaps.len()).unwrap_or(u64::MAX)),
        render::bytes(reachable),
        factor_text(reachable, stats.bytes)
    ));
    if !sources.is_empty() {
        let source = sources
            .values()
            .fold(0, |sum: u64, n| sum.saturating_add(*n));
        lines.push(format!(
            "  files       {} in all snapshots together: {} by deduplication and compression",
            render::bytes(source),
            factor_text(source, stats.bytes)
        ));
    }
    if !stats.snaps.is_empty() {
        lines.push(String::new());
        lines.push(table(&stats.snaps, sources, all));
    }
    lines.join("\n")
}

fn table(snaps: &[SnapStats], sources: &BTreeMap<SnapshotId, u64>, all: bool) -> String {
    let limit = if all { usize::MAX } else { LISTED_MAX };
    let mut head = vec![
        "snapshot",
        "time",
        "device",
        "objects",
        "stored",
        "only here",
    ];
    if !sources.is_empty() {
        head.extend(["files", "ratio"]);
    }
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for snap in snaps.iter().take(limit) {
        let mut row = vec![
            snap.snap.short(),
            render::time(snap.time),
            snap.device.short(),
            render::count(snap.objects),
            render::bytes(snap.bytes),
            render::bytes(snap.unique_bytes),
        ];
        if !sources.is_empty() {
            let source = sources.get(&snap.snap).copied();
            row.push(source.map_or_else(|| "?".into(), render::bytes));
            row.push(source.map_or_else(|| "-".into(), |source| factor_text(source, snap.bytes)));
        }
        rows.push(row);
    }
    let table = render::table(&rows, &[3, 4, 5, 6, 7]);
    match snaps.len().saturating_sub(limit) {
        0 => table,
        more => format!("{table}\nand {more} older ones (-v shows them)"),
    }
}

fn stats_json(stats: &OwnerStats, sources: &BTreeMap<SnapshotId, u64>) -> Value {
    let reachable = reachable(stats);
    let source = sources
        .values()
        .fold(0, |sum: u64, n| sum.saturating_add(*n));
    json!({
        "owner": stats.owner.to_string(),
        "objects": stats.objects,
        "stored_bytes": stats.bytes,
        "loose_bytes": stats.loose_bytes,
        "reachable_bytes": reachable,
        "dedup_factor": factor(reachable, stats.bytes),
        "source_bytes": (!sources.is_empty()).then_some(source),
        "total_factor": (!sources.is_empty()).then(|| factor(source, stats.bytes)).flatten(),
        "snapshots": stats.snaps.iter().map(|snap| {
            let source = sources.get(&snap.snap).copied();
            json!({
                "id": snap.snap.to_string(),
                "device": snap.device.to_string(),
                "time": render::time_utc(snap.time),
                "root": snap.root.to_string(),
                "objects": snap.objects,
                "stored_bytes": snap.bytes,
                "unique_objects": snap.unique_objects,
                "unique_bytes": snap.unique_bytes,
                "source_bytes": source,
                "compression_ratio": source.and_then(|source| factor(source, snap.bytes)),
            })
        }).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use packnback_proto::ids::{NodeId, ObjectId, OwnerId};

    fn stats() -> OwnerStats {
        let snap = |n: u8, bytes, unique_bytes| SnapStats {
            snap: SnapshotId::from([n; 32]),
            device: NodeId([1; 32]),
            time: 1,
            root: ObjectId([n; 32]),
            objects: 4,
            bytes,
            unique_objects: 1,
            unique_bytes,
        };
        OwnerStats {
            owner: OwnerId([7; 32]),
            objects: 6,
            bytes: 1000,
            loose_bytes: 10,
            total: 2,
            snaps: vec![snap(2, 900, 100), snap(1, 850, 50)],
        }
    }

    #[test]
    fn factors_follow_from_what_is_stored() {
        let none = BTreeMap::new();
        let value = stats_json(&stats(), &none);
        assert_eq!(value["reachable_bytes"], 1750);
        assert_eq!(value["dedup_factor"], 1.75);
        assert_eq!(value["source_bytes"], Value::Null);
        let sources = BTreeMap::from([(SnapshotId::from([2; 32]), 1800)]);
        let value = stats_json(&stats(), &sources);
        assert_eq!(value["snapshots"][0]["compression_ratio"], 2.0);
        assert_eq!(value["snapshots"][1]["compression_ratio"], Value::Null);
        assert_eq!(value["total_factor"], 1.8);
        assert!(text(&stats(), &sources, false).contains("2.00x"));
        assert_eq!(factor(1, 0), None);
        assert_eq!(factor(u64::MAX, 1), None);
    }
}
