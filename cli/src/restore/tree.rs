//! The tree of a snapshot: root, indexes, segments, in path order.

use std::cmp::Ordering;

use packnback_proto::format::entry::Entry;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::format::index::{self, Child};
use packnback_proto::format::root::{self, Root};
use packnback_proto::format::segment::{self, Segment};
use packnback_proto::ids::ObjectId;

use super::keys::ReaderKeys;
use super::open::{ObjectFault, Opened, Reader, bad};
use super::options::{LoadedSnapshot, RestoreError};
use crate::client::ObjectSource;
use crate::fs::{is_at_or_below, path_cmp, split_parent};

/// Objects of the tree fetched together.
const TOGETHER: usize = 4;

/// A segment with the references its entries index.
pub(super) struct Part {
    pub(super) segment: Segment,
    pub(super) refs: Vec<ObjectId>,
}

/// What comes out of a walk over a tree.
pub(super) enum Found {
    Part(Part),
    /// Everything from `first` on, up to the next part, is lost.
    Lost {
        first: Vec<u8>,
        fault: ObjectFault,
    },
}

/// Whether to go on.
pub(super) type GoOn = bool;

/// An open tree.
pub(super) struct Tree<'a> {
    reader: Reader<'a>,
    pub(super) root: Root,
    refs: Vec<ObjectId>,
}

impl<'a> Tree<'a> {
    /// Opens the root of a snapshot.
    pub(super) fn open(reader: Reader<'a>, id: ObjectId) -> Result<Self, ObjectFault> {
        let mut decompressor = Decompressor::new().map_err(|e| bad(id, e))?;
        let opened = reader.get(&mut decompressor, id, &[Kind::Root])?;
        let root = root::decode(&opened.raw, opened.header.refs.len()).map_err(|e| bad(id, e))?;
        Ok(Self {
            reader,
            root,
            refs: opened.header.refs,
        })
    }

    /// Visits the parts of the tree that may hold something at or below `below`, or a folder above it.
    pub(super) fn walk(
        &self,
        below: Option<&[u8]>,
        visit: &mut dyn FnMut(Found) -> Result<GoOn, RestoreError>,
    ) -> Result<(), RestoreError> {
        let failed = |e: &dyn std::fmt::Display| RestoreError::Internal(e.to_string());
        let decompressor = Decompressor::new().map_err(|e| failed(&e))?;
        let mut walker = Walker {
            reader: self.reader,
            below,
            decompressor,
            last: Vec::new(),
            visit,
        };
        walker.children(&self.root.children, &self.refs, u8::MAX, None)?;
        Ok(())
    }
}

struct Walker<'w> {
    reader: Reader<'w>,
    below: Option<&'w [u8]>,
    decompressor: Decompressor,
    /// Path of the last entry visited: what comes next comes after it.
    last: Vec<u8>,
    visit: &'w mut dyn FnMut(Found) -> Result<GoOn, RestoreError>,
}

impl Walker<'_> {
    fn children(
        &mut self,
        children: &[Child],
        refs: &[ObjectId],
        height: u8,
        end: Option<&[u8]>,
    ) -> Result<GoOn, RestoreError> {
        let ends = children
            .iter()
            .skip(1)
            .map(|child| Some(child.first.as_slice()));
        let wanted: Vec<(&Child, Option<&[u8]>)> = children
            .iter()
            .zip(ends.chain([end]))
            .filter(|(child, end)| self.concerns(&child.first, *end))
            .collect();
        for group in wanted.chunks(TOGETHER) {
            let ids: Vec<ObjectId> = group
                .iter()
                .map(|(child, _)| reference(refs, child.ref_idx))
                .collect();
            let objects = match self.reader.fetch(&ids) {
                Ok(objects) => objects,
                Err(fault) => return Err(fault.into_error()),
            };
            for (((child, end), id), bytes) in group.iter().zip(ids).zip(objects) {
                if !self.child((child, *end), (id, bytes), height)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether a part from `first` up to `end` may hold something that is asked for.
    fn concerns(&self, first: &[u8], end: Option<&[u8]>) -> bool {
        let Some(below) = self.below else { return true };
        let holds = |path: &[u8]| {
            path_cmp(first, path) != Ordering::Greater
                && end.is_none_or(|end| path_cmp(path, end) == Ordering::Less)
        };
        let mut above = split_parent(below).0;
        while !above.is_empty() {
            if holds(above) {
                return true;
            }
            above = split_parent(above).0;
        }
        let ends_before = end.is_some_and(|end| path_cmp(end, below) != Ordering::Greater);
        let starts_behind =
            path_cmp(first, below) == Ordering::Greater && !is_at_or_below(first, below);
        !ends_before && !starts_behind
    }

    fn child(
        &mut self,
        (child, end): (&Child, Option<&[u8]>),
        (id, bytes): (ObjectId, Option<Vec<u8>>),
        height: u8,
    ) -> Result<GoOn, RestoreError> {
        let kinds = [Kind::Segment, Kind::Index];
        let opened = self.reader.open(&mut self.decompressor, id, bytes, &kinds);
        let fault = match opened {
            Ok(opened) if opened.header.height >= height => bad(id, "the tree is not a tree"),
            Ok(opened) if opened.header.kind == Kind::Index => match check_index(child, &opened) {
                Ok(children) => {
                    let Header { refs, height, .. } = opened.header;
                    return self.children(&children, &refs, height, end);
                }
                Err(fault) => fault,
            },
            Ok(opened) => {
                match check_segment(child, opened).and_then(|part| self.order(part, id, end)) {
                    Ok(part) => return (self.visit)(Found::Part(part)),
                    Err(fault) => fault,
                }
            }
            Err(ObjectFault::Source(error)) => return Err(error.into()),
            Err(fault) => fault,
        };
        (self.visit)(Found::Lost {
            first: child.first.clone(),
            fault,
        })
    }
}

impl Walker<'_> {
    /// Format, 6.1: the order of paths holds over all segments, not only within each. Otherwise one path
    /// could come twice, and what a part does not name could still be in another.
    fn order(&mut self, part: Part, id: ObjectId, end: Option<&[u8]>) -> Result<Part, ObjectFault> {
        let paths = || {
            part.segment
                .entries
                .iter()
                .map(|entry| entry.path.as_slice())
        };
        let (first, last) = (paths().next(), paths().next_back());
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        let comes_after = self.last.is_empty() || path_cmp(&self.last, first) == Ordering::Less;
        let ends_before = end.is_none_or(|end| path_cmp(last, end) == Ordering::Less);
        if !comes_after || !ends_before {
            return Err(bad(id, "its paths are out of order"));
        }
        self.last = last.to_vec();
        Ok(part)
    }
}

fn check_index(child: &Child, opened: &Opened) -> Result<Vec<Child>, ObjectFault> {
    let fault = |e| bad(opened.id, e);
    let children = index::decode(&opened.raw, opened.header.refs.len()).map_err(fault)?;
    child.check_index(&children).map_err(fault)?;
    Ok(children)
}

fn check_segment(child: &Child, opened: Opened) -> Result<Part, ObjectFault> {
    let Opened { id, header, raw } = opened;
    let segment = segment::decode(&raw, header.refs.len()).map_err(|e| bad(id, e))?;
    child.check_segment(&segment).map_err(|e| bad(id, e))?;
    Ok(Part {
        segment,
        refs: header.refs,
    })
}

/// The object with this index; decoding has checked that it is in the list.
pub(super) fn reference(refs: &[ObjectId], ref_idx: u32) -> ObjectId {
    let found = usize::try_from(ref_idx).ok().and_then(|at| refs.get(at));
    found.copied().unwrap_or(ObjectId([0; 32]))
}

/// Entries of a snapshot in path order, to `visit`, which answers whether to go on. With `below`,
/// only those at or below that stored path.
///
/// # Errors
/// [`RestoreError`]; a damaged part is an error only after everything else was visited.
pub fn tree(
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
    snapshot: &LoadedSnapshot,
    below: Option<&[u8]>,
    visit: &mut dyn FnMut(&Entry) -> bool,
) -> Result<(), RestoreError> {
    keys.check_names()?;
    let reader = Reader {
        source,
        keys,
        counters: None,
    };
    let tree = Tree::open(reader, snapshot.snap.root).map_err(ObjectFault::into_error)?;
    let mut lost = None;
    tree.walk(below, &mut |found| {
        match found {
            Found::Part(part) => {
                let wanted = |entry: &&Entry| below.is_none_or(|b| is_at_or_below(&entry.path, b));
                for entry in part.segment.entries.iter().filter(wanted) {
                    if !visit(entry) {
                        return Ok(false);
                    }
                }
            }
            Found::Lost { fault, .. } => lost = lost.take().or(Some(fault)),
        }
        Ok(true)
    })?;
    lost.map_or(Ok(()), |fault| Err(fault.into_error()))
}

/// What the root of a snapshot says.
///
/// # Errors
/// [`RestoreError`].
pub fn about(
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
    snapshot: &LoadedSnapshot,
) -> Result<Root, RestoreError> {
    let reader = Reader {
        source,
        keys,
        counters: None,
    };
    Ok(Tree::open(reader, snapshot.snap.root)
        .map_err(ObjectFault::into_error)?
        .root)
}
