//! `packnback status`: the node, the friends, and which snapshots are safe.

use packnback_proto::wire::local::{CopyState, HostCopy, SnapInfo, StatusInfo};
use serde_json::{Value, json};

use super::Context;
use super::alarm::{self, alarm_json};
use super::order::waiting_lines;
use super::peer::{peer_json, peer_table};
use crate::bundle::Bundle;
use crate::exit::{Exit, Outcome};
use crate::render;
use crate::spawn::reach_node;
use crate::system;

const SNAPS_SHOWN: usize = 10;

/// Runs the command.
///
/// # Errors
/// When the node cannot be asked.
pub fn run(context: &Context, require: Option<u32>, ack: &[u64]) -> Outcome {
    context.home.check_user()?;
    let bundle = Bundle::load_if_there(&context.home)?;
    let client = reach_node(&context.home)?;
    for number in ack {
        client.acknowledge(*number)?;
    }
    let status = client.status()?;
    let waiting = match status.owner {
        Some(_) => waiting_lines(&client.orders()?),
        None => Vec::new(),
    };
    let newest = status
        .snaps
        .first()
        .map_or(0, |snap| copies_done(&snap.copies));
    let enough =
        require.is_none_or(|wanted| newest >= usize::try_from(wanted).unwrap_or(usize::MAX));
    let mut result = status_json(&status, bundle.as_ref(), enough);
    if let Some(fields) = result.as_object_mut() {
        fields.insert("orders_waiting".into(), json!(waiting.len()));
        let moved = crate::printed::out_of_date(&context.home, &status.peers);
        fields.insert("sheet_out_of_date".into(), json!(moved));
    }
    context.voice.result(&result)?;
    let mut top = alarm::lines(&status.alarms);
    top.extend(waiting);
    let moved = crate::printed::out_of_date(&context.home, &status.peers);
    if !moved.is_empty() {
        top.push(format!(
            "The printed recovery sheet is out of date: it does not reach {}. Print it again: packnback key sheet --owner-key FILE",
            moved.join(", ")
        ));
    }
    if !top.is_empty() {
        top.push(String::new());
        context.voice.say(&top.join("\n"))?;
    }
    context
        .voice
        .say(&text(&status, bundle.as_ref(), context.voice.verbose > 0))?;
    if enough {
        return Ok(alarm::exit_with(&status.alarms, Exit::Done));
    }
    context.voice.problem(&format!(
        "Not safe yet: the newest snapshot is on {newest} of the {} friends asked for.",
        require.unwrap_or(0)
    ));
    Ok(alarm::exit_with(&status.alarms, Exit::NotSafe))
}

fn copies_done(copies: &[HostCopy]) -> usize {
    copies.iter().filter(|copy| copy.receipt).count()
}

fn text(status: &StatusInfo, bundle: Option<&Bundle>, verbose: bool) -> String {
    let mut lines = Vec::new();
    let owner = match (bundle, status.owner) {
        (Some(bundle), _) => format!(
            "device {} of owner {}",
            render::path(bundle.label.as_bytes()),
            bundle.owner().short()
        ),
        (None, Some(owner)) => format!(
            "owner {} (the device bundle is missing: packnback init --owner-key FILE)",
            owner.short()
        ),
        (None, None) => "no owner yet: packnback init".to_owned(),
    };
    lines.push(format!("This machine  {owner}"));
    lines.push(format!(
        "Node          {}, version {}, running for {} (pid {})",
        status.node.short(),
        status.version,
        render::duration(std::time::Duration::from_secs(status.uptime_s)),
        status.pid
    ));
    lines.push(format!(
        "Store         {} in {}; {} free on the disk",
        render::bytes(status.bytes),
        render::counted(status.objects, "object", "objects"),
        render::bytes(status.disk_free)
    ));
    if status.disk_free < status.disk_reserve {
        lines.push(format!(
            "              The disk is nearly full: nothing new is stored below {}.",
            render::bytes(status.disk_reserve)
        ));
    }
    if verbose || status.peers.is_empty() {
        for address in &status.listen {
            lines.push(format!("Address       {address}"));
        }
    }
    lines.push(String::new());
    if status.peers.is_empty() {
        lines.push(
            "No friends yet: everything is on this machine only. Invite one: packnback peer invite"
                .into(),
        );
    } else {
        lines.push(peer_table(&status.peers));
    }
    lines.push(String::new());
    if status.snaps.is_empty() {
        lines.push("No snapshots yet. Make one: packnback backup PATH...".into());
    } else {
        lines.push(snap_table(&status.snaps, verbose));
    }
    lines.join("\n")
}

fn snap_table(snaps: &[SnapInfo], verbose: bool) -> String {
    let now = system::now();
    let mut rows = vec![vec![
        "snapshot".to_owned(),
        "time".into(),
        "age".into(),
        "stored".into(),
        "safe on".into(),
        "still to go".into(),
    ]];
    let limit = if verbose { usize::MAX } else { SNAPS_SHOWN };
    for snap in snaps.iter().take(limit) {
        rows.push(vec![
            snap.snap.short(),
            render::time(snap.time),
            render::ago(snap.time, now),
            render::bytes(snap.bytes),
            format!(
                "{} of {} friends",
                copies_done(&snap.copies),
                snap.copies.len()
            ),
            left(&snap.copies),
        ]);
    }
    let more = snaps.len().saturating_sub(limit);
    let table = render::table(&rows, &[3]);
    if more > 0 {
        format!("{table}\nand {more} older ones (-v shows them)")
    } else {
        table
    }
}

/// What keeps the copies that are not done.
#[must_use]
pub fn left(copies: &[HostCopy]) -> String {
    let missing = copies.iter().filter(|copy| !copy.receipt);
    let parts: Vec<String> = missing
        .map(|copy| {
            let name = if copy.name.is_empty() {
                copy.host.short()
            } else {
                render::path(copy.name.as_bytes())
            };
            match (copy.state, &copy.last_error) {
                (CopyState::Sending, _) if copy.bytes_left > 0 => {
                    format!("{name}: {} to send", render::bytes(copy.bytes_left))
                }
                (CopyState::Sending, _) => format!("{name}: sending"),
                (_, Some(error)) => format!("{name}: {error}"),
                (CopyState::Done, None) => format!("{name}: waiting for its receipt"),
                (_, None) => format!("{name}: waiting"),
            }
        })
        .collect();
    parts.join("; ")
}

/// A copy for programs.
#[must_use]
pub fn copy_json(copy: &HostCopy) -> Value {
    let state = match copy.state {
        CopyState::Waiting => "waiting",
        CopyState::Sending => "sending",
        CopyState::Done => "done",
        CopyState::Failing => "failing",
    };
    json!({
        "host": copy.host.to_string(), "name": copy.name, "state": state, "receipt": copy.receipt,
        "objects_left": copy.objects_left, "bytes_left": copy.bytes_left, "last_error": copy.last_error,
    })
}

fn status_json(status: &StatusInfo, bundle: Option<&Bundle>, enough: bool) -> Value {
    json!({
        "version": status.version,
        "node": status.node.to_string(),
        "owner": status.owner.map(|owner| owner.to_string()),
        "label": bundle.map(|bundle| &bundle.label),
        "certificate_expires": bundle.map(|bundle| render::time_utc(bundle.cert.value().expires)),
        "pid": status.pid,
        "uptime_s": status.uptime_s,
        "listen": status.listen,
        "objects": status.objects,
        "stored_bytes": status.bytes,
        "disk_free": status.disk_free,
        "disk_reserve": status.disk_reserve,
        "safe": enough,
        "alarms": status.alarms.iter().map(alarm_json).collect::<Vec<_>>(),
        "snapshots": status.snaps.iter().map(|snap| json!({
            "id": snap.snap.to_string(),
            "seq": snap.seq,
            "time": render::time_utc(snap.time),
            "objects": snap.objects,
            "stored_bytes": snap.bytes,
            "friends": copies_done(&snap.copies),
            "copies": snap.copies.iter().map(copy_json).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "owners": status.owners.iter().map(|owner| json!({
            "owner": owner.owner.to_string(), "objects": owner.objects, "stored_bytes": owner.bytes, "snapshots": owner.snaps,
        })).collect::<Vec<_>>(),
        "peers": status.peers.iter().map(peer_json).collect::<Vec<_>>(),
    })
}
