//! A plan before people and programs: what goes, and what remains.

use packnback_proto::record::{Cert, Op};
use packnback_proto::request::{DevicePlan, Fate, Plan, SnapPlan, TakenBack, Wanted};
use serde_json::{Value, json};

use super::what::{audience_text, op_json, op_text, policy_info, policy_warnings};
use crate::render;

/// Snapshots listed one by one unless more is asked for.
const LISTED_MAX: usize = 30;

/// Opens the name in a certificate, if there is a key for it.
pub(super) type Names<'a> = &'a dyn Fn(&Cert) -> Option<String>;

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn device_name(device: &DevicePlan, names: Names<'_>) -> String {
    match names(device.cert.value()) {
        Some(name) => format!(
            "{} ({})",
            render::path(name.as_bytes()),
            device.device.short()
        ),
        None => device.device.short(),
    }
}

/// The plan as text.
#[must_use]
pub(super) fn text(plan: &Plan, names: Names<'_>, all: bool) -> String {
    let mut lines = vec![format!(
        "For owner {}, made {}. Wanted:",
        plan.owner.short(),
        render::time(plan.created)
    )];
    for wanted in &plan.wanted {
        let later = wanted.not_before.map_or_else(String::new, |at| {
            format!(", not before {}", render::time(at))
        });
        lines.push(format!(
            "  {}, {}{later}",
            op_text(&wanted.op),
            audience_text(wanted.audience.as_deref())
        ));
        about(&mut lines, plan, wanted);
    }
    for taken in &plan.taken_back {
        lines.push(taken_text(taken));
    }
    for device in &plan.devices {
        lines.push(String::new());
        device_text(&mut lines, device, names, all);
    }
    lines.push(String::new());
    lines.push(checked(plan));
    lines.join("\n")
}

/// What a kind of order does beyond the snapshots it names.
fn about(lines: &mut Vec<String>, plan: &Plan, wanted: &Wanted) {
    match &wanted.op {
        Op::Policy(policy) => {
            let warnings = policy_warnings(&policy_info(policy));
            lines.extend(warnings.iter().map(|text| format!("  WARNING: {text}")));
            let falls = plan.falls_under(policy);
            if !falls.is_empty() {
                let ids: Vec<String> = falls.iter().take(LISTED_MAX).map(|id| id.short()).collect();
                lines.push(format!(
                    "  WARNING: of the snapshots shown, {} that no rule of it keeps may go once old enough: {}{}",
                    render::count(count(falls.len())),
                    ids.join(", "),
                    if falls.len() > LISTED_MAX { ", ..." } else { "" }
                ));
            }
            lines.push("  Each host decides by it, day by day, what goes; what is not shown here goes by it as well (see: packnback policy show --explain).".into());
        }
        Op::DropOwner => lines.push(
            "  WARNING: EVERYTHING of this owner goes there, also what is not shown here.".into(),
        ),
        _ => {}
    }
}

/// An order that is taken back: what stays because of it.
fn taken_text(taken: &TakenBack) -> String {
    let order = taken.order.value();
    let ids = match &order.op {
        Op::DeleteIds(ids) => {
            let shown: Vec<String> = ids.iter().take(LISTED_MAX).map(|id| id.short()).collect();
            let more = if ids.len() > LISTED_MAX { ", ..." } else { "" };
            format!(": {}{more}", shown.join(", "))
        }
        _ => String::new(),
    };
    format!(
        "  takes back order {} of {} ({}, {}){ids}",
        taken.order.id().short(),
        render::time(order.issued),
        op_text(&order.op),
        audience_text(order.audience.as_deref())
    )
}

fn device_text(lines: &mut Vec<String>, device: &DevicePlan, names: Names<'_>, all: bool) {
    let goes: Vec<&SnapPlan> = device.goes().collect();
    let stays: Vec<&SnapPlan> = device.stays().collect();
    lines.push(format!(
        "Device {}: {} to go, {} to remain{}",
        device_name(device, names),
        render::counted(count(goes.len()), "snapshot", "snapshots"),
        render::count(count(stays.len()).saturating_add(device.more)),
        match device.more {
            0 => String::new(),
            more => format!(
                " ({} of them not shown, only said to be there)",
                render::count(more)
            ),
        }
    ));
    if !goes.is_empty() {
        lines.push(indent(&table("goes", &goes, all)));
    }
    if let (Some(newest), Some(oldest)) = (stays.first(), stays.last()) {
        lines.push(format!(
            "  remains: newest {} of {}, oldest {} of {}",
            newest.id.short(),
            render::time(newest.time),
            oldest.id.short(),
            render::time(oldest.time)
        ));
        if all {
            lines.push(indent(&table("remains", &stays, all)));
        }
    }
    let going = device
        .snaps
        .iter()
        .filter(|snap| snap.fate == Fate::Going)
        .count();
    if going > 0 {
        lines.push(format!(
            "  going already, by an earlier order: {}",
            render::count(count(going))
        ));
    }
    warnings(lines, device);
}

fn warnings(lines: &mut Vec<String>, device: &DevicePlan) {
    for snap in device.goes().filter(|snap| snap.newest) {
        lines.push(format!(
            "  WARNING: {} is the newest snapshot of this device.",
            snap.id.short()
        ));
    }
    if device.loses_all() && device.more == 0 {
        lines.push("  WARNING: nothing of this device would remain.".into());
    }
    if device.fork {
        lines.push("  WARNING: two snapshots claim the same place in the line of this device. Its key is in use twice, or its state was set back: find out which ones are yours before you remove any.".into());
    }
    let unseen = device
        .stays()
        .filter(|snap| snap.received.is_none())
        .count();
    if unseen > 0 {
        lines.push(format!(
            "  note: {} of those that remain have no receipt of a host.",
            render::count(count(unseen))
        ));
    }
}

fn table(title: &str, snaps: &[&SnapPlan], all: bool) -> String {
    let limit = if all { usize::MAX } else { LISTED_MAX };
    let head = [title, "device time", "received", "by", "hosts", "stored"];
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for snap in snaps.iter().take(limit) {
        let (by, at) = snap.received.map_or_else(
            || ("-".to_owned(), "no receipt".to_owned()),
            |(host, at)| (host.short(), render::time(at)),
        );
        rows.push(vec![
            snap.id.short(),
            render::time(snap.time),
            at,
            by,
            snap.hosts.to_string(),
            snap.bytes.map_or_else(|| "?".into(), render::bytes),
        ]);
    }
    let table = render::table_indented(&rows, &[4, 5], 2);
    match snaps.len().saturating_sub(limit) {
        0 => table,
        more => format!("{table}\nand {more} more (-v shows them)"),
    }
}

fn indent(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

fn checked(plan: &Plan) -> String {
    let snaps: usize = plan.devices.iter().map(|device| device.snaps.len()).sum();
    if snaps == 0 {
        return "Checked: every signature in the request.".into();
    }
    let anybody = if plan.hosts.is_none() {
        " There is no list of hosts (packnback order hosts), so receipts of anybody are shown."
    } else {
        ""
    };
    format!(
        "Checked: the signatures of {} and of their receipts and certificates. Not provable here: that there is nothing newer, and that what remains is still stored.{anybody}",
        render::counted(count(snaps), "snapshot", "snapshots")
    )
}

fn snap_json(snap: &SnapPlan) -> Value {
    json!({
        "id": snap.id.to_string(),
        "seq": snap.seq,
        "time": render::time_utc(snap.time),
        "received": snap.received.map(|(_, at)| render::time_utc(at)),
        "received_by": snap.received.map(|(host, _)| host.to_string()),
        "hosts": snap.hosts,
        "objects": snap.objects,
        "stored_bytes": snap.bytes,
        "newest": snap.newest,
    })
}

fn device_json(device: &DevicePlan, names: Names<'_>) -> Value {
    let stays: Vec<&SnapPlan> = device.stays().collect();
    json!({
        "device": device.device.to_string(),
        "label": names(device.cert.value()),
        "goes": device.goes().map(snap_json).collect::<Vec<_>>(),
        "remains": count(stays.len()),
        "remains_newest": stays.first().map(|snap| snap_json(snap)),
        "remains_oldest": stays.last().map(|snap| snap_json(snap)),
        "remains_not_shown": device.more,
        "loses_newest": device.goes().any(|snap| snap.newest),
        "loses_all": device.loses_all() && device.more == 0,
        "fork": device.fork,
    })
}

/// The plan for programs.
#[must_use]
pub(super) fn json(plan: &Plan, names: Names<'_>) -> Value {
    json!({
        "owner": plan.owner.to_string(),
        "created": render::time_utc(plan.created),
        "hosts_listed": plan.hosts.is_some(),
        "wanted": plan.wanted.iter().map(|wanted| json!({
            "order": op_json(&wanted.op),
            "hosts": wanted.audience.as_ref().map(|hosts| hosts.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "not_before": wanted.not_before.map(render::time_utc),
        })).collect::<Vec<_>>(),
        "devices": plan.devices.iter().map(|device| device_json(device, names)).collect::<Vec<_>>(),
        "takes_back": plan.taken_back.iter().map(|taken| json!({
            "id": taken.order.id().to_string(),
            "oid": data_encoding::HEXLOWER.encode(&taken.order.value().oid),
            "issued": render::time_utc(taken.order.value().issued),
            "order": op_json(&taken.order.value().op),
        })).collect::<Vec<_>>(),
    })
}
