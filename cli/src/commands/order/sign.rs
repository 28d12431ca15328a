//! `order show` and `order sign`: on a machine without a home, a node or a network.

use std::io;
use std::path::Path;

use packnback_proto::record::{Cert, Op, Order, Signed};
use packnback_proto::request::{Plan, order_to_text, verify};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;

use super::author::{read_request, request_failure, sign_all};
use super::{confirm, plan, what};
use crate::args::OrderSignArgs;
use crate::commands::signing::Signer;
use crate::exit::{Exit, Failure, Outcome};
use crate::files::{Existing, write_private};
use crate::render::{self, Voice};
use crate::secrets::OWNER_KEY_VARIABLE;
use crate::sheet::QrStyle;

/// Shows a request. Needs no key: names of devices stay sealed.
///
/// # Errors
/// When it is damaged, or something in it is not genuine.
pub fn show(voice: Voice, file: &Path) -> Outcome {
    let request = read_request(file)?;
    let checked = verify(&request, request.owner).map_err(|error| request_failure(file, &error))?;
    let sealed = |_: &Cert| None;
    voice.result(&plan::json(&checked, &sealed))?;
    voice.say(&plan::text(&checked, &sealed, voice.verbose > 0))?;
    Ok(Exit::Done)
}

/// Checks a request, shows what it does, and signs it.
///
/// # Errors
/// When it is refused, not confirmed, or the result cannot be written: nothing is signed then.
pub fn sign(voice: Voice, args: &OrderSignArgs) -> Outcome {
    if args.out.is_none() && !args.qr {
        return Err(Failure::usage("where should the signed orders go?")
            .safe("Nothing was signed.")
            .next("Add --out FILE, or --qr to draw them."));
    }
    let file = args.request.as_path();
    let request = read_request(file)?;
    let signer = Signer::read(&args.key)?.ok_or_else(no_key)?;
    let checked = verify(&request, signer.owner()).map_err(|e| request_failure(file, &e))?;
    let names = |cert: &Cert| signer.name(cert);
    voice.say(&plan::text(&checked, &names, voice.verbose > 0))?;
    confirm::confirm(voice, &checked, &args.confirm)?;
    confirm::ask(voice, &question(&checked), args.confirm.yes)
        .map_err(|failure| failure.safe("Nothing was signed."))?;
    let signed = sign_all(&signer, &checked)?;
    let texts: Vec<String> = signed.iter().map(order_to_text).collect();
    if let Some(out) = &args.out {
        write(out, &texts)?;
    }
    let drawn = if args.qr {
        draw_all(voice, &texts, args.out.is_some())?
    } else {
        0
    };
    tell(voice, args, &checked, &signed, &texts, drawn)?;
    Ok(Exit::Done)
}

/// What the signature does, in one sentence, from the orders themselves.
fn question(checked: &Plan) -> String {
    let going = u64::try_from(checked.goes().count()).unwrap_or(u64::MAX);
    let orders = u64::try_from(checked.wanted.len()).unwrap_or(u64::MAX);
    let orders = render::counted(orders, "order", "orders");
    if checked.wanted.iter().any(|w| w.op == Op::DropOwner) {
        return format!("{orders} to sign: everything goes from the hosts named.");
    }
    match going {
        0 => format!("{orders} to sign: no snapshot goes by it."),
        going => format!(
            "{orders} to sign: {} would go after the grace of each host.",
            render::counted(going, "snapshot", "snapshots")
        ),
    }
}

fn no_key() -> Failure {
    Failure::usage("this needs a key that can sign")
        .safe("Nothing was signed.")
        .next(format!(
            "Add --owner-key FILE or --words, or set {OWNER_KEY_VARIABLE}=FILE."
        ))
}

/// One order a line.
fn write(out: &Path, texts: &[String]) -> Outcome<()> {
    let mut content = texts.join("\n");
    content.push('\n');
    write_private(out, content.as_bytes(), Existing::Keep).map_err(|e| {
        if e.kind() == io::ErrorKind::AlreadyExists {
            return Failure::failed("file-exists", format!("{} exists already", out.display()))
                .safe("It was not touched, and nothing was signed.")
                .next("Choose another name: --out FILE");
        }
        Failure::file("write the orders", out, &e).safe("Nothing was signed.")
    })
}

/// Draws what fits. How many were drawn.
///
/// # Errors
/// When one does not fit and there is no file that holds it.
fn draw_all(voice: Voice, texts: &[String], in_file: bool) -> Outcome<usize> {
    let mut drawn = 0usize;
    for text in texts {
        match drawing(text) {
            Some(picture) => {
                voice.say(&picture)?;
                drawn = drawn.saturating_add(1);
            }
            None if in_file => {
                voice.note("This order is too long for a QR code; it is in the file.")
            }
            None => {
                return Err(Failure::failed("qr", "an order is too long for a QR code")
                    .safe("Nothing was signed that left this machine.")
                    .next("Write it to a file: --out FILE"));
            }
        }
    }
    Ok(drawn)
}

fn drawing(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L).ok()?;
    let (dark, light) = match QrStyle::for_stdout(true) {
        QrStyle::Paper => (Dense1x2::Dark, Dense1x2::Light),
        _ => (Dense1x2::Light, Dense1x2::Dark),
    };
    let mut drawing = code.render::<Dense1x2>();
    Some(drawing.dark_color(dark).light_color(light).build())
}

fn tell(
    voice: Voice,
    args: &OrderSignArgs,
    checked: &Plan,
    signed: &[Signed<Order>],
    texts: &[String],
    drawn: usize,
) -> Outcome<()> {
    let orders: Vec<_> = signed
        .iter()
        .zip(texts)
        .map(|(order, text)| {
            json!({
                "id": order.id().to_string(),
                "oid": data_encoding::HEXLOWER.encode(&order.value().oid),
                "order": what::op_json(&order.value().op),
                "text": text,
            })
        })
        .collect();
    voice.result(&json!({
        "owner": checked.owner.to_string(), "out": args.out, "orders": orders, "qr_drawn": drawn,
    }))?;
    for order in signed {
        voice.say(&format!(
            "Signed {} ({}).",
            order.id().short(),
            what::op_text(&order.value().op)
        ))?;
    }
    let from = match &args.out {
        Some(out) => format!(
            "carry {} back and run: packnback order submit {0}",
            out.display()
        ),
        None => "scan it and run: packnback order submit - (then paste the text)".to_owned(),
    };
    voice.say(&format!(
        "  next: on a machine with a node of this owner, {from}"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_fits_is_drawn_and_what_does_not_is_said() {
        let fits = format!("PNBO1:{}", "A".repeat(4200));
        assert!(drawing(&fits).unwrap().lines().count() > 80);
        assert!(drawing(&format!("{fits}{fits}")).is_none());
        assert_eq!(
            draw_all(
                Voice {
                    quiet: true,
                    ..Voice::default()
                },
                &[fits.clone() + &fits],
                true
            )
            .unwrap(),
            0
        );
        assert!(draw_all(Voice::default(), &[fits.clone() + &fits], false).is_err());
    }
}
