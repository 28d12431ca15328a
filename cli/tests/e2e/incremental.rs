//! A second run costs what changed, nothing more.

use std::fs;

use serde_json::Value;

use crate::support::Machine;
use crate::trees;

fn number(value: &Value, name: &str) -> u64 {
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {value}"))
}

/// Backs up until the files are old enough to be believed by their times.
fn settle(machine: &Machine, tree: &std::path::Path) {
    fn touch(dir: &std::path::Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                touch(&path);
            }
            trees::set_mtime(&path, 1_600_000_000, 42);
        }
    }
    touch(tree);
    // The change time cannot be set: a file younger than two seconds is read again, as it could change
    // unnoticed within its time stamp. So wait until the clock of the file system has gone on.
    let probe = machine.path("probe");
    let age = || {
        fs::write(&probe, b"x").unwrap();
        let now = std::os::unix::fs::MetadataExt::ctime(&fs::metadata(&probe).unwrap());
        let newest = newest_change(tree);
        now - newest
    };
    while age() < 4 {
        std::thread::yield_now();
    }
    machine.backup(tree);
}

fn newest_change(dir: &std::path::Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    let mut newest = fs::metadata(dir).unwrap().ctime();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        newest = newest.max(if found.is_dir() {
            newest_change(&entry.path())
        } else {
            found.ctime()
        });
    }
    newest
}

#[test]
fn an_unchanged_tree_is_not_read_and_a_moved_one_is_not_stored_again() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 300);
    let first = machine.backup(&tree);
    assert!(number(&first, "bytes_read") >= number(&first, "bytes"));
    assert_eq!(number(&first, "files"), 300);
    settle(&machine, &tree);

    let second = machine.backup(&tree);
    assert_eq!(number(&second, "bytes_read"), 0, "{second}");
    assert_eq!(number(&second, "files_unmodified"), 300, "{second}");
    assert!(number(&second, "bytes_stored") < 64 << 10, "{second}");

    // Copied beside itself: read, but nothing but names is stored.
    let content = number(&first, "bytes");
    fs::create_dir(tree.join("copy")).unwrap();
    for entry in fs::read_dir(tree.join("d1")).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, tree.join("copy").join(from.file_name().unwrap())).unwrap();
    }
    let copied = machine.backup(&tree);
    assert!(number(&copied, "bytes_stored") < content / 20, "{copied}");

    // Moved: new paths, the same content.
    fs::rename(tree.join("d2"), tree.join("moved")).unwrap();
    let moved = machine.backup(&tree);
    assert!(number(&moved, "bytes_stored") < content / 20, "{moved}");

    // Touched: read again, found to be the same.
    for entry in fs::read_dir(tree.join("d3")).unwrap() {
        trees::set_mtime(&entry.unwrap().path(), 1_650_000_000, 0);
    }
    let touched = machine.backup(&tree);
    assert!(number(&touched, "bytes_read") > 0, "{touched}");
    assert!(number(&touched, "bytes_stored") < content / 20, "{touched}");
    machine.check(touched["snapshot"].as_str().unwrap(), &tree, "target");

    // The cache is a cache: without it the run is slow, not wrong.
    fs::remove_dir_all(machine.home().join("cache")).unwrap();
    let rebuilt = machine.backup(&tree);
    assert!(number(&rebuilt, "bytes_read") >= content, "{rebuilt}");
    machine.check(rebuilt["snapshot"].as_str().unwrap(), &tree, "target2");
}

#[test]
fn a_changed_file_is_saved_as_it_is_now_and_as_it_was() {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 60);
    let before = machine.path("before");
    let first = machine.backup(&tree);
    let big = tree.join("d0/f49");
    let mut bytes = fs::read(&big).unwrap();
    fs::create_dir(&before).unwrap();
    fs::write(before.join("f49"), &bytes).unwrap();
    bytes.splice(1_000_000..1_000_000, b"inserted".iter().copied());
    fs::write(&big, &bytes).unwrap();
    let second = machine.backup(&tree);
    machine.check(second["snapshot"].as_str().unwrap(), &tree, "now");
    let key = machine.key();
    let target = machine.path("then");
    let what = format!("{}:{}", first["snapshot"].as_str().unwrap(), big.display());
    machine.ok([
        "restore",
        &what,
        "--target",
        target.to_str().unwrap(),
        "--owner-key",
        key.to_str().unwrap(),
    ]);
    let then = crate::support::restored(&target, &big);
    assert!(fs::read(then).unwrap() == fs::read(before.join("f49")).unwrap());
}
