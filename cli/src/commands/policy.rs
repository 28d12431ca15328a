//! `packnback policy`: what hosts keep by themselves.

use std::collections::BTreeSet;

use packnback_proto::ids::SnapshotId;
use packnback_proto::record::{Op, PolicyArg};
use packnback_proto::request::Wanted;
use packnback_proto::wire::admin::{KeepInfo, PolicyInfo, RetentionInfo};
use serde_json::{Value, json};

use super::Context;
use super::order::{
    Draft, ask, find_device, find_hosts, issue, known_hosts, policy_json, policy_text,
    policy_warnings, unix_sequence,
};
use crate::args::{PolicyCommand, PolicySetArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::records::Catalog;
use crate::render::{self, Voice};
use crate::request::Present;
use crate::sets::Sets;
use crate::system;

/// Snapshots listed by `--explain` unless more is asked for.
const LISTED_MAX: usize = 60;

/// Runs the command.
///
/// # Errors
/// No such device or host, what [`issue`] refuses.
pub fn run(context: &Context, command: PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::Show { explain, device } => show(context, explain, device.as_deref()),
        PolicyCommand::Set(args) => set(context, &args),
    }
}

fn show(context: &Context, explain: bool, device: Option<&str>) -> Outcome {
    let (bundle, client) = context.device()?;
    let device = match device {
        Some(text) => {
            let catalog = client.catalog(bundle.owner())?;
            Some(find_device(&catalog, &bundle, text)?)
        }
        None => None,
    };
    let devices = client.retention(device, None)?;
    let sets = Sets::of(&context.home, Some(&bundle));
    context
        .voice
        .result(&json!({ "devices": devices.iter().map(explain_json).collect::<Vec<_>>() }))?;
    if devices.is_empty() {
        context
            .voice
            .say("No snapshots on this machine, so nothing to keep.")?;
    }
    for (at, info) in devices.iter().enumerate() {
        if at > 0 {
            context.voice.say("")?;
        }
        let name = if info.device == bundle.device() {
            format!(
                "{} ({})",
                render::path(bundle.label.as_bytes()),
                info.device.short()
            )
        } else {
            info.device.short()
        };
        context.voice.say(&summary(&name, info))?;
        if explain {
            context
                .voice
                .say(&explain_table(info, &sets, context.voice))?;
        }
    }
    Ok(Exit::Done)
}

/// A device's policy and how many snapshots it keeps.
fn summary(name: &str, info: &RetentionInfo) -> String {
    let policy = info.policy.as_ref().map_or_else(
        || "no policy: everything is kept (set one: packnback policy set)".to_owned(),
        policy_text,
    );
    let going = info
        .snaps
        .iter()
        .filter(|snap| snap.going.is_some())
        .count();
    let mut lines = vec![
        format!("Device {name}: {policy}"),
        format!(
            "  {}, {} of them marked to go",
            render::counted(count(info.snaps.len()), "snapshot", "snapshots"),
            render::count(count(going))
        ),
    ];
    for reason in &info.frozen {
        lines.push(format!(
            "  FROZEN, nothing goes by the policy: {}",
            render::path(reason.as_bytes())
        ));
    }
    if !info.frozen.is_empty() {
        lines.push("  A new policy order ends the freeze: look at the snapshots first (packnback policy show --explain).".into());
    }
    lines.join("\n")
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Every snapshot of a device with the rule that keeps it, or the day it goes.
#[must_use]
pub fn explain_table(info: &RetentionInfo, sets: &Sets, voice: Voice) -> String {
    let limit = if voice.verbose > 0 {
        usize::MAX
    } else {
        LISTED_MAX
    };
    let now = system::now();
    let several: BTreeSet<_> = info.snaps.iter().map(|snap| snap.set).collect();
    let mut head = vec!["snapshot", "device time", "received"];
    if several.len() > 1 {
        head.push("backup set");
    }
    head.push("stays or goes");
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for snap in info.snaps.iter().take(limit) {
        let mut row = vec![
            snap.snap.short(),
            render::time(snap.time),
            render::time(snap.received),
        ];
        if several.len() > 1 {
            row.push(sets.show(&snap.set));
        }
        row.push(fate(snap, now));
        rows.push(row);
    }
    let table = render::table(&rows, &[]);
    match info.snaps.len().saturating_sub(limit) {
        0 => table,
        more => format!("{table}\nand {more} older ones (-v shows them)"),
    }
}

fn fate(snap: &KeepInfo, now: u64) -> String {
    let reasons = render::path(snap.reasons.join(", ").as_bytes());
    if let Some(going) = &snap.going {
        let by = going.order.map_or_else(
            || "by the policy".to_owned(),
            |order| format!("by order {}", order.short()),
        );
        return format!("GOES on {}, {by}", render::day(going.due));
    }
    match (reasons.is_empty(), snap.goes) {
        (true, Some(day)) if day > now => format!("goes on {}", render::day(day)),
        (true, _) => "goes".into(),
        (false, None) => format!("stays: {reasons}"),
        (false, Some(day)) => format!("stays: {reasons}; until {} at least", render::day(day)),
    }
}

/// The same for programs.
#[must_use]
pub fn explain_json(info: &RetentionInfo) -> Value {
    json!({
        "device": info.device.to_string(),
        "policy": info.policy.as_ref().map(policy_json),
        "frozen": info.frozen,
        "snapshots": info.snaps.iter().map(|snap| json!({
            "id": snap.snap.to_string(),
            "set": snap.set.to_string(),
            "time": render::time_utc(snap.time),
            "received": render::time_utc(snap.received),
            "kept_by": snap.reasons,
            "may_go": snap.goes.map(render::time_utc),
            "going": snap.going.as_ref().map(|going| json!({
                "since": render::time_utc(going.since),
                "due": render::time_utc(going.due),
                "order": going.order.map(|order| order.to_string()),
            })),
        })).collect::<Vec<_>>(),
    })
}

fn set(context: &Context, args: &PolicySetArgs) -> Outcome {
    if !args.keep.any() {
        return Err(Failure::usage("what should be kept?")
            .safe("The policy in force stays.")
            .next("For example: packnback policy set --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --keep-yearly 10"));
    }
    let (bundle, client) = context.device()?;
    let catalog = client.catalog(bundle.owner())?;
    let device = match &args.device {
        Some(text) => Some(find_device(&catalog, &bundle, text)?),
        None => None,
    };
    let now = client.retention(device, None)?;
    let audience = if args.hosts.is_empty() {
        known_hosts(&catalog, &client, &bundle)?
    } else {
        let hosts = find_hosts(&client.peers()?, &bundle, &args.hosts)?;
        hosts.into_iter().collect()
    };
    let policy = PolicyInfo {
        pseq: unix_sequence(highest_sequence(&catalog, &now), system::now()),
        device,
        min_age_d: args.min_age,
        keep: args.keep.periods(),
        keep_last: args.keep.keep_last.unwrap_or(3),
        grace_d: args.grace,
    };
    let tried = client.retention(device, Some(policy.clone()))?;
    let more = lets_go(&now, &tried);
    let signs_here = args.sign.request_out.is_none() && args.sign.key.source().is_some();
    // As it was understood, before anything is signed.
    let understood = format!("The policy: {}.", policy_text(&policy));
    let what = match more {
        0 => "On this machine nothing goes now that would stay without it.".to_owned(),
        more => format!(
            "On this machine {} may go that would stay without it, after {} of grace at least.",
            render::counted(more, "snapshot", "snapshots"),
            render::counted(policy.grace_d, "day", "days")
        ),
    };
    let what = format!("{understood}\n{what}");
    if more > 0 && signs_here {
        ask(context.voice, &what, args.sign.confirm.yes)?;
    } else {
        context.voice.say(&what)?;
    }
    let wanted = vec![Wanted {
        audience: Some(audience),
        ..Wanted::any_host(Op::Policy(policy_arg(&policy)))
    }];
    let draft = Draft {
        context,
        bundle: &bundle,
        client: &client,
        catalog: &catalog,
        present: Present::new(&now),
    };
    let extra = json!({ "policy": policy_json(&policy), "more_may_go": more, "warnings": policy_warnings(&policy) });
    issue(&draft, wanted, &args.sign, &extra)
}

fn policy_arg(policy: &PolicyInfo) -> PolicyArg {
    PolicyArg {
        pseq: policy.pseq,
        device: policy.device,
        min_age_d: policy.min_age_d,
        keep: policy.keep,
        keep_last: policy.keep_last,
        grace_d: policy.grace_d,
    }
}

/// The highest sequence number of a policy anybody here knows of, receipts included.
fn highest_sequence(catalog: &Catalog, now: &[RetentionInfo]) -> u64 {
    let orders = catalog
        .orders
        .iter()
        .filter_map(|order| match &order.value().op {
            Op::Policy(policy) => Some(policy.pseq),
            _ => None,
        });
    let in_force = now
        .iter()
        .filter_map(|info| info.policy.as_ref().map(|policy| policy.pseq));
    // A receipt is signed by a host, not by the owner: one that lies must not exhaust the numbers.
    orders.chain(in_force).max().unwrap_or(0)
}

/// How many snapshots may go under the policy tried out that stay under the one in force.
fn lets_go(now: &[RetentionInfo], tried: &[RetentionInfo]) -> u64 {
    let falls = |devices: &[RetentionInfo], in_force: bool| -> BTreeSet<SnapshotId> {
        let snaps = devices
            .iter()
            .filter(|info| !in_force || info.policy.is_some())
            .flat_map(|info| &info.snaps);
        snaps
            .filter(|snap| snap.reasons.is_empty())
            .map(|snap| snap.snap)
            .collect()
    };
    let marked: BTreeSet<SnapshotId> = now
        .iter()
        .flat_map(|info| &info.snaps)
        .filter(|snap| snap.going.is_some())
        .map(|snap| snap.snap)
        .collect();
    let before = falls(now, true);
    let after = falls(tried, false);
    let more = after
        .iter()
        .filter(|id| !before.contains(id) && !marked.contains(id));
    count(more.count())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use packnback_proto::ids::NodeId;
    use packnback_proto::wire::admin::GoingInfo;

    fn snap(n: u8, reasons: &[&str]) -> KeepInfo {
        KeepInfo {
            snap: SnapshotId::from([n; 32]),
            set: packnback_proto::ids::SetId([1; 16]),
            time: 1,
            received: 1,
            reasons: reasons.iter().map(ToString::to_string).collect(),
            goes: None,
            going: None,
        }
    }

    fn info(policy: Option<PolicyInfo>, snaps: Vec<KeepInfo>) -> RetentionInfo {
        RetentionInfo {
            device: NodeId([1; 32]),
            policy,
            frozen: Vec::new(),
            total: snaps.len() as u64,
            snaps,
        }
    }

    #[test]
    fn only_what_would_newly_go_is_counted() {
        let mut marked = snap(3, &[]);
        marked.going = Some(GoingInfo {
            since: 1,
            due: 2,
            order: None,
        });
        let some = Some(PolicyInfo::default());
        let now = [info(some, vec![snap(1, &["x"]), snap(2, &[]), marked])];
        let tried = [info(None, vec![snap(1, &[]), snap(2, &[]), snap(3, &[])])];
        assert_eq!(lets_go(&now, &tried), 1);
        let unruled = [info(None, vec![snap(1, &[]), snap(2, &[])])];
        assert_eq!(
            lets_go(&unruled, &tried),
            3,
            "without a policy nothing goes"
        );
    }

    #[test]
    fn every_snapshot_is_explained() {
        let mut going = snap(2, &[]);
        going.going = Some(GoingInfo {
            since: 0,
            due: 86_400 * 40,
            order: None,
        });
        let info = info(None, vec![snap(1, &["held", "daily"]), going, snap(3, &[])]);
        let table = explain_table(&info, &Sets::default(), Voice::default());
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].ends_with("stays: held, daily"), "{table}");
        assert!(lines[2].contains("GOES on 1970-02-"), "{table}");
        assert!(lines[3].ends_with("goes"), "{table}");
    }
}
