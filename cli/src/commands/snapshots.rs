//! `packnback snapshots`: what there is and where, without any key.

use packnback_proto::ids::NodeId;
use serde_json::{Value, json};

use super::Context;
use crate::bundle::Bundle;
use crate::exit::{Exit, Outcome};
use crate::records::{Catalog, Listed};
use crate::render;

/// Runs the command.
///
/// # Errors
/// When the node cannot be asked.
pub fn run(context: &Context, all: bool) -> Outcome {
    let (bundle, client) = context.device()?;
    let catalog = Catalog::build(bundle.owner(), &client.all_records(None, false)?);
    let own = bundle.device();
    let shown: Vec<&Listed> = catalog
        .snaps
        .iter()
        .filter(|listed| all || listed.snap.value().device == own)
        .collect();
    context.voice.result(&json!({
        "owner": bundle.owner().to_string(),
        "snapshots": shown.iter().map(|listed| snapshot_json(listed, &bundle)).collect::<Vec<_>>(),
        "records_refused": catalog.refused,
    }))?;
    if shown.is_empty() {
        context
            .voice
            .say("No snapshots yet. Make one: packnback backup PATH...")?;
    } else {
        context.voice.say(&table(&shown, &bundle))?;
    }
    if catalog.refused > 0 {
        context.voice.note(&format!(
            "{} were refused: damaged, or not signed by this owner.",
            render::counted(catalog.refused, "record", "records")
        ));
    }
    Ok(Exit::Done)
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

fn table(shown: &[&Listed], bundle: &Bundle) -> String {
    let head = ["id", "time", "device", "objects", "stored", "on friends"];
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for listed in shown {
        let snap = listed.snap.value();
        let (objects, bytes) = size(listed);
        rows.push(vec![
            listed.snap.id().short(),
            render::time(snap.time),
            device_name(snap.device, bundle),
            objects.map_or_else(|| "?".into(), render::count),
            bytes.map_or_else(|| "?".into(), render::bytes),
            friends_holding(listed, bundle.device()).len().to_string(),
        ]);
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

fn snapshot_json(listed: &Listed, bundle: &Bundle) -> Value {
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
        "objects": objects,
        "stored_bytes": bytes,
        "receipts": listed.receipts.iter().map(|receipt| json!({
            "host": receipt.value().host.to_string(),
            "received": render::time_utc(receipt.value().received),
            "this_machine": receipt.value().host == own,
        })).collect::<Vec<_>>(),
        "friends": friends_holding(listed, own).len(),
    })
}
