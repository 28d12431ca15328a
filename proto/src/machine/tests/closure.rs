#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;

use proptest::prelude::*;

use super::super::closure::{Closure, Seen, Shelf, check};
use crate::ids::ObjectId;

/// A tree: id byte -> height, complete bit, references.
#[derive(Debug, Clone, Default)]
struct Tree(BTreeMap<u8, (u8, bool, Vec<u8>)>);

impl Shelf for Tree {
    type Error = Infallible;

    fn look(&self, id: &ObjectId) -> Result<Option<Seen>, Infallible> {
        let seen = |(height, complete, _): &(u8, bool, Vec<u8>)| Seen {
            height: *height,
            complete: *complete,
        };
        Ok(self.0.get(&id.0[0]).map(seen))
    }

    fn refs(&self, id: &ObjectId) -> Result<Vec<ObjectId>, Infallible> {
        Ok(self.0[&id.0[0]].2.iter().map(|byte| oid(*byte)).collect())
    }
}

fn oid(byte: u8) -> ObjectId {
    ObjectId([byte; 32])
}

fn tree(rows: &[(u8, u8, bool, &[u8])]) -> Tree {
    Tree(
        rows.iter()
            .map(|(id, height, done, refs)| (*id, (*height, *done, refs.to_vec())))
            .collect(),
    )
}

#[test]
fn n02_closure_names_what_is_missing() {
    let full: &[(u8, u8, bool, &[u8])] = &[
        (1, 8, false, &[2, 3]),
        (2, 2, false, &[4, 5]),
        (3, 2, false, &[5, 6]),
        (4, 0, false, &[]),
        (5, 0, false, &[]),
        (6, 1, false, &[4]),
    ];
    let verdict = check(&tree(full), &oid(1), 10).unwrap();
    assert_eq!(
        verdict,
        Closure::Complete(vec![oid(2), oid(6), oid(3), oid(1)])
    );
    for gone in 1..=6 {
        let rest: Vec<_> = full.iter().filter(|row| row.0 != gone).copied().collect();
        let verdict = check(&tree(&rest), &oid(1), 10).unwrap();
        assert_eq!(verdict, Closure::Missing(vec![oid(gone)]));
    }
    let alone = tree(&full[..1]);
    assert_eq!(
        check(&alone, &oid(1), 1).unwrap(),
        Closure::Missing(vec![oid(2)])
    );
    assert_eq!(
        check(&alone, &oid(1), 2).unwrap(),
        Closure::Missing(vec![oid(2), oid(3)])
    );
}

#[test]
fn n02_complete_nodes_are_trusted_and_not_descended() {
    let shelf = tree(&[(1, 8, false, &[2]), (2, 2, true, &[99])]);
    assert_eq!(
        check(&shelf, &oid(1), 9).unwrap(),
        Closure::Complete(vec![oid(1)])
    );
}

#[test]
fn n02_a_child_that_is_not_lower_is_refused() {
    for height in [2, 3] {
        let shelf = tree(&[(1, 2, false, &[2]), (2, height, true, &[])]);
        let verdict = check(&shelf, &oid(1), 9).unwrap();
        assert_eq!(
            verdict,
            Closure::NotLower {
                node: oid(1),
                child: oid(2)
            }
        );
    }
    let itself = tree(&[(1, 2, false, &[1])]);
    assert!(matches!(
        check(&itself, &oid(1), 9).unwrap(),
        Closure::NotLower { .. }
    ));
}

fn reachable(tree: &Tree, id: u8, seen: &mut HashSet<u8>) -> bool {
    let Some((_, _, refs)) = tree.0.get(&id) else {
        return false;
    };
    let mut whole = true;
    if seen.insert(id) {
        for child in refs {
            whole &= reachable(tree, *child, seen);
        }
    }
    whole
}

proptest! {
    /// Against the naive walk: any tree, any objects gone.
    #[test]
    fn n02_closure_agrees_with_the_naive_walk(
        links in proptest::collection::vec((0u8..40, 0u8..40), 0..120),
        gone in proptest::collection::hash_set(0u8..40, 0..4),
    ) {
        let mut shelf = Tree::default();
        for id in 0..40u8 {
            shelf.0.insert(id, (id / 5, false, vec![]));
        }
        for (parent, child) in links {
            let node = shelf.0.get_mut(&parent).unwrap();
            if child / 5 < node.0 && !node.2.contains(&child) {
                node.2.push(child);
            }
        }
        shelf.0.retain(|id, _| !gone.contains(id) || *id == 39);
        let mut seen = HashSet::new();
        let mut whole = reachable(&shelf, 39, &mut seen);
        whole &= seen.iter().all(|id| shelf.0[id].2.iter().all(|child| shelf.0.contains_key(child)));
        match check(&shelf, &oid(39), usize::MAX).unwrap() {
            Closure::Complete(done) => {
                prop_assert!(whole);
                let nodes: HashSet<u8> = seen.into_iter().filter(|id| shelf.0[id].0 > 0).collect();
                prop_assert_eq!(done.iter().map(|id| id.0[0]).collect::<HashSet<_>>(), nodes);
                for (at, id) in done.iter().enumerate() {
                    for child in &shelf.0[&id.0[0]].2 {
                        let below = &shelf.0[child];
                        prop_assert!(below.0 == 0 || done[..at].contains(&oid(*child)));
                    }
                }
            }
            Closure::Missing(missing) => {
                prop_assert!(!whole && !missing.is_empty());
                prop_assert!(missing.iter().all(|id| gone.contains(&id.0[0])));
            }
            Closure::NotLower { .. } => prop_assert!(false),
        }
    }
}
