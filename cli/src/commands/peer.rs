//! `packnback peer`: friends.

use std::time::Instant;

use packnback_proto::ids::NodeId;
use packnback_proto::wire::local::PeerInfo;
use serde_json::{Value, json};

use super::Context;
use crate::args::PeerCommand;
use crate::client::Client;
use crate::exit::{Exit, Failure, Outcome};
use crate::render::{self, print_line};
use crate::spawn::reach_node;
use crate::system;

/// Runs the command.
///
/// # Errors
/// Invites that are wrong or too old, friends that cannot be reached.
pub fn run(context: &Context, command: PeerCommand) -> Outcome {
    context.home.check_user()?;
    let client = reach_node(&context.home)?;
    match command {
        PeerCommand::Invite {
            quota,
            expires,
            name,
        } => invite(context, &client, (quota, expires), &name),
        PeerCommand::Accept {
            invite,
            quota,
            name,
        } => accept(context, &client, (&invite, quota), &name),
        PeerCommand::List => list(context, &client),
        PeerCommand::Remove { peer } => remove(context, &client, &peer),
        PeerCommand::Ping { peer } => ping(context, &client, &peer),
    }
}

fn invite(context: &Context, client: &Client, (quota, expires): (u64, u64), name: &str) -> Outcome {
    let token = client.invite(quota, expires, name)?;
    context
        .voice
        .result(&json!({ "token": token, "quota": quota, "expires_in_s": expires }))?;
    if !context.voice.json {
        context.voice.note(&format!(
            "Send this line to one friend, over a channel you trust. It works once, for {}. It offers {}.",
            render::duration(std::time::Duration::from_secs(expires)),
            render::bytes(quota)
        ));
        context
            .voice
            .note("The friend runs: packnback peer accept LINE\n");
        print_line(&token)?;
    }
    Ok(Exit::Done)
}

fn accept(context: &Context, client: &Client, (token, quota): (&str, u64), name: &str) -> Outcome {
    let peer = client.accept(token.trim(), quota, name)?;
    context.voice.result(&peer_json(&peer))?;
    context.voice.say(&format!(
        "{} is a friend now: it offers {}, you offer {}. Snapshots go there by themselves.",
        display_name(&peer),
        render::bytes(peer.quota_taken),
        render::bytes(peer.quota_given)
    ))?;
    Ok(Exit::Done)
}

fn list(context: &Context, client: &Client) -> Outcome {
    let peers = client.peers()?;
    context
        .voice
        .result(&json!({ "peers": peers.iter().map(peer_json).collect::<Vec<_>>() }))?;
    if peers.is_empty() {
        context
            .voice
            .say("No friends yet. Invite one: packnback peer invite")?;
    } else {
        context.voice.say(&peer_table(&peers))?;
    }
    Ok(Exit::Done)
}

/// The friends as a table.
#[must_use]
pub fn peer_table(peers: &[PeerInfo]) -> String {
    let now = system::now();
    let head = ["friend", "id", "state", "they hold up to", "we hold", "of"];
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for peer in peers {
        let state = if peer.connected {
            "connected".to_owned()
        } else {
            match (peer.last_seen, &peer.last_error) {
                (Some(seen), _) => format!("seen {}", render::ago(seen, now)),
                (None, Some(error)) => format!("not reached: {error}"),
                (None, None) => "not reached yet".to_owned(),
            }
        };
        rows.push(vec![
            display_name(peer),
            peer.node.short(),
            state,
            render::bytes(peer.quota_taken),
            render::bytes(peer.used_given),
            render::bytes(peer.quota_given),
        ]);
    }
    render::table(&rows, &[3, 4, 5])
}

fn remove(context: &Context, client: &Client, text: &str) -> Outcome {
    let peers = client.peers()?;
    let peer = find(&peers, text)?;
    client.remove_peer(peer.node)?;
    context
        .voice
        .result(&json!({ "removed": peer.node.to_string(), "name": peer.name }))?;
    context.voice.say(&format!(
        "{} is no friend any more. Nothing stored on either side was deleted; new snapshots no longer go there.",
        display_name(peer)
    ))?;
    Ok(Exit::Done)
}

fn ping(context: &Context, client: &Client, text: &str) -> Outcome {
    let addr = resolve_address(client, text)?;
    let started = Instant::now();
    let host = client.remote_open(&addr, None)?;
    let took = started.elapsed();
    let skew = i128::from(host.time).saturating_sub(i128::from(system::now()));
    context.voice.result(&json!({
        "node": host.host.to_string(), "time_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "clock_difference_s": skew.to_string(),
    }))?;
    context.voice.say(&format!(
        "{} answers after {} ms.",
        host.host.short(),
        took.as_millis()
    ))?;
    if skew.abs() > 120 {
        context
            .voice
            .note(&format!("Its clock differs from ours by {skew} s."));
    }
    Ok(Exit::Done)
}

/// What the node needs to connect: an address as it is, or the id of a known friend.
///
/// # Errors
/// When there is no such friend.
pub fn resolve_address(client: &Client, text: &str) -> Outcome<String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    let peers = client.peers()?;
    Ok(find(&peers, text)?.node.to_string())
}

/// A friend by name or first digits of the id.
///
/// # Errors
/// When there is none, or several.
pub(super) fn find<'a>(peers: &'a [PeerInfo], text: &str) -> Outcome<&'a PeerInfo> {
    let lower = text.to_ascii_lowercase();
    let named: Vec<&PeerInfo> = peers.iter().filter(|peer| peer.name == text).collect();
    let by_id = peers
        .iter()
        .filter(|peer| lower.len() >= 4 && peer.node.to_string().starts_with(&lower));
    let found = if named.is_empty() {
        by_id.collect()
    } else {
        named
    };
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(
            Failure::failed("no-peer", format!("there is no friend {text:?}"))
                .safe("Nothing was changed.")
                .next("See who is there: packnback peer list"),
        ),
        _ => Err(Failure::usage(format!("{text:?} may be several friends"))
            .safe("Nothing was changed.")
            .next("Use digits of the id: packnback peer list")),
    }
}

/// Name to show for a friend.
#[must_use]
pub fn display_name(peer: &PeerInfo) -> String {
    if peer.name.is_empty() {
        node_name(&peer.node)
    } else {
        render::path(peer.name.as_bytes())
    }
}

fn node_name(node: &NodeId) -> String {
    node.short()
}

/// Addresses for a sheet: those that say whom they reach, the useful ones first.
#[must_use]
pub fn dial_addresses(peer: &PeerInfo) -> Vec<String> {
    let mut addrs = peer.addrs.clone();
    addrs.sort_by_key(|addr| addr.contains("/127.0.0.1/") || addr.contains("/::1/"));
    addrs.dedup();
    addrs
}

/// A friend for programs.
#[must_use]
pub fn peer_json(peer: &PeerInfo) -> Value {
    json!({
        "node": peer.node.to_string(),
        "name": peer.name,
        "role": peer.role.as_str(),
        "addresses": peer.addrs,
        "connected": peer.connected,
        "quota_given": peer.quota_given,
        "used_given": peer.used_given,
        "quota_taken": peer.quota_taken,
        "owner": peer.owner.map(|owner| owner.to_string()),
        "last_seen": peer.last_seen.map(render::time_utc),
        "last_error": peer.last_error,
    })
}
