//! Which objects of a snapshot to ask for next. Pure: what is here comes from a shelf, what arrives
//! is told.
//!
//! From the root down: a node tells what is below it, so the leaves of a large tree are never listed
//! as a whole. What was taken in before, by an earlier try that broke off, is not asked for again.

use std::collections::{HashMap, HashSet};

use packnback_proto::format::header::Header;
use packnback_proto::ids::ObjectId;

/// Ids in one request: at 1 MiB per object a second of a fast line.
const BATCH: usize = 16;
/// Most nodes of one snapshot: a quarter of a thousand million files.
const NODES_MAX: usize = 1 << 18;
/// Most objects that wait to be looked at: what one path down names, several times over.
const STACK_MAX: usize = 1 << 17;
/// Leaves remembered as taken in; when it is full it starts anew, which costs a few more requests.
const LEAVES_MAX: usize = 1 << 18;

/// What is here of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It and everything below it.
    Whole,
    /// A node, but not all below it.
    Open {
        /// Its height.
        height: u8,
        /// What it names.
        refs: Vec<ObjectId>,
    },
    /// Nothing.
    Missing,
}

/// The store here.
pub(super) trait Shelf {
    /// How looking fails.
    type Error;

    /// What is here of an object. What was put but not synced may be missing.
    ///
    /// # Errors
    /// If the disk failed.
    fn place(&self, id: &ObjectId) -> Result<Place, Self::Error>;
}

/// The tree of the snapshot is not a legal one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A reference that does not go down.
    #[error("object {} does not lie below what names it", .0.short())]
    NotLower(ObjectId),
    /// More nodes than any honest snapshot has.
    #[error("the tree has too many nodes")]
    TooLarge,
    /// It was not asked for.
    #[error("object {} was not asked for", .0.short())]
    NotAsked(ObjectId),
}

/// Why the next batch cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum NextError<E> {
    /// The tree.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The shelf.
    #[error("{0}")]
    Shelf(E),
}

type Mark = [u8; 16];

/// See the module.
#[derive(Debug)]
pub(super) struct Walk {
    /// To be looked at, each with the height it must stay below. Last in, first out: its length is
    /// bounded by what one path down names.
    stack: Vec<(ObjectId, u8)>,
    asked: HashMap<ObjectId, u8>,
    nodes: HashSet<Mark>,
    leaves: HashSet<Mark>,
}

fn mark(id: &ObjectId) -> Mark {
    // Half an id tells objects apart well enough and halves the memory of the set.
    id.0.first_chunk::<16>().copied().unwrap_or_default()
}

impl Walk {
    /// Everything below `root`, and `root` itself.
    #[must_use]
    pub(super) fn new(root: ObjectId) -> Self {
        Self {
            stack: vec![(root, u8::MAX)],
            asked: HashMap::new(),
            nodes: HashSet::new(),
            leaves: HashSet::new(),
        }
    }

    /// The next ids to ask for. Empty: there is nothing to ask for until more arrives; with nothing
    /// under way, the walk is over.
    ///
    /// # Errors
    /// [`NextError`].
    pub(super) fn next<S: Shelf>(
        &mut self,
        shelf: &S,
    ) -> Result<Vec<ObjectId>, NextError<S::Error>> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some((id, below)) = self.stack.pop()
        {
            let mark = mark(&id);
            if self.asked.contains_key(&id)
                || self.nodes.contains(&mark)
                || self.leaves.contains(&mark)
            {
                continue;
            }
            match shelf.place(&id).map_err(NextError::Shelf)? {
                Place::Whole => {}
                Place::Open { height, refs } => self.open(id, below, height, &refs)?,
                Place::Missing => {
                    self.asked.insert(id, below);
                    batch.push(id);
                }
            }
        }
        Ok(batch)
    }

    fn open(
        &mut self,
        id: ObjectId,
        below: u8,
        height: u8,
        refs: &[ObjectId],
    ) -> Result<(), WalkError> {
        if height >= below {
            return Err(WalkError::NotLower(id));
        }
        if self.nodes.len() >= NODES_MAX || self.stack.len().saturating_add(refs.len()) > STACK_MAX
        {
            return Err(WalkError::TooLarge);
        }
        if self.nodes.insert(mark(&id)) {
            // In reverse, so that they are asked for in their order.
            self.stack
                .extend(refs.iter().rev().map(|child| (*child, height)));
        }
        Ok(())
    }

    /// An object that was asked for arrived and was taken in.
    ///
    /// # Errors
    /// [`WalkError`]: nothing of this snapshot should be taken in any more.
    pub(super) fn arrived(&mut self, id: &ObjectId, header: &Header) -> Result<(), WalkError> {
        let below = self.asked.remove(id).ok_or(WalkError::NotAsked(*id))?;
        if header.height > 0 {
            return self.open(*id, below, header.height, &header.refs);
        }
        if self.leaves.len() >= LEAVES_MAX {
            self.leaves.clear();
        }
        self.leaves.insert(mark(id));
        Ok(())
    }

    /// The other side does not have it either. It is not asked for again.
    pub(super) fn absent(&mut self, id: &ObjectId) {
        self.asked.remove(id);
        self.leaves.insert(mark(id));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use packnback_proto::format::header::Kind;
    use proptest::prelude::*;

    use super::*;

    type Tree = BTreeMap<ObjectId, (u8, Vec<ObjectId>)>;

    fn id(n: u16) -> ObjectId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        ObjectId(id)
    }

    /// Here: what was put and, if synced, can be seen.
    struct Here<'a>(&'a RefCell<BTreeMap<ObjectId, (u8, Vec<ObjectId>)>>);

    fn whole(tree: &Tree, id: &ObjectId) -> bool {
        tree.get(id)
            .is_some_and(|(_, refs)| refs.iter().all(|child| whole(tree, child)))
    }

    impl Shelf for Here<'_> {
        type Error = Infallible;

        fn place(&self, id: &ObjectId) -> Result<Place, Infallible> {
            let tree = self.0.borrow();
            Ok(match tree.get(id) {
                None => Place::Missing,
                Some(_) if whole(&tree, id) => Place::Whole,
                Some((height, refs)) => Place::Open {
                    height: *height,
                    refs: refs.clone(),
                },
            })
        }
    }

    fn header(height: u8, refs: &[ObjectId]) -> Header {
        Header {
            kind: if height == 0 {
                Kind::Chunk
            } else {
                Kind::Segment
            },
            height,
            epoch: 0,
            epk: None,
            refs: refs.to_vec(),
        }
    }

    /// Copies `from` to `here`; returns what was asked for, in order.
    fn copy(from: &Tree, here: &mut Tree, root: ObjectId, sync_each: usize) -> Vec<ObjectId> {
        let shelf = RefCell::new(std::mem::take(here));
        let (mut walk, mut asked) = (Walk::new(root), Vec::new());
        let mut unsynced = Vec::new();
        loop {
            let batch = walk.next(&Here(&shelf)).unwrap();
            if batch.is_empty() {
                break;
            }
            for id in batch {
                asked.push(id);
                match from.get(&id) {
                    Some((height, refs)) => {
                        walk.arrived(&id, &header(*height, refs)).unwrap();
                        unsynced.push((id, (*height, refs.clone())));
                    }
                    None => walk.absent(&id),
                }
                if unsynced.len() >= sync_each {
                    shelf.borrow_mut().extend(unsynced.drain(..));
                }
            }
        }
        shelf.borrow_mut().extend(unsynced);
        *here = shelf.into_inner();
        asked
    }

    /// Layers: each object names some of the layers below. The last is the root.
    fn trees() -> impl Strategy<Value = (Tree, ObjectId)> {
        let layer = || prop::collection::vec(prop::collection::vec(0..40_u16, 0..12), 1..12);
        (layer(), layer(), layer()).prop_map(|layers| {
            let (mut tree, mut below, mut next) = (Tree::new(), Vec::new(), 1000_u16);
            for n in 0..40 {
                tree.insert(id(n), (0, Vec::new()));
                below.push(id(n));
            }
            for (height, layer) in [layers.0, layers.1, layers.2].into_iter().enumerate() {
                let known = below.clone();
                for picks in layer {
                    let refs: Vec<_> = picks
                        .iter()
                        .map(|pick| known[usize::from(*pick) % known.len()])
                        .collect();
                    let height = u8::try_from(height).unwrap() + 1;
                    tree.insert(id(next), (height, refs));
                    below.push(id(next));
                    next += 1;
                }
            }
            let root = id(60_000);
            tree.insert(root, (8, below[40..].to_vec()));
            (tree, root)
        })
    }

    proptest! {
        #[test]
        fn everything_missing_is_asked_for_once_and_nothing_else(
            (tree, root) in trees(),
            sync_each in 1..30_usize,
            had in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            // Some objects are here already, whatever is below them.
            let ids: Vec<_> = tree.keys().copied().collect();
            let mut here: Tree = had
                .iter()
                .map(|index| ids[index.index(ids.len())])
                .map(|id| (id, tree[&id].clone()))
                .collect();
            let before = here.clone();
            let asked = copy(&tree, &mut here, root, sync_each);
            prop_assert!(whole(&here, &root));
            let unique: HashSet<_> = asked.iter().collect();
            prop_assert_eq!(unique.len(), asked.len());
            prop_assert!(asked.iter().all(|id| !before.contains_key(id)));
            // Again: nothing.
            prop_assert!(copy(&tree, &mut here, root, sync_each).is_empty());
        }

        #[test]
        fn what_the_other_side_lacks_does_not_stop_the_rest(
            (tree, root) in trees(),
            lost in any::<prop::sample::Index>(),
        ) {
            let leaves: Vec<_> = tree.iter().filter(|(_, (h, _))| *h == 0).map(|(id, _)| *id).collect();
            let lost = leaves[lost.index(leaves.len())];
            let mut from = tree.clone();
            from.remove(&lost);
            let mut here = Tree::new();
            let asked = copy(&from, &mut here, root, 7);
            let mut missing = Vec::new();
            let mut stack = vec![root];
            while let Some(id) = stack.pop() {
                match here.get(&id) {
                    Some((_, refs)) => stack.extend(refs),
                    None => missing.push(id),
                }
            }
            prop_assert!(missing.iter().all(|id| *id == lost));
            prop_assert!(asked.iter().filter(|id| **id == lost).count() <= 1);
        }
    }

    #[test]
    fn a_tree_that_does_not_go_down_is_refused() {
        let shelf = RefCell::new(Tree::new());
        let mut walk = Walk::new(id(1));
        assert_eq!(walk.next(&Here(&shelf)).unwrap(), [id(1)]);
        walk.arrived(&id(1), &header(2, &[id(2)])).unwrap();
        assert_eq!(walk.next(&Here(&shelf)).unwrap(), [id(2)]);
        let up = walk.arrived(&id(2), &header(2, &[id(3)]));
        assert_eq!(up, Err(WalkError::NotLower(id(2))));
        let unasked = walk.arrived(&id(9), &header(0, &[]));
        assert_eq!(unasked, Err(WalkError::NotAsked(id(9))));
    }
}
