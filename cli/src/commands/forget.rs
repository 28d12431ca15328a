//! `packnback forget`: snapshots that are to go, by name or because no rule keeps them.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::{NodeId, SetId, SnapshotId};
use packnback_proto::wire::admin::{KeepInfo, PolicyInfo, RetentionInfo};
use serde_json::{Value, json};

use super::order::{Draft, deletions, find_device, issue, policy_text};
use super::policy::{explain_json, explain_table};
use super::{Context, reader_keys};
use crate::args::ForgetArgs;
use crate::bundle::Bundle;
use crate::client::Client;
use crate::exit::{Exit, Failure, Outcome};
use crate::records::{Catalog, choose};
use crate::request::Present;
use crate::sets::{Sets, of_set, present};
use crate::snapshot::{self, Snapshot};

const UNCHANGED: &str = "Nothing was changed.";

/// Runs the command.
///
/// # Errors
/// No such snapshot, tags without a key that opens them, what [`issue`] refuses.
pub fn run(context: &Context, args: &ForgetArgs) -> Outcome {
    if args.snaps.is_empty() && !by_rules(args) {
        return Err(Failure::usage("what should be forgotten?")
            .safe(UNCHANGED)
            .next("Name snapshots, or say what to keep: packnback forget --keep-daily 7 --keep-monthly 12 --dry-run"));
    }
    let (bundle, client) = context.device()?;
    let catalog = client.catalog(bundle.owner())?;
    let now = client.retention(None, None)?;
    let draft = Draft {
        context,
        bundle: &bundle,
        client: &client,
        catalog: &catalog,
        present: Present::new(&now),
    };
    let sets = Sets::of(&context.home, Some(&bundle));
    let set = match &args.set {
        Some(text) => Some(sets.find(text, &present(&catalog.snaps, None))?),
        None => None,
    };
    let mut judged = if by_rules(args) {
        judge(context, args, &bundle, &client, &catalog)?
    } else {
        Vec::new()
    };
    for device in &mut judged {
        device
            .snaps
            .retain(|snap| set.is_none_or(|set| snap.set == set));
    }
    let mut chosen: BTreeSet<SnapshotId> = judged.iter().flat_map(falls).collect();
    for text in &args.snaps {
        chosen.insert(named(&catalog, text, &bundle, &sets, set)?);
    }
    let already = already_going(&now);
    let skipped: Vec<SnapshotId> = chosen
        .iter()
        .filter(|id| already.contains(id))
        .copied()
        .collect();
    chosen.retain(|id| !already.contains(id));
    if args.explain || (args.dry_run && by_rules(args)) {
        for device in &judged {
            context
                .voice
                .say(&explain_table(device, &sets, context.voice))?;
        }
    }
    let extra = json!({
        "dry_run": args.dry_run,
        "going_already": skipped.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "explained": judged.iter().map(explain_json).collect::<Vec<_>>(),
    });
    if !skipped.is_empty() {
        context.voice.note(&format!(
            "note: {} of these go already, by an earlier order or the policy.",
            skipped.len()
        ));
    }
    finish(context, args, &draft, chosen, extra)
}

/// A snapshot that is named. `latest` of several backup sets is not guessed: it would be gone.
fn named(
    catalog: &Catalog,
    text: &str,
    bundle: &Bundle,
    sets: &Sets,
    set: Option<SetId>,
) -> Outcome<SnapshotId> {
    let there = present(&catalog.snaps, Some(bundle.device()));
    if text == "latest" && set.is_none() && there.len() > 1 {
        return Err(Failure::usage(
            "this machine has several backup sets, each with a newest snapshot",
        )
        .safe(UNCHANGED)
        .next(format!(
            "Say of which (--set NAME), or name the snapshot by its id. There are: {}.",
            sets.list(&there)
        )));
    }
    let snaps = of_set(catalog.snaps.clone(), set);
    Ok(choose(&snaps, text, Some(bundle.device()))?.snap.id())
}

fn finish(
    context: &Context,
    args: &ForgetArgs,
    draft: &Draft<'_>,
    chosen: BTreeSet<SnapshotId>,
    mut extra: Value,
) -> Outcome {
    if chosen.is_empty() {
        if let Some(fields) = extra.as_object_mut() {
            fields.insert("devices".into(), json!([]));
            fields.insert("orders".into(), json!([]));
            fields.insert("request".into(), Value::Null);
        }
        context.voice.result(&extra)?;
        context.voice.say("Nothing is to go.")?;
        return Ok(Exit::Done);
    }
    let wanted = deletions(chosen.into_iter().collect());
    if !args.dry_run {
        return issue(draft, wanted, &args.sign, &extra);
    }
    draft.show(wanted, &extra)?;
    context.voice.say("\nDry run: nothing was changed.")?;
    Ok(Exit::Done)
}

fn by_rules(args: &ForgetArgs) -> bool {
    args.keep.any() || args.keep_within.is_some() || !args.keep_tag.is_empty()
}

/// What the rules say, evaluated by the node: one place decides about retention.
fn judge(
    context: &Context,
    args: &ForgetArgs,
    bundle: &Bundle,
    client: &Client,
    catalog: &Catalog,
) -> Outcome<Vec<RetentionInfo>> {
    let device = match (&args.device, args.all_devices) {
        (_, true) => None,
        (Some(text), false) => Some(find_device(catalog, bundle, text)?),
        (None, false) => Some(bundle.device()),
    };
    let policy = PolicyInfo {
        pseq: 0,
        device,
        min_age_d: args.keep_within.unwrap_or(0),
        keep: args.keep.periods(),
        keep_last: args.keep.keep_last.unwrap_or(0),
        grace_d: 0,
    };
    // As they were understood, before anything is signed.
    context.voice.say(&understood(&policy))?;
    let mut judged = client.retention(device, Some(policy))?;
    if !args.keep_tag.is_empty() {
        let tags = tags(context, args, client, &judged)?;
        for device in &mut judged {
            for snap in &mut device.snaps {
                keep_tagged(snap, &tags, &args.keep_tag);
            }
        }
    }
    Ok(judged)
}

/// The rules in words. They are for once: a grace is not theirs to set.
fn understood(policy: &PolicyInfo) -> String {
    let text = policy_text(policy);
    let rules = text
        .rsplit_once(';')
        .map_or(text.as_str(), |(rules, _)| rules);
    format!("The rules: {rules}.")
}

fn keep_tagged(snap: &mut KeepInfo, tags: &BTreeMap<SnapshotId, String>, keep: &[String]) {
    let tag = tags.get(&snap.snap);
    if let Some(tag) = tag.filter(|tag| keep.contains(tag)) {
        snap.reasons.push(format!("tag {tag}"));
    }
}

/// Tags of the snapshots that would go. They are in the roots, which a list key opens.
fn tags(
    context: &Context,
    args: &ForgetArgs,
    client: &Client,
    judged: &[RetentionInfo],
) -> Outcome<BTreeMap<SnapshotId, String>> {
    let keys = reader_keys(context, &args.sign.key)?.ok_or_else(|| {
        Failure::usage("tags are sealed: --keep-tag needs a key that can list")
            .safe(UNCHANGED)
            .next("Add --owner-key FILE (a list-only key is enough), and --request-out FILE if another key signs.")
    })?;
    let wanted: BTreeSet<SnapshotId> = judged.iter().flat_map(falls).collect();
    let mut tags = BTreeMap::new();
    for snap in snapshot::snapshots(client, &keys)? {
        if wanted.contains(&snap.id) {
            tags.insert(
                snap.id,
                Snapshot::open(client, &keys, &snap)?.root().label.clone(),
            );
        }
    }
    Ok(tags)
}

/// Snapshots no rule keeps. The newest of each backup set stays whatever the rules say.
fn falls(device: &RetentionInfo) -> Vec<SnapshotId> {
    let mut sets = BTreeSet::new();
    device
        .snaps
        .iter()
        .filter(|snap| !sets.insert(snap.set))
        .filter(|snap| snap.reasons.is_empty())
        .map(|snap| snap.snap)
        .collect()
}

/// Everything marked to go, and of which device.
fn already_going(now: &[RetentionInfo]) -> BTreeSet<SnapshotId> {
    let marked = |device: &RetentionInfo| -> Vec<(NodeId, SnapshotId)> {
        let going = device.snaps.iter().filter(|snap| snap.going.is_some());
        going.map(|snap| (device.device, snap.snap)).collect()
    };
    now.iter().flat_map(marked).map(|(_, snap)| snap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(n: u8, reasons: &[&str]) -> KeepInfo {
        KeepInfo {
            snap: SnapshotId::from([n; 32]),
            set: SetId([1; 16]),
            time: 1,
            received: 1,
            reasons: reasons.iter().map(ToString::to_string).collect(),
            goes: None,
            going: None,
        }
    }

    fn device(snaps: Vec<KeepInfo>) -> RetentionInfo {
        RetentionInfo {
            device: NodeId([1; 32]),
            policy: None,
            frozen: Vec::new(),
            total: snaps.len() as u64,
            snaps,
        }
    }

    #[test]
    fn what_no_rule_keeps_falls_but_never_the_newest() {
        let judged = device(vec![keep(3, &[]), keep(2, &["daily"]), keep(1, &[])]);
        assert_eq!(falls(&judged), [SnapshotId::from([1; 32])]);
        assert!(falls(&device(Vec::new())).is_empty());
        // Of each backup set.
        let mut other = keep(4, &[]);
        other.set = SetId([2; 16]);
        let judged = device(vec![keep(5, &[]), other, keep(3, &[])]);
        assert_eq!(falls(&judged), [SnapshotId::from([3; 32])]);
    }

    #[test]
    fn the_rules_are_shown_as_they_were_understood() {
        let policy = PolicyInfo {
            pseq: 0,
            device: None,
            min_age_d: 90,
            keep: [0, 7, 0, 0, 0],
            keep_last: 2,
            grace_d: 0,
        };
        assert_eq!(
            understood(&policy),
            "The rules: keep 2 newest, 7 daily; nothing younger than 90 days."
        );
    }

    #[test]
    fn a_tag_keeps() {
        let mut snap = keep(1, &[]);
        let tags = BTreeMap::from([(snap.snap, "gold".to_owned())]);
        keep_tagged(&mut snap, &tags, &["silver".into()]);
        assert!(snap.reasons.is_empty());
        keep_tagged(&mut snap, &tags, &["silver".into(), "gold".into()]);
        assert_eq!(snap.reasons, ["tag gold"]);
    }
}
