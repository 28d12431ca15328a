use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::keyfile::{
    Work, open_keyfile, open_unprotected, seal_keyfile, seal_unprotected,
};
use packnback_proto::qr::{from_qr, to_qr};
use packnback_proto::words::{check_owner, from_words, owner_digits, to_words};
use serde_json::json;

use super::{golden, hex};
use crate::n22_seed::QUICK;
use crate::support::*;

fn seeds() -> Vec<(&'static str, OwnerSeed)> {
    let counting = std::array::from_fn(|i| i as u8);
    vec![
        ("zeros", OwnerSeed::from_bytes([0; 32])),
        ("ones", OwnerSeed::from_bytes([0xff; 32])),
        ("counting", OwnerSeed::from_bytes(counting)),
        ("random", owner()),
    ]
}

#[test]
fn vectors_words() {
    let mut cases: Vec<_> = seeds()
        .iter()
        .map(|(name, seed)| {
            json!({
                "name": name,
                "seed": hex(seed.expose()),
                "words": *to_words(seed),
                "owner_digits": owner_digits(seed),
                "qr": *to_qr(seed),
            })
        })
        .collect();
    let good = to_words(&owner()).to_string();
    let mut list: Vec<_> = good.split(' ').collect();
    list.swap(0, 1);
    let swapped = list.join(" ");
    let refused = |name: &str, words: &str, class: &str| {
        assert_eq!(
            from_words(words).err().map(|e| e.class()),
            Some(class),
            "{name}"
        );
        json!({ "name": name, "words": words, "error": class })
    };
    let unknown = good.replacen(&good[..good.find(' ').unwrap()], "packnback", 1);
    cases.extend([
        refused("swapped words", &swapped, "words-checksum"),
        refused(
            "wrong last word",
            &["abandon"; 24].join(" "),
            "words-checksum",
        ),
        refused("unknown word", &unknown, "words-unknown"),
        refused("23 words", &good[..good.rfind(' ').unwrap()], "words-count"),
        refused("no words", "", "words-count"),
    ]);
    let other = check_owner(&OwnerSeed::from_bytes([0; 32]), &owner_digits(&owner()));
    cases.push(json!({
        "name": "sheet of another owner",
        "words": *to_words(&OwnerSeed::from_bytes([0; 32])),
        "expected_digits": owner_digits(&owner()),
        "error": other.unwrap_err().class(),
    }));
    let qr = to_qr(&owner()).to_string();
    for (name, text, class) in [
        ("QR text without prefix", qr[5..].to_owned(), "qr-prefix"),
        (
            "QR text of version 2",
            qr.replace("PNB1", "PNB2"),
            "qr-prefix",
        ),
        ("QR text cut", qr[..62].to_owned(), "qr-digits"),
        (
            "QR text with a wrong digit",
            qr.replace("PNB1:", "PNB1:!")[..63].to_owned(),
            "qr-digits",
        ),
        (
            "QR text of zeros",
            format!("PNB1:{}", "A".repeat(58)),
            "qr-checksum",
        ),
    ] {
        assert_eq!(
            from_qr(&text).err().map(|e| e.class()),
            Some(class),
            "{name}"
        );
        cases.push(json!({ "name": name, "qr": text, "error": class }));
    }
    let about = "The owner seed as words, as digits of the owner id, and as QR text.";
    golden("words", about, &cases);
}

fn protected(name: &str, seed: &OwnerSeed, passphrase: &str, work: Work) -> serde_json::Value {
    let salt = bytes16(name);
    let file = seal_keyfile(seed, passphrase.as_bytes(), salt, work).unwrap();
    assert_eq!(
        open_keyfile(&file, passphrase.as_bytes())
            .ok()
            .unwrap()
            .expose(),
        seed.expose()
    );
    json!({
        "name": name,
        "seed": hex(seed.expose()),
        "passphrase": passphrase,
        "salt": hex(&salt),
        "m_kib": work.m_kib,
        "t": work.t,
        "p": work.p,
        "file": hex(&file),
    })
}

fn refused(name: &str, file: &[u8], passphrase: &str, class: &str) -> serde_json::Value {
    let error = open_keyfile(file, passphrase.as_bytes())
        .err()
        .map(|e| e.class());
    assert_eq!(error, Some(class), "{name}");
    json!({ "name": name, "file": hex(file), "passphrase": passphrase, "error": class })
}

#[test]
fn vectors_keyfile() {
    let file = seal_keyfile(&owner(), b"passphrase", bytes16("salt"), QUICK).unwrap();
    let with = |key, value| {
        let mut changed = decoded(&file);
        *at(&mut changed, key) = value;
        encoded(&changed)
    };
    let plain = seal_unprotected(&owner());
    let mut damaged = plain.to_vec();
    damaged[20] ^= 1;
    assert_eq!(
        open_unprotected(&damaged).err().unwrap().class(),
        "checksum"
    );
    let cases = [
        protected(
            "one lane",
            &owner(),
            "passphrase",
            Work {
                m_kib: 8,
                t: 1,
                p: 1,
            },
        ),
        protected(
            "four lanes",
            &owner(),
            "passphrase",
            Work {
                m_kib: 64,
                t: 3,
                p: 4,
            },
        ),
        protected("passphrase in UTF-8", &owner(), "Schlüssel 鍵", QUICK),
        protected("seed of zeros", &OwnerSeed::from_bytes([0; 32]), " ", QUICK),
        json!({
            "name": "no passphrase",
            "seed": hex(owner().expose()),
            "passphrase": null,
            "file": hex(&plain),
        }),
        json!({
            "name": "no passphrase, damaged",
            "file": hex(&damaged),
            "passphrase": null,
            "error": "checksum",
        }),
        refused(
            "passphrase for a file without",
            &plain,
            "passphrase",
            "not-protected",
        ),
        refused("wrong passphrase", &file, "Passphrase", "wrong-passphrase"),
        refused(
            "other salt",
            &with(2, blob(&[0; 16])),
            "passphrase",
            "wrong-passphrase",
        ),
        refused(
            "changed content",
            &with(7, blob(&[0; 72])),
            "passphrase",
            "damaged",
        ),
        refused("2^32 KiB", &with(3, int(1 << 32)), "passphrase", "work"),
        refused(
            "over 4 GiB",
            &with(3, int((4 << 20) + 1)),
            "passphrase",
            "work",
        ),
        refused("17 passes", &with(4, int(17)), "passphrase", "work"),
        refused("65 lanes", &with(5, int(65)), "passphrase", "work"),
        refused("no lanes", &with(5, int(0)), "passphrase", "work"),
        refused(
            "less than 8 KiB per lane",
            &with(3, int(15)),
            "passphrase",
            "work",
        ),
        refused(
            "version 2",
            &with(1, text("PNBKEY2")),
            "passphrase",
            "unknown-version",
        ),
        refused(
            "unknown field",
            &with(8, int(0)),
            "passphrase",
            "cbor-unknown-key",
        ),
        refused(
            "cut",
            &file[..file.len() - 1],
            "passphrase",
            "cbor-truncated",
        ),
        refused(
            "trailing byte",
            &[&file[..], &[0]].concat(),
            "passphrase",
            "cbor-trailing",
        ),
    ];
    let about = "Key files. `passphrase` is null for files without one. Work is small here to \
                 keep tests fast; docs/format.md says what writers use.";
    golden("keyfile", about, &cases);
}
