//! A lost or unusable cache costs time, and no space.

use std::fs;

use packnback_proto::format::header::Kind;

use super::end_to_end::noise;
use super::stub::{World, assert_same};
use crate::backup::BackupReport;
use crate::cache::Cache;
use crate::progress::Silent;

/// A root object, and what rounding adds.
const ROOT: usize = 4096;

fn world() -> World {
    let world = World::new();
    for i in 0..40 {
        world.write(&format!("small/{i}"), &noise(5_000, i));
        world.write(&format!("tiny/{i}"), &noise(10, 1000 + i));
    }
    world.write("large", &noise(300_000, 77));
    fs::hard_link(world.source().join("small/1"), world.source().join("twin")).unwrap();
    world
}

fn lose_cache(world: &World) {
    fs::remove_dir_all(world.cache_dir()).unwrap();
}

/// Everything is read, nothing is stored but a root.
#[track_caller]
fn costs_time_only(world: &World, before: usize) -> BackupReport {
    let report = world.backup();
    assert!(report.totals.bytes_read >= 500_000, "{:?}", report.totals);
    let more = world.stored() - before;
    assert!(more < ROOT, "{more} bytes more");
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&world.source(), &target);
    report
}

#[test]
fn a_lost_cache_costs_time_and_no_space() {
    let world = world();
    world.backup();
    for _ in 0..3 {
        let before = world.stored();
        lose_cache(&world);
        costs_time_only(&world, before);
    }
    assert_eq!(world.backup().totals.bytes_read, 0);
    // What is known of the places is kept from then on as before.
    fs::remove_dir_all(world.source().join("small")).unwrap();
    world.write("new", &noise(6_000, 99));
    let packs = world.node.of_kind(Kind::Pack).len();
    world.backup();
    assert_eq!(world.node.of_kind(Kind::Pack).len(), packs + 1);
    assert_eq!(world.backup().totals.bytes_read, 0);
}

#[test]
fn a_lost_list_of_places_is_made_again_from_the_cache() {
    let world = world();
    world.backup();
    for content in [None, Some(b"no list of places".as_slice())] {
        fs::remove_file(world.places()).unwrap();
        if let Some(content) = content {
            fs::write(world.places(), content).unwrap();
        }
        assert_eq!(world.backup().totals.bytes_read, 0);
        let before = world.stored();
        lose_cache(&world);
        costs_time_only(&world, before);
    }
}

#[test]
fn what_a_killed_run_stored_is_found_again() {
    let world = world();
    world.backup();
    let copy = world.dir.path().join("copy");
    let copied = |from: &std::path::Path, to: &std::path::Path| {
        fs::create_dir(to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    copied(&world.cache_dir(), &copy);
    for i in 0..40 {
        world.write(&format!("more/{i}"), &noise(5_000, 500 + i));
    }
    world.backup();
    // As a kill leaves it: what was not flushed is not there.
    lose_cache(&world);
    copied(&copy, &world.cache_dir());
    let packs = world.node.of_kind(Kind::Pack).len();
    let report = world.backup();
    assert_eq!(report.totals.bytes_read, 200_000);
    assert_eq!(world.node.of_kind(Kind::Pack).len(), packs);
}

#[test]
fn what_may_pass_empties_no_cache() {
    let world = world();
    world.backup();
    let before = world.stored();
    // The system does not let it open; as for root nothing is forbidden, a folder is in the way.
    let lock = world.cache_dir().join("LOCK");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let cache = Cache::open_kept(&world.cache_dir(), &world.places());
    let warning = cache.warning().unwrap_or_default().to_owned();
    assert!(warning.contains("left as it is"), "{warning}");
    world.write("new", &noise(6_000, 99));
    let silent = Silent::default();
    let run = crate::backup::run(world.options(), &world.keys, &world.node, &cache, &silent);
    assert!(run.unwrap().totals.bytes_read > 500_000);
    let stored = world.stored();
    assert!(stored - before < 4 * ROOT + 6_000);
    drop(cache);
    fs::remove_dir(&lock).unwrap();
    let report = world.backup();
    assert_eq!(report.totals.bytes_read, 6_000, "the cache is as it was");
    assert!(world.stored() - stored < 2 * ROOT, "what was new is known");
}

#[test]
fn a_second_run_beside_another_stores_nothing_again() {
    let world = world();
    world.backup();
    let held = Cache::open_kept(&world.cache_dir(), &world.places());
    let second = Cache::open_kept(&world.cache_dir(), &world.places());
    assert!(second.warning().is_some_and(|w| w.contains("another run")));
    let before = world.stored();
    let silent = Silent::default();
    let run = |cache: &Cache| {
        crate::backup::run(world.options(), &world.keys, &world.node, cache, &silent).unwrap()
    };
    run(&second);
    assert!(world.stored() - before < ROOT);
    world.write("new", &noise(60_000, 99));
    run(&second);
    drop((held, second));
    let before = world.stored();
    assert_eq!(world.backup().totals.bytes_read, 60_000);
    assert!(world.stored() - before < 2 * ROOT);
}

#[test]
fn places_the_node_has_lost_are_forgotten() {
    let world = world();
    world.backup();
    lose_cache(&world);
    for (id, _) in world.node.of_kind(Kind::Pack) {
        world.node.objects.lock().remove(&id);
    }
    let report = world.run(world.options()).unwrap();
    assert!(report.warnings[0].contains("stored again"), "{report:?}");
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&world.source(), &target);
    let before = world.stored();
    lose_cache(&world);
    costs_time_only(&world, before);
}

#[test]
fn a_full_run_believes_no_place() {
    let world = world();
    world.backup();
    lose_cache(&world);
    let (packs, segments) = (
        world.node.of_kind(Kind::Pack).len(),
        world.node.of_kind(Kind::Segment).len(),
    );
    let mut options = world.options();
    options.full = true;
    world.run(options).unwrap();
    assert!(world.node.of_kind(Kind::Pack).len() > packs);
    assert!(world.node.of_kind(Kind::Segment).len() > segments);
    // Also of a segment that refers to no data: nothing but a full run tells its place from a lost one.
    let world = World::new();
    world.write("empty", &[]);
    world.backup();
    let segments = world.node.of_kind(Kind::Segment).len();
    let mut options = world.options();
    options.full = true;
    world.run(options).unwrap();
    assert!(world.node.of_kind(Kind::Segment).len() > segments);
}
