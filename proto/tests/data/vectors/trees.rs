use packnback_proto::cbor::Value;
use packnback_proto::crypto::keys::SessionKeys;
use packnback_proto::format::entry::{DOM_PRIVATE, Entry, EntryType};
use packnback_proto::format::index::Child;
use packnback_proto::format::keyblob::{open_key_blob, seal_key_blob};
use packnback_proto::format::map::{Map, MapPart};
use packnback_proto::format::payload::PayloadError;
use packnback_proto::format::{index, map as maps, root as roots, segment};
use packnback_proto::ids::ObjectId;
use serde_json::json;

use super::{diag, golden, hex};
use crate::support::*;
use crate::trees::segment_of;

type Decoder = fn(&[u8], usize) -> Result<Vec<u8>, PayloadError>;

const SEGMENT: Decoder = |bytes, n| segment::encode(&segment::decode(bytes, n)?);
const MAP: Decoder = |bytes, n| maps::encode(&maps::decode(bytes, n)?);
const INDEX: Decoder = |bytes, n| index::encode(&index::decode(bytes, n)?);
const ROOT: Decoder = |bytes, n| roots::encode(&roots::decode(bytes, n)?);

fn good(decoder: Decoder, name: &str, n_refs: usize, bytes: &[u8]) -> serde_json::Value {
    assert_eq!(decoder(bytes, n_refs).as_deref(), Ok(bytes), "{name}");
    json!({ "name": name, "n_refs": n_refs, "cbor": hex(bytes), "value": diag(&decoded(bytes)) })
}

fn bad(
    decoder: Decoder,
    name: &str,
    n_refs: usize,
    bytes: &[u8],
    class: &str,
) -> serde_json::Value {
    let error = decoder(bytes, n_refs).unwrap_err();
    assert_eq!(error.class(), class, "{name}: {error}");
    json!({ "name": name, "n_refs": n_refs, "cbor": hex(bytes), "error": class })
}

fn changed(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = decoded(bytes);
    change(&mut value);
    encoded(&value)
}

fn one(entry: Entry) -> Vec<u8> {
    segment::encode(&segment_of(vec![entry])).unwrap()
}

/// A segment of one entry with the entry changed.
fn bad_entry(
    name: &str,
    entry: Entry,
    class: &str,
    change: impl FnOnce(&mut Value),
) -> serde_json::Value {
    let bytes = changed(&one(entry), |segment| change(item(at(segment, 2), 0)));
    bad(SEGMENT, name, 8, &bytes, class)
}

fn bad_paths() -> Vec<serde_json::Value> {
    let long = "x".repeat((64 << 10) + 1);
    let cases = [
        ("empty path", "", "path-empty"),
        ("absolute path", "/etc", "path-empty"),
        ("double slash", "a//b", "path-empty"),
        ("slash at the end", "a/", "path-empty"),
        ("dot", "a/./b", "path-dots"),
        ("dot dot", "../b", "path-dots"),
        ("NUL in path", "a\0b", "path-nul"),
        ("path of 64 KiB and a byte", &long, "path-too-long"),
    ];
    let dir = || entry("x", EntryType::Dir);
    let case = |(name, path, class): (&str, &str, &str)| {
        bad_entry(name, dir(), class, |e| *at(e, 1) = blob(path.as_bytes()))
    };
    cases.into_iter().map(case).collect()
}

fn bad_fields() -> Vec<serde_json::Value> {
    let dir = || entry("x", EntryType::Dir);
    let file = || entry("x", EntryType::File);
    let link = || entry("x", EntryType::Symlink);
    let device = || entry("x", EntryType::Char);
    vec![
        bad_entry("type 6", dir(), "unknown-type", |e| *at(e, 2) = int(6)),
        bad_entry("mode with file type", dir(), "field", |e| {
            *at(e, 3) = int(0o40_755)
        }),
        bad_entry("uid of 33 bits", dir(), "cbor-out-of-range", |e| {
            *at(e, 4) = int(1 << 32)
        }),
        bad_entry("time beyond int64", dir(), "cbor-out-of-range", |e| {
            *at(e, 6) = int(1 << 63)
        }),
        bad_entry("directory with a size", dir(), "field", |e| {
            *at(e, 7) = int(1)
        }),
        bad_entry("directory with a link target", dir(), "field", |e| {
            *at(e, 8) = blob(b"t")
        }),
        bad_entry("directory in a hard link group", dir(), "field", |e| {
            *at(e, 11) = blob(&[0; 8])
        }),
        bad_entry("symbolic link without target", link(), "field", |e| {
            without(e, 8)
        }),
        bad_entry("symbolic link with empty target", link(), "limit", |e| {
            *at(e, 8) = blob(b"")
        }),
        bad_entry("device without number", device(), "field", |e| {
            without(e, 10)
        }),
        bad_entry("file with device number", file(), "field", |e| {
            *at(e, 10) = int(1)
        }),
        bad_entry("no attributes, but the field", dir(), "limit", |e| {
            *at(e, 9) = Value::Map([].into())
        }),
        bad_entry("empty user name", dir(), "limit", |e| *at(e, 13) = text("")),
        bad_entry("no names in access lists", dir(), "limit", |e| {
            *at(e, 15) = list([])
        }),
        bad_entry("names in access lists twice", dir(), "field", |e| {
            let bob = || list([int(0), int(7), text("bob")]);
            *at(e, 15) = list([bob(), bob()])
        }),
        bad_entry("field 16", dir(), "cbor-unknown-key", |e| {
            *at(e, 16) = int(0)
        }),
        bad_entry("no size", dir(), "cbor-missing-key", |e| without(e, 7)),
        bad_entry("content missing", file(), "field", |e| *at(e, 7) = int(1)),
        bad_entry(
            "hard link group of 7 bytes",
            file(),
            "cbor-out-of-range",
            |e| *at(e, 11) = blob(&[0; 7]),
        ),
    ]
}

fn bad_data() -> Vec<serde_json::Value> {
    let pack = || packed("x", 0, 0, 100);
    let chunks = || chunked("x", vec![chunk(0, 100), hole(100), chunk(1, 100)]);
    let part = |e: &mut Value, i: usize, new: Value| *item(item(at(e, 12), 3), i) = new;
    vec![
        bad_entry("data of kind 4", pack(), "unknown-data", |e| {
            *item(at(e, 12), 0) = int(4)
        }),
        bad_entry("pack with wrong length", pack(), "size", |e| {
            *item(at(e, 12), 3) = int(99)
        }),
        bad_entry("pack reference out of range", pack(), "reference", |e| {
            *item(at(e, 12), 1) = int(8)
        }),
        bad_entry("beyond the largest pack", pack(), "field", |e| {
            *item(at(e, 12), 2) = int(4 << 20)
        }),
        bad_entry("empty file with data", pack(), "field", |e| {
            *at(e, 7) = int(0);
            *item(at(e, 12), 3) = int(0);
        }),
        bad_entry("parts too long", chunks(), "size", |e| *at(e, 7) = int(299)),
        bad_entry("empty chunk", chunks(), "field", |e| {
            part(e, 0, list([int(0), int(0)]))
        }),
        bad_entry("chunk over 4 MiB", chunks(), "field", |e| {
            part(e, 0, list([int(0), int((4 << 20) + 1)]))
        }),
        bad_entry("empty hole", chunks(), "field", |e| {
            part(e, 1, list([Value::Null, int(0)]))
        }),
        bad_entry("chunk reference out of range", chunks(), "reference", |e| {
            part(e, 2, list([int(8), int(100)]))
        }),
        bad_entry("part of three items", chunks(), "cbor-out-of-range", |e| {
            part(e, 0, list([int(0), int(100), int(0)]))
        }),
        bad_entry("session out of range", chunks(), "session", |e| {
            *item(at(e, 12), 2) = int(1)
        }),
        bad_entry("key blob for one chunk", chunks(), "key-count", |e| {
            *item(at(e, 12), 4) = blob(&[0; 72])
        }),
        bad_entry("no parts", chunks(), "limit", |e| {
            *item(at(e, 12), 3) = list([])
        }),
        bad_entry("no maps", mapped("x", vec![0]), "limit", |e| {
            *item(at(e, 12), 1) = list([])
        }),
        bad_entry(
            "map reference out of range",
            mapped("x", vec![0]),
            "reference",
            |e| {
                *item(at(e, 12), 1) = list([int(8)]);
            },
        ),
    ]
}

/// Key blobs: the one that opens, and the same moved elsewhere.
fn key_blobs() -> Vec<serde_json::Value> {
    let session = SessionKeys::start(&owner().device_keys(3, 2), secret("esk")).unwrap();
    let ids: Vec<ObjectId> = (0..2).map(object).collect();
    let keys = [bytes32("key 0"), bytes32("key 1")];
    let kb = seal_key_blob(&session.blob, 2, &ids, &keys).unwrap();
    let case = |name: &str, dom: u32, ids: &[ObjectId], class: Option<&str>| {
        let opened = open_key_blob(&session.blob, dom, ids, &kb);
        assert_eq!(opened.as_ref().err().map(|e| e.class()), class, "{name}");
        let mut case = json!({
            "name": name,
            "k_blob": hex(session.blob.expose()),
            "dom": dom,
            "ids": ids.iter().map(|id| hex(id.as_bytes())).collect::<Vec<_>>(),
            "kb": hex(&kb),
        });
        match opened {
            Ok(keys) => case["keys"] = keys.iter().map(|k| hex(k)).collect(),
            Err(error) => case["error"] = error.class().into(),
        }
        case
    };
    let swapped: Vec<_> = ids.iter().rev().copied().collect();
    vec![
        case("key blob", 2, &ids, None),
        case("key blob of another group", 3, &ids, Some("key-blob")),
        case(
            "key blob of the private domain",
            DOM_PRIVATE,
            &ids,
            Some("key-blob"),
        ),
        case(
            "key blob with chunks swapped",
            2,
            &swapped,
            Some("key-blob"),
        ),
        case(
            "key blob with a chunk less",
            2,
            &ids[..1],
            Some("key-count"),
        ),
    ]
}

#[test]
fn vectors_segment() {
    let dir = || entry("x", EntryType::Dir);
    let all = segment::encode(&segment_of(all_entries())).unwrap();
    let two = segment::encode(&segment_of(vec![entry("a", EntryType::Dir), dir()])).unwrap();
    let reversed = changed(&two, |segment| {
        let Value::Array(entries) = at(segment, 2) else {
            panic!()
        };
        entries.reverse();
    });
    let no_entries = changed(&two, |segment| *at(segment, 2) = list([]));
    let holes = one(chunked("holes only", vec![hole(1 << 40)]));
    let cases = [
        vec![
            good(SEGMENT, "one directory", 0, &one(dir())),
            good(SEGMENT, "every kind of entry", 8, &all),
            good(SEGMENT, "a file of holes only", 0, &holes),
        ],
        vec![
            bad(SEGMENT, "paths out of order", 0, &reversed, "path-order"),
            bad(SEGMENT, "no entries", 0, &no_entries, "limit"),
            bad(
                SEGMENT,
                "trailing byte",
                0,
                &[&two[..], &[0]].concat(),
                "cbor-trailing",
            ),
            bad(SEGMENT, "cut", 0, &two[..two.len() - 1], "cbor-truncated"),
            bad(
                SEGMENT,
                "no sessions field",
                0,
                &changed(&two, |s| without(s, 1)),
                "cbor-missing-key",
            ),
        ],
        bad_paths(),
        bad_fields(),
        bad_data(),
        key_blobs(),
    ]
    .concat();
    let about = "Raw content of segments of objects with n_refs references, and key blobs. \
                 `value` is the diagnostic notation of RFC 8949. Key blobs inside segments here \
                 open under nothing; those that do have cases of their own.";
    golden("segment", about, &cases);
}

fn bad_maps(bytes: &[u8]) -> Vec<serde_json::Value> {
    let part = |i: usize, new: Value| changed(bytes, |map| *item(item(map, 1), i) = new);
    let k = || blob(&[0; 32]);
    let short_key = list([int(0), int(1), blob(&[0; 31])]);
    let too_long = list([int(0), int((4 << 20) + 1), k()]);
    let no_parts = changed(bytes, |map| *item(map, 1) = list([]));
    let cases = [
        ("empty chunk", part(0, list([int(0), int(0), k()])), "field"),
        ("chunk over 4 MiB", part(0, too_long), "field"),
        ("empty hole", part(1, list([Value::Null, int(0)])), "field"),
        (
            "chunk without key",
            part(0, list([int(0), int(1)])),
            "cbor-out-of-range",
        ),
        ("key of 31 bytes", part(0, short_key), "cbor-out-of-range"),
        (
            "longer than 2^64",
            part(1, list([Value::Null, int(u64::MAX)])),
            "size",
        ),
        ("no parts", no_parts, "limit"),
        ("trailing byte", [bytes, &[0]].concat(), "cbor-trailing"),
    ];
    let refused = cases.map(|(name, bytes, class)| bad(MAP, name, 2, &bytes, class));
    refused.into()
}

#[test]
fn vectors_map() {
    let bytes = maps::encode(&map()).unwrap();
    let private = Map {
        dom: DOM_PRIVATE,
        parts: vec![MapPart::Hole { len: u64::MAX }],
    };
    let cases = vec![
        good(MAP, "chunks and a hole", 2, &bytes),
        good(
            MAP,
            "private, one hole",
            0,
            &maps::encode(&private).unwrap(),
        ),
        bad(MAP, "reference out of range", 1, &bytes, "reference"),
    ];
    let about = "Raw content of maps of objects with n_refs references.";
    golden("map", about, &[cases, bad_maps(&bytes)].concat());
}

#[test]
fn vectors_index() {
    let bytes = index::encode(&children()).unwrap();
    let child = |i: usize, field: usize, new: Value| {
        changed(&bytes, |index| *item(item(index, i), field) = new)
    };
    let single = [Child {
        first: b"a".to_vec(),
        ref_idx: 0,
        entries: u64::MAX,
    }];
    let cases = [
        good(INDEX, "three children", 3, &bytes),
        good(INDEX, "one child", 1, &index::encode(&single).unwrap()),
        bad(INDEX, "no children", 0, &[0x80], "limit"),
        bad(INDEX, "reference out of range", 2, &bytes, "reference"),
        bad(
            INDEX,
            "child without entries",
            3,
            &child(0, 2, int(0)),
            "field",
        ),
        bad(
            INDEX,
            "paths out of order",
            3,
            &child(0, 0, blob(b"z")),
            "path-order",
        ),
        bad(
            INDEX,
            "path twice",
            3,
            &child(0, 0, blob(b"etc/ssh")),
            "path-order",
        ),
        bad(
            INDEX,
            "empty path",
            3,
            &child(0, 0, blob(b"")),
            "path-empty",
        ),
        bad(
            INDEX,
            "trailing byte",
            3,
            &[&bytes[..], &[0]].concat(),
            "cbor-trailing",
        ),
    ];
    let about = "Raw content of indexes of objects with n_refs references.";
    golden("index", about, &cases);
}

#[test]
fn vectors_root() {
    let bytes = roots::encode(&root()).unwrap();
    let mut empty = root();
    empty.children.clear();
    (empty.problem_count, empty.label) = (0, String::new());
    empty.problems.clear();
    let with = |key: u64, new: Value| changed(&bytes, |root| *at(root, key) = new);
    let mut told = root();
    told.left = Some(left_out());
    let told = roots::encode(&told).unwrap();
    let stats = list([int(1), int(2), int(3), int(4), int(5)]);
    let cases = [
        good(ROOT, "everything", 3, &bytes),
        good(ROOT, "nothing saved", 0, &roots::encode(&empty).unwrap()),
        good(ROOT, "what was left out", 3, &told),
        bad(
            ROOT,
            "left out, with an unknown flag",
            3,
            &changed(&told, |r| *item(at(r, 13), 2) = int(8)),
            "field",
        ),
        bad(
            ROOT,
            "left out, an absolute path",
            3,
            &changed(&told, |r| *item(at(r, 13), 4) = list([blob(b"/etc")])),
            "path-empty",
        ),
        bad(ROOT, "field 14", 3, &with(14, int(0)), "cbor-unknown-key"),
        bad(
            ROOT,
            "no label",
            3,
            &changed(&bytes, |root| without(root, 1)),
            "cbor-missing-key",
        ),
        bad(
            ROOT,
            "name of the backup set too long",
            3,
            &with(12, text(&"s".repeat(129))),
            "limit",
        ),
        bad(ROOT, "chunker 0", 3, &with(5, int(0)), "field"),
        bad(
            ROOT,
            "private group",
            3,
            &with(6, int(0xffff_ffff)),
            "field",
        ),
        bad(
            ROOT,
            "absolute root path",
            3,
            &with(7, list([blob(b"/etc")])),
            "path-empty",
        ),
        bad(
            ROOT,
            "fewer problems than listed",
            3,
            &changed(&bytes, |r| *item(at(r, 9), 0) = int(2)),
            "field",
        ),
        bad(
            ROOT,
            "five statistics",
            3,
            &with(10, stats),
            "cbor-out-of-range",
        ),
        bad(ROOT, "reference out of range", 2, &bytes, "reference"),
        bad(
            ROOT,
            "children out of order",
            3,
            &changed(&bytes, |r| *item(item(at(r, 11), 0), 0) = blob(b"z")),
            "path-order",
        ),
        bad(
            ROOT,
            "trailing byte",
            3,
            &[&bytes[..], &[0]].concat(),
            "cbor-trailing",
        ),
    ];
    let about = "Raw content of roots of objects with n_refs references.";
    golden("root", about, &cases);
}
