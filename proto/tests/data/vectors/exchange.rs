use packnback_proto::crypto::keyset::OwnerKey;
use packnback_proto::exchange::{
    JoinBundle, JoinRequest, TextForm, UnsealAnswer, UnsealRequest, from_text, to_text,
};
use serde_json::{Value, json};

use super::{golden, hex};
use crate::exchange::{bundle, request, sealed, session, unseal_request};
use crate::support::*;

fn requests() -> Vec<Value> {
    let device = request("device");
    let unnamed = JoinRequest {
        label: String::new(),
        ..request("second")
    };
    let case = |request: &JoinRequest| {
        let bytes = request.encode().unwrap();
        json!({
            "name": "request",
            "node": request.node.to_string(),
            "key": hex(&request.key),
            "label": request.label,
            "bytes": hex(&bytes),
            "text": to_text(TextForm::Request, &bytes),
            "fingerprint": request.fingerprint(),
        })
    };
    let text = to_text(TextForm::Request, &device.encode().unwrap());
    let wrong = text.replacen('a', "b", 2);
    let mut version = decoded(&device.encode().unwrap());
    *item(&mut version, 0) = int(2);
    let version = to_text(TextForm::Request, &encoded(&version));
    let refused = [
        ("wrong digits", wrong, "damaged"),
        ("no prefix", text[11..].to_owned(), "prefix"),
        ("version 2", version, "unknown-version"),
    ];
    let refused = refused.map(|(name, text, class)| {
        let read = from_text(TextForm::Request, &text).and_then(|b| JoinRequest::decode(&b));
        assert_eq!(read.unwrap_err().class(), class, "{name}");
        json!({ "name": name, "text": text, "error": class })
    });
    [case(&device), case(&unnamed)]
        .into_iter()
        .chain(refused)
        .collect()
}

fn open_bundle(name: &str, bytes: &[u8], who: &str, class: Option<&str>) -> Value {
    let secret = secret(&format!("{who} exchange"));
    let opened = JoinBundle::open(bytes, &secret, &node(who));
    assert_eq!(opened.err().map(|e| e.class()), class, "{name}");
    json!({
        "name": name,
        "bundle": hex(bytes),
        "node": node(who).to_string(),
        "secret": hex(secret.expose()),
        "error": class,
    })
}

fn bundles() -> Vec<Value> {
    let mut good = open_bundle("bundle", &sealed(), "device", None);
    let put = bundle();
    for (field, bytes) in [
        ("cert", put.cert.envelope()),
        ("owner_meta_pub", &put.keys.meta_pub),
        ("owner_dec_pub", &put.keys.dec_pub),
        ("psk", put.keys.psk.expose()),
        ("group_key", put.keys.group_key.expose()),
        ("set_key", put.keys.set_key.expose()),
        ("hosts", put.hosts.as_ref().unwrap().envelope()),
    ] {
        good[field] = hex(bytes).into();
    }
    good["label"] = put.label.into();
    let mut changed = sealed();
    *changed.last_mut().unwrap() ^= 1;
    let mut renamed = decoded(&sealed());
    *item(&mut renamed, 1) = blob(node("second").as_bytes());
    vec![
        good,
        open_bundle("other machine", &sealed(), "second", Some("other-machine")),
        open_bundle("changed", &changed, "device", Some("sealed")),
        open_bundle("renamed", &encoded(&renamed), "second", Some("sealed")),
    ]
}

fn answers() -> Vec<Value> {
    let request = unseal_request();
    let key = OwnerKey::from(owner());
    let answer = request.answer(&key, &secret("esk")).unwrap().encode();
    let opened = |name: &str, bytes: &[u8], who: &str, class: Option<&str>| {
        let secret = secret(&format!("{who} exchange"));
        let opened = UnsealAnswer::decode(bytes).and_then(|a| a.open(&secret));
        assert_eq!(opened.err().map(|e| e.class()), class, "{name}");
        json!({ "name": name, "answer": hex(bytes), "secret": hex(secret.expose()), "error": class })
    };
    let mut good = opened("answer", &answer, "box", None);
    good["owner_seed"] = hex(owner().expose()).into();
    good["request"] = hex(&request.encode().unwrap()).into();
    good["sessions"] = request
        .sessions
        .iter()
        .map(|(epk, epoch)| json!({ "epk": hex(epk), "epoch": epoch }))
        .collect();
    good["node_key"] = hex(session("session 1", 3).node.expose()).into();
    good["node_key_of"] = hex(&session("session 1", 3).epk).into();
    let mut damaged = request.encode().unwrap();
    damaged[40] ^= 1;
    let refused = UnsealRequest::decode(&damaged).unwrap_err();
    vec![
        good,
        opened("other machine", &answer, "other box", Some("sealed")),
        json!({ "name": "damaged request", "request": hex(&damaged), "error": refused.class() }),
    ]
}

#[test]
fn vectors_exchange() {
    let about = "Enrolment (request, bundle) and unsealing (request, answer). `secret` is the X25519 \
                 secret of the machine that opens.";
    golden(
        "exchange",
        about,
        &[requests(), bundles(), answers()].concat(),
    );
}
