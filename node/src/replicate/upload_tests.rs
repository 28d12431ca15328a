//! Uploads against a model host that checks what a real one checks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::ObjectId;
use proptest::prelude::*;

use super::source::Shape;
use super::upload::{Action, Left, Reply, Shapes, Upload, UploadError};
use crate::ports::Failure;

#[derive(Debug, Clone, Default)]
struct Tree(BTreeMap<ObjectId, Shape>);

impl Shapes for &Tree {
    fn shape(&mut self, id: &ObjectId) -> Result<Option<Shape>, Failure> {
        Ok(self.0.get(id).cloned())
    }
}

fn id(height: u8, n: usize) -> ObjectId {
    let mut bytes = [height; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
    ObjectId(bytes)
}

impl Tree {
    fn add(&mut self, height: u8, n: usize, refs: Vec<ObjectId>) -> ObjectId {
        let id = id(height, n);
        self.0.insert(
            id,
            Shape {
                len: 1000 + n as u64,
                height,
                refs,
            },
        );
        id
    }

    /// `wide[0]` leaves, then nodes of each height that refer to earlier ones by `pick`.
    fn random(wide: &[usize], picks: &[usize]) -> (Self, ObjectId) {
        let mut tree = Self::default();
        let mut all: Vec<ObjectId> = (0..wide[0]).map(|n| tree.add(0, n, Vec::new())).collect();
        let mut picks = picks.iter().cycle();
        for (height, count) in wide.iter().enumerate().skip(1) {
            let below = all.clone();
            for n in 0..*count {
                let refs: BTreeSet<_> = (0..4)
                    .map(|_| below[picks.next().unwrap() % below.len()])
                    .collect();
                all.push(tree.add(height as u8, n, refs.into_iter().collect()));
            }
        }
        let tops = all.iter().rev().take(6).copied().collect::<BTreeSet<_>>();
        let root = tree.add(9, 0, tops.into_iter().collect());
        (tree, root)
    }

    fn closure(&self, root: ObjectId) -> BTreeSet<ObjectId> {
        let (mut all, mut todo) = (BTreeSet::new(), vec![root]);
        while let Some(id) = todo.pop() {
            if all.insert(id) {
                todo.extend(&self.0[&id].refs);
            }
        }
        all
    }
}

#[derive(Debug, Default)]
struct Host {
    stored: BTreeSet<ObjectId>,
    puts: Vec<ObjectId>,
    syncs: usize,
    /// Objects it loses once, just before the first commit.
    loses: BTreeSet<ObjectId>,
}

impl Host {
    fn is_complete(&self, tree: &Tree, id: ObjectId) -> bool {
        tree.closure(id).is_subset(&self.stored)
    }

    fn act(&mut self, tree: &Tree, root: ObjectId, action: Action) -> Option<Reply> {
        match action {
            Action::Have(ids) => Some(Reply::Bitmap(
                ids.iter().map(|id| self.is_complete(tree, *id)).collect(),
            )),
            Action::Put { id, len } => {
                assert_eq!(len, tree.0[&id].len);
                self.puts.push(id);
                self.stored.insert(id);
                None
            }
            Action::Sync => {
                self.syncs += 1;
                Some(Reply::Synced)
            }
            Action::Commit => {
                let lost = std::mem::take(&mut self.loses);
                self.stored.retain(|id| !lost.contains(id));
                let all = tree.closure(root);
                let missing: Vec<_> = all.difference(&self.stored).copied().collect();
                Some(if missing.is_empty() {
                    Reply::Committed
                } else {
                    Reply::Missing(missing)
                })
            }
            Action::Wait | Action::Done => unreachable!(),
        }
    }
}

/// Runs until done, or breaks after `stop` actions. Answers arrive only when waited for.
fn run(tree: &Tree, root: ObjectId, host: &mut Host, stop: usize) -> Result<bool, UploadError> {
    let (mut upload, mut replies) = (Upload::new(root), std::collections::VecDeque::new());
    for _ in 0..stop {
        match upload.next(&mut &*tree)? {
            Action::Done => {
                assert_eq!(upload.left(), Left::default());
                return Ok(true);
            }
            Action::Wait => {
                let reply = replies.pop_front().expect("waits only for what was asked");
                upload.on_reply(reply, &mut &*tree)?;
            }
            action => replies.extend(host.act(tree, root, action)),
        }
        assert!(replies.len() <= 2, "questions in flight are bounded");
    }
    Ok(false)
}

fn small() -> (Tree, ObjectId) {
    Tree::random(&[20, 3, 4, 2], &[3, 1, 4, 15, 9, 2, 6, 5, 35, 8, 97])
}

#[test]
fn an_empty_host_gets_everything_once_and_children_first() {
    let (tree, root) = small();
    let mut host = Host::default();
    assert!(run(&tree, root, &mut host, 10_000).unwrap());
    assert_eq!(host.stored, tree.closure(root));
    assert_eq!(host.puts.len(), host.stored.len());
    let place = |id: &ObjectId| host.puts.iter().position(|put| put == id).unwrap();
    for id in &host.puts {
        assert!(tree.0[id].refs.iter().all(|child| place(child) < place(id)));
    }
}

#[test]
fn a_host_that_has_it_is_only_asked() {
    let (tree, root) = small();
    let mut host = Host {
        stored: tree.closure(root),
        ..Host::default()
    };
    assert!(run(&tree, root, &mut host, 5).unwrap());
    assert!(host.puts.is_empty());
}

#[test]
fn a_second_snapshot_costs_only_the_difference() {
    let (mut tree, root) = small();
    let mut host = Host {
        stored: tree.closure(root),
        ..Host::default()
    };
    let leaf = tree.add(0, 500, Vec::new());
    let old = tree.0[&root].refs[0];
    let mut refs = vec![leaf, old];
    refs.sort();
    let segment = tree.add(8, 500, refs);
    let second = tree.add(9, 1, vec![segment]);
    assert!(run(&tree, second, &mut host, 100).unwrap());
    assert_eq!(host.puts, vec![leaf, segment, second]);
}

#[test]
fn what_the_host_loses_before_the_commit_is_sent_again() {
    let (tree, root) = small();
    let loses = tree.closure(root).into_iter().step_by(3).collect();
    let mut host = Host {
        loses,
        ..Host::default()
    };
    assert!(run(&tree, root, &mut host, 10_000).unwrap());
    assert_eq!(host.stored, tree.closure(root));
}

#[test]
fn a_host_that_never_has_enough_is_given_up() {
    let (tree, root) = small();
    let mut upload = Upload::new(root);
    let mut host = Host {
        stored: tree.closure(root),
        ..Host::default()
    };
    let mut reply = None;
    let error = loop {
        match upload.next(&mut &tree).unwrap() {
            Action::Wait => {
                let reply = match reply.take().unwrap() {
                    Reply::Committed => Reply::Missing(vec![root]),
                    other => other,
                };
                if let Err(error) = upload.on_reply(reply, &mut &tree) {
                    break error;
                }
            }
            action => reply = host.act(&tree, root, action).or(reply),
        }
    };
    assert_eq!(error, UploadError::Hopeless);
}

#[test]
fn a_hole_in_the_local_store_is_an_error_and_nothing_above_it_is_sent() {
    let (mut tree, root) = small();
    let victim = *tree
        .closure(root)
        .iter()
        .find(|id| tree.0[id].height == 0)
        .unwrap();
    let full = tree.clone();
    tree.0.remove(&victim);
    let mut host = Host::default();
    let (mut upload, mut reply) = (Upload::new(root), None);
    let error = loop {
        match upload.next(&mut &tree) {
            Ok(Action::Wait) => {
                if let Err(error) = upload.on_reply(reply.take().unwrap(), &mut &tree) {
                    break error;
                }
            }
            Ok(action) => reply = host.act(&full, root, action).or(reply),
            Err(error) => break error,
        }
    };
    assert_eq!(error, UploadError::NotHere(victim));
    assert!(host.puts.is_empty());
}

#[test]
fn answers_out_of_place_are_refused() {
    let (tree, root) = small();
    for wrong in [
        Reply::Synced,
        Reply::Committed,
        Reply::Bitmap(vec![true, true]),
    ] {
        let mut upload = Upload::new(root);
        assert_eq!(upload.next(&mut &tree).unwrap(), Action::Have(vec![root]));
        let error = upload.on_reply(wrong, &mut &tree).unwrap_err();
        assert!(matches!(error, UploadError::Protocol(_)));
    }
}

#[test]
fn large_uploads_are_synced_on_the_way() {
    let mut tree = Tree::default();
    let leaves: Vec<_> = (0..50).map(|n| tree.add(0, n, Vec::new())).collect();
    for leaf in &leaves {
        tree.0.get_mut(leaf).unwrap().len = 4 << 20;
    }
    let root = tree.add(9, 0, leaves);
    let mut host = Host::default();
    assert!(run(&tree, root, &mut host, 10_000).unwrap());
    // 200 MiB in steps of 64 MiB, and the rest.
    assert_eq!(host.syncs, 4);
}

proptest! {
    /// However often it breaks, each attempt starts where the last one ended.
    #[test]
    fn broken_uploads_resume_and_end(
        wide in proptest::collection::vec(1usize..12, 3..7),
        picks in proptest::collection::vec(0usize..1000, 40),
        stops in proptest::collection::vec(1usize..60, 0..12),
        loses in proptest::collection::vec((0u8..6, 0usize..12), 0..5),
    ) {
        let (tree, root) = Tree::random(&wide, &picks);
        let mut host = Host::default();
        let mut done = false;
        for stop in stops {
            done = run(&tree, root, &mut host, stop).unwrap();
            for id in &host.puts {
                prop_assert!(host.is_complete(&tree, *id), "no parent without its children");
            }
            if done {
                break;
            }
        }
        let sent = host.puts.len();
        prop_assert_eq!(sent, host.stored.len(), "nothing is sent twice");
        host.loses = loses.into_iter().map(|(height, n)| id(height, n)).collect();
        if !done {
            prop_assert!(run(&tree, root, &mut host, 100_000).unwrap());
        }
        prop_assert!(host.is_complete(&tree, root));
    }
}
