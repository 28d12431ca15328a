//! The reading room against a twin that holds the whole tree in memory.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use packnback_proto::ids::ObjectId;
use proptest::prelude::*;

use super::build::{Bit, Built, Shape, Way, What, bytes_of};
use crate::fs::{is_at_or_below, path_cmp, split_parent};
use crate::snapshot::{Fault, Layout, Node, Piece, Place, Snapshot};

/// Names that sit close together in the order of paths.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let names: [&[u8]; 8] = [b"a", b"ab", b"a\x01", b"a-", b"b", b"\x01", b"\xff", b"c"];
    prop::sample::select(names.map(<[u8]>::to_vec).to_vec())
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(name(), 1..5).prop_map(|names| names.join(&b'/'))
}

fn what() -> impl Strategy<Value = What> {
    let bit = (1..3000u64, prop::option::weighted(0.8, 0..4u8));
    let way = prop_oneof![Just(Way::Pack), Just(Way::Inline), Just(Way::Maps)];
    prop::option::weighted(0.7, (way, prop::collection::vec(bit, 0..9)))
}

pub(super) fn shape() -> impl Strategy<Value = Shape> {
    let paths = prop::collection::btree_map(path(), what(), 1..40);
    (paths, 1..6usize, 0..4u8).prop_map(|(mut paths, wide, deep)| {
        let named: Vec<Vec<u8>> = paths.keys().cloned().collect();
        for path in named {
            let mut above = split_parent(&path).0;
            while !above.is_empty() {
                paths.insert(above.to_vec(), None);
                above = split_parent(above).0;
            }
        }
        Shape { paths, wide, deep }
    })
}

fn paths(nodes: impl Iterator<Item = Result<Node, Fault>>) -> Vec<Vec<u8>> {
    nodes.map(|node| node.unwrap().entry.path).collect()
}

/// A few megabytes would hide what is put down: this is next to nothing.
fn open(built: &Built, kept: usize) -> Snapshot<'_> {
    Snapshot::open(built, &built.keys, &built.snapshot)
        .unwrap()
        .keeping(kept)
}

fn check_entries(built: &Built, open: &Snapshot<'_>, from: &[u8]) {
    let all = || built.twin.iter().map(|(path, _)| path);
    let not_before = |path: &&Vec<u8>| path_cmp(path, from) != Ordering::Less;
    let expected: Vec<Vec<u8>> = all().filter(not_before).cloned().collect();
    assert_eq!(paths(open.entries(from)), expected, "from {from:?}");
    let below = |path: &&Vec<u8>| is_at_or_below(path, from);
    let expected: Vec<Vec<u8>> = all().filter(below).cloned().collect();
    assert_eq!(paths(open.below(from)), expected, "below {from:?}");
    let there = all().any(|path| path == from);
    assert_eq!(open.lookup(from).unwrap().is_some(), there, "{from:?}");
    let inside = |path: &&Vec<u8>| split_parent(path).0 == from && path.as_slice() != from;
    let expected: Vec<Vec<u8>> = all().filter(inside).cloned().collect();
    assert_eq!(paths(open.read_dir(from)), expected, "in {from:?}");
}

fn check_content(built: &Built, open: &Snapshot<'_>, reads: &[(u64, usize)]) {
    for (path, content) in &built.twin {
        let Some(content) = content else { continue };
        let node = open.lookup(path).unwrap().unwrap();
        let file = open.file(&node).unwrap();
        assert_eq!(file.size(), content.len() as u64);
        // From front to back, as who reads on does, and anywhere.
        let on = (0..10u64).map(|n| (n * 701, 701));
        for (offset, len) in on.chain(reads.iter().copied()) {
            let mut buf = vec![0xaa; len];
            let read = open.read_at(&file, offset, &mut buf).unwrap();
            let start = content.len().min(offset as usize);
            let end = content.len().min(start + len);
            assert_eq!(buf[..read], content[start..end], "{path:?} at {offset}");
            assert!(
                buf[read..].iter().all(|byte| *byte == 0xaa),
                "beyond the end"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_path_and_every_folder_is_as_in_the_twin(
        shape in shape(), other in path(), kept in prop_oneof![Just(1usize), Just(4000), Just(1 << 20)],
    ) {
        let built = Built::new(&shape);
        let open = open(&built, kept);
        check_entries(&built, &open, &[]);
        check_entries(&built, &open, &other);
        for (path, _) in &built.twin {
            check_entries(&built, &open, path);
        }
    }

    #[test]
    fn every_byte_is_as_in_the_twin(
        shape in shape(),
        reads in prop::collection::vec((0..20_000u64, 0..5000usize), 1..8),
        kept in prop_oneof![Just(1usize), Just(4000), Just(1 << 20)],
    ) {
        let built = Built::new(&shape);
        check_content(&built, &open(&built, kept), &reads);
    }

    /// A lost segment is an error in its place, and only there.
    #[test]
    fn what_is_lost_is_told_and_the_rest_is_as_in_the_twin(shape in shape(), which: prop::sample::Index) {
        let mut built = Built::new(&shape);
        let at = which.index(built.segments.len());
        built.objects.remove(&built.segments[at]);
        let open = open(&built, 1 << 20);
        let lost = at * shape.wide..(at + 1) * shape.wide;
        let mut expected: Vec<Vec<u8>> = built.twin.iter().map(|(path, _)| path.clone()).collect();
        let end = lost.end.min(expected.len());
        let gone: Vec<Vec<u8>> = expected.drain(lost.start..end).collect();
        let (mut found, mut faults) = (Vec::new(), 0);
        for node in open.entries(&[]) {
            match node {
                Ok(node) => found.push(node.entry.path),
                Err(Fault::Missing(_)) => faults += 1,
                Err(fault) => panic!("{fault}"),
            }
        }
        prop_assert_eq!((&found, faults), (&expected, 1));
        for path in &gone {
            prop_assert!(matches!(open.lookup(path), Err(Fault::Missing(_))), "{:?}", path);
        }
        for path in &expected {
            prop_assert!(open.lookup(path).unwrap().is_some(), "{:?}", path);
        }
    }
}

fn one_file(bits: Vec<Bit>, way: Way) -> Built {
    let paths = BTreeMap::from([(b"a".to_vec(), None), (b"a/f".to_vec(), Some((way, bits)))]);
    Built::new(&Shape {
        paths,
        wide: 3,
        deep: 0,
    })
}

#[test]
fn only_so_many_bytes_are_kept_and_read_ahead() {
    let bits: Vec<Bit> = (0..40).map(|n| (10_000 + n, Some(n as u8))).collect();
    for way in [Way::Inline, Way::Maps] {
        let built = one_file(bits.clone(), way);
        let open = open(&built, 50_000);
        let node = open.lookup(b"a/f").unwrap().unwrap();
        let file = open.file(&node).unwrap();
        let mut buf = [0; 1000];
        let mut at = 0;
        while at < file.size() {
            let read = file.read_at(at, &mut buf).unwrap();
            at += read as u64;
            assert!(
                open.cache.used() <= 50_000 + 4 * 160,
                "{}",
                open.cache.used()
            );
        }
    }
}

#[test]
fn a_chunk_under_another_key_is_not_the_one_that_is_kept() {
    let built = one_file(vec![(500, Some(1)), (600, Some(2))], Way::Inline);
    let open = open(&built, 1 << 20);
    let node = open.lookup(b"a/f").unwrap().unwrap();
    let layout = Layout::of(&built.keys, node.entry.data.as_ref(), &node.tables).unwrap();
    let Layout::Inline(stretch) = layout else {
        panic!("inline")
    };
    let [Piece::Chunk(first), Piece::Chunk(second)] = &stretch.pieces[..] else {
        panic!("two")
    };
    let right = open.chunk(first).unwrap();
    assert_eq!(right.bytes(), bytes_of((500, Some(1))));
    let other_key = Place {
        k: second.k.duplicate(),
        ..first.duplicate()
    };
    let other_ck = Place {
        ck: Arc::new(second.k.duplicate()),
        ..first.duplicate()
    };
    let longer = Place {
        len: 501,
        ..first.duplicate()
    };
    for place in [other_key, other_ck, longer] {
        assert!(matches!(open.chunk(&place), Err(Fault::Bad(id, _)) if id == first.id));
    }
}

/// Every bit that flips anywhere is found, and nothing else is said instead.
#[test]
fn no_byte_is_believed_that_is_not_at_its_address() {
    let built = one_file(vec![(700, Some(1)), (50, None), (900, Some(2))], Way::Maps);
    let ids: Vec<ObjectId> = built.objects.keys().copied().collect();
    for id in ids {
        let mut built = one_file(vec![(700, Some(1)), (50, None), (900, Some(2))], Way::Maps);
        let bytes = built.objects.get_mut(&id).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let read = Snapshot::open(&built, &built.keys, &built.snapshot).and_then(|open| {
            let node = open.lookup(b"a/f")?.unwrap();
            let mut buf = vec![0; 2000];
            open.file(&node)?.read_at(0, &mut buf)
        });
        assert!(
            matches!(read, Err(Fault::Bad(bad, _)) if bad == id),
            "{id:?}"
        );
    }
}
