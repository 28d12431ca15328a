//! Maps, indexes and roots: what comes back, what is refused, and at which limit.

use packnback_proto::cbor::CborError;
use packnback_proto::format::entry::{DOM_PRIVATE, EntryType};
use packnback_proto::format::index::Child;
use packnback_proto::format::map::{Map, MapPart};
use packnback_proto::format::path::PathError;
use packnback_proto::format::payload::PayloadError;
use packnback_proto::format::root::{LeftOut, Problem, ProblemKind, Root};
use packnback_proto::format::{index, map as maps, root as roots};
use packnback_proto::limits::*;
use proptest::prelude::*;

use crate::strategies::{self, N_REFS};
use crate::support::*;
use crate::trees::segment_of;

#[test]
fn maps_have_limits() {
    let with = |parts| {
        maps::encode(&Map {
            dom: DOM_PRIVATE,
            parts,
        })
    };
    let part = |len| MapPart::Chunk {
        ref_idx: 0,
        len,
        key: [1; 32],
    };
    let bytes = maps::encode(&map()).unwrap();
    assert_eq!(maps::decode(&bytes, 2).unwrap(), map());
    assert_eq!(maps::decode(&bytes, 1), Err(PayloadError::Reference(1)));
    assert_eq!(map().file_len(), 4_194_304 + (1 << 40) + 1);
    for (n, ok) in [
        (0, false),
        (1, true),
        (4095, true),
        (4096, true),
        (4097, false),
    ] {
        assert_eq!(with(vec![part(1); n]).is_ok(), ok, "{n}");
    }
    for bad in [
        part(0),
        part(CHUNK_MAX as u32 + 1),
        MapPart::Hole { len: 0 },
    ] {
        assert_eq!(with(vec![bad]), Err(PayloadError::Field("part")));
    }
    let overflow = vec![MapPart::Hole { len: u64::MAX }, part(1)];
    assert_eq!(with(overflow), Err(PayloadError::Size));
    assert!(!format!("{:?}", map()).contains("key"), "keys do not show");
    let mut value = decoded(&bytes);
    *item(item(item(&mut value, 1), 0), 2) = blob(&[0; 31]);
    assert_eq!(
        maps::decode(&encoded(&value), 2).unwrap_err().class(),
        "cbor-out-of-range"
    );
    let mut value = decoded(&bytes);
    *item(item(&mut value, 1), 1) = list([int(0), int(1)]);
    assert_eq!(
        maps::decode(&encoded(&value), 2).unwrap_err().class(),
        "cbor-out-of-range"
    );
}

#[test]
fn children_are_what_the_parent_says() {
    let bytes = index::encode(&children()).unwrap();
    assert_eq!(index::decode(&bytes, 3).unwrap(), children());
    assert_eq!(index::decode(&bytes, 2), Err(PayloadError::Reference(2)));
    let child = |first: &str, entries| Child {
        first: first.into(),
        ref_idx: 0,
        entries,
    };
    let encode = |children: &[Child]| index::encode(children).map(drop);
    assert_eq!(encode(&[]), Err(PayloadError::Limit("children")));
    assert_eq!(
        encode(&[child("a", 0)]),
        Err(PayloadError::Field("children"))
    );
    assert_eq!(
        encode(&[child("../a", 1)]),
        Err(PayloadError::Path(PathError::Dots))
    );
    assert_eq!(
        encode(&[child("b", 1), child("a", 1)]),
        Err(PayloadError::PathOrder)
    );
    assert_eq!(
        encode(&[child("a", 1), child("a", 1)]),
        Err(PayloadError::PathOrder)
    );
    for (n, ok) in [
        (INDEX_ENTRIES_MAX - 1, true),
        (INDEX_ENTRIES_MAX, true),
        (INDEX_ENTRIES_MAX + 1, false),
    ] {
        let many: Vec<_> = (0..n).map(|i| child(&format!("{i:06}"), 1)).collect();
        assert_eq!(encode(&many).is_ok(), ok, "{n}");
    }
    let segment = segment_of(vec![entry("a", EntryType::Dir), entry("b", EntryType::Dir)]);
    assert_eq!(child("a", 2).check_segment(&segment), Ok(()));
    assert_eq!(
        child("a", 1).check_segment(&segment),
        Err(PayloadError::Child)
    );
    assert_eq!(
        child("b", 2).check_segment(&segment),
        Err(PayloadError::Child)
    );
    assert_eq!(child("etc", 5121).check_index(&children()), Ok(()));
    assert_eq!(
        child("etc", 3).check_index(&children()),
        Err(PayloadError::Child)
    );
    let overflow = [child("a", u64::MAX), child("b", 1)];
    assert_eq!(
        child("a", 0).check_index(&overflow),
        Err(PayloadError::Child)
    );
    assert_eq!(index::child_len(&child("a", 24)), 6);
}

fn problem(path: usize, text: usize) -> Problem {
    Problem {
        path: vec![0; path],
        kind: ProblemKind::Vanished,
        text: "x".repeat(text),
    }
}

fn left(root: &mut Root) -> &mut LeftOut {
    root.left.get_or_insert_with(left_out)
}

#[test]
fn what_was_left_out_is_told_or_is_not() {
    let mut value = root();
    for (flags, (complete, caches, one_file_system)) in [
        (0, (false, false, false)),
        (1, (true, false, false)),
        (2, (false, true, false)),
        (4, (false, false, true)),
    ] {
        let told = LeftOut {
            complete,
            caches,
            one_file_system,
            larger_than: None,
            ..left_out()
        };
        value.left = Some(told);
        let bytes = roots::encode(&value).unwrap();
        assert_eq!(roots::decode(&bytes, 3).unwrap(), value);
        assert_eq!(*item(at(&mut decoded(&bytes), 13), 2), int(flags));
    }
    let bytes = roots::encode(&value).unwrap();
    let mut unknown = decoded(&bytes);
    *item(at(&mut unknown, 13), 2) = int(8);
    let error = roots::decode(&encoded(&unknown), 3).unwrap_err();
    assert_eq!(error, PayloadError::Field("left out"));
}

#[test]
fn roots_have_limits() {
    let bytes = roots::encode(&root()).unwrap();
    assert_eq!(roots::decode(&bytes, 3).unwrap(), root());
    assert_eq!(roots::decode(&bytes, 2), Err(PayloadError::Reference(2)));
    let ok = |change: &dyn Fn(&mut Root)| {
        let mut value = root();
        change(&mut value);
        roots::encode(&value).is_ok()
    };
    type Fill = fn(&mut Root, usize);
    let cases: [(usize, Fill); 10] = [
        (ROOT_LABEL_MAX, |r, n| r.label = "x".repeat(n)),
        (ROOT_TOOL_MAX, |r, n| r.tool = "x".repeat(n)),
        (SET_NAME_MAX, |r, n| r.set = "x".repeat(n)),
        (ROOT_PATHS_MAX, |r, n| r.paths = vec![b"p".to_vec(); n]),
        (PATH_LEN_MAX, |r, n| r.paths = vec![vec![b'p'; n]]),
        (ROOT_EXCLUDES_MAX, |r, n| r.excludes = vec![vec![]; n]),
        (EXCLUDE_LEN_MAX, |r, n| r.excludes = vec![vec![0; n]]),
        (ROOT_PROBLEMS_MAX, |r, n| {
            r.problems = vec![problem(1, 1); n]
        }),
        (PATH_LEN_MAX, |r, n| r.problems = vec![problem(n, 0)]),
        (PROBLEM_TEXT_MAX, |r, n| r.problems = vec![problem(0, n)]),
    ];
    for (max, with) in cases {
        for n in [max - 1, max, max + 1] {
            assert_eq!(ok(&|r| with(r, n)), n <= max, "{n} of {max}");
        }
    }
    let cases: [(usize, Fill); 5] = [
        (ROOT_EXCLUDES_MAX, |r, n| left(r).patterns = vec![vec![]; n]),
        (EXCLUDE_LEN_MAX, |r, n| left(r).patterns = vec![vec![0; n]]),
        (ROOT_LEFT_PATHS_MAX, |r, n| {
            left(r).paths = vec![b"p".to_vec(); n]
        }),
        (PATH_LEN_MAX, |r, n| left(r).paths = vec![vec![b'p'; n]]),
        (ROOT_LEFT_BYTES_MAX, |r, n| {
            let whole = n / PATH_LEN_MAX;
            left(r).paths = vec![vec![b'p'; PATH_LEN_MAX]; whole];
            let rest = n - whole * PATH_LEN_MAX;
            left(r).paths.extend((rest > 0).then(|| vec![b'p'; rest]));
        }),
    ];
    for (max, with) in cases {
        for n in [max - 1, max, max + 1] {
            assert_eq!(ok(&|r| with(r, n)), n <= max, "{n} of {max} left out");
        }
    }
    assert!(!ok(&|r| left(r).paths = vec![b"/etc".to_vec()]));
    assert!(ok(&|r| r.children.clear()), "an empty backup");
    assert!(!ok(&|r| r.problem_count = 2), "fewer than are listed");
    assert!(!ok(&|r| r.group = DOM_PRIVATE));
    assert!(!ok(&|r| r.chunker = 0));
    assert!(!ok(&|r| r.paths = vec![b"/etc".to_vec()]));
}

#[test]
fn roots_have_all_their_keys_and_no_others() {
    let bytes = roots::encode(&root()).unwrap();
    for key in 1..=12 {
        let mut value = decoded(&bytes);
        without(&mut value, key);
        let error = roots::decode(&encoded(&value), 3).unwrap_err();
        assert_eq!(error, PayloadError::Cbor(CborError::MissingKey(key)));
    }
    for key in [0, 14] {
        let mut value = decoded(&bytes);
        *at(&mut value, key) = int(0);
        let error = roots::decode(&encoded(&value), 3).unwrap_err();
        assert_eq!(error, PayloadError::Cbor(CborError::UnknownKey(key)));
    }
}

proptest! {
    #[test]
    fn maps_indexes_and_roots_come_back_and_the_twin_agrees(
        map in strategies::map(),
        children in strategies::children(1),
        root in strategies::root(),
    ) {
        let bytes = maps::encode(&map).unwrap();
        prop_assert_eq!(maps::decode(&bytes, N_REFS).unwrap(), map);
        prop_assert_eq!(encoded(&decoded(&bytes)), bytes);
        let bytes = index::encode(&children).unwrap();
        prop_assert_eq!(index::decode(&bytes, N_REFS).unwrap(), children);
        prop_assert_eq!(encoded(&decoded(&bytes)), bytes);
        let bytes = roots::encode(&root).unwrap();
        prop_assert_eq!(roots::decode(&bytes, N_REFS).unwrap(), root);
        prop_assert_eq!(encoded(&decoded(&bytes)), bytes);
    }
}
