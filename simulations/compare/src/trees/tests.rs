#![allow(clippy::unwrap_used)]
use super::*;
use std::os::unix::fs::{FileExt, PermissionsExt};

fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    for tree in [&a, &b] {
        fs::create_dir_all(tree.join("sub")).unwrap();
        fs::write(tree.join("sub/file"), b"content").unwrap();
        let hole = File::create(tree.join("sparse")).unwrap();
        hole.set_len(1 << 40).unwrap();
        hole.write_all_at(b"data", 1 << 30).unwrap();
        fs::hard_link(tree.join("sub/file"), tree.join("twin")).unwrap();
        std::os::unix::fs::symlink("target", tree.join("link")).unwrap();
    }
    for path in ["sub/file", "sparse", "link", "sub", ""] {
        let time = rustix::fs::Timespec {
            tv_sec: 7,
            tv_nsec: 8,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        for tree in [&a, &b] {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(rustix::fs::CWD, tree.join(path), &times, flags).unwrap();
        }
    }
    (dir, a, b)
}

fn found(a: &Path, b: &Path) -> String {
    let all = compare_trees(a, b).unwrap().differences;
    all.iter()
        .map(|d| format!("{}: {}; ", String::from_utf8_lossy(&d.path), d.what))
        .collect()
}

#[test]
fn equal_trees_are_equal_and_a_terabyte_of_hole_is_not_read() {
    let (_dir, a, b) = two();
    assert_eq!(found(&a, &b), "");
    let all = compare_trees(&a, &b).unwrap();
    assert_eq!((all.entries, all.files, all.hard_links), (6, 3, 1));
}

#[test]
fn every_kind_of_difference_is_found() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil); 8] = [
        ("content from byte 3", |b| {
            File::options()
                .write(true)
                .open(b.join("sub/file"))
                .unwrap()
                .write_all_at(b"X", 3)
                .unwrap();
        }),
        ("size", |b| {
            File::options()
                .write(true)
                .open(b.join("sub/file"))
                .unwrap()
                .set_len(9)
                .unwrap()
        }),
        ("mode", |b| {
            fs::set_permissions(b.join("sub"), fs::Permissions::from_mode(0o700)).unwrap()
        }),
        ("only on the left", |b| {
            fs::remove_file(b.join("link")).unwrap()
        }),
        ("only on the right", |b| {
            fs::write(b.join("more"), b"").unwrap()
        }),
        ("link target", |b| {
            fs::remove_file(b.join("link")).unwrap();
            std::os::unix::fs::symlink("elsewhere", b.join("link")).unwrap();
        }),
        ("hard links", |b| {
            fs::remove_file(b.join("twin")).unwrap();
            fs::copy(b.join("sub/file"), b.join("twin")).unwrap();
        }),
        ("holes", |b| {
            let file = File::options().write(true).open(b.join("sparse")).unwrap();
            file.write_all_at(&[0; 65536], 1 << 20).unwrap();
        }),
    ];
    for (what, spoil) in cases {
        let (_dir, a, b) = two();
        spoil(&b);
        let told = found(&a, &b);
        assert!(told.contains(what), "{what} in {told}");
    }
}

#[test]
fn what_no_backup_saves_is_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    let (left, right) = (dir.path().join("left"), dir.path().join("right"));
    for side in [&left, &right] {
        std::fs::create_dir(side).unwrap();
        std::fs::write(side.join("file"), b"x").unwrap();
    }
    let time = std::time::UNIX_EPOCH;
    drop(std::os::unix::net::UnixListener::bind(left.join("socket")).unwrap());
    std::fs::create_dir_all(left.join("home/node")).unwrap();
    std::fs::write(left.join("home/node/identity.key"), b"PNBNODE1").unwrap();
    std::fs::create_dir(right.join("home")).unwrap();
    for path in ["file", "home", ""] {
        for side in [&left, &right] {
            let file = std::fs::File::open(side.join(path)).unwrap();
            file.set_modified(time).unwrap();
        }
    }
    let found = compare_trees(&left, &right).unwrap();
    assert_eq!((found.differences, found.never_saved), (Vec::new(), 2));
    // The other way round it is one.
    let found = compare_trees(&right, &left).unwrap();
    assert_eq!(found.differences.len(), 2);
    std::fs::remove_file(right.join("file")).unwrap();
    let found = compare_trees(&left, &right).unwrap();
    let files = found.differences.iter().filter(|d| d.path == b"file");
    assert_eq!(files.count(), 1, "a file is saved");
}
