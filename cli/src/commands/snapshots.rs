//! `packnback snapshots`: what there is and where, without any key.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::newest::Standing;
use packnback_proto::wire::admin::GoingInfo;
use serde_json::{Value, json};

use super::Context;
use crate::bundle::Bundle;
use crate::choice::doubts;
use crate::client::Client;
use crate::exit::{Exit, Outcome};
use crate::records::{Listed, standing_text};
use crate::recovered::{kept_records, noted_hosts};
use crate::render;
use crate::sets::Sets;

/// Runs the command.
///
/// # Errors
/// When the node cannot be asked.
pub fn run(context: &Context, all: bool, set: Option<&str>) -> Outcome {
    let (bundle, client) = context.device()?;
    // What friends listed when backups were brought back here: the machine that is gone among them.
    let (kept, hosts) = if all {
        (kept_records(&context.home), noted_hosts(&context.home))
    } else {
        (Vec::new(), Vec::new())
    };
    let catalog = client.catalog_with(bundle.owner(), kept, hosts)?;
    let own = bundle.device();
    let shown: Vec<&Listed> = catalog
        .snaps
        .iter()
        .filter(|listed| all || listed.snap.value().device == own)
        .collect();
    let sets = Sets::of(&context.home, Some(&bundle));
    let there = shown.iter().map(|listed| listed.snap.value().set);
    let wanted = match set {
        Some(text) => Some(sets.find(text, &there.collect())?),
        None => None,
    };
    let mut shown = shown;
    shown.retain(|listed| wanted.is_none_or(|set| listed.snap.value().set == set));
    let going = going(context, &client);
    let device = Shown {
        bundle: &bundle,
        going: &going,
        sets: &sets,
    };
    context.voice.result(&json!({
        "owner": bundle.owner().to_string(),
        "snapshots": shown.iter().map(|listed| snapshot_json(listed, &device)).collect::<Vec<_>>(),
        "records_refused": catalog.refused,
    }))?;
    if shown.is_empty() {
        context
            .voice
            .say("No snapshots yet. Make one: packnback backup PATH...")?;
    } else {
        context.voice.say(&table(&shown, &device))?;
    }
    for listed in shown
        .iter()
        .filter(|listed| listed.standing != Standing::Good)
    {
        context.voice.note(&format!(
            "note: {} is not taken for the newest: it {}.",
            listed.snap.id().short(),
            standing_text(listed.standing)
        ));
    }
    if let Some(newest) = shown.first().filter(|l| l.standing == Standing::Good) {
        for line in doubts(&catalog.snaps, *newest) {
            context.voice.note(&format!("note: {line}."));
        }
    }
    if catalog.refused > 0 {
        context.voice.note(&format!(
            "{} were refused: damaged, or not signed by this owner.",
            render::counted(catalog.refused, "record", "records")
        ));
    }
    Ok(Exit::Done)
}

/// Snapshots marked to go. What cannot be told does not keep the list from being shown.
fn going(context: &Context, client: &Client) -> BTreeMap<SnapshotId, GoingInfo> {
    let devices = client.retention(None, None).unwrap_or_else(|error| {
        context
            .voice
            .note(&format!("note: which snapshots go is not known: {error}"));
        Vec::new()
    });
    let snaps = devices.into_iter().flat_map(|device| device.snaps);
    snaps
        .filter_map(|snap| Some((snap.snap, snap.going?)))
        .collect()
}

/// What the list is shown with.
struct Shown<'a> {
    bundle: &'a Bundle,
    going: &'a BTreeMap<SnapshotId, GoingInfo>,
    sets: &'a Sets,
}

/// Hosts other than this machine that receipted it.
#[must_use]
pub fn friends_holding(listed: &Listed, own: NodeId) -> Vec<NodeId> {
    let mut hosts: Vec<NodeId> = listed
        .receipts
        .iter()
        .map(|receipt| receipt.value().host)
        .filter(|host| *host != own)
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

fn table(shown: &[&Listed], device: &Shown<'_>) -> String {
    let bundle = device.bundle;
    let mut head = vec!["id", "time", "device", "objects", "stored", "on friends"];
    let several = shown.iter().map(|listed| listed.snap.value().set);
    let several = several.collect::<BTreeSet<_>>().len() > 1;
    if several {
        head.push("backup set");
    }
    if !device.going.is_empty() {
        head.push("goes on");
    }
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for listed in shown {
        let snap = listed.snap.value();
        let (objects, bytes) = size(listed);
        let goes = device.going.get(&listed.snap.id());
        let mut row = vec![
            listed.snap.id().short(),
            render::time(snap.time),
            device_name(snap.device, bundle),
            objects.map_or_else(|| "?".into(), render::count),
            bytes.map_or_else(|| "?".into(), render::bytes),
            friends_holding(listed, bundle.device()).len().to_string(),
        ];
        if several {
            row.push(device.sets.show(&snap.set));
        }
        row.extend(goes.map(|going| render::time(going.due)));
        rows.push(row);
    }
    render::table(&rows, &[3, 4, 5])
}

/// Names of other devices are sealed: only the owner key opens them.
fn device_name(device: NodeId, bundle: &Bundle) -> String {
    if device == bundle.device() {
        render::path(bundle.label.as_bytes())
    } else {
        device.short()
    }
}

/// Objects and bytes, as the first receipt says.
fn size(listed: &Listed) -> (Option<u64>, Option<u64>) {
    let first = listed.receipts.first().map(|receipt| receipt.value());
    (first.map(|r| r.n_objects), first.map(|r| r.bytes))
}

fn snapshot_json(listed: &Listed, device: &Shown<'_>) -> Value {
    let bundle = device.bundle;
    let going = device.going.get(&listed.snap.id());
    let snap = listed.snap.value();
    let (objects, bytes) = size(listed);
    let own = bundle.device();
    json!({
        "id": listed.snap.id().to_string(),
        "time": render::time_utc(snap.time),
        "device": snap.device.to_string(),
        "label": (snap.device == own).then_some(&bundle.label),
        "seq": snap.seq,
        "previous": snap.prev.map(|id| id.to_string()),
        "root": snap.root.to_string(),
        "set": snap.set.to_string(),
        "set_name": device.sets.name(&snap.set),
        "objects": objects,
        "stored_bytes": bytes,
        "received": listed.received.map(render::time_utc),
        "may_be_newest": listed.standing == Standing::Good,
        "receipts": listed.receipts.iter().map(|receipt| json!({
            "host": receipt.value().host.to_string(),
            "received": render::time_utc(receipt.value().received),
            "this_machine": receipt.value().host == own,
        })).collect::<Vec<_>>(),
        "friends": friends_holding(listed, own).len(),
        "goes": going.map(|going| render::time_utc(going.due)),
        "goes_by_order": going.and_then(|going| going.order).map(|order| order.to_string()),
    })
}
