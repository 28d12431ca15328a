//! Negative test 20: whatever a snapshot says, nothing outside the target is touched.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use packnback_proto::format::entry::{Entry, EntryType};

use super::support::*;
use crate::fs::*;

/// A target with a neighbour that must not change.
struct Scene {
    top: tempfile::TempDir,
    target: Target,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(RestoreOptions {
            overwrite: Overwrite::Always,
            ..RestoreOptions::default()
        })
    }

    fn with(options: RestoreOptions) -> Scene {
        Scene::at(temp(), options)
    }

    fn at(top: tempfile::TempDir, options: RestoreOptions) -> Scene {
        std::fs::create_dir_all(top.path().join("outside/sub")).unwrap();
        std::fs::write(top.path().join("outside/secret"), b"secret").unwrap();
        std::fs::create_dir(top.path().join("target")).unwrap();
        let target = Target::open(&top.path().join("target"), options).unwrap();
        Scene { top, target }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.top.path().join(path)
    }

    fn target_names(&self) -> Vec<PathBuf> {
        snapshot_of(&self.path("target"))
            .into_keys()
            .skip(1)
            .collect()
    }

    /// Every way of writing is refused for the entry, and everything is as before.
    fn refuses_everywhere(&self, path: &[u8]) {
        let before = snapshot_of(self.top.path());
        let link = Entry {
            link: Some(b"x".to_vec()),
            ..entry(path, EntryType::Symlink)
        };
        self.refused(self.target.create_file(&file(path, 1)).map(drop), path);
        self.refused(self.target.write_file(&file(path, 1), b"x").map(drop), path);
        self.refused(
            self.target.add_dir(&entry(path, EntryType::Dir)).map(drop),
            path,
        );
        self.refused(self.target.add_special(&link).map(drop), path);
        self.refused(
            self.target
                .add_special(&entry(path, EntryType::Fifo))
                .map(drop),
            path,
        );
        self.refused(
            self.target
                .add_hard_link(&file(path, 1), b"there")
                .map(drop),
            path,
        );
        self.refused(clear(&self.target, path).map(drop), path);
        self.refused(self.target.open_existing(path).map(drop), path);
        if !path.is_empty() {
            self.refused(self.target.dir(path).map(drop), path);
        }
        assert_eq!(before, snapshot_of(self.top.path()), "{:?}", show(path));
    }

    fn refused(&self, result: Result<(), WriteError>, path: &[u8]) {
        let error = result.expect_err(&format!("{:?} was accepted", show(path)));
        assert!(error.is_refusal(), "{:?}: {error}", show(path));
    }
}

#[test]
fn n20_bad_paths_are_refused_everywhere() {
    let scene = Scene::new();
    scene.target.write_file(&file("there", 1), b"x").unwrap();
    scene.target.add_dir(&entry("dir", EntryType::Dir)).unwrap();
    let long = vec![b'x'; NAME_MAX + 1];
    let absolute = format!("{}/outside/new", scene.top.path().display()).into_bytes();
    let paths: &[&[u8]] = &[
        b"../outside/new",
        b"../outside/secret",
        b"..",
        b"dir/../../outside/new",
        b"dir/..",
        b".",
        b"dir/.",
        b"dir/./x",
        b"",
        b"/",
        b"/etc/packnback-was-here",
        b"dir/",
        b"dir//x",
        b"x\0y",
        b"dir\0/x",
        &long,
        &absolute,
    ];
    for path in paths {
        scene.refuses_everywhere(path);
    }
}

#[test]
fn n20_nothing_is_written_through_a_symbolic_link() {
    for to in ["../outside", "/tmp", ".", "dir", "dangling"] {
        let scene = Scene::new();
        scene.target.write_file(&file("there", 1), b"x").unwrap();
        scene.target.add_dir(&entry("dir", EntryType::Dir)).unwrap();
        scene
            .target
            .write_file(&file("dir/secret", 1), b"x")
            .unwrap();
        let link = Entry {
            link: Some(to.into()),
            ..entry("link", EntryType::Symlink)
        };
        assert_eq!(scene.target.add_special(&link).unwrap(), Done::Created);
        for path in [
            "link/secret",
            "link/new",
            "link/a/b",
            "link/a/b/c/d",
            "link/sub/new",
            "link/sub/a/new",
        ] {
            scene.refuses_everywhere(path.as_bytes());
        }
        // Once more by a target that has nothing cached.
        let again = Target::open(&scene.path("target"), RestoreOptions::default()).unwrap();
        let before = snapshot_of(scene.top.path());
        scene.refused(
            again.write_file(&file("link/secret", 1), b"y").map(drop),
            b"link/secret",
        );
        scene.refused(
            again.add_dir(&entry("link/d", EntryType::Dir)).map(drop),
            b"link/d",
        );
        assert_eq!(before, snapshot_of(scene.top.path()));
    }
}

#[test]
fn n20_a_link_in_the_way_is_replaced_not_followed() {
    let scene = Scene::new();
    symlink(scene.path("outside/secret"), scene.path("target/file")).unwrap();
    symlink(scene.path("outside"), scene.path("target/dir")).unwrap();
    symlink(scene.path("outside/made"), scene.path("target/dangling")).unwrap();
    let before = snapshot_of(&scene.path("outside"));
    assert_eq!(
        scene.target.write_file(&file("file", 3), b"new").unwrap(),
        Done::Replaced
    );
    assert_eq!(
        scene
            .target
            .write_file(&file("dangling", 3), b"new")
            .unwrap(),
        Done::Replaced
    );
    assert_eq!(
        scene.target.add_dir(&entry("dir", EntryType::Dir)).unwrap(),
        Done::Replaced
    );
    scene
        .target
        .write_file(&file("dir/secret", 3), b"new")
        .unwrap();
    assert!(scene.target.finish(&[]).errors.is_empty());
    assert_eq!(before, snapshot_of(&scene.path("outside")));
    assert_eq!(
        std::fs::read(scene.path("target/dir/secret")).unwrap(),
        b"new"
    );
    assert!(
        std::fs::symlink_metadata(scene.path("target/file"))
            .unwrap()
            .is_file()
    );
}

#[test]
fn n20_a_directory_that_becomes_a_link_is_not_written_through() {
    let scene = Scene::new();
    scene.target.add_dir(&entry("d", EntryType::Dir)).unwrap();
    // The directory is open by now.
    scene.target.dir(b"d").unwrap();
    let link = Entry {
        link: Some(b"../outside".to_vec()),
        ..entry("d", EntryType::Symlink)
    };
    assert_eq!(scene.target.add_special(&link).unwrap(), Done::Replaced);
    let before = snapshot_of(scene.top.path());
    scene.refused(
        scene
            .target
            .write_file(&file("d/secret", 1), b"x")
            .map(drop),
        b"d/secret",
    );
    // Attributes of the directory it was meant to be do not reach the link's target either.
    assert_eq!(scene.target.finish(&[]).errors.len(), 1);
    assert_eq!(before, snapshot_of(scene.top.path()));
}

#[test]
fn n20_hard_links_do_not_leave_the_tree() {
    let scene = Scene::new();
    scene.target.write_file(&file("there", 1), b"x").unwrap();
    let out = Entry {
        link: Some(b"../outside".to_vec()),
        ..entry("out", EntryType::Symlink)
    };
    scene.target.add_special(&out).unwrap();
    let to_file = Entry {
        link: Some(b"../outside/secret".to_vec()),
        ..entry("to-file", EntryType::Symlink)
    };
    scene.target.add_special(&to_file).unwrap();
    let before = snapshot_of(scene.top.path());
    let absolute = scene
        .path("outside/secret")
        .into_os_string()
        .into_encoded_bytes();
    for first in [
        b"../outside/secret".as_slice(),
        b"out/secret",
        b"to-file",
        b"..",
        b"",
        b"there/..",
        &absolute,
    ] {
        let result = scene.target.add_hard_link(&file("new", 6), first);
        scene.refused(result.map(drop), first);
    }
    assert!(
        scene
            .target
            .add_hard_link(&file("new", 6), b"missing")
            .is_err()
    );
    assert!(
        scene
            .target
            .add_hard_link(&entry("new", EntryType::Dir), b"there")
            .is_err()
    );
    assert_eq!(before, snapshot_of(scene.top.path()));
    assert_eq!(
        std::fs::metadata(scene.path("outside/secret"))
            .unwrap()
            .nlink(),
        1
    );
}

#[test]
fn n20_devices_and_set_id_bits_appear_only_when_asked_for() {
    let scene = Scene::new();
    let device = Entry {
        rdev: Some(rustix::fs::makedev(1, 3)),
        ..entry("null", EntryType::Char)
    };
    assert_eq!(scene.target.add_special(&device).unwrap(), Done::Left);
    let disk = Entry {
        rdev: Some(rustix::fs::makedev(8, 0)),
        ..entry("sda", EntryType::Block)
    };
    assert_eq!(scene.target.add_special(&disk).unwrap(), Done::Left);
    assert!(scene.target_names().is_empty());
    let mut shell = Entry {
        mode: 0o6755,
        uid: 0,
        gid: 0,
        ..file("shell", 1)
    };
    shell.xattrs.insert(
        b"security.capability".to_vec(),
        vec![
            1, 0, 0, 2, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
    );
    scene.target.write_file(&shell, b"x").unwrap();
    let mode = std::fs::metadata(scene.path("target/shell"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
    let mut list = [0_u8; 256];
    let listed = rustix::fs::listxattr(scene.path("target/shell"), &mut list).unwrap_or(0);
    assert!(!list[..listed].starts_with(b"security.capability"));
    let report = scene.target.finish(&[]);
    assert_eq!(report.note_counts.get(&NoteKind::DeviceLeft), Some(&2));
    assert_eq!(report.note_counts.get(&NoteKind::SetIdDropped), Some(&2));
    if is_root() {
        let options = RestoreOptions {
            devices: true,
            set_id: true,
            ..RestoreOptions::default()
        };
        let scene = Scene::with(options);
        assert_eq!(scene.target.add_special(&device).unwrap(), Done::Created);
        assert!(
            std::fs::metadata(scene.path("target/null"))
                .unwrap()
                .file_type()
                .is_char_device()
        );
        scene.target.write_file(&shell, b"x").unwrap();
        let mode = std::fs::metadata(scene.path("target/shell"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o6755);
    }
}

#[test]
fn n20_entries_that_contradict_themselves_are_refused() {
    let scene = Scene::with(RestoreOptions {
        devices: true,
        ..RestoreOptions::default()
    });
    let cases = [
        entry("a", EntryType::Symlink),
        Entry {
            link: Some(Vec::new()),
            ..entry("a", EntryType::Symlink)
        },
        Entry {
            link: Some(b"a\0b".to_vec()),
            ..entry("a", EntryType::Symlink)
        },
        entry("a", EntryType::Char),
        entry("a", EntryType::File),
        entry("a", EntryType::Dir),
    ];
    for case in &cases {
        scene.refused(scene.target.add_special(case).map(drop), &case.path);
    }
    scene.refused(
        scene
            .target
            .create_file(&entry("a", EntryType::Dir))
            .map(drop),
        b"a",
    );
    scene.refused(scene.target.add_dir(&file("a", 0)).map(drop), b"a");
    assert!(scene.target_names().is_empty());
}

#[test]
fn n20_more_bytes_than_declared_are_refused_and_fewer_too() {
    let scene = Scene::new();
    let small = file("small", 10);
    scene.refused(
        scene.target.write_file(&small, &[0; 11]).map(drop),
        b"small",
    );
    scene.refused(scene.target.write_file(&small, &[0; 9]).map(drop), b"small");
    for (off, len) in [(10, 1), (u64::MAX, 1), (0, u64::MAX), (9, 2)] {
        let Created::Write(sink) = scene.target.create_file(&small).unwrap() else {
            panic!("no sink")
        };
        scene.refused(sink.hole(off, len), b"small");
        if len < 10 {
            scene.refused(
                sink.write_at(off, &vec![0; usize::try_from(len).unwrap()]),
                b"small",
            );
        }
    }
    assert!(
        scene.target_names().is_empty(),
        "unfinished files must not stay"
    );
    // One byte less, exactly, one byte more.
    assert!(scene.target.write_file(&small, &[1; 10]).is_ok());
    assert_eq!(
        std::fs::metadata(scene.path("target/small")).unwrap().len(),
        10
    );
}

#[test]
fn n20_a_refused_replacement_leaves_the_old_file() {
    let scene = Scene::new();
    scene.target.write_file(&file("kept", 3), b"old").unwrap();
    let before = snapshot_of(scene.top.path());
    scene.refused(
        scene.target.write_file(&file("kept", 5), b"new").map(drop),
        b"kept",
    );
    assert_eq!(before, snapshot_of(scene.top.path()));
}

#[test]
fn n20_a_million_entries_that_claim_huge_sizes_take_no_space() {
    // In memory if possible, for speed.
    let top = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| temp());
    let scene = Scene::at(top, RestoreOptions::default());
    // The same few names again and again: what counts is that no claim is believed, not the directory's size.
    for number in 0..1_000_000_u32 {
        let claim = file(format!("f{}", number % 16), 1 << 60);
        if number % 1000 == 0 {
            scene.refused(scene.target.write_file(&claim, b"x").map(drop), &claim.path);
        } else {
            let Created::Write(sink) = scene.target.create_file(&claim).unwrap() else {
                panic!("no sink")
            };
            drop(sink);
        }
    }
    assert!(scene.target_names().is_empty());
    assert_eq!(snapshot_of(&scene.path("outside")).len(), 3);
}

#[test]
fn n20_removal_does_not_follow_links() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("target/dir/sub/deep")).unwrap();
    std::fs::write(scene.path("target/dir/sub/file"), b"x").unwrap();
    symlink(scene.path("outside"), scene.path("target/dir/sub/link")).unwrap();
    symlink(scene.path("outside"), scene.path("target/link")).unwrap();
    let before = snapshot_of(&scene.path("outside"));
    let mut pruner = Pruner::new(&All, &[Vec::new()]);
    pruner.visit(&scene.target, b"not there", false);
    let swept = pruner.finish(&scene.target);
    assert!(
        swept.errors.is_empty() && swept.removed_count == 6,
        "{swept:?}"
    );
    assert!(scene.target_names().is_empty());
    assert_eq!(before, snapshot_of(&scene.path("outside")));
    scene.refused(clear(&scene.target, b"../outside").map(drop), b"../outside");
    assert_eq!(before, snapshot_of(&scene.path("outside")));
}

#[test]
fn n20_the_target_itself_may_be_reached_by_a_link() {
    let top = temp();
    std::fs::create_dir(top.path().join("real")).unwrap();
    symlink("real", top.path().join("named")).unwrap();
    let target = Target::open(&top.path().join("named"), RestoreOptions::default()).unwrap();
    target.write_file(&file("x", 1), b"x").unwrap();
    assert!(Path::new(&top.path().join("real/x")).exists());
}
