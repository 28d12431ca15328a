//! Every kind of file and attribute comes back as it was.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::support::*;
use crate::fs::*;

fn all() -> RestoreOptions {
    RestoreOptions {
        set_id: true,
        devices: true,
        labels: true,
        ..RestoreOptions::default()
    }
}

fn set_mtime(path: &Path, seconds: i64, nanos: i64) {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 5,
            tv_nsec: 6,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanos,
        },
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A POSIX ACL as the kernel stores it: version 2, then tag, permissions and id.
fn acl(named_user: u32) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 4, named_user),
        (4, 4, u32::MAX),
        (0x10, 6, u32::MAX),
        (0x20, 0, u32::MAX),
    ] {
        out.extend(tag.to_le_bytes());
        out.extend(perm.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

fn build(root: &Path) {
    let names: [&[u8]; 5] = [
        b"plain",
        b"not utf8 \xff\xfe",
        b"new\nline",
        b" spaces ",
        &[b'x'; NAME_MAX],
    ];
    for (number, name) in names.iter().enumerate() {
        let path = root.join(OsStr::from_bytes(name));
        std::fs::write(&path, vec![7; number * 1000]).unwrap();
        set_mtime(
            &path,
            1_000_000_000 + i64::try_from(number).unwrap(),
            999_999_999,
        );
    }
    std::fs::create_dir_all(root.join("dir/empty")).unwrap();
    std::fs::write(root.join("dir/old"), b"from before 1970").unwrap();
    set_mtime(&root.join("dir/old"), -5, 250_000_000);
    std::fs::write(root.join("dir/script"), b"#!/bin/sh\n").unwrap();
    std::fs::set_permissions(root.join("dir/script"), PermissionsExt::from_mode(0o4755)).unwrap();
    std::fs::hard_link(root.join("plain"), root.join("dir/second name")).unwrap();
    std::fs::hard_link(root.join("plain"), root.join("zz third name")).unwrap();
    symlink("/nowhere/at/all", root.join("dangling")).unwrap();
    symlink("x".repeat(4095), root.join("long link")).unwrap();
    symlink("dir", root.join("link to dir")).unwrap();
    set_mtime(&root.join("dangling"), 1_234_567_890, 1);
    rustix::fs::mknodat(
        CWD,
        root.join("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    set_mtime(&root.join("pipe"), 1_111_111_111, 11);
    std::fs::set_permissions(root.join("dir/empty"), PermissionsExt::from_mode(0o1777)).unwrap();
    set_mtime(&root.join("dir/empty"), 1_222_222_222, 222);
}

fn build_sparse(root: &Path) {
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    sparse.write_all_at(&[1; 5000], 1 << 20).unwrap();
    sparse.write_all_at(&[2; 5000], 1 << 30).unwrap();
    let hole = std::fs::File::create(root.join("only a hole")).unwrap();
    hole.set_len(12_345_678).unwrap();
    let end = std::fs::File::create(root.join("data at the end")).unwrap();
    end.write_all_at(b"end", 1 << 22).unwrap();
}

fn build_as_root(root: &Path) {
    for (name, kind, device) in [
        ("null", FileType::CharacterDevice, (1, 3)),
        ("disk", FileType::BlockDevice, (7, 200)),
    ] {
        let number = rustix::fs::makedev(device.0, device.1);
        rustix::fs::mknodat(
            CWD,
            root.join(name),
            kind,
            Mode::from_raw_mode(0o606),
            number,
        )
        .unwrap();
        set_mtime(&root.join(name), 1_333_333_333, 3);
    }
    std::os::unix::fs::lchown(root.join("dangling"), Some(1234), Some(2345)).unwrap();
    std::os::unix::fs::chown(root.join("dir/script"), Some(1), Some(2)).unwrap();
    std::fs::set_permissions(root.join("dir/script"), PermissionsExt::from_mode(0o6751)).unwrap();
    std::os::unix::fs::chown(root.join("dir/empty"), Some(777_777), Some(888_888)).unwrap();
    std::os::unix::fs::chown(root.join("pipe"), Some(3), Some(4)).unwrap();
    set_xattr(&root.join("dangling"), "trusted.on-a-link", b"l");
    set_xattr(&root.join("pipe"), "trusted.on-a-pipe", b"p");
    let capability = [
        1_u8, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    std::fs::write(root.join("capable"), b"x").unwrap();
    set_xattr(&root.join("capable"), "security.capability", &capability);
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    match rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(errno) => {
            eprintln!("no {name} here ({errno}): not tested");
            false
        }
    }
}

fn build_xattrs(root: &Path) {
    let path = root.join("with xattrs");
    std::fs::write(&path, b"x").unwrap();
    set_xattr(&path, "user.one", b"1");
    set_xattr(&path, "user.empty", b"");
    set_xattr(&path, "user.big", &[9; 3000]);
    set_xattr(&path, "system.posix_acl_access", &acl(12));
    let dir = root.join("dir with acl");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("made before the default acl"), b"x").unwrap();
    set_xattr(&dir, "system.posix_acl_default", &acl(13));
    std::fs::write(dir.join("made after the default acl"), b"x").unwrap();
    set_xattr(&dir, "user.dir", b"d");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o440)).unwrap();
}

/// No errors, and no notes but, without root, on directories that belong to somebody else.
fn assert_complete(report: &Report) {
    assert!(report.errors.is_empty(), "{report:?}");
    let expected = |note: &Note| note.kind == NoteKind::Owner && !is_root();
    assert!(report.notes.iter().all(expected), "{report:?}");
}

#[test]
fn every_kind_of_file_and_attribute_comes_back() {
    let (source, target) = (temp(), temp());
    build(source.path());
    build_sparse(source.path());
    build_xattrs(source.path());
    if is_root() {
        build_as_root(source.path());
    }
    set_mtime(source.path(), 1_444_444_444, 44);
    let report = copy(source.path(), &Target::open(target.path(), all()).unwrap());
    assert_complete(&report);
    let copy_path = copied(source.path(), target.path());
    assert_same(source.path(), &copy_path);
    let sparse = std::fs::metadata(copy_path.join("sparse")).unwrap();
    assert!(
        sparse.len() == 1 << 40 && sparse.blocks() < 1000,
        "holes must stay holes: {} blocks",
        sparse.blocks()
    );
    let first = std::fs::metadata(copy_path.join("plain")).unwrap();
    let third = std::fs::metadata(copy_path.join("zz third name")).unwrap();
    assert_eq!((first.ino(), first.nlink()), (third.ino(), 3));

    // A second time: everything is there, nothing is written.
    // Without the folders above: others change them while this runs.
    let before: Vec<_> = items(&[&copy_path], WalkOptions::default())
        .iter()
        .filter(|item| item.inside)
        .map(|item| item.stat)
        .collect();
    let report = copy(source.path(), &Target::open(target.path(), all()).unwrap());
    assert_complete(&report);
    let after: Vec<_> = items(&[&copy_path], WalkOptions::default())
        .iter()
        .filter(|item| item.inside)
        .map(|item| item.stat)
        .collect();
    let inodes = |stats: &[Stat]| {
        stats
            .iter()
            .map(|stat| (stat.ino, stat.mtime_ns, stat.size))
            .collect::<Vec<_>>()
    };
    assert_eq!(inodes(&before), inodes(&after));
    assert_same(source.path(), &copy_path);

    // Everything again, over what is there.
    let always = RestoreOptions {
        overwrite: Overwrite::Always,
        ..all()
    };
    copy(source.path(), &Target::open(target.path(), always).unwrap());
    assert_same(source.path(), &copy_path);
}

#[test]
fn paths_longer_than_the_kernel_takes_come_back() {
    let (source, target) = (temp(), temp());
    // 60 levels of 250 bytes: 15,000 bytes, made step by step.
    let mut dir =
        rustix::fs::open(source.path(), rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
    let name = "d".repeat(250);
    for level in 0..60 {
        rustix::fs::mkdirat(&dir, &name, Mode::RWXU).unwrap();
        dir =
            rustix::fs::openat(&dir, &name, rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        let file = rustix::fs::openat(&dir, format!("file{level}"), flags, Mode::RUSR).unwrap();
        rustix::io::write(&file, format!("content of {level}").as_bytes()).unwrap();
        rustix::fs::fsetxattr(&file, "user.level", &[level], XattrFlags::empty()).unwrap_or(());
        rustix::fs::symlinkat(&*name, &dir, "a link").unwrap();
    }
    copy(source.path(), &Target::open(target.path(), all()).unwrap());
    assert_same(source.path(), &copied(source.path(), target.path()));
    assert!(describe(source.path()).len() >= 180);
}

#[test]
fn a_tree_two_thousand_levels_deep_comes_back_with_few_descriptors() {
    let (source, target) = (temp(), temp());
    let mut dir =
        rustix::fs::open(source.path(), rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..2_000 {
        rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, "d", rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let writer = Target::open(target.path(), all()).unwrap();
    copy(source.path(), &writer);
    assert_eq!(
        describe(source.path()),
        describe(&copied(source.path(), target.path()))
    );
    // The standard library would recurse; our own removal does not.
    let top = stored_path(source.path(), Path::new("/"));
    let cleaner = Target::open(Path::new("/"), all()).unwrap();
    clear(&cleaner, &join(&top, b"d")).unwrap();
    let copy = stored_path(&copied(source.path(), target.path()), Path::new("/"));
    assert_eq!(clear(&cleaner, &copy).unwrap().removed_count, 2001);
}
