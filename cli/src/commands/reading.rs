//! With what a machine reads: an owner key, a part of one, or session keys that were handed over; and
//! how it shows hosts that it may.

use std::collections::BTreeSet;
use std::path::Path;

use packnback_proto::crypto::keyset::{KeyLack, Need, OwnerKey};
use packnback_proto::crypto::primitives::x25519_public;
use packnback_proto::exchange::{SessionName, UnsealAnswer, UnsealRequest, Unsealed};
use packnback_proto::ids::OwnerId;
use packnback_proto::limits::{RECORD_MAX, UNSEAL_LEN_MAX};
use packnback_proto::record::{Grant, Scope, Signed, decode_grant};
use packnback_proto::wire::SecretBytes;
use packnback_proto::wire::local::RemoteOpened;
use serde_json::json;

use super::keypart::exchange_print;
use super::{Context, check_owner};
use crate::args::{HandedArgs, KeyArgs};
use crate::bundle::Bundle;
use crate::choice::{chosen_text, doubts, known_newer};
use crate::client::Client;
use crate::exchange;
use crate::exit::{Exit, Failure, Outcome};
use crate::files::read_small;
use crate::keys::ReaderKeys;
use crate::records::{Catalog, LoadedSnapshot};
use crate::render;
use crate::restore::RestoreError;
use crate::snapshot::{ObjectSource, closed_sessions, visible_sessions};

/// A recovery may take days over a slow line.
const GRANT_LIFETIME_S: u64 = 14 * 86_400;
/// The host's clock may run a little ahead of itself between two questions.
const GRANT_BACKDATE_S: u64 = 300;

/// With what to read.
pub struct Reading {
    /// The keys.
    pub keys: ReaderKeys,
    /// Permission to read from hosts, if it was signed elsewhere.
    grant: Option<Signed<Grant>>,
}

impl Reading {
    /// Finds the keys: those handed over if any are named, else the owner key or a part of it.
    ///
    /// # Errors
    /// When there are none, they are wrong, or of another owner than that of this home.
    pub fn find(context: &Context, key: &KeyArgs, handed: &HandedArgs) -> Outcome<Self> {
        context.home.check_user()?;
        let grant = handed.grant.as_deref().map(read_grant).transpose()?;
        let home = Bundle::load_if_there(&context.home)?.map(|bundle| bundle.owner());
        let sessions = !handed.unsealed.is_empty() || handed.unseal_request.is_some();
        // With a grant alone, snapshots can be listed.
        let keyless = sessions || (grant.is_some() && key.source().is_none());
        let keys = if !keyless {
            ReaderKeys::new(context.any_key(key)?)
        } else {
            let granted = grant.as_ref().map(|grant| grant.value().owner);
            let owner = granted.or(home).ok_or_else(|| {
                Failure::usage("this machine does not know whose snapshot it is to read")
                    .safe("Nothing was changed.")
                    .next("Add --grant FILE (packnback key grant), or enrol this machine.")
            })?;
            ReaderKeys::unsealed(owner, open_answers(context, handed)?)
        };
        let reading = Self { keys, grant };
        if let Some(home) = home {
            check_owner(home, reading.keys.owner())?;
        }
        reading.check_grant()?;
        Ok(reading)
    }

    fn check_grant(&self) -> Outcome<()> {
        let owner = self.grant.as_ref().map(|grant| grant.value().owner);
        match owner {
            Some(owner) if owner != self.keys.owner() => Err(other_grant(owner)),
            _ => Ok(()),
        }
    }

    /// Connects to a host and shows it that this machine may read: the grant that was handed over, or
    /// one signed now. `as_recovery`: under the owner's recovery identity, as a machine the host has
    /// never seen, if there is no grant that says otherwise.
    ///
    /// # Errors
    /// When the host cannot be reached, does not serve this owner, or nothing here permits it.
    pub fn open_host(
        &self,
        client: &Client,
        addr: &str,
        as_recovery: bool,
    ) -> Outcome<RemoteOpened> {
        match (&self.grant, self.keys.key()) {
            (Some(grant), key) => open_with(client, key, grant, addr),
            (None, Some(key)) => sign_and_open(client, key, addr, as_recovery),
            (None, None) => Err(no_grant("there is no permission to read from a friend")),
        }
    }

    /// Handles a snapshot on a machine without the owner key. `Some`: a request was written, and
    /// there is nothing more to do now.
    ///
    /// # Errors
    /// When keys are missing and no request was asked for, or it cannot be written.
    pub fn prepare(
        &self,
        context: &Context,
        handed: &HandedArgs,
        source: &dyn ObjectSource,
        snap: &LoadedSnapshot,
        snaps: &[LoadedSnapshot],
    ) -> Outcome<Option<Exit>> {
        if self.keys.key().is_some() {
            return Ok(None);
        }
        let visible = visible_sessions(source, snap, snaps)?;
        let mut missing: BTreeSet<SessionName> = visible
            .into_iter()
            .filter(|(epk, epoch)| self.keys.session(epk, *epoch).is_err())
            .collect();
        if missing.is_empty() {
            let ask = handed.unseal_request.is_some();
            missing = closed_sessions(source, &self.keys, snap, ask)?;
        }
        match &handed.unseal_request {
            _ if missing.is_empty() => Ok(None),
            Some(file) => write_request(context, source, snap, missing, file).map(Some),
            None => Err(KeyLack::NotUnsealed.into()),
        }
    }
}

/// Says which snapshot was chosen and what speaks against it.
///
/// # Errors
/// When nobody reads it.
pub fn tell_choice(
    context: &Context,
    snaps: &[LoadedSnapshot],
    chosen: &LoadedSnapshot,
    known: Option<&Catalog>,
) -> Outcome<()> {
    context
        .voice
        .say(&chosen_text(chosen, &device_name(chosen)))?;
    let mut lines = doubts(snaps, chosen);
    lines.extend(known.and_then(|known| known_newer(known, snaps, chosen)));
    for line in &lines {
        context.voice.note(&format!("note: {line}."));
    }
    if !lines.is_empty() {
        context
            .voice
            .note("  next: another one is taken by its id instead of `latest` (packnback snapshots --all, or recover without --target, lists them).");
    }
    Ok(())
}

/// What this machine's own node knows of an owner, if it is a device of that owner.
#[must_use]
pub fn own_catalog(client: &Client, owner: OwnerId) -> Option<Catalog> {
    let own = client.hello().owner == Some(owner);
    own.then(|| client.catalog(owner).ok()).flatten()
}

/// Name of the device of a snapshot, as far as it is known.
#[must_use]
pub fn device_name(snap: &LoadedSnapshot) -> String {
    snap.device_label.as_ref().map_or_else(
        || snap.snap.device.short(),
        |label| render::path(label.as_bytes()),
    )
}

fn read_grant(path: &Path) -> Outcome<Signed<Grant>> {
    let limit = u64::try_from(RECORD_MAX).unwrap_or(u64::MAX);
    let bytes = read_small(path, limit)
        .map_err(|e| Failure::file("read", path, &e).safe("Nothing was changed."))?;
    decode_grant(&bytes).map_err(|e| {
        Failure::refused("grant", format!("{}: {e}", path.display()))
            .safe("Nothing was changed.")
            .next("Have it signed again: packnback key grant")
    })
}

fn open_answers(context: &Context, handed: &HandedArgs) -> Outcome<Unsealed> {
    let mut all = Unsealed::default();
    for path in &handed.unsealed {
        let secret = exchange::load(&context.home)?.ok_or_else(|| {
            Failure::refused("exchange", "this home never asked for keys to be unsealed")
                .safe("Nothing was changed.")
                .next("Use the home the request was made with, or make a new request: --unseal-request FILE")
        })?;
        let limit = u64::try_from(UNSEAL_LEN_MAX).unwrap_or(u64::MAX);
        let bytes = read_small(path, limit)
            .map_err(|e| Failure::file("read", path, &e).safe("Nothing was changed."))?;
        let opened = UnsealAnswer::decode(&bytes).and_then(|answer| answer.open(&secret));
        all.extend(opened.map_err(|e| exchange::failure(&path.display().to_string(), &e))?);
    }
    Ok(all)
}

fn write_request(
    context: &Context,
    source: &dyn ObjectSource,
    snap: &LoadedSnapshot,
    sessions: BTreeSet<SessionName>,
    file: &Path,
) -> Outcome {
    let owner = snap.snap.owner;
    let records = source.records(Some(owner)).map_err(Failure::from)?;
    let catalog = Catalog::build(owner, &records, &source.viewpoint());
    let listed = catalog.snaps.into_iter().find(|l| l.snap.id() == snap.id);
    let named = (snap.snap.device, snap.snap.cert_serial);
    let cert = catalog.all_certs.get(&named);
    let (Some(listed), Some(cert)) = (listed, cert) else {
        return Err(RestoreError::NoSnapshot.into());
    };
    let secret = exchange::load_or_make(&context.home)?;
    let request = UnsealRequest {
        key: x25519_public(&secret),
        snap: listed.snap,
        cert: cert.clone(),
        sessions: sessions.into_iter().collect(),
    };
    let bytes = request
        .encode()
        .map_err(|e| exchange::failure("the request", &e))?;
    exchange::write_new(file, &bytes)?;
    let machine = exchange_print(&request.key);
    context.voice.result(&json!({
        "snapshot": snap.id.to_string(), "unseal_request": file,
        "sessions": request.sessions.len(), "machine": machine,
    }))?;
    context.voice.say(&format!(
        "{} asks, for machine {machine}, for the keys of {} that snapshot {} needs. Nothing in it is secret.",
        file.display(),
        render::counted(
            u64::try_from(request.sessions.len()).unwrap_or(u64::MAX),
            "backup run",
            "backup runs"
        ),
        snap.id.short()
    ))?;
    context.voice.say(&format!(
        "\nNext, where the owner key is:\n  packnback key unseal {} --owner-key KEY --out ANSWER\nthen here, the same command with --unsealed ANSWER instead of --unseal-request (with every answer, if there are several).",
        file.display()
    ))?;
    Ok(Exit::Done)
}

fn other_grant(owner: OwnerId) -> Failure {
    Failure::refused(
        "grant",
        format!(
            "the permission to read is of owner {}, the key is of another",
            owner.short()
        ),
    )
    .safe("Nothing was changed.")
    .next("Have one signed with this owner's key: packnback key grant")
}

fn no_grant(what: &str) -> Failure {
    Failure::refused("grant", what)
        .safe("Nothing was changed.")
        .next("Have one signed where a key is that signs (packnback key grant --out FILE), and add --grant FILE.")
}

/// With a grant that was signed elsewhere.
fn open_with(
    client: &Client,
    key: Option<&OwnerKey>,
    grant: &Signed<Grant>,
    addr: &str,
) -> Outcome<RemoteOpened> {
    let reader = grant.value().reader;
    let recovery = key.filter(|key| key.recovery_id() == Ok(reader));
    let recovery = recovery.map(OwnerKey::recovery_seed).transpose()?;
    if recovery.is_none() && client.hello().node != Some(reader) {
        return Err(no_grant(&format!(
            "the permission to read is for another machine ({})",
            reader.short()
        )));
    }
    let recovery = recovery.map(|seed| SecretBytes::copy_of(seed.expose()));
    let host = client.open_host(addr, recovery)?;
    if !grant.value().is_for(&host.host) {
        return Err(no_grant(&format!(
            "the permission to read is for other friends than {}",
            host.host.short()
        )));
    }
    client.remote_grant(grant.envelope().into())?;
    Ok(host)
}

/// With a grant for everything of this owner, signed now. The host's clock counts, so a wrong one here
/// does no harm.
pub(super) fn sign_and_open(
    client: &Client,
    key: &OwnerKey,
    addr: &str,
    as_recovery: bool,
) -> Outcome<RemoteOpened> {
    let sign = key.sign_key().map_err(|lack| match lack {
        KeyLack::Ability {
            need: Need::Sign, ..
        } => no_grant(&format!(
            "{lack}, and friends let nobody read without a signature"
        )),
        lack => lack.into(),
    })?;
    let recovery = if as_recovery {
        Some(SecretBytes::copy_of(key.recovery_seed()?.expose()))
    } else {
        None
    };
    let host = client.open_host(addr, recovery)?;
    let grant = Grant {
        owner: key.owner_id(),
        reader: host.reader,
        scope: Scope::All,
        not_before: host.time.saturating_sub(GRANT_BACKDATE_S),
        expires: host.time.saturating_add(GRANT_LIFETIME_S),
        audience: Some(vec![host.host]),
        nonce: host.nonce.0,
        max_bytes: None,
    };
    let signed = Signed::sign(&grant, &sign).map_err(|e| {
        Failure::failed("grant", format!("cannot sign the permission to read: {e}"))
    })?;
    client.remote_grant(signed.envelope().into())?;
    Ok(host)
}
