//! The commands that ask for an order: cancel, hold, unhold, hosts, delete-range, drop-owner.

use std::collections::BTreeSet;

use packnback_proto::ids::{NodeId, RecordId, SnapshotId};
use packnback_proto::limits::{AUDIENCE_MAX, RECORD_IDS_MAX};
use packnback_proto::record::{Cert, Op, decode_order};
use packnback_proto::request::{Wanted, can_be_taken_back};
use packnback_proto::wire::Role;
use packnback_proto::wire::admin::{OrderInfo, OrderState};
use packnback_proto::wire::local::PeerInfo;
use serde_json::json;

use super::super::Context;
use super::super::peer::find;
use super::author::{Draft, deletions, issue, unix_sequence};
use crate::args::SignArgs;
use crate::bundle::Bundle;
use crate::client::Client;
use crate::exit::{Failure, Outcome};
use crate::records::{Catalog, Listed, choose};
use crate::request::Present;
use crate::system;

const UNCHANGED: &str = "Nothing was changed.";

/// Loads what a draft needs and goes on with it.
fn with_draft(
    context: &Context,
    wanted: impl FnOnce(&Draft<'_>) -> Outcome<Vec<Wanted>>,
    sign: &SignArgs,
) -> Outcome {
    let (bundle, client) = context.device()?;
    let catalog = client.catalog(bundle.owner())?;
    let present = Present::new(&client.retention(None, None)?);
    let draft = Draft {
        context,
        bundle: &bundle,
        client: &client,
        catalog: &catalog,
        present,
    };
    let wanted = wanted(&draft)?;
    issue(&draft, wanted, sign, &json!({}))
}

/// Orders taken back by one request: each is carried in it, beside what else is.
const CANCELS_MAX: usize = 128;

/// Takes orders back.
pub(super) fn cancel(context: &Context, orders: &[String], sign: &SignArgs) -> Outcome {
    let wanted = |draft: &Draft<'_>| {
        let known = draft.client.orders()?;
        let mut oids = BTreeSet::new();
        for text in orders {
            oids.insert(find_order(&known, text)?);
        }
        if oids.len() > CANCELS_MAX {
            return Err(Failure::usage(format!(
                "at most {CANCELS_MAX} orders are taken back at once"
            ))
            .safe(UNCHANGED));
        }
        Ok(vec![Wanted::any_host(Op::Cancel(
            oids.into_iter().collect(),
        ))])
    };
    with_draft(context, wanted, sign)
}

/// Finds an order by the first digits of its record or of its order id. It must be known here: who
/// signs that it is taken back has to see what it is.
fn find_order(known: &[OrderInfo], text: &str) -> Outcome<[u8; 16]> {
    let lower = text.to_ascii_lowercase();
    let whole = lower.len() == 32;
    let mut found = known.iter().filter(|info| {
        let oid = data_encoding::HEXLOWER.encode(&info.oid.0);
        lower.len() >= 4 && (info.id.to_string().starts_with(&lower) || oid.starts_with(&lower))
    });
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(Failure::usage(format!("several orders begin with {text}"))
            .safe(UNCHANGED)
            .next("Give more digits: packnback order list")),
        (Some(info), None) => still_waits(info, whole),
        (None, _) => Err(
            Failure::failed("no-order", format!("there is no order {text:?} on this machine"))
                .safe(UNCHANGED)
                .next("List them: packnback order list. One that only another machine has is brought here first: packnback order submit FILE"),
        ),
    }
}

/// Only a deletion that waits can be taken back. What this machine is not concerned by may wait
/// elsewhere; so may what it has carried out, if a person insists by the whole id.
fn still_waits(info: &OrderInfo, insists: bool) -> Outcome<[u8; 16]> {
    let op = decode_order(&info.envelope).map(|order| order.into_value().op);
    let refused = |what: String| {
        Failure::failed(
            "not-waiting",
            format!("order {} cannot be taken back: {what}", info.id.short()),
        )
        .safe(UNCHANGED)
    };
    match op {
        Ok(op) if !can_be_taken_back(&op) => {
            let next = match op {
                Op::Revoke { .. } => {
                    "A revocation stays. Enrol the machine again under a new identity: packnback device enroll"
                }
                Op::Policy(_) => "Set another policy: packnback policy set",
                Op::Hosts { .. } => "Name the hosts again: packnback order hosts",
                Op::Hold(_) => "End the hold: packnback order unhold",
                _ => "List what waits: packnback order list",
            };
            return Err(refused(format!(
                "it took effect when it came ({})",
                super::op_text(&op)
            ))
            .next(next));
        }
        Ok(_) => {}
        Err(_) => return Err(refused("it is of a later version".into())),
    }
    match info.state {
        OrderState::Waiting | OrderState::NotForUs => Ok(info.oid.0),
        _ if insists => Ok(info.oid.0),
        state => Err(refused(format!("here it is {}", state.as_str())).next(
            "Hosts that have not carried it out yet still can be told: give the whole order id (`oid` in order list --json).",
        )),
    }
}

/// Holds snapshots, or ends it.
pub(super) fn hold(context: &Context, snaps: &[String], hold: bool, sign: &SignArgs) -> Outcome {
    let wanted = |draft: &Draft<'_>| {
        let mut ids = BTreeSet::new();
        for text in snaps {
            let own = Some(draft.bundle.device());
            ids.insert(choose(&draft.catalog.snaps, text, own)?.snap.id());
        }
        let ids: Vec<SnapshotId> = ids.into_iter().collect();
        let op = |ids: &[RecordId]| {
            if hold {
                Op::Hold(ids.to_vec())
            } else {
                Op::Unhold(ids.to_vec())
            }
        };
        Ok(ids
            .chunks(RECORD_IDS_MAX)
            .map(|ids| Wanted::any_host(op(ids)))
            .collect())
    };
    with_draft(context, wanted, sign)
}

/// Sets the list of hosts.
pub(super) fn hosts(context: &Context, names: &[String], add: bool, sign: &SignArgs) -> Outcome {
    let wanted = |draft: &Draft<'_>| {
        let (highest, current) = newest_hosts(draft.catalog);
        let peers = draft.client.peers()?;
        let mut hosts: BTreeSet<NodeId> = if names.is_empty() {
            let friends = peers.iter().filter(|peer| peer.role == Role::Friend);
            friends
                .map(|peer| peer.node)
                .chain([draft.bundle.device()])
                .collect()
        } else {
            find_hosts(&peers, draft.bundle, names)?
        };
        if add {
            hosts.extend(current);
        }
        let hosts = within_audience(hosts)?;
        let hseq = unix_sequence(highest, system::now());
        Ok(vec![Wanted::any_host(Op::Hosts { hseq, hosts })])
    };
    with_draft(context, wanted, sign)
}

/// What was received in a time.
pub(super) struct Range {
    /// From this second on.
    pub(super) from: u64,
    /// Until before this one.
    pub(super) to: u64,
    /// Most snapshots that may be in it.
    pub(super) max: u64,
}

/// Removes what was received in a time.
pub(super) fn delete_range(
    context: &Context,
    device: &str,
    range: &Range,
    sign: &SignArgs,
) -> Outcome {
    let Range { from, to, max } = *range;
    if from >= to || max == 0 {
        return Err(
            Failure::usage("--from must be before --to, and --max at least 1").safe(UNCHANGED),
        );
    }
    let wanted = |draft: &Draft<'_>| {
        let device = find_device(draft.catalog, draft.bundle, device)?;
        let ids = received_in(draft, device, from, to);
        let count = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        if count > max {
            return Err(Failure::failed(
                "range",
                format!("{count} snapshots were received in that time, at most {max} were to go"),
            )
            .safe("Nothing was signed.")
            .next("Narrow --from and --to, or raise --max."));
        }
        if ids.is_empty() {
            return Err(Failure::failed(
                "no-snapshot",
                "no snapshot of that device was received in that time",
            )
            .safe(UNCHANGED)
            .next("See when each was received: packnback snapshots --all --json"));
        }
        Ok(deletions(ids))
    };
    with_draft(context, wanted, sign)
}

/// Snapshots some host received in a time, and those nobody says when: each is named in the order, so
/// that no host applies the range to what was not shown.
fn received_in(draft: &Draft<'_>, device: NodeId, from: u64, to: u64) -> Vec<SnapshotId> {
    let inside = |listed: &&Listed| {
        let mut times = listed.receipts.iter().map(|r| r.value().received);
        listed.receipts.is_empty() || times.any(|at| (from..to).contains(&at))
    };
    let of_device = draft
        .catalog
        .snaps
        .iter()
        .filter(|listed| listed.snap.value().device == device)
        .filter(|listed| draft.present.remains(listed));
    of_device
        .filter(inside)
        .map(|listed| listed.snap.id())
        .collect()
}

/// Removes everything from hosts.
pub(super) fn drop_owner(context: &Context, names: &[String], sign: &SignArgs) -> Outcome {
    let wanted = |draft: &Draft<'_>| {
        let hosts = find_hosts(&draft.client.peers()?, draft.bundle, names)?;
        let farewell = |host| Wanted {
            audience: Some(vec![host]),
            ..Wanted::any_host(Op::DropOwner)
        };
        Ok(within_audience(hosts)?.into_iter().map(farewell).collect())
    };
    with_draft(context, wanted, sign)
}

fn within_audience(hosts: BTreeSet<NodeId>) -> Outcome<Vec<NodeId>> {
    if hosts.len() > AUDIENCE_MAX {
        return Err(Failure::usage(format!(
            "an order names at most {AUDIENCE_MAX} hosts, these are {}",
            hosts.len()
        ))
        .safe(UNCHANGED));
    }
    Ok(hosts.into_iter().collect())
}

/// Highest sequence number of a list of hosts known here, and that list.
fn newest_hosts(catalog: &Catalog) -> (u64, Vec<NodeId>) {
    let lists = catalog
        .orders
        .iter()
        .filter_map(|order| match &order.value().op {
            Op::Hosts { hseq, hosts } => Some((*hseq, hosts.clone())),
            _ => None,
        });
    lists.max_by_key(|(hseq, _)| *hseq).unwrap_or_default()
}

/// Every host known here: this machine, its friends, and those of the list in force.
///
/// # Errors
/// When the node cannot be asked, or there are more than an order can name.
pub fn known_hosts(catalog: &Catalog, client: &Client, bundle: &Bundle) -> Outcome<Vec<NodeId>> {
    let friends = client.peers()?;
    let friends = friends
        .iter()
        .filter(|peer| peer.role == Role::Friend)
        .map(|peer| peer.node);
    let (_, listed) = newest_hosts(catalog);
    within_audience(friends.chain(listed).chain([bundle.device()]).collect())
}

/// Hosts by name of a friend, digits of its id, a whole node id, or `self`.
///
/// # Errors
/// When one of them is not known.
pub fn find_hosts(
    peers: &[PeerInfo],
    bundle: &Bundle,
    names: &[String],
) -> Outcome<BTreeSet<NodeId>> {
    let mut hosts = BTreeSet::new();
    for name in names {
        let own = name == "self"
            || (name.len() >= 4
                && bundle
                    .device()
                    .to_string()
                    .starts_with(&name.to_lowercase()));
        hosts.insert(match name.parse::<NodeId>() {
            Ok(node) => node,
            Err(_) if own => bundle.device(),
            Err(_) => find(peers, name)?.node,
        });
    }
    Ok(hosts)
}

/// A device by its name (this machine's only: others are sealed) or the first digits of its id.
///
/// # Errors
/// When there is none, or several.
pub fn find_device(catalog: &Catalog, bundle: &Bundle, text: &str) -> Outcome<NodeId> {
    let lower = text.to_ascii_lowercase();
    let named = |cert: &Cert| cert.device == bundle.device() && bundle.label == text;
    let digits = |device: &NodeId| lower.len() >= 4 && device.to_string().starts_with(&lower);
    let mut found = catalog
        .certs
        .iter()
        .filter(|(device, cert)| named(cert.value()) || digits(device));
    match (found.next(), found.next()) {
        (Some((device, _)), None) => Ok(*device),
        (None, _) => Err(
            Failure::failed("no-device", format!("there is no device {text:?}"))
                .safe(UNCHANGED)
                .next("Names of other machines are sealed: use the first digits of their ids (packnback snapshots --all)."),
        ),
        (Some(_), Some(_)) => Err(Failure::usage(format!("several devices begin with {text}"))
            .safe(UNCHANGED)
            .next("Give more digits of the id.")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use packnback_proto::crypto::keys::OwnerSeed;
    use packnback_proto::record::Signed;
    use packnback_proto::wire::{Bytes, Nonce16};

    fn info(n: u8, state: OrderState) -> OrderInfo {
        OrderInfo {
            id: RecordId([n; 32]),
            oid: Nonce16([n | 0xf0; 16]),
            envelope: Bytes(Vec::new()),
            received: 1,
            state,
            due: None,
            snaps: 0,
            note: String::new(),
            told: Vec::new(),
        }
    }

    fn order(n: u8, op: Op, state: OrderState) -> OrderInfo {
        let seed = OwnerSeed::from_bytes([1; 32]);
        let order = Wanted::any_host(op).order(seed.owner_id(), [n | 0xf0; 16], 5);
        let signed = Signed::sign(&order, &seed.sign_key()).unwrap();
        OrderInfo {
            envelope: Bytes(signed.envelope().to_vec()),
            ..info(n, state)
        }
    }

    #[test]
    fn an_order_is_found_by_either_id_and_only_while_it_waits() {
        let delete = || Op::DeleteIds(vec![RecordId([1; 32])]);
        let known = [
            order(1, delete(), OrderState::Waiting),
            order(2, delete(), OrderState::Done),
        ];
        assert_eq!(find_order(&known, "0101").unwrap(), [0xf1; 16]);
        assert_eq!(find_order(&known, "F1F1").unwrap(), [0xf1; 16]);
        assert_eq!(find_order(&known, "0202").unwrap_err().code, "not-waiting");
        assert_eq!(find_order(&known, "0303").unwrap_err().code, "no-order");
        assert_eq!(find_order(&known, "01").unwrap_err().code, "no-order");
        assert_eq!(find_order(&known, &"f2".repeat(16)).unwrap(), [0xf2; 16]);
        let unknown = "ab".repeat(16);
        assert_eq!(find_order(&known, &unknown).unwrap_err().code, "no-order");
    }

    #[test]
    fn n27_what_took_effect_is_not_asked_to_be_taken_back() {
        let revoke = Op::Revoke {
            device: NodeId([1; 32]),
            reason: String::new(),
        };
        for op in [
            revoke,
            Op::Cancel(vec![[1; 16]]),
            Op::Hold(vec![RecordId([1; 32])]),
        ] {
            for state in [OrderState::NotForUs, OrderState::Done, OrderState::Waiting] {
                let known = [order(1, op.clone(), state)];
                for text in ["0101", "f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1"] {
                    let refused = find_order(&known, text).unwrap_err();
                    assert_eq!(refused.code, "not-waiting", "{op:?}");
                }
            }
        }
    }
}
