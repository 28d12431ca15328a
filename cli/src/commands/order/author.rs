//! From what is wanted to a signed order, or to a request for one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use packnback_proto::ids::{RecordId, SnapshotId};
use packnback_proto::limits::{RECORD_IDS_MAX, REQUEST_MAX};
use packnback_proto::record::{Cert, Op, Order, Signed};
use packnback_proto::request::{Plan, Request, RequestError, Wanted, decode, encode, verify};
use packnback_proto::wire::Role;
use packnback_proto::wire::admin::{OrderInfo, OrderState};
use packnback_proto::wire::local::PeerInfo;
use serde_json::{Value, json};

use super::super::{Context, check_owner};
use super::{confirm, plan, what};
use crate::args::SignArgs;
use crate::bundle::Bundle;
use crate::client::Client;
use crate::commands::signing::Signer;
use crate::exit::{Exit, Failure, Outcome};
use crate::files::{Existing, read_small, write_private};
use crate::records::Catalog;
use crate::render;
use crate::request::{Present, make};
use crate::system;

/// What this machine knows when something is to be asked for.
pub struct Draft<'a> {
    /// Home and voice.
    pub context: &'a Context,
    /// The device.
    pub bundle: &'a Bundle,
    /// Its node.
    pub client: &'a Client,
    /// The owner's records.
    pub catalog: &'a Catalog,
    /// What the node holds.
    pub present: Present,
}

impl Draft<'_> {
    /// The plan of what is wanted, checked as a signer would check it, with the request for it.
    ///
    /// # Errors
    /// When it is too large or against the format.
    pub fn plan(&self, wanted: Vec<Wanted>) -> Outcome<(Vec<u8>, Plan)> {
        let owner = self.bundle.owner();
        let request = make(owner, system::now(), self.catalog, &self.present, wanted);
        let refused = |error| draft_failure(&error);
        let bytes = encode(&request).map_err(refused)?;
        // Through its bytes: what is shown here is what the signer will see.
        let plan = decode(&bytes).and_then(|request| verify(&request, owner));
        Ok((bytes, plan.map_err(refused)?))
    }

    /// Shows what would happen and changes nothing.
    ///
    /// # Errors
    /// As [`Draft::plan`].
    pub fn show(&self, wanted: Vec<Wanted>, extra: &Value) -> Outcome<()> {
        let voice = self.context.voice;
        let (_, checked) = self.plan(wanted)?;
        let names = |cert: &Cert| self.name(None, cert);
        let mut result = plan::json(&checked, &names);
        merge(&mut result, extra);
        voice.result(&result)?;
        voice.say(&plan::text(&checked, &names, voice.verbose > 0))
    }

    /// Names of devices, as far as this machine knows them.
    fn name(&self, signer: Option<&Signer>, cert: &Cert) -> Option<String> {
        if cert.device == self.bundle.device() {
            return Some(self.bundle.label.clone());
        }
        signer.and_then(|signer| signer.name(cert))
    }
}

/// A request could not be made.
fn draft_failure(error: &RequestError) -> Failure {
    let failure = Failure::failed("request", format!("this cannot be asked for: {error}"))
        .safe("Nothing was signed.");
    match error {
        RequestError::TooLarge | RequestError::Limit(_) => failure.next("Ask for less at once."),
        _ => failure.next("Look at what this machine has: packnback snapshots --all"),
    }
}

/// A request is not to be signed.
pub(super) fn request_failure(file: &Path, error: &RequestError) -> Failure {
    let what = format!("{}: {error}", file.display());
    let failure = match error {
        RequestError::NotRequest
        | RequestError::UnknownVersion
        | RequestError::Checksum
        | RequestError::Cbor(_) => {
            Failure::failed("request", what).next("Copy the file again, or make a new request.")
        }
        RequestError::TooLarge | RequestError::Limit(_) | RequestError::Wanted(_) => {
            Failure::failed("request", what).next("Ask for less at once.")
        }
        _ => Failure::refused("request", what).next(
            "Do not sign it. Find out who made it, and make a new one on a machine you trust.",
        ),
    };
    failure.safe("Nothing was signed.")
}

/// Delete orders for any number of snapshots.
#[must_use]
pub fn deletions(mut ids: Vec<SnapshotId>) -> Vec<Wanted> {
    ids.sort_unstable();
    ids.dedup();
    ids.chunks(RECORD_IDS_MAX)
        .map(|ids| Wanted::any_host(Op::DeleteIds(ids.to_vec())))
        .collect()
}

/// A sequence number above `highest`: the time, unless that is behind. Orders signed elsewhere and
/// not yet known here were signed earlier, so theirs is lower.
#[must_use]
pub fn unix_sequence(highest: u64, now: u64) -> u64 {
    now.max(highest.saturating_add(1))
}

/// Signs and submits what is wanted if there is a key, else writes the request for it.
///
/// # Errors
/// Wrong keys, missing confirmations, files that cannot be written.
pub fn issue(draft: &Draft<'_>, wanted: Vec<Wanted>, args: &SignArgs, extra: &Value) -> Outcome {
    let voice = draft.context.voice;
    let (bytes, checked) = draft.plan(wanted)?;
    let signer = match args.request_out {
        Some(_) => None,
        None => Signer::read(&args.key)?,
    };
    if let Some(signer) = &signer {
        check_owner(draft.bundle.owner(), signer.owner())?;
    }
    let names = |cert: &Cert| draft.name(signer.as_ref(), cert);
    voice.say(&plan::text(&checked, &names, voice.verbose > 0))?;
    let mut result = plan::json(&checked, &names);
    merge(&mut result, extra);
    match signer {
        Some(signer) => {
            confirm::confirm(voice, &checked, &args.confirm)?;
            confirm::ask_if_lossy(voice, &checked, args.confirm.yes)?;
            let signed = sign_all(&signer, &checked)?;
            let done = submit_all(draft.client, &signed)?;
            merge(
                &mut result,
                &json!({ "request": null, "orders": done.iter().map(Submitted::json).collect::<Vec<_>>() }),
            );
            voice.result(&result)?;
            say_submitted(draft.context, draft.client, &done)
        }
        None => {
            let path = write_request(args.request_out.as_deref(), &bytes)?;
            merge(&mut result, &json!({ "request": path, "orders": [] }));
            voice.result(&result)?;
            voice.say(&format!(
                "\nThe request is in {0}. Nothing is changed yet.\n  next: carry it to the machine that has the owner key and run there:\n          packnback order sign {0} --owner-key KEY --out ORDERS\n        then here: packnback order submit ORDERS",
                path.display()
            ))?;
            Ok(Exit::Done)
        }
    }
}

/// Adds the fields of `extra`.
fn merge(into: &mut Value, extra: &Value) {
    if let (Some(into), Some(extra)) = (into.as_object_mut(), extra.as_object()) {
        into.extend(extra.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}

fn write_request(wanted: Option<&Path>, bytes: &[u8]) -> Outcome<PathBuf> {
    let path = wanted.map_or_else(default_name, Path::to_owned);
    write_private(&path, bytes, Existing::Keep).map_err(|e| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            return Failure::failed("file-exists", format!("{} exists already", path.display()))
                .safe("It was not touched.")
                .next("Choose another name: --request-out FILE");
        }
        Failure::file("write the request", &path, &e).safe("Nothing was changed.")
    })?;
    Ok(path)
}

fn default_name() -> PathBuf {
    let time = render::time_utc(system::now());
    PathBuf::from(format!("packnback-{}.request", time.replace(':', "")))
}

/// Reads a request from a file.
pub(super) fn read_request(file: &Path) -> Outcome<Request> {
    let most = u64::try_from(REQUEST_MAX).unwrap_or(u64::MAX);
    let bytes = read_small(file, most)
        .map_err(|e| Failure::file("read the request", file, &e).safe("Nothing was signed."))?;
    decode(&bytes).map_err(|error| request_failure(file, &error))
}

/// Signs every order of a plan, or none.
pub(super) fn sign_all(signer: &Signer, plan: &Plan) -> Outcome<Vec<Signed<Order>>> {
    let now = system::now();
    plan.wanted
        .iter()
        .map(|wanted| signer.sign(&wanted.order(plan.owner, system::random()?, now)))
        .collect()
}

/// An order handed to the node, and what the node says of it.
pub(super) struct Submitted {
    order: Signed<Order>,
    info: Option<OrderInfo>,
}

impl Submitted {
    fn state(&self) -> Option<OrderState> {
        self.info.as_ref().map(|info| info.state)
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let order = self.order.value();
        json!({
            "id": self.order.id().to_string(),
            "oid": data_encoding::HEXLOWER.encode(&order.oid),
            "order": what::op_json(&order.op),
            "state": self.state().map(OrderState::as_str),
            "due": self.info.as_ref().and_then(|info| info.due).map(render::time_utc),
            "snapshots": self.info.as_ref().map(|info| info.snaps),
            "note": self.info.as_ref().map(|info| &info.note),
        })
    }
}

/// Hands signed orders to the node.
pub(super) fn submit_all(client: &Client, signed: &[Signed<Order>]) -> Outcome<Vec<Submitted>> {
    let mut taken = 0usize;
    for order in signed {
        client.order(order.envelope().into()).map_err(|error| {
            let failure = Failure::from(error);
            if taken == 0 {
                return failure;
            }
            let safe = format!(
                "{} of {} orders were taken. {}",
                taken,
                signed.len(),
                failure.safe
            );
            failure.safe(safe)
        })?;
        taken = taken.saturating_add(1);
    }
    let known = client.orders()?;
    let info = |id: RecordId| known.iter().find(|info| info.id == id).cloned();
    Ok(signed
        .iter()
        .map(|order| Submitted {
            info: info(order.id()),
            order: order.clone(),
        })
        .collect())
}

/// Longest wait for friends who are connected to take what was signed.
const TOLD_WAIT: Duration = Duration::from_secs(10);
const TOLD_PAUSE: Duration = Duration::from_millis(100);

/// Says what became of orders, and who has them; one that a rule stands against makes exit code 5.
pub(super) fn say_submitted(context: &Context, client: &Client, done: &[Submitted]) -> Outcome {
    let mut exit = Exit::Done;
    for submitted in done {
        if submitted.state() == Some(OrderState::Refused) {
            exit = Exit::Refused;
        }
        context.voice.say(&state_text(submitted))?;
    }
    if !context.voice.quiet && !context.voice.json {
        say_told(context, client, done)?;
    }
    Ok(exit)
}

/// Where an order stands on this machine, in a sentence.
fn state_text(submitted: &Submitted) -> String {
    let id = submitted.order.id().short();
    let text = what::op_text(&submitted.order.value().op);
    let info = submitted.info.as_ref();
    let note = info.map_or_else(String::new, |info| render::path(info.note.as_bytes()));
    let noted = if note.is_empty() {
        String::new()
    } else {
        format!(": {note}")
    };
    let rest = match (submitted.state(), info.and_then(|info| info.due)) {
        (Some(OrderState::Waiting), Some(due)) => format!(
            "waits until {}; until then it can be taken back: packnback order cancel {id}",
            render::time(due)
        ),
        (Some(OrderState::Waiting), None) => "waits".to_owned(),
        (Some(OrderState::Refused), _) => format!("has no effect on this machine{noted}"),
        (Some(OrderState::NotForUs), _) => "goes to the hosts it names".to_owned(),
        (Some(OrderState::Cancelled), _) => {
            format!("has no effect on this machine, it was taken back{noted}")
        }
        (Some(OrderState::Done), _) => format!("has taken effect on this machine{noted}"),
        (None, _) => "is not known to this machine's node, although it took it".to_owned(),
        (Some(other), _) => format!("is {} on this machine{noted}", other.as_str()),
    };
    format!("Order {id} ({text}) {rest}.")
}

/// Waits a moment for the friends who are connected, and says which have the orders.
fn say_told(context: &Context, client: &Client, done: &[Submitted]) -> Outcome<()> {
    let friends: Vec<PeerInfo> = client
        .peers()?
        .into_iter()
        .filter(|peer| peer.role == Role::Friend)
        .collect();
    let concerned = |order: &Order| -> Vec<&PeerInfo> {
        friends
            .iter()
            .filter(|peer| order.is_for(&peer.node))
            .collect()
    };
    let give_up = Instant::now() + TOLD_WAIT;
    loop {
        let known = client.orders()?;
        let told = |submitted: &Submitted, peer: &PeerInfo| {
            let info = known.iter().find(|info| info.id == submitted.order.id());
            info.is_some_and(|info| info.told.contains(&peer.node))
        };
        let open = done.iter().any(|submitted| {
            let mut peers = concerned(submitted.order.value()).into_iter();
            peers.any(|peer| peer.connected && !told(submitted, peer))
        });
        if open && Instant::now() < give_up {
            std::thread::sleep(TOLD_PAUSE);
            continue;
        }
        for submitted in done {
            let (have, not): (Vec<_>, Vec<_>) = concerned(submitted.order.value())
                .into_iter()
                .partition(|peer| told(submitted, peer));
            let line = told_text(&have, &not);
            if !line.is_empty() {
                let id = submitted.order.id().short();
                context.voice.say(&format!("  {id}: {line}"))?;
            }
        }
        return Ok(());
    }
}

fn told_text(have: &[&PeerInfo], not: &[&PeerInfo]) -> String {
    let names = |peers: &[&PeerInfo]| {
        let names: Vec<String> = peers
            .iter()
            .map(|peer| match peer.name.as_str() {
                "" => peer.node.short(),
                name => render::path(name.as_bytes()),
            })
            .collect();
        names.join(", ")
    };
    match (have.is_empty(), not.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!("{} has it", names(have)),
        (true, false) => format!(
            "not yet with {} (it is sent when they are there: packnback order list)",
            names(not)
        ),
        (false, false) => format!(
            "{} has it; not yet with {} (it is sent when they are there: packnback order list)",
            names(have),
            names(not)
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn many_deletions_become_several_orders() {
        let id = |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            SnapshotId::from(id)
        };
        let ids: Vec<SnapshotId> = (0..RECORD_IDS_MAX + 1).rev().map(id).collect();
        let twice = [ids.clone(), ids].concat();
        let wanted = deletions(twice);
        let lens: Vec<usize> = wanted
            .iter()
            .map(|wanted| match &wanted.op {
                Op::DeleteIds(ids) => ids.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lens, [RECORD_IDS_MAX, 1]);
        assert!(deletions(Vec::new()).is_empty());
    }

    #[test]
    fn a_sequence_number_only_rises() {
        assert_eq!(unix_sequence(7, 1000), 1000);
        assert_eq!(unix_sequence(1000, 1000), 1001);
        assert_eq!(unix_sequence(u64::MAX, 5), u64::MAX);
    }
}
