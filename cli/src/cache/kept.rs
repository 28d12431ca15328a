//! What must not be lost with the cache: where content is that cannot be found again in any other way.
//!
//! A large file is cut and sealed the same way each time, so the node says what it has of it. Small files and
//! segments are sealed under keys of one run that nobody keeps: a device that has forgotten where they are would
//! store all of them once more. So their places are written a second time, beside the store they are in, to a file
//! that only grows: no content, no key, no name, only what the cache has (`small`, and segments by what they hold).
//!
//! ```text
//! file  = "PNBKEPT1" id8 frame*
//! frame = len u32, blake3(body)[..8], body
//! body  = n u32, pack32*; n u32, (pack u32, content16, off u32, len u32)*; n u32, (content16, segment32)*
//! ```
//! A frame that is not whole ends the file: what was behind it is stored again, no more. The cache remembers up to
//! where it has taken this file over, so that nothing is read twice and an interrupted run loses nothing.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use packnback_proto::ids::ObjectId;
use rustix::fs::{FlockOperation, flock};

use super::key::Hash16;
use super::record::SmallRef;

const MAGIC: [u8; 8] = *b"PNBKEPT1";
/// Magic and id.
const HEAD: u64 = 16;
/// Places in one frame at most, when the file is written anew.
const FRAME_PLACES: usize = 16 << 10;
/// Bytes of one frame at most: more is no frame of ours.
const FRAME_MAX: u64 = 256 << 20;

/// Places of content.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Places {
    /// Small files.
    pub(super) small: Vec<(Hash16, SmallRef)>,
    /// Segments.
    pub(super) segments: Vec<(Hash16, ObjectId)>,
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.segments.is_empty()
    }

    fn encode(&self) -> Vec<u8> {
        let mut packs: Vec<ObjectId> = Vec::new();
        let mut numbers: HashMap<ObjectId, u32> = HashMap::new();
        let mut small = Vec::with_capacity(self.small.len().saturating_mul(28));
        for (content, at) in &self.small {
            let number = *numbers.entry(at.pack).or_insert_with(|| {
                packs.push(at.pack);
                count(packs.len().saturating_sub(1))
            });
            small.extend_from_slice(&number.to_le_bytes());
            small.extend_from_slice(content);
            small.extend_from_slice(&at.off.to_le_bytes());
            small.extend_from_slice(&at.len.to_le_bytes());
        }
        let mut out = count(packs.len()).to_le_bytes().to_vec();
        packs
            .iter()
            .for_each(|pack| out.extend_from_slice(pack.as_bytes()));
        out.extend_from_slice(&count(self.small.len()).to_le_bytes());
        out.append(&mut small);
        out.extend_from_slice(&count(self.segments.len()).to_le_bytes());
        for (content, id) in &self.segments {
            out.extend_from_slice(content);
            out.extend_from_slice(id.as_bytes());
        }
        out
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let mut packs = Vec::new();
        for _ in 0..number(from)? {
            packs.push(ObjectId(take(from)?));
        }
        let mut places = Self::default();
        for _ in 0..number(from)? {
            let pack = *packs.get(usize::try_from(number(from)?).ok()?)?;
            let content = take(from)?;
            let (off, len) = (number(from)?, number(from)?);
            places.small.push((content, SmallRef { pack, off, len }));
        }
        for _ in 0..number(from)? {
            places.segments.push((take(from)?, ObjectId(take(from)?)));
        }
        from.is_empty().then_some(places)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*head)
}

fn number(from: &mut &[u8]) -> Option<u32> {
    take(from).map(u32::from_le_bytes)
}

fn check(body: &[u8]) -> [u8; 8] {
    let mut first = [0; 8];
    first
        .iter_mut()
        .zip(blake3::hash(body).as_bytes())
        .for_each(|(f, b)| *f = *b);
    first
}

/// Where the cache stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    /// Which file.
    pub(super) id: [u8; 8],
    /// Everything before is taken over.
    pub(super) end: u64,
}

impl Position {
    pub(super) fn encode(self) -> Vec<u8> {
        [self.id, self.end.to_le_bytes()].concat()
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let (id, end) = (take(&mut bytes)?, u64::from_le_bytes(take(&mut bytes)?));
        bytes.is_empty().then_some(Self { id, end })
    }
}

/// The file.
pub(super) struct Kept {
    path: PathBuf,
    file: File,
    at: Position,
}

impl Kept {
    /// Opens the file, or makes one. A file that is not one of these is begun anew.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = options().create(true).open(path)?;
        let _alone = Alone::with(&file)?;
        let mut head = Vec::new();
        (&file).take(HEAD).read_to_end(&mut head)?;
        let id = head
            .strip_prefix(&MAGIC)
            .and_then(|id| <[u8; 8]>::try_from(id).ok());
        let id = match id {
            Some(id) => id,
            None => {
                file.set_len(0)?;
                begin(&mut file)?
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            at: Position { id, end: HEAD },
        })
    }

    /// Where reading and writing have come to.
    pub(super) fn position(&self) -> Position {
        self.at
    }

    /// Bytes in it.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reads what is behind a position of this file, or all of it. What is not whole at the end is cut off.
    pub(super) fn read(
        &mut self,
        from: Option<Position>,
        mut visit: impl FnMut(Places) -> Result<(), String>,
    ) -> Result<(), String> {
        let text = |e: io::Error| e.to_string();
        let _alone = Alone::with(&self.file).map_err(text)?;
        let len = self.len().map_err(text)?;
        let known = from.filter(|from| from.id == self.at.id && (HEAD..=len).contains(&from.end));
        self.at.end = known.map_or(HEAD, |from| from.end);
        self.file.seek(SeekFrom::Start(self.at.end)).map_err(text)?;
        let mut reader = io::BufReader::with_capacity(1 << 20, &self.file);
        while let Some((places, bytes)) = frame(&mut reader).map_err(text)? {
            visit(places)?;
            self.at.end = self.at.end.saturating_add(bytes);
        }
        if self.at.end < len {
            self.file.set_len(self.at.end).map_err(text)?;
        }
        Ok(())
    }

    /// Adds places. In one piece, whoever else writes.
    pub(super) fn append(&mut self, places: &Places) -> io::Result<()> {
        let bytes = framed(places);
        let _alone = Alone::with(&self.file)?;
        let before = self.len()?;
        let written = self.file.write_all(&bytes);
        if written.is_err() {
            // Half a frame would hide what is added later.
            self.file.set_len(before)?;
        } else if before == self.at.end {
            // Otherwise somebody else has written meanwhile: it is taken over the next time.
            let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.at.end = before.saturating_add(bytes);
        }
        written
    }

    /// Brings it to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Begins the file anew with these places, and forgets all others. What another run adds to the old file at this
    /// moment is lost to it: it would be stored once more.
    pub(super) fn rewrite(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(Places) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or_else(|| Path::new("."));
        let mut new = tempfile::NamedTempFile::new_in(dir)?;
        let id = begin(new.as_file_mut())?;
        let mut end = HEAD;
        {
            let mut writer = io::BufWriter::with_capacity(1 << 20, new.as_file_mut());
            fill(&mut |places| {
                let bytes = framed(&places);
                end = end.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                writer.write_all(&bytes)
            })?;
            writer.flush()?;
        }
        new.as_file().sync_all()?;
        new.persist(&self.path).map_err(|e| e.error)?;
        self.file = options().open(&self.path)?;
        self.at = Position { id, end };
        Ok(())
    }
}

/// Nobody else writes to the file while this is there.
struct Alone(File);

impl Alone {
    fn with(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self(file))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // It ends with the file at the latest.
        flock(&self.0, FlockOperation::Unlock).unwrap_or(());
    }
}

/// Collects places into frames of a bounded size.
pub(super) struct Frames<'a> {
    places: Places,
    write: &'a mut dyn FnMut(Places) -> io::Result<()>,
    failed: Option<io::Error>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(write: &'a mut dyn FnMut(Places) -> io::Result<()>) -> Self {
        Self {
            places: Places::default(),
            write,
            failed: None,
        }
    }

    pub(super) fn small(&mut self, content: Hash16, at: SmallRef) {
        self.places.small.push((content, at));
        self.full();
    }

    pub(super) fn segment(&mut self, content: Hash16, id: ObjectId) {
        self.places.segments.push((content, id));
        self.full();
    }

    fn full(&mut self) {
        let held = self.places.small.len().max(self.places.segments.len());
        if held >= FRAME_PLACES {
            self.write();
        }
    }

    fn write(&mut self) {
        let places = std::mem::take(&mut self.places);
        if self.failed.is_none() && !places.is_empty() {
            self.failed = (self.write)(places).err();
        }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write();
        self.failed.map_or(Ok(()), Err)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    options
}

/// Writes the start of a new file.
fn begin(file: &mut File) -> io::Result<[u8; 8]> {
    let id: [u8; 8] = crate::system::random().map_err(io::Error::other)?;
    file.write_all(&MAGIC)?;
    file.write_all(&id)?;
    Ok(id)
}

fn framed(places: &Places) -> Vec<u8> {
    let body = places.encode();
    let mut out = Vec::with_capacity(body.len().saturating_add(12));
    out.extend_from_slice(&count(body.len()).to_le_bytes());
    out.extend_from_slice(&check(&body));
    out.extend_from_slice(&body);
    out
}

/// The next frame and its length; `None` at the end, or where the rest is no whole frame.
fn frame(reader: &mut impl Read) -> io::Result<Option<(Places, u64)>> {
    let mut head = Vec::new();
    reader.take(12).read_to_end(&mut head)?;
    let mut from = head.as_slice();
    let (Some(len), Some(sum)) = (number(&mut from), take::<8>(&mut from)) else {
        return Ok(None);
    };
    let len = u64::from(len);
    let mut body = Vec::new();
    if len > FRAME_MAX {
        return Ok(None);
    }
    reader.take(len).read_to_end(&mut body)?;
    let whole = u64::try_from(body.len()).is_ok_and(|got| got == len) && check(&body) == sum;
    let places = Places::decode(&body).filter(|_| whole);
    Ok(places.map(|places| (places, len.saturating_add(12))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn places(n: u8) -> Places {
        let small = |content: u8| {
            let pack = ObjectId([n; 32]);
            let (off, len) = (u32::from(content), 7);
            ([content; 16], SmallRef { pack, off, len })
        };
        Places {
            small: (0..n).map(small).collect(),
            segments: vec![([n; 16], ObjectId([n + 1; 32]))],
        }
    }

    fn all(kept: &mut Kept, from: Option<Position>) -> Vec<Places> {
        let mut found = Vec::new();
        let read = kept.read(from, |places| {
            found.push(places);
            Ok(())
        });
        read.unwrap();
        found
    }

    #[test]
    fn what_was_added_is_found_from_any_position_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        let mut kept = Kept::open(&path).unwrap();
        assert!(all(&mut kept, None).is_empty());
        kept.append(&places(3)).unwrap();
        let first = kept.position();
        kept.append(&places(5)).unwrap();
        let mut again = Kept::open(&path).unwrap();
        assert_eq!(all(&mut again, None), [places(3), places(5)]);
        assert_eq!(again.position(), kept.position());
        assert_eq!(all(&mut again, Some(first)), [places(5)]);
        let other = Position {
            id: [1; 8],
            ..first
        };
        assert_eq!(all(&mut again, Some(other)).len(), 2, "of another file");
        // Two at once: neither writes over the other, and each knows that it does not know all.
        again.append(&places(1)).unwrap();
        kept.append(&places(2)).unwrap();
        let seen = kept.position();
        assert_eq!(all(&mut kept, Some(seen)), [places(1), places(2)]);
    }

    #[test]
    fn half_a_frame_is_cut_off_and_what_is_added_then_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        let mut kept = Kept::open(&path).unwrap();
        kept.append(&places(3)).unwrap();
        let whole = kept.len().unwrap();
        kept.append(&places(4)).unwrap();
        let len = kept.len().unwrap();
        for cut in [whole + 1, whole + 12, len - 1] {
            OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(cut)
                .unwrap();
            let mut kept = Kept::open(&path).unwrap();
            assert_eq!(all(&mut kept, None), [places(3)]);
            assert_eq!(kept.len().unwrap(), whole);
            kept.append(&places(4)).unwrap();
            assert_eq!(all(&mut kept, None), [places(3), places(4)]);
        }
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let mut kept = Kept::open(&path).unwrap();
        assert_eq!(all(&mut kept, None), [places(3)]);
        std::fs::write(&path, b"something else").unwrap();
        let mut kept = Kept::open(&path).unwrap();
        assert!(all(&mut kept, None).is_empty());
        assert_eq!(kept.len().unwrap(), HEAD);
    }

    #[test]
    fn written_anew_it_holds_only_what_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        let mut kept = Kept::open(&path).unwrap();
        kept.append(&places(9)).unwrap();
        let before = kept.position();
        kept.rewrite(|write| {
            let mut frames = Frames::new(write);
            let Places { small, segments } = places(4);
            small
                .into_iter()
                .for_each(|(content, at)| frames.small(content, at));
            segments
                .into_iter()
                .for_each(|(content, id)| frames.segment(content, id));
            frames.finish()
        })
        .unwrap();
        assert_ne!(kept.position().id, before.id);
        let at = kept.position();
        assert!(all(&mut kept, Some(at)).is_empty());
        assert_eq!(all(&mut kept, Some(before)), [places(4)]);
        kept.append(&places(1)).unwrap();
        assert_eq!(all(&mut Kept::open(&path).unwrap(), None).len(), 2);
    }
}
