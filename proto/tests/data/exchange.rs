//! Enrolment and unsealing: what is carried between machines opens where it should, and nowhere
//! else.

use packnback_proto::cbor::Value;
use packnback_proto::crypto::boxed::seal_to;
use packnback_proto::crypto::keys::SessionKeys;
use packnback_proto::crypto::keyset::{KeyKind, KeyLack, OwnerKey};
use packnback_proto::crypto::labels;
use packnback_proto::crypto::primitives::x25519_public;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::exchange::{
    ExchangeError, JoinBundle, JoinRequest, TextForm, UnsealAnswer, UnsealRequest, from_text,
    to_text,
};
use packnback_proto::record::{Op, Signed};

use crate::n22_subsets::part;
use crate::support::*;

pub(crate) fn request(label: &str) -> JoinRequest {
    JoinRequest {
        node: node(label),
        key: x25519_public(&secret(&format!("{label} exchange"))),
        label: "Ada's laptop".into(),
    }
}

fn opener(label: &str) -> Secret32 {
    secret(&format!("{label} exchange"))
}

pub(crate) fn bundle() -> JoinBundle {
    let hosts = Op::Hosts {
        hseq: 4,
        hosts: nodes(3),
    };
    JoinBundle {
        cert: Signed::sign(&cert(), &owner().sign_key()).unwrap(),
        keys: owner().device_keys(3, 2),
        label: "Ada's laptop".into(),
        hosts: Some(Signed::sign(&order(hosts), &owner().sign_key()).unwrap()),
    }
}

pub(crate) fn sealed() -> Vec<u8> {
    bundle()
        .seal(&request("device"), &owner().sign_key(), &secret("esk"))
        .unwrap()
}

fn opened(bytes: &[u8], label: &str) -> Result<JoinBundle, ExchangeError> {
    JoinBundle::open(bytes, &opener(label), &node(label))
}

fn class<T>(result: Result<T, ExchangeError>) -> &'static str {
    result.err().map_or("ok", |e| e.class())
}

#[test]
fn a_bundle_brings_what_was_put_in() {
    let got = opened(&sealed(), "device").ok().unwrap();
    let put = bundle();
    assert_eq!(got.cert, put.cert);
    assert_eq!(got.hosts, put.hosts);
    assert_eq!(got.label, put.label);
    assert_eq!(
        (
            got.keys.meta_pub,
            got.keys.dec_pub,
            got.keys.epoch,
            got.keys.group
        ),
        (put.keys.meta_pub, put.keys.dec_pub, 3, 2)
    );
    assert_eq!(got.keys.psk.expose(), put.keys.psk.expose());
    assert_eq!(got.keys.group_key.expose(), put.keys.group_key.expose());
    // Nothing of it can be read on the way.
    for secret in [put.keys.psk.expose(), put.keys.group_key.expose()] {
        assert!(!sealed().windows(32).any(|w| w == secret));
    }
    let none = JoinBundle {
        hosts: None,
        ..bundle()
    };
    let bytes = none.seal(&request("device"), &owner().sign_key(), &secret("esk"));
    assert!(
        opened(&bytes.unwrap(), "device")
            .ok()
            .unwrap()
            .hosts
            .is_none()
    );
}

/// One device bundle does not open another's.
#[test]
fn n22_a_bundle_opens_on_no_other_machine() {
    let bytes = sealed();
    assert_eq!(
        opened(&bytes, "second").err(),
        Some(ExchangeError::OtherMachine(node("device")))
    );
    // Another machine that claims to be the first one does not have its key.
    let stolen = JoinBundle::open(&bytes, &opener("second"), &node("device"));
    assert_eq!(class(stolen), "sealed");
    // Written over to name the other machine: bound to the first by the seal.
    let mut renamed = decoded(&bytes);
    *item(&mut renamed, 1) = blob(node("second").as_bytes());
    assert_eq!(class(opened(&encoded(&renamed), "second")), "sealed");
    // Nor can a bundle be made for a machine the certificate does not name.
    let made = bundle().seal(&request("second"), &owner().sign_key(), &secret("esk"));
    assert_eq!(class(made), "other-machine");
}

#[test]
fn n22_a_bundle_that_is_cut_or_changed_opens_nothing() {
    let bytes = sealed();
    for len in 0..bytes.len() {
        assert!(opened(&bytes[..len], "device").is_err(), "{len}");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(opened(&flipped, "device").is_err(), "byte {at}");
    }
    let mut version = decoded(&bytes);
    *item(&mut version, 0) = int(2);
    assert_eq!(
        class(opened(&encoded(&version), "device")),
        "unknown-version"
    );
}

/// Seals any content to the device, as somebody can who only read its request.
fn forged(content: &Value) -> Vec<u8> {
    let (request, esk) = (request("device"), secret("forger"));
    let epk = x25519_public(&esk);
    let head = [int(1), blob(request.node.as_bytes()), blob(&epk)];
    let ad = encoded(&Value::Array(head.to_vec()));
    let sealed = seal_to(
        labels::DEVICE_BUNDLE,
        &request.key,
        &esk,
        &ad,
        &encoded(content),
    );
    let [version, node, epk] = head;
    encoded(&list([version, node, epk, blob(&sealed.unwrap())]))
}

fn body(meta_pub: &[u8; 32]) -> Value {
    let true_one = bundle();
    Value::Map(
        [
            (int(1), blob(true_one.cert.envelope())),
            (int(2), blob(meta_pub)),
            (int(3), blob(&true_one.keys.dec_pub)),
            (int(4), blob(true_one.keys.psk.expose())),
            (int(5), blob(true_one.keys.group_key.expose())),
            (int(6), text("x")),
            (int(7), Value::Null),
            (int(8), blob(true_one.keys.set_key.expose())),
        ]
        .into(),
    )
}

fn signed(body: &Value, by: &packnback_proto::crypto::sign::SigningKey) -> Value {
    let body = encoded(body);
    let signature = by.sign(&[b"packnback-bundle-v1\0".as_slice(), &body].concat());
    list([blob(&body), blob(&signature)])
}

/// A true certificate with keys of somebody else: the device would seal its backups for them.
#[test]
fn n22_a_bundle_with_keys_the_owner_did_not_sign_is_refused() {
    let theirs = x25519_public(&secret("theirs"));
    let ours = bundle().keys.meta_pub;
    let good = forged(&signed(&body(&ours), &owner().sign_key()));
    assert!(opened(&good, "device").is_ok(), "the forgery is well made");
    let by_other = forged(&signed(&body(&theirs), &key("another owner")));
    assert_eq!(class(opened(&by_other, "device")), "bad-signature");
    let mut swapped = signed(&body(&ours), &owner().sign_key());
    *item(&mut swapped, 0) = blob(&encoded(&body(&theirs)));
    assert_eq!(class(opened(&forged(&swapped), "device")), "bad-signature");
    // A signature for something else is none for this.
    let mut record = signed(&body(&ours), &owner().sign_key());
    let plain = owner().sign_key().sign(&encoded(&body(&ours)));
    *item(&mut record, 1) = blob(&plain);
    assert_eq!(class(opened(&forged(&record), "device")), "bad-signature");
}

#[test]
fn parts_of_a_bundle_belong_together() {
    let seal = |bundle: &JoinBundle| {
        class(bundle.seal(&request("device"), &owner().sign_key(), &secret("esk")))
    };
    let other_epoch = JoinBundle {
        keys: owner().device_keys(4, 2),
        ..bundle()
    };
    assert_eq!(seal(&other_epoch), "mismatch");
    let not_hosts = JoinBundle {
        hosts: Some(Signed::sign(&order(Op::Hold(records(1))), &owner().sign_key()).unwrap()),
        ..bundle()
    };
    assert_eq!(seal(&not_hosts), "mismatch");
    let named = JoinBundle {
        label: "line\nbreak".into(),
        ..bundle()
    };
    assert_eq!(seal(&named), "mismatch");
    let by_other = bundle().seal(&request("device"), &key("other"), &secret("esk"));
    assert_eq!(class(by_other), "mismatch");
    // A key of low order would give everybody the same secret.
    let low = JoinRequest {
        key: [0; 32],
        ..request("device")
    };
    assert_eq!(
        class(bundle().seal(&low, &owner().sign_key(), &secret("esk"))),
        "sealed"
    );
}

#[test]
fn requests_travel_as_text_and_mistakes_are_noticed() {
    let request = request("device");
    let text = to_text(TextForm::Request, &request.encode().unwrap());
    assert_eq!(TextForm::of(&text), Some(TextForm::Request));
    let wrapped = format!("  {}\n{}\n", &text[..40], text[40..].to_uppercase());
    for typed in [text.clone(), text.to_uppercase(), wrapped] {
        let bytes = from_text(TextForm::Request, &typed).unwrap();
        assert_eq!(JoinRequest::decode(&bytes).unwrap(), request);
    }
    for at in TextForm::Request.prefix().len()..text.len() {
        let mut wrong = text.clone().into_bytes();
        wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
        let wrong = String::from_utf8(wrong).unwrap();
        assert_eq!(
            class(from_text(TextForm::Request, &wrong)),
            "damaged",
            "{at}"
        );
    }
    for len in 0..text.len() {
        assert!(from_text(TextForm::Request, &text[..len]).is_err(), "{len}");
    }
    assert_eq!(class(from_text(TextForm::Bundle, &text)), "prefix");
    // It fits a QR code of the compact kind with room to spare.
    assert!(text.len() < 300, "{}", text.len());
    let longest = JoinRequest {
        label: "x".repeat(64),
        ..request.clone()
    };
    assert!(JoinRequest::decode(&longest.encode().unwrap()).is_ok());
    let longer = JoinRequest {
        label: "x".repeat(65),
        ..request.clone()
    };
    assert_eq!(class(longer.encode()), "mismatch");
    // The fingerprint is that of both keys.
    let print = request.fingerprint();
    assert_eq!(print.len(), 19, "{print}");
    for other in [
        JoinRequest {
            key: [9; 32],
            ..request.clone()
        },
        JoinRequest {
            node: node("second"),
            ..request
        },
    ] {
        assert_ne!(other.fingerprint(), print);
    }
}

// ---- unsealing ----

pub(crate) fn session(label: &str, epoch: u32) -> SessionKeys {
    SessionKeys::start(&owner().device_keys(epoch, 2), secret(label)).unwrap()
}

pub(crate) fn unseal_request() -> UnsealRequest {
    let sessions = ["session 1", "session 2"].map(|label| (session(label, 3).epk, 3));
    UnsealRequest {
        key: x25519_public(&opener("box")),
        snap: Signed::sign(&snap(), &key("device")).unwrap(),
        cert: Signed::sign(&cert(), &owner().sign_key()).unwrap(),
        sessions: sorted(sessions.to_vec()),
    }
}

#[test]
fn an_answer_opens_the_sessions_asked_for_and_no_other() {
    let request = UnsealRequest::decode(&unseal_request().encode().unwrap()).unwrap();
    assert_eq!(request, unseal_request());
    for key in [OwnerKey::from(owner()), part(KeyKind::ReadOnly)] {
        let answer = request.answer(&key, &secret("esk")).unwrap();
        let answer = UnsealAnswer::decode(&answer.encode()).unwrap();
        assert_eq!(answer.snap, request.snap.id());
        let unsealed = answer.open(&opener("box")).ok().unwrap();
        assert_eq!(unsealed.len(), 2);
        for label in ["session 1", "session 2"] {
            let wanted = session(label, 3);
            let got = unsealed.session(&wanted.epk, 3).ok().unwrap();
            assert_eq!(got.node.expose(), wanted.node.expose());
            assert_eq!(got.pack.expose(), wanted.pack.expose());
        }
        let other = session("session 3", 3).epk;
        assert_eq!(
            unsealed.session(&other, 3).err(),
            Some(KeyLack::NotUnsealed)
        );
        let group = unsealed.dedup_group(2).ok().unwrap();
        assert_eq!(group.expose(), owner().dedup_group(2).expose());
        assert_eq!(unsealed.dedup_group(3).err(), Some(KeyLack::NotUnsealed));
    }
}

#[test]
fn n22_an_answer_opens_on_no_other_machine_and_not_when_changed() {
    let full = OwnerKey::from(owner());
    let answer = unseal_request().answer(&full, &secret("esk")).unwrap();
    assert_eq!(class(answer.open(&opener("other box"))), "sealed");
    let bytes = answer.encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let opened = UnsealAnswer::decode(&flipped).and_then(|a| a.open(&opener("box")));
        assert!(opened.is_err(), "byte {at}");
    }
    for len in 0..bytes.len() {
        assert!(UnsealAnswer::decode(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn n22_who_cannot_read_cannot_unseal() {
    for kind in [KeyKind::SignOnly, KeyKind::ListOnly] {
        let refused = unseal_request().answer(&part(kind), &secret("esk"));
        assert_eq!(class(refused), "ability");
    }
    let stranger = OwnerKey::from(packnback_proto::crypto::keys::OwnerSeed::from_bytes(
        [1; 32],
    ));
    let refused = unseal_request().answer(&stranger, &secret("esk"));
    assert_eq!(class(refused), "mismatch");
    let low = UnsealRequest {
        key: [0; 32],
        ..unseal_request()
    };
    assert_eq!(
        class(low.answer(&OwnerKey::from(owner()), &secret("esk"))),
        "sealed"
    );
    // A session of low order opens nothing; it is left out, the others are answered.
    let mut some = unseal_request();
    some.sessions.insert(0, ([0; 32], 3));
    let answer = some
        .answer(&OwnerKey::from(owner()), &secret("esk"))
        .unwrap();
    assert_eq!(answer.open(&opener("box")).ok().unwrap().len(), 2);
}

#[test]
fn requests_to_unseal_are_checked() {
    let bytes = unseal_request().encode().unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert_eq!(class(UnsealRequest::decode(&flipped)), "damaged", "{at}");
        assert!(UnsealRequest::decode(&bytes[..at]).is_err(), "{at}");
    }
    let none = UnsealRequest {
        sessions: Vec::new(),
        ..unseal_request()
    };
    assert_eq!(class(none.encode()), "mismatch");
    let mut twice = unseal_request();
    twice.sessions.push(twice.sessions[1]);
    assert_eq!(class(twice.encode()), "mismatch");
    let mut other = cert();
    other.device = node("second");
    let other = UnsealRequest {
        cert: Signed::sign(&other, &owner().sign_key()).unwrap(),
        ..unseal_request()
    };
    assert_eq!(class(other.encode()), "mismatch");
}
