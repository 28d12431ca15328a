//! `order submit`: signed orders, from a file or a pasted text, to the node.

use std::io::{self, Read};
use std::path::Path;

use packnback_proto::record::{Order, Signed, decode_order};
use packnback_proto::request::order_from_text;
use serde_json::json;

use super::super::{Context, check_owner};
use super::author::{Submitted, say_submitted, submit_all};
use super::what;
use crate::bundle::Bundle;
use crate::exit::{Failure, Outcome};
use crate::files::read_small;

/// Orders as text take at most this much.
const FILE_MAX: u64 = 16 * 1024 * 1024;
/// First byte of an envelope: a CBOR array of four.
const ENVELOPE: u8 = 0x84;

/// Runs the command.
///
/// # Errors
/// When something in the file is no genuine order, or of another owner: nothing is handed over then.
pub(super) fn run(context: &Context, file: &Path) -> Outcome {
    context.home.check_user()?;
    let orders = parse(&read(file)?, file)?;
    let client = context.node()?;
    let owner = match Bundle::load_if_there(&context.home)? {
        Some(bundle) => Some(bundle.owner()),
        None => client.hello().owner,
    };
    if let Some(owner) = owner {
        for order in &orders {
            check_owner(owner, order.value().owner)?;
        }
    }
    for order in &orders {
        let value = order.value();
        context.voice.say(&format!(
            "{}, {}",
            what::op_text(&value.op),
            what::audience_text(value.audience.as_deref())
        ))?;
    }
    let done = submit_all(&client, &orders)?;
    context
        .voice
        .result(&json!({ "orders": done.iter().map(Submitted::json).collect::<Vec<_>>() }))?;
    say_submitted(context, &client, &done)
}

fn read(file: &Path) -> Outcome<Vec<u8>> {
    if file != Path::new("-") {
        return read_small(file, FILE_MAX)
            .map_err(|e| Failure::file("read the orders in", file, &e).safe(UNCHANGED));
    }
    let mut bytes = Vec::new();
    let read = io::stdin().take(FILE_MAX).read_to_end(&mut bytes);
    read.map_err(|e| {
        Failure::failed("input", format!("cannot read standard input: {e}")).safe(UNCHANGED)
    })?;
    Ok(bytes)
}

const UNCHANGED: &str = "Nothing was handed to the node.";

/// One order a line as text, or one envelope as it is.
fn parse(bytes: &[u8], file: &Path) -> Outcome<Vec<Signed<Order>>> {
    let wrong = |what: String| {
        Failure::refused("order", format!("{}: {what}", file.display()))
            .safe(UNCHANGED)
            .next("Carry the file over again, or sign the request again: packnback order sign")
    };
    if bytes.first() == Some(&ENVELOPE) {
        return Ok(vec![decode_order(bytes).map_err(|e| wrong(e.to_string()))?]);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it holds no orders".into()))?;
    let orders: Vec<Signed<Order>> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| order_from_text(line).map_err(|e| wrong(e.to_string())))
        .collect::<Outcome<_>>()?;
    if orders.is_empty() {
        return Err(wrong("it holds no orders".into()));
    }
    Ok(orders)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::exit::Exit;
    use packnback_proto::crypto::keys::OwnerSeed;
    use packnback_proto::ids::SnapshotId;
    use packnback_proto::record::Op;
    use packnback_proto::request::{Wanted, order_to_text};

    fn order(oid: u8) -> Signed<Order> {
        let seed = OwnerSeed::from_bytes([1; 32]);
        let wanted = Wanted::any_host(Op::Hold(vec![SnapshotId::from([oid; 32])]));
        Signed::sign(
            &wanted.order(seed.owner_id(), [oid; 16], 5),
            &seed.sign_key(),
        )
        .unwrap()
    }

    #[test]
    fn texts_and_envelopes_are_read_and_nothing_else() {
        let (one, two) = (order(1), order(2));
        let file = Path::new("x");
        let text = format!(
            "\n{}\r\n  {}\n\n",
            order_to_text(&one),
            order_to_text(&two).to_lowercase()
        );
        assert_eq!(parse(text.as_bytes(), file).unwrap(), [one.clone(), two]);
        assert_eq!(
            parse(one.envelope(), file).unwrap(),
            std::slice::from_ref(&one)
        );
        let mut flipped = one.envelope().to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        let half = format!("{}\n{}", order_to_text(&one), "PNBO1:AAAA");
        for bad in [
            &b""[..],
            b"\n \n",
            b"hello",
            &[0xff, 0xfe],
            &flipped,
            half.as_bytes(),
        ] {
            assert_eq!(parse(bad, file).unwrap_err().exit, Exit::Refused);
        }
    }
}
