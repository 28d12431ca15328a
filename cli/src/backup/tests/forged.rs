//! Trees that a device could make which wants to confuse a restore: sealed well, saying what is not so.

use packnback_proto::crypto::keys::SessionKeys;
use packnback_proto::format::frame::{Compressor, Decompressor};
use packnback_proto::format::header::{Kind, parse_header};
use packnback_proto::format::index::Child;
use packnback_proto::format::object::{open_kind, seal_object};
use packnback_proto::format::root::{self, Root};
use packnback_proto::format::segment::{self, Segment};
use packnback_proto::ids::ObjectId;

use super::stub::World;
use crate::records::LoadedSnapshot;

fn open(world: &World, id: ObjectId, kind: Kind) -> (Vec<ObjectId>, Vec<u8>) {
    let bytes = world.node.objects.lock()[&id].clone();
    let session = session(world, id);
    let mut decompressor = Decompressor::new().unwrap();
    let (header, raw) = open_kind(&mut decompressor, &bytes, &id, kind, &session).unwrap();
    (header.refs, raw.to_vec())
}

fn session(world: &World, id: ObjectId) -> std::sync::Arc<SessionKeys> {
    let bytes = world.node.objects.lock()[&id].clone();
    let (header, _) = parse_header(&bytes).unwrap();
    world
        .reader
        .session(&header.epk.unwrap(), header.epoch)
        .unwrap()
}

/// Seals and stores an object in the session that made `like`.
pub(super) fn store(
    world: &World,
    like: ObjectId,
    kind: Kind,
    height: u8,
    refs: Vec<ObjectId>,
    raw: &[u8],
) -> ObjectId {
    let session = session(world, like);
    let header = session.header(kind, height, refs);
    let key = match kind {
        Kind::Map => &session.map,
        _ => &session.node,
    };
    let mut compressor = Compressor::new().unwrap();
    let sealed = seal_object(&mut compressor, &header, key, raw).unwrap();
    world.node.objects.lock().insert(sealed.id, sealed.bytes);
    sealed.id
}

/// The snapshot under a root that says something else.
pub(super) fn reroot(
    world: &World,
    mut snapshot: LoadedSnapshot,
    change: impl FnOnce(&mut Root),
) -> LoadedSnapshot {
    let id = snapshot.snap.root;
    let (refs, raw) = open(world, id, Kind::Root);
    let mut root = root::decode(&raw, refs.len()).unwrap();
    change(&mut root);
    let raw = root::encode(&root).unwrap();
    snapshot.snap.root = store(world, id, Kind::Root, 8, refs, &raw);
    snapshot
}

/// The snapshot with its one segment taken apart into others, and a root whose totals fit them.
pub(super) fn resegment(
    world: &World,
    mut snapshot: LoadedSnapshot,
    change: impl FnOnce(Segment, &mut Vec<ObjectId>) -> Vec<Segment>,
) -> LoadedSnapshot {
    let id = snapshot.snap.root;
    let (refs, raw) = open(world, id, Kind::Root);
    let mut root = root::decode(&raw, refs.len()).unwrap();
    assert_eq!(refs.len(), 1, "one segment");
    let (mut below, raw) = open(world, refs[0], Kind::Segment);
    let whole = segment::decode(&raw, below.len()).unwrap();
    let before = whole.entries.len();
    let parts = change(whole, &mut below);
    let made: Vec<(Child, ObjectId)> = parts
        .iter()
        .map(|part| {
            let raw = segment::encode(part).unwrap();
            let id = store(world, refs[0], Kind::Segment, 2, below.clone(), &raw);
            let child = Child {
                first: part.entries[0].path.clone(),
                ref_idx: 0,
                entries: part.entries.len() as u64,
            };
            (child, id)
        })
        .collect();
    let mut ids: Vec<ObjectId> = made.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    root.children = made
        .into_iter()
        .map(|(child, id)| Child {
            ref_idx: ids.iter().position(|other| *other == id).unwrap() as u32,
            ..child
        })
        .collect();
    let after: usize = parts.iter().map(|part| part.entries.len()).sum();
    root.stats.files = root.stats.files + after as u64 - before as u64;
    let raw = root::encode(&root).unwrap();
    snapshot.snap.root = store(world, id, Kind::Root, 8, ids, &raw);
    snapshot
}
