//! 22: parts of the owner key: what each can do, what it cannot, and files that are none.

use packnback_proto::cbor::Value;
use packnback_proto::crypto::keys::SessionKeys;
use packnback_proto::crypto::keyset::{KeyKind, KeyLack, Need, OwnerKey, SubsetError};
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::keyfile::{KeyFileError, Protection, Work, open_keyfile, open_unprotected};
use packnback_proto::limits::{SUBSET_EPOCHS_MAX, SUBSET_GROUPS_MAX, SUBSET_LEN_MAX};
use packnback_proto::record::{Op, Signed};
use packnback_proto::subset::{inspect, open, seal};

use crate::n22_seed::QUICK;
use crate::support::*;

const PASS: &[u8] = b"correct horse";
const EPOCHS: std::ops::RangeInclusive<u32> = 2..=4;
const GROUPS: std::ops::RangeInclusive<u32> = 0..=3;
pub(crate) const PARTS: [KeyKind; 3] = [KeyKind::SignOnly, KeyKind::ListOnly, KeyKind::ReadOnly];

pub(crate) fn part(kind: KeyKind) -> OwnerKey {
    OwnerKey::from(owner())
        .subset(kind, EPOCHS, GROUPS)
        .unwrap()
}

/// A session of a device in an epoch.
fn session(epoch: u32) -> SessionKeys {
    SessionKeys::start(&owner().device_keys(epoch, 1), secret("esk")).unwrap()
}

fn lack<T>(result: Result<T, KeyLack>) -> KeyLack {
    result.err().expect("refused")
}

fn cannot<T>(result: Result<T, KeyLack>, key: &OwnerKey, need: Need) {
    let kind = key.kind();
    let error = lack(result);
    assert_eq!(error, KeyLack::Ability { kind, need });
    let message = error.to_string();
    assert!(
        message.contains(kind.name()) && message.contains(need.text()),
        "{message}"
    );
}

/// Through a file and back, so that every test is one of the file form as well.
fn reopened(kind: KeyKind) -> OwnerKey {
    let file = seal(&part(kind), Some((PASS, bytes16("salt"), QUICK))).unwrap();
    assert_eq!(inspect(&file), Ok(Protection::Passphrase(QUICK)));
    let from_protected = open(&file, Some(PASS)).ok().unwrap();
    let plain = seal(&from_protected, None).unwrap();
    assert_eq!(inspect(&plain), Ok(Protection::None));
    let key = open(&plain, None).ok().unwrap();
    assert_eq!(*seal(&key, None).unwrap(), *plain);
    assert_eq!((key.kind(), key.owner_id()), (kind, owner().owner_id()));
    key
}

#[test]
fn n22_a_sign_only_key_signs_and_names_devices_and_reads_nothing() {
    let key = reopened(KeyKind::SignOnly);
    let order = order(Op::DeleteIds(records(2)));
    assert!(Signed::sign(&order, &key.sign_key().unwrap()).is_ok());
    assert_eq!(key.recovery_id().unwrap(), owner().recovery_id());
    assert_eq!(
        key.label_key(3).unwrap().expose(),
        owner().label_key(3).expose()
    );
    let epk = session(3).epk;
    cannot(key.node_key(&epk, 3), &key, Need::Names);
    cannot(key.check_names(), &key, Need::Names);
    cannot(key.session_roots(&epk, 3), &key, Need::Contents);
    cannot(key.check_contents(), &key, Need::Contents);
    cannot(key.dedup_group(0), &key, Need::Contents);
    cannot(key.recovery_seed(), &key, Need::Connect);
    cannot(key.seed(), &key, Need::Seed);
}

#[test]
fn n22_a_list_only_key_opens_names_and_no_content_and_signs_nothing() {
    let key = reopened(KeyKind::ListOnly);
    let session = session(3);
    let node = key.node_key(&session.epk, 3).unwrap();
    assert_eq!(node.expose(), session.node.expose());
    assert_eq!(
        key.label_key(3).unwrap().expose(),
        owner().label_key(3).expose()
    );
    cannot(key.session_roots(&session.epk, 3), &key, Need::Contents);
    cannot(key.check_contents(), &key, Need::Contents);
    cannot(key.dedup_group(1), &key, Need::Contents);
    cannot(key.sign_key(), &key, Need::Sign);
    cannot(key.recovery_seed(), &key, Need::Connect);
    cannot(key.recovery_id(), &key, Need::Connect);
    cannot(key.seed(), &key, Need::Seed);
    // Nothing in the file is a key that opens contents.
    let file = seal(&key, None).unwrap();
    for secret in [
        owner().decrypt_secret(3).expose(),
        owner().dedup_group(1).expose(),
        owner().sign_key().seed().expose(),
        owner().recovery_seed().expose(),
        owner().expose(),
    ] {
        assert!(!file.windows(32).any(|w| w == secret));
    }
}

#[test]
fn n22_a_read_only_key_reads_everything_of_its_epochs_and_signs_nothing() {
    let key = reopened(KeyKind::ReadOnly);
    let session = session(3);
    let roots = key.session_roots(&session.epk, 3).unwrap();
    let opened = SessionKeys::from_roots(&roots);
    for (mine, theirs) in [
        (&opened.node, &session.node),
        (&opened.map, &session.map),
        (&opened.pack, &session.pack),
        (&opened.blob, &session.blob),
        (&opened.chunk_priv, &session.chunk_priv),
    ] {
        assert_eq!(mine.expose(), theirs.expose());
    }
    assert_eq!(
        key.node_key(&session.epk, 3).unwrap().expose(),
        session.node.expose()
    );
    assert_eq!(
        key.chunk_keys(1).unwrap().chunk().expose(),
        owner().device_keys(3, 1).chunk_keys().chunk().expose()
    );
    assert_eq!(
        key.recovery_seed().unwrap().expose(),
        owner().recovery_seed().expose()
    );
    assert_eq!(key.recovery_id().unwrap(), owner().recovery_id());
    cannot(key.sign_key(), &key, Need::Sign);
    cannot(key.seed(), &key, Need::Seed);
    let file = seal(&key, None).unwrap();
    for secret in [owner().sign_key().seed().expose(), owner().expose()] {
        assert!(!file.windows(32).any(|w| w == secret));
    }
}

#[test]
fn n22_a_part_has_nothing_outside_of_its_epochs_and_groups() {
    for kind in PARTS {
        let key = part(kind);
        for epoch in [1, 5, u32::MAX] {
            let refused = KeyLack::Epoch { kind, epoch };
            assert_eq!(lack(key.label_key(epoch)), refused);
            let epk = session(epoch).epk;
            if kind != KeyKind::SignOnly {
                assert_eq!(lack(key.node_key(&epk, epoch)), refused);
            }
            if kind == KeyKind::ReadOnly {
                assert_eq!(lack(key.session_roots(&epk, epoch)), refused);
            }
        }
    }
    let key = part(KeyKind::ReadOnly);
    let refused = KeyLack::Group {
        kind: KeyKind::ReadOnly,
        group: 4,
    };
    assert_eq!(lack(key.dedup_group(4)), refused);
    // A session of one epoch read as of another: other keys, not those of the session.
    let other = key.node_key(&session(2).epk, 3).unwrap();
    assert_ne!(other.expose(), session(2).node.expose());
}

#[test]
fn n22_only_the_full_key_has_parts_and_only_of_sensible_size() {
    for kind in PARTS {
        for wanted in PARTS.into_iter().chain([KeyKind::Full]) {
            let refused = part(kind).subset(wanted, 0..=0, 0..=0);
            assert!(matches!(
                refused.err(),
                Some(SubsetError::Lack(KeyLack::Ability {
                    need: Need::Seed,
                    ..
                }))
            ));
        }
    }
    let full = OwnerKey::from(owner());
    let most = |n: usize| 0..=u32::try_from(n).unwrap() - 1;
    let (epochs, groups) = (most(SUBSET_EPOCHS_MAX), most(SUBSET_GROUPS_MAX));
    let largest = full.subset(KeyKind::ReadOnly, epochs, groups).unwrap();
    let file = seal(&largest, Some((PASS, [0; 16], QUICK))).unwrap();
    assert!(file.len() < SUBSET_LEN_MAX);
    assert!(open(&file, Some(PASS)).is_ok());
    #[expect(clippy::reversed_empty_ranges, reason = "this is what is tried")]
    for bad in [most(SUBSET_EPOCHS_MAX + 1), 1..=0, 0..=u32::MAX] {
        let refused = full.subset(KeyKind::ListOnly, bad, 0..=0).err();
        assert_eq!(refused, Some(SubsetError::Epochs));
    }
    let refused = full.subset(KeyKind::ReadOnly, 0..=0, most(SUBSET_GROUPS_MAX + 1));
    assert_eq!(refused.err(), Some(SubsetError::Groups));
    // Full stays full, in the form every reader of key files knows.
    let again = full.subset(KeyKind::Full, 0..=0, 0..=0).unwrap();
    assert_eq!(again.seed().unwrap().expose(), owner().expose());
    let file = seal(&again, None).unwrap();
    assert_eq!(open_unprotected(&file).unwrap().expose(), owner().expose());
    assert_eq!(open(&file, None).ok().unwrap().kind(), KeyKind::Full);
}

/// The file form of a part, to be changed and read again.
fn file_of(kind: KeyKind) -> Vec<u8> {
    seal(&part(kind), None).unwrap().to_vec()
}

fn class(file: &[u8], passphrase: Option<&[u8]>) -> &'static str {
    open(file, passphrase).err().map_or("ok", |e| e.class())
}

#[test]
fn n22_a_file_that_is_cut_or_changed_opens_nothing() {
    for kind in PARTS {
        let plain = file_of(kind);
        for len in 0..plain.len() {
            assert_eq!(class(&plain[..len], None), "cbor-truncated", "{len}");
        }
        for at in 0..plain.len() {
            let mut flipped = plain.clone();
            flipped[at] ^= 1;
            assert!(open(&flipped, None).is_err(), "{kind:?} byte {at}");
        }
        let file = seal(&part(kind), Some((PASS, bytes16("salt"), QUICK))).unwrap();
        for len in 0..file.len() {
            assert_eq!(class(&file[..len], Some(PASS)), "cbor-truncated", "{len}");
        }
        for at in 0..file.len() {
            let mut flipped = file.to_vec();
            flipped[at] ^= 1;
            assert!(open(&flipped, Some(PASS)).is_err(), "{kind:?} byte {at}");
        }
        let trailing = [plain.as_slice(), &[0]].concat();
        assert_eq!(class(&trailing, None), "cbor-trailing");
    }
    assert_eq!(
        class(&vec![0xa3; SUBSET_LEN_MAX + 1], None),
        "cbor-too-large"
    );
}

#[test]
fn n22_the_passphrase_of_a_part_is_checked_like_that_of_a_key_file() {
    let file = seal(&part(KeyKind::ReadOnly), Some((PASS, [7; 16], QUICK))).unwrap();
    assert_eq!(class(&file, Some(b"Correct horse")), "wrong-passphrase");
    assert_eq!(class(&file, Some(b"")), "empty-passphrase");
    assert_eq!(class(&file, None), "protected");
    assert_eq!(
        class(&file_of(KeyKind::ReadOnly), Some(PASS)),
        "not-protected"
    );
    let mut greedy = decoded(&file);
    *at(&mut greedy, 3) = int(1 << 32);
    let greedy = encoded(&greedy);
    assert_eq!(class(&greedy, Some(PASS)), "work");
    assert_eq!(inspect(&greedy).unwrap_err().class(), "work");
    let most = Work { t: 17, ..QUICK };
    let refused = seal(&part(KeyKind::SignOnly), Some((PASS, [0; 16], most)));
    assert_eq!(refused.unwrap_err().class(), "work");
    let refused = seal(&part(KeyKind::SignOnly), Some((b"", [0; 16], QUICK)));
    assert_eq!(refused.unwrap_err(), KeyFileError::EmptyPassphrase);
    // The fields of one file in the frame of the other: sealed for that purpose only.
    let mut renamed = decoded(&file);
    *at(&mut renamed, 1) = text("PNBKEY1");
    let renamed = encoded(&renamed);
    assert_eq!(
        open_keyfile(&renamed, PASS).err().unwrap().class(),
        "damaged"
    );
}

#[test]
fn n22_a_part_is_no_key_file_of_the_whole_key() {
    for kind in PARTS {
        let error = open_unprotected(&file_of(kind)).err().unwrap();
        assert_eq!(error, KeyFileError::UnknownVersion);
        assert!(
            open(&file_of(kind), None)
                .ok()
                .unwrap()
                .into_seed()
                .is_err()
        );
    }
}

/// An unprotected file around any content, with the right checksum.
pub(crate) fn around(content: &Value) -> Vec<u8> {
    let content = encoded(content);
    let hash = blake3::hash(&content);
    let check = &hash.as_bytes()[..4];
    encoded(&Value::Map(
        [
            (int(1), text("PNBSUB0")),
            (int(2), blob(&content)),
            (int(3), blob(check)),
        ]
        .into(),
    ))
}

/// The content of a part, to be changed.
pub(crate) fn content_of(kind: KeyKind) -> Value {
    let Value::Bytes(content) = at(&mut decoded(&file_of(kind)), 2).clone() else {
        panic!("content")
    };
    decoded(&content)
}

#[test]
fn n22_contents_that_make_no_sense_are_refused() {
    let changed = |kind, key, value: Value| {
        let mut content = content_of(kind);
        *at(&mut content, key) = value;
        class(&around(&content), None)
    };
    for kind in PARTS {
        assert_eq!(class(&around(&content_of(kind)), None), "ok");
        assert_eq!(changed(kind, 1, int(4)), "content");
        assert_eq!(changed(kind, 9, int(0)), "cbor-unknown-key");
        assert!(changed(kind, 3, blob(&[0; 31])).starts_with("cbor-"));
    }
    let other = SigningKey::from_seed(&secret("another")).seed();
    assert_eq!(
        changed(KeyKind::SignOnly, 3, blob(other.expose())),
        "content"
    );
    let epoch = |e| list([int(e), blob(&[1; 32]), blob(&[2; 32])]);
    for bad in [
        list([]),
        list([epoch(3), epoch(3)]),
        list([epoch(3), epoch(2)]),
        Value::Array((0..=SUBSET_EPOCHS_MAX as u64).map(epoch).collect()),
    ] {
        assert_eq!(changed(KeyKind::ListOnly, 3, bad), "content");
    }
    assert_eq!(
        changed(KeyKind::ListOnly, 3, list([epoch(1 << 32)])),
        "cbor-out-of-range"
    );
    // A kind with the fields of another.
    assert_ne!(changed(KeyKind::ListOnly, 1, int(3)), "ok");
    assert_ne!(changed(KeyKind::ReadOnly, 1, int(2)), "ok");
}
