//! Opened objects that are kept, or on their way: a bounded number of bytes, and each fetched and opened
//! once however many threads want it.

use std::collections::VecDeque;
use std::sync::Arc;

use packnback_proto::format::index::Child;
use packnback_proto::ids::ObjectId;
use parking_lot::Mutex;

use super::layout::{Place, Stretch};
use super::open::{Asked, Fault, Reader};
use super::tree::Part;

/// What an object says, once opened.
pub(super) enum Value {
    /// A pack.
    Pack(Vec<u8>),
    /// A chunk, and the keys that opened it.
    Chunk(Place, Vec<u8>),
    /// A map.
    Map(Stretch),
    /// A segment, and what was said of it.
    Part(Child, Part),
    /// An index, and what was said of it.
    Index(Child, Branch),
}

/// What is below an index.
pub(super) struct Branch {
    pub(super) children: Vec<Child>,
    pub(super) refs: Vec<ObjectId>,
    pub(super) height: u8,
}

/// Memory of one entry of a segment, of one piece of a map, about.
const ENTRY: usize = 512;
const PIECE: usize = 160;

impl Value {
    fn weight(&self) -> usize {
        let many = |count: usize, each: usize| count.saturating_mul(each);
        match self {
            Self::Pack(bytes) | Self::Chunk(_, bytes) => bytes.len(),
            Self::Map(stretch) => many(stretch.pieces.len(), PIECE),
            Self::Part(_, part) => many(part.entries.len(), ENTRY),
            Self::Index(_, branch) => many(branch.children.len(), PIECE),
        }
    }
}

enum State<'a> {
    Wanted,
    Coming(Asked<'a>),
    Here(Arc<Value>),
}

type Slot<'a> = Arc<Mutex<State<'a>>>;

struct Kept<'a> {
    id: ObjectId,
    slot: Slot<'a>,
    weight: usize,
}

struct Shelf<'a> {
    /// The one used last is at the end.
    kept: VecDeque<Kept<'a>>,
    used: usize,
}

pub(super) struct Cache<'a> {
    limit: usize,
    shelf: Mutex<Shelf<'a>>,
}

impl<'a> Cache<'a> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            shelf: Mutex::new(Shelf {
                kept: VecDeque::new(),
                used: 0,
            }),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The place of an object, used last from now on. `weight` is how large it may be.
    fn slot(&self, id: ObjectId, weight: usize) -> Slot<'a> {
        let mut shelf = self.shelf.lock();
        let at = shelf.kept.iter().position(|kept| kept.id == id);
        let kept = at.and_then(|at| shelf.kept.remove(at));
        let kept = kept.unwrap_or_else(|| {
            shelf.used = shelf.used.saturating_add(weight);
            Kept {
                id,
                slot: Arc::new(Mutex::new(State::Wanted)),
                weight,
            }
        });
        let slot = Arc::clone(&kept.slot);
        shelf.kept.push_back(kept);
        self.shrink(&mut shelf);
        slot
    }

    /// Puts down what is too much; what somebody is using lives on with them. One always stays.
    fn shrink(&self, shelf: &mut Shelf<'a>) {
        while shelf.used > self.limit && shelf.kept.len() > 1 {
            if let Some(gone) = shelf.kept.pop_front() {
                shelf.used = shelf.used.saturating_sub(gone.weight);
            }
        }
    }

    /// How large it turned out to be.
    fn weigh(&self, id: ObjectId, weight: usize) {
        let mut shelf = self.shelf.lock();
        let Some(kept) = shelf.kept.iter_mut().find(|kept| kept.id == id) else {
            return;
        };
        let before = std::mem::replace(&mut kept.weight, weight);
        shelf.used = shelf.used.saturating_sub(before).saturating_add(weight);
        self.shrink(&mut shelf);
    }

    /// The object, opened by `open` from what was asked for ahead, if it was. Who asks second waits for
    /// the first.
    pub(super) fn get(
        &self,
        id: ObjectId,
        weight: usize,
        open: impl FnOnce(Option<Asked<'a>>) -> Result<Value, Fault>,
    ) -> Result<Arc<Value>, Fault> {
        let slot = self.slot(id, weight);
        let mut state = slot.lock();
        let asked = match std::mem::replace(&mut *state, State::Wanted) {
            State::Here(value) => {
                *state = State::Here(Arc::clone(&value));
                return Ok(value);
            }
            State::Coming(asked) => Some(asked),
            State::Wanted => None,
        };
        let value = match open(asked) {
            Ok(value) => Arc::new(value),
            Err(fault) => {
                self.weigh(id, 0);
                return Err(fault);
            }
        };
        *state = State::Here(Arc::clone(&value));
        drop(state);
        self.weigh(id, value.weight());
        Ok(value)
    }

    /// Asks for an object that will be wanted soon, unless it is here or somebody is at it.
    pub(super) fn ahead(
        &self,
        reader: Reader<'a>,
        id: ObjectId,
        weight: usize,
    ) -> Result<(), Fault> {
        let slot = self.slot(id, weight);
        let Some(mut state) = slot.try_lock() else {
            return Ok(());
        };
        if matches!(*state, State::Wanted) {
            *state = State::Coming(reader.ask(&[id])?);
        }
        Ok(())
    }

    /// Bytes that count as kept.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.shelf.lock().used
    }
}
