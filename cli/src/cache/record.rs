//! Values of the cache as bytes. A value that does not parse counts as not there.

use packnback_proto::ids::ObjectId;

use super::key::{DirKey, Hash16};

/// A chunk or hole of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartRef {
    /// A chunk.
    Chunk {
        /// Its object.
        id: ObjectId,
        /// Plain length.
        len: u32,
    },
    /// A hole.
    Hole {
        /// Length.
        len: u64,
    },
}

/// Where the content of a small file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallRef {
    /// The pack.
    pub pack: ObjectId,
    /// Offset in it.
    pub off: u32,
    /// Length.
    pub len: u32,
}

/// Where the content of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataRef {
    /// There is none.
    None,
    /// In a pack.
    Small {
        /// Keyed hash of the content.
        content: Hash16,
        /// Where.
        at: SmallRef,
    },
    /// In chunks.
    Chunks {
        /// Dedup group or private.
        dom: u32,
        /// Session whose key opens `kb`.
        session: ([u8; 32], u32),
        /// Chunks and holes.
        parts: Vec<PartRef>,
        /// Sealed keys.
        kb: Vec<u8>,
    },
    /// In maps.
    Maps(Vec<ObjectId>),
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// Keyed hash of its attributes.
    pub stat: Hash16,
    /// For a directory: the key of what is in it.
    pub dir: Option<DirKey>,
    /// Its content.
    pub data: DataRef,
}

/// What is known of a run of entries stored as segments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentRecord {
    /// The roots of the run it belongs to.
    pub scope: [u8; 8],
    /// Regular files.
    pub files: u32,
    /// Directories.
    pub dirs: u32,
    /// Bytes of the files.
    pub bytes: u64,
    /// The segments: object, entries in it, and how far behind the first entry of the run it starts.
    pub segments: Vec<(ObjectId, u32)>,
    /// First bytes of the ids of the packs they refer to.
    pub packs: Vec<[u8; 8]>,
    /// Keyed hashes of what each of the segments holds.
    pub contents: Vec<Hash16>,
}

struct Out(Vec<u8>);

impl Out {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn count(&mut self, n: usize) -> &mut Self {
        self.put(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes())
    }
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[b]| b)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn id(&mut self) -> Option<ObjectId> {
        self.take().map(ObjectId)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.u32()?).ok()?;
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head.to_vec())
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let n = usize::try_from(self.u32()?).ok()?;
        // Every item takes at least a byte: no allocation beyond what is there.
        let mut list = Vec::with_capacity(n.min(self.0.len()));
        for _ in 0..n {
            list.push(read(self)?);
        }
        Some(list)
    }
}

impl SmallRef {
    fn write(&self, out: &mut Out) {
        out.put(self.pack.as_bytes());
        out.put(&self.off.to_le_bytes())
            .put(&self.len.to_le_bytes());
    }

    fn read(from: &mut In<'_>) -> Option<Self> {
        Some(Self {
            pack: from.id()?,
            off: from.u32()?,
            len: from.u32()?,
        })
    }
}

impl PartRef {
    fn write(&self, out: &mut Out) {
        match self {
            Self::Chunk { id, len } => out.put(&[1]).put(id.as_bytes()).put(&len.to_le_bytes()),
            Self::Hole { len } => out.put(&[0]).put(&len.to_le_bytes()),
        };
    }

    fn read(from: &mut In<'_>) -> Option<Self> {
        Some(match from.byte()? {
            0 => Self::Hole { len: from.u64()? },
            1 => Self::Chunk {
                id: from.id()?,
                len: from.u32()?,
            },
            _ => return None,
        })
    }
}

impl FileRecord {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out(Vec::with_capacity(80));
        out.put(&self.stat);
        match self.dir {
            Some(dir) => out.put(&[1]).put(&dir),
            None => out.put(&[0]),
        };
        match &self.data {
            DataRef::None => {
                out.put(&[0]);
            }
            DataRef::Small { content, at } => {
                out.put(&[1]).put(content);
                at.write(&mut out);
            }
            DataRef::Chunks {
                dom,
                session: (epk, epoch),
                parts,
                kb,
            } => {
                out.put(&[2]).put(&dom.to_le_bytes());
                out.put(epk).put(&epoch.to_le_bytes()).count(parts.len());
                parts.iter().for_each(|part| part.write(&mut out));
                out.count(kb.len()).put(kb);
            }
            DataRef::Maps(maps) => {
                out.put(&[3]).count(maps.len());
                maps.iter().for_each(|id| {
                    out.put(id.as_bytes());
                });
            }
        }
        out.0
    }

    /// From bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = In(bytes);
        let record = Self {
            stat: from.take()?,
            dir: match from.byte()? {
                0 => None,
                1 => Some(from.take()?),
                _ => return None,
            },
            data: match from.byte()? {
                0 => DataRef::None,
                1 => DataRef::Small {
                    content: from.take()?,
                    at: SmallRef::read(&mut from)?,
                },
                2 => DataRef::Chunks {
                    dom: from.u32()?,
                    session: (from.take()?, from.u32()?),
                    parts: from.list(PartRef::read)?,
                    kb: from.bytes()?,
                },
                3 => DataRef::Maps(from.list(In::id)?),
                _ => return None,
            },
        };
        from.0.is_empty().then_some(record)
    }

    /// The objects it rests on.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectId> {
        objects(&self.data)
    }
}

/// The objects some content is in.
#[must_use]
pub fn objects(data: &DataRef) -> Vec<ObjectId> {
    match data {
        DataRef::None => Vec::new(),
        DataRef::Small { at, .. } => vec![at.pack],
        DataRef::Chunks { parts, .. } => parts
            .iter()
            .filter_map(|part| match part {
                PartRef::Chunk { id, .. } => Some(*id),
                PartRef::Hole { .. } => None,
            })
            .collect(),
        DataRef::Maps(maps) => maps.clone(),
    }
}

impl SegmentRecord {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out(Vec::with_capacity(160));
        out.put(&self.scope).put(&self.files.to_le_bytes());
        out.put(&self.dirs.to_le_bytes())
            .put(&self.bytes.to_le_bytes());
        out.count(self.segments.len());
        for (id, entries) in &self.segments {
            out.put(id.as_bytes()).put(&entries.to_le_bytes());
        }
        out.count(self.packs.len());
        for pack in &self.packs {
            out.put(pack);
        }
        out.count(self.contents.len());
        for content in &self.contents {
            out.put(content);
        }
        out.0
    }

    /// From bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = In(bytes);
        let record = Self {
            scope: from.take()?,
            files: from.u32()?,
            dirs: from.u32()?,
            bytes: from.u64()?,
            segments: from.list(|from| Some((from.id()?, from.u32()?)))?,
            packs: from.list(In::take)?,
            contents: from.list(In::take)?,
        };
        from.0.is_empty().then_some(record)
    }
}

/// Value of the index of small files: where, and how many files of the last run have this content.
#[must_use]
pub(super) fn encode_small(at: &SmallRef, files: u32) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(44));
    at.write(&mut out);
    out.put(&files.to_le_bytes());
    out.0
}

/// The reverse of [`encode_small`].
#[must_use]
pub(super) fn decode_small(bytes: &[u8]) -> Option<(SmallRef, u32)> {
    let mut from = In(bytes);
    let small = (SmallRef::read(&mut from)?, from.u32()?);
    from.0.is_empty().then_some(small)
}

/// Value of the index of segments: the roots of the run it belongs to, and the segment.
#[must_use]
pub(super) fn encode_content(scope: &[u8; 8], id: &ObjectId) -> Vec<u8> {
    [scope.as_slice(), id.as_bytes()].concat()
}

/// The reverse of [`encode_content`].
#[must_use]
pub(super) fn decode_content(bytes: &[u8]) -> Option<([u8; 8], ObjectId)> {
    let mut from = In(bytes);
    let content = (from.take()?, from.id()?);
    from.0.is_empty().then_some(content)
}

/// Value of the index of chunks.
#[must_use]
pub(super) fn encode_chunk(id: &ObjectId, len: u32) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(36));
    out.put(id.as_bytes()).put(&len.to_le_bytes());
    out.0
}

/// The reverse of [`encode_chunk`].
#[must_use]
pub(super) fn decode_chunk(bytes: &[u8]) -> Option<(ObjectId, u32)> {
    let mut from = In(bytes);
    let chunk = (from.id()?, from.u32()?);
    from.0.is_empty().then_some(chunk)
}

/// How much of a pack is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackUse {
    /// Bytes in it.
    pub total: u32,
    /// Bytes that files of the last run need.
    pub live: u32,
}

impl PackUse {
    /// As bytes.
    #[must_use]
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Out(Vec::with_capacity(8));
        out.put(&self.total.to_le_bytes())
            .put(&self.live.to_le_bytes());
        out.0
    }

    /// From bytes.
    #[must_use]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = In(bytes);
        let pack = Self {
            total: from.u32()?,
            live: from.u32()?,
        };
        from.0.is_empty().then_some(pack)
    }

    /// Whether more than half of it is dead weight.
    #[must_use]
    pub fn is_sparse(self) -> bool {
        u64::from(self.live).saturating_mul(2) < u64::from(self.total)
    }
}
