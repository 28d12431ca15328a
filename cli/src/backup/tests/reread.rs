//! What looks unchanged is read again, each file once in fifty days.

use std::path::Path;

use packnback_proto::format::header::Kind;

use super::end_to_end::noise;
use super::stub::{World, assert_same};
use crate::cache::{Cache, CacheKey, DataRef, Facts, FileFact, FileKey, FileRecord, Hash16};
use crate::fs::{Stat, stored_path};

const DAY: u64 = 86_400;

fn cache_key(world: &World) -> CacheKey {
    CacheKey::new(world.keys.cache_key.duplicate())
}

fn known(world: &World) -> Vec<(FileKey, FileRecord)> {
    let stored = stored_path(&world.source(), Path::new("/"));
    Cache::open(&world.cache_dir()).dir(cache_key(world).path(&stored).dir_key())
}

fn rewrite(world: &World, records: impl IntoIterator<Item = (FileKey, FileRecord, FileRecord)>) {
    let files = records.into_iter().map(|(key, old, new)| FileFact {
        key,
        old: Some(Box::new(old)),
        new: Some(new),
    });
    let facts = Facts {
        files: files.collect(),
        ..Facts::default()
    };
    Cache::open(&world.cache_dir()).apply(&facts).unwrap();
}

/// Makes the cache believe that the two files there are have each other's content.
pub(super) fn swap_in_cache(world: &World) {
    let files = known(world);
    assert_eq!(files.len(), 2);
    let swapped = [(0, 1), (1, 0)].map(|(at, from): (usize, usize)| {
        let (key, old) = files[at].clone();
        let data = files[from].1.data.clone();
        (key, old.clone(), FileRecord { data, ..old })
    });
    rewrite(world, swapped);
}

/// A backup each day for as long as it takes until everything was read again. Returns how many
/// files were read again, and how many had other content than the cache said.
fn period(world: &mut World) -> (u64, u64) {
    let (mut reread, mut differ) = (0, 0);
    for _ in 0..50 {
        world.time += DAY;
        // Warnings are what is looked for.
        let report = world.run(world.options()).unwrap();
        reread += report.totals.files_reread;
        differ += report.totals.files_differ;
        let said = report.warnings.iter().any(|w| w.contains("other content"));
        assert_eq!(
            said,
            report.totals.files_differ > 0,
            "{:?}",
            report.warnings
        );
    }
    (reread, differ)
}

/// A world of the files `f` and `g`, which make one segment, also when `h` comes to them.
pub(super) fn two_files(f: &[u8], g: &[u8]) -> World {
    let mut world = World::new();
    world.write("f", f);
    world.write("g", g);
    let h = world.write("h", b"");
    world.cut_nowhere();
    std::fs::remove_file(h).unwrap();
    world
}

/// Without anybody asking for a full run: every file that the cache lies about is found, said, and
/// right from then on.
fn lies_are_found(f: &[u8], g: &[u8]) {
    let mut world = two_files(f, g);
    world.backup();
    swap_in_cache(&world);
    world.write("h", b"something new in the same folder");
    let spoiled = world.backup();
    assert_eq!((spoiled.totals.files_differ, spoiled.warnings), (0, vec![]));
    let (_, target) = world.restore(spoiled.snapshot.unwrap());
    assert_eq!(std::fs::read(target.join("f")).unwrap(), g);
    // Each once, whichever day it was, and of the three two were lied about.
    assert_eq!(period(&mut world), (3, 2));
    let (_, target) = world.restore(world.backup().snapshot.unwrap());
    assert_same(&world.source(), &target);
}

#[test]
fn n15_a_poisoned_cache_is_found_within_the_period_of_reading_again() {
    lies_are_found(b"first content", b"OTHER CONTENT");
}

#[test]
fn n15_lies_about_large_files_are_found_as_well() {
    lies_are_found(&noise(200_000, 1), &noise(200_000, 2));
}

/// Bytes that change while size, times and inode stay: what a failing disk does.
#[test]
fn n15_content_that_changed_without_a_trace_is_found_within_the_period() {
    let mut world = World::new();
    world.write("f", b"first content");
    world.write("g", b"never touched");
    world.backup();
    let files = known(&world);
    // The time of the change cannot be put back, so the cache is told that it was there before.
    let path = world.write("f", b"FIRST CONTENT");
    let stat = cache_key(&world).stat(&Stat::of(&rustix::fs::stat(&path).unwrap()));
    let before: Hash16 = cache_key(&world).small(b"first content");
    let is_f = |old: &FileRecord| matches!(&old.data, DataRef::Small { content, .. } if *content == before);
    let records = files.into_iter().filter(|(_, old)| is_f(old));
    let told = records.map(|(key, old)| (key, old.clone(), FileRecord { stat, ..old }));
    rewrite(&world, told.collect::<Vec<_>>());
    assert_eq!(world.backup().totals.bytes_read, 0);
    assert_eq!(period(&mut world), (2, 1));
    let (_, target) = world.restore(world.backup().snapshot.unwrap());
    assert_same(&world.source(), &target);
}

#[test]
fn turns_can_be_put_off_and_are_caught_up() {
    let mut world = World::new();
    for i in 0..40 {
        world.write(&format!("f{i}"), format!("content {i}").as_bytes());
    }
    world.backup();
    for _ in 0..50 {
        world.time += DAY;
        let mut options = world.options();
        options.reread = false;
        assert_eq!(world.run(options).unwrap().totals.bytes_read, 0);
    }
    let reread: u64 = (0..5).map(|_| world.backup().totals.files_reread).sum();
    assert_eq!(reread, 40);
    assert_eq!(world.backup().totals.bytes_read, 0);
}

/// What is read again and is as it was costs its description once more, no content.
#[test]
fn no_content_is_stored_twice() {
    let mut world = World::new();
    world.write("f", &noise(200_000, 1));
    world.write("g", b"small");
    world.backup();
    let content =
        |world: &World| [Kind::Pack, Kind::Chunk].map(|kind| world.node.of_kind(kind).len());
    let before = content(&world);
    assert_eq!(period(&mut world), (2, 0));
    assert_eq!(content(&world), before);
    let (_, target) = world.restore(world.backup().snapshot.unwrap());
    assert_same(&world.source(), &target);
}
