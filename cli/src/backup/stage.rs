//! What the stages hand to each other.

use packnback_proto::format::entry::Entry;

use super::seen::PendingSmall;
use crate::cache::{DataRef, DirKey, FileKey, FileRecord, Hash16, SegmentRecord};
use crate::fs::Item;
use crate::pipeline::Permit;

/// An entry to be saved, as the planner sees it.
pub(super) struct Planned {
    pub(super) item: Item,
    pub(super) path: Vec<u8>,
    pub(super) key: FileKey,
    /// Keyed hash of the attributes the walk saw.
    pub(super) stat: Hash16,
    /// For a directory: the key of what is in it.
    pub(super) dir: Option<DirKey>,
    pub(super) hardlink: Option<[u8; 8]>,
    /// Whether its content is saved here: not for the second and later links of a file.
    pub(super) carries: bool,
    /// What the cache said, if it is to be believed.
    pub(super) known: Option<DataRef>,
    /// What the cache said of content that looks unchanged and is read all the same.
    pub(super) said: Option<DataRef>,
    /// What the cache said.
    pub(super) old: Option<Box<FileRecord>>,
}

/// Some entries in path order, done by one worker.
pub(super) struct Batch {
    pub(super) seq: u64,
    pub(super) planned: Vec<Planned>,
    pub(super) end: Option<GroupEnd>,
    pub(super) permit: Permit,
}

/// The last batch of a run of entries that becomes a segment.
#[derive(Clone, Copy)]
pub(super) struct GroupEnd {
    /// Keyed hash of everything the segment is made from.
    pub(super) print: Hash16,
}

/// Content of an entry.
pub(super) enum Content {
    None,
    /// In a pack of this run that may be open still.
    Pending {
        content: Hash16,
        at: PendingSmall,
    },
    /// As the cache would say it.
    Stored(DataRef),
}

/// What the cache is told of an entry.
pub(super) struct Told {
    pub(super) key: FileKey,
    pub(super) stat: Hash16,
    pub(super) dir: Option<DirKey>,
    pub(super) old: Option<Box<FileRecord>>,
}

/// An entry as it will be saved.
pub(super) struct Built {
    pub(super) entry: Entry,
    pub(super) content: Content,
    /// `None` if the cache knows already.
    pub(super) told: Option<Told>,
}

/// Entries of a batch.
pub(super) struct Finished {
    pub(super) built: Vec<Built>,
    /// Whether what was saved is what the planner saw: the segment may be found by its print again.
    pub(super) steady: bool,
    pub(super) end: Option<GroupEnd>,
    pub(super) permit: Permit,
}

/// A run of entries that is stored already.
pub(super) struct Reused {
    pub(super) print: Hash16,
    pub(super) record: SegmentRecord,
    /// First path of each segment.
    pub(super) firsts: Vec<Vec<u8>>,
}

pub(super) enum Step {
    Finished(Finished),
    Reused(Reused),
}

/// What reaches the assembler, with its place in the order.
pub(super) struct Message {
    pub(super) seq: u64,
    pub(super) step: Step,
}
