//! Segments, maps, indexes and roots: what comes back, what is refused, and at which limit.

use packnback_proto::cbor::{CborError, Value};
use packnback_proto::format::entry::{Entry, EntryType, FileData, Part};
use packnback_proto::format::path::PathError;
use packnback_proto::format::payload::PayloadError;
use packnback_proto::format::segment::Segment;
use packnback_proto::format::{entry_len, segment, validate_entry};
use packnback_proto::limits::*;
use proptest::prelude::*;

use crate::strategies::{self, N_REFS};
use crate::support::*;

const SESSION: ([u8; 32], u32) = ([9; 32], 0);

pub(crate) fn segment_of(entries: Vec<Entry>) -> Segment {
    Segment {
        sessions: vec![SESSION],
        entries,
    }
}

/// The error that writer and reader give for one entry, or `Ok`.
fn verdict(entry: Entry) -> Result<(), PayloadError> {
    let alone = validate_entry(&entry);
    let written = segment::encode(&segment_of(vec![entry.clone()]));
    assert_eq!(written.as_ref().map(drop), alone.as_ref().copied());
    if let Ok(bytes) = written {
        assert_eq!(segment::decode(&bytes, N_REFS).unwrap().entries, [entry]);
    }
    alone
}

/// What a reader says to a segment that was changed behind the back of the writer.
fn refusal(entries: Vec<Entry>, change: impl FnOnce(&mut Value)) -> PayloadError {
    let mut value = decoded(&segment::encode(&segment_of(entries)).unwrap());
    change(&mut value);
    segment::decode(&encoded(&value), N_REFS).unwrap_err()
}

/// The same, for one field of the only entry.
fn entry_refusal(entry: Entry, change: impl FnOnce(&mut Value)) -> PayloadError {
    refusal(vec![entry], |segment| change(item(at(segment, 2), 0)))
}

#[test]
fn every_kind_of_entry_comes_back() {
    let segment = segment_of(all_entries());
    let bytes = segment::encode(&segment).unwrap();
    assert_eq!(segment::decode(&bytes, N_REFS).unwrap(), segment);
    let sum: usize = segment.entries.iter().map(entry_len).sum();
    // Heads of the map, its keys and lists, and one session of 1 + 2 + 32 + 1 bytes.
    assert_eq!(bytes.len(), sum + 6 - 1 + 36);
    for entry in all_entries() {
        assert_eq!(verdict(entry), Ok(()));
    }
}

#[test]
fn entries_must_be_in_path_order() {
    let files =
        |paths: &[&str]| segment_of(paths.iter().map(|p| entry(p, EntryType::Dir)).collect());
    assert!(segment::encode(&files(&["a", "a/b", "a-b", "b"])).is_ok());
    for wrong in [&["b", "a"][..], &["a", "a"], &["a", "a-b", "a/b"]] {
        assert_eq!(
            segment::encode(&files(wrong)),
            Err(PayloadError::PathOrder),
            "{wrong:?}"
        );
    }
    let error = refusal(files(&["a", "b"]).entries, |segment| {
        let Value::Array(entries) = at(segment, 2) else {
            panic!()
        };
        entries.swap(0, 1);
    });
    assert_eq!(error, PayloadError::PathOrder);
}

#[test]
fn paths_that_leave_the_target_are_refused() {
    for (path, error) in [
        ("", PathError::Empty),
        ("/etc/passwd", PathError::Empty),
        ("a//b", PathError::Empty),
        ("a/", PathError::Empty),
        ("../x", PathError::Dots),
        ("a/..", PathError::Dots),
        ("a/./b", PathError::Dots),
        ("a\0", PathError::Nul),
    ] {
        assert_eq!(verdict(entry(path, EntryType::Dir)), Err(error.into()));
        let got = entry_refusal(entry("x", EntryType::Dir), |e| {
            *at(e, 1) = blob(path.as_bytes())
        });
        assert_eq!(got, error.into());
    }
    for len in [PATH_LEN_MAX - 1, PATH_LEN_MAX, PATH_LEN_MAX + 1] {
        let ok = verdict(entry(&"x".repeat(len), EntryType::Dir)).is_ok();
        assert_eq!(ok, len <= PATH_LEN_MAX);
    }
}

#[test]
fn fields_must_fit_the_type() {
    use EntryType::{Block, Char, Dir, Fifo, File, Symlink};
    let field = |name| Err(PayloadError::Field(name));
    for kind in [File, Dir, Symlink, Fifo, Char, Block] {
        let plain = || entry("x", kind);
        let is_device = matches!(kind, Char | Block);
        assert_eq!(verdict(plain()), Ok(()));
        let rdev = Entry {
            rdev: (!is_device).then_some(1),
            ..plain()
        };
        assert_eq!(verdict(rdev), field("rdev"));
        let link = (kind != Symlink).then(|| b"t".to_vec());
        assert_eq!(verdict(Entry { link, ..plain() }), field("link"));
        assert_eq!(
            verdict(Entry {
                mode: 0o10_000,
                ..plain()
            }),
            field("mode")
        );
        let hardlink = verdict(Entry {
            hardlink: Some([1; 8]),
            ..plain()
        });
        assert_eq!(
            hardlink,
            if kind == Dir {
                field("hardlink")
            } else {
                Ok(())
            }
        );
        if kind != File {
            assert_eq!(verdict(Entry { size: 1, ..plain() }), field("size"));
            let data = Some(FileData::Pack {
                ref_idx: 0,
                off: 0,
                len: 0,
            });
            assert_eq!(verdict(Entry { data, ..plain() }), field("data"));
        }
    }
    // Content without data is only for a hard link whose content is elsewhere.
    assert_eq!(
        verdict(Entry {
            size: 1,
            ..entry("x", File)
        }),
        field("data")
    );
    let empty = Entry {
        data: Some(FileData::Maps { refs: vec![0] }),
        ..entry("x", File)
    };
    assert_eq!(verdict(empty), field("data"));
    let error = entry_refusal(entry("x", File), |e| *at(e, 2) = int(6));
    assert_eq!(error, PayloadError::UnknownType(6));
    let error = entry_refusal(entry("x", File), |e| *at(e, 16) = int(6));
    assert_eq!(error, PayloadError::Cbor(CborError::UnknownKey(16)));
    for key in 1..=7 {
        let error = entry_refusal(entry("x", File), |e| without(e, key));
        assert_eq!(error, PayloadError::Cbor(CborError::MissingKey(key)));
    }
}

#[test]
fn links_attributes_and_names_have_limits() {
    let link = |target: Vec<u8>| {
        verdict(Entry {
            link: Some(target),
            ..entry("x", EntryType::Symlink)
        })
    };
    assert_eq!(link(vec![]), Err(PayloadError::Limit("link")));
    assert_eq!(link(b"a\0".to_vec()), Err(PayloadError::Field("link")));
    assert_eq!(link(b"/absolute/../is/fine".to_vec()), Ok(()));
    assert_eq!(link(vec![b'x'; PATH_LEN_MAX]), Ok(()));
    assert_eq!(
        link(vec![b'x'; PATH_LEN_MAX + 1]),
        Err(PayloadError::Limit("link"))
    );
    let xattr = |name: Vec<u8>, value: usize| {
        let xattrs = [(name, vec![0; value])].into();
        verdict(Entry {
            xattrs,
            ..entry("x", EntryType::Dir)
        })
    };
    assert_eq!(xattr(vec![b'n'; XATTR_NAME_MAX], XATTR_VALUE_MAX), Ok(()));
    assert_eq!(
        xattr(vec![b'n'; XATTR_NAME_MAX + 1], 0),
        Err(PayloadError::Limit("xattrs"))
    );
    assert_eq!(
        xattr(vec![b'n'], XATTR_VALUE_MAX + 1),
        Err(PayloadError::Limit("xattrs"))
    );
    assert_eq!(xattr(vec![], 0), Err(PayloadError::Limit("xattrs")));
    assert_eq!(
        xattr(b"a\0".to_vec(), 0),
        Err(PayloadError::Field("xattrs"))
    );
    for n in [XATTRS_MAX - 1, XATTRS_MAX, XATTRS_MAX + 1] {
        let xattrs = (0..n)
            .map(|i| (format!("user.{i}").into_bytes(), vec![]))
            .collect();
        let ok = verdict(Entry {
            xattrs,
            ..entry("x", EntryType::Dir)
        })
        .is_ok();
        assert_eq!(ok, n <= XATTRS_MAX);
    }
    for len in [0, 1, USER_NAME_MAX, USER_NAME_MAX + 1] {
        let user = Some("u".repeat(len));
        let ok = verdict(Entry {
            user,
            ..entry("x", EntryType::Dir)
        })
        .is_ok();
        assert_eq!(ok, (1..=USER_NAME_MAX).contains(&len));
    }
    let none = entry_refusal(entry("x", EntryType::Dir), |e| {
        *at(e, 9) = Value::Map([].into())
    });
    assert_eq!(none, PayloadError::Limit("xattrs"));
}

/// `serde_cbor` would put them in order, so they are built by hand.
#[test]
fn attributes_in_disorder_are_refused() {
    let with = |xattrs: [(&[u8], &[u8]); 2]| {
        let xattrs = xattrs.map(|(k, v)| (k.to_vec(), v.to_vec())).into();
        segment::encode(&segment_of(vec![Entry {
            xattrs,
            ..entry("x", EntryType::Dir)
        }]))
        .unwrap()
    };
    let good = with([(b"a", b"1"), (b"b", b"2")]);
    let from = good.windows(4).position(|w| w == *b"\x41a\x411").unwrap();
    let swapped = |new: &[u8]| {
        let mut bytes = good.clone();
        bytes[from..from + 8].copy_from_slice(new);
        segment::decode(&bytes, 0).unwrap_err()
    };
    assert_eq!(
        swapped(b"\x41b\x412\x41a\x411"),
        PayloadError::Cbor(CborError::KeyOrder)
    );
    assert_eq!(
        swapped(b"\x41a\x412\x41a\x411"),
        PayloadError::Cbor(CborError::DuplicateKey)
    );
    // The shorter name comes first, whatever its letters.
    let mixed = with([(b"aa", b"1"), (b"z", b"2")]);
    assert!(mixed.windows(7).any(|w| w == *b"\x41z\x412\x42aa"));
    assert!(segment::decode(&mixed, 0).is_ok());
}

#[test]
fn packs_hold_what_fits_in_them() {
    let file = |off, len| verdict(packed("x", 0, off, len));
    let max = PACK_MAX as u32;
    assert_eq!(file(0, max), Ok(()));
    assert_eq!(file(max - 1, 1), Ok(()));
    assert_eq!(file(max, 1), Err(PayloadError::Field("data")));
    assert_eq!(file(u32::MAX, u32::MAX), Err(PayloadError::Field("data")));
    let longer = Entry {
        size: 18,
        ..packed("x", 0, 0, 17)
    };
    assert_eq!(verdict(longer), Err(PayloadError::Size));
}

#[test]
fn parts_add_up_and_are_counted() {
    assert_eq!(verdict(chunked("x", vec![chunk(0, 1)])), Ok(()));
    assert_eq!(verdict(chunked("x", vec![hole(u64::MAX)])), Ok(()));
    for (parts, error) in [
        (vec![chunk(0, 0), hole(1)], PayloadError::Field("part")),
        (vec![hole(0), hole(1)], PayloadError::Field("part")),
        (
            vec![chunk(0, CHUNK_MAX as u32 + 1)],
            PayloadError::Field("part"),
        ),
    ] {
        assert_eq!(verdict(chunked("x", parts)), Err(error));
    }
    for size in [0, 6, 8, u64::MAX] {
        let expected = if size == 0 {
            PayloadError::Field("data")
        } else {
            PayloadError::Size
        };
        let wrong = Entry {
            size,
            ..chunked("x", vec![chunk(0, 3), hole(4)])
        };
        assert_eq!(verdict(wrong), Err(expected));
    }
    let mut overflow = chunked("x", vec![hole(u64::MAX)]);
    let Some(FileData::Chunks { parts, .. }) = &mut overflow.data else {
        panic!()
    };
    parts.push(hole(1));
    assert_eq!(verdict(overflow), Err(PayloadError::Size));
    for n in [
        INLINE_CHUNKS_MAX - 1,
        INLINE_CHUNKS_MAX,
        INLINE_CHUNKS_MAX + 1,
    ] {
        let ok = verdict(chunked("x", vec![chunk(0, 1); n])).is_ok();
        assert_eq!(ok, n <= INLINE_CHUNKS_MAX);
        let alternating = [hole(1), chunk(0, 1)].repeat(n);
        let alternating: Vec<Part> = alternating.into_iter().chain([hole(1)]).collect();
        assert_eq!(
            verdict(chunked("x", alternating)).is_ok(),
            n <= INLINE_CHUNKS_MAX
        );
    }
    let mut short = chunked("x", vec![chunk(0, 1), chunk(1, 1)]);
    let Some(FileData::Chunks { kb, .. }) = &mut short.data else {
        panic!()
    };
    kb.truncate(72);
    assert_eq!(verdict(short), Err(PayloadError::KeyCount));
}

#[test]
fn indexes_stay_inside_the_lists() {
    let refs = N_REFS as u32;
    let out = |entry: Entry| {
        let bytes = segment::encode(&segment_of(vec![entry])).unwrap();
        segment::decode(&bytes, N_REFS).unwrap_err()
    };
    assert_eq!(out(packed("x", refs, 0, 1)), PayloadError::Reference(refs));
    assert_eq!(
        out(chunked("x", vec![chunk(refs, 1)])),
        PayloadError::Reference(refs)
    );
    assert_eq!(
        out(mapped("x", vec![0, refs])),
        PayloadError::Reference(refs)
    );
    let too_many = verdict(packed("x", REFS_MAX as u32, 0, 1));
    assert_eq!(too_many, Err(PayloadError::Reference(REFS_MAX as u32)));
    let error = refusal(vec![chunked("x", vec![chunk(0, 1)])], |s| {
        *at(s, 1) = list([])
    });
    assert_eq!(error, PayloadError::Session(0));
    let error = entry_refusal(chunked("x", vec![hole(1)]), |e| {
        *item(at(e, 12), 2) = int(1)
    });
    assert_eq!(error, PayloadError::Session(1));
    let error = entry_refusal(packed("x", 0, 0, 1), |e| *item(at(e, 12), 0) = int(4));
    assert_eq!(error, PayloadError::UnknownData(4));
    let error = entry_refusal(packed("x", 0, 0, 1), |e| *item(at(e, 12), 0) = int(3));
    assert_eq!(error, PayloadError::Cbor(CborError::OutOfRange));
    assert_eq!(
        verdict(mapped("x", vec![])),
        Err(PayloadError::Limit("maps"))
    );
}

#[test]
fn segments_have_limits() {
    let with = |entries: usize, sessions: usize| {
        let paths = (0..entries).map(|n| format!("{n:05}"));
        let entries = paths.map(|path| entry(&path, EntryType::Dir)).collect();
        segment::encode(&Segment {
            sessions: vec![SESSION; sessions],
            entries,
        })
    };
    for (n, ok) in [
        (0, false),
        (1, true),
        (4095, true),
        (4096, true),
        (4097, false),
    ] {
        assert_eq!(with(n, 1).is_ok(), ok, "{n} entries");
    }
    for (n, ok) in [(0, true), (4095, true), (4096, true), (4097, false)] {
        assert_eq!(with(1, n).is_ok(), ok, "{n} sessions");
    }
    // Entries of 64 KiB each: the last that fits, and one more byte.
    let filled = |extra: usize| {
        let big = |n: usize, len: usize| Entry {
            xattrs: [(b"user.x".to_vec(), vec![0; len])].into(),
            ..entry(&format!("{n:03}"), EntryType::Dir)
        };
        let mut entries: Vec<_> = (0..48).map(|n| big(n, 65_000)).collect();
        let used: usize = segment::encode(&segment_of(entries.clone())).unwrap().len();
        let rest = SEGMENT_RAW_MAX - used - entry_len(&big(99, 300));
        entries.push(big(99, 300 + rest + extra));
        segment::encode(&segment_of(entries)).map(|bytes| bytes.len())
    };
    assert_eq!(filled(0), Ok(SEGMENT_RAW_MAX));
    assert_eq!(filled(1), Err(PayloadError::Cbor(CborError::TooLarge)));
    let too_large = segment::decode(&vec![0; SEGMENT_RAW_MAX + 1], 0);
    assert_eq!(too_large, Err(PayloadError::Cbor(CborError::TooLarge)));
}

#[test]
fn segments_of_another_shape_are_refused() {
    let class = |bytes: &[u8]| segment::decode(bytes, 0).unwrap_err().class();
    let good = segment::encode(&segment_of(vec![entry("x", EntryType::Dir)])).unwrap();
    assert_eq!(class(&[&good[..], &[0]].concat()), "cbor-trailing");
    (0..good.len()).for_each(|len| assert_eq!(class(&good[..len]), "cbor-truncated"));
    assert_eq!(class(&[0xa0]), "cbor-missing-key");
    assert_eq!(class(&[0x80]), "cbor-wrong-type");
    let unknown = |s: &mut Value| *at(s, 3) = int(0);
    let error = refusal(vec![entry("x", EntryType::Dir)], unknown);
    assert_eq!(error, PayloadError::Cbor(CborError::UnknownKey(3)));
}

proptest! {
    #[test]
    fn segments_come_back_and_the_twin_agrees(segment in strategies::segment()) {
        let bytes = segment::encode(&segment).unwrap();
        prop_assert_eq!(segment::decode(&bytes, N_REFS).unwrap(), segment);
        prop_assert_eq!(encoded(&decoded(&bytes)), bytes);
    }
}
