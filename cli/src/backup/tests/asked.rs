//! What was asked for, and what is said if it cannot be had.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::stub::{World, assert_same};
use crate::backup::{BackupError, BackupOptions, BackupReport, Cause, StdinFile};
use crate::fs::Sources;

fn with_patterns(world: &World, patterns: &[&str]) -> BackupOptions {
    let mut options = world.options();
    for pattern in patterns {
        options.walk.excludes.add(pattern.as_bytes()).unwrap();
    }
    options
}

#[track_caller]
fn nothing(world: &World, options: BackupOptions) -> String {
    let before = world.node.ids();
    match world.run(options) {
        Err(BackupError::Nothing(reason)) => {
            let left = world.node.ids().len() - before.len();
            assert!(left <= 1, "no root is made: {left}");
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_path_of_several_that_is_not_there_keeps_no_other_out() {
    let world = World::new();
    world.write("f", b"content");
    let mut options = world.options();
    let gone = world.dir.path().join("not mounted today");
    options.roots.push(gone.clone());
    let report = world.run(options).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].path.ends_with(b"not mounted today"));
    assert!(report.causes.contains(&Cause::Vanished));
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&world.source(), &target);
    let mut options = world.options();
    options.roots = vec![gone];
    let reason = nothing(&world, options);
    assert!(reason.contains("not mounted today"), "{reason}");
}

#[test]
fn nothing_saved_is_no_success() {
    let world = World::new();
    world.write("tmp/f", b"content");
    world.write("g", b"content");
    let reason = nothing(&world, with_patterns(&world, &["*"]));
    assert!(reason.contains("left out"), "{reason}");
    let mut options = world.options();
    options.walk.exclude_larger_than = Some(1);
    nothing(&world, options);
    // The same words, about what is below the root and not above it.
    let above = world.dir.path().file_name().unwrap().to_str().unwrap();
    let patterns = [format!("{above}/**"), "tmp/**".to_owned()];
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let report = world.run(with_patterns(&world, &patterns)).unwrap();
    assert_eq!(report.totals.files, 1);
    assert!(report.warnings[0].contains(above), "{:?}", report.warnings);
    assert!(
        !report.warnings[0].contains("tmp/**"),
        "{:?}",
        report.warnings
    );
}

#[test]
fn an_empty_folder_is_saved_with_a_remark() {
    let world = World::new();
    let report = world.backup();
    assert!(report.remarks[0].contains("only folders"), "{report:?}");
    world.write("f", b"x");
    assert!(world.backup().remarks.is_empty());
}

#[test]
fn of_a_link_both_ends_are_saved_and_it_is_said() {
    let world = World::new();
    world.write("f", b"content");
    let link = world.dir.path().join("link");
    std::os::unix::fs::symlink("source", &link).unwrap();
    let mut options = world.options();
    options.roots = vec![link.clone()];
    let report = world.run(options).unwrap();
    assert!(report.is_complete());
    assert!(report.remarks[0].contains("is a link"), "{report:?}");
    let (_, target) = world.restore(report.snapshot.unwrap());
    assert_same(&world.source(), &target);
    let restored = target.parent().unwrap().join("link");
    assert_eq!(fs::read_link(restored).unwrap(), PathBuf::from("source"));
}

/// A backup twice, as a machine with a right clock does it.
fn twice(world: &World) -> (BackupReport, BackupReport) {
    let run = || world.run(world.options()).unwrap();
    (run(), run())
}

#[test]
fn a_time_to_come_makes_no_file_new_each_time() {
    let world = World::new();
    let path = world.write("DSC001", b"from a camera with a wrong clock");
    let file = fs::File::options().write(true).open(path).unwrap();
    let two_years = Duration::from_secs(2 * 365 * 86_400);
    file.set_modified(SystemTime::now() + two_years).unwrap();
    let (_, second) = twice(&world);
    assert_eq!(second.totals.bytes_read, 0);
}

#[test]
fn n15_a_clock_of_another_machine_may_be_a_little_ahead() {
    let mut world = World::new();
    world.time = World::later() - 100;
    let path = world.write("f", b"just written");
    let file = fs::File::options().write(true).open(path).unwrap();
    let ahead = Duration::from_secs(40);
    file.set_modified(SystemTime::now() + ahead).unwrap();
    // Only the modification time is of now: what the kernel says of the change is long ago then.
    world.time += 20;
    let (_, second) = twice(&world);
    assert_eq!(second.totals.bytes_read, 12);
}

#[test]
fn a_time_the_format_cannot_hold_is_said_each_time_and_read_once() {
    let world = World::new();
    let path = world.write("f", b"content");
    let modified = UNIX_EPOCH + Duration::from_secs(10_413_792_000);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    if fs::metadata(&path).unwrap().modified().unwrap() != modified {
        eprintln!("this file system cannot hold such times: not tested");
        return;
    }
    let (first, second) = twice(&world);
    for report in [&first, &second] {
        assert_eq!(report.problems.len(), 1);
        assert!(report.problems[0].reason.contains("modification time"));
        assert!(report.causes.contains(&Cause::Metadata));
    }
    assert_eq!(second.totals.bytes_read, 0);
}

#[test]
fn a_name_that_can_never_be_restored_is_refused_before_anything_is_read() {
    struct Untouched;
    impl std::io::Read for Untouched {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("it was read");
        }
    }
    let world = World::new();
    let long = "n".repeat(300);
    let deep = "d/".repeat(40_000) + "f";
    for name in [
        &long,
        &format!("dir/{long}"),
        &deep,
        "",
        "/",
        ".",
        "..",
        "dir/",
    ] {
        let mut options = world.options();
        options.roots.clear();
        options.stdin = Some(StdinFile {
            name: name.into(),
            reader: Box::new(Untouched),
        });
        let run = world.run(options);
        assert!(
            matches!(run, Err(BackupError::Name { .. })),
            "{name}: {run:?}"
        );
    }
    assert!(world.node.ids().is_empty());
}

#[test]
fn more_paths_than_a_snapshot_names_are_refused() {
    let world = World::new();
    let mut options = world.options();
    options.roots.clear();
    for i in 0..1025 {
        let path = world.write(&format!("{i}"), b"x");
        options.roots.push(path);
    }
    assert_eq!(
        Sources::resolve(&options.roots, &options.cwd).paths().len(),
        1025
    );
    assert!(matches!(world.run(options), Err(BackupError::Paths(1025))));
}
