//! Restores into targets that hold something already: links above, folders on the way, newer files.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::end_to_end::noise;
use super::stub::{World, assert_same};
use crate::fs::{Excludes, Overwrite};
use crate::progress::Silent;
use crate::restore::{self, RestoreOptions, RestoreReport};

fn restored(world: &World, options: &RestoreOptions) -> RestoreReport {
    restore::run(options, &world.reader, &world.node, &Silent::default()).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

/// `source/above/root` was saved, with one file.
fn one_root() -> (World, RestoreOptions) {
    let world = World::new();
    world.write("above/root/doc", b"a");
    std::fs::set_permissions(
        world.source().join("above"),
        PermissionsExt::from_mode(0o751),
    )
    .unwrap();
    let mut options = world.options();
    options.roots = vec![world.source().join("above/root")];
    let snap = world.run(options).unwrap().snapshot.unwrap();
    let options = world.restore_options(snap);
    (world, options)
}

fn inside(world: &World, options: &RestoreOptions, name: &str) -> PathBuf {
    World::inside(&options.target, &world.source()).join(name)
}

#[test]
fn a_link_above_what_was_saved_is_used_as_it_is_found() {
    for absolute in [false, true] {
        let (world, options) = one_root();
        let above = inside(&world, &options, "above");
        std::fs::create_dir_all(above.parent().unwrap()).unwrap();
        std::fs::create_dir_all(options.target.join("disk/real")).unwrap();
        std::fs::write(options.target.join("disk/real/mine"), "mine").unwrap();
        let depth = above
            .strip_prefix(&options.target)
            .unwrap()
            .components()
            .count()
            - 1;
        let text = if absolute {
            PathBuf::from("/disk/real")
        } else {
            PathBuf::from("../".repeat(depth)).join("disk/real")
        };
        symlink(&text, &above).unwrap();
        assert_eq!(restored(&world, &options).damage, []);
        assert_eq!(std::fs::read_link(&above).unwrap(), text);
        let real = options.target.join("disk/real");
        assert_eq!(std::fs::read(real.join("root/doc")).unwrap(), b"a");
        assert_eq!(std::fs::read(real.join("mine")).unwrap(), b"mine");
        // Again, and with --delete: what is beside the root is not its business.
        let mut again = world.restore_options(options.snapshot.id);
        again.target.clone_from(&options.target);
        again.delete = true;
        std::fs::write(real.join("root/new"), "new").unwrap();
        assert_eq!(restored(&world, &again).deleted, 1);
        assert!(real.join("mine").exists() && !real.join("root/new").exists());
    }
}

#[test]
fn n20_a_link_above_that_leads_out_of_the_target_is_not_followed() {
    let (world, options) = one_root();
    let outside = world.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let above = inside(&world, &options, "above");
    std::fs::create_dir_all(above.parent().unwrap()).unwrap();
    symlink(&outside, &above).unwrap();
    let report = restored(&world, &options);
    assert!(!report.damage.is_empty() && !report.source_at_fault);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(above.is_symlink());
}

#[test]
fn folders_above_keep_their_attributes_or_get_those_saved_if_made() {
    let (world, options) = one_root();
    let above = inside(&world, &options, "above");
    std::fs::create_dir_all(&above).unwrap();
    std::fs::set_permissions(&above, PermissionsExt::from_mode(0o700)).unwrap();
    restored(&world, &options);
    assert_eq!(mode(&above), 0o700, "found");
    let mut fresh = world.restore_options(options.snapshot.id);
    restored(&world, &fresh);
    let above = inside(&world, &fresh, "above");
    assert_eq!(mode(&above), 0o751, "made");
    assert_eq!(
        above.metadata().unwrap().modified().unwrap(),
        world
            .source()
            .join("above")
            .metadata()
            .unwrap()
            .modified()
            .unwrap()
    );
    // The same for a part of it.
    fresh = world.restore_options(options.snapshot.id);
    let doc = world.source().join("above/root/doc");
    fresh.below = Some(crate::fs::stored_path(&doc, Path::new("/")));
    restored(&world, &fresh);
    assert_eq!(mode(&inside(&world, &fresh, "above")), 0o751);
    let saved = mode(&world.source().join("above/root"));
    assert_eq!(mode(&inside(&world, &fresh, "above/root")), saved);
}

#[test]
fn a_target_is_closed_until_all_is_done_and_an_interrupted_restore_goes_on() {
    let (world, options) = one_root();
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(world.dir.path(), "user.x", b"", flags).is_err() {
        eprintln!("no extended attributes here: going on after an interruption is not tested");
        return;
    }
    options.cancel.cancel();
    let (reader, node) = (&world.reader, &world.node);
    let stopped = restore::run(&options, reader, node, &Silent::default());
    assert!(matches!(stopped, Err(restore::RestoreError::Cancelled)));
    assert_eq!(mode(&options.target), 0o700);
    // As an interruption leaves it: a folder on the way, closed.
    let mut again = world.restore_options(options.snapshot.id);
    again.target.clone_from(&options.target);
    restored(&world, &again);
    let other = world.dir.path().join("as anybody makes one");
    std::fs::create_dir(&other).unwrap();
    assert_eq!(mode(&again.target), mode(&other));
    assert_eq!(mode(&inside(&world, &again, "above")), 0o751);
}

#[test]
fn privileges_come_back_only_where_nobody_else_can_enter() {
    let world = World::new();
    let program = world.write("program", b"x");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).unwrap();
    let snap = world.backup().snapshot.unwrap();
    std::fs::set_permissions(world.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let into = |open: Option<u32>, forced: bool| {
        let mut options = world.restore_options(snap);
        (options.write.set_id, options.write.devices) = (true, true);
        options.write.closed_only = !forced;
        if let Some(mode) = open {
            std::fs::create_dir(&options.target).unwrap();
            std::fs::set_permissions(&options.target, PermissionsExt::from_mode(mode)).unwrap();
        }
        let report = restored(&world, &options);
        (
            mode(&inside(&world, &options, "program")),
            report.notes.len(),
        )
    };
    assert_eq!(into(None, false), (0o4755, 0));
    // What is there as it was saved loses nothing by being restored again.
    let mut twice = world.restore_options(snap);
    (twice.write.set_id, twice.write.closed_only) = (true, true);
    for _ in 0..2 {
        restored(&world, &twice);
        assert_eq!(mode(&inside(&world, &twice, "program")), 0o4755);
    }
    assert_eq!(into(Some(0o700), false), (0o4755, 0));
    assert_eq!(into(Some(0o755), false), (0o755, 1));
    assert_eq!(into(Some(0o711), false), (0o755, 1));
    assert_eq!(into(Some(0o755), true), (0o4755, 0));
    // A closed folder above closes all below it.
    std::fs::set_permissions(world.dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(into(Some(0o755), false), (0o4755, 0));
}

#[test]
fn nothing_of_what_was_asked_for_is_not_a_success() {
    let (world, mut options) = one_root();
    let mut patterns = Excludes::new();
    patterns.add(b"dco").unwrap();
    options.include = Some(patterns);
    let report = restored(&world, &options);
    assert!(report.is_nothing() && !report.is_complete());
    assert_eq!(report.unmatched, [b"dco".to_vec()]);
    let mut patterns = Excludes::new();
    patterns.add(b"doc").unwrap();
    patterns.add(b"dco").unwrap();
    options.include = Some(patterns);
    let report = restored(&world, &options);
    assert!(report.is_complete());
    assert_eq!(report.unmatched, [b"dco".to_vec()]);
}

#[test]
fn what_is_newer_in_the_target_is_named_before_it_is_overwritten() {
    let (world, mut options) = one_root();
    let survey = |options: &RestoreOptions| {
        restore::survey(options, &world.reader, &world.node)
            .unwrap()
            .newer
    };
    assert_eq!(survey(&options), Vec::<Vec<u8>>::new());
    restored(&world, &options);
    assert_eq!(survey(&options), Vec::<Vec<u8>>::new(), "as restored");
    let doc = inside(&world, &options, "above/root/doc");
    let edit = |later: bool| {
        std::fs::write(&doc, b"edited").unwrap();
        let saved = world.source().join("above/root/doc").metadata().unwrap();
        let second = std::time::Duration::from_secs(1);
        let time = saved.modified().unwrap();
        let time = if later { time + second } else { time - second };
        let file = std::fs::File::options().write(true).open(&doc).unwrap();
        file.set_modified(time).unwrap();
    };
    edit(false);
    assert_eq!(survey(&options), Vec::<Vec<u8>>::new(), "older");
    edit(true);
    let path = world.source().join("above/root/doc");
    assert_eq!(
        survey(&options),
        [crate::fs::stored_path(&path, Path::new("/"))]
    );
    options.write.overwrite = Overwrite::Never;
    assert_eq!(survey(&options), Vec::<Vec<u8>>::new());
    assert_eq!(
        std::fs::read(&doc).unwrap(),
        b"edited",
        "looking changes nothing"
    );
}

/// An image with runs of zeros, some longer than one chunk, some ending with the file; and holes in it.
#[test]
fn runs_of_zeros_come_back_as_zeros() {
    let world = World::new();
    let mib = |n: usize| n << 20;
    let mut image = noise(mib(3), 1);
    image.extend(vec![0; mib(30)]);
    image.extend(noise(mib(2), 2));
    image.extend(vec![0; mib(9) + 17]);
    let path = world.write("image", &image);
    std::fs::copy(&path, world.source().join("image again")).unwrap();
    world.write("zeros", &vec![0; mib(6)]);
    let hole = std::fs::File::create(world.source().join("hole")).unwrap();
    hole.set_len(mib(20) as u64).unwrap();
    let snap = world.backup().snapshot.unwrap();
    for verify in [false, true] {
        let mut options = world.restore_options(snap);
        options.verify = verify;
        let report = restored(&world, &options);
        assert_eq!(report.damage, []);
        let target = World::inside(&options.target, &world.source());
        assert_same(&world.source(), &target);
        assert_eq!(std::fs::read(target.join("image")).unwrap(), image);
        // All that was saved, whether it was fetched or not.
        let holes = mib(20) as u64;
        let bytes = (image.len() * 2 + mib(6)) as u64;
        assert_eq!(report.bytes_written, bytes + holes);
    }
}

/// A run is one chunk over and over: what is not under way when it was first seen is not fetched.
#[test]
fn a_run_of_zeros_is_not_fetched_over_and_over() {
    let world = World::new();
    world.write("zeros", &vec![0; 100 << 20]);
    let (report, target) = world.restore(world.backup().snapshot.unwrap());
    assert_eq!(
        (report.damage, report.bytes_written),
        (Vec::new(), 100 << 20)
    );
    assert_same(&world.source(), &target);
    // Of 25 chunks of the greatest length, 12 fit into what may be under way.
    assert!(report.objects <= 14, "{}", report.objects);
}
