//! `packnback recover`: from nothing but the owner key and one friend.

mod bring;

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::ids::{NodeId, OwnerId, RecordId, SetId, SnapshotId};
use packnback_proto::newest::{Line, Standing};
use packnback_proto::record::{Record, decode_record};
use packnback_proto::wire::local::RemoteOpened;
use serde_json::{Value, json};

use super::Context;
use super::reading::{Reading, device_name, own_catalog, sign_and_open};
use super::restore::SAFE_TO_STOP;
use bring::{All, Work};

use crate::args::RecoverArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure, Outcome};
use crate::records::{Catalog, LoadedSnapshot, choose, standing_text};
use crate::recovered::{keep_records, note_owner};
use crate::render;
use crate::sets::{Sets, present};
use crate::snapshot::{ObjectSource, Remote, Snapshot, named};
use crate::spawn::reach_node;
use crate::system;

/// Runs the command.
///
/// # Errors
/// Wrong words or key, no friend to be reached, nothing there.
pub fn run(context: &Context, args: &RecoverArgs) -> Outcome {
    check_addresses(&args.peer)?;
    let reading = Reading::find(context, &args.key, &args.handed)?;
    let keys = &reading.keys;
    let client = reach_node(&context.home)?;
    let found = ask_all(context, &client, &reading, &args.peer)?.with_sets(&client, &reading);
    let set = found.sets.pick(args.set.as_deref(), &found.snaps, None)?;
    let chosen = select(&found.snaps, args, keys.owner(), set)?;
    remember(context, keys.owner(), &found);
    if args.target.is_none() && args.handed.unseal_request.is_none() {
        return list(context, &found);
    }
    keys.check_contents()?;
    if args.handed.unseal_request.is_some() && chosen.len() > 1 {
        return Err(Failure::usage("keys are asked for one snapshot at a time")
            .safe("Nothing was written.")
            .next("Choose it with --snapshot ID; without --target and --unseal-request they are listed."));
    }
    let work = Work {
        context,
        args,
        reading: &reading,
        client: &client,
        found: &found,
        cancel: system::cancel_on_signal(SAFE_TO_STOP)?,
    };
    let brought = match work.all(&chosen)? {
        All::Asked(exit) => return Ok(exit),
        All::Brought(brought) => brought,
    };
    let left = left_behind(&found.snaps, &chosen);
    // What was brought back stays, whoever may be told or not.
    let voice = context.voice.after_deed();
    voice.result(&json!({
        "owner": keys.owner().to_string(), "complete": brought.worst == Exit::Done, "restored": brought.results,
        "unreadable": brought.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "left": left.iter().map(|snap| snap.id.to_string()).collect::<Vec<_>>(),
    }))?;
    for snap in &left {
        voice.say(&format!(
            "Not brought back: {} of {}, {}. To bring it back: the same command with --snapshot {} and another --target.",
            snap.id.short(),
            found.whose(snap),
            render::time(snap.snap.time),
            snap.id.short(),
        ))?;
    }
    voice.say("\nTo go on backing up from this machine: packnback init --owner-key FILE (or --words), then invite the friends again.")?;
    Ok(brought.worst)
}

/// Notes whose backups these are. That it cannot be noted keeps nobody from having them back.
fn remember(context: &Context, owner: OwnerId, found: &Found) {
    let noted = context.home.create().and_then(|()| {
        note_owner(&context.home, owner, &found.hosts)?;
        keep_records(&context.home, &found.records)
    });
    if let Err(failure) = noted {
        context.voice.note(&format!(
            "note: {}. This home will not know whose backups were brought back.",
            failure.what
        ));
    }
}

/// An address that cannot be one is told before anybody types 24 words.
fn check_addresses(peers: &[String]) -> Outcome<()> {
    for addr in peers {
        let text = addr.trim();
        if text.starts_with('/') && !text.contains("/p2p/") {
            return Err(Failure::usage(format!(
                "{} lacks the id of the friend's node at its end (/p2p/...)",
                render::path(text.as_bytes())
            ))
            .safe("Nothing was read or written.")
            .next("Copy the whole address from the sheet, or ask the friend for a line of `packnback status -v`: /ip4/192.0.2.1/udp/4801/quic-v1/p2p/12D3KooW..."));
        }
    }
    Ok(())
}

/// What the friends have.
struct Found {
    /// All that was listed, each once.
    records: Vec<Vec<u8>>,
    /// Newest first, each once.
    snaps: Vec<LoadedSnapshot>,
    /// Where each one is, in the order the friends were named.
    holders: BTreeMap<SnapshotId, Vec<String>>,
    /// Who was asked and answered.
    hosts: Vec<NodeId>,
    /// What this machine's node knows itself.
    known: Option<Catalog>,
    /// What the backup sets are called.
    sets: Sets,
}

fn ask_all(
    context: &Context,
    client: &Client,
    reading: &Reading,
    peers: &[String],
) -> Outcome<Found> {
    let owner = reading.keys.owner();
    let mut records: BTreeMap<RecordId, Vec<u8>> = BTreeMap::new();
    let mut holders: BTreeMap<SnapshotId, Vec<String>> = BTreeMap::new();
    let mut view = client.viewpoint();
    let (mut hosts, mut last) = (Vec::new(), None);
    for addr in peers {
        let asked = reading.open_host(client, addr, true).and_then(|host| {
            let records = Remote(client).records(Some(owner))?;
            Ok((host, records))
        });
        match asked {
            Ok((host, listed)) => {
                view.besides.push(host.host);
                hosts.push(host.host);
                view.host_time = view.host_time.max(Some(host.time));
                let mut count = 0u64;
                for envelope in listed {
                    let Ok(record) = decode_record(&envelope) else {
                        continue;
                    };
                    if matches!(record, Record::Snap(_)) {
                        count = count.saturating_add(1);
                        holders.entry(record.id()).or_default().push(addr.clone());
                    }
                    records.insert(record.id(), envelope);
                }
                context.voice.say(&format!(
                    "{} holds {}.",
                    host.host.short(),
                    render::counted(count, "snapshot", "snapshots")
                ))?;
            }
            Err(failure) => {
                if peers.len() > 1 {
                    context.voice.note(&format!("{addr}: {}", failure.what));
                }
                last = Some(failure);
            }
        }
    }
    let records: Vec<Vec<u8>> = records.into_values().collect();
    let catalog = Catalog::build(owner, &records, &view);
    let snaps = named(&catalog, &reading.keys);
    match last {
        Some(failure) if snaps.is_empty() => Err(whose_words(failure, owner)),
        _ => Ok(Found {
            records,
            snaps,
            holders,
            hosts,
            known: own_catalog(client, owner),
            sets: Sets::default(),
        }),
    }
}

/// A friend that refuses may do so because the words are of somebody else.
fn whose_words(failure: Failure, owner: OwnerId) -> Failure {
    if failure.exit != Exit::Refused {
        return failure;
    }
    let next = format!(
        "The words or key are those of owner {0}: compare {0} with the owner at the top of the sheet. {1}",
        owner.short(),
        failure.next
    );
    failure.next(next)
}

/// The newest of lines of which nothing was chosen.
fn left_behind<'a>(
    snaps: &'a [LoadedSnapshot],
    chosen: &[&LoadedSnapshot],
) -> Vec<&'a LoadedSnapshot> {
    let mut seen: BTreeSet<Line> = chosen.iter().map(|snap| Line::of(&snap.snap)).collect();
    snaps
        .iter()
        .filter(|snap| seen.insert(Line::of(&snap.snap)))
        .collect()
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
) -> Outcome<RemoteOpened> {
    sign_and_open(client, &seed.duplicate().into(), addr, as_recovery)
}

/// The snapshot asked for, or the newest of each line.
fn select<'a>(
    snaps: &'a [LoadedSnapshot],
    args: &RecoverArgs,
    owner: OwnerId,
    set: Option<SetId>,
) -> Outcome<Vec<&'a LoadedSnapshot>> {
    if let Some(what) = args.snapshot.as_ref().filter(|what| what.snap != "latest") {
        return Ok(vec![choose(snaps, &what.snap, None)?]);
    }
    let named = |snap: &&LoadedSnapshot| {
        args.device
            .as_ref()
            .is_none_or(|name| snap.device_label.as_ref() == Some(name))
            && set.is_none_or(|set| snap.snap.set == set)
    };
    let of_device: Vec<&LoadedSnapshot> = snaps.iter().filter(named).collect();
    let mut newest: BTreeMap<Line, &LoadedSnapshot> = BTreeMap::new();
    for snap in of_device
        .iter()
        .filter(|snap| snap.standing == Standing::Good)
    {
        newest.entry(Line::of(&snap.snap)).or_insert(snap);
    }
    if !newest.is_empty() {
        return Ok(newest.into_values().collect());
    }
    if let Some(doubtful) = of_device.first() {
        // Says why it may not be taken.
        return choose(std::slice::from_ref(*doubtful), "latest", None).map(|_| Vec::new());
    }
    Err(Failure::failed(
        "no-snapshot",
        format!(
            "who was asked holds no such snapshot of owner {}",
            owner.short()
        ),
    )
    .safe("Nothing was written.")
    .next(format!(
        "Compare {} with the owner at the top of the sheet: is it the right sheet? Else ask other friends: --peer may be repeated.",
        owner.short()
    )))
}

impl Found {
    /// Its device, and its backup set if there are several.
    fn whose(&self, snap: &LoadedSnapshot) -> String {
        let device = device_name(snap);
        if present(&self.snaps, None).len() < 2 {
            return device;
        }
        format!("{device}, backup set {}", self.sets.show(&snap.snap.set))
    }

    /// With what the backup sets are called, if there are several: the newest root of each says it, at
    /// a friend that has it. Without the keys for that they go by their ids.
    fn with_sets(mut self, client: &Client, reading: &Reading) -> Self {
        if present(&self.snaps, None).len() < 2 {
            return self;
        }
        let mut seen = BTreeSet::new();
        for snap in self.snaps.iter().filter(|snap| seen.insert(snap.snap.set)) {
            let mut at = self.holders.get(&snap.id).into_iter().flatten();
            let root = at.find_map(|addr| {
                reading.open_host(client, addr, true).ok()?;
                let remote = Remote(client);
                let open = Snapshot::open(&remote, &reading.keys, snap).ok()?;
                Some(open.root().clone())
            });
            if let Some(root) = root {
                self.sets.learn(snap.snap.set, &root);
            }
        }
        self
    }
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
                "set": snap.snap.set.to_string(),
                "set_name": found.sets.name(&snap.snap.set),
                "received": snap.received.map(render::time_utc),
                "may_be_newest": snap.standing == Standing::Good,
                "address": found.holders.get(&snap.id).and_then(|at| at.first()),
                "addresses": found.holders.get(&snap.id),
            })
        })
        .collect();
    context.voice.result(&json!({ "snapshots": rows }))?;
    let mut table = vec![vec![
        "id".to_owned(),
        "time".into(),
        "received".into(),
        "device".into(),
        "backup set".into(),
        String::new(),
    ]];
    for snap in &found.snaps {
        let doubt = match snap.standing {
            Standing::Good => String::new(),
            standing => format!("not taken as newest: {}", standing_text(standing)),
        };
        table.push(vec![
            snap.id.short(),
            render::time(snap.snap.time),
            snap.received.map_or_else(|| "-".into(), render::time),
            device_name(snap),
            found.sets.show(&snap.snap.set),
            doubt,
        ]);
    }
    context.voice.say(&render::table(&table, &[]))?;
    context.voice.say(
        "\nTo bring the newest of each backup set of each device back, run the same command with --target DIR (--device, --set and --snapshot choose).",
    )?;
    Ok(Exit::Done)
}
