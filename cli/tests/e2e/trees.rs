//! Trees to back up.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

/// A tree of plain files: some small, some of several chunks.
pub(crate) fn plain(dir: &Path, files: u64) {
    for number in 0..files {
        let folder = dir.join(format!("d{}", number % 7));
        fs::create_dir_all(&folder).unwrap();
        let len = if number % 50 == 49 {
            3_000_000
        } else {
            (number * 797 % 20_000) as usize
        };
        fs::write(folder.join(format!("f{number}")), noise(number, len)).unwrap();
    }
}

pub(crate) fn set_mtime(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanos,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Everything a file system can hold that a backup must bring back.
pub(crate) fn rich(dir: &Path) {
    fs::create_dir_all(dir.join("empty/deeper")).unwrap();
    fs::write(dir.join("empty file"), b"").unwrap();
    fs::write(dir.join("small"), b"hello\n").unwrap();
    fs::write(dir.join("large"), noise(1, 7_000_000)).unwrap();
    fs::write(dir.join("zeros"), vec![0; 3_000_000]).unwrap();
    names(dir);
    links(dir);
    sparse(dir);
    attributes(dir);
    special(dir);
    deep(dir);
    set_mtime(&dir.join("small"), 1_234_567_890, 123_456_789);
    set_mtime(&dir.join("dangling"), 1_000_000_000, 1);
    set_mtime(&dir.join("zeros"), -86_400, 999_999_999);
    set_mtime(&dir.join("empty/deeper"), 4_102_444_800, 5);
    set_mtime(&dir.join("empty"), 1, 0);
}

fn names(dir: &Path) {
    let long = [b'n'; 255];
    for name in [
        &b"not utf-8 \xff\xfe"[..],
        b"new\nline\ttab",
        b" leading and trailing ",
        b"-rf",
        b"*?[a]{b}",
        b"\"quo'te\\",
        b"\x01\x7f",
        &long,
    ] {
        fs::write(dir.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::create_dir(dir.join(OsStr::from_bytes(b"dir \xf0\x28"))).unwrap();
    fs::write(
        dir.join(OsStr::from_bytes(b"dir \xf0\x28")).join("inside"),
        b"x",
    )
    .unwrap();
}

fn links(dir: &Path) {
    symlink("small", dir.join("link")).unwrap();
    symlink("/nowhere/at all", dir.join("dangling")).unwrap();
    symlink(OsStr::from_bytes(&[b'l'; 4000]), dir.join("long link")).unwrap();
    fs::create_dir(dir.join("hard")).unwrap();
    fs::write(dir.join("hard/one"), noise(2, 100_000)).unwrap();
    fs::hard_link(dir.join("hard/one"), dir.join("hard/two")).unwrap();
    fs::hard_link(dir.join("hard/one"), dir.join("zz three")).unwrap();
    fs::write(dir.join("hard/small one"), b"s").unwrap();
    fs::hard_link(dir.join("hard/small one"), dir.join("hard/small two")).unwrap();
    fs::hard_link(dir.join("link"), dir.join("link's twin")).unwrap();
}

fn sparse(dir: &Path) {
    let mut file = File::create(dir.join("sparse")).unwrap();
    file.write_all(&noise(3, 10_000)).unwrap();
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(50_000_000)).unwrap();
    file.write_all(&noise(4, 300_000)).unwrap();
    file.set_len(200_000_000).unwrap();
    File::create(dir.join("only a hole"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
}

fn attributes(dir: &Path) {
    for (name, mode) in [
        ("modes-000", 0),
        ("modes-4755", 0o4755),
        ("modes-2711", 0o2711),
        ("modes-600", 0o600),
    ] {
        fs::write(dir.join(name), name).unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(dir.join("sticky")).unwrap();
    fs::set_permissions(dir.join("sticky"), Permissions::from_mode(0o1777)).unwrap();
    let small = dir.join("small");
    let long = vec![b'v'; 2000];
    rustix::fs::setxattr(
        &small,
        "user.packnback",
        b"value \xff\0 with any bytes",
        XattrFlags::empty(),
    )
    .unwrap();
    rustix::fs::setxattr(&small, "user.long", &long, XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(dir.join("empty"), "user.dir", b"", XattrFlags::empty()).unwrap();
    // An ACL: user 12345 may read.
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in [
        (1u16, 6u16, u32::MAX),
        (2, 4, 12345),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&perm.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    let done = rustix::fs::setxattr(
        dir.join("modes-600"),
        "system.posix_acl_access",
        &acl,
        XattrFlags::empty(),
    );
    if is_root() {
        done.unwrap();
        std::os::unix::fs::lchown(dir.join("small"), Some(12345), Some(54321)).unwrap();
        std::os::unix::fs::lchown(dir.join("dangling"), Some(1), Some(2)).unwrap();
        rustix::fs::setxattr(
            dir.join("small"),
            "trusted.packnback",
            b"t",
            XattrFlags::empty(),
        )
        .unwrap();
    }
}

fn special(dir: &Path) {
    let node = |name: &str, kind, device| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.join(name),
            kind,
            Mode::from_raw_mode(0o640),
            device,
        )
    };
    node("fifo", FileType::Fifo, 0).unwrap();
    if is_root() {
        // Some containers forbid it even to root.
        let _forbidden = node("char", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
        let _forbidden = node("block", FileType::BlockDevice, rustix::fs::makedev(7, 99));
    }
}

/// A path longer than the system takes in one go.
fn deep(dir: &Path) {
    use rustix::fs::{OFlags, mkdirat, openat};
    let name = "d".repeat(200);
    let mut at = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..25 {
        mkdirat(&at, &name, Mode::from_raw_mode(0o755)).unwrap();
        at = openat(
            &at,
            &name,
            OFlags::RDONLY | OFlags::DIRECTORY,
            Mode::empty(),
        )
        .unwrap();
    }
    let file = openat(
        &at,
        "at the end",
        OFlags::CREATE | OFlags::WRONLY,
        Mode::from_raw_mode(0o644),
    )
    .unwrap();
    File::from(file).write_all(b"deep").unwrap();
}
