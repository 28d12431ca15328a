//! Entries of a snapshot one by one, in path order.

use std::cmp::Ordering;
use std::sync::Arc;
use std::vec::IntoIter;

use packnback_proto::format::entry::Entry;

use super::open::Fault;
use super::tree::{Found, Part, Parts, Tables};
use crate::fs::{is_at_or_below, path_cmp};

/// An entry, and what is needed to find its content.
#[derive(Debug, Clone)]
pub struct Node {
    /// The entry.
    pub entry: Entry,
    pub(crate) tables: Arc<Tables>,
}

enum Only {
    From(Vec<u8>),
    Below(Vec<u8>),
}

impl Only {
    fn holds(&self, path: &[u8]) -> bool {
        match self {
            Self::From(from) => path_cmp(path, from) != Ordering::Less,
            Self::Below(below) => is_at_or_below(path, below),
        }
    }
}

/// Iterates over entries in path order. A part of the tree that is lost is an error in its place.
pub struct Entries<'a> {
    parts: Parts<'a>,
    only: Only,
    now: IntoIter<Entry>,
    tables: Arc<Tables>,
}

impl<'a> Entries<'a> {
    fn of(parts: Parts<'a>, only: Only) -> Self {
        let none = Part {
            entries: Vec::new(),
            tables: Arc::new(Tables::default()),
        };
        Self {
            parts,
            only,
            now: none.entries.into_iter(),
            tables: none.tables,
        }
    }

    pub(super) fn new(parts: Parts<'a>, from: &[u8]) -> Self {
        Self::of(parts, Only::From(from.to_vec()))
    }

    pub(super) fn below(parts: Parts<'a>, path: &[u8]) -> Self {
        Self::of(parts, Only::Below(path.to_vec()))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Node, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let only = &self.only;
            if let Some(entry) = self.now.find(|entry| only.holds(&entry.path)) {
                let tables = Arc::clone(&self.tables);
                return Some(Ok(Node { entry, tables }));
            }
            match self.parts.next()? {
                Ok(Found::Part(part)) => {
                    self.now = part.entries.into_iter();
                    self.tables = part.tables;
                }
                Ok(Found::Lost { fault, .. }) => return Some(Err(fault)),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

impl Entries<'_> {
    /// Shows each entry to `visit`, which answers whether to go on.
    ///
    /// # Errors
    /// [`Fault`]; a lost part of the tree is an error only after everything else was visited.
    pub fn each(self, mut visit: impl FnMut(&Entry) -> bool) -> Result<(), Fault> {
        let mut lost = None;
        for node in self {
            match node {
                Ok(node) if visit(&node.entry) => {}
                Ok(_) => break,
                Err(Fault::Source(error)) => return Err(error.into()),
                Err(fault) => lost = lost.or(Some(fault)),
            }
        }
        lost.map_or(Ok(()), Err)
    }
}
