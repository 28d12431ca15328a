//! Packs: small files put together until there is enough to seal.
//!
//! Each worker fills a pack of its own, carried over from batch to batch. An entry refers to the
//! [`PackSlot`], which learns the id when the pack is sealed. Whoever cannot wait for a pack to
//! fill ([`PackBox::flush`]) takes it out of the worker's hands and seals it.

use std::sync::Arc;

use packnback_proto::format::frame::Compressor;
use packnback_proto::format::header::Kind;
use packnback_proto::format::object::seal_object;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{PACK_TARGET, SMALL_MAX};
use parking_lot::{Condvar, Mutex};

use super::ctx::Ctx;
use super::report::BackupError;
use crate::pipeline::Stop;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Sealed(ObjectId),
    Failed,
}

/// The id of a pack, once it has one.
pub(super) struct PackSlot {
    state: Mutex<State>,
    changed: Condvar,
}

impl PackSlot {
    fn new() -> Self {
        Self {
            state: Mutex::new(State::Open),
            changed: Condvar::new(),
        }
    }

    fn set(&self, state: State) {
        let mut now = self.state.lock();
        if *now == State::Open {
            *now = state;
            self.changed.notify_all();
        }
    }

    /// The id, if the pack is sealed.
    pub(super) fn try_id(&self) -> Option<Result<ObjectId, Stop>> {
        match *self.state.lock() {
            State::Open => None,
            State::Sealed(id) => Some(Ok(id)),
            State::Failed => Some(Err(Stop)),
        }
    }

    /// Waits for the id. Only after [`PackBox::flush`] of all workers, or it may take for ever.
    pub(super) fn wait(&self) -> Result<ObjectId, Stop> {
        let mut state = self.state.lock();
        loop {
            match *state {
                State::Open => self.changed.wait(&mut state),
                State::Sealed(id) => return Ok(id),
                State::Failed => return Err(Stop),
            }
        }
    }
}

/// A pack being filled. Dropped without being sealed, it tells those who wait.
struct OpenPack {
    raw: Vec<u8>,
    slot: Arc<PackSlot>,
}

impl Drop for OpenPack {
    fn drop(&mut self) {
        self.slot.set(State::Failed);
    }
}

/// The open pack of one worker.
#[derive(Default)]
pub(super) struct PackBox {
    open: Mutex<Option<OpenPack>>,
    /// The memory of the pack before: a buffer of this size made anew each time leaves holes that nothing else fills.
    spare: Mutex<Vec<u8>>,
}

impl PackBox {
    /// Adds a file; seals the pack if it is full.
    pub(super) fn add(
        &self,
        ctx: &Ctx<'_>,
        compressor: &mut Compressor,
        content: &[u8],
    ) -> Result<(Arc<PackSlot>, u32), Stop> {
        let mut open = self.open.lock();
        let pack = open.get_or_insert_with(|| {
            let mut raw = std::mem::take(&mut *self.spare.lock());
            raw.clear();
            raw.reserve_exact(PACK_TARGET.saturating_add(SMALL_MAX));
            OpenPack {
                raw,
                slot: Arc::new(PackSlot::new()),
            }
        });
        let slot = Arc::clone(&pack.slot);
        let off = u32::try_from(pack.raw.len())
            .map_err(|_| ctx.fail(BackupError::Internal("a pack grew too large".into())))?;
        pack.raw.extend_from_slice(content);
        let full = if pack.raw.len() >= PACK_TARGET {
            open.take()
        } else {
            None
        };
        drop(open);
        if let Some(pack) = full {
            self.seal(ctx, compressor, pack)?;
        }
        Ok((slot, off))
    }

    /// Seals what is in it.
    pub(super) fn flush(&self, ctx: &Ctx<'_>, compressor: &mut Compressor) -> Result<(), Stop> {
        let open = self.open.lock().take();
        open.map_or(Ok(()), |pack| self.seal(ctx, compressor, pack))
    }

    /// Gives up what is in it.
    pub(super) fn abandon(&self) {
        drop(self.open.lock().take());
    }

    fn seal(
        &self,
        ctx: &Ctx<'_>,
        compressor: &mut Compressor,
        mut pack: OpenPack,
    ) -> Result<(), Stop> {
        seal(ctx, compressor, &pack)?;
        *self.spare.lock() = std::mem::take(&mut pack.raw);
        Ok(())
    }
}

fn seal(ctx: &Ctx<'_>, compressor: &mut Compressor, pack: &OpenPack) -> Result<(), Stop> {
    let header = ctx.session.header(Kind::Pack, 0, Vec::new());
    let sealed = seal_object(compressor, &header, &ctx.session.pack, &pack.raw)
        .map_err(|e| ctx.fail(BackupError::Format(e.to_string())))?;
    let id = ctx.put(sealed)?;
    let total = u32::try_from(pack.raw.len()).unwrap_or(u32::MAX);
    ctx.facts.lock().packs.push((id, total));
    pack.slot.set(State::Sealed(id));
    Ok(())
}
