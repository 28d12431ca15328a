//! Snapshots out of thin air: sealed well, of any shape, without a file system.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::crypto::keys::{OwnerSeed, SessionKeys, chunk_key};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::entry::{DOM_PRIVATE, Entry, EntryType, FileData, Part};
use packnback_proto::format::frame::Compressor;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::format::index::{self, Child};
use packnback_proto::format::keyblob::seal_key_blob;
use packnback_proto::format::map::{self, Map, MapPart};
use packnback_proto::format::object::{Sealed, seal_chunk, seal_object};
use packnback_proto::format::root::{self, Root, Stats};
use packnback_proto::format::segment::{self, Segment};
use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SetId, SnapshotId};
use packnback_proto::newest::Standing;
use packnback_proto::record::Snap;

use crate::client::ClientError;
use crate::fs::path_cmp;
use crate::keys::ReaderKeys;
use crate::records::LoadedSnapshot;
use crate::snapshot::ObjectSource;

const SEED: [u8; 32] = [5; 32];

/// A piece of a file: so many bytes of this seed, or a hole.
pub(super) type Bit = (u64, Option<u8>);

/// How the content of a file is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Pack,
    Inline,
    Maps,
}

/// What is at a path; a folder if nothing.
pub(super) type What = Option<(Way, Vec<Bit>)>;

#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) paths: BTreeMap<Vec<u8>, What>,
    /// Entries of a segment, children of an index, pieces of a map.
    pub(super) wide: usize,
    /// Levels of indexes.
    pub(super) deep: u8,
}

/// A snapshot and all that is in it.
pub(crate) struct Built {
    pub(crate) objects: BTreeMap<ObjectId, Vec<u8>>,
    pub(crate) keys: ReaderKeys,
    pub(crate) snapshot: LoadedSnapshot,
    /// Path and content, in order; no content for a folder.
    pub(crate) twin: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Which objects are segments, in path order.
    pub(crate) segments: Vec<ObjectId>,
}

impl ObjectSource for Built {
    fn records(&self, _: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError> {
        Ok(Vec::new())
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        Ok(ids.iter().map(|id| self.objects.get(id).cloned()).collect())
    }
}

pub(super) fn bytes_of((len, seed): Bit) -> Vec<u8> {
    let byte = |at: u64| {
        seed.map_or(0, |seed| {
            (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed
        })
    };
    (0..len).map(byte).collect()
}

struct Maker {
    session: SessionKeys,
    group: Secret32,
    compressor: Compressor,
    objects: BTreeMap<ObjectId, Vec<u8>>,
}

impl Maker {
    fn keep(&mut self, sealed: Sealed) -> ObjectId {
        self.objects.insert(sealed.id, sealed.bytes);
        sealed.id
    }

    fn seal(&mut self, kind: Kind, height: u8, refs: Vec<ObjectId>, raw: &[u8]) -> ObjectId {
        let header: Header = self.session.header(kind, height, refs);
        let key = self.session.object_key(kind).unwrap().duplicate();
        let sealed = seal_object(&mut self.compressor, &header, &key, raw).unwrap();
        self.keep(sealed)
    }

    /// `private`: under the key of the session.
    fn chunk(&mut self, content: &[u8], private: bool) -> (ObjectId, [u8; 32]) {
        let ck = if private {
            &self.session.chunk_priv
        } else {
            &self.group
        };
        let k = chunk_key(ck, content);
        let sealed = seal_chunk(&mut self.compressor, &k, content).unwrap();
        (self.keep(sealed), *k.expose())
    }

    fn map(&mut self, bits: &[Bit], private: bool) -> ObjectId {
        let made: Vec<Made> = bits
            .iter()
            .map(|bit| (*bit, bit.1.map(|_| self.chunk(&bytes_of(*bit), private))))
            .collect();
        let refs = sorted(made.iter().filter_map(|(_, made)| Some(made.as_ref()?.0)));
        let parts = made.iter().map(|((len, _), made)| match made {
            None => MapPart::Hole { len: *len },
            Some((id, key)) => MapPart::Chunk {
                ref_idx: index_of(&refs, id),
                len: u32::try_from(*len).unwrap(),
                key: *key,
            },
        });
        let dom = if private { DOM_PRIVATE } else { 0 };
        let map = Map {
            dom,
            parts: parts.collect(),
        };
        let raw = map::encode(&map).unwrap();
        self.seal(Kind::Map, 1, refs, &raw)
    }
}

fn sorted(ids: impl Iterator<Item = ObjectId>) -> Vec<ObjectId> {
    let ids: BTreeSet<ObjectId> = ids.collect();
    ids.into_iter().collect()
}

fn index_of(refs: &[ObjectId], id: &ObjectId) -> u32 {
    u32::try_from(refs.binary_search(id).unwrap()).unwrap()
}

fn entry(path: &[u8], size: u64, kind: EntryType) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: 0o644,
        uid: 1,
        gid: 1,
        mtime_ns: 1,
        size,
        link: None,
        xattrs: BTreeMap::new(),
        rdev: None,
        hardlink: None,
        data: None,
        user: None,
        group: None,
        acl_names: Vec::new(),
    }
}

/// A piece of a file, and the chunk and key it became if it is no hole.
type Made = (Bit, Option<(ObjectId, [u8; 32])>);

/// What an entry refers to, before the references of its segment are known.
enum Data {
    None,
    Pack(u32, u32),
    Chunks(Vec<Made>),
    Maps(Vec<ObjectId>),
}

impl Maker {
    fn segment(&mut self, paths: &[(&Vec<u8>, &What)], wide: usize) -> (Child, ObjectId) {
        let mut pack = Vec::new();
        let mut made = Vec::new();
        for (path, what) in paths {
            let Some((way, bits)) = what else {
                made.push((entry(path, 0, EntryType::Dir), Data::None));
                continue;
            };
            let size = bits.iter().map(|bit| bit.0).sum();
            let data = match way {
                _ if size == 0 => Data::None,
                Way::Pack => {
                    let off = u32::try_from(pack.len()).unwrap();
                    bits.iter().for_each(|bit| pack.extend(bytes_of(*bit)));
                    Data::Pack(off, u32::try_from(size).unwrap())
                }
                Way::Inline => Data::Chunks(
                    bits.iter()
                        .map(|bit| (*bit, bit.1.map(|_| self.chunk(&bytes_of(*bit), true))))
                        .collect(),
                ),
                Way::Maps => Data::Maps(
                    bits.chunks(wide)
                        .enumerate()
                        .map(|(n, bits)| self.map(bits, n % 2 == 1))
                        .collect(),
                ),
            };
            made.push((entry(path, size, EntryType::File), data));
        }
        let pack = (!pack.is_empty()).then(|| self.seal(Kind::Pack, 0, Vec::new(), &pack));
        let refs = sorted(made.iter().flat_map(|(_, data)| {
            match data {
                Data::None => Vec::new(),
                Data::Pack(..) => pack.into_iter().collect(),
                Data::Chunks(bits) => bits
                    .iter()
                    .filter_map(|(_, made)| Some(made.as_ref()?.0))
                    .collect(),
                Data::Maps(maps) => maps.clone(),
            }
        }));
        let entries = made.into_iter().map(|(entry, data)| Entry {
            data: self.data(data, pack, &refs),
            ..entry
        });
        let segment = Segment {
            entries: entries.collect(),
            sessions: vec![(self.session.epk, self.session.epoch)],
        };
        let raw = segment::encode(&segment).unwrap();
        let id = self.seal(Kind::Segment, 2, refs, &raw);
        (
            Child {
                first: segment.entries[0].path.clone(),
                ref_idx: 0,
                entries: segment.entries.len() as u64,
            },
            id,
        )
    }

    fn data(&self, data: Data, pack: Option<ObjectId>, refs: &[ObjectId]) -> Option<FileData> {
        Some(match data {
            Data::None => return None,
            Data::Pack(off, len) => FileData::Pack {
                ref_idx: index_of(refs, &pack.unwrap()),
                off,
                len,
            },
            Data::Maps(maps) => FileData::Maps {
                refs: maps.iter().map(|map| index_of(refs, map)).collect(),
            },
            Data::Chunks(bits) => {
                let chunks = bits.iter().filter_map(|(_, made)| *made);
                let (ids, keys): (Vec<_>, Vec<_>) = chunks.unzip();
                let parts = bits.iter().map(|((len, _), made)| match made {
                    None => Part::Hole { len: *len },
                    Some((id, _)) => Part::Chunk {
                        ref_idx: index_of(refs, id),
                        len: u32::try_from(*len).unwrap(),
                    },
                });
                FileData::Chunks {
                    dom: DOM_PRIVATE,
                    ses_idx: 0,
                    parts: parts.collect(),
                    kb: seal_key_blob(&self.session.blob, DOM_PRIVATE, &ids, &keys).unwrap(),
                }
            }
        })
    }

    /// Children with their references, as an index or a root lists them.
    fn list(made: &[(Child, ObjectId)]) -> (Vec<Child>, Vec<ObjectId>) {
        let refs = sorted(made.iter().map(|(_, id)| *id));
        let children = made.iter().map(|(child, id)| Child {
            ref_idx: index_of(&refs, id),
            ..child.clone()
        });
        (children.collect(), refs)
    }

    fn index(&mut self, made: &[(Child, ObjectId)], height: u8) -> (Child, ObjectId) {
        let (children, refs) = Self::list(made);
        let raw = index::encode(&children).unwrap();
        let id = self.seal(Kind::Index, height, refs, &raw);
        let child = Child {
            first: children[0].first.clone(),
            ref_idx: 0,
            entries: children.iter().map(|child| child.entries).sum(),
        };
        (child, id)
    }
}

fn root_of(children: Vec<Child>, twin: &[(Vec<u8>, Option<Vec<u8>>)]) -> Root {
    let files = twin.iter().filter_map(|(_, content)| content.as_ref());
    let bytes = files.clone().map(|content| content.len() as u64).sum();
    let files = files.count() as u64;
    Root {
        label: "built".into(),
        start: 1,
        end: 2,
        tool: "test".into(),
        chunker: 1,
        group: 0,
        paths: vec![
            twin[0]
                .0
                .split(|byte| *byte == b'/')
                .next()
                .unwrap()
                .to_vec(),
        ],
        excludes: Vec::new(),
        problem_count: 0,
        problems: Vec::new(),
        stats: Stats {
            files,
            dirs: twin.len() as u64 - files,
            bytes,
            ..Stats::default()
        },
        children,
        set: String::new(),
        left: None,
    }
}

impl Built {
    pub(super) fn new(shape: &Shape) -> Self {
        let seed = OwnerSeed::from_bytes(SEED);
        let device = seed.device_keys(0, 0);
        let mut maker = Maker {
            session: SessionKeys::start(&device, Secret32::new([6; 32])).unwrap(),
            group: device.chunk_keys().chunk().duplicate(),
            compressor: Compressor::new().unwrap(),
            objects: BTreeMap::new(),
        };
        let mut paths: Vec<(&Vec<u8>, &What)> = shape.paths.iter().collect();
        paths.sort_by(|(a, _), (b, _)| path_cmp(a, b));
        assert!(paths.is_sorted_by(|(a, _), (b, _)| path_cmp(a, b) == Ordering::Less));
        let mut made: Vec<(Child, ObjectId)> = paths
            .chunks(shape.wide)
            .map(|paths| maker.segment(paths, shape.wide))
            .collect();
        let segments = made.iter().map(|(_, id)| *id).collect();
        for level in 0..shape.deep {
            // Two at least, or nothing would come together.
            let lists = made.chunks(shape.wide.max(2));
            made = lists.map(|list| maker.index(list, 3 + level)).collect();
        }
        let twin: Vec<(Vec<u8>, Option<Vec<u8>>)> = paths
            .iter()
            .map(|(path, what)| {
                let content = what.as_ref().map(|(_, bits)| {
                    bits.iter()
                        .flat_map(|bit| bytes_of(*bit))
                        .collect::<Vec<u8>>()
                });
                ((*path).clone(), content)
            })
            .collect();
        let (children, refs) = Maker::list(&made);
        let raw = root::encode(&root_of(children, &twin)).unwrap();
        let root = maker.seal(Kind::Root, 8, refs, &raw);
        Self {
            objects: maker.objects,
            snapshot: loaded(seed.sign_key().owner_id(), root),
            keys: ReaderKeys::new(seed),
            twin,
            segments,
        }
    }
}

fn loaded(owner: OwnerId, root: ObjectId) -> LoadedSnapshot {
    LoadedSnapshot {
        id: SnapshotId::from([1; 32]),
        snap: Snap {
            owner,
            device: NodeId([2; 32]),
            seq: 1,
            prev: None,
            root,
            time: 1,
            cert_serial: 1,
            set: SetId([3; 16]),
        },
        device_label: None,
        received: None,
        standing: Standing::Good,
    }
}
