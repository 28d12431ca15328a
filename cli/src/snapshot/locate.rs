//! Finding one path, or what is in one folder, without reading the rest of the tree.

use std::cmp::Ordering;
use std::sync::Arc;

use packnback_proto::format::entry::Entry;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::format::index::Child;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::SEGMENT_RAW_MAX;

use super::Snapshot;
use super::cache::{Branch, Value};
use super::entries::Node;
use super::open::{Fault, bad};
use super::tree::{Part, check_index, check_segment, open_child, reference, spans};
use crate::fs::{path_cmp, split_parent};

/// What a segment takes, about, before it is known.
const SEGMENT: usize = SEGMENT_RAW_MAX / 4;
/// No legal name comes before this one, and `a` with this behind it is the first that may follow whatever
/// is in `a`.
const FIRST_NAME: u8 = 1;

/// The part of a tree in which a path is, if it is anywhere.
struct Spot {
    part: Result<Arc<Value>, Fault>,
    /// First path behind the part.
    end: Option<Vec<u8>>,
}

impl Spot {
    fn entries(&self) -> Result<(&[Entry], Option<&Part>), Fault> {
        match &self.part {
            Ok(value) => Ok(match &**value {
                Value::Part(_, part) => (&part.entries, Some(part)),
                _ => (&[], None),
            }),
            Err(fault) => Err(fault.clone()),
        }
    }

    /// The first entry that is not before `from`.
    fn first(&self, from: &[u8]) -> Result<Option<Node>, Fault> {
        let (entries, part) = self.entries()?;
        let at = entries.partition_point(|e| path_cmp(&e.path, from) == Ordering::Less);
        let found = entries.get(at).zip(part);
        Ok(found.map(|(entry, part)| Node {
            entry: entry.clone(),
            tables: Arc::clone(&part.tables),
        }))
    }
}

impl<'a> Snapshot<'a> {
    /// The entry at a path.
    ///
    /// # Errors
    /// [`Fault`] if the part of the tree is lost in which it would be.
    pub fn lookup(&self, path: &[u8]) -> Result<Option<Node>, Fault> {
        let found = self.spot(path)?.first(path)?;
        Ok(found.filter(|node| node.entry.path == path))
    }

    /// What is in a folder, in order; at the top if the path is empty. A part of the tree that is lost is
    /// an error in its place.
    #[must_use]
    pub fn read_dir(&self, path: &[u8]) -> ReadDir<'_, 'a> {
        let mut from = path.to_vec();
        if !path.is_empty() {
            from.push(b'/');
        }
        from.push(FIRST_NAME);
        ReadDir {
            snapshot: self,
            dir: path.to_vec(),
            next: Some(from),
            spot: None,
        }
    }

    /// Goes down to the part where a path is. An error means that nothing more can be found.
    fn spot(&self, path: &[u8]) -> Result<Spot, Fault> {
        let mut above: Arc<Value>;
        let (mut children, mut refs) = (&self.tree.root.children, &self.tree.refs);
        let (mut height, mut end) = (u8::MAX, None);
        loop {
            let holds = |child: &Child| path_cmp(&child.first, path) != Ordering::Greater;
            let at = children.partition_point(holds).saturating_sub(1);
            let Some((child, next)) = spans(children, end.as_deref()).nth(at) else {
                let none = Err(bad(ObjectId([0; 32]), "an empty tree"));
                return Ok(Spot {
                    part: none,
                    end: None,
                });
            };
            let next = next.map(<[u8]>::to_vec);
            let id = reference(refs, child.ref_idx);
            let value = match self.branch(id, child, height, next.as_deref()) {
                Err(Fault::Source(error)) => return Err(error.into()),
                part => part,
            };
            end = next;
            above = match value {
                Ok(value) if matches!(*value, Value::Index(..)) => value,
                part => return Ok(Spot { part, end }),
            };
            match &*above {
                Value::Index(_, branch) => {
                    (children, refs, height) = (&branch.children, &branch.refs, branch.height);
                }
                // Never: just looked.
                _ => return Err(bad(id, "the tree is not a tree")),
            }
        }
    }

    /// A segment or an index, opened and checked against what is said of it.
    fn branch(
        &self,
        id: ObjectId,
        child: &Child,
        height: u8,
        end: Option<&[u8]>,
    ) -> Result<Arc<Value>, Fault> {
        let value = self.cache.get(id, SEGMENT, |asked| {
            let bytes = self.take(id, asked)?;
            self.with_decompressor(id, |decompressor| {
                let opened = open_child(self.reader, decompressor, id, bytes, u8::MAX)?;
                if opened.header.kind == Kind::Index {
                    let children = check_index(child, &opened)?;
                    let Header { refs, height, .. } = opened.header;
                    let branch = Branch {
                        children,
                        refs,
                        height,
                    };
                    return Ok(Value::Index(child.clone(), branch));
                }
                Ok(Value::Part(child.clone(), check_segment(child, opened)?))
            })
        })?;
        let is_right = match &*value {
            Value::Index(said, branch) => said == child && branch.height < height,
            Value::Part(said, part) => {
                let last = part.entries.last().map(|entry| entry.path.as_slice());
                let last = last.unwrap_or_default();
                said == child && end.is_none_or(|end| path_cmp(last, end) == Ordering::Less)
            }
            _ => false,
        };
        if is_right {
            Ok(value)
        } else {
            Err(bad(id, "the tree is not a tree"))
        }
    }
}

/// Iterates over what is in one folder.
pub struct ReadDir<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    dir: Vec<u8>,
    /// Nothing before this path is wanted; `None` at the end.
    next: Option<Vec<u8>>,
    spot: Option<Spot>,
}

impl ReadDir<'_, '_> {
    /// The next entry anywhere, and whether its part was changed for that.
    fn find(&mut self, from: &[u8]) -> Result<Option<Node>, Fault> {
        let is_in = |spot: &Spot| {
            let end = spot.end.as_ref();
            end.is_none_or(|end| path_cmp(from, end) == Ordering::Less)
        };
        let spot = match self.spot.take().filter(is_in) {
            Some(spot) => spot,
            None => self.snapshot.spot(from)?,
        };
        let found = spot.first(from);
        if !matches!(found, Ok(Some(_))) {
            self.next.clone_from(&spot.end);
        }
        self.spot = Some(spot);
        found
    }

    fn is_inside(&self, path: &[u8]) -> bool {
        self.dir.is_empty()
            || path
                .strip_prefix(self.dir.as_slice())
                .is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

impl Iterator for ReadDir<'_, '_> {
    type Item = Result<Node, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let from = self.next.take()?;
            let node = match self.find(&from) {
                Ok(Some(node)) => node,
                Ok(None) => continue,
                Err(fault) => return Some(Err(fault)),
            };
            if !self.is_inside(&node.entry.path) {
                return None;
            }
            let mut next = node.entry.path.clone();
            next.push(FIRST_NAME);
            self.next = Some(next);
            if split_parent(&node.entry.path).0 == self.dir {
                return Some(Ok(node));
            }
        }
    }
}
