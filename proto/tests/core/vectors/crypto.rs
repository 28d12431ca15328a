//! `crypto.json`: key tree, sessions, sealing, signatures, record ids.

use packnback_proto::crypto::hash::{derive_bytes, keyed_hash, record_id};
use packnback_proto::crypto::keys::{
    ChunkKeys, OwnerSeed, SessionKeys, SetName, chunk_key, set_id,
};
use packnback_proto::crypto::labels;
use packnback_proto::crypto::primitives::x25519;
use packnback_proto::crypto::seal::{open, seal};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::{SigningKey, verify_strict};
use serde_json::{Value, json};

use super::{GENERATORS, Input, check, each, field, field32, hex, key, number32, read};
use crate::n19_curves::{add_order, low_order_x25519};
use crate::salamander;
use crate::support::{bulk, bytes32, crypto_class, secret};

const FILE: &str = "crypto.json";

fn hashes() -> Value {
    let keyed = |m: Input| {
        let k = bytes32("hash key");
        json!({ "key": hex(&k), "m": m.0, "keyed_hash": hex(&keyed_hash(&k, &m.1)) })
    };
    json!([
        keyed(Input::hex(b"")),
        keyed(Input::hex(b"abc")),
        keyed(Input::bulk("m", 5000))
    ])
}

fn derivations() -> Value {
    let derive = |context: &str, ikm: &[u8]| {
        let mut out = [0; 64];
        derive_bytes(context, &[ikm], &mut out);
        json!({ "context": context, "ikm": hex(ikm), "xof64": hex(&out) })
    };
    json!([
        derive(labels::SIV, &bytes32("ikm")),
        derive(labels::GEAR_TABLE, b"")
    ])
}

fn owners() -> Value {
    let owner = |seed: [u8; 32], epoch: u32, group: u32| {
        let owner = OwnerSeed::from_bytes(seed);
        let device = owner.device_keys(epoch, group);
        let chunk = device.chunk_keys();
        let gear: Vec<u8> = chunk
            .gear()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        json!({
            "seed": hex(&seed), "epoch": epoch, "group": group,
            "owner_sign_seed": hex(owner.sign_key().seed().expose()),
            "owner_id": hex(owner.owner_id().as_bytes()),
            "recovery_seed": hex(owner.recovery_seed().expose()),
            "recovery_id": hex(owner.recovery_id().as_bytes()),
            "owner_meta": hex(owner.list_secret(epoch).expose()),
            "owner_meta_pub": hex(&device.meta_pub),
            "owner_dec": hex(owner.decrypt_secret(epoch).expose()),
            "owner_dec_pub": hex(&device.dec_pub),
            "psk": hex(device.psk.expose()),
            "label_key": hex(owner.label_key(epoch).expose()),
            "group_key": hex(device.group_key.expose()),
            "set_key": hex(device.set_key.expose()),
            "chunk_key": hex(chunk.chunk().expose()),
            "cut_key": hex(chunk.cut().expose()),
            "gear_first": hex(&gear[..16]),
            "gear_blake3": hex(blake3::hash(&gear).as_bytes()),
        })
    };
    let seed = bytes32("owner seed");
    json!([
        owner(seed, 0, 0),
        owner(seed, 1, 2),
        owner([0; 32], 0, 0),
        owner([255; 32], 7, u32::MAX)
    ])
}

fn backup_sets() -> Value {
    let key = OwnerSeed::from_bytes(bytes32("owner seed")).set_key();
    let named = |name: &str| {
        let set = set_id(&key, SetName::Given(name));
        json!({ "set_key": hex(key.expose()), "name": name, "set": hex(&set.0) })
    };
    let rooted = |roots: &[&[u8]]| {
        let roots: Vec<Vec<u8>> = roots.iter().map(|root| root.to_vec()).collect();
        let set = set_id(&key, SetName::Roots(&roots));
        let roots: Vec<_> = roots.iter().map(|root| hex(root)).collect();
        json!({ "set_key": hex(key.expose()), "roots": roots, "set": hex(&set.0) })
    };
    json!([
        named("photos"),
        named("été"),
        rooted(&[b"home/ada"]),
        rooted(&[b"home/ada", b"etc"]),
        rooted(&[b"etc", b"home/ada", b"etc"]),
        rooted(&[b""]),
        rooted(&[b"photos"]),
        rooted(&[b"home/\xff"]),
    ])
}

fn session_json(seed: &[u8; 32], esk: Option<&[u8; 32]>, s: &SessionKeys) -> Value {
    json!({
        "seed": hex(seed), "esk": esk.map(|esk| hex(esk)),
        "epoch": s.epoch, "epk": hex(&s.epk), "k_node": hex(s.node.expose()),
        "k_map": hex(s.map.expose()), "k_pack": hex(s.pack.expose()),
        "k_blob": hex(s.blob.expose()), "ck_priv": hex(s.chunk_priv.expose()),
    })
}

fn sessions() -> Value {
    let seed = bytes32("owner seed");
    let start = |epoch, label: &str| {
        let device = OwnerSeed::from_bytes(seed).device_keys(epoch, 0);
        let session = SessionKeys::start(&device, secret(label)).unwrap();
        session_json(&seed, Some(&bytes32(label)), &session)
    };
    let mut all = vec![
        start(0, "session secret"),
        start(0, "another session"),
        start(9, "esk"),
    ];
    for epk in low_order_x25519() {
        all.push(json!({
            "seed": hex(&seed), "epoch": 0, "epk": hex(&epk), "expect": "non_contributory",
        }));
    }
    Value::Array(all)
}

fn sealed() -> Value {
    let key = bytes32("sealing key");
    let good = |ad: &[u8], m: Input| {
        let x = seal(&Secret32::new(key), ad, &m.1).unwrap();
        let x = if x.len() > 3000 {
            json!({ "blake3": hex(blake3::hash(&x).as_bytes()), "len": x.len() })
        } else {
            json!({ "hex": hex(&x) })
        };
        json!({ "key": hex(&key), "ad": hex(ad), "m": m.0, "x": x })
    };
    let mut all = vec![
        good(b"", Input::hex(b"")),
        good(b"", Input::hex(b"message")),
        good(b"associated data", Input::hex(b"")),
        good(b"associated data", Input::hex(b"message")),
        good(&bulk("ad", 100), Input::bulk("m", 64)),
        good(&bulk("ad", 100), Input::bulk("m", 1025)),
        good(b"", Input::bulk("m", 1_000_000)),
    ];
    let bad = |name: &str, ad: &[u8], x: &[u8], expect: &str| json!({ "name": name, "key": hex(&key), "ad": hex(ad), "x": { "hex": hex(x) }, "expect": expect });
    let x = seal(&Secret32::new(key), b"ad", b"message").unwrap();
    let flip = |at: usize| {
        let mut x = x.clone();
        x[at] ^= 1;
        x
    };
    all.push(bad("wrong associated data", b"Ad", &x, "bad_tag"));
    all.push(bad("altered nonce", b"ad", &flip(0), "bad_tag"));
    all.push(bad("altered ciphertext", b"ad", &flip(24), "bad_tag"));
    all.push(bad("altered tag", b"ad", &flip(x.len() - 1), "bad_tag"));
    all.push(bad(
        "shorter than nonce and tag",
        b"ad",
        &x[..39],
        "too_short",
    ));
    all.push(bad("empty", b"ad", &[], "too_short"));
    let nonce = bulk("salamander nonce", 24).try_into().unwrap();
    let other = bytes32("other sealing key");
    let x = salamander::make(&key, &other, &nonce);
    let name = "authentic under two keys (salamander), first key";
    all.push(bad(name, b"", &x, "bad_nonce"));
    let mut second = bad(
        "authentic under two keys (salamander), second key",
        b"",
        &x,
        "bad_nonce",
    );
    second["key"] = json!(hex(&other));
    all.push(second);
    Value::Array(all)
}

fn chunk_keys() -> Value {
    let ck = ChunkKeys::new(&secret("group key"));
    let entry = |p: Input| {
        let k = chunk_key(ck.chunk(), &p.1);
        json!({ "ck": hex(ck.chunk().expose()), "p": p.0, "k": hex(k.expose()) })
    };
    json!([
        entry(Input::hex(b"a chunk")),
        entry(Input::letters("chunk", 1_500_000))
    ])
}

fn signatures() -> Value {
    let signer = SigningKey::from_seed(&secret("signer"));
    let sig = signer.sign(b"message");
    let entry = |name: &str, public: &[u8], sig: &[u8], expect: Option<&str>| {
        let mut v = json!({
            "name": name, "public": hex(public), "message": hex(b"message"), "signature": hex(sig),
        });
        if let Some(expect) = expect {
            v["expect"] = json!(expect);
        }
        v
    };
    let mut good = entry("good", &signer.public(), &sig, None);
    good["seed"] = json!(hex(&bytes32("signer")));
    let mut flipped = sig;
    flipped[40] ^= 1;
    let public = signer.public();
    let mut all = vec![
        good,
        entry("altered", &public, &flipped, Some("bad_signature")),
        entry(
            "S not reduced",
            &public,
            &add_order(sig),
            Some("bad_signature"),
        ),
        entry("all zero", &public, &[0; 64], Some("bad_signature")),
    ];
    for point in curve25519_dalek::constants::EIGHT_TORSION {
        let small = point.compress().to_bytes();
        let mut sig = [0; 64];
        sig[..32].copy_from_slice(&small);
        all.push(entry(
            "key of small order",
            &small,
            &sig,
            Some("bad_public_key"),
        ));
        all.push(entry(
            "R of small order",
            &public,
            &sig,
            Some("bad_signature"),
        ));
    }
    let mut y_beyond_p = [0xff; 32];
    (y_beyond_p[0], y_beyond_p[31]) = (0xed + 3, 0x7f);
    all.push(entry(
        "key not canonical",
        &y_beyond_p,
        &sig,
        Some("bad_public_key"),
    ));
    let not_on_curve = [&[2][..], &[0; 31]].concat();
    all.push(entry(
        "key not on the curve",
        &not_on_curve,
        &sig,
        Some("bad_public_key"),
    ));
    Value::Array(all)
}

fn record_ids() -> Value {
    let entry = |kind: &str, body: &[u8]| {
        let id = record_id(kind, body);
        json!({ "type": kind, "body": hex(body), "id": hex(id.as_bytes()) })
    };
    json!([
        entry("snap", b"body"),
        entry("cert", b""),
        entry("s", b"nap\0body")
    ])
}

#[test]
fn crypto_json_is_what_the_code_makes() {
    let about = "BLAKE3 hashes and derivations, the key tree, sessions, seal/open, chunk keys, \
        Ed25519 with strict rules, record ids. All values hex.";
    check(
        FILE,
        &json!({
            "about": [about, GENERATORS], "hashes": hashes(), "derivations": derivations(),
            "owners": owners(), "backup_sets": backup_sets(), "sessions": sessions(), "sealed": sealed(),
            "chunk_keys": chunk_keys(), "signatures": signatures(), "record_ids": record_ids(),
        }),
    );
}

#[test]
fn crypto_json_read_alone() {
    let file = read(FILE);
    each(&file, "sessions", |v| {
        let seed = OwnerSeed::from_bytes(field32(v, "seed"));
        let result = seed.open_session(&field32(v, "epk"), number32(&v["epoch"]));
        match result {
            Ok(session) => {
                let esk = field32(v, "esk");
                assert_eq!(session_json(seed.expose(), Some(&esk), &session), *v);
            }
            Err(error) => assert_eq!(crypto_class(error), v["expect"]),
        }
    });
    each(&file, "sealed", |v| {
        let (key, ad) = (key(v, "key"), field(v, "ad"));
        if v["x"]["hex"].is_null() {
            let x = seal(&key, &ad, &Input::bytes(&v["m"])).unwrap();
            assert_eq!(hex(blake3::hash(&x).as_bytes()), v["x"]["blake3"]);
            return;
        }
        match open(&key, &ad, &Input::bytes(&v["x"])) {
            Ok(m) => assert!(v["expect"].is_null() && m == Input::bytes(&v["m"])),
            Err(error) => assert_eq!(crypto_class(error), v["expect"]),
        }
    });
    each(&file, "signatures", |v| {
        let signature = field(v, "signature").try_into().unwrap();
        match verify_strict(&field32(v, "public"), &field(v, "message"), &signature) {
            Ok(()) => {
                assert!(v["expect"].is_null());
                let signer = SigningKey::from_seed(&key(v, "seed"));
                assert_eq!(signer.sign(&field(v, "message")), signature);
            }
            Err(error) => assert_eq!(crypto_class(error), v["expect"]),
        }
    });
    each(&file, "owners", |v| {
        let secret = key(v, "owner_meta");
        assert!(x25519(&secret, &field32(v, "owner_dec_pub")).is_ok());
    });
}
