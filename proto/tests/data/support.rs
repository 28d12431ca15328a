//! Deterministic inputs.

use std::collections::BTreeMap;

use packnback_proto::cbor::Value;
use packnback_proto::crypto::keys::{OwnerSeed, SetName, set_id};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::entry::{AclName, Entry, EntryType, FileData, Part};
use packnback_proto::format::index::Child;
use packnback_proto::format::map::{Map, MapPart};
use packnback_proto::format::root::{LeftOut, PATTERN_RULES, Problem, ProblemKind, Root, Stats};
use packnback_proto::ids::{NodeId, ObjectId, RecordId};
use packnback_proto::record::{
    Cert, Grant, Op, Order, PolicyArg, Receipt, Scope, Snap, perms, seal_label,
};

/// 32 bytes that follow from a label.
pub(crate) fn bytes32(label: &str) -> [u8; 32] {
    *blake3::hash(label.as_bytes()).as_bytes()
}

pub(crate) fn bytes16(label: &str) -> [u8; 16] {
    bytes32(label)[..16].try_into().unwrap()
}

pub(crate) fn secret(label: &str) -> Secret32 {
    Secret32::new(bytes32(label))
}

pub(crate) fn owner() -> OwnerSeed {
    OwnerSeed::from_bytes(bytes32("owner"))
}

pub(crate) fn key(label: &str) -> SigningKey {
    SigningKey::from_seed(&secret(label))
}

pub(crate) fn node(label: &str) -> NodeId {
    key(label).node_id()
}

pub(crate) fn object(n: usize) -> ObjectId {
    ObjectId(bytes32(&format!("object {n}")))
}

pub(crate) fn record(n: usize) -> RecordId {
    RecordId(bytes32(&format!("record {n}")))
}

/// A list as the format wants it.
pub(crate) fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

pub(crate) fn nodes(n: usize) -> Vec<NodeId> {
    sorted(
        (0..n)
            .map(|i| NodeId(bytes32(&format!("node {i}"))))
            .collect(),
    )
}

pub(crate) fn records(n: usize) -> Vec<RecordId> {
    sorted((0..n).map(record).collect())
}

// ---- records ----

pub(crate) fn cert() -> Cert {
    let seed = owner();
    let device = node("device");
    let label = seal_label(
        &seed.label_key(3),
        &seed.owner_id(),
        &device,
        "Ada's laptop",
    );
    Cert {
        owner: seed.owner_id(),
        device,
        serial: 7,
        perms: perms::PUT | perms::DEDUP | perms::LIST,
        not_before: 1_800_000_000,
        expires: 1_894_608_000,
        quota_bytes: 2_000_000_000_000,
        new_bytes_per_day: 200_000_000_000,
        snaps_per_day: 48,
        group: 2,
        epoch: 3,
        sealed_label: label.unwrap(),
        recovery: seed.recovery_id(),
    }
}

pub(crate) fn snap() -> Snap {
    Snap {
        owner: owner().owner_id(),
        device: node("device"),
        seq: 41,
        prev: Some(record(40)),
        root: object(0),
        time: 1_800_000_123,
        cert_serial: 7,
        set: set_id(&owner().set_key(), SetName::Given("photos")),
    }
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        snap: record(41),
        host: node("host"),
        received: 1_800_000_200,
        log_seq: 12,
        log_prev: Some(record(11)),
        n_objects: 1234,
        bytes: 5_678_901_234,
        policy_seq: 0,
    }
}

pub(crate) fn order(op: Op) -> Order {
    let needs_audience = matches!(op, Op::Policy(_) | Op::DropOwner);
    Order {
        owner: owner().owner_id(),
        oid: bytes16("order id"),
        issued: 1_800_000_300,
        audience: needs_audience.then(|| nodes(2)),
        op,
        not_before: None,
    }
}

pub(crate) fn policy() -> PolicyArg {
    PolicyArg {
        pseq: 5,
        device: Some(node("device")),
        min_age_d: 30,
        keep: [24, 14, 8, 24, 10],
        keep_last: 3,
        grace_d: 7,
    }
}

pub(crate) fn every_op() -> Vec<Op> {
    vec![
        Op::DeleteIds(records(3)),
        Op::DeleteRange {
            device: node("device"),
            recv_from: 1_700_000_000,
            recv_to: 1_800_000_000,
            max_count: 20,
        },
        Op::Policy(policy()),
        Op::Revoke {
            device: node("device"),
            reason: "stolen, see café".to_owned(),
        },
        Op::Hold(records(1)),
        Op::Unhold(records(2)),
        Op::Cancel(vec![bytes16("order id")]),
        Op::Hosts {
            hseq: 9,
            hosts: nodes(3),
        },
        Op::DropOwner,
    ]
}

pub(crate) fn grant(scope: Scope) -> Grant {
    Grant {
        owner: owner().owner_id(),
        reader: node("reader"),
        scope,
        not_before: 1_800_000_000,
        expires: 1_800_086_400,
        audience: None,
        nonce: bytes16("nonce"),
        max_bytes: None,
    }
}

// ---- trees ----

pub(crate) fn entry(path: &str, kind: EntryType) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        mode: 0o755,
        uid: 1000,
        gid: 100,
        mtime_ns: 1_800_000_000_123_456_789,
        size: 0,
        link: (kind == EntryType::Symlink).then(|| b"../target".to_vec()),
        xattrs: BTreeMap::new(),
        rdev: matches!(kind, EntryType::Char | EntryType::Block).then_some(0x0801),
        hardlink: None,
        data: None,
        user: None,
        group: None,
        acl_names: Vec::new(),
    }
}

pub(crate) fn packed(path: &str, ref_idx: u32, off: u32, len: u32) -> Entry {
    Entry {
        size: u64::from(len),
        data: Some(FileData::Pack { ref_idx, off, len }),
        ..entry(path, EntryType::File)
    }
}

pub(crate) fn chunk(ref_idx: u32, len: u32) -> Part {
    Part::Chunk { ref_idx, len }
}

pub(crate) fn hole(len: u64) -> Part {
    Part::Hole { len }
}

/// A file of chunks and holes with a key blob of the right length that opens under nothing.
pub(crate) fn chunked(path: &str, parts: Vec<Part>) -> Entry {
    let n = packnback_proto::format::keyblob::chunk_count(&parts);
    let kb = vec![0x5a; packnback_proto::format::keyblob::key_blob_len(n)];
    Entry {
        size: parts.iter().map(Part::len).sum(),
        data: Some(FileData::Chunks {
            dom: 2,
            ses_idx: 0,
            parts,
            kb,
        }),
        ..entry(path, EntryType::File)
    }
}

pub(crate) fn mapped(path: &str, refs: Vec<u32>) -> Entry {
    let data = Some(FileData::Maps { refs });
    Entry {
        size: 1 << 40,
        data,
        ..entry(path, EntryType::File)
    }
}

pub(crate) fn acl_names() -> Vec<AclName> {
    let named = |is_group, id, name: &str| AclName {
        is_group,
        id,
        name: name.to_owned(),
    };
    vec![
        named(false, 1001, "bob"),
        named(false, u32::MAX, "x"),
        named(true, 7, "Größe"),
    ]
}

/// One of each.
pub(crate) fn all_entries() -> Vec<Entry> {
    let xattrs = [
        ("user.z", &b"1"[..]),
        ("user.comment", b"\xff\x00"),
        ("system.posix_acl_access", &[2, 0, 0, 0]),
        ("user.empty", b""),
    ];
    vec![
        Entry {
            mode: 0o1777,
            ..entry("dir", EntryType::Dir)
        },
        Entry {
            rdev: Some(u64::MAX),
            ..entry("dir/block", EntryType::Block)
        },
        entry("dir/char", EntryType::Char),
        entry("dir/empty", EntryType::File),
        entry("dir/fifo", EntryType::Fifo),
        packed("dir/packed", 1, 4096, 17),
        chunked(
            "dir/sparse",
            vec![hole(1 << 42), chunk(0, 4096), chunk(2, 1), hole(1)],
        ),
        mapped("dir/tape", vec![3, 4]),
        Entry {
            xattrs: xattrs
                .map(|(k, v)| (k.as_bytes().to_vec(), v.to_vec()))
                .into(),
            user: Some("ada".to_owned()),
            group: Some("Größe".to_owned()),
            mtime_ns: -1,
            acl_names: acl_names(),
            ..packed("dir/with attributes", 1, 0, 65_536)
        },
        Entry {
            mtime_ns: i64::MIN,
            uid: u32::MAX,
            ..entry("dir-link", EntryType::Symlink)
        },
        Entry {
            hardlink: Some(*b"hardlink"),
            size: 17,
            ..entry("dir2", EntryType::File)
        },
        Entry {
            path: b"n\xffme\n".to_vec(),
            ..entry("", EntryType::Fifo)
        },
    ]
}

pub(crate) fn map() -> Map {
    let chunk = |ref_idx, len| {
        let key = bytes32(&format!("chunk key {ref_idx}"));
        MapPart::Chunk { ref_idx, len, key }
    };
    Map {
        dom: 2,
        parts: vec![
            chunk(1, 4_194_304),
            MapPart::Hole { len: 1 << 40 },
            chunk(0, 1),
        ],
    }
}

pub(crate) fn children() -> Vec<Child> {
    let child = |first: &str, ref_idx, entries| Child {
        first: first.into(),
        ref_idx,
        entries,
    };
    vec![
        child("etc", 2, 1024),
        child("etc/ssh", 0, 4096),
        child("etc-old", 1, 1),
    ]
}

/// What a backup of `root()` might have left out.
pub(crate) fn left_out() -> LeftOut {
    LeftOut {
        rules: PATTERN_RULES,
        patterns: vec![b"*.tmp".to_vec(), b"!keep\xff.tmp".to_vec()],
        complete: true,
        caches: true,
        one_file_system: false,
        larger_than: Some(500_000_000),
        paths: vec![b"home/ada/film.bin".to_vec(), b"home/ada/.local/x".to_vec()],
    }
}

pub(crate) fn root() -> Root {
    let problem = |path: &[u8], kind, text: &str| Problem {
        path: path.to_vec(),
        kind,
        text: text.to_owned(),
    };
    Root {
        label: "Ada's laptop".to_owned(),
        set: "photos".to_owned(),
        start: 1_800_000_000,
        end: 1_800_000_123,
        tool: "packnback 0.1.0 zstd 1.5.7".to_owned(),
        chunker: 1,
        group: 2,
        paths: vec![b"home/ada".to_vec(), Vec::new()],
        excludes: vec![b"*.tmp".to_vec()],
        problem_count: 1_000_000,
        problems: vec![
            problem(b"run/socket", ProblemKind::Skipped, "socket"),
            problem(
                b"home/ada/\xff",
                ProblemKind::Unreadable,
                "Permission denied",
            ),
            problem(b"x", ProblemKind::Other(200), ""),
        ],
        stats: Stats {
            files: 1,
            dirs: 2,
            others: 3,
            bytes: 4,
            new_objects: 5,
            new_bytes: 6,
        },
        children: children(),
        left: None,
    }
}

// ---- CBOR by hand ----

pub(crate) fn int(n: u64) -> Value {
    Value::Integer(n.into())
}

pub(crate) fn text(s: &str) -> Value {
    Value::Text(s.to_owned())
}

pub(crate) fn blob(b: &[u8]) -> Value {
    Value::Bytes(b.to_vec())
}

pub(crate) fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::Array(items.to_vec())
}

pub(crate) fn encoded(value: &Value) -> Vec<u8> {
    serde_cbor::to_vec(value).unwrap()
}

pub(crate) fn decoded(bytes: &[u8]) -> Value {
    serde_cbor::from_slice(bytes).unwrap()
}

/// The value of a key of a map, for changing it.
pub(crate) fn at(value: &mut Value, key: u64) -> &mut Value {
    let Value::Map(map) = value else {
        panic!("not a map")
    };
    map.entry(int(key)).or_insert(Value::Null)
}

/// Takes a key out of a map.
pub(crate) fn without(value: &mut Value, key: u64) {
    let Value::Map(map) = value else {
        panic!("not a map")
    };
    map.remove(&int(key)).unwrap();
}

/// An item of an array, for changing it.
pub(crate) fn item(value: &mut Value, index: usize) -> &mut Value {
    let Value::Array(items) = value else {
        panic!("not an array")
    };
    &mut items[index]
}
