//! What the cache may be believed.

use std::os::unix::fs::FileExt;

use super::stub::{World, assert_same};
use crate::cache::Cache;

#[test]
fn n15_rewrite_of_same_size_and_time_is_detected() {
    let world = World::new();
    let path = world.write("f", b"first content");
    world.write("g", b"other");
    world.backup();
    let modified = path.metadata().unwrap().modified().unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"FIRST CONTENT", 0).unwrap();
    file.set_modified(modified).unwrap();
    drop(file);
    assert_eq!(path.metadata().unwrap().modified().unwrap(), modified);
    let report = world.backup();
    assert_eq!(report.totals.files_changed, 1);
    assert_eq!(report.totals.bytes_read, 13);
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_eq!(std::fs::read(target.join("f")).unwrap(), b"FIRST CONTENT");
}

#[test]
fn n15_racy_write_is_read_again_and_stored_once() {
    let world = World::new();
    world.write("f", b"just written");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let mut options = world.options();
    options.time = now.as_secs();
    world.run(options).unwrap();
    let packs = world
        .node
        .of_kind(packnback_proto::format::header::Kind::Pack)
        .len();
    let report = world.backup();
    assert_eq!(report.totals.bytes_read, 12);
    let after = world
        .node
        .of_kind(packnback_proto::format::header::Kind::Pack)
        .len();
    assert_eq!(after, packs);
    assert_eq!(world.backup().totals.bytes_read, 0);
}

/// Somebody who can write the cache makes the device believe that one file has the content of
/// another. That spoils only what this device stores from then on, and a full run, which believes
/// nothing, puts it right.
#[test]
fn n15_a_poisoned_cache_spoils_no_earlier_snapshot_and_a_full_run_puts_it_right() {
    let world = super::reread::two_files(b"first content", b"OTHER CONTENT");
    let good = world.backup().snapshot.unwrap();
    super::reread::swap_in_cache(&world);
    world.write("h", b"something new in the same folder");
    let spoiled = world.backup().snapshot.unwrap();
    let (_, target) = world.restore(spoiled);
    assert_eq!(std::fs::read(target.join("f")).unwrap(), b"OTHER CONTENT");
    let mut options = world.options();
    options.full = true;
    let full = world.run(options).unwrap().snapshot.unwrap();
    let (_, target) = world.restore(full);
    assert_same(&world.source(), &target);
    let (_, target) = world.restore(world.backup().snapshot.unwrap());
    assert_same(&world.source(), &target);
    let (_, target) = world.restore(good);
    assert_eq!(std::fs::read(target.join("f")).unwrap(), b"first content");
}

#[test]
fn gone_files_are_forgotten() {
    let world = World::new();
    for i in 0..50 {
        world.write(&format!("d/e/f{i}"), format!("content {i}").as_bytes());
    }
    world.write("stays", b"stays");
    world.backup();
    let small = |content: &[u8]| {
        let key = crate::cache::CacheKey::new(world.keys.cache_key.duplicate());
        Cache::open(&world.cache_dir())
            .small(&key.small(content))
            .is_some()
    };
    assert!(small(b"content 7") && small(b"stays"));
    std::fs::remove_dir_all(world.source().join("d")).unwrap();
    let report = world.backup();
    assert!(!small(b"content 7") && small(b"stays"));
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&world.source(), &target);
}

#[test]
fn packs_mostly_dead_are_left_behind() {
    let world = World::new();
    for i in 0..20 {
        world.write(&format!("f{i}"), &super::end_to_end::noise(10_000, i));
    }
    world.backup();
    let kind = packnback_proto::format::header::Kind::Pack;
    let old: Vec<_> = world
        .node
        .of_kind(kind)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    for i in 0..15 {
        std::fs::remove_file(world.source().join(format!("f{i}"))).unwrap();
    }
    world.backup();
    let report = world.backup();
    assert_eq!(report.totals.bytes_read, 50_000);
    assert!(world.node.of_kind(kind).len() > old.len());
    let report = world.backup();
    assert_eq!(report.totals.bytes_read, 0);
    for id in old {
        world.node.objects.lock().remove(&id);
    }
    let (restored, target) = world.restore(report.snapshot.unwrap());
    assert_eq!(restored.damage, Vec::new());
    assert_same(&world.source(), &target);
}

#[test]
fn damaged_cache_is_rebuilt() {
    let world = World::new();
    world.write("f", b"content");
    world.backup();
    for entry in std::fs::read_dir(world.cache_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"garbage").unwrap();
        }
    }
    let cache = Cache::open(&world.cache_dir());
    assert!(
        cache.warning().is_some_and(|w| w.contains("damaged")),
        "{:?}",
        cache.warning()
    );
    drop(cache);
    world.backup();
    assert_eq!(world.backup().totals.bytes_read, 0);
}

#[test]
fn cache_in_use_by_another_run_is_done_without() {
    let world = World::new();
    world.write("f", b"content");
    world.backup();
    let _held = Cache::open(&world.cache_dir());
    let second = Cache::open(&world.cache_dir());
    assert!(
        second.warning().is_some_and(|w| w.contains("another run")),
        "{:?}",
        second.warning()
    );
    let silent = crate::progress::Silent::default();
    let report =
        crate::backup::run(world.options(), &world.keys, &world.node, &second, &silent).unwrap();
    assert_eq!(report.totals.bytes_read, 7);
}
