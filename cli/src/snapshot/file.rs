//! The content of one file, at any offset.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{MAP_CHUNKS_MAX, PACK_TARGET};
use parking_lot::Mutex;

use super::Snapshot;
use super::cache::Value;
use super::entries::Node;
use super::layout::{Layout, Piece, Place, Stretch};
use super::open::{Asked, Fault, bad};

/// Plain bytes asked for ahead of who reads on.
const AHEAD: u64 = 16 << 20;
/// What a map takes, about, before it is known.
const MAP: usize = MAP_CHUNKS_MAX * 80;

/// One file of a snapshot, open for reading. To be shared by threads.
pub struct File<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    path: Vec<u8>,
    size: u64,
    layout: Layout,
    /// Where each map ends, as far as they were read.
    ends: Mutex<Vec<u64>>,
    /// Where the last read ended.
    last: AtomicU64,
}

/// A stretch of pieces and where it starts in the file.
struct Found {
    start: u64,
    stretch: Arc<Value>,
}

impl<'a> Snapshot<'a> {
    /// Opens a file. Further hard links of it are read where its content is listed.
    ///
    /// # Errors
    /// [`Fault`] if what lists its content cannot be read.
    pub fn file(&self, node: &Node) -> Result<File<'_, 'a>, Fault> {
        let first = self.first_link(node)?;
        let data = first.as_ref().unwrap_or(node);
        let of = Layout::of(self.reader.keys(), data.entry.data.as_ref(), &data.tables);
        let layout = of.map_err(|reason| bad(self.tree.id, reason))?;
        Ok(File {
            snapshot: self,
            path: node.entry.path.clone(),
            size: node.entry.size,
            layout,
            ends: Mutex::default(),
            last: AtomicU64::new(0),
        })
    }

    /// Reads content from an offset on into `buf`; says how much there was.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read_at(
        &self,
        file: &File<'_, '_>,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, Fault> {
        file.read_at(offset, buf)
    }

    /// Of a hard link without content of its own: the one that has it.
    fn first_link(&self, node: &Node) -> Result<Option<Node>, Fault> {
        let entry = &node.entry;
        let Some(group) = entry
            .hardlink
            .filter(|_| entry.data.is_none() && entry.size > 0)
        else {
            return Ok(None);
        };
        let mut links = self.links.lock();
        if links.is_none() {
            let mut found = HashMap::new();
            for node in self.entries(&[]) {
                let entry = node?.entry;
                if let Some(group) = entry.hardlink.filter(|_| entry.data.is_some()) {
                    found.entry(group).or_insert(entry.path);
                }
            }
            *links = Some(found);
        }
        let path = links.as_ref().and_then(|links| links.get(&group)).cloned();
        drop(links);
        let first = path.map(|path| self.lookup(&path)).transpose()?.flatten();
        let missing = "the file it is a hard link of is not in the snapshot";
        first.map_or_else(|| Err(bad(self.tree.id, missing)), |node| Ok(Some(node)))
    }

    pub(super) fn take(
        &self,
        id: ObjectId,
        asked: Option<Asked<'a>>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut asked = match asked {
            Some(asked) => asked,
            None => self.reader.ask(&[id])?,
        };
        Ok(asked.take()?)
    }

    /// Lends a decompressor: making one costs more than opening a small object.
    pub(super) fn with_decompressor<T>(
        &self,
        id: ObjectId,
        work: impl FnOnce(&mut Decompressor) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let lent = self.decompressors.lock().pop();
        let mut decompressor = match lent {
            Some(decompressor) => decompressor,
            None => Decompressor::new().map_err(|e| bad(id, e))?,
        };
        let done = work(&mut decompressor);
        self.decompressors.lock().push(decompressor);
        done
    }

    /// The content of a pack.
    pub(crate) fn pack(&self, id: ObjectId) -> Result<Content, Fault> {
        let value = self.cache.get(id, PACK_TARGET, |asked| {
            let bytes = self.take(id, asked)?;
            self.with_decompressor(id, |decompressor| {
                let opened = self.reader.open(decompressor, id, bytes, &[Kind::Pack])?;
                Ok(Value::Pack(opened.raw))
            })
        })?;
        Content::of(id, value)
    }

    /// Asks for a pack that will be wanted soon.
    pub(crate) fn pack_ahead(&self, id: ObjectId) -> Result<(), Fault> {
        self.cache.ahead(self.reader, id, PACK_TARGET)
    }

    pub(super) fn chunk(&self, place: &Place) -> Result<Content, Fault> {
        let id = place.id;
        let len = usize::try_from(place.len).map_err(|e| bad(id, e))?;
        let open = |asked| {
            let bytes = self.take(id, asked)?;
            let mut out = Vec::with_capacity(len);
            self.with_decompressor(id, |decompressor| {
                self.reader.open_chunk(decompressor, place, bytes, &mut out)
            })?;
            Ok(Value::Chunk(place.duplicate(), out))
        };
        let value = self.cache.get(id, len, open)?;
        let value = match &*value {
            Value::Chunk(opened, _) if opened.is(place) => value,
            // The same object under other keys, or another length: they are checked for themselves.
            _ => Arc::new(open(None)?),
        };
        Content::of(id, value)
    }

    fn map(&self, id: ObjectId) -> Result<Arc<Value>, Fault> {
        let value = self.cache.get(id, MAP, |_| {
            let asked = self.reader.ask(&[id])?;
            Ok(Value::Map(self.reader.map(id, asked)?))
        })?;
        match &*value {
            Value::Map(_) => Ok(value),
            _ => Err(bad(id, "it is of another kind than its place says")),
        }
    }
}

/// Opened content, shared with the cache.
pub(crate) struct Content(Arc<Value>);

impl Content {
    fn of(id: ObjectId, value: Arc<Value>) -> Result<Self, Fault> {
        match &*value {
            Value::Pack(_) | Value::Chunk(..) => Ok(Self(value)),
            _ => Err(bad(id, "it is of another kind than its place says")),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &*self.0 {
            Value::Pack(bytes) | Value::Chunk(_, bytes) => bytes,
            _ => &[],
        }
    }
}

/// Fills the front of `buf` from `bytes`, of which so many are passed over. How many were filled.
fn fill(buf: &mut [u8], bytes: &[u8], skip: u64) -> usize {
    let from = usize::try_from(skip)
        .ok()
        .and_then(|skip| bytes.get(skip..));
    let from = from.unwrap_or_default();
    buf.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    buf.len().min(from.len())
}

impl File<'_, '_> {
    /// Length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its stored path.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Reads from an offset on into `buf`; says how much there was: less than asked for only at the end.
    ///
    /// # Errors
    /// [`Fault`]; what is in `buf` is then of no use.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Fault> {
        let left = self.size.saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let wanted = buf.get_mut(..most).unwrap_or_default();
        let (mut at, mut done) = (offset, 0);
        while let Some(rest) = wanted.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let read = self.some(at, rest)?;
            if read == 0 {
                return Err(self.fault("its content is shorter than its entry says"));
            }
            done = done.saturating_add(read);
            at = at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
        if self.last.swap(at, Ordering::Relaxed) == offset {
            // What was read was read. If the source is gone, the next read finds out.
            self.ahead(at).unwrap_or(());
        }
        Ok(done)
    }

    fn fault(&self, reason: &str) -> Fault {
        bad(self.snapshot.tree.id, reason)
    }

    /// Reads at least one byte, unless there is none: to the end of one piece at most.
    fn some(&self, at: u64, buf: &mut [u8]) -> Result<usize, Fault> {
        let found = match &self.layout {
            Layout::Empty => return Ok(0),
            Layout::Pack { id, off, len } => {
                let content = self.snapshot.pack(*id)?;
                let (off, end) = (
                    u64::from(*off),
                    u64::from(*off).saturating_add((*len).into()),
                );
                let end = usize::try_from(end).unwrap_or(usize::MAX);
                let bytes = content
                    .bytes()
                    .get(..end)
                    .ok_or_else(|| self.fault("its pack is shorter than its entry says"))?;
                return Ok(fill(buf, bytes, off.saturating_add(at)));
            }
            Layout::Inline(stretch) => return self.piece(stretch, 0, at, buf),
            Layout::Maps(maps) => self.find(maps, at)?,
        };
        match found.as_ref().map(|found| (&*found.stretch, found.start)) {
            Some((Value::Map(stretch), start)) => self.piece(stretch, start, at, buf),
            _ => Ok(0),
        }
    }

    /// Reads from the piece that covers an offset.
    fn piece(
        &self,
        stretch: &Stretch,
        start: u64,
        at: u64,
        buf: &mut [u8],
    ) -> Result<usize, Fault> {
        let mut begin = start;
        for piece in &stretch.pieces {
            let end = begin.saturating_add(piece.len());
            if at < end {
                let skip = at.saturating_sub(begin);
                let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
                let most = left.min(buf.len());
                let buf = buf.get_mut(..most).unwrap_or_default();
                return Ok(match piece {
                    Piece::Hole(_) => {
                        buf.fill(0);
                        most
                    }
                    Piece::Chunk(place) => fill(buf, self.snapshot.chunk(place)?.bytes(), skip),
                });
            }
            begin = end;
        }
        Ok(0)
    }

    /// The map that covers an offset. How long maps are is known once they were read.
    fn find(&self, maps: &[ObjectId], at: u64) -> Result<Option<Found>, Fault> {
        let mut ends = self.ends.lock();
        loop {
            let known = ends.partition_point(|end| *end <= at);
            let before = known.checked_sub(1).and_then(|before| ends.get(before));
            let start = before.copied().unwrap_or(0);
            let Some(id) = maps.get(known) else {
                return Ok(None);
            };
            let stretch = self.snapshot.map(*id)?;
            if known < ends.len() {
                return Ok(Some(Found { start, stretch }));
            }
            let len = match &*stretch {
                Value::Map(stretch) => stretch.len(),
                _ => 0,
            };
            ends.push(start.saturating_add(len));
        }
    }

    /// Asks for what comes behind an offset, if that is in the same list of pieces.
    fn ahead(&self, from: u64) -> Result<(), Fault> {
        let found;
        let (stretch, start) = match &self.layout {
            Layout::Inline(stretch) => (stretch, 0),
            Layout::Maps(maps) => {
                found = self.find(maps, from)?;
                match found.as_ref().map(|found| (&*found.stretch, found.start)) {
                    Some((Value::Map(stretch), start)) => (stretch, start),
                    _ => return Ok(()),
                }
            }
            Layout::Empty | Layout::Pack { .. } => return Ok(()),
        };
        let room = u64::try_from(self.snapshot.cache.limit() / 2).unwrap_or(u64::MAX);
        let until = from.saturating_add(AHEAD.min(room));
        let mut begin = start;
        for piece in &stretch.pieces {
            let end = begin.saturating_add(piece.len());
            if begin >= until {
                break;
            }
            if let Piece::Chunk(place) = piece
                && end > from
                && end <= until
            {
                let len = usize::try_from(place.len).unwrap_or(usize::MAX);
                let (cache, reader) = (&self.snapshot.cache, self.snapshot.reader);
                cache.ahead(reader, place.id, len)?;
            }
            begin = end;
        }
        Ok(())
    }
}
