//! `device request`, `init --join-request`: a new machine shows who it is.

use std::path::Path;

use packnback_proto::crypto::primitives::x25519_public;
use packnback_proto::exchange::{JoinRequest, TextForm, to_text};
use serde_json::json;

use super::super::Context;
use super::show;
use crate::args::RequestArgs;
use crate::bundle::Bundle;
use crate::exchange;
use crate::exit::{Failure, Outcome};
use crate::spawn::reach_node;

/// Starts the node if need be and writes the request.
///
/// # Errors
/// A name that cannot be used, a file that exists.
pub fn request(context: &Context, args: &RequestArgs) -> Outcome {
    context.home.check_user()?;
    // A device of an owner may ask again: to be put into another group, after its key was in danger.
    let known = Bundle::load_if_there(&context.home)?.map(|bundle| bundle.label);
    let client = reach_node(&context.home)?;
    let node = client
        .hello()
        .node
        .ok_or_else(|| Failure::failed("node-protocol", "the node did not say who it is"))?;
    let secret = exchange::load_or_make(&context.home)?;
    let label = args.label.clone().or(known).unwrap_or_else(host_name);
    let request = JoinRequest {
        node,
        key: x25519_public(&secret),
        label,
    };
    let bytes = request.encode().map_err(|_| {
        Failure::usage(format!("the name {:?} cannot be used", request.label))
            .safe("Nothing was written.")
            .next("Choose another with --label NAME: at most 64 bytes.")
    })?;
    let text = to_text(TextForm::Request, &bytes);
    let printed = args.out == "-";
    if !printed {
        exchange::write_new(Path::new(&args.out), format!("{text}\n").as_bytes())?;
    }
    let fingerprint = request.fingerprint();
    context.voice.result(&json!({
        "request": text, "fingerprint": fingerprint, "node": node.to_string(),
        "label": request.label, "file": (!printed).then_some(&args.out),
    }))?;
    let done = show(context, &text, printed, args.qr)?;
    context
        .voice
        .say(&format!("\nFingerprint: {fingerprint}"))?;
    context.voice.say(
        "\nNothing in it is secret, and nothing proves it: where the owner key is, compare the fingerprint.\nNext, there:  packnback device enroll REQUEST --owner-key FILE --out BUNDLE\nthen here:    packnback init --join BUNDLE",
    )?;
    Ok(done)
}

/// The name of this machine, as far as it makes a name.
#[must_use]
pub fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let clean = packnback_proto::text::clean(&name, 32);
    if clean.is_empty() {
        "device".into()
    } else {
        clean
    }
}
