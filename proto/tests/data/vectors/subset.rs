use packnback_proto::cbor::Value as Cbor;
use packnback_proto::crypto::keyset::{KeyKind, OwnerKey};
use packnback_proto::subset::{open, seal};
use serde_json::{Value, json};

use super::{golden, hex};
use crate::n22_seed::QUICK;
use crate::n22_subsets::{PARTS, around, content_of, part};
use crate::support::*;

const PASS: &str = "passphrase";

/// What the key holds, as far as it says so.
fn holds(key: &OwnerKey) -> Value {
    let epk = exchange_epk();
    let secret =
        |key: Option<packnback_proto::crypto::secret::Secret32>| key.map(|key| hex(key.expose()));
    json!({
        "kind": key.kind().name(),
        "owner": key.owner_id().to_string(),
        "label_key_of_epoch_3": secret(key.label_key(3).ok()),
        "sign_seed": secret(key.sign_key().ok().map(|k| k.seed())),
        "recovery": key.recovery_id().ok().map(|id| id.to_string()),
        "epk": hex(&epk),
        "node_key": secret(key.node_key(&epk, 3).ok()),
        "session_data": secret(key.session_roots(&epk, 3).ok().map(|r| r.data)),
        "group_2": secret(key.dedup_group(2).ok()),
    })
}

fn exchange_epk() -> [u8; 32] {
    crate::exchange::session("session 1", 3).epk
}

fn good() -> Vec<Value> {
    let one = |kind| {
        let key = part(kind);
        let salt = bytes16(kind.name());
        let protected = seal(&key, Some((PASS.as_bytes(), salt, QUICK))).unwrap();
        let plain = seal(&key, None).unwrap();
        [(Some(PASS), protected), (None, plain)].map(|(passphrase, file)| {
            let mut case = holds(&open(&file, passphrase.map(str::as_bytes)).ok().unwrap());
            case["name"] = kind.name().into();
            case["file"] = hex(&file).into();
            case["passphrase"] = passphrase.into();
            case
        })
    };
    PARTS.into_iter().flat_map(one).collect()
}

fn refused(name: &str, file: &[u8], passphrase: Option<&str>, class: &str) -> Value {
    let error = open(file, passphrase.map(str::as_bytes)).err();
    assert_eq!(error.map(|e| e.class()), Some(class), "{name}");
    json!({ "name": name, "file": hex(file), "passphrase": passphrase, "error": class })
}

fn bad() -> Vec<Value> {
    let key = part(KeyKind::ListOnly);
    let file = seal(&key, Some((PASS.as_bytes(), bytes16("salt"), QUICK))).unwrap();
    let plain = seal(&key, None).unwrap();
    let mut damaged = plain.to_vec();
    damaged[60] ^= 1;
    let mut renamed = decoded(&file);
    *at(&mut renamed, 1) = text("PNBSUB2");
    let changed = |name: &str, kind, key, value: Cbor, class: &str| {
        let mut content = content_of(kind);
        *at(&mut content, key) = value;
        refused(name, &around(&content), None, class)
    };
    let epoch = |e| list([int(e), blob(&[1; 32]), blob(&[2; 32])]);
    vec![
        refused("wrong passphrase", &file, Some("x"), "wrong-passphrase"),
        refused(
            "no passphrase for a file with one",
            &file,
            None,
            "protected",
        ),
        refused(
            "passphrase for a file without",
            &plain,
            Some(PASS),
            "not-protected",
        ),
        refused("damaged", &damaged, None, "checksum"),
        refused("cut", &plain[..plain.len() - 1], None, "cbor-truncated"),
        refused(
            "version 2",
            &encoded(&renamed),
            Some(PASS),
            "unknown-version",
        ),
        changed("unknown kind", KeyKind::SignOnly, 1, int(4), "content"),
        changed("no epochs", KeyKind::ListOnly, 3, list([]), "content"),
        changed(
            "epochs out of order",
            KeyKind::ListOnly,
            3,
            list([epoch(3), epoch(2)]),
            "content",
        ),
        changed(
            "signing key of another owner",
            KeyKind::SignOnly,
            3,
            blob(&[7; 32]),
            "content",
        ),
        changed(
            "unknown field",
            KeyKind::ReadOnly,
            6,
            int(0),
            "cbor-unknown-key",
        ),
    ]
}

#[test]
fn vectors_subset() {
    let about = "Parts of the owner key, for key epochs 2 to 4 and dedup groups 0 to 3. null: the part \
                 does not have it. `node_key` and `session_data` (SK_d) are those of the session `epk` \
                 of epoch 3. Work is small, as in keyfile.json.";
    golden("subset", about, &[good(), bad()].concat());
}
