//! Is everything below a node here? The rule that makes a commit all-or-nothing.
//!
//! A node is *complete* if every reference exists, is lower than the node, and is complete itself
//! (leaves always are). Completeness is remembered, so that a snapshot costs what is new in it.

use std::collections::HashMap;

use crate::ids::ObjectId;

/// What a store knows of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its height.
    pub height: u8,
    /// Whether it is known to be complete.
    pub complete: bool,
}

/// The objects a check may look at: those of one owner, or only those one device put.
pub trait Shelf {
    /// How looking fails.
    type Error;

    /// The object, if it is durable here and visible.
    ///
    /// # Errors
    /// If the store fails. An error is never "not here".
    fn look(&self, id: &ObjectId) -> Result<Option<Seen>, Self::Error>;

    /// The references of an object with a height above zero.
    ///
    /// # Errors
    /// If the store fails.
    fn refs(&self, id: &ObjectId) -> Result<Vec<ObjectId>, Self::Error>;
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closure {
    /// Everything is here. These nodes became complete, lowest first: remember them in this order.
    Complete(Vec<ObjectId>),
    /// These are not here; at most as many as asked for.
    Missing(Vec<ObjectId>),
    /// A node names one that is not lower: no honest device makes such a tree.
    NotLower {
        /// The node.
        node: ObjectId,
        /// What it names.
        child: ObjectId,
    },
}

/// Which nodes are complete; several are asked about, and each node below them is looked at once.
pub struct Survey<'a, S> {
    shelf: &'a S,
    done: Vec<ObjectId>,
    known: HashMap<ObjectId, bool>,
    steps: u64,
}

impl<'a, S: Shelf> Survey<'a, S> {
    /// Nothing was asked yet.
    #[must_use]
    pub fn new(shelf: &'a S) -> Self {
        Self {
            shelf,
            done: Vec::new(),
            known: HashMap::new(),
            steps: 0,
        }
    }

    /// Whether everything below this object is here, and the object itself.
    ///
    /// # Errors
    /// Those of the shelf.
    pub fn is_complete(&mut self, id: &ObjectId) -> Result<bool, S::Error> {
        self.steps = self.steps.saturating_add(1);
        match self.shelf.look(id)? {
            Some(seen) => self.node(id, seen),
            None => Ok(false),
        }
    }

    /// The nodes that became complete, lowest first, and how many references were followed.
    #[must_use]
    pub fn into_done(self) -> (Vec<ObjectId>, u64) {
        (self.done, self.steps)
    }

    fn node(&mut self, id: &ObjectId, seen: Seen) -> Result<bool, S::Error> {
        if seen.height == 0 || seen.complete {
            return Ok(true);
        }
        if let Some(verdict) = self.known.get(id) {
            return Ok(*verdict);
        }
        let mut complete = true;
        for child in self.shelf.refs(id)? {
            self.steps = self.steps.saturating_add(1);
            complete = match self.shelf.look(&child)? {
                Some(below) if below.height < seen.height => self.node(&child, below)?,
                _ => false,
            };
            if !complete {
                break;
            }
        }
        self.known.insert(*id, complete);
        if complete {
            self.done.push(*id);
        }
        Ok(complete)
    }
}

struct Walk<'a, S> {
    shelf: &'a S,
    /// Nodes in the order they became complete.
    done: Vec<ObjectId>,
    /// Verdict on every node visited and every object found missing.
    verdicts: HashMap<ObjectId, bool>,
    missing: Vec<ObjectId>,
    missing_max: usize,
    not_lower: Option<(ObjectId, ObjectId)>,
}

/// Checks everything below `root` (and `root` itself), naming at most `missing_max` missing ones.
///
/// # Errors
/// Those of the shelf.
pub fn check<S: Shelf>(
    shelf: &S,
    root: &ObjectId,
    missing_max: usize,
) -> Result<Closure, S::Error> {
    let Some(seen) = shelf.look(root)? else {
        return Ok(Closure::Missing(vec![*root]));
    };
    let mut walk = Walk {
        shelf,
        done: Vec::new(),
        verdicts: HashMap::new(),
        missing: Vec::new(),
        missing_max: missing_max.max(1),
        not_lower: None,
    };
    walk.node(root, seen)?;
    Ok(match walk.not_lower {
        Some((node, child)) => Closure::NotLower { node, child },
        None if walk.missing.is_empty() => Closure::Complete(walk.done),
        None => Closure::Missing(walk.missing),
    })
}

impl<S: Shelf> Walk<'_, S> {
    /// Whether a node that is here is complete. Heights fall on the way down: the depth is bounded.
    fn node(&mut self, id: &ObjectId, seen: Seen) -> Result<bool, S::Error> {
        if seen.height == 0 || seen.complete {
            return Ok(true);
        }
        if let Some(verdict) = self.verdicts.get(id) {
            return Ok(*verdict);
        }
        let mut complete = true;
        for child in self.shelf.refs(id)? {
            if self.missing.len() >= self.missing_max || self.not_lower.is_some() {
                return Ok(false);
            }
            complete &= match self.shelf.look(&child)? {
                Some(below) if below.height >= seen.height => {
                    self.not_lower = Some((*id, child));
                    false
                }
                Some(below) => self.node(&child, below)?,
                None => {
                    if self.verdicts.insert(child, false).is_none() {
                        self.missing.push(child);
                    }
                    false
                }
            };
        }
        self.verdicts.insert(*id, complete);
        if complete {
            self.done.push(*id);
        }
        Ok(complete)
    }
}
