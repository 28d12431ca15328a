//! What a device backs up: a few small files, sealed with the builders of the format as the command line does it, and
//! read back from nothing but objects and the owner's seed.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use packnback_proto::crypto::keys::{DeviceKeys, OwnerSeed, SessionKeys, chunk_key};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::entry::{Entry, EntryType, FileData, Part};
use packnback_proto::format::frame::{Compressor, Decompressor};
use packnback_proto::format::header::{Kind, parse_header};
use packnback_proto::format::index::Child;
use packnback_proto::format::keyblob::{chunk_ids, open_key_blob, seal_key_blob};
use packnback_proto::format::object::{Sealed, open_chunk, open_kind, seal_chunk, seal_object};
use packnback_proto::format::root::{self, Root, Stats};
use packnback_proto::format::segment::{self, Segment};
use packnback_proto::ids::ObjectId;

use crate::rng::Rng;

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Most files of a folder.
const FILES_MAX: usize = 12;
/// Shortest and longest file.
const FILE_LEN: std::ops::Range<u64> = 100..2500;
/// Files from this length on are chunks, which devices of one owner share; shorter ones go into packs.
const CHUNK_FROM: usize = 1800;

/// Where the bytes of a file were put.
#[derive(Debug, Clone)]
enum Place {
    Pack {
        pack: ObjectId,
        off: u32,
        len: u32,
    },
    Chunk {
        chunk: ObjectId,
        key: [u8; 32],
        len: u32,
    },
}

/// A folder that changes, and what of it is stored already.
pub struct Folder {
    keys: DeviceKeys,
    chunk_key: Secret32,
    files: Files,
    stored: BTreeMap<String, Place>,
    named: u64,
}

/// One backup, ready to be put.
pub struct Draft {
    /// The root object.
    pub root: ObjectId,
    /// Objects that are new since the last one, children first.
    pub fresh: Vec<Sealed>,
    /// What restoring it has to give.
    pub files: Files,
}

impl Folder {
    /// A folder with some files.
    #[must_use]
    pub fn new(keys: DeviceKeys, rng: &mut Rng) -> Self {
        let chunk_key = keys.chunk_keys().chunk().duplicate();
        let mut folder = Self {
            keys,
            chunk_key,
            files: Files::new(),
            stored: BTreeMap::new(),
            named: 0,
        };
        for _ in 0..4 {
            folder.change(rng);
        }
        folder
    }

    /// A person works: files come, change and go.
    pub fn change(&mut self, rng: &mut Rng) {
        let names: Vec<String> = self.files.keys().cloned().collect();
        let pick = usize::try_from(rng.below(names.len().try_into().unwrap_or(u64::MAX)));
        let old = pick.ok().and_then(|at| names.get(at)).cloned();
        let is_full = names.len() >= FILES_MAX;
        let name = match old {
            Some(name) if is_full || (names.len() > 3 && rng.chance(1, 5)) => {
                self.files.remove(&name);
                self.stored.remove(&name);
                return;
            }
            Some(name) if rng.chance(1, 2) => name,
            _ => {
                self.named += 1;
                format!("file-{:04}", self.named)
            }
        };
        let len = FILE_LEN.start + rng.below(FILE_LEN.end - FILE_LEN.start);
        self.stored.remove(&name);
        self.files.insert(name, rng.bytes(len));
    }

    /// Everything of this device is stored anew with the next backup: what it relied on may be gone.
    pub fn forget_stored(&mut self) {
        self.stored.clear();
    }

    /// Seals what is new and describes the whole.
    ///
    /// # Errors
    /// A limit of the format.
    pub fn draft(&mut self, rng: &mut Rng, now: u64) -> anyhow::Result<Draft> {
        let session = SessionKeys::start(&self.keys, Secret32::new(rng.bytes32()))?;
        let mut sealer = Sealer {
            session,
            compressor: Compressor::new()?,
            fresh: Vec::new(),
        };
        self.store_files(&mut sealer)?;
        let (entries, refs) = self.entries(&sealer.session)?;
        let first = entries.first().map(|entry| entry.path.clone());
        let segment = Segment {
            sessions: vec![(sealer.session.epk, sealer.session.epoch)],
            entries,
        };
        let count = u64::try_from(segment.entries.len())?;
        let raw = segment::encode(&segment)?;
        let id = sealer.node(Kind::Segment, 2, refs, &raw)?;
        let root = Root {
            label: String::new(),
            start: now,
            end: now,
            tool: "packnback-sim".to_owned(),
            chunker: 1,
            group: self.keys.group,
            paths: vec![b"home".to_vec()],
            excludes: Vec::new(),
            problem_count: 0,
            problems: Vec::new(),
            stats: Stats {
                files: count,
                ..Stats::default()
            },
            children: vec![Child {
                first: first.unwrap_or_default(),
                ref_idx: 0,
                entries: count,
            }],
            set: String::new(),
            left: None,
        };
        let root = sealer.node(Kind::Root, 8, vec![id], &root::encode(&root)?)?;
        Ok(Draft {
            root,
            fresh: sealer.fresh,
            files: self.files.clone(),
        })
    }

    fn store_files(&mut self, sealer: &mut Sealer) -> anyhow::Result<()> {
        let mut pack = Vec::new();
        let mut packed = Vec::new();
        for (name, bytes) in &self.files {
            if self.stored.contains_key(name) {
                continue;
            }
            let len = u32::try_from(bytes.len())?;
            if bytes.len() < CHUNK_FROM {
                packed.push((name.clone(), u32::try_from(pack.len())?, len));
                pack.extend_from_slice(bytes);
                continue;
            }
            let key = chunk_key(&self.chunk_key, bytes);
            let sealed = seal_chunk(&mut sealer.compressor, &key, bytes)?;
            let place = Place::Chunk {
                chunk: sealed.id,
                key: *key.expose(),
                len,
            };
            self.stored.insert(name.clone(), place);
            sealer.fresh.push(sealed);
        }
        if !pack.is_empty() {
            let header = sealer.session.header(Kind::Pack, 0, Vec::new());
            let sealed = seal_object(&mut sealer.compressor, &header, &sealer.session.pack, &pack)?;
            for (name, off, len) in packed {
                let pack = sealed.id;
                self.stored.insert(name, Place::Pack { pack, off, len });
            }
            sealer.fresh.push(sealed);
        }
        Ok(())
    }

    fn entries(&self, session: &SessionKeys) -> anyhow::Result<(Vec<Entry>, Vec<ObjectId>)> {
        let mut refs: Vec<ObjectId> = self.stored.values().map(Place::object).collect();
        refs.sort_unstable();
        refs.dedup();
        let mut entries = Vec::new();
        for (name, place) in &self.stored {
            let at = refs.binary_search(&place.object()).ok();
            let ref_idx = u32::try_from(at.context("a reference is not in its list")?)?;
            let data = match place {
                Place::Pack { off, len, .. } => FileData::Pack {
                    ref_idx,
                    off: *off,
                    len: *len,
                },
                Place::Chunk { chunk, key, len } => FileData::Chunks {
                    dom: self.keys.group,
                    ses_idx: 0,
                    parts: vec![Part::Chunk { ref_idx, len: *len }],
                    kb: seal_key_blob(&session.blob, self.keys.group, &[*chunk], &[*key])?,
                },
            };
            entries.push(entry(name, place.len(), data));
        }
        Ok((entries, refs))
    }
}

impl Place {
    const fn object(&self) -> ObjectId {
        match self {
            Self::Pack { pack, .. } => *pack,
            Self::Chunk { chunk, .. } => *chunk,
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Pack { len, .. } | Self::Chunk { len, .. } => u64::from(*len),
        }
    }
}

/// Seals objects of one session.
struct Sealer {
    session: SessionKeys,
    compressor: Compressor,
    fresh: Vec<Sealed>,
}

impl Sealer {
    fn node(
        &mut self,
        kind: Kind,
        height: u8,
        refs: Vec<ObjectId>,
        raw: &[u8],
    ) -> anyhow::Result<ObjectId> {
        let header = self.session.header(kind, height, refs);
        let sealed = seal_object(&mut self.compressor, &header, &self.session.node, raw)?;
        let id = sealed.id;
        self.fresh.push(sealed);
        Ok(id)
    }
}

fn entry(name: &str, size: u64, data: FileData) -> Entry {
    Entry {
        path: format!("home/{name}").into_bytes(),
        kind: EntryType::File,
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        mtime_ns: 0,
        size,
        link: None,
        xattrs: BTreeMap::new(),
        rdev: None,
        hardlink: None,
        data: Some(data),
        user: None,
        group: None,
        acl_names: Vec::new(),
    }
}

/// Reads a snapshot back.
pub struct Reader<'a, G> {
    seed: &'a OwnerSeed,
    group: u32,
    get: G,
    decompressor: Decompressor,
}

impl<'a, G: FnMut(&ObjectId) -> anyhow::Result<Vec<u8>>> Reader<'a, G> {
    /// Reads objects by `get`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(seed: &'a OwnerSeed, group: u32, get: G) -> anyhow::Result<Self> {
        Ok(Self {
            seed,
            group,
            get,
            decompressor: Decompressor::new()?,
        })
    }

    /// The files of a snapshot.
    ///
    /// # Errors
    /// Something is missing or is not what it should be.
    pub fn restore(&mut self, root: &ObjectId) -> anyhow::Result<Files> {
        let (refs, raw) = self.open(root, Kind::Root)?;
        let root = root::decode(&raw, refs.len())?;
        let mut files = Files::new();
        for child in &root.children {
            let id = reference(&refs, child.ref_idx)?;
            let (refs, raw) = self.open(&id, Kind::Segment)?;
            let segment = segment::decode(&raw, refs.len())?;
            child.check_segment(&segment)?;
            for entry in &segment.entries {
                let bytes = self.file(entry, &segment, &refs)?;
                ensure!(
                    u64::try_from(bytes.len())? == entry.size,
                    "a file of another length"
                );
                let name = String::from_utf8(entry.path.clone())?;
                let name = name.strip_prefix("home/").context("a strange name")?;
                files.insert(name.to_owned(), bytes);
            }
        }
        Ok(files)
    }

    fn file(
        &mut self,
        entry: &Entry,
        segment: &Segment,
        refs: &[ObjectId],
    ) -> anyhow::Result<Vec<u8>> {
        match entry.data.as_ref().context("a file without content")? {
            FileData::Pack { ref_idx, off, len } => {
                let (_, raw) = self.open(&reference(refs, *ref_idx)?, Kind::Pack)?;
                let from = usize::try_from(*off)?;
                let to = from + usize::try_from(*len)?;
                Ok(raw.get(from..to).context("beyond the pack")?.to_vec())
            }
            FileData::Chunks {
                dom,
                ses_idx,
                parts,
                kb,
            } => {
                let at = usize::try_from(*ses_idx)?;
                let (epk, epoch) = segment.sessions.get(at).context("no such session")?;
                let session = self.seed.open_session(epk, *epoch)?;
                let ids = chunk_ids(parts, refs)?;
                let keys = open_key_blob(&session.blob, *dom, &ids, kb)?;
                let ck = self.seed.device_keys(*epoch, self.group).chunk_keys();
                let mut bytes = Vec::new();
                for ((id, key), part) in ids.iter().zip(keys.iter()).zip(parts) {
                    let sealed = (self.get)(id)?;
                    let key = Secret32::new(*key);
                    let len = usize::try_from(part.len())?;
                    let d = &mut self.decompressor;
                    bytes.extend(open_chunk(d, &sealed, id, &key, Some(ck.chunk()), len)?);
                }
                Ok(bytes)
            }
            FileData::Maps { .. } => bail!("no device here makes maps"),
        }
    }

    fn open(&mut self, id: &ObjectId, kind: Kind) -> anyhow::Result<(Vec<ObjectId>, Vec<u8>)> {
        let bytes = (self.get)(id)?;
        let (header, _) = parse_header(&bytes)?;
        let epk = header.epk.context("no session")?;
        let session = self.seed.open_session(&epk, header.epoch)?;
        let (header, raw) = open_kind(&mut self.decompressor, &bytes, id, kind, &session)?;
        Ok((header.refs, raw))
    }
}

fn reference(refs: &[ObjectId], at: u32) -> anyhow::Result<ObjectId> {
    let id = refs.get(usize::try_from(at)?);
    id.copied().context("a reference beyond the list")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_backed_up_comes_back_and_nothing_else_does() {
        let seed = OwnerSeed::from_bytes([7; 32]);
        let mut rng = Rng::new(5);
        let mut folder = Folder::new(seed.device_keys(0, 0), &mut rng);
        let mut all = BTreeMap::new();
        let mut fresh = 0;
        for round in 0..30 {
            folder.change(&mut rng);
            let draft = folder.draft(&mut rng, 1_800_000_000).unwrap();
            fresh += draft.fresh.len();
            all.extend(
                draft
                    .fresh
                    .into_iter()
                    .map(|sealed| (sealed.id, sealed.bytes)),
            );
            let get = |id: &ObjectId| all.get(id).cloned().context("missing");
            let found = Reader::new(&seed, 0, get).unwrap().restore(&draft.root);
            assert_eq!(found.unwrap(), draft.files, "round {round}");
        }
        // Most of it is not sealed again.
        assert!(fresh < 30 * 5, "{fresh}");
        let one = *all.keys().next().unwrap();
        let get = |id: &ObjectId| {
            all.get(id)
                .filter(|_| *id != one)
                .cloned()
                .context("missing")
        };
        let draft = folder.draft(&mut rng, 1_800_000_000).unwrap();
        assert!(
            Reader::new(&seed, 0, get)
                .unwrap()
                .restore(&draft.root)
                .is_err()
        );
    }
}
