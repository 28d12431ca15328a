//! 22: the ways to keep the owner seed, and everything that must not be taken for it.

use packnback_proto::cbor::Value;
use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::primitives::{Argon2Cost, argon2id};
use packnback_proto::crypto::seal::seal;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::keyfile::{
    KeyFileError, Protection, Work, inspect, open_keyfile, open_unprotected, seal_keyfile,
    seal_unprotected,
};
use packnback_proto::limits::{KEYFILE_LEN_MAX, KEYFILE_M_KIB_MAX, KEYFILE_P_MAX, KEYFILE_T_MAX};
use packnback_proto::qr::{QrError, from_qr, to_qr};
use packnback_proto::words::{
    WORD_COUNT, WordsError, check_owner, from_words, owner_digits, to_words,
};
use proptest::prelude::*;

use crate::support::*;

/// As little work as Argon2 does.
pub(crate) const QUICK: Work = Work {
    m_kib: 16,
    t: 1,
    p: 2,
};
const PASS: &[u8] = b"correct horse";

fn words_of(seed: &OwnerSeed) -> Vec<String> {
    to_words(seed).split(' ').map(str::to_owned).collect()
}

fn class(words: &[String]) -> &'static str {
    from_words(&words.join(" ")).map_or_else(|e| e.class(), |_| "ok")
}

/// What somebody gets who types these words and compares with the printed digits.
fn recovered(words: &[String]) -> Result<OwnerSeed, WordsError> {
    let seed = from_words(&words.join(" "))?;
    check_owner(&seed, &owner_digits(&owner()))?;
    Ok(seed)
}

#[test]
fn words_come_back_as_people_type_them() {
    let words = words_of(&owner());
    assert_eq!(words.len(), WORD_COUNT);
    let numbered: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(i, w)| format!("{}. {w}", i + 1))
        .collect();
    for text in [
        words.join(" "),
        words.join("\n"),
        format!("  {}\t\n", words.join("  ").to_uppercase()),
        numbered.join("\n"),
        numbered.join(" ").replace('.', ")"),
    ] {
        assert_eq!(from_words(&text).unwrap().expose(), owner().expose());
    }
    for digits in [
        owner_digits(&owner()),
        owner().owner_id().to_string().to_uppercase(),
    ] {
        assert_eq!(check_owner(&owner(), &format!(" {digits}\n")), Ok(()));
    }
}

#[test]
fn n22_one_wrong_word_at_any_place() {
    let words = words_of(&owner());
    let mut slipped = 0;
    for place in 0..WORD_COUNT {
        for other in ["abandon", "zoo", "satoshi", "legal"] {
            let mut wrong = words.clone();
            wrong[place] = other.to_owned();
            if wrong != words {
                assert!(recovered(&wrong).is_err(), "word {place}");
                slipped += usize::from(class(&wrong) == "ok");
            }
        }
    }
    // One in 256 passes the checksum; the digits of the owner id stop it.
    assert!(slipped < 5, "{slipped}");
}

#[test]
fn n22_wrong_order() {
    let words = words_of(&owner());
    for place in 1..WORD_COUNT {
        let mut swapped = words.clone();
        swapped.swap(place - 1, place);
        assert!(
            swapped == words || recovered(&swapped).is_err(),
            "word {place}"
        );
    }
    let backwards: Vec<_> = words.iter().rev().cloned().collect();
    assert!(recovered(&backwards).is_err());
}

#[test]
fn n22_the_sheet_of_another_owner() {
    let other = OwnerSeed::from_bytes(bytes32("another owner"));
    let seed = from_words(&to_words(&other)).unwrap();
    let error = check_owner(&seed, &owner_digits(&owner())).unwrap_err();
    assert_eq!(error.class(), "words-other-owner");
    assert!(error.to_string().contains(&owner_digits(&other)), "{error}");
    // Too few digits prove nothing.
    assert!(check_owner(&owner(), &owner_digits(&owner())[..7]).is_err());
    assert!(check_owner(&owner(), "").is_err());
}

#[test]
fn n22_unknown_words_are_named_with_suggestions() {
    let mut words = words_of(&owner());
    words[3] = "abandom".to_owned();
    words[19] = "qqqqqqqq".to_owned();
    let WordsError::Unknown(unknown) = from_words(&words.join(" ")).err().unwrap() else {
        panic!()
    };
    assert_eq!(
        (unknown[0].position, unknown[0].suggestions[0]),
        (4, "abandon")
    );
    assert_eq!((unknown[1].position, unknown[1].suggestions.len()), (20, 0));
    let message = from_words(&words.join(" ")).err().unwrap().to_string();
    assert!(
        message.contains("word 4 (\"abandom\")") && message.contains("word 20"),
        "{message}"
    );
    for (typed, meant) in [
        ("zooo", "zoo"),
        ("acheive", "achieve"),
        ("tabel", "table"),
        ("unable!", "unable"),
    ] {
        let mut words = words_of(&owner());
        words[0] = typed.to_owned();
        let WordsError::Unknown(unknown) = from_words(&words.join(" ")).err().unwrap() else {
            panic!()
        };
        assert!(
            unknown[0].suggestions.contains(&meant),
            "{typed}: {unknown:?}"
        );
    }
}

#[test]
fn n22_too_few_and_too_many_words() {
    let words = words_of(&owner());
    for n in [0, 1, 12, 23] {
        assert_eq!(class(&words[..n]), "words-count");
    }
    assert_eq!(
        class(&[words.clone(), words[..1].to_vec()].concat()),
        "words-count"
    );
    assert_eq!(class(&[words.clone(), words].concat()), "words-count");
}

#[test]
fn n22_words_of_other_lists_and_odd_text() {
    for text in [
        "\u{0}",
        "🦀 ".repeat(24).as_str(),
        "ábaco ".repeat(24).as_str(),
        "1 2 3",
    ] {
        assert!(from_words(text).is_err(), "{text:?}");
    }
}

#[test]
fn key_file_opens_with_its_passphrase() {
    let file = seal_keyfile(&owner(), PASS, bytes16("salt"), QUICK).unwrap();
    assert_eq!(inspect(&file), Ok(Protection::Passphrase(QUICK)));
    assert_eq!(
        open_keyfile(&file, PASS).unwrap().expose(),
        owner().expose()
    );
    let again = seal_keyfile(&owner(), PASS, bytes16("other salt"), QUICK).unwrap();
    assert_ne!(file, again);
    assert!(!file.windows(32).any(|w| w == owner().expose()));
}

#[test]
fn n22_wrong_passphrase() {
    let file = seal_keyfile(&owner(), PASS, bytes16("salt"), QUICK).unwrap();
    for wrong in [&b"Correct horse"[..], b"correct horse ", b"x"] {
        assert_eq!(
            open_keyfile(&file, wrong).err(),
            Some(KeyFileError::WrongPassphrase)
        );
    }
    assert_eq!(
        open_keyfile(&file, b"").err(),
        Some(KeyFileError::EmptyPassphrase)
    );
    let empty = seal_keyfile(&owner(), b"", bytes16("salt"), QUICK);
    assert_eq!(empty, Err(KeyFileError::EmptyPassphrase));
}

/// A key file with one field changed.
fn with(key: u64, value: Value) -> Vec<u8> {
    let mut file = decoded(&seal_keyfile(&owner(), PASS, bytes16("salt"), QUICK).unwrap());
    *at(&mut file, key) = value;
    encoded(&file)
}

#[test]
fn n22_key_file_that_asks_for_too_much_work() {
    let m = u64::from(KEYFILE_M_KIB_MAX);
    let t = u64::from(KEYFILE_T_MAX);
    let p = u64::from(KEYFILE_P_MAX);
    // Refused before any work: the test would not end otherwise.
    for (key, value) in [
        (3, 1 << 32),
        (3, m + 1),
        (3, 15),
        (3, 0),
        (4, t + 1),
        (4, 0),
        (4, u64::MAX),
        (5, p + 1),
        (5, 0),
        (5, 3),
    ] {
        let file = with(key, int(value));
        assert_eq!(
            inspect(&file).err().unwrap().class(),
            "work",
            "{key}: {value}"
        );
        assert_eq!(
            open_keyfile(&file, PASS).err().unwrap().class(),
            "work",
            "{key}: {value}"
        );
    }
    for (key, value) in [(3, m - 1), (3, m), (4, t - 1), (4, t)] {
        assert!(inspect(&with(key, int(value))).is_ok(), "{key}: {value}");
    }
    let mut widest = decoded(&with(3, int(m)));
    *at(&mut widest, 5) = int(p);
    assert!(inspect(&encoded(&widest)).is_ok());
    let work = Work {
        t: KEYFILE_T_MAX + 1,
        ..QUICK
    };
    assert_eq!(
        seal_keyfile(&owner(), PASS, [0; 16], work)
            .unwrap_err()
            .class(),
        "work"
    );
}

#[test]
fn n22_changed_key_file() {
    // Other work or salt: another passphrase hash.
    for (key, value) in [
        (2, blob(&bytes16("x"))),
        (3, int(17)),
        (4, int(2)),
        (5, int(1)),
    ] {
        let error = open_keyfile(&with(key, value), PASS).err();
        assert_eq!(error, Some(KeyFileError::WrongPassphrase), "{key}");
    }
    let commit = with(6, blob(&[0; 32]));
    assert_eq!(
        open_keyfile(&commit, PASS).err(),
        Some(KeyFileError::WrongPassphrase)
    );
    let sealed = with(7, blob(&[0; 72]));
    assert_eq!(
        open_keyfile(&sealed, PASS).err().unwrap().class(),
        "damaged"
    );
    let file = seal_keyfile(&owner(), PASS, bytes16("salt"), QUICK).unwrap();
    for byte in 0..file.len() {
        let mut flipped = file.clone();
        flipped[byte] ^= 1;
        assert!(open_keyfile(&flipped, PASS).is_err(), "byte {byte}");
    }
    for len in 0..file.len() {
        assert_eq!(inspect(&file[..len]).unwrap_err().class(), "cbor-truncated");
    }
    assert_eq!(
        inspect(&with(8, int(0))).unwrap_err().class(),
        "cbor-unknown-key"
    );
    assert_eq!(
        inspect(&with(1, text("PNBKEY2"))),
        Err(KeyFileError::UnknownVersion)
    );
    let huge = with(7, blob(&vec![0; KEYFILE_LEN_MAX]));
    assert_eq!(inspect(&huge).unwrap_err().class(), "cbor-too-large");
}

/// A file made to open under two passphrases has one commitment, so only one of them opens it, and
/// the sealing binds the content to that one key.
#[test]
fn n22_multi_key_crafted_file() {
    let stretch = |pass: &[u8]| {
        let mut out = [0; 64];
        let cost = Argon2Cost {
            m_kib: QUICK.m_kib,
            t: QUICK.t,
            p: QUICK.p,
        };
        argon2id(pass, &bytes16("salt"), cost, &mut out).unwrap();
        (
            Secret32::from_slice(&out[..32]).unwrap(),
            out[32..].to_vec(),
        )
    };
    let ((_, commit_a), (kek_b, _)) = (stretch(b"passphrase a"), stretch(b"passphrase b"));
    // The commitment of one passphrase, the content sealed under the other.
    let mut file = decoded(&with(6, blob(&commit_a)));
    let mut header = file.clone();
    without(&mut header, 7);
    *at(&mut file, 7) = blob(&seal(&kek_b, &encoded(&header), owner().expose()).unwrap());
    let file = encoded(&file);
    assert_eq!(
        open_keyfile(&file, b"passphrase a").err().unwrap().class(),
        "damaged"
    );
    assert_eq!(
        open_keyfile(&file, b"passphrase b").err(),
        Some(KeyFileError::WrongPassphrase)
    );
}

#[test]
fn key_file_without_passphrase_is_told_apart() {
    let file = seal_unprotected(&owner());
    assert_eq!(inspect(&file), Ok(Protection::None));
    assert_eq!(open_unprotected(&file).unwrap().expose(), owner().expose());
    assert_eq!(
        open_keyfile(&file, PASS).err(),
        Some(KeyFileError::NotProtected)
    );
    let protected = seal_keyfile(&owner(), PASS, bytes16("salt"), QUICK).unwrap();
    assert_eq!(
        open_unprotected(&protected).err(),
        Some(KeyFileError::Protected)
    );
    for byte in 0..file.len() {
        let mut flipped = file.to_vec();
        flipped[byte] ^= 1;
        assert!(open_unprotected(&flipped).is_err(), "byte {byte}");
    }
    let mut wrong = file.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(open_unprotected(&wrong).err(), Some(KeyFileError::Checksum));
}

#[test]
fn qr_text_comes_back() {
    let text = to_qr(&owner());
    assert_eq!(text.len(), 63);
    assert!(
        text.bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b':')
    );
    for typed in [text.to_string(), format!(" {}\n", text.to_lowercase())] {
        assert_eq!(from_qr(&typed).unwrap().expose(), owner().expose());
    }
}

#[test]
fn n22_damaged_qr_text() {
    let text = to_qr(&owner());
    for place in 5..text.len() {
        let mut wrong = text.to_string().into_bytes();
        wrong[place] = if wrong[place] == b'A' { b'B' } else { b'A' };
        assert!(
            from_qr(std::str::from_utf8(&wrong).unwrap()).is_err(),
            "digit {place}"
        );
    }
    let error = |text: &str| from_qr(text).err();
    assert_eq!(error(&text[5..]), Some(QrError::Prefix));
    assert_eq!(error(&text.replace("PNB1", "PNB2")), Some(QrError::Prefix));
    assert_eq!(error(&text[..62]), Some(QrError::Digits));
    assert_eq!(error(&format!("{}A", *text)), Some(QrError::Digits));
    assert_eq!(
        error(&text.replace(&text[20..21], "1")),
        Some(QrError::Digits)
    );
    assert_eq!(error(""), Some(QrError::Prefix));
    let all_zero = format!("PNB1:{}", "A".repeat(58));
    assert_eq!(error(&all_zero), Some(QrError::Checksum));
}

proptest! {
    #[test]
    fn any_seed_survives_words_qr_and_plain_file(bytes in any::<[u8; 32]>()) {
        let seed = OwnerSeed::from_bytes(bytes);
        let back = [
            from_words(&to_words(&seed)).unwrap(),
            from_qr(&to_qr(&seed)).unwrap(),
            open_unprotected(&seal_unprotected(&seed)).unwrap(),
        ];
        prop_assert!(back.iter().all(|seed| *seed.expose() == bytes));
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}") {
        prop_assert!(from_words(&text).is_err());
        prop_assert!(from_qr(&text).is_err());
        let prefixed = ["PNB1:", &text].concat();
        prop_assert!(from_qr(&prefixed).is_err());
    }
}
