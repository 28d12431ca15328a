//! Indexes: lists of segments, or of lower indexes, for trees with more segments than one object
//! may reference.
//!
//! ```text
//! index = [+ child]      child = [first_path bstr, ref_idx, n]
//! ```

use super::path::{ascending, check_path};
use super::payload::{PayloadError, check_count, check_ref};
use super::segment::Segment;
use crate::cbor::{CborError, Reader, Writer};
use crate::limits::{INDEX_ENTRIES_MAX, RAW_MAX, REFS_MAX};

/// A segment or index under an index or a root.
///
/// A reader checks what it finds there against this ([`Child::check_segment`],
/// [`Child::check_index`]): that bounds the work a hostile tree can cause, because no part of the
/// tree can then appear in two places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Path of the first entry below.
    pub first: Vec<u8>,
    /// Index in the reference list.
    pub ref_idx: u32,
    /// Number of entries below.
    pub entries: u64,
}

impl Child {
    /// Whether a segment is the one announced.
    ///
    /// # Errors
    /// [`PayloadError::Child`].
    pub fn check_segment(&self, segment: &Segment) -> Result<(), PayloadError> {
        let first = segment.entries.first().map(|entry| entry.path.as_slice());
        self.check(first, u64::try_from(segment.entries.len()).ok())
    }

    /// Whether an index is the one announced.
    ///
    /// # Errors
    /// [`PayloadError::Child`].
    pub fn check_index(&self, children: &[Self]) -> Result<(), PayloadError> {
        let first = children.first().map(|child| child.first.as_slice());
        self.check(
            first,
            children
                .iter()
                .try_fold(0u64, |sum, c| sum.checked_add(c.entries)),
        )
    }

    fn check(&self, first: Option<&[u8]>, entries: Option<u64>) -> Result<(), PayloadError> {
        let same = first == Some(self.first.as_slice()) && entries == Some(self.entries);
        if same {
            Ok(())
        } else {
            Err(PayloadError::Child)
        }
    }
}

/// Encodes an index.
///
/// # Errors
/// [`PayloadError`] if it breaks a rule of the format or exceeds a limit.
pub fn encode(children: &[Child]) -> Result<Vec<u8>, PayloadError> {
    check_count(children.len(), 1..=INDEX_ENTRIES_MAX, "children")?;
    let mut w = Writer::with_capacity(children.len().saturating_mul(64));
    write_children(&mut w, children)?;
    Ok(w.finish(RAW_MAX)?)
}

/// Decodes an index whose object has `n_refs` references.
///
/// # Errors
/// [`PayloadError`], the first problem found.
pub fn decode(bytes: &[u8], n_refs: usize) -> Result<Vec<Child>, PayloadError> {
    if bytes.len() > RAW_MAX {
        return Err(CborError::TooLarge.into());
    }
    let mut r = Reader::new(bytes);
    let children = read_children(&mut r, n_refs)?;
    r.finish()?;
    check_count(children.len(), 1..=INDEX_ENTRIES_MAX, "children")?;
    Ok(children)
}

/// Bytes one child takes in an index or a root.
#[must_use]
pub fn child_len(child: &Child) -> usize {
    let mut w = Writer::default();
    write_child(&mut w, child);
    w.len()
}

fn write_child(w: &mut Writer, child: &Child) {
    w.array(3);
    w.bytes(&child.first);
    w.uint(child.ref_idx);
    w.uint(child.entries);
}

pub(super) fn write_children(w: &mut Writer, children: &[Child]) -> Result<(), PayloadError> {
    check_children(children, REFS_MAX)?;
    w.array(children.len());
    children.iter().for_each(|child| write_child(w, child));
    Ok(())
}

pub(super) fn read_children(r: &mut Reader<'_>, n_refs: usize) -> Result<Vec<Child>, PayloadError> {
    let count = r.array()?;
    check_count(count, 0..=INDEX_ENTRIES_MAX, "children")?;
    let mut children = Vec::with_capacity(count);
    for _ in 0..count {
        r.array_exact(3)?;
        let first = r.bytes()?.to_vec();
        children.push(Child {
            first,
            ref_idx: r.u32()?,
            entries: r.uint()?,
        });
    }
    check_children(&children, n_refs)?;
    Ok(children)
}

fn check_children(children: &[Child], n_refs: usize) -> Result<(), PayloadError> {
    check_count(children.len(), 0..=INDEX_ENTRIES_MAX, "children")?;
    for child in children {
        check_path(&child.first)?;
        check_ref(child.ref_idx, n_refs)?;
        if child.entries == 0 {
            return Err(PayloadError::Field("children"));
        }
    }
    if ascending(children.iter().map(|child| child.first.as_slice())) {
        Ok(())
    } else {
        Err(PayloadError::PathOrder)
    }
}
