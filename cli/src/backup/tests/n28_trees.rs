//! Negative test 28 of docs/threat-model.md: the order of paths over all segments, and totals of the root
//! against what is written.

use packnback_proto::format::entry::{Entry, EntryType, FileData};
use packnback_proto::format::header::Kind;
use packnback_proto::format::map::{self, Map, MapPart};
use packnback_proto::format::segment::Segment;
use packnback_proto::ids::ObjectId;

use super::end_to_end::noise;
use super::forged::{reroot, resegment, store};
use super::stub::World;
use crate::progress::Silent;
use crate::records::LoadedSnapshot;
use crate::restore::{self, RestoreError, RestoreOptions, RestoreReport};
use crate::snapshot::Snapshot;

fn three_files() -> (World, LoadedSnapshot) {
    let mut world = World::new();
    for name in ["a", "m", "z"] {
        world.write(name, name.as_bytes());
    }
    world.cut_nowhere();
    let snap = world.backup().snapshot.unwrap();
    let snapshot = world.snapshot(snap);
    (world, snapshot)
}

fn options(world: &World, snapshot: LoadedSnapshot) -> RestoreOptions {
    RestoreOptions {
        snapshot: snapshot.clone(),
        ..world.restore_options(snapshot.id)
    }
}

fn restored(world: &World, options: &RestoreOptions) -> Result<RestoreReport, RestoreError> {
    restore::run(options, &world.reader, &world.node, &Silent::default())
}

fn is_named(entry: &Entry, name: &str) -> bool {
    entry.path.ends_with(format!("/{name}").as_bytes())
}

/// Takes the entries of these names out into a segment of their own that comes second.
fn split(segment: Segment, second: &[&str], twice: &[&str]) -> Vec<Segment> {
    let mut parts = [Vec::new(), Vec::new()];
    for entry in segment.entries {
        if twice.iter().any(|name| is_named(&entry, name)) {
            parts[0].push(entry.clone());
            parts[1].push(entry);
        } else {
            let is_second = second.iter().any(|name| is_named(&entry, name));
            parts[usize::from(is_second)].push(entry);
        }
    }
    let sessions = segment.sessions;
    let segment = |entries| Segment {
        sessions: sessions.clone(),
        entries,
    };
    parts.map(segment).into()
}

#[test]
fn n28_paths_out_of_order_or_twice_are_refused_and_nothing_is_removed() {
    let (world, snapshot) = three_files();
    let good = resegment(&world, snapshot.clone(), |s, _| split(s, &["m", "z"], &[]));
    let report = restored(&world, &options(&world, good)).unwrap();
    assert_eq!(report.damage, []);
    // `z` before `m`; `m` in both.
    for (second, twice) in [(&["m"][..], &[][..]), (&["z"], &["m"])] {
        let forged = resegment(&world, snapshot.clone(), |s, _| split(s, second, twice));
        let mut options = options(&world, forged);
        let inside = World::inside(&options.target, &world.source());
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(inside.join("mine"), b"mine").unwrap();
        options.delete = true;
        let report = restored(&world, &options).unwrap();
        let texts: Vec<_> = report.damage.iter().map(|note| &note.reason).collect();
        assert!(
            texts.iter().any(|t| t.contains("out of order")),
            "{texts:?}"
        );
        assert_eq!(report.deleted, 0);
        assert_eq!(std::fs::read(inside.join("mine")).unwrap(), b"mine");
        let mut seen = Vec::new();
        let open = Snapshot::open(&world.node, &world.reader, &options.snapshot).unwrap();
        let listed = open.entries(&[]).each(|e| {
            seen.push(e.path.clone());
            true
        });
        assert!(listed.is_err(), "a list is refused as well");
        assert!(seen.is_sorted_by(|a, b| crate::fs::path_cmp(a, b).is_lt()));
    }
}

#[test]
fn n28_totals_that_contradict_each_other_are_refused_before_anything_is_made() {
    let (world, snapshot) = three_files();
    let forged = reroot(&world, snapshot, |root| root.stats.files += 1);
    let options = options(&world, forged);
    let error = restored(&world, &options).unwrap_err();
    assert!(matches!(error, RestoreError::Excess(_)), "{error}");
    let error = restore::survey(&options, &world.reader, &world.node).unwrap_err();
    assert!(matches!(error, RestoreError::Excess(_)), "{error}");
    assert!(!options.target.exists());
}

/// A few bytes of a pack under very many names: what the root does not own up to is not written.
#[test]
fn n28_a_tree_that_writes_more_than_its_root_says_is_stopped() {
    let mut world = World::new();
    world.write("f", &noise(60_000, 1));
    world.cut_nowhere();
    let snap = world.backup().snapshot.unwrap();
    let snapshot = world.snapshot(snap);
    let many = |segment: Segment| {
        let (files, mut entries): (Vec<_>, Vec<_>) = segment
            .entries
            .into_iter()
            .partition(|entry| entry.kind == EntryType::File);
        entries.extend((0..300).map(|n| Entry {
            path: format!("{}{n:06}", String::from_utf8_lossy(&files[0].path)).into(),
            ..files[0].clone()
        }));
        vec![Segment {
            sessions: segment.sessions,
            entries,
        }]
    };
    let forged = resegment(&world, snapshot, |segment, _| many(segment));
    let lying = options(&world, forged.clone());
    let error = restored(&world, &lying).unwrap_err();
    assert!(matches!(error, RestoreError::Excess(_)), "{error}");
    let inside = World::inside(&lying.target, &world.source());
    let written = std::fs::read_dir(inside).map_or(0, Iterator::count);
    assert_eq!(written, 0, "it was written before it was counted");
    // Said beforehand, it is what somebody has saved.
    let honest = reroot(&world, forged, |root| root.stats.bytes = 300 * 60_000);
    let report = restored(&world, &options(&world, honest)).unwrap();
    assert_eq!((report.files_written, report.damage), (300, Vec::new()));
}

#[test]
fn n28_too_little_room_is_told_before_anything_is_written() {
    let (world, snapshot) = three_files();
    let free = rustix::fs::statvfs(world.dir.path()).unwrap();
    let free = free.f_bfree * free.f_frsize;
    let chunk = MapPart::Chunk {
        ref_idx: 0,
        len: 4 << 20,
        key: [1; 32],
    };
    let parts = vec![chunk; 4096];
    let map_len: u64 = 4096 * (4 << 20);
    let raw = map::encode(&Map { dom: 0, parts }).unwrap();
    let id = store(
        &world,
        snapshot.snap.root,
        Kind::Map,
        1,
        vec![ObjectId([7; 32])],
        &raw,
    );
    let maps = free / map_len + 2;
    let forged = resegment(&world, snapshot, |mut segment, refs| {
        refs.push(id);
        refs.sort_unstable();
        let at = refs.iter().position(|other| *other == id).unwrap() as u32;
        let moved = |ref_idx: &mut u32| *ref_idx += u32::from(*ref_idx >= at);
        for entry in &mut segment.entries {
            if let Some(FileData::Pack { ref_idx, .. }) = &mut entry.data {
                moved(ref_idx);
            }
            if is_named(entry, "z") {
                entry.size = maps * map_len;
                entry.data = Some(FileData::Maps {
                    refs: vec![at; maps as usize],
                });
            }
        }
        vec![segment]
    });
    let forged = reroot(&world, forged, |root| root.stats.bytes = 2 + maps * map_len);
    let mut options = options(&world, forged);
    let error = restore::survey(&options, &world.reader, &world.node).unwrap_err();
    assert!(matches!(error, RestoreError::Space { .. }), "{error}");
    assert!(!options.target.exists());
    options.ignore_space = true;
    assert!(restore::survey(&options, &world.reader, &world.node).is_ok());
}
