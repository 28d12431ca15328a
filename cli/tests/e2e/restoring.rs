//! Restores as people give them: in place, with --delete, of parts, with words for what could not be done.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::support::{Machine, Ran};

fn restore(machine: &Machine, what: &str, target: &Path, more: &[&str]) -> Ran {
    let key = machine.key();
    let words = [
        OsStr::new("restore"),
        what.as_ref(),
        "--target".as_ref(),
        target.as_os_str(),
        "--owner-key".as_ref(),
        key.as_os_str(),
    ];
    machine.run(words.into_iter().chain(more.iter().map(OsStr::new)))
}

fn said(machine: &Machine, what: &str, target: &Path, more: &[&str]) -> Ran {
    let key = machine.key();
    let words = [
        OsStr::new("restore"),
        what.as_ref(),
        "--target".as_ref(),
        target.as_os_str(),
        "--owner-key".as_ref(),
        key.as_os_str(),
    ];
    let words = words.into_iter().chain(more.iter().map(OsStr::new));
    super::support::finish(machine.command(words), None)
}

fn write(path: &Path, text: &str) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    path.to_owned()
}

#[test]
fn delete_in_place_keeps_the_home_what_was_left_out_and_what_is_elsewhere() {
    let machine = Machine::with_owner();
    let ann = machine.path("");
    let doc = write(&machine.path("src/doc"), "a");
    let iso = write(&machine.path("src/vm.iso"), "huge");
    let words = [
        "backup".as_ref(),
        ann.as_os_str(),
        "-e".as_ref(),
        "*.iso".as_ref(),
    ];
    machine.ok(words);
    let new = write(&machine.path("src/new"), "new");
    std::fs::write(&doc, "changed").unwrap();
    let dry = said(&machine, "latest", Path::new("/"), &["--delete", "-n"]).ends_with(0);
    assert!(dry.stdout.contains("Would remove") && dry.stdout.contains("src/new"));
    assert!(!dry.stdout.contains("vm.iso") && !dry.stdout.contains("/home/node"));
    assert!(new.exists());
    let done = restore(&machine, "latest", Path::new("/"), &["--delete"]);
    let report = done.ends_with(0).json();
    assert!(iso.exists() && !new.exists());
    assert_eq!(std::fs::read_to_string(&doc).unwrap(), "a");
    let newer = report["newer"].as_array().unwrap();
    assert!(newer.iter().any(|path| path == doc.to_str().unwrap()));
    machine.ok(["status"]);
    machine.ok(["snapshots"]);
}

#[test]
fn the_whole_system_is_not_emptied_by_the_way() {
    let machine = Machine::with_owner();
    // As far as the guard can tell, all of it was saved: what it looks at are the roots.
    machine.ok(["backup", "/var", "/etc/passwd", "-e", "/var/*"]);
    let refused = restore(&machine, "latest", Path::new("/"), &["--delete"]);
    assert_eq!(refused.ends_with(5).error()["code"], "delete");
    restore(&machine, "latest", Path::new("/"), &["--delete", "-n"]).ends_with(0);
    let elsewhere = machine.path("back");
    restore(&machine, "latest", &elsewhere, &["--delete"]).ends_with(0);
}

#[test]
fn a_link_above_stays_and_a_part_comes_back_with_the_folders_above_it_as_saved() {
    let machine = Machine::with_owner();
    let real = write(&machine.path("disk/home/ann/doc"), "a");
    let bob = write(&machine.path("disk/home/bob/doc"), "b");
    symlink("disk/home", machine.path("home2")).unwrap();
    std::fs::set_permissions(real.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    machine.backup(&machine.path("home2/ann"));
    std::fs::write(&real, "spoilt").unwrap();
    restore(&machine, "latest", Path::new("/"), &[]).ends_with(0);
    assert!(machine.path("home2").is_symlink() && bob.exists());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "a");
}

#[test]
fn what_was_not_restored_is_told_in_words_with_a_next_step_that_helps() {
    let machine = Machine::with_owner();
    let doc = write(&machine.path("src/doc"), "a");
    machine.backup(&machine.path("src"));
    let back = machine.path("back");
    for pattern in ["reprot", "./doc"] {
        let ran = said(&machine, "latest", &back, &["-i", pattern]);
        assert!(ran.code == 3 || ran.code == 2, "{ran:?}");
        assert!(ran.stderr.contains(pattern), "{ran:?}");
    }
    let inside = back.join(doc.strip_prefix("/").unwrap());
    write(&inside.join("x"), "in the way");
    let ran = said(&machine, "latest", &back, &[]).ends_with(3);
    assert!(!ran.stderr.contains("another copy"), "{ran:?}");
    assert!(
        ran.stderr.contains("in the way") && ran.stderr.contains("--delete"),
        "{ran:?}"
    );
    said(&machine, "latest", &back, &["--delete"]).ends_with(0);
    assert_eq!(std::fs::read_to_string(inside).unwrap(), "a");
}
