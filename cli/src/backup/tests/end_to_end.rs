//! What goes in comes out, and what is stored already is not stored again.

use std::os::unix::fs::{PermissionsExt, symlink};

use packnback_proto::format::header::Kind;

use super::stub::{World, assert_same};
use crate::backup::{BackupError, Dedup, StdinFile};
use crate::progress::Silent;
use crate::restore::{self, RestoreError};
use crate::snapshot;

/// Bytes that do not compress and do not repeat.
pub(super) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let key = packnback_proto::crypto::hash::keyed_hash(&[1; 32], &seed.to_le_bytes());
    let mut state = u64::from_le_bytes(key[..8].try_into().unwrap());
    for chunk in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    bytes
}

/// A bit of everything.
fn fill(world: &World) {
    world.write("small.txt", b"a small file");
    world.write("empty", b"");
    world.write("deep/er/and/deeper/x", &noise(70_000, 1));
    world.write("limit", &noise(64 * 1024, 2));
    world.write("above", &noise(64 * 1024 + 1, 3));
    world.write("large", &noise(30 << 20, 4));
    world.write("zeros", &vec![0; 9 << 20]);
    world.write("name\nwith newline", b"n");
    for i in 0..300 {
        world.write(&format!("many/f{i}"), &noise(i * 37, 100 + i as u64));
    }
    let source = world.source();
    std::fs::create_dir(source.join("empty dir")).unwrap();
    symlink("nowhere", source.join("link")).unwrap();
    std::fs::hard_link(source.join("small.txt"), source.join("also small")).unwrap();
    std::fs::hard_link(source.join("large"), source.join("many/large too")).unwrap();
    std::fs::set_permissions(source.join("limit"), PermissionsExt::from_mode(0o640)).unwrap();
    std::fs::set_permissions(source.join("deep"), PermissionsExt::from_mode(0o500)).unwrap();
    let sparse = std::fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data in the middle", 2 << 20).unwrap();
    std::fs::File::create(source.join("only a hole"))
        .unwrap()
        .set_len(50_000)
        .unwrap();
}

#[test]
fn everything_comes_back() {
    let world = World::new();
    fill(&world);
    let report = world.backup();
    assert_eq!(report.totals.files_new, report.totals.files);
    let (restored, target) = world.restore(report.snapshot.unwrap());
    assert_eq!(restored.damage, Vec::new());
    assert_same(&world.source(), &target);
    assert_eq!(restored.entries, report.totals.entries);
}

#[test]
fn unchanged_tree_is_not_read() {
    let world = World::new();
    fill(&world);
    let first = world.backup();
    let stored = world.node.ids();
    let second = world.backup();
    assert_eq!(second.totals.bytes_read, 0);
    assert_eq!(second.totals.files_unmodified, first.totals.files);
    // The root, which holds the time; and the segment of the temporary folder above, should another
    // test have made something there.
    assert!(world.node.ids().difference(&stored).count() <= 2);
    assert_eq!(second.totals.entries, first.totals.entries);
    assert_eq!(second.totals.bytes, first.totals.bytes);
    let (_, target) = world.restore(second.snapshot.unwrap());
    assert_same(&world.source(), &target);
}

#[test]
fn touched_moved_and_copied_files_store_metadata_only() {
    let world = World::new();
    fill(&world);
    world.backup();
    let kinds = |kind| world.node.of_kind(kind).len();
    let content = (kinds(Kind::Pack), kinds(Kind::Chunk), kinds(Kind::Map));
    let source = world.source();
    std::fs::rename(source.join("many"), source.join("elsewhere")).unwrap();
    for name in ["large", "above", "small.txt", "limit"] {
        std::fs::copy(source.join(name), source.join(format!("copy of {name}"))).unwrap();
    }
    let file = std::fs::File::options()
        .write(true)
        .open(source.join("zeros"))
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    drop(file);
    let report = world.backup();
    assert_eq!(
        (kinds(Kind::Pack), kinds(Kind::Chunk), kinds(Kind::Map)),
        content
    );
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&source, &target);
}

#[test]
fn one_change_in_a_large_tree_stores_little() {
    let world = World::new();
    for i in 0..6000 {
        world.write(
            &format!("d{}/f{i}", i % 40),
            format!("content {i}").as_bytes(),
        );
    }
    world.backup();
    let segments = world.node.of_kind(Kind::Segment).len();
    assert!(segments > 2, "{segments}");
    world.write("d7/f7", b"changed");
    let report = world.backup();
    assert_eq!(report.totals.files_changed, 1);
    assert_eq!(report.totals.bytes_read, 7);
    // The segment of the file, and that of the folder above the source, where the cache came to be.
    let after = world.node.of_kind(Kind::Segment).len();
    assert!(after <= segments + 2, "{segments} segments, then {after}");
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&world.source(), &target);
}

#[test]
fn without_cache_large_files_are_still_shared() {
    let world = World::new();
    fill(&world);
    world.backup();
    let chunks = world.node.of_kind(Kind::Chunk).len();
    std::fs::remove_dir_all(world.cache_dir()).unwrap();
    let report = world.backup();
    assert_eq!(report.totals.files_new, report.totals.files);
    assert_eq!(world.node.of_kind(Kind::Chunk).len(), chunks);
}

#[test]
fn full_reads_everything_and_session_shares_nothing() {
    let world = World::new();
    fill(&world);
    let first = world.backup();
    let mut options = world.options();
    options.full = true;
    let full = world.run(options).unwrap();
    assert_eq!(full.totals.bytes_read, first.totals.bytes_read);
    let chunks = world.node.of_kind(Kind::Chunk).len();
    let mut options = world.options();
    options.dedup = Dedup::Session;
    let session = world.run(options).unwrap();
    assert_eq!(session.totals.bytes_read, first.totals.bytes_read);
    assert_eq!(world.node.of_kind(Kind::Chunk).len(), 2 * chunks);
    for report in [full, session] {
        let (_, target) = world.restore(report.snapshot.unwrap());
        assert_same(&world.source(), &target);
    }
}

#[test]
fn a_pipe_becomes_a_file() {
    let world = World::new();
    for (n, len) in [0, 10, 3 << 20].into_iter().enumerate() {
        let content = noise(len, 50);
        let mut options = world.options();
        options.roots.clear();
        options.stdin = Some(StdinFile {
            name: format!("dump{n}.sql").into(),
            reader: Box::new(std::io::Cursor::new(content.clone())),
        });
        let report = world.run(options).unwrap();
        let options = world.restore_options(report.snapshot.unwrap());
        restore::run(&options, &world.reader, &world.node, &Silent::default()).unwrap();
        assert_eq!(
            std::fs::read(options.target.join(format!("dump{n}.sql"))).unwrap(),
            content
        );
    }
}

#[test]
fn dry_run_stores_nothing() {
    let world = World::new();
    fill(&world);
    let mut options = world.options();
    options.dry_run = true;
    let report = world.run(options).unwrap();
    assert_eq!(report.snapshot, None);
    assert!(report.totals.bytes_stored > 0);
    assert!(world.node.ids().is_empty());
    assert_eq!(world.backup().totals.files_new, report.totals.files_new);
}

#[test]
fn interrupted_first_run_is_taken_up() {
    let world = World::new();
    fill(&world);
    let options = world.options();
    options.cancel.cancel();
    assert!(matches!(world.run(options), Err(BackupError::Cancelled)));
    world
        .node
        .puts_left
        .store(5, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(
        world.run(world.options()),
        Err(BackupError::Node(_))
    ));
    assert!(
        snapshot::snapshots(&world.node, &world.reader)
            .unwrap()
            .is_empty()
    );
    world
        .node
        .puts_left
        .store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let report = world.backup();
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&world.source(), &target);
}

#[test]
fn cancelled_run_keeps_what_it_sent() {
    let world = World::new();
    world.write("large", &noise(60 << 20, 5));
    let mut dry = world.options();
    dry.dry_run = true;
    let whole = world.run(dry).unwrap().totals.objects_new;
    let options = world.options();
    *world.node.cancel.lock() = Some(options.cancel.clone());
    world
        .node
        .puts_left
        .store(12, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(world.run(options), Err(BackupError::Cancelled)));
    assert!(
        snapshot::snapshots(&world.node, &world.reader)
            .unwrap()
            .is_empty()
    );
    *world.node.cancel.lock() = None;
    world
        .node
        .puts_left
        .store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let report = world.backup();
    assert!(
        report.totals.objects_new + 12 <= whole,
        "{report:?}, {whole}"
    );
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&world.source(), &target);
}

#[test]
fn objects_lost_by_the_node_are_stored_again() {
    let world = World::new();
    fill(&world);
    world.backup();
    for kind in [Kind::Pack, Kind::Chunk, Kind::Segment] {
        let (lost, _) = world.node.of_kind(kind).remove(0);
        world.node.objects.lock().remove(&lost);
        world.write("small.txt", format!("changed {kind:?}").as_bytes());
        let report = world.run(world.options()).unwrap();
        assert_eq!(report.problems, Vec::new());
        let (restored, target) = world.restore(report.snapshot.unwrap());
        assert_eq!(restored.damage, Vec::new());
        assert_same(&world.source(), &target);
    }
}

#[test]
fn a_part_is_restored_and_a_restore_goes_on() {
    let world = World::new();
    fill(&world);
    let snap = world.backup().snapshot.unwrap();
    let part = world.source().join("many");
    let mut options = world.restore_options(snap);
    options.below = Some(crate::fs::stored_path(&part, "/".as_ref()));
    let silent = Silent::default();
    let report = restore::run(&options, &world.reader, &world.node, &silent).unwrap();
    // "large too" is a link of a file outside: it comes with its content.
    assert_eq!(report.damage, Vec::new());
    let restored = World::inside(&options.target, &part);
    assert_same(&part, &restored);
    assert!(
        !World::inside(&options.target, &world.source())
            .join("large")
            .exists()
    );
    std::fs::remove_file(restored.join("f200")).unwrap();
    let again = restore::run(&options, &world.reader, &world.node, &silent).unwrap();
    assert_eq!(again.files_written, 1);
    assert_eq!(again.damage, Vec::new());
    assert_same(&part, &restored);
    options.below = Some(b"not/there".to_vec());
    let none = restore::run(&options, &world.reader, &world.node, &silent);
    assert!(matches!(none, Err(RestoreError::NoPath(_))));
}

#[test]
fn extra_files_are_deleted_only_when_asked() {
    let world = World::new();
    fill(&world);
    let snap = world.backup().snapshot.unwrap();
    let mut options = world.restore_options(snap);
    let silent = Silent::default();
    restore::run(&options, &world.reader, &world.node, &silent).unwrap();
    let inside = World::inside(&options.target, &world.source());
    std::fs::write(inside.join("many/extra"), b"x").unwrap();
    restore::run(&options, &world.reader, &world.node, &silent).unwrap();
    assert!(inside.join("many/extra").exists());
    options.delete = true;
    let report = restore::run(&options, &world.reader, &world.node, &silent).unwrap();
    assert_eq!(report.deleted, 1);
    assert_same(&world.source(), &inside);
}

#[test]
fn raw_export_holds_the_closure() {
    let world = World::new();
    fill(&world);
    let snap = world.backup().snapshot.unwrap();
    let dir = world.dir.path().join("raw");
    let silent = Silent::default();
    let export = restore::export_raw(&world.node, None, &[snap], &dir, &silent).unwrap();
    assert_eq!(
        export.objects,
        u64::try_from(world.node.ids().len()).unwrap()
    );
    assert_eq!((export.records, export.missing), (2, 0));
    for id in world.node.ids() {
        let hex = id.to_string();
        let bytes = std::fs::read(dir.join("objects").join(&hex[..2]).join(&hex)).unwrap();
        assert_eq!(packnback_proto::crypto::hash::object_id(&bytes), id);
    }
}
