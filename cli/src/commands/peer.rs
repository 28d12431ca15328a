//! `packnback peer`: friends.

use std::io::{self, BufRead, IsTerminal};
use std::time::{Duration, Instant};

use packnback_proto::ids::NodeId;
use packnback_proto::wire::invite::InviteToken;
use packnback_proto::wire::local::{Invited, PeerInfo};
use serde_json::{Value, json};

use super::Context;
use super::order::ask;
use super::snapshots::friends_holding;
use super::status::off;
use crate::args::PeerCommand;
use crate::bundle::Bundle;
use crate::client::Client;
use crate::exit::{Exit, Failure, Outcome};
use crate::render::{self, print_line};
use crate::system;
use crate::units::parse_size;

/// Longest line read as an invite.
const LINE_MAX: u64 = 4096;
/// Times a person may say how much space is given.
const ASKED_MAX: usize = 3;

/// Runs the command.
///
/// # Errors
/// Invites that are wrong or too old, friends that cannot be reached.
pub fn run(context: &Context, command: PeerCommand) -> Outcome {
    context.home.check_user()?;
    let client = context.node()?;
    match command {
        PeerCommand::Invite {
            quota,
            expires,
            name,
        } => invite(context, &client, quota, expires, &name),
        PeerCommand::Accept {
            invite,
            quota,
            name,
        } => accept(context, &client, invite, quota, &name),
        PeerCommand::List { addresses } => list(context, &client, addresses),
        PeerCommand::Remove { peer, yes } => remove(context, &client, &peer, yes),
        PeerCommand::Address { peer, addresses } => address(context, &client, &peer, &addresses),
        PeerCommand::Ping { peer } => ping(context, &client, &peer),
    }
}

fn invite(
    context: &Context,
    client: &Client,
    wanted: Option<u64>,
    expires: u64,
    name: &str,
) -> Outcome {
    let Invited { token, quota } = client.invite(wanted, expires, name.to_owned())?;
    context
        .voice
        .result(&json!({ "token": token, "quota": quota, "expires_in_s": expires }))?;
    note_capped(context, wanted, quota);
    if !context.voice.json {
        context.voice.note(&format!(
            "Send this line to one friend, over a channel you trust. It works once, for {}. It offers {}.",
            render::duration(Duration::from_secs(expires)),
            render::bytes(quota)
        ));
        context
            .voice
            .note("The friend runs: packnback peer accept LINE\n");
        print_line(&token)?;
    }
    Ok(Exit::Done)
}

fn note_capped(context: &Context, wanted: Option<u64>, given: u64) {
    if wanted.is_some_and(|wanted| wanted > given) {
        context.voice.note(&format!(
            "Only {} are free on this machine: no more is offered.",
            render::bytes(given)
        ));
    }
}

fn accept(
    context: &Context,
    client: &Client,
    invite: Option<String>,
    wanted: Option<u64>,
    name: &str,
) -> Outcome {
    let line = read_invite(context, invite)?;
    // What is wrong with it the node says best.
    let offered = InviteToken::from_text(&line).ok();
    let wanted = match &offered {
        Some(offered) => asked_quota(context, client, offered, wanted)?,
        None => wanted,
    };
    let peer = client.accept(line, wanted, name.to_owned())?;
    context.voice.result(&peer_json(&peer))?;
    note_capped(context, wanted, peer.quota_given);
    context.voice.say(&format!(
        "{} is a friend now: it stores up to {} for you, you store up to {} for it. Snapshots go there by themselves.",
        display_name(&peer),
        render::bytes(peer.quota_taken),
        render::bytes(peer.quota_given)
    ))?;
    Ok(Exit::Done)
}

/// The invite: as said, else asked for. What is on the command line every user of this machine can see.
fn read_invite(context: &Context, said: Option<String>) -> Outcome<String> {
    if let Some(line) = said.filter(|line| line != "-") {
        return Ok(line.trim().to_owned());
    }
    if io::stdin().is_terminal() {
        context
            .voice
            .note("Paste the line your friend sent, then press Enter:");
    }
    let mut line = String::new();
    let read = io::Read::take(io::stdin().lock(), LINE_MAX).read_line(&mut line);
    read.map_err(|e| Failure::failed("input", format!("cannot read the invite: {e}")))?;
    match line.trim() {
        "" => Err(Failure::usage("there is no invite")
            .safe("Nothing was changed.")
            .next("The line starts with pnb-invite-: packnback peer accept LINE")),
        line => Ok(line.to_owned()),
    }
}

/// Shows what is offered, and asks for the space given back if nothing was said and somebody is there to be asked.
fn asked_quota(
    context: &Context,
    client: &Client,
    offered: &InviteToken,
    wanted: Option<u64>,
) -> Outcome<Option<u64>> {
    let name = match render::path(offered.name.as_bytes()) {
        name if name.is_empty() => format!("Node {}", offered.inviter.short()),
        name => format!("{name} ({})", offered.inviter.short()),
    };
    let now = system::now();
    let until = offered.expires.saturating_sub(now);
    let valid = match until {
        0 => "the invite is over".to_owned(),
        left => format!(
            "the invite is good for {}",
            render::duration(Duration::from_secs(left))
        ),
    };
    context.voice.say(&format!(
        "{name} offers {} on its machine; {valid}.",
        render::bytes(offered.quota)
    ))?;
    let can_ask = !context.voice.json && !context.voice.quiet && io::stdin().is_terminal();
    let is_known = client
        .peers()?
        .iter()
        .any(|peer| peer.node == offered.inviter);
    if wanted.is_some() || is_known || until == 0 || !can_ask {
        return Ok(wanted);
    }
    let status = client.status()?;
    let free = status.disk_free.saturating_sub(status.disk_reserve);
    for _ in 0..ASKED_MAX {
        context.voice.note(&format!(
            "Space you give back, at most {} (Enter: as much as is offered, as far as it is free):",
            render::bytes(free)
        ));
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        read.map_err(|e| Failure::failed("input", format!("cannot read the answer: {e}")))?;
        match line.trim() {
            "" => return Ok(Some(offered.quota.min(free))),
            text => match parse_size(text) {
                Ok(bytes) if bytes <= free => return Ok(Some(bytes)),
                Ok(_) => context.voice.note("That is more than is free."),
                Err(error) => context.voice.note(&error),
            },
        }
    }
    Err(Failure::refused("no", "stopped")
        .safe("Nothing was changed; the invite is as good as before."))
}

fn list(context: &Context, client: &Client, addresses: bool) -> Outcome {
    let peers = client.peers()?;
    context
        .voice
        .result(&json!({ "peers": peers.iter().map(peer_json).collect::<Vec<_>>() }))?;
    if peers.is_empty() {
        context
            .voice
            .say("No friends yet. Invite one: packnback peer invite")?;
        return Ok(Exit::Done);
    }
    context.voice.say(&peer_table(&peers))?;
    for line in address_lines(&peers, addresses, context.voice.verbose > 0) {
        context.voice.say(&line)?;
    }
    Ok(Exit::Done)
}

/// The friends as a table.
#[must_use]
pub fn peer_table(peers: &[PeerInfo]) -> String {
    let now = system::now();
    let head = [
        "friend",
        "state",
        "stores for us up to",
        "we store for it",
        "of at most",
    ];
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for peer in peers {
        rows.push(vec![
            display_name(peer),
            state_of(peer, now),
            render::bytes(peer.quota_taken),
            render::bytes(peer.used_given),
            render::bytes(peer.quota_given),
        ]);
    }
    render::table(&rows, &[2, 3, 4])
}

/// How a friend is, in a few words.
fn state_of(peer: &PeerInfo, now: u64) -> String {
    match (peer.ended, peer.connected, &peer.refusal) {
        (Some(ended), _, _) => format!("friendship ended {}", render::ago(ended, now)),
        (None, true, Some(refusal)) => format!("refuses ({})", refusal.code),
        (None, true, None) => "connected".to_owned(),
        (None, false, _) => off(peer.last_seen, now),
    }
}

/// Behind the table: who is who and where (`addresses`), and what went wrong in the words of the network (`verbose`).
#[must_use]
pub fn address_lines(peers: &[PeerInfo], addresses: bool, verbose: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for peer in peers.iter().filter(|_| addresses || verbose) {
        let owner = peer.owner.map_or_else(
            || "stores nothing here yet".to_owned(),
            |owner| format!("owner {}", owner.short()),
        );
        lines.push(format!(
            "{}  node {}, {owner}",
            display_name(peer),
            peer.node.short()
        ));
        if addresses {
            lines.extend(peer.addrs.iter().map(|addr| format!("    {addr}")));
        }
        if let Some(error) = peer.last_error.as_ref().filter(|_| verbose) {
            lines.push(format!("    {}", render::path(error.as_bytes())));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn address(context: &Context, client: &Client, text: &str, addresses: &[String]) -> Outcome {
    let peers = client.peers()?;
    let peer = client.peer_addrs(find(&peers, text)?.node, addresses.to_vec())?;
    context.voice.result(&peer_json(&peer))?;
    context.voice.say(&format!(
        "{} is looked for there first from now on. Try it: packnback peer ping {text}",
        display_name(&peer)
    ))?;
    Ok(Exit::Done)
}

/// Snapshots that this friend has confirmed and no other friend has.
fn only_there(
    context: &Context,
    client: &Client,
    peers: &[PeerInfo],
    peer: &PeerInfo,
) -> Outcome<u64> {
    let Some(bundle) = Bundle::load_if_there(&context.home)? else {
        return Ok(0);
    };
    let catalog = client.catalog(bundle.owner())?;
    let stays = |node: &NodeId| {
        let other = peers
            .iter()
            .find(|other| other.node == *node && other.node != peer.node);
        other.is_some_and(|other| other.ended.is_none())
    };
    let alone = catalog.snaps.iter().filter(|listed| {
        let hosts = friends_holding(listed, bundle.device());
        hosts.contains(&peer.node) && !hosts.iter().any(stays)
    });
    Ok(u64::try_from(alone.count()).unwrap_or(u64::MAX))
}

fn remove(context: &Context, client: &Client, text: &str, yes: bool) -> Outcome {
    let peers = client.peers()?;
    let peer = find(&peers, text)?;
    let name = display_name(peer);
    let alone = only_there(context, client, &peers, peer)?;
    let mut what =
        format!("Nothing new goes to {name} any more, and nothing of {name} comes here.");
    if alone > 0 {
        what = format!(
            "{} only {name} has, no other friend. {what}",
            render::counted(alone, "snapshot is one", "snapshots are ones")
        );
    }
    ask(context.voice, &what, yes)?;
    let told = client.remove_peer(peer.node)?;
    context.voice.result(&json!({
        "removed": peer.node.to_string(), "name": peer.name, "told": told, "only_there": alone,
    }))?;
    let telling = if told {
        format!("{name} has been told")
    } else {
        format!("{name} is told when it comes")
    };
    context.voice.say(&format!(
        "{name} is no friend any more; {telling}. Nothing stored on either side was deleted; new snapshots no longer go there."
    ))?;
    if alone > 0 {
        context.voice.note(&format!(
            "{} on no other friend. A new backup brings what is on this machine now to the friends that are left.",
            render::counted(alone, "snapshot is", "snapshots are")
        ));
    }
    Ok(Exit::Done)
}

fn ping(context: &Context, client: &Client, text: &str) -> Outcome {
    let addr = resolve_address(client, text)?;
    let started = Instant::now();
    let host = client.open_host(&addr, None)?;
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

/// Addresses for a sheet: complete, the useful ones first.
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
        "added": render::time_utc(peer.added),
        "ended": peer.ended.map(render::time_utc),
        "refusal": peer.refusal.as_ref().map(|refusal| json!({
            "code": refusal.code.as_str(), "text": refusal.text, "since": render::time_utc(refusal.since),
        })),
    })
}
