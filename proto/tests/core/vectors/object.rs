//! `object.json`: padding, frames, headers, whole objects of every kind, and what must not open.

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::keys::{ChunkKeys, chunk_key};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::frame::{FRAME_MAX, padded_len};
use packnback_proto::format::header::{Header, Kind, ObjectError, verify_object};
use packnback_proto::format::object::{Sealed, open_chunk, open_object, seal_chunk, seal_object};
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{MIB, RAW_MAX};
use serde_json::{Value, json};

use super::{GENERATORS, Input, check, each, field, field32, hex, key, number, read};
use crate::support::{
    compressor, decompressor, frame, header_bytes, letters, object_class, refs, samples,
    seal_frame, secret, session, zstd, zstd_stream,
};

const FILE: &str = "object.json";

fn padding() -> Value {
    let lens = [
        0, 1, 9, 511, 512, 513, 544, 545, 1000, 1024, 1025, 65_535, 65_536, 65_537,
    ]
    .into_iter()
    .chain([1_000_000, MIB, 9 + RAW_MAX, FRAME_MAX]);
    lens.map(|len| json!([len, padded_len(len)])).collect()
}

fn header_json(header: &Header) -> Value {
    json!({
        "kind": header.kind.byte(), "height": header.height, "epoch": header.epoch,
        "epk": header.epk.map(|epk| hex(&epk)),
        "refs": header.refs.iter().map(|id| hex(id.as_bytes())).collect::<Vec<_>>(),
    })
}

/// Short objects in full, long ones by id.
fn stored(object: &Sealed) -> (Value, Value) {
    let bytes = (object.bytes.len() <= 2500).then(|| hex(&object.bytes));
    (json!(object.id.to_string()), json!(bytes))
}

fn objects() -> Value {
    let contents = [
        Input::hex(b""),
        Input::hex(b"content"),
        Input::bulk("raw content", 1500),
        Input::letters("zstd content", 3000),
    ];
    let mut all = Vec::new();
    for (i, (header, key)) in samples().into_iter().enumerate() {
        let raw = &contents[i % contents.len()];
        let object = seal_object(&mut compressor(), &header, &key, &raw.1).unwrap();
        let (id, bytes) = stored(&object);
        all.push(json!({
            "header": header_json(&header), "key": hex(key.expose()), "raw": raw.0, "id": id,
            "bytes": bytes, "len": object.bytes.len(),
        }));
    }
    Value::Array(all)
}

fn chunks() -> Value {
    let keys = ChunkKeys::new(&secret("group key"));
    let contents = [
        Input::hex(b"x"),
        Input::letters("small chunk", 2000),
        Input::zeros(300_000),
        Input::letters("text chunk", 600_000),
        Input::bulk("random chunk", 600_000),
        Input::bulk("largest chunk", RAW_MAX),
        // Compressed to 97000 and 97001 bytes: on both sides of the codec rule.
        Input::made(
            json!({ "generator": "period", "label": "rule", "period": 96_978, "len": 100_000 }),
        ),
        Input::made(
            json!({ "generator": "period", "label": "rule", "period": 96_979, "len": 100_000 }),
        ),
    ];
    let mut all = Vec::new();
    for p in contents {
        let k = chunk_key(keys.chunk(), &p.1);
        let object = seal_chunk(&mut compressor(), &k, &p.1).unwrap();
        let (id, bytes) = stored(&object);
        all.push(json!({
            "ck": hex(keys.chunk().expose()), "p": p.0, "k": hex(k.expose()),
            "id": id, "bytes": bytes, "len": object.bytes.len(),
        }));
    }
    Value::Array(all)
}

fn rejection(name: &str, object: &Sealed, key: &Secret32, expect: &str) -> Value {
    json!({
        "name": name, "id": object.id.to_string(), "bytes": hex(&object.bytes),
        "key": hex(key.expose()), "expect": expect,
    })
}

/// What hosts refuse without a key: one changed field each.
fn header_rejections(all: &mut Vec<Value>) {
    let session = session();
    let header = session.header(Kind::Segment, 2, refs(2));
    let good = seal_object(&mut compressor(), &header, &session.node, b"content").unwrap();
    let ids = good.bytes[48..112].to_vec();
    let changes: [(&str, usize, &[u8], &str); 11] = [
        ("magic", 0, b"PNB2", "magic"),
        ("kind 6", 4, &[6], "unknown_kind"),
        ("suite 0", 5, &[0], "unknown_suite"),
        ("suite 2", 5, &[2], "unknown_suite"),
        ("segment of height 3", 6, &[3], "height"),
        ("reserved byte", 7, &[1], "reserved"),
        ("8193 references", 8, &[1, 32, 0, 0], "ref_count"),
        (
            "more references than bytes",
            8,
            &[100, 0, 0, 0],
            "truncated",
        ),
        (
            "references swapped",
            48,
            &[&ids[32..], &ids[..32]].concat(),
            "ref_order",
        ),
        ("reference repeated", 80, &ids[..32], "ref_order"),
        ("chunk with references", 4, &[0, 1, 0], "ref_count"),
    ];
    for (name, at, new, expect) in changes {
        let mut bytes = good.bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        all.push(rejection(
            name,
            &Sealed {
                id: object_id(&bytes),
                bytes,
            },
            &session.node,
            expect,
        ));
    }
    let cut = |name, len: usize, expect| {
        let mut bytes = good.bytes.clone();
        bytes.resize(len, 0);
        rejection(
            name,
            &Sealed {
                id: object_id(&bytes),
                bytes,
            },
            &session.node,
            expect,
        )
    };
    let full = good.bytes.len();
    all.push(cut("empty", 0, "truncated"));
    all.push(cut("header cut short", 15, "truncated"));
    all.push(cut("no payload", 112, "truncated"));
    all.push(cut("payload cut short", full - 1, "truncated"));
    all.push(cut("one byte behind", full + 1, "payload_length"));
    all.push(cut("31 bytes behind", full + 31, "payload_length"));
    let wrong_id = Sealed {
        id: ObjectId([7; 32]),
        bytes: good.bytes.clone(),
    };
    all.push(rejection(
        "id of other bytes",
        &wrong_id,
        &session.node,
        "wrong_id",
    ));
    all.push(rejection("wrong key", &good, &session.map, "bad_tag"));
    let mut bytes = good.bytes.clone();
    bytes[12] ^= 1;
    let other_epoch = Sealed {
        id: object_id(&bytes),
        bytes,
    };
    all.push(rejection(
        "epoch altered",
        &other_epoch,
        &session.node,
        "bad_tag",
    ));
    let mut bytes = header_bytes(&Header::chunk());
    bytes[12] = 1;
    bytes.resize(16 + 40 + 512, 0);
    let chunk = Sealed {
        id: object_id(&bytes),
        bytes,
    };
    all.push(rejection(
        "chunk with an epoch",
        &chunk,
        &session.node,
        "session",
    ));
}

/// What only shows behind the seal.
fn frame_rejections(all: &mut Vec<Value>) {
    let raw = letters("frame", 400);
    let one = zstd(1, 0, false, &raw);
    let mut padding = frame(0, 100, &[1; 100]);
    padding[511] = 1;
    let mut long = frame(0, 100, &[1; 100]);
    long.resize(544, 0);
    let mut beyond = frame(0, 100, &[1; 100]);
    beyond[5..9].copy_from_slice(&504_u32.to_le_bytes());
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &one].concat();
    let bomb = zstd(1, 0, false, &vec![0; 8 * MIB]);
    let max = u32::try_from(RAW_MAX).unwrap();
    let cases = [
        ("padding not zero", padding, "padding"),
        ("frame longer than its padding rule", long, "frame_length"),
        ("content longer than the frame", beyond, "frame_length"),
        ("codec 2", frame(2, 400, &raw), "unknown_codec"),
        ("raw, lengths differ", frame(0, 401, &raw), "raw_length"),
        (
            "more than 4 MiB declared",
            frame(1, max + 1, &one),
            "raw_too_large",
        ),
        (
            "zstd, one byte less declared",
            frame(1, 399, &one),
            "decompress",
        ),
        (
            "zstd, one byte more declared",
            frame(1, 401, &one),
            "decompress",
        ),
        (
            "zstd bomb, 1000 bytes declared",
            frame(1, 1000, &bomb),
            "decompress",
        ),
        (
            "zstd bomb, 4 MiB declared",
            frame(1, max, &bomb),
            "decompress",
        ),
        ("no zstd frame", frame(1, 0, &[]), "zstd_frame"),
        (
            "only a skippable frame",
            frame(1, 0, &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]),
            "zstd_frame",
        ),
        (
            "skippable frame in front",
            frame(1, 400, &skippable),
            "zstd_frame",
        ),
        (
            "two zstd frames",
            frame(1, 800, &[&one[..], &one].concat()),
            "zstd_frame",
        ),
        (
            "byte behind the zstd frame",
            frame(1, 400, &[&one[..], &[0]].concat()),
            "zstd_frame",
        ),
        (
            "zstd window of 16 MiB",
            frame(1, 400, &zstd_stream(24, &raw)),
            "zstd_window",
        ),
    ];
    let session = session();
    let header = header_bytes(&session.header(Kind::Pack, 0, vec![]));
    for (name, frame, expect) in cases {
        let object = seal_frame(&header, &session.pack, &frame);
        all.push(rejection(name, &object, &session.pack, expect));
    }
}

/// What only the place of a chunk tells: length in the entry, key made from the content.
fn chunk_rejections() -> Value {
    let keys = ChunkKeys::new(&secret("group key"));
    let (p, other) = (letters("chunk", 700), letters("planted", 700));
    let k = chunk_key(keys.chunk(), &p);
    let good = seal_chunk(&mut compressor(), &k, &p).unwrap();
    let planted = seal_chunk(&mut compressor(), &k, &other).unwrap();
    let pack = session().header(Kind::Pack, 0, vec![]);
    let pack = seal_object(&mut compressor(), &pack, &k, &p).unwrap();
    let entry = |name, object: &Sealed, len: usize, expect| {
        let mut v = rejection(name, object, &k, expect);
        (v["ck"], v["content_len"]) = (json!(hex(keys.chunk().expose())), json!(len));
        v
    };
    json!([
        entry("entry says another length", &good, 699, "content_length"),
        entry("key of other content", &planted, 700, "content_key"),
        entry("a pack in place of a chunk", &pack, 700, "wrong_kind"),
    ])
}

fn rejections() -> Value {
    let mut all = Vec::new();
    header_rejections(&mut all);
    frame_rejections(&mut all);
    Value::Array(all)
}

#[test]
fn object_json_is_what_the_code_makes() {
    let about = "Objects: id = BLAKE3(bytes). 'padding' pairs lengths with padded lengths. \
        'bytes' is null where it is too long to print: then id and len stand for it, made by zstd \
        1.5.7 level 1. 'rejections' are refused when opened as an object with 'key', those before \
        'wrong key' already without it (class wrong_id, or by the header); 'chunk_rejections' when \
        opened as a chunk with key, ck and content_len.";
    check(
        FILE,
        &json!({
            "about": [about, GENERATORS], "padding": padding(), "objects": objects(),
            "chunks": chunks(), "rejections": rejections(), "chunk_rejections": chunk_rejections(),
        }),
    );
}

fn id_of(v: &Value) -> ObjectId {
    ObjectId(field32(v, "id"))
}

#[test]
fn object_json_read_alone() {
    let file = read(FILE);
    let mut decompressor = decompressor();
    each(&file, "padding", |v| {
        assert_eq!(padded_len(number(&v[0])), number(&v[1]))
    });
    each(&file, "objects", |v| {
        let bytes = field(v, "bytes");
        let (header, raw) =
            open_object(&mut decompressor, &bytes, &id_of(v), &key(v, "key")).unwrap();
        assert_eq!(header_json(&header), v["header"]);
        assert!(raw == Input::bytes(&v["raw"]) && bytes.len() == number(&v["len"]));
    });
    each(&file, "chunks", |v| {
        let (p, k, ck) = (Input::bytes(&v["p"]), key(v, "k"), key(v, "ck"));
        assert_eq!(chunk_key(&ck, &p).expose(), k.expose());
        let bytes = match v["bytes"].is_null() {
            true => seal_chunk(&mut compressor(), &k, &p).unwrap().bytes,
            false => field(v, "bytes"),
        };
        let opened = open_chunk(&mut decompressor, &bytes, &id_of(v), &k, Some(&ck), p.len());
        assert!(opened.unwrap() == p && bytes.len() == number(&v["len"]));
    });
    each(&file, "rejections", |v| {
        let bytes = field(v, "bytes");
        let error = open_object(&mut decompressor, &bytes, &id_of(v), &key(v, "key")).unwrap_err();
        assert_eq!(object_class(error), v["expect"], "{}", v["name"]);
        let is_sealed_inside = matches!(error, ObjectError::Crypto(_) | ObjectError::Frame(_));
        assert_eq!(
            verify_object(&id_of(v), &bytes).is_ok(),
            is_sealed_inside,
            "{}",
            v["name"]
        );
    });
    each(&file, "chunk_rejections", |v| {
        let (bytes, k, ck) = (field(v, "bytes"), key(v, "key"), key(v, "ck"));
        let len = number(&v["content_len"]);
        let result = open_chunk(&mut decompressor, &bytes, &id_of(v), &k, Some(&ck), len);
        assert_eq!(
            object_class(result.unwrap_err()),
            v["expect"],
            "{}",
            v["name"]
        );
    });
}
