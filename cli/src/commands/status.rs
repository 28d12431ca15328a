//! `packnback status`: the node, the friends, and which snapshots are safe.

use std::collections::HashMap;

use packnback_proto::wire::local::{CopyState, HostCopy, SnapInfo, StatusInfo};
use serde_json::{Value, json};

use super::Context;
use super::alarm::{self, alarm_json};
use super::order::waiting_lines;
use super::peer::{address_lines, peer_json, peer_table};
use super::verdict::{Facts, Newest, Verdict, verdict};
use crate::bundle::Bundle;
use crate::exit::{Exit, Outcome};
use crate::render;
use crate::system;

const SNAPS_SHOWN: usize = 10;

/// Runs the command.
///
/// # Errors
/// When the node cannot be asked.
pub fn run(context: &Context, require: Option<u32>, ack: &[u64], addresses: bool) -> Outcome {
    context.home.check_user()?;
    let bundle = Bundle::load_if_there(&context.home)?;
    let client = context.node()?;
    for number in ack {
        client.acknowledge(*number)?;
    }
    let status = client.status()?;
    let waiting = match status.owner {
        Some(_) => waiting_lines(&client.orders()?),
        None => Vec::new(),
    };
    let facts = facts(&status, require);
    let verdict = verdict(&facts);
    let mut result = status_json(&status, bundle.as_ref(), &verdict);
    if let Some(fields) = result.as_object_mut() {
        fields.insert("orders_waiting".into(), json!(waiting.len()));
        let moved = crate::commands::printed::out_of_date(&context.home, &status.peers);
        fields.insert("sheet_out_of_date".into(), json!(moved));
    }
    context.voice.result(&result)?;
    context.voice.say(&verdict.text)?;
    context.voice.say("")?;
    let mut top = alarm::lines(&status.alarms);
    top.extend(waiting);
    let moved = crate::commands::printed::out_of_date(&context.home, &status.peers);
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
    let how = How {
        verbose: context.voice.verbose > 0,
        addresses,
    };
    context.voice.say(&text(&status, bundle.as_ref(), how))?;
    if verdict.friends >= facts.wanted {
        return Ok(alarm::exit_with(&status.alarms, Exit::Done));
    }
    context.voice.problem(&format!(
        "Not safe yet: the newest snapshot is on {} of the {} friends asked for.",
        verdict.friends, facts.wanted
    ));
    Ok(alarm::exit_with(&status.alarms, Exit::NotSafe))
}

/// What the verdict goes by.
fn facts(status: &StatusInfo, require: Option<u32>) -> Facts {
    let wanted = require.map_or(0, |wanted| usize::try_from(wanted).unwrap_or(usize::MAX));
    let storing = status
        .peers
        .iter()
        .filter(|peer| peer.quota_taken > 0 && peer.ended.is_none());
    Facts {
        now: system::now(),
        has_owner: status.owner.is_some(),
        friends: storing.count(),
        wanted,
        newest: newest_of_each(&status.snaps),
        alarms: status.alarms.len(),
    }
}

/// The newest snapshot of each backup set; `snaps` are newest first.
fn newest_of_each(snaps: &[SnapInfo]) -> Vec<Newest> {
    let mut all: Vec<Newest> = Vec::new();
    for snap in snaps {
        let set = format!("set {}", snap.set.short());
        let friends = copies_done(&snap.copies);
        let safe_time = (friends > 0).then_some(snap.time);
        match all.iter_mut().find(|newest| newest.set == set) {
            Some(newest) => newest.safe_time = newest.safe_time.or(safe_time),
            None => all.push(Newest {
                set,
                time: snap.time,
                friends,
                safe_time,
            }),
        }
    }
    all
}

/// How much is shown.
#[derive(Debug, Clone, Copy)]
struct How {
    verbose: bool,
    addresses: bool,
}

fn copies_done(copies: &[HostCopy]) -> usize {
    copies.iter().filter(|copy| copy.receipt).count()
}

fn text(status: &StatusInfo, bundle: Option<&Bundle>, how: How) -> String {
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
    if how.addresses || how.verbose {
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
        lines.extend(address_lines(&status.peers, how.addresses, how.verbose));
    }
    lines.push(String::new());
    if status.snaps.is_empty() {
        lines.push("No snapshots yet. Make one: packnback backup PATH...".into());
    } else {
        lines.push(snap_table(&status.snaps, how.verbose));
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
            left_in(&snap.copies, verbose),
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

/// What keeps the copies that are not done, in a few words each.
#[must_use]
pub fn left(copies: &[HostCopy]) -> String {
    left_in(copies, false)
}

fn left_in(copies: &[HostCopy], verbose: bool) -> String {
    let now = system::now();
    let missing = copies.iter().filter(|copy| !copy.receipt);
    let parts: Vec<String> = missing
        .map(|copy| {
            let name = if copy.name.is_empty() {
                copy.host.short()
            } else {
                render::path(copy.name.as_bytes())
            };
            let what = match (copy.state, &copy.last_error) {
                (CopyState::Sending, _) if copy.bytes_left > 0 => {
                    format!("{} to send", render::bytes(copy.bytes_left))
                }
                (CopyState::Sending, _) => "sending".to_owned(),
                (_, Some(error)) if copy.away && verbose => {
                    format!(
                        "{} ({})",
                        off(copy.last_seen, now),
                        render::path(error.as_bytes())
                    )
                }
                (_, _) if copy.away => off(copy.last_seen, now),
                (_, Some(error)) => render::path(error.as_bytes()),
                (CopyState::Done, None) => "waiting for its receipt".to_owned(),
                (_, None) => "waiting".to_owned(),
            };
            format!("{name}: {what}")
        })
        .collect();
    parts.join("; ")
}

/// Said of a friend that is not there.
#[must_use]
pub fn off(last_seen: Option<u64>, now: u64) -> String {
    match last_seen {
        Some(seen) => format!("off, last seen {}", render::ago(seen, now)),
        None => "off, never seen".to_owned(),
    }
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
        "off": copy.away, "last_seen": copy.last_seen.map(render::time_utc),
    })
}

fn status_json(status: &StatusInfo, bundle: Option<&Bundle>, verdict: &Verdict) -> Value {
    let names = owner_names(status);
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
        "safe": verdict.safe,
        "verdict": verdict.text,
        "friends": verdict.friends,
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
            "own": status.owner == Some(owner.owner), "friends": names.get(&owner.owner.to_string()).unwrap_or(&Vec::new()),
        })).collect::<Vec<_>>(),
        "peers": status.peers.iter().map(peer_json).collect::<Vec<_>>(),
    })
}

/// The friends each owner is here.
fn owner_names(status: &StatusInfo) -> HashMap<String, Vec<String>> {
    let mut names: HashMap<String, Vec<String>> = HashMap::new();
    for peer in &status.peers {
        if let Some(owner) = peer.owner {
            names
                .entry(owner.to_string())
                .or_default()
                .push(super::peer::display_name(peer));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use packnback_proto::ids::NodeId;

    use super::*;

    fn copy(name: &str) -> HostCopy {
        HostCopy {
            host: NodeId([1; 32]),
            name: name.to_owned(),
            state: CopyState::Failing,
            receipt: false,
            objects_left: 0,
            bytes_left: 0,
            last_error: Some("node 12D3 cannot be reached: Dial error".to_owned()),
            away: true,
            last_seen: None,
        }
    }

    #[test]
    fn a_friend_that_is_off_is_a_few_words() {
        assert_eq!(left(&[copy("bob")]), "bob: off, never seen");
        let seen = HostCopy {
            last_seen: Some(system::now().saturating_sub(2 * 3600 + 5)),
            ..copy("bob")
        };
        assert_eq!(
            left(std::slice::from_ref(&seen)),
            "bob: off, last seen 2 h ago"
        );
        assert!(left_in(&[seen], true).contains("Dial error"));
        let refused = HostCopy {
            away: false,
            last_error: Some("the host refuses (quota): used up\x1b[2J".to_owned()),
            ..copy("bob")
        };
        let said = left(&[refused]);
        assert!(
            said.starts_with("bob: the host refuses (quota)") && !said.contains('\x1b'),
            "{said}"
        );
    }
}
