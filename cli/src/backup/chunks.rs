//! Large files: cut into chunks, each sealed under the key made from its content.
//!
//! One worker reads and cuts a file ([`FileCutter`]); the chunks of a very large one go to the pool
//! as jobs, so that every core works on it. A worker that waits for room or for its last chunks
//! does jobs itself meanwhile, so nobody waits for somebody who waits.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use packnback_proto::crypto::keys::chunk_key;
use packnback_proto::format::frame::Compressor;
use packnback_proto::format::header::Kind;
use packnback_proto::format::keyblob::seal_key_blob;
use packnback_proto::format::map::{self, Map, MapPart};
use packnback_proto::format::object::{seal_chunk, seal_object};
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{INLINE_CHUNKS_MAX, INLINE_PARTS_MAX, MAP_CHUNKS_MAX};
use parking_lot::{Condvar, Mutex};
use zeroize::{Zeroize, Zeroizing};

use super::ctx::Ctx;
use super::report::BackupError;
use crate::cache::{DataRef, PartRef};
use crate::pipeline::{Permit, Stop};
use crate::progress::{Counters, Shown};

/// Chunk key.
type Key = Zeroizing<[u8; 32]>;

/// A finished piece of a file.
enum Piece {
    Chunk { id: ObjectId, len: u32, k: Key },
    Hole { len: u64 },
}

/// Finds or stores one chunk.
fn store(ctx: &Ctx<'_>, compressor: &mut Compressor, p: &[u8]) -> Result<Piece, Stop> {
    let k = chunk_key(&ctx.chunk_key, p);
    let print = ctx.cache_key.chunk(&k);
    let len = u32::try_from(p.len())
        .map_err(|_| ctx.fail(BackupError::Internal("a chunk is too large".into())))?;
    let known = ctx.seen.chunk(&print).or_else(|| {
        let (id, known_len) = ctx
            .cache
            .chunk(&print)
            .filter(|_| ctx.shares() && !ctx.full)?;
        ctx.assume([id]);
        (known_len == len).then_some(id)
    });
    let id = match known {
        Some(id) => id,
        None => {
            let sealed = seal_chunk(compressor, &k, p)
                .map_err(|e| ctx.fail(BackupError::Format(e.to_string())))?;
            let id = ctx.put(sealed)?;
            ctx.seen.add_chunk(print, id);
            if ctx.shares() {
                ctx.facts.lock().chunks.push((print, id, len));
            }
            id
        }
    };
    Ok(Piece::Chunk {
        id,
        len,
        k: Zeroizing::new(*k.expose()),
    })
}

/// A chunk to be stored by whoever has time.
pub(super) struct Job {
    plain: Vec<u8>,
    index: usize,
    file: Arc<Pieces>,
    _permit: Permit,
}

impl Job {
    pub(super) fn run(self, ctx: &Ctx<'_>, compressor: &mut Compressor) {
        let piece = store(ctx, compressor, &self.plain);
        self.file.put(self.index, piece);
    }
}

/// The pieces of a file as they get ready, in any order.
#[derive(Default)]
struct Pieces {
    state: Mutex<PiecesState>,
    changed: Condvar,
}

#[derive(Default)]
struct PiecesState {
    /// From `first` on; `None` = under way.
    pieces: std::collections::VecDeque<Option<Piece>>,
    first: usize,
    failed: bool,
}

impl Pieces {
    fn put(&self, index: usize, piece: Result<Piece, Stop>) {
        let mut state = self.state.lock();
        let at = index.saturating_sub(state.first);
        match piece {
            Ok(piece) => {
                if let Some(slot) = state.pieces.get_mut(at) {
                    *slot = Some(piece);
                }
            }
            Err(Stop) => state.failed = true,
        }
        self.changed.notify_all();
    }

    /// Makes room for one more and says where.
    fn reserve(&self) -> usize {
        let mut state = self.state.lock();
        state.pieces.push_back(None);
        state
            .first
            .saturating_add(state.pieces.len())
            .saturating_sub(1)
    }

    /// The next pieces in file order, as far as they are ready.
    fn take_ready(&self) -> Result<Vec<Piece>, Stop> {
        let mut state = self.state.lock();
        if state.failed {
            return Err(Stop);
        }
        let mut ready = Vec::new();
        while let Some(piece) = state.pieces.front_mut().and_then(Option::take) {
            state.pieces.pop_front();
            state.first = state.first.saturating_add(1);
            ready.push(piece);
        }
        Ok(ready)
    }

    /// Whether any piece is under way.
    fn is_waiting(&self) -> bool {
        let state = self.state.lock();
        !state.failed && !state.pieces.is_empty()
    }

    /// Waits until the next piece is ready.
    fn wait(&self) {
        let mut state = self.state.lock();
        while !state.failed && matches!(state.pieces.front(), Some(None)) {
            self.changed.wait(&mut state);
        }
    }
}

/// What a worker needs to store chunks.
pub(super) struct Hands<'a, 'c> {
    pub(super) ctx: &'a Ctx<'c>,
    pub(super) compressor: &'a mut Compressor,
    pub(super) jobs: &'a Receiver<Job>,
    pub(super) queue: &'a crossbeam_channel::Sender<Job>,
    /// What the display was told of this file.
    pub(super) shown: Shown,
}

impl Hands<'_, '_> {
    /// Tells the display of bytes of a file whose end is far.
    pub(super) fn show(&mut self, bytes: u64) {
        let more = self.shown.more(bytes);
        Counters::add(&self.ctx.progress.counters().bytes_done, more);
    }
}

/// Cuts one file.
pub(super) struct FileCutter {
    pieces: Arc<Pieces>,
    /// Chunks go to the pool instead of being stored at once.
    pooled: bool,
    /// In file order, not yet in a map.
    list: Vec<Piece>,
    maps: Vec<ObjectId>,
    len: u64,
}

impl FileCutter {
    pub(super) fn new(pooled: bool) -> Self {
        Self {
            pieces: Arc::default(),
            pooled,
            list: Vec::new(),
            maps: Vec::new(),
            len: 0,
        }
    }

    /// Bytes so far, holes included.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The next chunk of the file.
    pub(super) fn chunk(&mut self, hands: &mut Hands<'_, '_>, p: &[u8]) -> Result<(), Stop> {
        hands.ctx.check()?;
        self.len = self
            .len
            .saturating_add(u64::try_from(p.len()).unwrap_or(u64::MAX));
        if !self.pooled {
            let piece = store(hands.ctx, hands.compressor, p)?;
            return self.push(hands, piece);
        }
        let permit = loop {
            if let Some(permit) = hands.ctx.chunk_budget.try_acquire(p.len()) {
                break permit;
            }
            match hands.jobs.try_recv() {
                Ok(job) => job.run(hands.ctx, hands.compressor),
                Err(_) => break hands.ctx.chunk_budget.acquire(p.len()),
            }
        };
        let job = Job {
            plain: p.to_vec(),
            index: self.pieces.reserve(),
            file: Arc::clone(&self.pieces),
            _permit: permit,
        };
        if let Err(back) = hands.queue.try_send(job) {
            back.into_inner().run(hands.ctx, hands.compressor);
        }
        self.collect(hands)
    }

    /// A hole.
    pub(super) fn hole(&mut self, hands: &mut Hands<'_, '_>, len: u64) -> Result<(), Stop> {
        self.len = self.len.saturating_add(len);
        let piece = Piece::Hole { len };
        if !self.pooled {
            return self.push(hands, piece);
        }
        let index = self.pieces.reserve();
        self.pieces.put(index, Ok(piece));
        self.collect(hands)
    }

    fn collect(&mut self, hands: &mut Hands<'_, '_>) -> Result<(), Stop> {
        for piece in self.pieces.take_ready()? {
            self.push(hands, piece)?;
        }
        Ok(())
    }

    fn push(&mut self, hands: &mut Hands<'_, '_>, piece: Piece) -> Result<(), Stop> {
        self.list.push(piece);
        if self.list.len() >= MAP_CHUNKS_MAX {
            self.seal_map(hands)?;
        }
        Ok(())
    }

    /// Waits for everything under way and describes the file.
    pub(super) fn finish(mut self, hands: &mut Hands<'_, '_>) -> Result<DataRef, Stop> {
        while self.pieces.is_waiting() {
            self.collect(hands)?;
            match hands.jobs.try_recv() {
                Ok(job) => job.run(hands.ctx, hands.compressor),
                Err(_) => self.pieces.wait(),
            }
        }
        self.collect(hands)?;
        let chunks = self
            .list
            .iter()
            .filter(|p| matches!(p, Piece::Chunk { .. }))
            .count();
        let inline = chunks <= INLINE_CHUNKS_MAX && self.list.len() <= INLINE_PARTS_MAX;
        if self.maps.is_empty() && inline {
            return self.inline(hands.ctx);
        }
        if !self.list.is_empty() {
            self.seal_map(hands)?;
        }
        Ok(DataRef::Maps(self.maps))
    }

    fn inline(&self, ctx: &Ctx<'_>) -> Result<DataRef, Stop> {
        let mut ids = Vec::new();
        let mut keys = Zeroizing::new(Vec::new());
        let mut parts = Vec::with_capacity(self.list.len());
        for piece in &self.list {
            match piece {
                Piece::Chunk { id, len, k } => {
                    ids.push(*id);
                    keys.push(**k);
                    parts.push(PartRef::Chunk { id: *id, len: *len });
                }
                Piece::Hole { len } => parts.push(PartRef::Hole { len: *len }),
            }
        }
        let kb = seal_key_blob(&ctx.session.blob, ctx.dom, &ids, &keys)
            .map_err(|e| ctx.fail(BackupError::Format(e.to_string())))?;
        Ok(DataRef::Chunks {
            dom: ctx.dom,
            session: (ctx.session.epk, ctx.session.epoch),
            parts,
            kb,
        })
    }

    fn seal_map(&mut self, hands: &mut Hands<'_, '_>) -> Result<(), Stop> {
        let ctx = hands.ctx;
        let format = |e: String| ctx.fail(BackupError::Format(e));
        let mut refs: Vec<ObjectId> = self
            .list
            .iter()
            .filter_map(|piece| match piece {
                Piece::Chunk { id, .. } => Some(*id),
                Piece::Hole { .. } => None,
            })
            .collect();
        refs.sort_unstable();
        refs.dedup();
        let mut map = Map {
            dom: ctx.dom,
            parts: Vec::with_capacity(self.list.len()),
        };
        for piece in self.list.drain(..) {
            map.parts.push(match piece {
                Piece::Chunk { id, len, k } => MapPart::Chunk {
                    ref_idx: super::segment::position(&refs, &id).ok_or(Stop)?,
                    len,
                    key: *k,
                },
                Piece::Hole { len } => MapPart::Hole { len },
            });
        }
        let mut raw = map::encode(&map).map_err(|e| format(e.to_string()))?;
        let header = ctx.session.header(Kind::Map, 1, refs);
        let sealed = seal_object(hands.compressor, &header, &ctx.session.map, &raw);
        raw.zeroize();
        let id = ctx.put(sealed.map_err(|e| format(e.to_string()))?)?;
        self.maps.push(id);
        Ok(())
    }
}
