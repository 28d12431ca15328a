//! Directories listed ahead of the walk by a few threads, in bounded memory.
//!
//! Every directory (and every block of a large one) is a [`Node`]. Its result names further nodes, which go on
//! a stack, first child on top: so what is listed next is what the walk needs next. Helpers stop when
//! [`WINDOW`] results wait to be taken. The walk itself lists what it needs and nobody has begun, so it
//! depends on no helper.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::WalkItem;
use super::list::{Lister, Scratch, Work};

/// Results that may wait to be taken before helpers pause.
const WINDOW: usize = 16 << 10;

/// One step of a result.
pub(super) enum Out {
    /// For the caller.
    Emit(WalkItem),
    /// Here comes the content of that node.
    Expand(Arc<Node>),
}

/// A piece of listing work and its result.
pub(super) struct Node {
    slot: Mutex<Slot>,
}

enum Slot {
    Todo(Work),
    Running,
    Done(Vec<Out>),
    Taken,
}

impl Node {
    pub(super) fn new(work: Work) -> Arc<Node> {
        Arc::new(Node {
            slot: Mutex::new(Slot::Todo(work)),
        })
    }

    /// The work, if nobody has begun it.
    fn begin(&self) -> Option<Work> {
        let mut slot = self.slot.lock();
        if !matches!(*slot, Slot::Todo(_)) {
            return None;
        }
        match std::mem::replace(&mut *slot, Slot::Running) {
            Slot::Todo(work) => Some(work),
            _ => None,
        }
    }

    /// The result, if it is there.
    fn take(&self) -> Option<Vec<Out>> {
        let mut slot = self.slot.lock();
        if !matches!(*slot, Slot::Done(_)) {
            return None;
        }
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Done(outs) => Some(outs),
            _ => None,
        }
    }
}

/// What helpers and the walk share.
pub(super) struct Pool {
    pub(super) lister: Lister,
    queue: Mutex<Queue>,
    /// Helpers wait here for work or room.
    work: Condvar,
    /// The walk waits here for a result.
    done: Condvar,
}

#[derive(Default)]
struct Queue {
    stack: Vec<Arc<Node>>,
    waiting_results: usize,
    idle_helpers: usize,
    walk_waits: bool,
    stop: bool,
}

impl Pool {
    pub(super) fn new(lister: Lister) -> Arc<Pool> {
        Arc::new(Pool {
            lister,
            queue: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        })
    }

    /// What a helper thread does until [`Pool::stop`].
    pub(super) fn help(&self) {
        let mut scratch = Scratch::new();
        loop {
            let node = {
                let mut queue = self.queue.lock();
                loop {
                    if queue.stop {
                        return;
                    }
                    if queue.waiting_results < WINDOW
                        && let Some(node) = queue.stack.pop()
                    {
                        break node;
                    }
                    queue.idle_helpers += 1;
                    self.work.wait(&mut queue);
                    queue.idle_helpers -= 1;
                }
            };
            if let Some(work) = node.begin() {
                let outs = self.lister.run(work, &mut scratch);
                self.publish(&node, outs);
            }
        }
    }

    /// Ends the helpers.
    pub(super) fn stop(&self) {
        let mut queue = self.queue.lock();
        queue.stop = true;
        queue.stack.clear();
        self.work.notify_all();
    }

    fn publish(&self, node: &Node, outs: Vec<Out>) {
        let count = outs.len();
        let next: Vec<Arc<Node>> = expands(&outs);
        *node.slot.lock() = Slot::Done(outs);
        let mut queue = self.queue.lock();
        queue.waiting_results += count;
        self.push(&mut queue, next);
        if queue.walk_waits {
            self.done.notify_one();
        }
    }

    fn push(&self, queue: &mut Queue, next: Vec<Arc<Node>>) {
        if queue.stop {
            return;
        }
        let wake = next.len().min(queue.idle_helpers);
        queue.stack.extend(next.into_iter().rev());
        if queue.waiting_results < WINDOW {
            for _ in 0..wake {
                self.work.notify_one();
            }
        }
    }

    /// The result of a node: taken if ready, awaited if a helper is at it, made here otherwise.
    pub(super) fn get(&self, node: &Arc<Node>, scratch: &mut Scratch) -> Vec<Out> {
        if let Some(work) = node.begin() {
            let outs = self.lister.run(work, scratch);
            *node.slot.lock() = Slot::Taken;
            let next = expands(&outs);
            if !next.is_empty() {
                self.push(&mut self.queue.lock(), next);
            }
            return outs;
        }
        let mut queue = self.queue.lock();
        let outs = loop {
            if let Some(outs) = node.take() {
                break outs;
            }
            queue.walk_waits = true;
            self.done.wait(&mut queue);
            queue.walk_waits = false;
        };
        let before = queue.waiting_results;
        queue.waiting_results = before.saturating_sub(outs.len());
        // Only when half the window is free again, so that helpers do not wake for single results.
        if before >= WINDOW / 2 && queue.waiting_results < WINDOW / 2 && queue.idle_helpers > 0 {
            self.work.notify_all();
        }
        outs
    }
}

fn expands(outs: &[Out]) -> Vec<Arc<Node>> {
    outs.iter()
        .filter_map(|out| match out {
            Out::Expand(node) => Some(Arc::clone(node)),
            Out::Emit(_) => None,
        })
        .collect()
}
