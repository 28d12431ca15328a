//! What to send to bring one snapshot to a host. Pure: answers come in, actions go out.
//!
//! ```text
//! walk:   ask for the root; for every node the host lacks, ask for the nodes below it
//! send:   per missing node, lowest first: ask for its leaves, put those missing, put the node
//! finish: sync, commit; put whatever the host still lacks, and again
//! ```
//! Children always go before their parents, so an interrupted upload leaves whole subtrees, and the
//! next one is told `have` for them. Questions run ahead of the puts, and a sync is answered while
//! the next objects are on their way, so the line never idles.

use std::collections::{HashSet, VecDeque};

use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{HAVE_IDS_MAX, MIB};

use super::source::Shape;
use crate::ports::Failure;

/// Bytes after which what was sent is made durable: lost again at most when a connection breaks.
const SYNC_BYTES: u64 = 64 * MIB as u64;
/// Questions and syncs that may be unanswered.
const AHEAD: usize = 2;
/// Leaves prepared beyond the one being sent.
const QUEUE_LOW: usize = 2 * HAVE_IDS_MAX;
/// Leaves remembered as handled; when it is full it starts anew, which costs a few more questions.
const SEEN_MAX: usize = 1 << 20;
/// Times a host may find more missing at commit.
const COMMIT_ROUNDS_MAX: u32 = 64;

/// Looks up objects in the local store.
pub trait Shapes {
    /// See [`super::Source::shape`].
    ///
    /// # Errors
    /// If the disk failed.
    fn shape(&mut self, id: &ObjectId) -> Result<Option<Shape>, Failure>;
}

/// What the executor does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask whether these are there.
    Have(Vec<ObjectId>),
    /// Send this object.
    Put {
        /// Which one.
        id: ObjectId,
        /// Its stored bytes.
        len: u64,
    },
    /// Ask for everything sent to be made durable.
    Sync,
    /// Commit the snapshot.
    Commit,
    /// Read one answer and give it to [`Upload::on_reply`].
    Wait,
    /// The snapshot is there.
    Done,
}

/// What the host answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To the oldest unanswered [`Action::Have`].
    Bitmap(Vec<bool>),
    /// To the oldest unanswered [`Action::Sync`].
    Synced,
    /// To [`Action::Commit`]: these are not there.
    Missing(Vec<ObjectId>),
    /// To [`Action::Commit`]: done.
    Committed,
}

/// The upload cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// An object of the snapshot is not in the local store.
    #[error("object {0:?} of the snapshot is not in the local store")]
    NotHere(ObjectId),
    /// The local store failed.
    #[error("the local store failed: {0}")]
    Local(#[from] Failure),
    /// An answer that does not belong to any question.
    #[error("the host does not keep to the protocol: {0}")]
    Protocol(&'static str),
    /// The host keeps losing what it was sent.
    #[error("the host lacks objects however often they are sent")]
    Hopeless,
}

/// How much is left, as far as known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unasked,
    Asked,
    Had,
    Missing,
}

#[derive(Debug)]
struct Item {
    id: ObjectId,
    fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    Nodes(Vec<ObjectId>),
    Leaves(usize),
    Sync,
    Commit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Walk,
    Send,
    Finish,
    Done,
}

/// See the module.
#[derive(Debug)]
pub struct Upload {
    stage: Stage,
    /// Nodes found but not asked about.
    frontier: VecDeque<ObjectId>,
    nodes_seen: HashSet<ObjectId>,
    /// Nodes the host lacks, highest first: the next to send is the last.
    nodes_left: Vec<(u8, ObjectId)>,
    leaves_seen: HashSet<[u8; 16]>,
    /// Objects in the order in which they go out.
    queue: VecDeque<Item>,
    /// Items of the queue nobody asked about yet.
    unasked: usize,
    questions: VecDeque<Question>,
    unsynced: u64,
    commit_rounds: u32,
    left: Left,
}

fn mark(id: &ObjectId) -> [u8; 16] {
    // Half an id tells objects apart well enough and halves the memory of the set.
    id.0.first_chunk::<16>().copied().unwrap_or_default()
}

fn known(shapes: &mut dyn Shapes, id: &ObjectId) -> Result<Shape, UploadError> {
    shapes.shape(id)?.ok_or(UploadError::NotHere(*id))
}

impl Upload {
    /// An upload of everything below `root`.
    #[must_use]
    pub fn new(root: ObjectId) -> Self {
        Self {
            stage: Stage::Walk,
            frontier: VecDeque::from([root]),
            nodes_seen: HashSet::from([root]),
            nodes_left: Vec::new(),
            leaves_seen: HashSet::new(),
            queue: VecDeque::new(),
            unasked: 0,
            questions: VecDeque::new(),
            unsynced: 0,
            commit_rounds: 0,
            left: Left::default(),
        }
    }

    /// How much is left.
    #[must_use]
    pub fn left(&self) -> Left {
        self.left
    }

    /// What to do next. After anything but `Wait` and `Done`, ask again at once.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn next(&mut self, shapes: &mut dyn Shapes) -> Result<Action, UploadError> {
        loop {
            let action = match self.stage {
                Stage::Walk => self.next_walk(),
                Stage::Send => self.next_send(shapes)?,
                Stage::Finish => self.next_finish(),
                Stage::Done => Some(Action::Done),
            };
            if let Some(action) = action {
                return Ok(action);
            }
        }
    }

    /// `None`: the stage is over.
    fn next_walk(&mut self) -> Option<Action> {
        if !self.frontier.is_empty() && self.questions.len() < AHEAD {
            let batch: Vec<_> = self
                .frontier
                .drain(..self.frontier.len().min(HAVE_IDS_MAX))
                .collect();
            self.questions.push_back(Question::Nodes(batch.clone()));
            return Some(Action::Have(batch));
        }
        if !self.questions.is_empty() {
            return Some(Action::Wait);
        }
        // Lowest last; among equals the first found last, so that they go out in path order.
        self.nodes_left.reverse();
        self.nodes_left
            .sort_by_key(|(height, _)| std::cmp::Reverse(*height));
        self.stage = Stage::Send;
        None
    }

    fn next_send(&mut self, shapes: &mut dyn Shapes) -> Result<Option<Action>, UploadError> {
        self.fill(shapes)?;
        if self.questions.len() < AHEAD
            && let Some(batch) = self.ask_ahead()
        {
            return Ok(Some(Action::Have(batch)));
        }
        if self.unsynced >= SYNC_BYTES {
            return Ok(Some(self.sync_or_wait()));
        }
        while let Some(item) = self.queue.front() {
            let (id, fate) = (item.id, item.fate);
            match fate {
                Fate::Unasked | Fate::Asked => return Ok(Some(Action::Wait)),
                Fate::Had => {
                    self.queue.pop_front();
                    let len = shapes.shape(&id)?.map_or(0, |shape| shape.len);
                    self.settle(len);
                }
                Fate::Missing => {
                    let len = known(shapes, &id)?.len;
                    self.queue.pop_front();
                    self.settle(len);
                    self.unsynced = self.unsynced.saturating_add(len.max(1));
                    return Ok(Some(Action::Put { id, len }));
                }
            }
        }
        if self.nodes_left.is_empty() {
            self.stage = Stage::Finish;
        }
        Ok(None)
    }

    fn next_finish(&mut self) -> Option<Action> {
        if self.unsynced > 0 {
            return Some(self.sync_or_wait());
        }
        if !self.questions.is_empty() {
            return Some(Action::Wait);
        }
        self.questions.push_back(Question::Commit);
        Some(Action::Commit)
    }

    fn sync_or_wait(&mut self) -> Action {
        if self.questions.len() >= AHEAD {
            return Action::Wait;
        }
        self.unsynced = 0;
        self.questions.push_back(Question::Sync);
        Action::Sync
    }

    fn settle(&mut self, len: u64) {
        self.left.objects = self.left.objects.saturating_sub(1);
        self.left.bytes = self.left.bytes.saturating_sub(len);
    }

    /// Prepares the next missing nodes: their leaves, then themselves.
    fn fill(&mut self, shapes: &mut dyn Shapes) -> Result<(), UploadError> {
        while self.queue.len() < QUEUE_LOW
            && let Some((_, node)) = self.nodes_left.pop()
        {
            if self.leaves_seen.len() > SEEN_MAX {
                self.leaves_seen.clear();
            }
            for id in known(shapes, &node)?.refs {
                if !self.nodes_seen.contains(&id) && self.leaves_seen.insert(mark(&id)) {
                    self.queue.push_back(Item {
                        id,
                        fate: Fate::Unasked,
                    });
                    self.unasked = self.unasked.saturating_add(1);
                }
            }
            self.queue.push_back(Item {
                id: node,
                fate: Fate::Missing,
            });
        }
        Ok(())
    }

    /// The next leaves to ask about: a full question, or all that are left.
    fn ask_ahead(&mut self) -> Option<Vec<ObjectId>> {
        if self.unasked == 0 {
            return None;
        }
        let unasked = self
            .queue
            .iter_mut()
            .filter(|item| item.fate == Fate::Unasked);
        let batch: Vec<ObjectId> = unasked
            .take(HAVE_IDS_MAX)
            .map(|item| {
                item.fate = Fate::Asked;
                item.id
            })
            .collect();
        self.unasked = self.unasked.saturating_sub(batch.len());
        self.questions.push_back(Question::Leaves(batch.len()));
        Some(batch)
    }

    /// Takes the answer to the oldest question.
    ///
    /// # Errors
    /// [`UploadError::Protocol`] for an answer to something else.
    pub fn on_reply(&mut self, reply: Reply, shapes: &mut dyn Shapes) -> Result<(), UploadError> {
        match (self.questions.pop_front(), reply) {
            (Some(Question::Nodes(ids)), Reply::Bitmap(had)) if had.len() == ids.len() => {
                let missing = ids.into_iter().zip(had).filter(|(_, had)| !had);
                missing
                    .map(|(id, _)| id)
                    .try_for_each(|id| self.on_missing_node(id, shapes))
            }
            (Some(Question::Leaves(asked)), Reply::Bitmap(had)) if had.len() == asked => {
                let items = self
                    .queue
                    .iter_mut()
                    .filter(|item| item.fate == Fate::Asked);
                for (item, had) in items.zip(had) {
                    item.fate = if had { Fate::Had } else { Fate::Missing };
                }
                Ok(())
            }
            (Some(Question::Sync), Reply::Synced) => Ok(()),
            (Some(Question::Commit), Reply::Committed) => {
                self.stage = Stage::Done;
                self.left = Left::default();
                Ok(())
            }
            (Some(Question::Commit), Reply::Missing(ids)) => self.on_commit_missing(ids, shapes),
            _ => Err(UploadError::Protocol("an answer without its question")),
        }
    }

    fn on_missing_node(
        &mut self,
        id: ObjectId,
        shapes: &mut dyn Shapes,
    ) -> Result<(), UploadError> {
        let shape = known(shapes, &id)?;
        self.expect(shape.len);
        self.nodes_left.push((shape.height, id));
        for child in shape.refs {
            let below = known(shapes, &child)?;
            if below.height == 0 {
                self.expect(below.len);
            } else if below.height >= shape.height {
                return Err(UploadError::Protocol("a tree that does not end"));
            } else if self.nodes_seen.insert(child) {
                self.frontier.push_back(child);
            }
        }
        Ok(())
    }

    fn expect(&mut self, len: u64) {
        self.left.objects = self.left.objects.saturating_add(1);
        self.left.bytes = self.left.bytes.saturating_add(len);
    }

    fn on_commit_missing(
        &mut self,
        ids: Vec<ObjectId>,
        shapes: &mut dyn Shapes,
    ) -> Result<(), UploadError> {
        self.commit_rounds = self.commit_rounds.saturating_add(1);
        if ids.is_empty() || self.commit_rounds > COMMIT_ROUNDS_MAX {
            return Err(UploadError::Hopeless);
        }
        let mut lacking = Vec::with_capacity(ids.len());
        for id in ids {
            let shape = known(shapes, &id)?;
            self.expect(shape.len);
            lacking.push((shape.height, id));
        }
        lacking.sort_unstable();
        let items = lacking.into_iter().map(|(_, id)| Item {
            id,
            fate: Fate::Missing,
        });
        self.queue.extend(items);
        self.stage = Stage::Send;
        Ok(())
    }
}
