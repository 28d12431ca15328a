//! `restore --delete`: what was not there goes, what was not to be saved or could not be stays.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use packnback_proto::format::root::LeftOut;
use packnback_proto::ids::SnapshotId;

use super::forged::reroot;
use super::stub::{World, assert_same};
use crate::fs::Excludes;
use crate::progress::Silent;
use crate::restore::{self, RestoreError, RestoreOptions, RestoreReport};

/// A target with the snapshot in it, to be spoilt.
struct Scene {
    world: World,
    snap: SnapshotId,
    target: PathBuf,
}

impl Scene {
    fn new(world: World, options: crate::backup::BackupOptions) -> Self {
        let report = world.run(options).unwrap();
        let snap = report.snapshot.unwrap();
        let options = world.restore_options(snap);
        restore::run(&options, &world.reader, &world.node, &Silent::default()).unwrap();
        Self {
            snap,
            target: options.target,
            world,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        World::inside(&self.target, &self.world.source()).join(name)
    }

    fn write(&self, name: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, name).unwrap();
    }

    fn delete(&self, change: impl FnOnce(&mut RestoreOptions)) -> RestoreReport {
        let mut options = self.world.restore_options(self.snap);
        options.target.clone_from(&self.target);
        options.delete = true;
        change(&mut options);
        let (reader, node) = (&self.world.reader, &self.world.node);
        restore::run(&options, reader, node, &Silent::default()).unwrap()
    }

    #[track_caller]
    fn there(&self, names: &[&str]) {
        for name in names {
            assert!(self.path(name).symlink_metadata().is_ok(), "{name} is gone");
        }
    }

    #[track_caller]
    fn gone(&self, names: &[&str]) {
        for name in names {
            assert!(self.path(name).symlink_metadata().is_err(), "{name} stayed");
        }
    }

    fn names(&self, report: &RestoreReport) -> Vec<String> {
        let top = crate::fs::stored_path(&self.world.source(), Path::new("/"));
        let names = report.removed.iter().map(|path| &path[top.len() + 1..]);
        names
            .map(|name| String::from_utf8(name.to_vec()).unwrap())
            .collect()
    }
}

fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                left.push(path.clone());
            }
            found.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
        }
    }
    found
}

fn excluding(world: &World, patterns: &[&str]) -> crate::backup::BackupOptions {
    let mut options = world.options();
    for pattern in patterns {
        options.walk.excludes.add(pattern.as_bytes()).unwrap();
    }
    options
}

fn two_files() -> World {
    let world = World::new();
    world.write("doc", b"a");
    world.write("d/other", b"b");
    world
}

#[test]
fn what_the_backup_left_out_stays_and_what_is_new_goes() {
    let world = two_files();
    let options = excluding(&world, &["*.iso", "build/", "!keep.iso", "/no/such"]);
    let scene = Scene::new(world, options);
    for name in [
        "vm.iso",
        "d/vm.iso",
        "keep.iso",
        "build/x/y",
        "new",
        "d/new/deep/file",
        "mixed/a.iso",
        "mixed/b/c",
    ] {
        scene.write(name);
    }
    symlink("/nowhere", scene.path("link")).unwrap();
    let before = tree(&scene.target);
    let dry = scene.delete(|options| options.dry_run = true);
    assert_eq!(tree(&scene.target), before, "a dry run changes nothing");
    let report = scene.delete(|_| {});
    let removed = [
        "d/new/deep/file",
        "d/new/deep",
        "d/new",
        "keep.iso",
        "link",
        "new",
        "mixed/b/c",
        "mixed/b",
    ];
    assert_eq!(scene.names(&dry), removed);
    assert_eq!(scene.names(&report), removed);
    assert_eq!(report.deleted, 8);
    scene.there(&["vm.iso", "d/vm.iso", "build/x/y", "mixed/a.iso"]);
    scene.gone(&["new", "d/new", "keep.iso", "link", "mixed/b"]);
    assert_eq!(report.damage, []);
    let kept = report.left.iter().map(|note| note.path.clone());
    assert_eq!(kept.count(), 4, "{:?}", report.left);
}

#[test]
fn larger_files_stay_even_when_they_are_small_by_now() {
    let world = two_files();
    world.write("film", &[7; 2000]);
    let mut options = world.options();
    options.walk.exclude_larger_than = Some(1000);
    let scene = Scene::new(world, options);
    scene.gone(&["film"]);
    scene.write("film");
    std::fs::write(scene.path("larger"), [0; 1001]).unwrap();
    std::fs::write(scene.path("smaller"), [0; 1000]).unwrap();
    scene.delete(|_| {});
    scene.there(&["film", "larger"]);
    scene.gone(&["smaller"]);
}

#[test]
fn what_is_in_a_marked_cache_stays() {
    let tag = b"Signature: 8a477f597d28d172789f06886806bc55";
    let world = two_files();
    world.write("cache/CACHEDIR.TAG", tag);
    world.write("cache/large", b"x");
    let mut options = world.options();
    options.walk.exclude_caches = true;
    let scene = Scene::new(world, options);
    scene.gone(&["cache/large"]);
    scene.write("cache/large");
    scene.write("new/data");
    std::fs::create_dir(scene.path("new/cache")).unwrap();
    std::fs::write(scene.path("new/cache/CACHEDIR.TAG"), tag).unwrap();
    scene.write("new/cache/data");
    scene.delete(|_| {});
    scene.there(&["cache/large", "new/cache/data"]);
    scene.gone(&["new/data"]);
}

#[test]
fn the_home_of_a_node_is_neither_emptied_nor_written_to() {
    let world = two_files();
    world.write("old/node/of the snapshot", b"x");
    let options = world.options();
    let scene = Scene::new(world, options);
    for home in ["pnb", "deep/er/pnb", "old"] {
        scene.write(&format!("{home}/node/db/objects/1"));
        std::fs::write(scene.path(&format!("{home}/node/identity.key")), "PNBNODE1").unwrap();
        scene.write(&format!("{home}/cache/x"));
        scene.write(&format!("{home}/new"));
    }
    scene.write("config/device.bundle");
    std::fs::write(scene.path("config/device.bundle"), "\u{1}PNBDEV1").unwrap();
    std::fs::remove_file(scene.path("old/node/of the snapshot")).unwrap();
    std::fs::set_permissions(scene.path("old/node"), PermissionsExt::from_mode(0o711)).unwrap();
    let report = scene.delete(|_| {});
    for home in ["pnb", "deep/er/pnb", "old"] {
        for part in ["node/db/objects/1", "node/identity.key", "cache/x"] {
            scene.there(&[&format!("{home}/{part}")]);
        }
        scene.gone(&[&format!("{home}/new")]);
    }
    scene.there(&["config/device.bundle"]);
    scene.gone(&["old/node/of the snapshot"]);
    let mode = scene
        .path("old/node")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o711, "its attributes are its own");
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.reason.contains("home of a node"))
    );
    let mut inside = scene.world.restore_options(scene.snap);
    inside.target = scene.path("pnb/node/db");
    let (reader, node) = (&scene.world.reader, &scene.world.node);
    let refused = restore::run(&inside, reader, node, &Silent::default());
    assert!(
        matches!(refused, Err(RestoreError::Target { .. })),
        "{refused:?}"
    );
}

#[test]
fn nothing_goes_outside_of_what_was_asked_for() {
    let world = two_files();
    let options = world.options();
    let scene = Scene::new(world, options);
    for name in ["new", "d/new.txt", "d/new.doc", "d/e/x.txt", "e/y.txt"] {
        scene.write(name);
    }
    let patterns = |text: &str| {
        let mut patterns = Excludes::new();
        patterns.add(text.as_bytes()).unwrap();
        Some(patterns)
    };
    scene.delete(|options| options.include = patterns("*.txt"));
    scene.there(&["new", "d/new.doc", "d/e/x.txt", "e/y.txt"]);
    scene.gone(&["d/new.txt"]);
    let source = crate::fs::stored_path(&scene.world.source(), Path::new("/"));
    scene.delete(|options| {
        options.below = Some([&source[..], b"/d"].concat());
        options.exclude = patterns("*.doc");
    });
    scene.there(&["new", "d/new.doc", "e/y.txt"]);
    scene.gone(&["d/e"]);
    scene.delete(|options| options.below = Some([&source[..], b"/doc"].concat()));
    scene.there(&["new", "d/new.doc", "e/y.txt"]);
    scene.delete(|_| {});
    scene.gone(&["new", "d/new.doc", "e"]);
    let there = World::inside(&scene.target, &scene.world.source());
    assert_same(&scene.world.source(), &there);
}

#[test]
fn a_folder_in_the_way_goes_if_all_in_it_may() {
    let world = two_files();
    let options = excluding(&world, &["*.iso"]);
    let scene = Scene::new(world, options);
    std::fs::remove_file(scene.path("doc")).unwrap();
    scene.write("doc/x/y");
    let left = scene.delete(|options| options.delete = false);
    assert_eq!(left.damage.len(), 1);
    assert!(!left.source_at_fault, "another copy would not help");
    scene.there(&["doc/x/y"]);
    let dry = scene.delete(|options| options.dry_run = true);
    assert_eq!(scene.names(&dry), ["doc/x/y", "doc/x", "doc"]);
    scene.there(&["doc/x/y"]);
    assert_eq!(scene.delete(|_| {}).damage, []);
    assert_eq!(std::fs::read(scene.path("doc")).unwrap(), b"a");
    // With something in it that was never saved, it stays.
    std::fs::remove_file(scene.path("doc")).unwrap();
    scene.write("doc/vm.iso");
    let report = scene.delete(|_| {});
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    scene.there(&["doc/vm.iso"]);
}

#[test]
fn sockets_stay_and_a_file_gives_way_to_a_folder() {
    let world = two_files();
    let options = world.options();
    let scene = Scene::new(world, options);
    std::fs::remove_dir_all(scene.path("d")).unwrap();
    scene.write("d");
    drop(std::os::unix::net::UnixListener::bind(scene.path("socket")).unwrap());
    assert_eq!(scene.delete(|_| {}).damage, []);
    scene.there(&["d/other", "socket"]);
}

#[test]
fn without_knowing_what_was_left_out_nothing_is_removed() {
    type Forget = fn(&mut Option<LeftOut>);
    let world = two_files();
    let options = world.options();
    let scene = Scene::new(world, options);
    scene.write("new");
    let ways: [Forget; 2] = [
        |left| *left = None,
        |left| left.iter_mut().for_each(|left| left.complete = false),
    ];
    for forget in ways {
        let mut options = scene.world.restore_options(scene.snap);
        options.target.clone_from(&scene.target);
        options.snapshot = reroot(&scene.world, options.snapshot, |root| {
            forget(&mut root.left)
        });
        let (reader, node) = (&scene.world.reader, &scene.world.node);
        let plain = restore::run(&options, reader, node, &Silent::default()).unwrap();
        assert!(plain.is_complete());
        options.delete = true;
        std::fs::write(scene.path("doc"), "spoilt").unwrap();
        for result in [
            restore::run(&options, reader, node, &Silent::default()).map(drop),
            restore::survey(&options, reader, node).map(drop),
        ] {
            assert!(matches!(result, Err(RestoreError::Untold(_))), "{result:?}");
        }
        scene.there(&["new"]);
        let doc = std::fs::read(scene.path("doc")).unwrap();
        assert_eq!(doc, b"spoilt", "refused before anything is written");
    }
}
