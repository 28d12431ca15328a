//! `packnback key export`, `grant`, `unseal`: what other machines get instead of the owner key. All of
//! it works with no node and no network.

use packnback_proto::crypto::keyset::{KeyKind, OwnerKey, SubsetError};
use packnback_proto::exchange::UnsealRequest;
use packnback_proto::ids::NodeId;
use packnback_proto::limits::{GRANT_LIFETIME_MAX_S, UNSEAL_LEN_MAX};
use packnback_proto::record::{Cert, Grant, Scope, Signed, open_label};
use serde_json::json;

use super::Context;
use crate::args::{ExportKeyArgs, GrantArgs, KeyArgs, UnsealArgs};
use crate::exchange;
use crate::exit::{Exit, Failure, Outcome};
use crate::files::{Existing, read_small};
use crate::render;
use crate::secrets::{self, PassphraseSource, read_key};
use crate::system;

const DAY_S: u64 = 86_400;
/// Clocks differ: valid a little before now.
const BACKDATE_S: u64 = 300;

fn key_of(args: &KeyArgs) -> Outcome<OwnerKey> {
    read_key(&args.required()?, &args.passphrase())
}

/// `key export`: a part of the key, for a machine that needs no more.
///
/// # Errors
/// A key that is itself a part, ranges that make none, a file below home or that exists.
pub fn export(context: &Context, args: &ExportKeyArgs) -> Outcome {
    if context.home.contains(&args.out) {
        return Err(Failure::refused(
            "key-below-home",
            format!("{} is below the home of this node", args.out.display()),
        )
        .safe("Nothing was made.")
        .next("Owner keys, and parts of them, must not lie on the machine they protect: name a stick or another disk."));
    }
    let kind = args.part.kind();
    let part = key_of(&args.key)?
        .subset(kind, args.epochs.clone(), args.groups.clone())
        .map_err(|error| match error {
            SubsetError::Lack(lack) => lack.into(),
            _ => Failure::usage(error.to_string()).safe("Nothing was made."),
        })?;
    let source = PassphraseSource {
        file: args.new_passphrase_file.clone(),
        none: args.no_passphrase,
    };
    let passphrase = secrets::new_passphrase(&source, &args.out)?;
    secrets::write_key_file(&args.out, &part, passphrase.as_ref(), Existing::Keep)?;
    context.voice.result(&json!({
        "owner": part.owner_id().to_string(), "kind": kind.name(), "file": args.out,
        "epochs": [args.epochs.start(), args.epochs.end()],
        "groups": (kind == KeyKind::ReadOnly).then(|| [args.groups.start(), args.groups.end()]),
        "protected": passphrase.is_some(),
    }))?;
    context.voice.say(&format!(
        "{} holds the {} key of owner {}: it can {}, and nothing else. Use it as --owner-key FILE.",
        args.out.display(),
        kind.name(),
        part.owner_id().short(),
        kind.ability()
    ))?;
    Ok(Exit::Done)
}

/// `key grant`: a signed permission to read, for a machine that cannot sign one.
///
/// # Errors
/// A key that cannot sign, times or lists against the format, a file that exists.
pub fn grant(context: &Context, args: &GrantArgs) -> Outcome {
    let key = key_of(&args.key)?;
    let sign = key.sign_key()?;
    let reader = match args.reader {
        Some(reader) => reader,
        None => key.recovery_id()?,
    };
    let now = system::now();
    let lifetime = args.days.saturating_mul(DAY_S);
    let grant = Grant {
        owner: key.owner_id(),
        reader,
        scope: scope(&args.device),
        not_before: now.saturating_sub(BACKDATE_S),
        expires: now
            .saturating_sub(BACKDATE_S)
            .saturating_add(lifetime.min(GRANT_LIFETIME_MAX_S)),
        audience: audience(&args.host, reader),
        nonce: system::random()?,
        max_bytes: args.max_bytes,
    };
    if lifetime > GRANT_LIFETIME_MAX_S {
        return Err(Failure::usage("a permission to read lasts at most 30 days")
            .safe("Nothing was signed.")
            .next("Choose --days 30 or less, and sign another one later."));
    }
    let signed = Signed::sign(&grant, &sign).map_err(|e| {
        Failure::usage(format!("this permission cannot be signed: {e}")).safe("Nothing was signed.")
    })?;
    exchange::write_new(&args.out, signed.envelope())?;
    context.voice.result(&json!({
        "owner": grant.owner.to_string(), "reader": reader.to_string(), "file": args.out,
        "expires": render::time_utc(grant.expires),
    }))?;
    context.voice.say(&format!(
        "{} lets {} read {} until {}. Use it there with --grant FILE.",
        args.out.display(),
        if args.reader.is_some() {
            format!("node {}", reader.short())
        } else {
            "the owner's recovery machine".into()
        },
        match &grant.scope {
            Scope::All => "everything of this owner".to_owned(),
            _ => "what was named".to_owned(),
        },
        render::time(grant.expires)
    ))?;
    Ok(Exit::Done)
}

fn sorted(nodes: &[NodeId]) -> Vec<NodeId> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn scope(devices: &[NodeId]) -> Scope {
    if devices.is_empty() {
        Scope::All
    } else {
        Scope::Devices(sorted(devices))
    }
}

/// A grant for one host alone is bound to one conversation with it, which an offline signer cannot
/// have. So the reader is named beside it, who is no host of what it is to read.
fn audience(hosts: &[NodeId], reader: NodeId) -> Option<Vec<NodeId>> {
    match sorted(hosts).as_slice() {
        [] => None,
        [one] => Some(sorted(&[*one, reader])),
        several => Some(several.to_vec()),
    }
}

/// `key unseal`: keys of the sessions a restoring machine asks for, sealed to that machine.
///
/// # Errors
/// A damaged request, a key of another owner or one that cannot read, a file that exists.
pub fn unseal(context: &Context, args: &UnsealArgs) -> Outcome {
    let limit = u64::try_from(UNSEAL_LEN_MAX).unwrap_or(u64::MAX);
    let bytes = read_small(&args.request, limit)
        .map_err(|e| Failure::file("read", &args.request, &e).safe("Nothing was opened."))?;
    let refused = |e| exchange::failure(&args.request.display().to_string(), &e);
    let request = UnsealRequest::decode(&bytes).map_err(refused)?;
    let key = key_of(&args.key)?;
    let answer = request
        .answer(&key, &system::random_secret()?)
        .map_err(refused)?;
    exchange::write_new(&args.out, &answer.encode())?;
    let (snap, cert) = (request.snap.value(), request.cert.value());
    let label = label_of(&key, cert);
    let machine = exchange_print(&request.key);
    context.voice.result(&json!({
        "owner": snap.owner.to_string(), "snapshot": request.snap.id().to_string(),
        "device": snap.device.to_string(), "label": label,
        "time": render::time_utc(snap.time), "sessions": request.sessions.len(),
        "machine": machine, "file": args.out,
    }))?;
    context.voice.say(&format!(
        "{} opens, for machine {machine} only:\n  snapshot {} of {}, {}\n  {}: everything they saved can be read there",
        args.out.display(),
        request.snap.id().short(),
        label.map_or_else(|| snap.device.short(), |label| render::path(label.as_bytes())),
        render::time(snap.time),
        render::counted(
            u64::try_from(request.sessions.len()).unwrap_or(u64::MAX),
            "backup run",
            "backup runs"
        ),
    ))?;
    Ok(Exit::Done)
}

/// A short name of a restoring machine, shown on both sides.
#[must_use]
pub fn exchange_print(key: &[u8; 32]) -> String {
    packnback_proto::crypto::hash::object_id(key).short()
}

/// The name of a device, if the key opens it.
#[must_use]
pub fn label_of(key: &OwnerKey, cert: &Cert) -> Option<String> {
    let label_key = key.label_key(cert.epoch).ok()?;
    open_label(&label_key, &cert.owner, &cert.device, &cert.sealed_label).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offline_grant_never_names_one_host_alone() {
        let node = |n| NodeId([n; 32]);
        assert_eq!(audience(&[], node(1)), None);
        assert_eq!(audience(&[node(9)], node(1)), Some(vec![node(1), node(9)]));
        assert_eq!(
            audience(&[node(9), node(3), node(9)], node(1)),
            Some(vec![node(3), node(9)])
        );
        assert_eq!(scope(&[]), Scope::All);
        assert_eq!(
            scope(&[node(2), node(1)]),
            Scope::Devices(vec![node(1), node(2)])
        );
    }
}
