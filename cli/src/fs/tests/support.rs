//! A backup and a restore without anything in between.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use packnback_proto::format::entry::{Entry, EntryType};

use crate::fs::*;

/// Whether the test may use what only root can; prints why not.
pub(super) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not root: owners, devices and unreadable files are not tested");
    }
    root
}

/// A temporary directory with a name that is not a link anywhere on the way.
pub(super) fn temp() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("pnb-fs-")
        .tempdir_in(std::env::temp_dir().canonicalize().unwrap())
        .unwrap()
}

/// Lets everything go.
pub(super) struct All;

impl Judge for All {
    fn keeps_level(&self, _: &Level<'_>) -> Option<Kept> {
        None
    }

    fn keeps(&self, _: &[u8], _: &Stat) -> Option<Kept> {
        None
    }

    fn leaves_caches(&self) -> bool {
        false
    }
}

/// What came of removing a directory.
pub(super) fn clear(target: &Target, path: &[u8]) -> Result<Swept, WriteError> {
    let mut swept = Swept::default();
    target.clear(path, &All, &mut swept)?;
    Ok(swept)
}

/// An entry of some kind with harmless attributes.
pub(super) fn entry(path: impl AsRef<[u8]>, kind: EntryType) -> Entry {
    Entry {
        path: path.as_ref().to_vec(),
        kind,
        mode: if kind == EntryType::Dir { 0o755 } else { 0o644 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime_ns: 1_600_000_000_123_456_789,
        size: 0,
        link: None,
        xattrs: BTreeMap::new(),
        rdev: None,
        hardlink: None,
        data: None,
        user: None,
        group: None,
        acl_names: Vec::new(),
    }
}

/// A regular file's entry.
pub(super) fn file(path: impl AsRef<[u8]>, size: u64) -> Entry {
    Entry {
        size,
        ..entry(path, EntryType::File)
    }
}

/// Every entry of a walk; problems end the test.
pub(super) fn items(roots: &[&Path], options: WalkOptions) -> Vec<Item> {
    let roots: Vec<PathBuf> = roots.iter().map(|path| path.to_path_buf()).collect();
    Walk::new(&roots, Path::new("/"), options)
        .filter_map(|step| match step {
            WalkItem::Entry(item) => Some(item),
            WalkItem::Skipped { .. } | WalkItem::Left { .. } => None,
            WalkItem::Problem(problem) => panic!("{problem}"),
        })
        .collect()
}

/// Stored paths of a walk, below `root`, as text.
pub(super) fn below(root: &Path, items: &[Item]) -> Vec<String> {
    let prefix = stored_path(root, Path::new("/"));
    let paths = items.iter().map(Item::path);
    let inner = paths.filter(|path| is_at_or_below(path, &prefix) && path.len() > prefix.len());
    inner
        .map(|path| String::from_utf8_lossy(&path[prefix.len() + 1..]).into_owned())
        .collect()
}

/// The entry of a walked file.
pub(super) fn entry_of(item: &Item, names: &IdNames) -> Entry {
    let mut problems = Vec::new();
    let open = (item.stat.kind == Kind::File).then(|| OpenFile::open(item).unwrap());
    let attributes = read_attributes(item, open.as_ref(), &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let kind = item.stat.kind.entry_type().unwrap();
    let device = matches!(kind, EntryType::Char | EntryType::Block);
    Entry {
        path: item.path(),
        kind,
        mode: item.stat.mode,
        uid: item.stat.uid,
        gid: item.stat.gid,
        mtime_ns: item.stat.mtime_ns,
        size: if kind == EntryType::File {
            item.stat.size
        } else {
            0
        },
        link: attributes.link,
        xattrs: attributes.xattrs,
        rdev: device.then_some(item.stat.rdev),
        hardlink: None,
        data: None,
        user: names.user(item.stat.uid).map(|name| name.to_string()),
        group: names.group(item.stat.gid).map(|name| name.to_string()),
        acl_names: Vec::new(),
    }
}

/// Copies everything below `root` into `target` through walk, reader and writer.
pub(super) fn copy(root: &Path, target: &Target) -> Report {
    let names = IdNames::new();
    let mut first_names: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    for item in items(&[root], WalkOptions::default()) {
        let entry = entry_of(&item, &names);
        if let Some(first) = item
            .stat
            .hardlink_key()
            .and_then(|key| first_names.get(&key))
        {
            target.add_hard_link(&entry, first).unwrap();
            continue;
        }
        if let Some(key) = item.stat.hardlink_key() {
            first_names.insert(key, entry.path.clone());
        }
        match entry.kind {
            EntryType::Dir => target.add_dir(&entry).map(drop).unwrap(),
            EntryType::File => copy_content(&item, &entry, target),
            _ => target.add_special(&entry).map(drop).unwrap(),
        }
    }
    target.finish(&[])
}

fn copy_content(item: &Item, entry: &Entry, target: &Target) {
    let Created::Write(sink) = target.create_file(entry).unwrap() else {
        return;
    };
    let open = OpenFile::open(item).unwrap();
    let mut read = 0;
    for extent in open.extents().unwrap() {
        match extent {
            Extent::Hole { off, len } => {
                sink.hole(off, len).unwrap();
                read += len;
            }
            Extent::Data { off, len } => {
                let mut buf = Vec::new();
                assert_eq!(
                    open.append_at(off, usize::try_from(len).unwrap(), &mut buf)
                        .unwrap() as u64,
                    len
                );
                sink.write_at(off, &buf).unwrap();
                read += len;
            }
        }
    }
    assert_eq!(open.outcome(read).unwrap(), ReadOutcome::Clean);
    sink.finish(entry).unwrap();
}

/// Where the copy of `root` lies in the target directory.
pub(super) fn copied(root: &Path, target: &Path) -> PathBuf {
    target.join(std::ffi::OsStr::from_bytes(&stored_path(
        root,
        Path::new("/"),
    )))
}

/// Everything about every file below `root`, for comparing: path to description.
pub(super) fn describe(root: &Path) -> BTreeMap<String, String> {
    let names = IdNames::new();
    let prefix = stored_path(root, Path::new("/")).len();
    let mut link_groups: HashMap<(u64, u64), usize> = HashMap::new();
    let mut out = BTreeMap::new();
    for item in items(&[root], WalkOptions::default()) {
        let path = item.path();
        if path.len() < prefix {
            continue;
        }
        let mut entry = entry_of(&item, &names);
        entry.path = Vec::new();
        let groups = link_groups.len();
        let group = item
            .stat
            .hardlink_key()
            .map(|key| *link_groups.entry(key).or_insert(groups));
        let mut content = String::new();
        if entry.kind == EntryType::File {
            let open = OpenFile::open(&item).unwrap();
            let mut hasher = blake3::Hasher::new();
            for extent in open.extents().unwrap() {
                if let Extent::Data { off, len } = extent {
                    let mut buf = Vec::new();
                    open.append_at(off, usize::try_from(len).unwrap(), &mut buf)
                        .unwrap();
                    hasher.update(&buf);
                }
            }
            content = format!("{} {:?}", hasher.finalize(), open.extents().unwrap());
        }
        out.insert(
            show(&path[prefix..]),
            format!("{entry:?} {group:?} {content}"),
        );
    }
    out
}

/// Panics at the first file that differs.
pub(super) fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (describe(a), describe(b));
    for (path, description) in &a {
        assert_eq!(Some(description), b.get(path), "{path}");
    }
    assert_eq!(
        a.len(),
        b.len(),
        "{:?}",
        b.keys()
            .filter(|path| !a.contains_key(*path))
            .collect::<Vec<_>>()
    );
}

/// Names, kinds, sizes and content of everything outside the target, to show that nothing changed.
pub(super) fn snapshot_of(dir: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    let mut out = BTreeMap::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let content = if meta.is_file() {
            std::fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        out.insert(
            path,
            (
                meta.mode(),
                if meta.is_dir() { 0 } else { meta.len() },
                content,
            ),
        );
    }
    out
}
