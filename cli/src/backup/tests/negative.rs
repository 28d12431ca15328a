//! Negative tests 13 and 14 of docs/threats.md, as far as one machine shows them.

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::keys::{OwnerSeed, chunk_key};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::entry::FileData;
use packnback_proto::format::frame::{Compressor, Decompressor};
use packnback_proto::format::header::{Kind, parse_header};
use packnback_proto::format::object::{open_kind, open_object, seal_object};
use packnback_proto::format::segment::{self, Segment};
use packnback_proto::ids::ObjectId;

use super::end_to_end::noise;
use super::stub::{SEED, World};
use crate::progress::Silent;
use crate::records::LoadedSnapshot;
use crate::restore;

fn every_file_below(dir: &std::path::Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(every_file_below(&path));
        } else {
            all.extend(std::fs::read(path).unwrap());
        }
    }
    all
}

fn holds(all: &[u8], needle: &[u8]) -> bool {
    all.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn n13_device_keeps_nothing_that_reads() {
    let world = World::new();
    let secret = b"the salary of everybody, in a small file";
    let large = noise(300_000, 77);
    world.write("a name nobody shall read.txt", secret);
    world.write("another such name.bin", &large);
    world.backup();
    let mut on_disk = every_file_below(&world.cache_dir());
    on_disk.extend(std::fs::read(world.places()).unwrap());
    for (_, object) in world.node.objects.lock().iter() {
        on_disk.extend_from_slice(object);
    }
    let seed = OwnerSeed::from_bytes(SEED);
    let k = chunk_key(seed.device_keys(0, 0).chunk_keys().chunk(), &large);
    let (_, pack) = world.node.of_kind(Kind::Pack).remove(0);
    let (header, _) = parse_header(&pack).unwrap();
    let session = seed
        .open_session(&header.epk.unwrap(), header.epoch)
        .unwrap();
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes).into_bytes();
    let needles: Vec<(&str, Vec<u8>)> = vec![
        ("file name", b"nobody shall read".to_vec()),
        ("file name", b"another such".to_vec()),
        ("small content", b"salary of everybody".to_vec()),
        ("large content", large[1000..1040].to_vec()),
        ("chunk key", k.expose().to_vec()),
        ("chunk key in hex", hex(k.expose())),
        ("hash of content", object_id(secret).0.to_vec()),
        ("hash of content", object_id(&large).0.to_vec()),
        ("pack key", session.pack.expose().to_vec()),
        ("segment key", session.node.expose().to_vec()),
        ("map key", session.map.expose().to_vec()),
        ("key of key blobs", session.blob.expose().to_vec()),
        ("owner seed", SEED.to_vec()),
    ];
    for (what, needle) in needles {
        assert!(!holds(&on_disk, &needle), "{what} is on disk");
    }
    // The search itself works: a keyed hash of the content is there, the plain one is not.
    let keyed = crate::cache::CacheKey::new(world.keys.cache_key.duplicate()).small(secret);
    assert!(holds(&every_file_below(&world.cache_dir()), &keyed));
}

/// Nothing the device holds after a run opens anything that is stored, but for large chunks whose
/// content it still has.
#[test]
fn n13_device_keys_open_nothing() {
    let world = World::new();
    world.write("f", b"content");
    world.write("g", &noise(300_000, 78));
    world.backup();
    let device = &world.keys.device;
    let chunk_keys = device.chunk_keys();
    let held = [
        &device.psk,
        &device.group_key,
        chunk_keys.chunk(),
        chunk_keys.cut(),
        &world.keys.cache_key,
        &Secret32::new(device.meta_pub),
        &Secret32::new(device.dec_pub),
    ];
    let mut decompressor = Decompressor::new().unwrap();
    for (id, bytes) in world.node.objects.lock().iter() {
        for key in held {
            assert!(open_object(&mut decompressor, bytes, id, key).is_err());
        }
    }
}

/// Takes the one segment apart, changes it, and puts it back under a new root with valid seals: what a device
/// could do that wants to confuse a restore.
fn tampered(
    world: &World,
    change: impl FnOnce(&mut Segment, &mut Vec<ObjectId>),
) -> LoadedSnapshot {
    use packnback_proto::format::root;
    let report = world.backup();
    let mut snapshot = world.snapshot(report.snapshot.unwrap());
    let mut decompressor = Decompressor::new().unwrap();
    let mut compressor = Compressor::new().unwrap();
    let bytes = world.node.objects.lock()[&snapshot.snap.root].clone();
    let (header, _) = parse_header(&bytes).unwrap();
    let session = world.reader.session(&header.epk.unwrap(), 0).unwrap();
    let (_, raw) = open_kind(
        &mut decompressor,
        &bytes,
        &snapshot.snap.root,
        Kind::Root,
        &session,
    )
    .unwrap();
    let mut root = root::decode(&raw, header.refs.len()).unwrap();
    assert_eq!(header.refs.len(), 1, "one segment");
    let bytes = world.node.objects.lock()[&header.refs[0]].clone();
    let (_, raw) = open_kind(
        &mut decompressor,
        &bytes,
        &header.refs[0],
        Kind::Segment,
        &session,
    )
    .unwrap();
    let mut refs = parse_header(&bytes).unwrap().0.refs;
    let mut tree = segment::decode(&raw, refs.len()).unwrap();
    change(&mut tree, &mut refs);
    let raw = segment::encode(&tree).unwrap();
    let sealed = seal_object(
        &mut compressor,
        &session.header(Kind::Segment, 2, refs),
        &session.node,
        &raw,
    )
    .unwrap();
    root.children[0].entries = u64::try_from(tree.entries.len()).unwrap();
    let header = session.header(Kind::Root, 8, vec![sealed.id]);
    world.node.objects.lock().insert(sealed.id, sealed.bytes);
    let raw = root::encode(&root).unwrap();
    let sealed = seal_object(&mut compressor, &header, &session.node, &raw).unwrap();
    snapshot.snap.root = sealed.id;
    world.node.objects.lock().insert(sealed.id, sealed.bytes);
    snapshot
}

fn large(tree: &mut Segment) -> Vec<&mut FileData> {
    let data = tree
        .entries
        .iter_mut()
        .filter_map(|entry| entry.data.as_mut());
    data.filter(|data| matches!(data, FileData::Chunks { .. }))
        .collect()
}

fn two_large_files() -> World {
    let mut world = World::new();
    world.write("one", &noise(200_000, 1));
    world.write("two", &noise(200_000, 2));
    world.write("small", b"small");
    world.cut_nowhere();
    world
}

/// Restores and returns which files are damaged; nothing of them is left in the target.
fn damaged(world: &World, snapshot: LoadedSnapshot) -> Vec<String> {
    let mut options = world.restore_options(snapshot.id);
    options.snapshot = snapshot;
    let report = restore::run(&options, &world.reader, &world.node, &Silent::default()).unwrap();
    let names = report.damage.iter().map(|note| {
        let path = String::from_utf8(note.path.clone()).unwrap();
        assert!(!options.target.join(&path).exists(), "{path} is there");
        path.rsplit('/').next().unwrap().to_owned()
    });
    let names: Vec<String> = names.collect();
    let inside = World::inside(&options.target, &world.source());
    for name in ["one", "two", "small"] {
        assert!(
            names.iter().any(|n| n == name) || inside.join(name).exists(),
            "{name} is lost silently"
        );
    }
    names
}

#[test]
fn n14_key_blobs_swapped_between_files_fail_closed() {
    let world = two_large_files();
    let snapshot = tampered(&world, |tree, _| {
        let mut files = large(tree);
        let (a, b) = files.split_at_mut(1);
        if let (FileData::Chunks { kb: a, .. }, FileData::Chunks { kb: b, .. }) =
            (&mut *a[0], &mut *b[0])
        {
            std::mem::swap(a, b);
        }
    });
    assert_eq!(damaged(&world, snapshot), ["one", "two"]);
}

#[test]
fn n14_chunks_swapped_between_files_fail_closed() {
    let world = two_large_files();
    let snapshot = tampered(&world, |tree, _| {
        let mut files = large(tree);
        let (a, b) = files.split_at_mut(1);
        if let (FileData::Chunks { parts: a, .. }, FileData::Chunks { parts: b, .. }) =
            (&mut *a[0], &mut *b[0])
        {
            std::mem::swap(a, b);
        }
    });
    assert_eq!(damaged(&world, snapshot), ["one", "two"]);
}

#[test]
fn n14_session_swapped_fails_closed() {
    let world = two_large_files();
    let other = crate::keys::ReaderKeys::new(OwnerSeed::from_bytes(SEED));
    let epk = packnback_proto::crypto::primitives::x25519_public(&Secret32::new([5; 32]));
    assert!(other.session(&epk, 0).is_ok());
    let snapshot = tampered(&world, |tree, _| {
        tree.sessions.push((epk, 0));
        if let FileData::Chunks { ses_idx, .. } = &mut *large(tree)[0] {
            *ses_idx = 1;
        }
    });
    assert_eq!(damaged(&world, snapshot), ["one"]);
}

#[test]
fn n14_domain_swapped_fails_closed() {
    let world = two_large_files();
    for other in [1, packnback_proto::format::entry::DOM_PRIVATE] {
        let snapshot = tampered(&world, |tree, _| {
            if let FileData::Chunks { dom, .. } = &mut *large(tree)[1] {
                *dom = other;
            }
        });
        assert_eq!(damaged(&world, snapshot), ["two"]);
    }
}

#[test]
fn damaged_and_missing_objects_name_their_files() {
    let world = two_large_files();
    let snap = world.backup().snapshot.unwrap();
    let (pack, _) = world.node.of_kind(Kind::Pack).remove(0);
    let bytes = world.node.objects.lock().remove(&pack).unwrap();
    assert_eq!(damaged(&world, world.snapshot(snap)), ["small"]);
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    world.node.objects.lock().insert(pack, flipped);
    assert_eq!(damaged(&world, world.snapshot(snap)), ["small"]);
    world.node.objects.lock().insert(pack, bytes);
    assert!(damaged(&world, world.snapshot(snap)).is_empty());
}
