//! `device revoke`: nothing new of a device is taken in any more. What it stored stays.

use packnback_proto::ids::NodeId;
use packnback_proto::record::{Op, Order, Signed};
use serde_json::json;

use super::super::Context;
use super::super::keypart::label_of;
use super::known::Known;
use crate::args::RevokeArgs;
use crate::bundle::Bundle;
use crate::exchange;
use crate::exit::{Exit, Failure, Outcome};
use crate::render;
use crate::spawn::{reach_node, running_node};
use crate::system;

/// Runs the command. With `--out` and a full id it works with no node and no network.
///
/// # Errors
/// A key that cannot sign, a device that is not known, a node that refuses.
pub(super) fn run(context: &Context, args: &RevokeArgs) -> Outcome {
    let key = context.any_key(&args.key)?;
    let sign = key.sign_key()?;
    let (device, name) = match args.device.parse::<NodeId>() {
        Ok(device) => (device, device.short()),
        Err(_) => {
            let client = if args.out.is_some() {
                running_node(&context.home)?
            } else {
                Some(reach_node(&context.home)?)
            };
            let records = match client {
                Some(client) => client.all_records(Some(key.owner_id()), false)?,
                None => Vec::new(),
            };
            let known = Known::from_records(key.owner_id(), &records);
            let cert = known.find(&args.device, &key)?;
            let device = cert.value().device;
            let name = label_of(&key, cert.value());
            (device, name.unwrap_or_else(|| device.short()))
        }
    };
    let order = Order {
        owner: key.owner_id(),
        oid: system::random()?,
        issued: system::now(),
        audience: None,
        op: Op::Revoke {
            device,
            reason: args.reason.clone(),
        },
        not_before: None,
    };
    let signed = Signed::sign(&order, &sign).map_err(|e| {
        Failure::usage(format!("this order cannot be signed: {e}"))
            .safe("Nothing was signed.")
            .next("A reason is at most 256 bytes long.")
    })?;
    match &args.out {
        Some(file) => exchange::write_new(file, signed.envelope())?,
        None => reach_node(&context.home)?.order(signed.envelope().into())?,
    }
    context.voice.result(&json!({
        "owner": order.owner.to_string(), "device": device.to_string(), "label": name,
        "order": signed.id().to_string(), "file": args.out, "submitted": args.out.is_none(),
    }))?;
    say(context, args, device, &name)
}

fn say(context: &Context, args: &RevokeArgs, device: NodeId, name: &str) -> Outcome {
    let name = render::path(name.as_bytes());
    match &args.out {
        Some(file) => context.voice.say(&format!(
            "{} revokes {name}. Any node of this owner takes it in: packnback order submit {}",
            file.display(),
            file.display()
        ))?,
        None => context.voice.say(&format!(
            "{name} is revoked here; the friends are told as they are reached."
        ))?,
    }
    context.voice.say(
        "Its snapshots stay and nothing of it expires until you say so. If the machine was broken into, its keys are known to others:\n  enrol it anew under a new node (packnback node stop, another --home, packnback init --join-request)\n  with a group of its own (packnback device enroll REQUEST --new-group), so that what it saves from now on cannot be guessed with the old key.",
    )?;
    let own = Bundle::load_if_there(&context.home)?.map(|bundle| bundle.device());
    if own == Some(device) {
        context
            .voice
            .note("That is this machine: its backups are refused from now on.");
    }
    Ok(Exit::Done)
}
