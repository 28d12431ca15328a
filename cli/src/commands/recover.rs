//! `packnback recover`: from nothing but the owner key and one friend.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::ids::NodeId;
use serde_json::{Value, json};

use super::Context;
use super::reading::{Reading, sign_and_open};
use super::restore::{Finished, Job, SAFE_TO_STOP};
use crate::args::RecoverArgs;
use crate::client::{Client, Remote, RemoteHost};
use crate::exit::{Exit, Failure, Outcome};
use crate::records::choose;
use crate::render;
use crate::restore::{self, LoadedSnapshot};
use crate::spawn::reach_node;
use crate::system;

/// Runs the command.
///
/// # Errors
/// Wrong words or key, no friend to be reached, nothing there.
pub fn run(context: &Context, args: &RecoverArgs) -> Outcome {
    let reading = Reading::find(context, &args.key, &args.handed)?;
    let keys = &reading.keys;
    let client = reach_node(&context.home)?;
    let found = ask_all(context, &client, &reading, &args.peer)?;
    let chosen = select(&found.snaps, args)?;
    if args.target.is_none() && args.handed.unseal_request.is_none() {
        return list(context, &found);
    }
    keys.check_contents()?;
    if args.handed.unseal_request.is_some() && chosen.len() > 1 {
        return Err(Failure::usage("keys are asked for one snapshot at a time")
            .safe("Nothing was written.")
            .next("Choose it with --snapshot ID; without --target and --unseal-request they are listed."));
    }
    let cancel = system::cancel_on_signal(SAFE_TO_STOP)?;
    let several = chosen.len() > 1;
    let (mut results, mut worst) = (Vec::new(), Exit::Done);
    for snap in chosen {
        let addr = found
            .addresses
            .get(&snap.id)
            .ok_or_else(|| Failure::from(restore::RestoreError::NoSnapshot))?;
        reading.open_host(&client, addr, true)?;
        if let Some(exit) =
            reading.prepare(context, &args.handed, &Remote(&client), snap, &found.snaps)?
        {
            return Ok(exit);
        }
        let Some(target) = &args.target else { continue };
        let target = if several {
            target.join(folder_name(snap))
        } else {
            target.clone()
        };
        let below = args.snapshot.as_ref().and_then(|what| what.path.clone());
        context.voice.say(&format!(
            "{} of {}, {}:",
            snap.id.short(),
            device_name(snap),
            render::time(snap.snap.time)
        ))?;
        let job = Job {
            below,
            target,
            write: &args.write,
            cancel: cancel.clone(),
        };
        let done: Finished = job.run(context.voice, keys, &Remote(&client), snap)?;
        results.push(done.json(snap));
        let exit = done.say(context.voice.after_deed(), &args.write)?;
        if exit != Exit::Done {
            worst = exit;
        }
    }
    let voice = context.voice.after_deed();
    voice.result(&json!({ "owner": keys.owner().to_string(), "complete": worst == Exit::Done, "restored": results }))?;
    voice.say("\nTo go on backing up from this machine: packnback init --owner-key FILE (or --words), then invite the friends again.")?;
    Ok(worst)
}

/// What the friends have.
struct Found {
    /// Newest first, each once.
    snaps: Vec<LoadedSnapshot>,
    /// Where each one is.
    addresses: BTreeMap<packnback_proto::ids::SnapshotId, String>,
}

fn ask_all(
    context: &Context,
    client: &Client,
    reading: &Reading,
    peers: &[String],
) -> Outcome<Found> {
    let mut found = Found {
        snaps: Vec::new(),
        addresses: BTreeMap::new(),
    };
    let mut last = None;
    for addr in peers {
        let asked = reading.open_host(client, addr, true).and_then(|host| {
            let snaps = restore::snapshots(&Remote(client), &reading.keys)?;
            Ok((host, snaps))
        });
        match asked {
            Ok((host, snaps)) => {
                context.voice.say(&format!(
                    "{} holds {}.",
                    host.host.short(),
                    render::counted(
                        u64::try_from(snaps.len()).unwrap_or(0),
                        "snapshot",
                        "snapshots"
                    )
                ))?;
                for snap in snaps {
                    if let Entry::Vacant(place) = found.addresses.entry(snap.id) {
                        place.insert(addr.clone());
                        found.snaps.push(snap);
                    }
                }
            }
            Err(failure) => {
                if peers.len() > 1 {
                    context.voice.note(&format!("{addr}: {}", failure.what));
                }
                last = Some(failure);
            }
        }
    }
    found
        .snaps
        .sort_by_key(|snap| std::cmp::Reverse((snap.snap.time, snap.snap.seq)));
    match last {
        Some(failure) if found.snaps.is_empty() => Err(failure),
        _ => Ok(found),
    }
}

/// Connects to a host and shows it a grant for everything of this owner, signed now. `as_recovery`:
/// under the owner's recovery key, as a machine the host has never seen.
///
/// # Errors
/// When it cannot be reached, or does not serve this owner.
pub fn grant_all(
    client: &Client,
    seed: &OwnerSeed,
    addr: &str,
    as_recovery: bool,
) -> Outcome<RemoteHost> {
    sign_and_open(client, &seed.duplicate().into(), addr, as_recovery)
}

/// The snapshot asked for, or the newest of each device.
fn select<'a>(snaps: &'a [LoadedSnapshot], args: &RecoverArgs) -> Outcome<Vec<&'a LoadedSnapshot>> {
    if let Some(what) = args.snapshot.as_ref().filter(|what| what.snap != "latest") {
        return Ok(vec![choose(snaps, &what.snap, None)?]);
    }
    let mut newest: BTreeMap<NodeId, &LoadedSnapshot> = BTreeMap::new();
    for snap in snaps {
        let named = args
            .device
            .as_ref()
            .is_none_or(|name| snap.device_label.as_ref() == Some(name));
        if named {
            newest.entry(snap.snap.device).or_insert(snap);
        }
    }
    if newest.is_empty() {
        return Err(Failure::failed(
            "no-snapshot",
            "the friend holds no such snapshot of this owner",
        )
        .safe("Nothing was written.")
        .next("Ask other friends: --peer may be repeated."));
    }
    Ok(newest.into_values().collect())
}

fn device_name(snap: &LoadedSnapshot) -> String {
    snap.device_label.as_ref().map_or_else(
        || snap.snap.device.short(),
        |label| render::path(label.as_bytes()),
    )
}

/// A folder for one of several devices: its name as far as it makes one, and its id to be unique.
fn folder_name(snap: &LoadedSnapshot) -> PathBuf {
    let label = snap.device_label.clone().unwrap_or_default();
    let clean: String = label
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect();
    PathBuf::from(if clean.is_empty() {
        snap.snap.device.short()
    } else {
        format!("{clean}-{}", snap.snap.device.short())
    })
}

fn list(context: &Context, found: &Found) -> Outcome {
    let rows: Vec<Value> = found
        .snaps
        .iter()
        .map(|snap| {
            json!({
                "id": snap.id.to_string(),
                "time": render::time_utc(snap.snap.time),
                "device": snap.snap.device.to_string(),
                "label": snap.device_label,
                "address": found.addresses.get(&snap.id),
            })
        })
        .collect();
    context.voice.result(&json!({ "snapshots": rows }))?;
    let mut table = vec![vec!["id".to_owned(), "time".into(), "device".into()]];
    for snap in &found.snaps {
        table.push(vec![
            snap.id.short(),
            render::time(snap.snap.time),
            device_name(snap),
        ]);
    }
    context.voice.say(&render::table(&table, &[]))?;
    context.voice.say(
        "\nTo bring the newest of each device back, run the same command with --target DIR.",
    )?;
    Ok(Exit::Done)
}
