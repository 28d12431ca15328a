//! `device enroll`: the owner answers a new device. Works with no node and no network.

use std::path::Path;

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::exchange::{JoinBundle, JoinRequest, TextForm, from_text, to_text};
use packnback_proto::ids::OwnerId;
use packnback_proto::record::perms;
use serde_json::json;

use super::super::{Context, check_owner};
use super::known::Known;
use super::show;
use crate::args::{EnrollArgs, LimitArgs};
use crate::enrol::{Enrolment, Terms, make_cert, next_serial};
use crate::exchange;
use crate::exit::{Failure, Outcome};
use crate::render;
use crate::secrets::read_owner_key;
use crate::spawn::running_node;
use crate::system;

const UNCHANGED: &str = "Nothing was signed.";

/// Runs the command.
///
/// # Errors
/// A damaged request, another fingerprint than said, a key that is not the full one.
pub(super) fn run(context: &Context, args: &EnrollArgs) -> Outcome {
    let request = read_request(&args.request)?;
    let fingerprint = request.fingerprint();
    check_fingerprint(&fingerprint, args.fingerprint.as_deref())?;
    let seed = read_owner_key(&args.key.required()?, &args.key.passphrase())?;
    let known = known(context, seed.owner_id())?;
    let terms = terms(args, &known)?;
    let now = system::now();
    let enrolment = Enrolment {
        label: args.label.clone().unwrap_or_else(|| request.label.clone()),
        serial: next_serial(now, known.serials.iter().copied()),
        now,
    };
    let text = bundle(&seed, &request, &enrolment, &terms, known)?;
    let printed = args.out == "-";
    if !printed {
        exchange::write_new(Path::new(&args.out), format!("{text}\n").as_bytes())?;
    }
    context.voice.result(&json!({
        "owner": seed.owner_id().to_string(), "device": request.node.to_string(),
        "label": enrolment.label, "fingerprint": fingerprint, "serial": enrolment.serial,
        "group": terms.group, "quota": terms.quota_bytes, "per_day": terms.new_bytes_per_day,
        "snaps_per_day": terms.snaps_per_day, "bundle": text,
        "file": (!printed).then_some(&args.out),
    }))?;
    let done = show(context, &text, printed, args.qr)?;
    say(context, &seed, &request, &enrolment, &terms)?;
    Ok(done)
}

fn read_request(arg: &str) -> Outcome<JoinRequest> {
    let text = exchange::read_text(arg)?;
    from_text(TextForm::Request, &text)
        .and_then(|bytes| JoinRequest::decode(&bytes))
        .map_err(|e| exchange::failure("the request", &e))
}

/// Compares digits, whatever is between them.
fn check_fingerprint(found: &str, said: Option<&str>) -> Outcome<()> {
    let digits = |text: &str| -> String {
        let plain = text.chars().filter(char::is_ascii_hexdigit);
        plain.collect::<String>().to_ascii_lowercase()
    };
    match said {
        Some(said) if digits(said) != digits(found) => Err(Failure::refused(
            "fingerprint",
            format!("the fingerprint of this request is {found}, not {said}"),
        )
        .safe(UNCHANGED)
        .next(
            "Somebody may have put another request in its place: get it from the new device again.",
        )),
        _ => Ok(()),
    }
}

/// What the node of this home knows, if one runs and is of this owner.
fn known(context: &Context, owner: OwnerId) -> Outcome<Known> {
    let Some(client) = running_node(&context.home)? else {
        return Ok(Known::default());
    };
    match client.hello().owner {
        None => Ok(Known::default()),
        Some(home) => {
            check_owner(home, owner)?;
            Ok(Known::from_records(
                owner,
                &client.all_records(None, false)?,
            ))
        }
    }
}

/// The usual terms, with what was chosen.
pub(super) fn with_limits(limits: &LimitArgs, terms: Terms) -> Terms {
    Terms {
        perms: limits.perms.unwrap_or(terms.perms),
        quota_bytes: limits.quota.unwrap_or(terms.quota_bytes),
        new_bytes_per_day: limits.per_day.unwrap_or(terms.new_bytes_per_day),
        snaps_per_day: limits.snaps_per_day.unwrap_or(terms.snaps_per_day),
        days: limits.days.unwrap_or(terms.days),
        ..terms
    }
}

fn terms(args: &EnrollArgs, known: &Known) -> Outcome<Terms> {
    let usual = Terms::default();
    let group = match (args.group, args.new_group, known.last_group()) {
        (Some(group), _, _) => group,
        // Devices enrolled later join the newest group: an older one may be in the wrong hands.
        (None, false, last) => last.unwrap_or(usual.group),
        (None, true, Some(last)) => last.saturating_add(1),
        (None, true, None) => {
            return Err(Failure::usage("no node here knows which groups there are")
                .safe(UNCHANGED)
                .next("Name the number yourself: --group G, one more than the highest of `packnback device list`."));
        }
    };
    Ok(with_limits(&args.limits, Terms { group, ..usual }))
}

fn bundle(
    seed: &OwnerSeed,
    request: &JoinRequest,
    enrolment: &Enrolment,
    terms: &Terms,
    known: Known,
) -> Outcome<String> {
    let cert = make_cert(seed, request.node, enrolment, terms).map_err(|e| {
        Failure::usage(format!("this certificate cannot be signed: {e}"))
            .safe(UNCHANGED)
            .next("Choose another --label (at most 64 bytes) or other limits.")
    })?;
    let bundle = JoinBundle {
        cert,
        keys: seed.device_keys(terms.epoch, terms.group),
        label: enrolment.label.clone(),
        hosts: known.hosts,
    };
    let sealed = bundle.seal(request, &seed.sign_key(), &system::random_secret()?);
    let sealed = sealed.map_err(|e| exchange::failure("the request", &e))?;
    Ok(to_text(TextForm::Bundle, &sealed))
}

fn say(
    context: &Context,
    seed: &OwnerSeed,
    request: &JoinRequest,
    enrolment: &Enrolment,
    terms: &Terms,
) -> Outcome<()> {
    let voice = context.voice;
    voice.say(&format!(
        "\nDevice {} ({}), fingerprint {}: compare it with what the new device shows.",
        render::path(enrolment.label.as_bytes()),
        request.node.short(),
        request.fingerprint()
    ))?;
    let bit = |bit, text: &'static str| (terms.perms & bit != 0).then_some(text);
    let may: Vec<&str> = [
        bit(perms::PUT, "save"),
        bit(perms::DEDUP, "share content with other devices"),
        bit(perms::LIST, "list its own snapshots"),
        bit(perms::AUDIT, "audit hosts"),
    ]
    .into_iter()
    .flatten()
    .collect();
    voice.say(&format!(
        "It may {}; at most {} in all, {} new a day, {} a day; group {}.",
        may.join(", "),
        render::bytes(terms.quota_bytes),
        render::bytes(terms.new_bytes_per_day),
        render::counted(terms.snaps_per_day, "snapshot", "snapshots"),
        terms.group
    ))?;
    voice.say(&format!(
        "Next, on the new device:  packnback init --join BUNDLE --owner {}",
        seed.owner_id().short()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_compared_by_their_digits() {
        let found = "a1b2 c3d4 0011 2233";
        for same in [
            "a1b2 c3d4 0011 2233",
            "A1B2C3D400112233",
            "a1b2-c3d4-0011-2233",
        ] {
            assert!(check_fingerprint(found, Some(same)).is_ok());
        }
        for other in ["a1b2 c3d4 0011 2234", "a1b2", ""] {
            assert!(check_fingerprint(found, Some(other)).is_err(), "{other}");
        }
        assert!(check_fingerprint(found, None).is_ok());
    }
}
