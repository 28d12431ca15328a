//! Files in chunks: written in parallel, each chunk at its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::entry::{DOM_PRIVATE, Entry, Part};
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::Kind;
use packnback_proto::format::keyblob::{chunk_ids, open_key_blob};
use packnback_proto::format::map::{self, MapPart};
use packnback_proto::format::object::open_chunk_into;
use packnback_proto::format::segment::Session;
use packnback_proto::ids::ObjectId;
use parking_lot::{Mutex, RwLock};

use super::ctx::{Ctx, Stop};
use super::keys::ReaderKeys;
use super::open::{ObjectFault, bad};
use super::tree::reference;
use super::verify::{self, Check};
use crate::fs::{Created, Done, FileSink};
use crate::progress::Counters;

/// Plain bytes fetched together.
const TOGETHER_BYTES: u64 = 4 << 20;

/// A chunk and its place in the file.
pub(super) struct Place {
    pub(super) id: ObjectId,
    pub(super) k: Secret32,
    pub(super) len: u32,
    pub(super) off: u64,
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

/// Some chunks of a file.
pub(super) struct ChunkJob {
    pub(super) file: Arc<Large>,
    pub(super) ck: Arc<Secret32>,
    pub(super) places: Vec<Place>,
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

impl ChunkJob {
    /// Announces work on a file.
    pub(super) fn new(file: &Arc<Large>, ck: &Arc<Secret32>, places: Vec<Place>) -> Self {
        file.open.fetch_add(1, Ordering::AcqRel);
        Self {
            file: Arc::clone(file),
            ck: Arc::clone(ck),
            places,
        }
    }

    pub(super) fn run(
        self,
        ctx: &Ctx<'_>,
        decompressor: &mut Decompressor,
        buf: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        if !self.file.is_spoiled() {
            match self.write(ctx, decompressor, buf) {
                Ok(()) => {}
                Err(ObjectFault::Source(error)) => return Err(ctx.fail(error.into())),
                Err(fault) => {
                    ctx.blame_source();
                    self.file.spoil(fault.reason());
                }
            }
        }
        self.file.release(ctx)
    }

    fn write(
        &self,
        ctx: &Ctx<'_>,
        decompressor: &mut Decompressor,
        buf: &mut Vec<u8>,
    ) -> Result<(), ObjectFault> {
        let ids: Vec<ObjectId> = self.places.iter().map(|place| place.id).collect();
        let objects = ctx.reader.fetch(&ids)?;
        for (place, bytes) in self.places.iter().zip(objects) {
            let bytes = bytes.ok_or(ObjectFault::Missing(place.id))?;
            Counters::add(&ctx.numbers.objects, 1);
            let len = usize::try_from(place.len).map_err(|e| bad(place.id, e))?;
            open_chunk_into(
                decompressor,
                &bytes,
                &place.id,
                &place.k,
                Some(&self.ck),
                len,
                buf,
            )
            .map_err(|e| bad(place.id, e))?;
            drop(bytes);
            let sink = self.file.sink.read();
            let written = sink
                .as_ref()
                .map_or(Ok(()), |sink| sink.write_at(place.off, buf));
            if let Err(error) = written {
                if error.is_fatal() {
                    let fatal = super::options::RestoreError::Target {
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
        let written = self.places.iter().map(|place| u64::from(place.len)).sum();
        Counters::add(&self.file.shown, written);
        Counters::add(&ctx.progress.counters().bytes_done, written);
        Ok(())
    }
}

/// The key of chunk keys of a domain.
fn key_of_keys(keys: &ReaderKeys, dom: u32, session: Session) -> Result<Secret32, String> {
    if dom == DOM_PRIVATE {
        let session = keys
            .session(&session.0, session.1)
            .map_err(|e| e.to_string())?;
        Ok(session.chunk_priv.duplicate())
    } else {
        let group = keys.group(dom).map_err(|e| e.to_string())?;
        Ok(group.chunk().duplicate())
    }
}

/// Hands out the work on one file: jobs to `send`, holes at once.
pub(super) struct Spread<'s, 'c> {
    ctx: &'s Ctx<'c>,
    file: Arc<Large>,
    ck: Option<Arc<Secret32>>,
    off: u64,
    places: Vec<Place>,
    bytes: u64,
    send: &'s mut dyn FnMut(ChunkJob) -> Result<(), Stop>,
}

impl<'s, 'c> Spread<'s, 'c> {
    pub(super) fn new(
        ctx: &'s Ctx<'c>,
        file: Arc<Large>,
        send: &'s mut dyn FnMut(ChunkJob) -> Result<(), Stop>,
    ) -> Self {
        Self {
            ctx,
            file,
            ck: None,
            off: 0,
            places: Vec::new(),
            bytes: 0,
            send,
        }
    }

    /// A file whose chunks are in its entry.
    pub(super) fn inline(
        mut self,
        (dom, session): (u32, Session),
        parts: &[Part],
        kb: &[u8],
        refs: &[ObjectId],
    ) -> Result<(), Stop> {
        let opened = self.open_inline((dom, session), parts, kb, refs);
        match opened {
            Ok((ids, keys)) => {
                let mut chunks = ids.into_iter().zip(keys.iter());
                for part in parts {
                    match *part {
                        Part::Hole { len } => self.hole(len),
                        Part::Chunk { len, .. } => {
                            if let Some((id, k)) = chunks.next() {
                                self.chunk(id, Secret32::init_with(|out| *out = *k), len)?;
                            }
                        }
                    }
                }
            }
            Err(reason) => {
                self.ctx.blame_source();
                self.file.spoil(reason);
            }
        }
        self.finish()
    }

    #[expect(
        clippy::type_complexity,
        reason = "ids and their keys, taken apart at once"
    )]
    fn open_inline(
        &mut self,
        (dom, session): (u32, Session),
        parts: &[Part],
        kb: &[u8],
        refs: &[ObjectId],
    ) -> Result<(Vec<ObjectId>, zeroize::Zeroizing<Vec<[u8; 32]>>), String> {
        let keys = self.ctx.reader.keys;
        let ids = chunk_ids(parts, refs).map_err(|e| e.to_string())?;
        self.ck = Some(Arc::new(key_of_keys(keys, dom, session)?));
        let session = keys
            .session(&session.0, session.1)
            .map_err(|e| e.to_string())?;
        let opened = open_key_blob(&session.blob, dom, &ids, kb).map_err(|e| e.to_string())?;
        Ok((ids, opened))
    }

    /// A file whose chunks are in maps.
    pub(super) fn maps(mut self, maps: &[ObjectId]) -> Result<(), Stop> {
        for id in maps {
            match self.map(*id) {
                Ok(Ok(())) => {}
                Ok(Err(ObjectFault::Source(error))) => return Err(self.ctx.fail(error.into())),
                Ok(Err(fault)) => {
                    self.ctx.blame_source();
                    self.file.spoil(fault.reason());
                    break;
                }
                Err(stop) => return Err(stop),
            }
        }
        self.finish()
    }

    fn map(&mut self, id: ObjectId) -> Result<Result<(), ObjectFault>, Stop> {
        let opened = Decompressor::new()
            .map_err(|e| bad(id, e))
            .and_then(|mut d| self.ctx.reader.get(&mut d, id, &[Kind::Map]));
        let opened = match opened {
            Ok(opened) => opened,
            Err(fault) => return Ok(Err(fault)),
        };
        let raw = zeroize::Zeroizing::new(opened.raw);
        let map = match map::decode(&raw, opened.header.refs.len()) {
            Ok(map) => map,
            Err(error) => return Ok(Err(bad(id, error))),
        };
        let session = (opened.header.epk.unwrap_or_default(), opened.header.epoch);
        match key_of_keys(self.ctx.reader.keys, map.dom, session) {
            Ok(ck) => self.ck = Some(Arc::new(ck)),
            Err(reason) => return Ok(Err(bad(id, reason))),
        }
        for part in &map.parts {
            match part {
                MapPart::Hole { len } => self.hole(*len),
                MapPart::Chunk { ref_idx, len, key } => {
                    let chunk = reference(&opened.header.refs, *ref_idx);
                    self.chunk(chunk, Secret32::init_with(|out| *out = *key), *len)?;
                }
            }
        }
        // The next map may be of another domain.
        self.flush()?;
        Ok(Ok(()))
    }

    fn hole(&mut self, len: u64) {
        self.file.hole(self.off, len);
        if self.ctx.options.verify {
            self.file
                .checks
                .lock()
                .push(Check::Hole { off: self.off, len });
        }
        self.off = self.off.saturating_add(len);
    }

    fn chunk(&mut self, id: ObjectId, k: Secret32, len: u32) -> Result<(), Stop> {
        if self.bytes.saturating_add(len.into()) > TOGETHER_BYTES {
            self.flush()?;
        }
        if let Some(ck) = self.ck.as_ref().filter(|_| self.ctx.options.verify) {
            let (k, ck) = (k.duplicate(), Arc::clone(ck));
            let check = Check::Chunk {
                off: self.off,
                len,
                k,
                ck,
            };
            self.file.checks.lock().push(check);
        }
        self.places.push(Place {
            id,
            k,
            len,
            off: self.off,
        });
        self.off = self.off.saturating_add(len.into());
        self.bytes = self.bytes.saturating_add(len.into());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.bytes = 0;
        let places = std::mem::take(&mut self.places);
        match &self.ck {
            Some(ck) if !places.is_empty() && self.file.is_written() => {
                (self.send)(ChunkJob::new(&self.file, ck, places))
            }
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(), Stop> {
        self.flush()?;
        self.file.release(self.ctx)
    }
}
