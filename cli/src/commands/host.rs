//! `packnback host`: storing for others, from the side of this machine's administrator.

use packnback_proto::ids::OwnerId;
use packnback_proto::wire::admin::{CollectInfo, EvictInfo, HostedOwner};
use packnback_proto::wire::local::{EvictDays, PeerInfo};
use serde_json::{Value, json};

use super::Context;
use super::order::ask;
use super::peer::display_name;
use crate::args::HostCommand;
use crate::client::Client;
use crate::exit::{Exit, Failure, Outcome};
use crate::render;
use crate::system;

/// Runs the command. Needs no owner key: it is this machine's disk.
///
/// # Errors
/// No such owner, a node that refuses.
pub fn run(context: &Context, command: HostCommand) -> Outcome {
    context.home.check_user()?;
    let client = context.node()?;
    match command {
        HostCommand::Owners => owners(context, &client),
        HostCommand::Quota { owner, size } => quota(context, &client, &owner, size.0),
        HostCommand::Evict {
            owner,
            warn_days,
            freeze_days,
            cancel,
            yes,
        } => {
            let days = (!cancel).then_some((warn_days, freeze_days));
            evict(context, &client, &owner, days, yes)
        }
        HostCommand::Collect => collect(context, &client),
    }
}

fn owners(context: &Context, client: &Client) -> Outcome {
    let owners = client.host_owners()?;
    let peers = client.peers()?;
    let with_friends = owners.iter().map(|owner| {
        let mut fields = owner_json(owner);
        if let Some(fields) = fields.as_object_mut() {
            let friends = friends_of(owner, &peers);
            let friends =
                friends.map(|peer| json!({ "node": peer.node.to_string(), "name": peer.name }));
            fields.insert("friends".into(), friends.collect());
        }
        fields
    });
    context
        .voice
        .result(&json!({ "owners": with_friends.collect::<Vec<_>>() }))?;
    if owners.is_empty() {
        context.voice.say("This machine stores for nobody yet.")?;
        return Ok(Exit::Done);
    }
    context.voice.say(&table(&owners, &peers, system::now()))?;
    for owner in &owners {
        if let Some(evict) = &owner.evict {
            context
                .voice
                .say(&format!("{}: {}", owner.owner.short(), ladder(evict)))?;
        }
    }
    Ok(Exit::Done)
}

/// The friends that store for this owner here.
fn friends_of<'a>(
    owner: &'a HostedOwner,
    peers: &'a [PeerInfo],
) -> impl Iterator<Item = &'a PeerInfo> {
    peers
        .iter()
        .filter(|peer| peer.owner == Some(owner.owner) || owner.devices.contains(&peer.node))
}

fn table(owners: &[HostedOwner], peers: &[PeerInfo], now: u64) -> String {
    let head = [
        "owner",
        "friend",
        "stored",
        "at most",
        "snapshots",
        "devices",
        "last session",
        "end",
    ];
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for owner in owners {
        let names: Vec<String> = friends_of(owner, peers).map(display_name).collect();
        let who = match (owner.own, names.is_empty()) {
            (true, _) => "this machine".to_owned(),
            (false, true) => "none now".to_owned(),
            (false, false) => names.join(", "),
        };
        rows.push(vec![
            owner.owner.short(),
            who,
            render::bytes(owner.bytes),
            owner.quota.map_or_else(|| "no limit".into(), render::bytes),
            render::count(owner.snaps),
            owner.devices.len().to_string(),
            owner
                .last_session
                .map_or_else(|| "never".into(), |at| render::ago(at, now)),
            owner
                .evict
                .as_ref()
                .map_or_else(|| "-".into(), |evict| render::path(evict.stage.as_bytes())),
        ]);
    }
    render::table(&rows, &[2, 3, 4, 5])
}

/// How far the end of hosting has come, in words.
fn ladder(evict: &EvictInfo) -> String {
    let (freeze, drop) = (render::time(evict.freeze_at), render::time(evict.drop_at));
    match evict.stage.as_str() {
        "warned" => format!(
            "warned since {}; no more writes from {freeze}, reading and copying to other hosts go on; everything goes on {drop}",
            render::time(evict.since)
        ),
        "frozen" => format!(
            "no more writes since {freeze}; it can still be read and copied to other hosts; everything goes on {drop}"
        ),
        "dropped" => format!("everything went on {drop}"),
        other => format!(
            "{}; writes end on {freeze}, everything goes on {drop}",
            render::path(other.as_bytes())
        ),
    }
}

fn quota(context: &Context, client: &Client, text: &str, bytes: Option<u64>) -> Outcome {
    let owners = client.host_owners()?;
    let owner = find(&owners, text)?;
    client.host_quota(owner.owner, bytes)?;
    context.voice.result(
        &json!({ "owner": owner.owner.to_string(), "quota": bytes, "stored_bytes": owner.bytes }),
    )?;
    let text = match bytes {
        None => format!(
            "Owner {} may store without limit here.",
            owner.owner.short()
        ),
        Some(bytes) => format!(
            "Owner {} may store {} here; it stores {} now.",
            owner.owner.short(),
            render::bytes(bytes),
            render::bytes(owner.bytes)
        ),
    };
    context.voice.say(&text)?;
    if bytes.is_some_and(|bytes| bytes < owner.bytes) {
        context.voice.say("That is less than it stores: nothing is deleted, but nothing new is taken until there is room.")?;
    }
    Ok(Exit::Done)
}

fn evict(
    context: &Context,
    client: &Client,
    text: &str,
    days: Option<(u32, u32)>,
    yes: bool,
) -> Outcome {
    let owners = client.host_owners()?;
    let owner = find(&owners, text)?;
    if let Some((warn, freeze)) = days {
        let what = format!(
            "Owner {} stores {} in {} here. It is warned for {}, may then not write for {}, and then everything of it goes from this machine.",
            owner.owner.short(),
            render::bytes(owner.bytes),
            render::counted(owner.snaps, "snapshot", "snapshots"),
            render::counted(warn.into(), "day", "days"),
            render::counted(freeze.into(), "day", "days"),
        );
        ask(context.voice, &what, yes)?;
    } else if owner.evict.is_none() {
        return Err(Failure::failed(
            "no-evict",
            format!("no end was announced to owner {}", owner.owner.short()),
        )
        .safe("Nothing was changed."));
    }
    let days = days.map(|(warn, frozen)| EvictDays { warn, frozen });
    let now = client.host_evict(owner.owner, days)?;
    context.voice.result(&owner_json(&now))?;
    let said = now.evict.as_ref().map_or_else(
        || "the end is taken back, it may store here again".to_owned(),
        ladder,
    );
    context
        .voice
        .say(&format!("Owner {}: {said}.", now.owner.short()))?;
    if now.evict.is_some() {
        context.voice.say(&format!(
            "Its devices are told at their next session. To take it back: packnback host evict {} --cancel",
            now.owner.short()
        ))?;
    }
    Ok(Exit::Done)
}

fn find<'a>(owners: &'a [HostedOwner], text: &str) -> Outcome<&'a HostedOwner> {
    let lower = text.to_ascii_lowercase();
    let mut found = owners
        .iter()
        .filter(|owner| lower.len() >= 4 && owner.owner.to_string().starts_with(&lower));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Failure::failed(
            "no-owner",
            format!("this machine stores for no owner {text:?}"),
        )
        .safe("Nothing was changed.")
        .next("List them: packnback host owners")),
        (Some(_), Some(_)) => Err(Failure::usage(format!("several owners begin with {text}"))
            .safe("Nothing was changed.")
            .next("Give more digits: packnback host owners")),
    }
}

/// An owner this machine stores for, by the first digits of its id.
///
/// # Errors
/// When there is none, or several.
pub fn find_owner(client: &Client, text: &str) -> Outcome<OwnerId> {
    let owners = client.host_owners()?;
    find(&owners, text).map(|owner| owner.owner)
}

fn owner_json(owner: &HostedOwner) -> Value {
    json!({
        "owner": owner.owner.to_string(),
        "own": owner.own,
        "objects": owner.objects,
        "stored_bytes": owner.bytes,
        "snapshots": owner.snaps,
        "quota": owner.quota,
        "devices": owner.devices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "last_session": owner.last_session.map(render::time_utc),
        "evict": owner.evict.as_ref().map(|evict| json!({
            "stage": evict.stage,
            "since": render::time_utc(evict.since),
            "freeze_at": render::time_utc(evict.freeze_at),
            "drop_at": render::time_utc(evict.drop_at),
        })),
    })
}

fn collect(context: &Context, client: &Client) -> Outcome {
    let done = client.collect()?;
    context.voice.result(&collect_json(&done))?;
    context.voice.say(&collect_text(&done))?;
    Ok(Exit::Done)
}

fn collect_text(done: &CollectInfo) -> String {
    let mut text = freed_text(done);
    if done.stopped > 0 {
        text.push_str(&format!(
            "\nFor {} it stopped because something could not be read: nothing in doubt was freed. Whether every snapshot is whole is not known. Stop and start the node, which mends what it can, and check the disk (`packnback status` says more).",
            render::counted(done.stopped, "owner", "owners")
        ));
    }
    if done.damaged > 0 {
        text.push_str(&format!(
            "\n{} stored here: snapshots that need them cannot be restored whole from this node; copies on other nodes are not touched. Run a backup: what is damaged is stored again where the files still exist.",
            render::counted(done.damaged, "object is damaged or gone of those", "objects are damaged or gone of those")
        ));
    }
    text
}

fn freed_text(done: &CollectInfo) -> String {
    if done.objects == 0 && done.moved_objects == 0 {
        return format!(
            "{} ended; nothing to free. The store takes {} of the disk.",
            render::counted(done.snaps, "snapshot", "snapshots"),
            render::bytes(done.disk_after)
        );
    }
    format!(
        "{} ended; {} freed ({}). Moved to free whole files: {}. The store took {} of the disk and takes {} now.",
        render::counted(done.snaps, "snapshot", "snapshots"),
        render::counted(done.objects, "object", "objects"),
        render::bytes(done.bytes),
        render::bytes(done.moved_bytes),
        render::bytes(done.disk_before),
        render::bytes(done.disk_after)
    )
}

fn collect_json(done: &CollectInfo) -> Value {
    json!({
        "snapshots": done.snaps,
        "objects": done.objects,
        "freed_bytes": done.bytes,
        "moved_objects": done.moved_objects,
        "moved_bytes": done.moved_bytes,
        "disk_before": done.disk_before,
        "disk_after": done.disk_after,
        "damaged_objects": done.damaged,
        "owners_stopped": done.stopped,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn owner(n: u8) -> HostedOwner {
        HostedOwner {
            owner: OwnerId([n; 32]),
            own: false,
            objects: 1,
            bytes: 2,
            snaps: 3,
            quota: None,
            devices: Vec::new(),
            last_session: None,
            evict: None,
        }
    }

    #[test]
    fn an_owner_is_found_by_enough_digits() {
        let owners = [owner(0x11), owner(0x12)];
        assert_eq!(find(&owners, "1212").unwrap().owner, OwnerId([0x12; 32]));
        for (text, code) in [("12", "no-owner"), ("", "no-owner"), ("9999", "no-owner")] {
            assert_eq!(find(&owners, text).unwrap_err().code, code);
        }
        let twins = [owner(0x11), owner(0x11)];
        assert_eq!(find(&twins, "1111").unwrap_err().code, "usage");
    }

    #[test]
    fn each_step_of_the_ladder_is_told() {
        let evict = |stage: &str| EvictInfo {
            stage: stage.into(),
            since: 0,
            freeze_at: 86_400 * 30,
            drop_at: 86_400 * 90,
        };
        assert!(ladder(&evict("warned")).contains("no more writes from"));
        assert!(ladder(&evict("frozen")).contains("still be read"));
        assert!(ladder(&evict("dropped")).contains("everything went"));
        assert!(!ladder(&evict("later\x1b[2J")).contains('\x1b'));
    }
}
