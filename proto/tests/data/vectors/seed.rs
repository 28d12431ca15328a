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

fn good_words() -> Vec<serde_json::Value> {
    let case = |(name, seed): (&str, OwnerSeed)| {
        json!({
            "name": name,
            "seed": hex(seed.expose()),
            "words": *to_words(&seed),
            "owner_digits": owner_digits(&seed),
            "qr": *to_qr(&seed),
        })
    };
    seeds().into_iter().map(case).collect()
}

fn bad_words() -> Vec<serde_json::Value> {
    let good = to_words(&owner()).to_string();
    let mut list: Vec<_> = good.split(' ').collect();
    list.swap(0, 1);
    let unknown = good.replacen(&good[..good.find(' ').unwrap()], "packnback", 1);
    let short = &good[..good.rfind(' ').unwrap()];
    let cases = [
        ("swapped words", list.join(" "), "words-checksum"),
        (
            "wrong last word",
            ["abandon"; 24].join(" "),
            "words-checksum",
        ),
        ("unknown word", unknown, "words-unknown"),
        ("23 words", short.to_owned(), "words-count"),
        ("no words", String::new(), "words-count"),
    ];
    let refused = cases.map(|(name, words, class)| {
        let error = from_words(&words).err().map(|e| e.class());
        assert_eq!(error, Some(class), "{name}");
        json!({ "name": name, "words": words, "error": class })
    });
    let zeros = OwnerSeed::from_bytes([0; 32]);
    let other = json!({
        "name": "sheet of another owner",
        "words": *to_words(&zeros),
        "expected_digits": owner_digits(&owner()),
        "error": check_owner(&zeros, &owner_digits(&owner())).unwrap_err().class(),
    });
    refused.into_iter().chain([other]).collect()
}

fn bad_qr() -> Vec<serde_json::Value> {
    let qr = to_qr(&owner()).to_string();
    let wrong_digit = qr.replace("PNB1:", "PNB1:!")[..63].to_owned();
    let zeros = format!("PNB1:{}", "A".repeat(58));
    let cases = [
        ("QR text without prefix", qr[5..].to_owned(), "qr-prefix"),
        (
            "QR text of version 2",
            qr.replace("PNB1", "PNB2"),
            "qr-prefix",
        ),
        ("QR text cut", qr[..62].to_owned(), "qr-digits"),
        ("QR text with a wrong digit", wrong_digit, "qr-digits"),
        ("QR text of zeros", zeros, "qr-checksum"),
    ];
    let refused = cases.map(|(name, text, class)| {
        let error = from_qr(&text).err().map(|e| e.class());
        assert_eq!(error, Some(class), "{name}");
        json!({ "name": name, "qr": text, "error": class })
    });
    refused.into()
}

#[test]
fn vectors_words() {
    let about = "The owner seed as words, as digits of the owner id, and as QR text.";
    golden(
        "words",
        about,
        &[good_words(), bad_words(), bad_qr()].concat(),
    );
}

fn protected(name: &str, seed: &OwnerSeed, passphrase: &str, work: Work) -> serde_json::Value {
    let salt = bytes16(name);
    let file = seal_keyfile(seed, passphrase.as_bytes(), salt, work).unwrap();
    let opened = open_keyfile(&file, passphrase.as_bytes()).ok().unwrap();
    assert_eq!(opened.expose(), seed.expose());
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
    let opened = open_keyfile(file, passphrase.as_bytes());
    let error = opened.err().map(|e| e.class());
    assert_eq!(error, Some(class), "{name}");
    json!({ "name": name, "file": hex(file), "passphrase": passphrase, "error": class })
}

fn protected_files() -> Vec<serde_json::Value> {
    let work = |m_kib, t, p| Work { m_kib, t, p };
    let zeros = OwnerSeed::from_bytes([0; 32]);
    vec![
        protected("one lane", &owner(), "passphrase", work(8, 1, 1)),
        protected("four lanes", &owner(), "passphrase", work(64, 3, 4)),
        protected("passphrase in UTF-8", &owner(), "Schlüssel 鍵", QUICK),
        protected("seed of zeros", &zeros, " ", QUICK),
    ]
}

fn plain_files() -> Vec<serde_json::Value> {
    let plain = seal_unprotected(&owner());
    let mut damaged = plain.to_vec();
    damaged[20] ^= 1;
    let error = open_unprotected(&damaged).err().unwrap();
    assert_eq!(error.class(), "checksum");
    vec![
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
            "error": error.class(),
        }),
        refused(
            "passphrase for a file without",
            &plain,
            "passphrase",
            "not-protected",
        ),
    ]
}

fn refused_files() -> Vec<serde_json::Value> {
    let file = seal_keyfile(&owner(), b"passphrase", bytes16("salt"), QUICK).unwrap();
    let changes = [
        ("other salt", 2, blob(&[0; 16]), "wrong-passphrase"),
        ("changed content", 7, blob(&[0; 72]), "damaged"),
        ("2^32 KiB", 3, int(1 << 32), "work"),
        ("over 4 GiB", 3, int((4 << 20) + 1), "work"),
        ("17 passes", 4, int(17), "work"),
        ("65 lanes", 5, int(65), "work"),
        ("no lanes", 5, int(0), "work"),
        ("less than 8 KiB per lane", 3, int(15), "work"),
        ("version 2", 1, text("PNBKEY2"), "unknown-version"),
        ("unknown field", 8, int(0), "cbor-unknown-key"),
    ];
    let mut cases = vec![
        refused("wrong passphrase", &file, "Passphrase", "wrong-passphrase"),
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
    cases.extend(changes.map(|(name, key, value, class)| {
        let mut changed = decoded(&file);
        *at(&mut changed, key) = value;
        refused(name, &encoded(&changed), "passphrase", class)
    }));
    cases
}

#[test]
fn vectors_keyfile() {
    let about = "Key files. `passphrase` is null for files without one. Work is small here to \
                 keep tests fast; docs/format.md says what writers use.";
    let cases = [protected_files(), plain_files(), refused_files()].concat();
    golden("keyfile", about, &cases);
}
