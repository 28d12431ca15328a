//! Files in chunks: written in parallel, each chunk at its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use packnback_proto::format::entry::Entry;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::GET_IDS_MAX;
use parking_lot::{Mutex, RwLock};

use super::ctx::Ctx;
use super::options::RestoreError;
use super::verify::{self, Check};
use crate::fs::{Created, Done, FileSink, WriteError};
use crate::pipeline::{Permit, Stop};
use crate::progress::Counters;
use crate::snapshot::{Asked, Fault, Layout, Piece, Place, Room, Stretch};

/// Plain bytes fetched together.
const TOGETHER_BYTES: u64 = 4 << 20;

/// A chunk and its place in the file.
struct At {
    place: Place,
    off: u64,
    /// It is known to be zeros, so it is not fetched again.
    is_zero: bool,
}

/// Chunks of zeros that were seen: a run of them is the same chunk over and over, fetched and opened once.
#[derive(Default)]
pub(super) struct Zeros(Mutex<Vec<Place>>);

/// Zeros of so many lengths are remembered: a run has one, and what is left at its ends.
const ZEROS_KNOWN: usize = 8;

impl Zeros {
    fn knows(&self, place: &Place) -> bool {
        self.0.lock().iter().any(|known| known.is(place))
    }

    fn learn(&self, place: &Place) {
        let mut known = self.0.lock();
        if known.len() < ZEROS_KNOWN && !known.iter().any(|known| known.is(place)) {
            known.push(place.duplicate());
        }
    }
}

fn is_zero(content: &[u8]) -> bool {
    content.iter().all(|byte| *byte == 0)
}

/// A file being restored by several workers.
pub(super) struct Large {
    entry: Entry,
    /// `None` once finished, or if it is in place already and only read back.
    sink: RwLock<Option<FileSink>>,
    /// How many still work on it.
    open: AtomicUsize,
    /// Bytes the display was told of.
    shown: AtomicU64,
    fault: Mutex<Option<String>>,
    /// What to read back at the end, if asked to.
    checks: Mutex<Vec<Check>>,
}

/// Some chunks of a file, on their way.
pub(super) struct ChunkJob<'a> {
    file: Arc<Large>,
    chunks: Vec<At>,
    coming: Asked<'a>,
    /// Room for them.
    _permit: Permit,
}

impl Large {
    /// Starts a file; `None` if it is not to be written (that is then done with).
    pub(super) fn start(ctx: &Ctx<'_>, entry: Entry) -> Result<Option<Arc<Self>>, Stop> {
        let sink = match ctx.target.create_file(&entry) {
            Ok(Created::Write(sink)) => Some(sink),
            Ok(Created::No(done)) => {
                let looks = ctx.options.verify && done == Done::Kept;
                ctx.done(&entry, Ok(done))?;
                if !looks {
                    return Ok(None);
                }
                None
            }
            Err(error) => return ctx.done(&entry, Err(error)).map(|()| None),
        };
        Ok(Some(Arc::new(Self {
            entry,
            sink: RwLock::new(sink),
            open: AtomicUsize::new(1),
            shown: AtomicU64::new(0),
            fault: Mutex::new(None),
            checks: Mutex::default(),
        })))
    }

    fn is_written(&self) -> bool {
        self.sink.read().is_some()
    }

    fn spoil(&self, reason: String) {
        self.fault.lock().get_or_insert(reason);
    }

    fn is_spoiled(&self) -> bool {
        self.fault.lock().is_some()
    }

    /// One of those who work on it is done; the last one finishes the file.
    pub(super) fn release(&self, ctx: &Ctx<'_>) -> Result<(), Stop> {
        if self.open.fetch_sub(1, Ordering::AcqRel) != 1 {
            return Ok(());
        }
        let sink = self.sink.write().take();
        if let Some(fault) = self.fault.lock().take() {
            drop(sink);
            ctx.damaged(&self.entry.path, fault);
            return Ok(());
        }
        if let Some(sink) = sink {
            let finished = sink.finish(&self.entry);
            let written = finished.is_ok();
            ctx.done_rest(&self.entry, Counters::get(&self.shown), finished)?;
            if !written {
                return Ok(());
            }
            Counters::add(&ctx.numbers.bytes_written, self.entry.size);
        }
        if ctx.options.verify {
            verify::large(ctx, &self.entry, &self.checks.lock());
        }
        Ok(())
    }

    /// Writes a chunk, or zeros if there is no content.
    fn put(&self, content: Option<&[u8]>, at: &At) -> Result<(), WriteError> {
        let sink = self.sink.read();
        let Some(sink) = sink.as_ref() else {
            return Ok(());
        };
        match content {
            Some(content) => sink.write_at(at.off, content),
            None => sink.zeros(at.off, u64::from(at.place.len)),
        }
    }

    /// A hole.
    pub(super) fn hole(&self, off: u64, len: u64) {
        let made = self
            .sink
            .read()
            .as_ref()
            .map_or(Ok(()), |sink| sink.hole(off, len));
        if let Err(error) = made {
            self.spoil(error.to_string());
        }
    }
}

impl ChunkJob<'_> {
    pub(super) fn run(
        mut self,
        ctx: &Ctx<'_>,
        decompressor: &mut Decompressor,
        room: &mut Room,
    ) -> Result<(), Stop> {
        if !self.file.is_spoiled() {
            match self.write(ctx, decompressor, room) {
                Ok(()) => {}
                Err(Fault::Source(error)) => return Err(ctx.fail(error.into())),
                Err(fault) => {
                    ctx.blame_source();
                    self.file.spoil(fault.reason());
                }
            }
        }
        self.file.release(ctx)
    }

    fn write(
        &mut self,
        ctx: &Ctx<'_>,
        decompressor: &mut Decompressor,
        room: &mut Room,
    ) -> Result<(), Fault> {
        let reader = ctx.snapshot.reader();
        for at in &self.chunks {
            let written = if at.is_zero {
                self.file.put(None, at)
            } else {
                let bytes = self.coming.take()?;
                Counters::add(&ctx.numbers.objects, u64::from(bytes.is_some()));
                let content = reader.open_chunk_in(decompressor, &at.place, bytes, room)?;
                if is_zero(content) {
                    ctx.zeros.learn(&at.place);
                    self.file.put(None, at)
                } else {
                    self.file.put(Some(content), at)
                }
            };
            if let Err(error) = written {
                if error.is_fatal() {
                    let fatal = RestoreError::Target {
                        path: ctx.options.target.clone(),
                        reason: error.to_string(),
                    };
                    let Stop = ctx.fail(fatal);
                }
                self.file.spoil(error.to_string());
                return Ok(());
            }
        }
        // Once for all of them: a few megabytes.
        let lens = self.chunks.iter().map(|at| u64::from(at.place.len));
        let written = lens.sum();
        Counters::add(&self.file.shown, written);
        Counters::add(&ctx.progress.counters().bytes_done, written);
        Ok(())
    }
}

/// Takes the work on one file.
pub(super) type Send<'s, 'c> = &'s mut dyn FnMut(ChunkJob<'c>) -> Result<(), Stop>;

/// Hands out the work on one file: jobs to `send`, holes at once.
pub(super) struct Spread<'s, 'c> {
    ctx: &'s Ctx<'c>,
    file: Arc<Large>,
    off: u64,
    chunks: Vec<At>,
    bytes: u64,
    send: Send<'s, 'c>,
}

impl<'s, 'c> Spread<'s, 'c> {
    pub(super) fn new(ctx: &'s Ctx<'c>, file: Arc<Large>, send: Send<'s, 'c>) -> Self {
        Self {
            ctx,
            file,
            off: 0,
            chunks: Vec::new(),
            bytes: 0,
            send,
        }
    }

    /// All of the file.
    pub(super) fn all(mut self, layout: Result<Layout, String>) -> Result<(), Stop> {
        match layout {
            Ok(Layout::Inline(stretch)) => self.stretch(stretch)?,
            Ok(Layout::Maps(maps)) => {
                self.maps(&maps)?;
            }
            Ok(Layout::Empty | Layout::Pack { .. }) => {}
            Err(reason) => self.spoil(reason),
        }
        self.flush()?;
        self.file.release(self.ctx)
    }

    /// Map by map, the next one being on its way.
    fn maps(&mut self, maps: &[ObjectId]) -> Result<(), Stop> {
        let reader = self.ctx.snapshot.reader();
        let ctx = self.ctx;
        let gone = |error| ctx.fail(RestoreError::Node(error));
        let mut next = None;
        for (n, id) in maps.iter().enumerate() {
            let asked = match next.take() {
                Some(asked) => asked,
                None => reader.ask(&[*id]).map_err(gone)?,
            };
            let behind = maps.get(n.saturating_add(1));
            next = behind
                .map(|id| reader.ask(&[*id]).map_err(gone))
                .transpose()?;
            match reader.map(*id, asked) {
                Ok(stretch) => self.stretch(stretch)?,
                Err(Fault::Source(error)) => return Err(gone(error)),
                Err(fault) => {
                    self.spoil(fault.reason());
                    break;
                }
            }
        }
        Ok(())
    }

    fn spoil(&self, reason: String) {
        self.ctx.blame_source();
        self.file.spoil(reason);
    }

    fn stretch(&mut self, stretch: Stretch) -> Result<(), Stop> {
        for piece in stretch.pieces {
            let len = piece.len();
            match piece {
                Piece::Hole(len) => self.hole(len),
                Piece::Chunk(place) => self.chunk(place)?,
            }
            self.off = self.off.saturating_add(len);
        }
        Ok(())
    }

    fn hole(&mut self, len: u64) {
        self.file.hole(self.off, len);
        if self.ctx.options.verify {
            self.file
                .checks
                .lock()
                .push(Check::Hole { off: self.off, len });
        }
    }

    fn chunk(&mut self, place: Place) -> Result<(), Stop> {
        let len = u64::from(place.len);
        let is_full = self.chunks.len() >= GET_IDS_MAX;
        if is_full || self.bytes.saturating_add(len) > TOGETHER_BYTES {
            self.flush()?;
        }
        let off = self.off;
        if self.ctx.options.verify {
            let place = place.duplicate();
            self.file.checks.lock().push(Check::Chunk { off, place });
        }
        let is_zero = self.ctx.zeros.knows(&place);
        self.chunks.push(At {
            place,
            off,
            is_zero,
        });
        self.bytes = self.bytes.saturating_add(len);
        Ok(())
    }

    /// Asks for the chunks that are waiting, once there is room for them, and hands them on.
    fn flush(&mut self) -> Result<(), Stop> {
        let bytes = usize::try_from(std::mem::take(&mut self.bytes)).unwrap_or(usize::MAX);
        let chunks = std::mem::take(&mut self.chunks);
        if chunks.is_empty() || !self.file.is_written() {
            return Ok(());
        }
        let permit = self.ctx.ahead.acquire(bytes);
        self.ctx.check()?;
        let wanted = chunks.iter().filter(|at| !at.is_zero);
        let ids: Vec<ObjectId> = wanted.map(|at| at.place.id).collect();
        let coming = self.ctx.snapshot.reader().ask(&ids);
        let coming = coming.map_err(|error| self.ctx.fail(error.into()))?;
        self.file.open.fetch_add(1, Ordering::AcqRel);
        (self.send)(ChunkJob {
            file: Arc::clone(&self.file),
            chunks,
            coming,
            _permit: permit,
        })
    }
}
