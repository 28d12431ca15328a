//! `device limits`: another certificate for a device, with other limits.

use std::path::Path;

use packnback_proto::exchange::{TextForm, from_text, to_text};
use packnback_proto::record::{Cert, Signed, decode_cert};
use serde_json::json;

use super::super::keypart::label_of;
use super::super::{Context, check_owner};
use super::known::Known;
use super::show;
use crate::args::LimitsArgs;
use crate::bundle::Bundle;
use crate::enrol::{Changes, Issued, next_serial, renew_cert};
use crate::exchange;
use crate::exit::{Exit, Failure, Outcome};
use crate::render;
use crate::spawn::reach_node;
use crate::system;

const UNCHANGED: &str = "Nothing was changed.";

/// Runs the command. On the device itself the certificate is taken in at once.
///
/// # Errors
/// A key that cannot sign, a device that is not known, nothing to change.
pub(super) fn run(context: &Context, args: &LimitsArgs) -> Outcome {
    let changes = Changes {
        quota_bytes: args.limits.quota,
        new_bytes_per_day: args.limits.per_day,
        snaps_per_day: args.limits.snaps_per_day,
        perms: args.limits.perms,
        days: args.limits.days,
    };
    if changes == Changes::default() {
        return Err(Failure::usage("nothing is to be changed")
            .safe(UNCHANGED)
            .next(
                "Name a limit: --quota S, --per-day S, --snaps-per-day N, --perms LIST, --days D",
            ));
    }
    let key = context.any_key(&args.key)?;
    let sign = key.sign_key()?;
    let (old, serials) = match &args.cert {
        Some(file) => {
            let cert = read_cert(file)?;
            check_owner(key.owner_id(), cert.value().owner)?;
            let serial = cert.value().serial;
            (cert, vec![serial])
        }
        None => {
            let client = reach_node(&context.home)?;
            let records = client.all_records(Some(key.owner_id()), false)?;
            let known = Known::from_records(key.owner_id(), &records);
            (known.find(&args.device, &key)?.clone(), known.serials)
        }
    };
    let now = system::now();
    let issued = Issued {
        serial: next_serial(now, serials),
        now,
    };
    let new = renew_cert(&sign, old.value(), &changes, issued).map_err(|e| {
        Failure::usage(format!("these limits cannot be signed: {e}")).safe(UNCHANGED)
    })?;
    let device = new.value().device;
    let own = Bundle::load_if_there(&context.home)?.filter(|bundle| bundle.device() == device);
    let name = label_of(&key, new.value()).unwrap_or_else(|| device.short());
    match (&args.out, own) {
        (None, Some(bundle)) => take(context, bundle, new, &name),
        (out, _) => hand_over(context, out.as_deref(), &new, &name),
    }
}

fn read_cert(file: &str) -> Outcome<Signed<Cert>> {
    let text = exchange::read_text(file)?;
    let read =
        from_text(TextForm::Cert, &text).and_then(|bytes| decode_cert(&bytes).map_err(Into::into));
    read.map_err(|e| exchange::failure("the certificate", &e))
}

fn result(new: &Signed<Cert>, name: &str, text: &str, file: Option<&str>) -> serde_json::Value {
    let cert = new.value();
    json!({
        "owner": cert.owner.to_string(), "device": cert.device.to_string(), "label": name,
        "serial": cert.serial, "quota": cert.quota_bytes, "per_day": cert.new_bytes_per_day,
        "snaps_per_day": cert.snaps_per_day, "expires": render::time_utc(cert.expires),
        "certificate": text, "file": file, "in_force": file.is_none() && text.is_empty(),
    })
}

fn describe(cert: &Cert) -> String {
    format!(
        "{} in all, {} new a day, {} a day, until {}",
        render::bytes(cert.quota_bytes),
        render::bytes(cert.new_bytes_per_day),
        render::counted(cert.snaps_per_day, "snapshot", "snapshots"),
        render::time(cert.expires)
    )
}

/// On the device itself.
fn take(context: &Context, bundle: Bundle, new: Signed<Cert>, name: &str) -> Outcome {
    let client = reach_node(&context.home)?;
    client.adopt(new.envelope().into())?;
    let bundle = Bundle {
        cert: new,
        ..bundle
    };
    bundle.save(&context.home)?;
    context
        .voice
        .result(&result(&bundle.cert, name, "", None))?;
    context.voice.say(&format!(
        "In force on this device ({}): {}. Friends learn of it at the next backup.",
        render::path(name.as_bytes()),
        describe(bundle.cert.value())
    ))?;
    Ok(Exit::Done)
}

/// For another device: a text to carry there.
fn hand_over(context: &Context, out: Option<&str>, new: &Signed<Cert>, name: &str) -> Outcome {
    let Some(out) = out else {
        return Err(Failure::usage(format!(
            "{} ({}) is another machine: its new certificate has to be carried there",
            render::path(name.as_bytes()),
            new.value().device.short()
        ))
        .safe(UNCHANGED)
        .next("Say where it goes: --out FILE (or - to print it); then there: packnback init --join FILE"));
    };
    let text = to_text(TextForm::Cert, new.envelope());
    let printed = out == "-";
    if !printed {
        exchange::write_new(Path::new(out), format!("{text}\n").as_bytes())?;
    }
    let file = (!printed).then_some(out);
    context.voice.result(&result(new, name, &text, file))?;
    let done = show(context, &text, printed, false)?;
    context.voice.say(&format!(
        "For {}: {}.\nNext, on that device:  packnback init --join {}",
        render::path(name.as_bytes()),
        describe(new.value()),
        if printed { "TEXT" } else { out }
    ))?;
    Ok(done)
}
