//! What a walk finds, in which order, and what it leaves out.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::support::*;
use crate::fs::*;

pub(super) fn make(root: &Path, paths: &[&str]) {
    for path in paths {
        let full = root.join(path);
        if path.ends_with('/') {
            std::fs::create_dir_all(full).unwrap();
        } else {
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(full, b"x").unwrap();
        }
    }
}

fn walk(root: &Path, options: WalkOptions) -> Vec<String> {
    below(root, &items(&[root], options))
}

fn with_excludes(patterns: &[&str]) -> WalkOptions {
    let mut options = WalkOptions::default();
    for pattern in patterns {
        options.excludes.add(pattern.as_bytes()).unwrap();
    }
    options
}

#[test]
fn siblings_come_in_byte_order_and_children_behind_their_directory() {
    let dir = temp();
    make(
        dir.path(),
        &["a/z", "a-b", "a.c", "a/b/c", "B", "ab/", "\u{e9}", "a\n/x"],
    );
    let found = walk(dir.path(), WalkOptions::default());
    assert_eq!(
        found,
        [
            "B", "a", "a/b", "a/b/c", "a/z", "a\n", "a\n/x", "a-b", "a.c", "ab", "\u{e9}"
        ]
    );
}

#[test]
fn a_large_tree_comes_in_order_and_complete_whatever_the_number_of_helpers() {
    let dir = temp();
    for wide in 0..3000 {
        std::fs::write(dir.path().join(format!("file {wide}")), b"").unwrap();
    }
    for number in 0..300 {
        make(
            dir.path(),
            &[&format!("d{}/e{}/f{number}", number % 7, number % 31)],
        );
        make(dir.path(), &[&format!("many {number}/")]);
    }
    let mut expected: Option<Vec<Vec<u8>>> = None;
    for threads in [0, 1, 2, 8] {
        let options = WalkOptions {
            threads: Some(threads),
            ..WalkOptions::default()
        };
        let paths: Vec<Vec<u8>> = items(&[dir.path()], options)
            .iter()
            .map(Item::path)
            .collect();
        assert!(
            paths
                .windows(2)
                .all(|pair| path_cmp(&pair[0], &pair[1]).is_lt()),
            "out of order with {threads}"
        );
        assert_eq!(expected.get_or_insert_with(|| paths.clone()), &paths);
    }
    assert!(expected.unwrap().len() > 3000 + 300 * 2);
}

#[test]
fn a_walk_may_be_dropped_at_any_time() {
    for take in [0, 1, 10, 1000] {
        let walk = Walk::new(
            &[PathBuf::from("/usr")],
            Path::new("/"),
            WalkOptions::default(),
        );
        assert!(walk.take(take).count() <= take);
    }
}

#[test]
fn roots_are_merged_and_their_ancestors_come_first() {
    let dir = temp();
    make(dir.path(), &["a/one", "a/two", "b/three", "c/four"]);
    let base = dir.path();
    let roots = [
        base.join("b"),
        base.join("a"),
        base.join("./a/../a/"),
        base.join("a/two"),
        PathBuf::from("c/four"),
    ];
    let walk = Walk::new(&roots, base, WalkOptions::default());
    let top = stored_path(base, Path::new("/"));
    assert_eq!(walk.roots().len(), 4, "each root once");
    let steps: Vec<Item> = walk
        .map(|step| match step {
            WalkItem::Entry(item) => item,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        below(base, &steps),
        ["a", "a/one", "a/two", "b", "b/three", "c", "c/four"]
    );
    let ancestors = top.split(|&b| b == b'/').count();
    assert_eq!(steps.len(), ancestors + 7);
    assert!(
        steps[..ancestors]
            .iter()
            .all(|item| item.stat.kind == Kind::Dir)
    );
}

#[test]
fn what_cannot_be_read_is_a_problem_and_the_rest_is_walked() {
    let dir = temp();
    make(dir.path(), &["a/x", "closed/x", "z"]);
    std::fs::set_permissions(dir.path().join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
    let roots = [
        dir.path().to_path_buf(),
        dir.path().join("missing"),
        dir.path().join("z/not a directory"),
    ];
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for step in Walk::new(&roots, Path::new("/"), WalkOptions::default()) {
        match step {
            WalkItem::Entry(item) => found.push(item),
            WalkItem::Problem(problem) => problems.push(problem),
            WalkItem::Skipped { .. } | WalkItem::Left { .. } => panic!("nothing to skip"),
        }
    }
    assert!(below(dir.path(), &found).ends_with(&["z".to_owned()]));
    assert!(
        problems
            .iter()
            .any(|problem| problem.vanished() && problem.path.ends_with(b"/missing")),
        "{problems:?}"
    );
    if !is_root() {
        assert!(
            problems
                .iter()
                .any(|problem| problem.path.ends_with(b"/closed"))
        );
    }
    std::fs::set_permissions(dir.path().join("closed"), PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn sockets_are_skipped_with_a_reason() {
    let dir = temp();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("sock")).unwrap();
    make(dir.path(), &["file"]);
    let steps: Vec<WalkItem> = Walk::new(
        &[dir.path().to_path_buf()],
        Path::new("/"),
        WalkOptions::default(),
    )
    .collect();
    let skipped: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            WalkItem::Skipped { item, reason } => Some((item.name.to_vec(), *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(skipped, [(b"sock".to_vec(), SkipReason::Socket)]);
}

#[test]
fn excludes_take_directories_with_all_below_but_never_a_root() {
    let dir = temp();
    make(
        dir.path(),
        &[
            "src/a.o",
            "src/a.c",
            "target/debug/x",
            "keep/target/y",
            "z/cache/deep/er",
        ],
    );
    assert_eq!(
        walk(
            dir.path(),
            with_excludes(&["*.o", "/**/target/debug", "cache/"])
        ),
        [
            "keep",
            "keep/target",
            "keep/target/y",
            "src",
            "src/a.c",
            "target",
            "z"
        ]
    );
    // A root is never left out, nor is a root inside of what is left out.
    let target = dir.path().join("target");
    let found = items(&[&target], with_excludes(&["target"]));
    assert_eq!(
        below(dir.path(), &found),
        ["target", "target/debug", "target/debug/x"]
    );
    let found = items(
        &[dir.path(), &dir.path().join("z/cache/deep")],
        with_excludes(&["cache", "src", "keep"]),
    );
    assert_eq!(
        below(dir.path(), &found),
        [
            "target",
            "target/debug",
            "target/debug/x",
            "z",
            "z/cache",
            "z/cache/deep",
            "z/cache/deep/er"
        ]
    );
}

#[test]
fn caches_keep_their_directory_and_tag() {
    let dir = temp();
    make(dir.path(), &["cache/a", "cache/b/c", "fake/a", "link/a"]);
    let signature = b"Signature: 8a477f597d28d172789f06886806bc55";
    std::fs::write(
        dir.path().join("cache/CACHEDIR.TAG"),
        [signature.as_slice(), b"\n# more"].concat(),
    )
    .unwrap();
    std::fs::write(dir.path().join("fake/CACHEDIR.TAG"), &signature[..42]).unwrap();
    symlink(
        "../cache/CACHEDIR.TAG",
        dir.path().join("link/CACHEDIR.TAG"),
    )
    .unwrap();
    let options = WalkOptions {
        exclude_caches: true,
        ..WalkOptions::default()
    };
    assert_eq!(
        walk(dir.path(), options),
        [
            "cache",
            "cache/CACHEDIR.TAG",
            "fake",
            "fake/CACHEDIR.TAG",
            "fake/a",
            "link",
            "link/CACHEDIR.TAG",
            "link/a"
        ]
    );
}

#[test]
fn large_files_and_our_own_folders_are_left_out() {
    use std::os::unix::fs::MetadataExt;
    let dir = temp();
    make(dir.path(), &["home/node/db", "other"]);
    for (name, size) in [("below", 99), ("at", 100), ("above", 101)] {
        std::fs::write(dir.path().join(name), vec![0; size]).unwrap();
    }
    let home = std::fs::metadata(dir.path().join("home")).unwrap();
    let options = WalkOptions {
        exclude_larger_than: Some(100),
        exclude_inodes: vec![(home.dev(), home.ino())],
        ..WalkOptions::default()
    };
    assert_eq!(walk(dir.path(), options), ["at", "below", "other"]);
}

#[test]
fn another_file_system_is_saved_as_an_empty_directory_unless_it_is_a_root() {
    let (one, other) = (
        std::fs::metadata("/").unwrap(),
        std::fs::metadata("/proc").unwrap(),
    );
    use std::os::unix::fs::MetadataExt;
    if one.dev() == other.dev() {
        eprintln!("/proc is not another file system here: not tested");
        return;
    }
    let mut options = WalkOptions {
        one_file_system: true,
        threads: Some(0),
        ..WalkOptions::default()
    };
    for name in std::fs::read_dir("/").unwrap() {
        let name = name.unwrap().file_name();
        if name != "proc" {
            options
                .excludes
                .add(format!("/{}", name.to_str().unwrap()).as_bytes())
                .unwrap();
        }
    }
    let found: Vec<Vec<u8>> = items(&[Path::new("/")], options.clone())
        .iter()
        .map(Item::path)
        .collect();
    assert_eq!(found, [b"proc".to_vec()]);
    let roots = [PathBuf::from("/"), PathBuf::from("/proc/self/attr")];
    let inside = Walk::new(&roots, Path::new("/"), options);
    let count = inside.filter(|step| matches!(step, WalkItem::Entry(item) if item.path().starts_with(b"proc/self/attr/"))).count();
    assert!(count > 0, "a root is walked wherever it lies");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let dir = temp();
    make(
        dir.path(),
        &["same", "grows", "shrinks", "replaced", "rewritten"],
    );
    let found = items(&[dir.path()], WalkOptions::default());
    let item = |name: &str| {
        found
            .iter()
            .find(|item| *item.name == *name.as_bytes())
            .unwrap()
    };
    let read = |name: &str, change: &dyn Fn(&Path)| {
        let open = OpenFile::open(item(name)).unwrap();
        change(&dir.path().join(name));
        let mut buf = Vec::new();
        let grown = open.read_small(&mut buf, 1 << 16);
        (open.outcome(buf.len() as u64).unwrap(), grown.is_ok(), buf)
    };
    assert_eq!(
        read("same", &|_| {}),
        (ReadOutcome::Clean, true, b"x".to_vec())
    );
    let changed = |(outcome, _, _): (ReadOutcome, bool, Vec<u8>)| {
        matches!(outcome, ReadOutcome::Changed { .. })
    };
    assert!(changed(read("grows", &|path| std::fs::write(
        path, b"longer"
    )
    .unwrap())));
    assert!(changed(
        read("shrinks", &|path| std::fs::write(path, b"").unwrap())
    ));
    assert!(changed(read("rewritten", &|path| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap()
    })));
    std::fs::remove_file(dir.path().join("replaced")).unwrap();
    assert!(OpenFile::open(item("replaced")).unwrap_err().vanished());
    symlink("same", dir.path().join("replaced")).unwrap();
    assert!(
        OpenFile::open(item("replaced")).is_err(),
        "a link in its place is not followed"
    );
}

proptest! {
    #[test]
    fn paths_compare_as_their_components_do(
        a in prop::collection::vec(prop::collection::vec(1_u8..=255, 1..4), 1..5),
        b in prop::collection::vec(prop::collection::vec(1_u8..=255, 1..4), 1..5),
    ) {
        let clean = |path: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
            path.into_iter().map(|name| name.into_iter().map(|b| if b == b'/' { b'.' } else { b }).collect()).collect()
        };
        let (a, b) = (clean(a), clean(b));
        prop_assert_eq!(path_cmp(&a.join(&b'/'), &b.join(&b'/')), a.cmp(&b));
    }

    #[test]
    fn a_checked_path_has_only_plain_names(path in prop::collection::vec(any::<u8>(), 0..12)) {
        let plain = !path.is_empty()
            && path.split(|&b| b == b'/').all(|name| !matches!(name, b"" | b"." | b"..") && !name.contains(&0));
        prop_assert_eq!(check_path(&path).is_ok(), plain);
    }
}
