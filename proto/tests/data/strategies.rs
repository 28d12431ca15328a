//! Random values for the property tests.

use packnback_proto::cbor::Value;
use packnback_proto::format::entry::{AclName, Entry, EntryType, FileData, Part};
use packnback_proto::format::index::Child;
use packnback_proto::format::keyblob::{chunk_count, key_blob_len};
use packnback_proto::format::map::{Map, MapPart};
use packnback_proto::format::path::path_cmp;
use packnback_proto::format::root::{LeftOut, Problem, ProblemKind, Root, Stats};
use packnback_proto::format::segment::Segment;
use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId};
use packnback_proto::record::{Cert, Grant, Op, Order, PolicyArg, Receipt, Scope, Snap};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

/// References and sessions that random trees use.
pub(crate) const N_REFS: usize = 8;
const N_SESSIONS: u32 = 3;

/// Any value our rules allow, but for booleans, which the format does not use.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u64>().prop_map(|n| Value::Integer(n.into())),
        (0u64..300).prop_map(|n| Value::Integer(n.into())),
        any::<i64>().prop_map(|n| Value::Integer(n.into())),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        "\\PC{0,12}".prop_map(Value::Text),
    ];
    // Keys of one type in each map, as the format has them.
    leaf.prop_recursive(4, 64, 6, |inner| {
        let ints = btree_map(
            any::<u16>().prop_map(|n| Value::Integer(n.into())),
            inner.clone(),
            0..6,
        );
        let bytes = vec(any::<u8>(), 0..4).prop_map(Value::Bytes);
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            ints.prop_map(Value::Map),
            btree_map(bytes, inner.clone(), 0..6).prop_map(Value::Map),
            btree_map("\\PC{0,3}".prop_map(Value::Text), inner, 0..6).prop_map(Value::Map),
        ]
    })
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 32]>().prop_map(NodeId)
}

fn record() -> impl Strategy<Value = RecordId> {
    any::<[u8; 32]>().prop_map(RecordId)
}

fn set<T: Ord + std::fmt::Debug>(
    item: impl Strategy<Value = T>,
    least: usize,
) -> impl Strategy<Value = Vec<T>> {
    btree_set(item, least..5).prop_map(|set| set.into_iter().collect())
}

// ---- records; the signer's field is filled in by the test ----

pub(crate) fn cert() -> impl Strategy<Value = Cert> {
    let numbers = (
        any::<u64>(),
        0u64..16,
        0u64..1 << 40,
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
    );
    let rest = (
        0..u32::MAX,
        any::<u32>(),
        vec(any::<u8>(), 0..=256),
        node(),
        node(),
    );
    (numbers, rest).prop_map(|((serial, perms, nbf, quota, daily, snaps), rest)| {
        let (group, epoch, sealed_label, device, recovery) = rest;
        Cert {
            owner: OwnerId([0; 32]),
            device,
            serial,
            perms,
            not_before: nbf,
            expires: nbf + 1 + daily % 1000,
            quota_bytes: quota,
            new_bytes_per_day: daily,
            snaps_per_day: snaps,
            group,
            epoch,
            sealed_label,
            recovery,
        }
    })
}

pub(crate) fn snap() -> impl Strategy<Value = Snap> {
    let ids = (any::<[u8; 32]>(), option::of(record()), any::<[u8; 32]>());
    (ids, any::<[u64; 3]>(), any::<[u8; 16]>()).prop_map(
        |((owner, prev, root), [seq, time, cert_serial], set)| Snap {
            owner: OwnerId(owner),
            device: NodeId([0; 32]),
            seq,
            prev,
            root: ObjectId(root),
            time,
            cert_serial,
            set: SetId(set),
        },
    )
}

pub(crate) fn receipt() -> impl Strategy<Value = Receipt> {
    (record(), option::of(record()), any::<[u64; 5]>()).prop_map(|(snap, log_prev, numbers)| {
        let [received, log_seq, n_objects, bytes, policy_seq] = numbers;
        let host = NodeId([0; 32]);
        Receipt {
            snap,
            host,
            received,
            log_seq,
            log_prev,
            n_objects,
            bytes,
            policy_seq,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let range =
        (node(), 0u64..1 << 40, 1u64..1 << 40, 1u64..).prop_map(|(device, a, n, max_count)| {
            Op::DeleteRange {
                device,
                recv_from: a,
                recv_to: a + n,
                max_count,
            }
        });
    let policy = (
        any::<u64>(),
        option::of(node()),
        0u64..=36_500,
        prop::array::uniform5(0u64..=1_000_000),
        0u64..=1_000_000,
    );
    prop_oneof![
        set(record(), 1).prop_map(Op::DeleteIds),
        range,
        policy.prop_map(
            |(pseq, device, days, keep, keep_last)| Op::Policy(PolicyArg {
                pseq,
                device,
                min_age_d: days,
                keep,
                keep_last,
                grace_d: 36_500 - days,
            })
        ),
        (node(), "\\PC{0,60}").prop_map(|(device, reason)| Op::Revoke { device, reason }),
        set(record(), 1).prop_map(Op::Hold),
        set(record(), 1).prop_map(Op::Unhold),
        set(any::<[u8; 16]>(), 1).prop_map(Op::Cancel),
        (any::<u64>(), set(node(), 0)).prop_map(|(hseq, hosts)| Op::Hosts { hseq, hosts }),
        Just(Op::DropOwner),
    ]
}

pub(crate) fn order() -> impl Strategy<Value = Order> {
    let rest = (any::<[u8; 16]>(), any::<u64>(), option::of(any::<u64>()));
    (op(), set(node(), 1), any::<bool>(), rest).prop_map(|(op, audience, all, rest)| {
        let needs = matches!(op, Op::Policy(_) | Op::DropOwner);
        let (oid, issued, not_before) = rest;
        let audience = (needs || !all).then_some(audience);
        Order {
            owner: OwnerId([0; 32]),
            oid,
            issued,
            audience,
            op,
            not_before,
        }
    })
}

pub(crate) fn grant() -> impl Strategy<Value = Grant> {
    let scope = prop_oneof![
        Just(Scope::All),
        set(node(), 1).prop_map(Scope::Devices),
        set(record(), 1).prop_map(Scope::Snaps),
    ];
    let times = (0u64..1 << 40, 1u64..=30 * 86_400);
    let rest = (
        option::of(set(node(), 1)),
        any::<[u8; 16]>(),
        option::of(any::<u64>()),
        node(),
    );
    (scope, times, rest).prop_map(|(scope, (not_before, life), rest)| {
        let (audience, nonce, max_bytes, reader) = rest;
        let expires = not_before + life;
        let owner = OwnerId([0; 32]);
        Grant {
            owner,
            reader,
            scope,
            not_before,
            expires,
            audience,
            nonce,
            max_bytes,
        }
    })
}

// ---- trees ----

fn path() -> impl Strategy<Value = Vec<u8>> {
    let component = vec(any::<u8>(), 1..6).prop_map(|mut bytes| {
        bytes
            .iter_mut()
            .filter(|b| matches!(**b, 0 | b'/'))
            .for_each(|b| *b = b'_');
        if matches!(bytes.as_slice(), b"." | b"..") {
            b"dots".to_vec()
        } else {
            bytes
        }
    });
    vec(component, 1..4).prop_map(|components| components.join(&b'/'))
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        (0..N_REFS as u32, 1u32..=4 << 20).prop_map(|(ref_idx, len)| Part::Chunk { ref_idx, len }),
        (1u64..1 << 50).prop_map(|len| Part::Hole { len }),
    ]
}

/// Size and data of a regular file.
fn content() -> impl Strategy<Value = (u64, Option<FileData>)> {
    let packed = (0..N_REFS as u32, 0u32..1 << 21, 1u32..1 << 21);
    let chunks = (any::<u32>(), 0..N_SESSIONS, vec(part(), 1..6), any::<u8>());
    prop_oneof![
        Just((0, None)),
        packed.prop_map(|(ref_idx, off, len)| {
            (u64::from(len), Some(FileData::Pack { ref_idx, off, len }))
        }),
        chunks.prop_map(|(dom, ses_idx, parts, fill)| {
            let kb = vec![fill; key_blob_len(chunk_count(&parts))];
            let size = parts.iter().map(Part::len).sum();
            (
                size,
                Some(FileData::Chunks {
                    dom,
                    ses_idx,
                    parts,
                    kb,
                }),
            )
        }),
        (1u64.., vec(0..N_REFS as u32, 1..4))
            .prop_map(|(size, refs)| (size, Some(FileData::Maps { refs }))),
    ]
}

fn kind() -> impl Strategy<Value = EntryType> {
    use EntryType::{Block, Char, Dir, Fifo, File, Symlink};
    prop::sample::select(vec![File, File, File, Dir, Symlink, Fifo, Char, Block])
}

fn acl_names() -> impl Strategy<Value = Vec<AclName>> {
    btree_map(any::<(bool, u32)>(), "\\PC{1,9}", 0..3).prop_map(|names| {
        let named = names.into_iter();
        named
            .map(|((is_group, id), name)| AclName { is_group, id, name })
            .collect()
    })
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let numbers = (
        0u32..=0o7777,
        any::<u32>(),
        any::<u32>(),
        any::<i64>(),
        any::<u64>(),
    );
    let link = vec(1u8..=255, 1..9);
    let xattrs = btree_map(vec(1u8..=255, 1..6), vec(any::<u8>(), 0..6), 0..4);
    let names = (
        option::of("\\PC{1,9}"),
        option::of("\\PC{1,9}"),
        option::of(any::<[u8; 8]>()),
        acl_names(),
    );
    ((path(), kind()), numbers, (link, xattrs), names, content()).prop_map(
        |((path, kind), (mode, uid, gid, mtime_ns, rdev), (link, xattrs), names, content)| {
            let (user, group, hardlink, acl_names) = names;
            let is_file = kind == EntryType::File;
            let (size, data) = if is_file { content } else { (0, None) };
            Entry {
                path,
                kind,
                mode,
                uid,
                gid,
                mtime_ns,
                size,
                link: (kind == EntryType::Symlink).then_some(link),
                xattrs,
                rdev: matches!(kind, EntryType::Char | EntryType::Block).then_some(rdev),
                hardlink: hardlink.filter(|_| kind != EntryType::Dir),
                data,
                user,
                group,
                acl_names,
            }
        },
    )
}

pub(crate) fn segment() -> impl Strategy<Value = Segment> {
    let sessions = vec((any::<[u8; 32]>(), any::<u32>()), N_SESSIONS as usize);
    (sessions, vec(entry(), 1..8)).prop_map(|(sessions, mut entries)| {
        entries.sort_by(|a, b| path_cmp(&a.path, &b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        Segment { sessions, entries }
    })
}

pub(crate) fn map() -> impl Strategy<Value = Map> {
    let part = (part(), any::<[u8; 32]>()).prop_map(|(part, key)| match part {
        Part::Chunk { ref_idx, len } => MapPart::Chunk { ref_idx, len, key },
        Part::Hole { len } => MapPart::Hole { len },
    });
    (any::<u32>(), vec(part, 1..9)).prop_map(|(dom, parts)| Map { dom, parts })
}

pub(crate) fn children(least: usize) -> impl Strategy<Value = Vec<Child>> {
    let child = (path(), 0..N_REFS as u32, 1u64..).prop_map(|(first, ref_idx, entries)| Child {
        first,
        ref_idx,
        entries,
    });
    vec(child, least..8).prop_map(|mut children| {
        children.sort_by(|a, b| path_cmp(&a.first, &b.first));
        children.dedup_by(|a, b| a.first == b.first);
        children
    })
}

fn left_out() -> impl Strategy<Value = LeftOut> {
    let lists = (vec(vec(any::<u8>(), 0..9), 0..4), vec(path(), 0..4));
    (lists, any::<(u32, [bool; 3])>(), option::of(any::<u64>())).prop_map(
        |((patterns, paths), (rules, [complete, caches, one_file_system]), larger_than)| LeftOut {
            rules,
            patterns,
            complete,
            caches,
            one_file_system,
            larger_than,
            paths,
        },
    )
}

pub(crate) fn root() -> impl Strategy<Value = Root> {
    let problem = (vec(any::<u8>(), 0..9), 5u8.., "\\PC{0,9}");
    let problem = problem.prop_map(|(path, kind, text)| Problem {
        path,
        kind: ProblemKind::Other(kind),
        text,
    });
    let texts = (
        "\\PC{0,20}",
        "\\PC{0,20}",
        any::<[u64; 8]>(),
        0..u32::MAX,
        1u32..,
    );
    let lists = (
        vec(path(), 0..4),
        vec(vec(any::<u8>(), 0..9), 0..4),
        vec(problem, 0..4),
        ("\\PC{0,20}", option::of(left_out())),
    );
    (texts, lists, children(0)).prop_map(|(texts, lists, children)| {
        let (paths, excludes, problems, (set, left)) = lists;
        let (label, tool, [start, end, count, a, b, c, d, e], group, chunker) = texts;
        Root {
            label,
            start,
            end,
            tool,
            chunker,
            group,
            paths,
            excludes,
            problem_count: count | 7,
            problems,
            stats: Stats {
                files: a,
                dirs: b,
                others: c,
                bytes: d,
                new_objects: e,
                new_bytes: a,
            },
            children,
            set,
            left,
        }
    })
}
