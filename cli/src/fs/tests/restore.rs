//! Options of a restore: what is overwritten, kept, removed, only announced.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use packnback_proto::format::entry::{Entry, EntryType};

use super::support::*;
use crate::fs::*;

fn open(dir: &tempfile::TempDir, overwrite: Overwrite) -> Target {
    Target::open(
        dir.path(),
        RestoreOptions {
            overwrite,
            ..RestoreOptions::default()
        },
    )
    .unwrap()
}

fn mtime(entry: &Entry, seconds: i64) -> Entry {
    Entry {
        mtime_ns: seconds * 1_000_000_000,
        ..entry.clone()
    }
}

#[test]
fn overwrite_always_if_changed_and_never() {
    let dir = temp();
    let one = mtime(&file("f", 3), 1000);
    assert_eq!(
        open(&dir, Overwrite::Never)
            .write_file(&one, b"one")
            .unwrap(),
        Done::Created
    );
    let content = || std::fs::read(dir.path().join("f")).unwrap();

    assert_eq!(
        open(&dir, Overwrite::Never)
            .write_file(&mtime(&one, 2000), b"two")
            .unwrap(),
        Done::Kept
    );
    assert_eq!(content(), b"one");
    assert_eq!(
        open(&dir, Overwrite::IfChanged)
            .write_file(&one, b"two")
            .unwrap(),
        Done::Kept
    );
    assert_eq!(
        content(),
        b"one",
        "same size, time and mode: not looked into"
    );
    assert_eq!(
        open(&dir, Overwrite::Always)
            .write_file(&one, b"two")
            .unwrap(),
        Done::Replaced
    );
    assert_eq!(content(), b"two");
    let changed = [
        mtime(&one, 1001),
        Entry {
            mode: 0o600,
            ..one.clone()
        },
        Entry {
            size: 4,
            ..one.clone()
        },
    ];
    for (number, entry) in changed.iter().enumerate() {
        let bytes =
            vec![b'0' + u8::try_from(number).unwrap(); usize::try_from(entry.size).unwrap()];
        assert_eq!(
            open(&dir, Overwrite::IfChanged)
                .write_file(entry, &bytes)
                .unwrap(),
            Done::Replaced
        );
        assert_eq!(content(), bytes);
    }
}

#[test]
fn what_an_interrupted_restore_left_is_taken_up() {
    let dir = temp();
    let one = mtime(&file("f", 3), 1000);
    // Killed while writing: the file is there, but not with its time.
    std::fs::write(dir.path().join("f"), b"on").unwrap();
    assert_eq!(
        open(&dir, Overwrite::IfChanged)
            .write_file(&one, b"one")
            .unwrap(),
        Done::Replaced
    );
    // Killed while replacing: the temporary name is taken.
    let target = open(&dir, Overwrite::Always);
    let Created::Write(sink) = target.create_file(&one).unwrap() else {
        panic!("no sink")
    };
    sink.write_at(0, b"on").unwrap();
    std::mem::forget(sink);
    assert_eq!(
        std::fs::read(dir.path().join("f")).unwrap(),
        b"one",
        "the old file stays until the new one is whole"
    );
    assert_eq!(
        open(&dir, Overwrite::Always)
            .write_file(&one, b"two")
            .unwrap(),
        Done::Replaced
    );
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"two");
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing else is left"
    );
}

#[test]
fn replacing_one_name_of_a_file_leaves_its_other_names() {
    let dir = temp();
    std::fs::write(dir.path().join("mine"), b"mine").unwrap();
    std::fs::hard_link(dir.path().join("mine"), dir.path().join("f")).unwrap();
    open(&dir, Overwrite::Always)
        .write_file(&file("f", 3), b"new")
        .unwrap();
    assert_eq!(std::fs::read(dir.path().join("mine")).unwrap(), b"mine");
}

#[test]
fn a_file_takes_the_place_of_an_empty_directory_only() {
    let dir = temp();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    std::fs::create_dir(dir.path().join("full")).unwrap();
    std::fs::write(dir.path().join("full/x"), b"x").unwrap();
    let target = open(&dir, Overwrite::Always);
    assert_eq!(
        target.write_file(&file("empty", 1), b"1").unwrap(),
        Done::Replaced
    );
    let error = target.write_file(&file("full", 1), b"1").unwrap_err();
    assert!(!error.is_refusal() && !error.is_fatal(), "{error}");
    assert_eq!(std::fs::read(dir.path().join("full/x")).unwrap(), b"x");
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_it_would_do() {
    let dir = temp();
    std::fs::write(dir.path().join("old"), b"old").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let before = snapshot_of(dir.path());
    let options = RestoreOptions {
        dry_run: true,
        ..RestoreOptions::default()
    };
    let target = Target::open(dir.path(), options.clone()).unwrap();
    let link = Entry {
        link: Some(b"x".to_vec()),
        ..entry("a/link", EntryType::Symlink)
    };
    assert_eq!(
        target.add_dir(&entry("a", EntryType::Dir)).unwrap(),
        Done::Created
    );
    assert_eq!(
        target.write_file(&file("a/b/c", 1), b"x").unwrap(),
        Done::Created
    );
    assert_eq!(
        target.write_file(&file("old", 1), b"x").unwrap(),
        Done::Replaced
    );
    assert_eq!(
        target.write_file(&file("empty", 1), b"x").unwrap(),
        Done::Replaced
    );
    assert_eq!(target.add_special(&link).unwrap(), Done::Created);
    assert_eq!(
        target
            .add_hard_link(&file("a/second", 1), b"a/b/c")
            .unwrap(),
        Done::Created
    );
    let cleared = clear(&target, b"empty").unwrap();
    assert_eq!(cleared.removed, [b"empty".to_vec()]);
    let mut pruner = Pruner::new(&All, &[Vec::new()]);
    pruner.visit(&target, b"empty", true);
    assert_eq!(pruner.finish(&target).removed, [b"old".to_vec()]);
    assert!(target.finish(&[]).errors.is_empty());
    assert_eq!(before, snapshot_of(dir.path()));
    let missing = dir.path().join("not/there");
    let target = Target::open(&missing, options).unwrap();
    assert_eq!(
        target.write_file(&file("x", 1), b"x").unwrap(),
        Done::Created
    );
    assert!(!missing.exists());
}

#[test]
fn delete_removes_what_the_snapshot_lacks_below_its_roots_only() {
    let dir = temp();
    for path in [
        "home/me/kept",
        "home/me/gone",
        "home/me/sub/gone/deep/x",
        "home/me/sub/kept",
        "home/you/data",
        "home/me/partly/a/stays",
        "home/me/partly/file",
        "top",
    ] {
        std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(path), b"x").unwrap();
    }
    std::fs::create_dir(dir.path().join("outside")).unwrap();
    symlink("../../outside", dir.path().join("home/me/link")).unwrap();
    let target = open(&dir, Overwrite::IfChanged);
    struct Below;
    impl Judge for Below {
        fn keeps_level(&self, level: &Level<'_>) -> Option<Kept> {
            (!is_at_or_below(level.path, b"home/me")).then_some(Kept::Outside)
        }
        fn keeps(&self, path: &[u8], _: &Stat) -> Option<Kept> {
            path.ends_with(b"stays").then_some(Kept::LeftOut)
        }
        fn leaves_caches(&self) -> bool {
            false
        }
    }
    let mut pruner = Pruner::new(&Below, &[b"home/me".to_vec()]);
    let snapshot: &[(&[u8], bool)] = &[
        (b"home", true),
        (b"home/me", true),
        (b"home/me/kept", false),
        (b"home/me/sub", true),
        (b"home/me/sub/kept", false),
        (b"home/me/sub-not-there", true),
    ];
    for (path, is_dir) in snapshot {
        pruner.visit(&target, path, *is_dir);
    }
    let swept = pruner.finish(&target);
    let removed: Vec<String> = swept.removed.iter().map(|path| show(path)).collect();
    assert_eq!(
        removed,
        [
            "home/me/sub/gone/deep/x",
            "home/me/sub/gone/deep",
            "home/me/sub/gone",
            "home/me/gone",
            "home/me/link",
            "home/me/partly/file",
        ]
    );
    let stays = b"home/me/partly/a/stays".to_vec();
    assert_eq!(swept.kept, [(stays, Kept::LeftOut)]);
    assert!(swept.errors.is_empty());
    for kept in [
        "home/me/kept",
        "home/me/sub/kept",
        "home/me/partly/a/stays",
        "home/you/data",
        "top",
        "outside",
    ] {
        assert!(dir.path().join(kept).exists(), "{kept}");
    }
    assert!(!dir.path().join("home/me/sub/gone").exists());
}

#[test]
fn new_directories_are_closed_to_others_until_the_end_and_then_as_saved() {
    let dir = temp();
    let target = open(&dir, Overwrite::IfChanged);
    let saved = Entry {
        mode: 0o555,
        ..mtime(&entry("d", EntryType::Dir), 1000)
    };
    target.add_dir(&saved).unwrap();
    target.write_file(&file("d/e/f", 1), b"x").unwrap();
    let mode = |path: &str| {
        std::fs::metadata(dir.path().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(mode("d"), 0o700);
    assert!(target.finish(&[]).errors.is_empty());
    let meta = std::fs::metadata(dir.path().join("d")).unwrap();
    assert_eq!(
        (mode("d"), meta.mtime(), meta.mtime_nsec()),
        (0o555, 1000, 0)
    );
    assert_eq!(mode("d/e"), 0o700, "no entry: closed");
    // Going on later, also without being root.
    let target = open(&dir, Overwrite::IfChanged);
    assert_eq!(target.add_dir(&saved).unwrap(), Done::Kept);
    target.write_file(&file("d/late", 1), b"x").unwrap();
    assert!(target.finish(&[]).errors.is_empty());
    assert_eq!(
        (
            mode("d"),
            std::fs::metadata(dir.path().join("d")).unwrap().mtime()
        ),
        (0o555, 1000)
    );
}

#[test]
fn a_default_acl_and_a_group_bit_of_the_target_do_not_reach_what_is_restored() {
    let dir = temp();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o2777)).unwrap();
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in [
        (1_u16, 7_u16, u32::MAX),
        (2, 7, 4242_u32),
        (4, 7, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 7, u32::MAX),
    ] {
        acl.extend(tag.to_le_bytes());
        acl.extend(perm.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(errno) = rustix::fs::setxattr(dir.path(), "system.posix_acl_default", &acl, flags) {
        eprintln!("no ACLs here ({errno}): not tested");
        return;
    }
    let target = open(&dir, Overwrite::IfChanged);
    target.add_dir(&entry("d", EntryType::Dir)).unwrap();
    for path in ["f", "d/f"] {
        target.write_file(&file(path, 1), b"x").unwrap();
    }
    target.add_special(&entry("p", EntryType::Fifo)).unwrap();
    assert!(target.finish(&[]).errors.is_empty());
    for (path, mode) in [("f", 0o644), ("d", 0o755), ("d/f", 0o644), ("p", 0o644)] {
        let full = dir.path().join(path);
        assert_eq!(
            std::fs::metadata(&full).unwrap().mode() & 0o7777,
            mode,
            "{path}"
        );
        let mut list = [0_u8; 1024];
        let len = rustix::fs::listxattr(&full, &mut list).unwrap();
        assert!(
            !String::from_utf8_lossy(&list[..len]).contains("posix_acl"),
            "{path}"
        );
    }
}

#[test]
fn names_or_numbers_of_owners() {
    if !is_root() {
        return;
    }
    let dir = temp();
    let saved = Entry {
        uid: 54_321,
        gid: 54_322,
        user: Some("root".into()),
        group: Some("no such group".into()),
        ..file("f", 0)
    };
    let owner = |options: RestoreOptions| {
        let target = Target::open(
            dir.path(),
            RestoreOptions {
                overwrite: Overwrite::Always,
                ..options
            },
        )
        .unwrap();
        target.write_file(&saved, b"").unwrap();
        let meta = std::fs::metadata(dir.path().join("f")).unwrap();
        (meta.uid(), meta.gid())
    };
    assert_eq!(
        owner(RestoreOptions::default()),
        (0, 54_322),
        "an unknown name falls back to the number"
    );
    assert_eq!(
        owner(RestoreOptions {
            numeric_ids: true,
            ..RestoreOptions::default()
        }),
        (54_321, 54_322)
    );
}

#[test]
fn many_threads_may_share_a_target() {
    let dir = temp();
    let target = open(&dir, Overwrite::IfChanged);
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 4000 {
                        break;
                    }
                    let path = format!("d{}/e{}/f{number}", number % 37, number % 41);
                    target
                        .write_file(&file(path, 4), &number.to_le_bytes())
                        .unwrap();
                }
            });
        }
    });
    let found = items(&[dir.path()], WalkOptions::default());
    assert_eq!(
        found
            .iter()
            .filter(|item| item.stat.kind == Kind::File)
            .count(),
        4000
    );
}
