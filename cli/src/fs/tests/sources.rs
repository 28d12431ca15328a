//! The given paths, and what the kernel finds under them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::support::*;
use super::walking::make;
use crate::fs::*;

#[test]
fn of_a_root_that_is_a_link_both_ends_are_saved_and_links_on_the_way_are_followed() {
    let dir = temp();
    make(dir.path(), &["real/inner/file", "alone"]);
    symlink("real", dir.path().join("link")).unwrap();
    symlink("link", dir.path().join("link to it")).unwrap();
    symlink("alone", dir.path().join("file link")).unwrap();
    for name in ["link", "link/", "link to it", "real/../link/."] {
        let found = items(&[&dir.path().join(name)], WalkOptions::default());
        let link = name
            .trim_end_matches(['/', '.'])
            .trim_start_matches("real/../");
        assert_eq!(
            below(dir.path(), &found),
            [link, "real", "real/inner", "real/inner/file"]
        );
        assert_eq!(found[found.len() - 4].stat.kind, Kind::Symlink);
    }
    let found = items(&[&dir.path().join("file link")], WalkOptions::default());
    assert_eq!(below(dir.path(), &found), ["alone", "file link"]);
    let found = items(&[&dir.path().join("link/inner")], WalkOptions::default());
    assert_eq!(
        below(dir.path(), &found),
        ["link", "link/inner", "link/inner/file"]
    );
    assert_eq!(found[found.len() - 3].stat.kind, Kind::Dir);
}

#[test]
fn a_path_is_what_the_kernel_finds_under_it() {
    let dir = temp();
    make(
        dir.path(),
        &["disk/pool/", "disk/data/right", "here/data/wrong"],
    );
    symlink("../disk/pool", dir.path().join("here/link")).unwrap();
    let data = dir.path().join("here/link/../data");
    let found = items(&[&data], WalkOptions::default());
    assert_eq!(
        below(dir.path(), &found),
        ["disk", "disk/data", "disk/data/right"]
    );
    let walk = |path: &str| {
        let walk = Walk::new(
            &[PathBuf::from(path)],
            &dir.path().join("here"),
            WalkOptions::default(),
        );
        let entry = |step| match step {
            WalkItem::Entry(item) => item,
            other => panic!("{other:?}"),
        };
        below(dir.path(), &walk.map(entry).collect::<Vec<_>>())
    };
    assert_eq!(walk("data"), ["here", "here/data", "here/data/wrong"]);
    assert_eq!(
        walk("./link/../data/."),
        ["disk", "disk/data", "disk/data/right"]
    );
    assert_eq!(walk("../here/data/../data"), walk("data"));
    assert_eq!(
        walk("link/.."),
        ["disk", "disk/data", "disk/data/right", "disk/pool"]
    );
}

#[test]
fn what_was_found_is_walked_whatever_the_path_leads_to_by_then() {
    let dir = temp();
    make(dir.path(), &["first/data/right", "second/data/wrong"]);
    symlink("first", dir.path().join("now")).unwrap();
    let sources = Sources::resolve(&[dir.path().join("now/data")], Path::new("/"));
    std::fs::remove_file(dir.path().join("now")).unwrap();
    symlink("second", dir.path().join("now")).unwrap();
    let steps = Walk::over(sources, WalkOptions::default());
    let found: Vec<Item> = steps
        .map(|step| match step {
            WalkItem::Entry(item) => item,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        below(dir.path(), &found),
        ["now", "now/data", "now/data/right"]
    );
}

#[test]
fn a_path_that_is_not_there_keeps_nothing_else_out() {
    let dir = temp();
    make(dir.path(), &["a/x"]);
    symlink("nowhere", dir.path().join("broken")).unwrap();
    let roots = [
        dir.path().join("gone"),
        dir.path().join("gone/../a"),
        dir.path().join("broken"),
        dir.path().join("a"),
        PathBuf::new(),
    ];
    let sources = Sources::resolve(&roots, dir.path());
    assert_eq!(sources.named().len(), 4, "{sources:?}");
    let (mut found, mut problems) = (Vec::new(), 0);
    for step in Walk::over(sources, WalkOptions::default()) {
        match step {
            WalkItem::Entry(item) => found.push(item),
            WalkItem::Problem(_) => problems += 1,
            WalkItem::Skipped { .. } | WalkItem::Left { .. } => panic!("nothing to skip"),
        }
    }
    assert_eq!(below(dir.path(), &found), ["a", "a/x", "broken"]);
    assert_eq!(problems, 4);
    let inside: Vec<bool> = found.iter().map(|item| item.inside).collect();
    assert_eq!(inside.iter().filter(|inside| **inside).count(), 3);
}

/// Entries of a walk at or below `dir`, and what was left out.
fn with_left(dir: &Path, root: &str, options: WalkOptions) -> (Vec<String>, Vec<String>) {
    let (mut found, mut left) = (Vec::new(), Vec::new());
    let prefix = stored_path(dir, Path::new("/")).len() + 1;
    for step in Walk::new(&[dir.join(root)], Path::new("/"), options) {
        match step {
            WalkItem::Entry(item) => found.push(item),
            WalkItem::Left { path, why } => {
                let path = String::from_utf8_lossy(&path[prefix..]).into_owned();
                left.push(format!("{path} {why:?}"));
            }
            other => panic!("{other:?}"),
        }
    }
    left.sort();
    (below(dir, &found), left)
}

#[test]
fn the_home_of_any_node_is_left_out_wherever_it_is() {
    let dir = temp();
    let parts = ["node/db/x", "cache/x", "config/x", "doc"];
    make(
        dir.path(),
        &parts
            .map(|part| format!("ann/home/{part}"))
            .each_ref()
            .map(String::as_str),
    );
    let home = dir.path().join("ann/home");
    std::fs::write(home.join("node/identity.key"), b"PNBNODE1 and a seed").unwrap();
    std::fs::write(home.join("config/device.bundle"), b"PNBDEV1").unwrap();
    let all = ["cache", "config", "node"].map(|part| format!("ann/home/{part} Home"));
    for root in ["ann", "ann/home", "."] {
        let (found, left) = with_left(dir.path(), root, WalkOptions::default());
        assert_eq!(found, ["ann", "ann/home", "ann/home/doc"], "{root}");
        assert_eq!(left, all, "{root}");
    }
    // Also if it is asked for.
    for root in [
        "ann/home/node",
        "ann/home/node/db",
        "ann/home/node/db/x",
        "ann/home/cache/x",
    ] {
        let (found, left) = with_left(dir.path(), root, WalkOptions::default());
        assert_eq!(found, ["ann", "ann/home"], "{root}");
        assert!(!left.is_empty(), "{root}");
    }
    std::fs::remove_file(home.join("node/identity.key")).unwrap();
    std::fs::remove_file(home.join("config/device.bundle")).unwrap();
    let (found, left) = with_left(dir.path(), "ann/home", WalkOptions::default());
    assert_eq!(
        (found.len(), left.len()),
        (10, 0),
        "what only has such names is no home"
    );
}

#[test]
fn larger_files_are_named() {
    let dir = temp();
    make(dir.path(), &["d/small", "d/large"]);
    std::fs::write(dir.path().join("d/large"), vec![0; 101]).unwrap();
    let options = WalkOptions {
        exclude_larger_than: Some(100),
        ..WalkOptions::default()
    };
    let (found, left) = with_left(dir.path(), "d", options);
    assert_eq!(found, ["d", "d/small"]);
    assert_eq!(left, ["d/large Larger"]);
}
