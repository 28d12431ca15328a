//! `device list`: the devices of the owner, from the node or, if it cannot tell, from the records.

use packnback_proto::crypto::keyset::OwnerKey;
use packnback_proto::record::{Cert, Signed, decode_cert, perms};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::admin::DeviceInfo;
use serde_json::{Value, json};

use super::super::Context;
use super::super::keypart::label_of;
use super::known::Known;
use crate::args::KeyArgs;
use crate::bundle::Bundle;
use crate::client::Client;
use crate::exit::{Exit, Outcome};
use crate::render;

/// A device, and what its node says of it if it does.
struct Row {
    cert: Signed<Cert>,
    revoked: bool,
    label: Option<String>,
    info: Option<DeviceInfo>,
}

/// Runs the command. Needs no key; with one, names of other devices are shown.
///
/// # Errors
/// When the node cannot be asked.
pub(super) fn run(context: &Context, args: &KeyArgs) -> Outcome {
    let (bundle, client) = context.device()?;
    let key = match args.source() {
        Some(_) => Some(context.any_key(args)?),
        None => None,
    };
    let rows = rows(&client, &bundle, key.as_ref())?;
    context.voice.result(&json!({
        "owner": bundle.owner().to_string(),
        "devices": rows.iter().map(|row| row_json(row, &bundle)).collect::<Vec<_>>(),
    }))?;
    context.voice.say(&table(&rows, &bundle))?;
    if key.is_none() && rows.len() > 1 {
        context
            .voice
            .note("Names of other devices are sealed: --owner-key FILE shows them.");
    }
    Ok(Exit::Done)
}

fn rows(client: &Client, bundle: &Bundle, key: Option<&OwnerKey>) -> Outcome<Vec<Row>> {
    let label = |cert: &Cert| {
        if cert.device == bundle.device() {
            return Some(bundle.label.clone());
        }
        label_of(key?, cert)
    };
    match client.devices() {
        Ok(devices) => Ok(devices
            .into_iter()
            .filter_map(|info| {
                // The node is not believed what the owner did not sign.
                let cert = decode_cert(&info.cert).ok()?;
                let genuine = cert.value().owner == bundle.owner();
                genuine.then(|| Row {
                    label: label(cert.value()),
                    revoked: info.revoked.is_some(),
                    cert,
                    info: Some(info),
                })
            })
            .collect()),
        Err(error) if error.code() == Some(ErrorCode::Protocol) => {
            let known = Known::from_records(bundle.owner(), &client.all_records(None, false)?);
            let row = |cert: Signed<Cert>| Row {
                label: label(cert.value()),
                revoked: known.revoked.contains_key(&cert.value().device),
                cert,
                info: None,
            };
            Ok(known.certs.values().cloned().map(row).collect())
        }
        Err(error) => Err(error.into()),
    }
}

fn perm_names(perms_bits: u64) -> Vec<&'static str> {
    [
        (perms::PUT, "put"),
        (perms::DEDUP, "dedup"),
        (perms::LIST, "list"),
        (perms::AUDIT, "audit"),
    ]
    .into_iter()
    .filter(|(bit, _)| perms_bits & bit != 0)
    .map(|(_, name)| name)
    .collect()
}

fn row_json(row: &Row, bundle: &Bundle) -> Value {
    let cert = row.cert.value();
    let info = row.info.as_ref();
    json!({
        "device": cert.device.to_string(),
        "label": row.label,
        "this_machine": cert.device == bundle.device(),
        "serial": cert.serial,
        "permissions": perm_names(cert.perms),
        "expires": render::time_utc(cert.expires),
        "quota": cert.quota_bytes,
        "per_day": cert.new_bytes_per_day,
        "snaps_per_day": cert.snaps_per_day,
        "group": cert.group,
        "revoked": row.revoked,
        "revoked_by": info.and_then(|info| info.revoked).map(|id| id.to_string()),
        "bytes": info.map(|info| info.bytes),
        "bytes_today": info.map(|info| info.day_bytes),
        "snaps_today": info.map(|info| info.day_snaps),
        "snapshots": info.map(|info| info.snaps),
        "last_received": info.and_then(|info| info.last_received).map(render::time_utc),
        "frozen": info.map(|info| &info.frozen),
    })
}

fn table(rows: &[Row], bundle: &Bundle) -> String {
    let head = [
        "device",
        "id",
        "stored",
        "of",
        "new a day",
        "snaps a day",
        "group",
        "expires",
        "state",
    ];
    let mut lines = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for row in rows {
        let cert = row.cert.value();
        let frozen = row.info.as_ref().is_some_and(|i| !i.frozen.is_empty());
        let state = match (row.revoked, frozen, cert.device == bundle.device()) {
            (true, ..) => "revoked",
            (_, true, _) => "frozen",
            (_, _, true) => "this machine",
            _ => "",
        };
        lines.push(vec![
            row.label
                .as_ref()
                .map_or_else(|| "?".into(), |label| render::path(label.as_bytes())),
            cert.device.short(),
            row.info
                .as_ref()
                .map_or_else(|| "?".into(), |info| render::bytes(info.bytes)),
            render::bytes(cert.quota_bytes),
            render::bytes(cert.new_bytes_per_day),
            render::count(cert.snaps_per_day),
            cert.group.to_string(),
            render::time(cert.expires),
            state.into(),
        ]);
    }
    render::table(&lines, &[2, 3, 4, 5, 6])
}
