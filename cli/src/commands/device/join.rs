//! `init --join`: a new machine takes what the owner sealed for it, or a new certificate.

use packnback_proto::exchange::{JoinBundle, TextForm, from_text};
use packnback_proto::ids::NodeId;
use packnback_proto::record::{Cert, Signed, decode_cert};
use serde_json::json;

use super::super::Context;
use crate::args::InitArgs;
use crate::bundle::Bundle;
use crate::client::Client;
use crate::exchange;
use crate::exit::{Exit, Failure, Outcome};
use crate::keys::DeviceBundleKeys;
use crate::render;
use crate::spawn::reach_node;
use crate::system;

const UNCHANGED: &str = "Nothing was changed.";

/// Runs `init --join`. Everything is checked before anything is changed.
///
/// # Errors
/// A bundle for another machine, that is damaged, not signed by its owner, older than what is here,
/// or of another owner.
pub fn join(context: &Context, args: &InitArgs, what: &str) -> Outcome {
    context.home.check_user()?;
    let text = exchange::read_text(what)?;
    let present = Bundle::load_if_there(&context.home)?;
    let client = reach_node(&context.home)?;
    let node = client
        .hello()
        .node
        .ok_or_else(|| Failure::failed("node-protocol", "the node did not say who it is"))?;
    let joined = match TextForm::of(&text) {
        Some(TextForm::Bundle) => open_bundle(context, &text, node)?,
        Some(TextForm::Cert) => Joined::renewed(&text)?,
        Some(TextForm::Request) => {
            return Err(Failure::usage("this is a request, not the answer to one")
                .safe(UNCHANGED)
                .next("Take it to where the owner key is: packnback device enroll REQUEST --owner-key FILE --out BUNDLE"));
        }
        None => {
            return Err(Failure::usage("this is neither a bundle nor a certificate")
                .safe(UNCHANGED)
                .next("A bundle begins with pnb-bundle-, a certificate with pnb-cert-."));
        }
    };
    check(args, &client, &joined.cert, present.as_ref(), node)?;
    let hosts = joined.hosts.clone();
    let bundle = joined.into_bundle(present)?;
    take(context, &client, &bundle, hosts.as_deref())
}

/// What came over.
struct Joined {
    cert: Signed<Cert>,
    /// Keys and name; a new certificate brings none.
    keys: Option<(packnback_proto::crypto::keys::DeviceKeys, String)>,
    /// Envelope of the owner's list of hosts.
    hosts: Option<Vec<u8>>,
}

fn open_bundle(context: &Context, text: &str, node: NodeId) -> Outcome<Joined> {
    let refused = |e| exchange::failure("the bundle", &e);
    let bytes = from_text(TextForm::Bundle, text).map_err(refused)?;
    let secret = exchange::load(&context.home)?.ok_or_else(|| {
        Failure::refused("exchange", "this home never asked to become a device")
            .safe(UNCHANGED)
            .next("Use the home the request was made with, or ask anew: packnback init --join-request FILE")
    })?;
    let bundle = JoinBundle::open(&bytes, &secret, &node).map_err(refused)?;
    Ok(Joined {
        hosts: bundle.hosts.map(|order| order.envelope().to_vec()),
        cert: bundle.cert,
        keys: Some((bundle.keys, bundle.label)),
    })
}

impl Joined {
    fn renewed(text: &str) -> Outcome<Self> {
        let refused = |e| exchange::failure("the certificate", &e);
        let bytes = from_text(TextForm::Cert, text).map_err(refused)?;
        let cert = decode_cert(&bytes).map_err(|e| refused(e.into()))?;
        Ok(Self {
            cert,
            keys: None,
            hosts: None,
        })
    }

    /// Puts it together with what is here.
    fn into_bundle(self, present: Option<Bundle>) -> Outcome<Bundle> {
        let cert = self.cert;
        let (device, label, cache_key) = match (self.keys, present) {
            (Some((keys, label)), Some(present)) => (keys, label, present.keys.cache_key),
            (Some((keys, label)), None) => (keys, label, system::random_secret()?),
            (None, Some(present)) => {
                let keys = present.keys.device;
                let value = cert.value();
                if (keys.epoch, keys.group) != (value.epoch, value.group) {
                    return Err(
                        refused("this certificate is for other keys than this device has")
                            .next("Ask for a full bundle: packnback device request FILE"),
                    );
                }
                (keys, present.label, present.keys.cache_key)
            }
            (None, None) => {
                return Err(refused("this is a new certificate for a device that has its keys, and this home has none")
                    .next("Ask for a full bundle: packnback init --join-request FILE"));
            }
        };
        Ok(Bundle {
            cert,
            label,
            keys: DeviceBundleKeys { device, cache_key },
        })
    }
}

fn refused(what: impl Into<String>) -> Failure {
    Failure::refused("join", what).safe(UNCHANGED)
}

/// Whether this machine may take the certificate in place of what it has.
fn check(
    args: &InitArgs,
    client: &Client,
    cert: &Signed<Cert>,
    present: Option<&Bundle>,
    node: NodeId,
) -> Outcome<()> {
    let value = cert.value();
    if value.device != node {
        return Err(refused(format!(
            "it was made for another machine ({})",
            value.device.short()
        ))
        .next("Use it on the machine that made the request."));
    }
    let said = args.owner.as_deref().map(|s| s.trim().to_ascii_lowercase());
    if let Some(said) = said.filter(|said| !value.owner.to_string().starts_with(said)) {
        return Err(refused(format!(
            "it is of owner {}, not of owner {said}",
            value.owner.short()
        ))
        .next(
            "Somebody else may have answered the request: get the bundle from your owner again.",
        ));
    }
    let home = present.map(Bundle::owner).or(client.hello().owner);
    if let Some(home) = home.filter(|home| *home != value.owner) {
        return Err(refused(format!(
            "this home belongs to owner {}, the bundle is of owner {}",
            home.short(),
            value.owner.short()
        ))
        .next("Use another folder for another owner: --home DIR"));
    }
    let Some(present) = present else {
        return Ok(());
    };
    let known = present.cert.value().serial;
    if value.serial < known || (value.serial == known && cert.id() != present.cert.id()) {
        return Err(refused(format!(
            "it is older than what this device has (number {} after {known})",
            value.serial
        ))
        .next("Use the newest one the owner made."));
    }
    Ok(())
}

fn take(context: &Context, client: &Client, bundle: &Bundle, hosts: Option<&[u8]>) -> Outcome {
    client.adopt(bundle.cert.envelope().into())?;
    bundle.save(&context.home)?;
    if let Some(Err(error)) = hosts.map(|order| client.order(order.into())) {
        context.voice.note(&format!(
            "The owner's list of hosts was not taken in: {error}"
        ));
    }
    let voice = context.voice;
    let cert = bundle.cert.value();
    voice.result(&json!({
        "owner": bundle.owner().to_string(), "node": bundle.device().to_string(),
        "label": bundle.label, "serial": cert.serial, "group": cert.group,
        "quota": cert.quota_bytes, "per_day": cert.new_bytes_per_day,
        "snaps_per_day": cert.snaps_per_day, "expires": render::time_utc(cert.expires),
    }))?;
    voice.say(&format!(
        "This machine ({}) is a device of owner {}, until {}.",
        render::path(bundle.label.as_bytes()),
        bundle.owner().short(),
        render::time(cert.expires)
    ))?;
    voice.say(&format!(
        "Compare the owner with yours ({} in full). Then:\n  packnback backup ~/Documents\n  packnback peer accept INVITE     a friend of the owner's other devices, or packnback peer invite",
        bundle.owner()
    ))?;
    Ok(Exit::Done)
}
