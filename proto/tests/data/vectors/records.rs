use packnback_proto::cbor::Value;
use packnback_proto::record::{
    Body, Cert, Grant, Kind, Op, Order, PolicyArg, Scope, Signed, Snap, decode_record, encode_body,
    open_label, sign,
};
use serde_json::json;

use super::{diag, golden, hex};
use crate::records::signing_key;
use crate::support::*;

/// A record with everything that leads to its envelope. Ed25519 is deterministic.
fn good<T: Body>(name: &str, value: &T, signer: &str) -> serde_json::Value {
    let key = signing_key(signer);
    let body = encode_body(value).unwrap();
    let signed = Signed::sign(value, &key).ok().unwrap();
    let record = decode_record(signed.envelope()).unwrap();
    json!({
        "name": name,
        "type": record.kind().name(),
        "signer_seed": hex(key.seed().expose()),
        "fields": diag(&decoded(&body)),
        "body": hex(&body),
        "id": hex(record.id().as_bytes()),
        "envelope": hex(signed.envelope()),
    })
}

fn bad(name: &str, envelope: &[u8], class: &str) -> serde_json::Value {
    let error = decode_record(envelope).unwrap_err();
    assert_eq!(error.class(), class, "{name}: {error}");
    json!({ "name": name, "envelope": hex(envelope), "error": class })
}

/// A body changed behind the back of the encoder, signed properly.
fn bad_body<T: Body>(
    name: &str,
    value: &T,
    class: &str,
    change: impl FnOnce(&mut Value),
) -> serde_json::Value {
    let mut body = decoded(&encode_body(value).unwrap());
    change(&mut body);
    let signer = match T::KIND {
        Kind::Snap => "device",
        Kind::Receipt => "host",
        _ => "owner",
    };
    bad(
        name,
        &sign(T::KIND, &encoded(&body), &signing_key(signer)),
        class,
    )
}

/// An envelope changed behind the back of the signer.
fn bad_envelope(name: &str, class: &str, change: impl FnOnce(&mut Value)) -> serde_json::Value {
    let signed = Signed::sign(&cert(), &owner().sign_key()).unwrap();
    let mut envelope = decoded(signed.envelope());
    change(&mut envelope);
    bad(name, &encoded(&envelope), class)
}

fn good_cases() -> Vec<serde_json::Value> {
    let longest = Cert {
        sealed_label: vec![0xaa; 256],
        group: 0,
        epoch: 0,
        ..cert()
    };
    let first = Snap {
        prev: None,
        seq: u64::MAX,
        ..snap()
    };
    let mut cases = vec![
        good("certificate", &cert(), "owner"),
        good("certificate, longest label", &longest, "owner"),
        good("snapshot", &snap(), "device"),
        good("first snapshot", &first, "device"),
        good("receipt", &receipt(), "host"),
    ];
    for op in every_op() {
        let name = format!("order, operation {}", op.number());
        cases.push(good(&name, &order(op), "owner"));
    }
    let everything = Order {
        audience: Some(nodes(3)),
        not_before: Some(1_800_000_400),
        ..order(Op::Hold(records(1)))
    };
    let default = PolicyArg {
        device: None,
        keep: [0; 5],
        ..policy()
    };
    let bounded = Grant {
        audience: Some(nodes(1)),
        max_bytes: Some(1 << 40),
        ..grant(Scope::All)
    };
    cases.extend([
        good("order with audience and time", &everything, "owner"),
        good(
            "policy for every device",
            &order(Op::Policy(default)),
            "owner",
        ),
        good("grant for everything", &grant(Scope::All), "owner"),
        good(
            "grant for devices",
            &grant(Scope::Devices(nodes(2))),
            "owner",
        ),
        good(
            "grant for snapshots",
            &grant(Scope::Snaps(records(2))),
            "owner",
        ),
        good("grant with audience and limit", &bounded, "owner"),
    ]);
    cases
}

fn bad_bodies() -> Vec<serde_json::Value> {
    let hold = || order(Op::Hold(records(2)));
    let all = || grant(Scope::All);
    vec![
        bad_body("missing field", &cert(), "cbor-missing-key", |b| {
            without(b, 3)
        }),
        bad_body("unknown field", &cert(), "cbor-unknown-key", |b| {
            *at(b, 14) = int(0)
        }),
        bad_body("number for bytes", &cert(), "cbor-wrong-type", |b| {
            *at(b, 1) = int(0)
        }),
        bad_body(
            "backup set of 15 bytes",
            &snap(),
            "cbor-out-of-range",
            |b| *at(b, 9) = blob(&[0; 15]),
        ),
        bad_body("no backup set", &snap(), "cbor-missing-key", |b| {
            without(b, 9)
        }),
        bad_body("id of 31 bytes", &cert(), "cbor-out-of-range", |b| {
            *at(b, 2) = blob(&[0; 31])
        }),
        bad_body("group of 33 bits", &cert(), "cbor-out-of-range", |b| {
            *at(b, 10) = int(1 << 32)
        }),
        bad_body("private group", &cert(), "invalid", |b| {
            *at(b, 10) = int(0xffff_ffff)
        }),
        bad_body("unknown permission", &cert(), "invalid", |b| {
            *at(b, 4) = int(16)
        }),
        bad_body("empty lifetime", &cert(), "invalid", |b| {
            *at(b, 6) = int(1_800_000_000)
        }),
        bad_body("long label", &cert(), "limit", |b| {
            *at(b, 12) = blob(&[0; 257])
        }),
        bad_body("format 2", &snap(), "unknown-format", |b| {
            *at(b, 8) = int(2)
        }),
        bad_body("operation 9", &hold(), "unknown-op", |b| *at(b, 5) = int(9)),
        bad_body("no ids", &hold(), "limit", |b| *at(b, 6) = list([])),
        bad_body("ids out of order", &hold(), "list-order", |b| {
            *at(b, 6) = list([blob(&[2; 32]), blob(&[1; 32])]);
        }),
        bad_body("id twice", &hold(), "list-order", |b| {
            *at(b, 6) = list([blob(&[1; 32]), blob(&[1; 32])]);
        }),
        bad_body("empty audience", &hold(), "limit", |b| *at(b, 4) = list([])),
        bad_body(
            "drop-owner for all",
            &order(Op::DropOwner),
            "audience-required",
            |b| {
                *at(b, 4) = Value::Null;
            },
        ),
        bad_body("grant for 30 days and a second", &all(), "invalid", |b| {
            *at(b, 5) = int(1_800_000_000 + 30 * 86_400 + 1);
        }),
        bad_body("grant that ends at its start", &all(), "invalid", |b| {
            *at(b, 5) = int(1_800_000_000);
        }),
        bad_body("too deep", &cert(), "cbor-too-deep", |b| {
            *at(b, 3) = list([list([list([list([list([int(0)])])])])]);
        }),
    ]
}

fn bad_envelopes() -> Vec<serde_json::Value> {
    let body = encode_body(&cert()).unwrap();
    let owner_key = owner().sign_key();
    let good = sign(Kind::Cert, &body, &owner_key);
    let by_device = sign(Kind::Cert, &body, &key("device"));
    let open_ended = [&[0xbf], &body[1..], &[0xff]].concat();
    let swapped = [&[0xad], &body[36..], &body[1..36]].concat();
    let mut small_order = [0; 32];
    small_order[0] = 1;
    vec![
        bad("signed by the device", &by_device, "wrong-signer"),
        bad(
            "trailing byte",
            &[&good[..], &[0]].concat(),
            "cbor-trailing",
        ),
        bad("cut", &good[..good.len() - 1], "cbor-truncated"),
        bad("empty", &[], "cbor-truncated"),
        bad(
            "body of indefinite length",
            &sign(Kind::Cert, &open_ended, &owner_key),
            "cbor-indefinite",
        ),
        bad(
            "body with keys out of order",
            &sign(Kind::Cert, &swapped, &owner_key),
            "cbor-key-order",
        ),
        bad_envelope("unknown type", "unknown-type", |e| {
            *item(e, 0) = text("device")
        }),
        bad_envelope("relabelled", "bad-signature", |e| {
            *item(e, 0) = text("grant")
        }),
        bad_envelope("changed signature", "bad-signature", |e| {
            let Value::Bytes(signature) = item(e, 3) else {
                panic!()
            };
            signature[40] ^= 1;
        }),
        bad_envelope("signer of small order", "bad-key", |e| {
            *item(e, 2) = blob(&small_order)
        }),
        bad_envelope("signer of 33 bytes", "cbor-out-of-range", |e| {
            *item(e, 2) = blob(&[1; 33])
        }),
        bad_envelope("changed body", "bad-signature", |e| {
            let Value::Bytes(body) = item(e, 1) else {
                panic!()
            };
            *body.last_mut().unwrap() ^= 1;
        }),
    ]
}

/// How the label in the certificates above is sealed.
fn label() -> serde_json::Value {
    let (seed, value) = (owner(), cert());
    let key = seed.label_key(value.epoch);
    let label = open_label(&key, &value.owner, &value.device, &value.sealed_label).unwrap();
    json!({
        "name": "sealed label of the certificate",
        "owner_seed": hex(seed.expose()),
        "epoch": value.epoch,
        "label_key": hex(key.expose()),
        "owner": hex(value.owner.as_bytes()),
        "device": hex(value.device.as_bytes()),
        "label": label,
        "sealed": hex(&value.sealed_label),
    })
}

#[test]
fn vectors_records() {
    let about = "Signed records. `signer_seed` is the Ed25519 seed; `fields` the body in the \
                 diagnostic notation of RFC 8949. Where a case has an `error`, decoding the \
                 envelope must fail with that class.";
    let cases = [vec![label()], good_cases(), bad_bodies(), bad_envelopes()].concat();
    golden("records", about, &cases);
}
