//! The tree of a snapshot: root, indexes, segments, in path order.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use packnback_proto::format::entry::Entry;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::format::index::{self, Child};
use packnback_proto::format::root::{self, Root};
use packnback_proto::format::segment::{self, Session};
use packnback_proto::ids::ObjectId;

use super::open::{Asked, Fault, Opened, Reader, bad};
use crate::client::ClientError;
use crate::fs::{is_at_or_below, path_cmp, split_parent};

/// Objects of the tree asked for together at first, and at most: who looks for one path wants one of them,
/// who wants all should not wait for each.
const TOGETHER_FIRST: usize = 2;
const TOGETHER_MOST: usize = 16;
/// Such questions under way.
const QUESTIONS: usize = 2;

/// What entries of one segment index.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) refs: Vec<ObjectId>,
    pub(crate) sessions: Vec<Session>,
}

impl Tables {
    /// The object with this index; decoding has checked that it is in the list.
    pub(crate) fn object(&self, ref_idx: u32) -> ObjectId {
        reference(&self.refs, ref_idx)
    }

    /// The session with this index, likewise.
    pub(super) fn session(&self, ses_idx: u32) -> Session {
        let at = usize::try_from(ses_idx).ok();
        let session = at.and_then(|at| self.sessions.get(at));
        session.copied().unwrap_or(([0; 32], 0))
    }
}

/// The object with this index; decoding has checked that it is in the list.
pub(super) fn reference(refs: &[ObjectId], ref_idx: u32) -> ObjectId {
    let found = usize::try_from(ref_idx).ok().and_then(|at| refs.get(at));
    found.copied().unwrap_or(ObjectId([0; 32]))
}

/// A segment: entries in path order, and what they index.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) entries: Vec<Entry>,
    pub(crate) tables: Arc<Tables>,
}

/// What comes out of a walk over a tree.
pub(crate) enum Found {
    Part(Part),
    /// Everything from `first` on, up to the next part, is lost.
    Lost {
        first: Vec<u8>,
        fault: Fault,
    },
}

/// Which parts of a tree are wanted.
pub(super) enum Want {
    All,
    /// Those that may hold something at or below this path, or a folder above it.
    Below(Vec<u8>),
    /// Those that may hold something that is not before this path.
    From(Vec<u8>),
}

/// An open tree.
#[derive(Clone)]
pub(super) struct Tree<'a> {
    reader: Reader<'a>,
    /// Of the root.
    pub(super) id: ObjectId,
    pub(super) root: Arc<Root>,
    pub(super) refs: Vec<ObjectId>,
}

impl<'a> Tree<'a> {
    /// Opens the root of a snapshot.
    pub(super) fn open(reader: Reader<'a>, id: ObjectId) -> Result<Self, Fault> {
        let mut decompressor = Decompressor::new().map_err(|e| bad(id, e))?;
        let opened = reader.get(&mut decompressor, id, &[Kind::Root])?;
        let root = root::decode(&opened.raw, opened.header.refs.len()).map_err(|e| bad(id, e))?;
        Ok(Self {
            reader,
            id,
            root: Arc::new(root),
            refs: opened.header.refs,
        })
    }

    /// The wanted parts, in path order.
    pub(super) fn parts(&self, want: Want) -> Parts<'a> {
        let mut parts = Parts {
            reader: self.reader,
            want,
            decompressor: None,
            last: Vec::new(),
            together: TOGETHER_FIRST,
            levels: Vec::new(),
            over: false,
        };
        parts.go_down(&self.root.children, &self.refs, u8::MAX, None);
        parts
    }
}

/// An object of the tree that is still to be visited.
struct Step {
    child: Child,
    /// First path behind it.
    end: Option<Vec<u8>>,
    id: ObjectId,
    /// Whatever it is, it is lower.
    height: u8,
}

/// What is left of the children of one object.
#[derive(Default)]
struct Level<'a> {
    rest: VecDeque<Step>,
    asked: VecDeque<Batch<'a>>,
}

/// An object of the tree, as it came.
struct Came {
    step: Step,
    bytes: Option<Vec<u8>>,
}

/// Children that were asked for together.
struct Batch<'a> {
    steps: VecDeque<Step>,
    coming: Asked<'a>,
}

/// The parts of a tree, in path order. An error means that the source is gone.
pub(crate) struct Parts<'a> {
    reader: Reader<'a>,
    want: Want,
    decompressor: Option<Decompressor>,
    /// Path of the last entry that came out: what comes next comes after it.
    last: Vec<u8>,
    together: usize,
    levels: Vec<Level<'a>>,
    over: bool,
}

impl Iterator for Parts<'_> {
    type Item = Result<Found, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.find().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Parts<'_> {
    fn find(&mut self) -> Result<Option<Found>, ClientError> {
        while !self.levels.is_empty() {
            let Some(Came { step, bytes }) = self.step()? else {
                self.levels.pop();
                continue;
            };
            match self.open(&step, bytes) {
                Ok(None) => {}
                Ok(Some(part)) => return Ok(Some(Found::Part(part))),
                Err(Fault::Source(error)) => return Err(error),
                Err(fault) => {
                    let first = step.child.first;
                    return Ok(Some(Found::Lost { first, fault }));
                }
            }
        }
        Ok(None)
    }

    /// The next object of the lowest level, which asks for more when it has to.
    fn step(&mut self) -> Result<Option<Came>, ClientError> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(None);
        };
        // Until something came out nobody knows whether more than the first part is wanted.
        let questions = if self.last.is_empty() { 1 } else { QUESTIONS };
        while level.asked.len() < questions && !level.rest.is_empty() {
            let together = self.together.min(level.rest.len());
            self.together = self.together.saturating_mul(2).min(TOGETHER_MOST);
            let steps: VecDeque<Step> = level.rest.drain(..together).collect();
            let ids: Vec<ObjectId> = steps.iter().map(|step| step.id).collect();
            let coming = self.reader.ask(&ids)?;
            level.asked.push_back(Batch { steps, coming });
        }
        let Some(batch) = level.asked.front_mut() else {
            return Ok(None);
        };
        let bytes = batch.coming.take()?;
        let step = batch.steps.pop_front();
        if batch.steps.is_empty() {
            level.asked.pop_front();
        }
        Ok(step.map(|step| Came { step, bytes }))
    }

    /// Goes down into an index, or gives the segment.
    fn open(&mut self, step: &Step, bytes: Option<Vec<u8>>) -> Result<Option<Part>, Fault> {
        let end = step.end.as_deref();
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new().map_err(|e| bad(step.id, e))?),
        };
        let opened = open_child(self.reader, decompressor, step.id, bytes, step.height)?;
        if opened.header.kind == Kind::Index {
            let children = check_index(&step.child, &opened)?;
            let Header { refs, height, .. } = opened.header;
            self.go_down(&children, &refs, height, end);
            return Ok(None);
        }
        let part = check_segment(&step.child, opened)?;
        self.order(part, step.id, end).map(Some)
    }

    fn go_down(&mut self, children: &[Child], refs: &[ObjectId], height: u8, end: Option<&[u8]>) {
        let wanted =
            spans(children, end).filter(|(child, end)| self.want.concerns(&child.first, *end));
        let rest = wanted.map(|(child, end)| Step {
            child: child.clone(),
            end: end.map(<[u8]>::to_vec),
            id: reference(refs, child.ref_idx),
            height,
        });
        let rest = rest.collect();
        self.levels.push(Level {
            rest,
            asked: VecDeque::new(),
        });
    }

    /// Format, 6.1: the order of paths holds over all segments, not only within each. Otherwise one path
    /// could come twice, and what a part does not name could still be in another.
    fn order(&mut self, part: Part, id: ObjectId, end: Option<&[u8]>) -> Result<Part, Fault> {
        let paths = || part.entries.iter().map(|entry| entry.path.as_slice());
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

impl Want {
    /// Whether a part from `first` up to `end` may hold something that is asked for.
    fn concerns(&self, first: &[u8], end: Option<&[u8]>) -> bool {
        let below = match self {
            Self::All => return true,
            Self::From(from) => {
                return end.is_none_or(|end| path_cmp(end, from) == Ordering::Greater);
            }
            Self::Below(below) => below.as_slice(),
        };
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
}

/// Children, each with the first path behind it.
pub(super) fn spans<'c>(
    children: &'c [Child],
    end: Option<&'c [u8]>,
) -> impl Iterator<Item = (&'c Child, Option<&'c [u8]>)> {
    let ends = children
        .iter()
        .skip(1)
        .map(|child| Some(child.first.as_slice()));
    children.iter().zip(ends.chain([end]))
}

/// Opens a segment or an index below an object of this height.
pub(super) fn open_child(
    reader: Reader<'_>,
    decompressor: &mut Decompressor,
    id: ObjectId,
    bytes: Option<Vec<u8>>,
    height: u8,
) -> Result<Opened, Fault> {
    let kinds = [Kind::Segment, Kind::Index];
    let opened = reader.open(decompressor, id, bytes, &kinds)?;
    if opened.header.height >= height {
        return Err(bad(id, "the tree is not a tree"));
    }
    Ok(opened)
}

pub(super) fn check_index(child: &Child, opened: &Opened) -> Result<Vec<Child>, Fault> {
    let fault = |e| bad(opened.id, e);
    let children = index::decode(&opened.raw, opened.header.refs.len()).map_err(fault)?;
    child.check_index(&children).map_err(fault)?;
    Ok(children)
}

pub(super) fn check_segment(child: &Child, opened: Opened) -> Result<Part, Fault> {
    let Opened { id, header, raw } = opened;
    let segment = segment::decode(&raw, header.refs.len()).map_err(|e| bad(id, e))?;
    child.check_segment(&segment).map_err(|e| bad(id, e))?;
    Ok(Part {
        entries: segment.entries,
        tables: Arc::new(Tables {
            refs: header.refs,
            sessions: segment.sessions,
        }),
    })
}
