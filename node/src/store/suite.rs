#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! The suites of the two ports: whatever implements them passes both, faults included.

use super::disk::{Batch, Disk, DiskError, Keys, Objects, Table, Tables};

/// An implementation, and what can happen to it.
pub trait Stage {
    /// An empty disk.
    fn open(&self) -> Disk;

    /// The disk as it is found after the process was killed: nothing that was only in its memory is
    /// left, everything the system had is.
    fn kill(&self, disk: Disk) -> Disk;

    /// The disk as it is found after the power was lost, as far as the implementation can be made to.
    fn lose_power(&self, disk: Disk) -> Disk;

    /// Whether noted rows that nothing durable followed are lost with the power: what cannot be made to
    /// happen to a real disk in a test.
    fn forgets_notes(&self) -> bool {
        false
    }

    /// From now on no space is left, or there is again. Whether it can be made so.
    fn fill(&self, _full: bool) -> bool {
        false
    }

    /// The call behind `calls` more fails, once. Whether it can be made to.
    fn fail_call(&self, _calls: u64) -> bool {
        false
    }

    /// The power goes at the write behind `writes` more; what it wrote may be there afterwards. Whether
    /// it can be made to.
    fn tear_after(&self, _writes: u64) -> bool {
        false
    }
}

const BIG: usize = 3 << 20;

fn row(key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::default();
    batch.put(Table::State, key, value);
    batch
}

fn get(disk: &Disk, key: &[u8]) -> Option<Vec<u8>> {
    disk.tables.get(Table::State, key).unwrap()
}

/// The suite of [`Tables`].
pub fn tables(stage: &impl Stage) {
    let disk = stage.open();
    reads_and_scans(&*disk.tables);
    let disk = what_is_written_is_durable(stage, disk);
    let disk = notes_survive_the_process(stage, disk);
    let disk = a_batch_is_whole_or_not_there(stage, disk);
    failed_calls_change_nothing(stage, &disk);
}

fn reads_and_scans(tables: &dyn Tables) {
    assert_eq!(tables.get(Table::State, b"a"), Ok(None));
    assert_eq!(tables.scan(Table::State, b"", None, 9), Ok(vec![]));
    let mut batch = Batch::default();
    for key in [b"a1", b"a2", b"a3", b"b1"] {
        batch.put(Table::State, *key, *key);
    }
    batch.put(Table::Meta, *b"a9", *b"other table");
    tables.write(batch).unwrap();
    let keys = |prefix: &[u8], after: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
        let rows = tables.scan(Table::State, prefix, after, limit).unwrap();
        rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(b"a", None, 9), [b"a1", b"a2", b"a3"]);
    assert_eq!(keys(b"a", None, 2), [b"a1", b"a2"]);
    assert_eq!(keys(b"a", None, 0), Vec::<Vec<u8>>::new());
    assert_eq!(keys(b"a", Some(b"a1"), 9), [b"a2", b"a3"]);
    assert_eq!(keys(b"a", Some(b"a0"), 1), [b"a1"]);
    assert_eq!(keys(b"a", Some(b"a3"), 9), Vec::<Vec<u8>>::new());
    assert_eq!(keys(b"b", Some(b"a3"), 9), [b"b1"]);
    assert_eq!(keys(b"c", None, 9), Vec::<Vec<u8>>::new());
    // In the order in which they were put together: the last word counts.
    let mut batch = Batch::default();
    batch.delete(Table::State, *b"a2");
    batch.put(Table::State, *b"a1", *b"old");
    batch.put(Table::State, *b"a1", *b"new");
    tables.write(batch).unwrap();
    assert_eq!(tables.get(Table::State, b"a1"), Ok(Some(b"new".to_vec())));
    assert_eq!(tables.get(Table::State, b"a2"), Ok(None));
    assert!(!tables.damage().is_some());
    tables.mended().unwrap();
    tables.write(Batch::default()).unwrap();
}

fn what_is_written_is_durable(stage: &impl Stage, disk: Disk) -> Disk {
    let disk = stage.lose_power(disk);
    assert_eq!(get(&disk, b"a1"), Some(b"new".to_vec()));
    assert_eq!(get(&disk, b"a2"), None);
    let other = disk.tables.get(Table::Meta, b"a9").unwrap();
    assert_eq!(other, Some(b"other table".to_vec()));
    assert!(disk.tables.used().unwrap() > 0);
    assert!(!disk.tables.damage().is_some());
    disk
}

/// In order with what is written, durable with it, and not lost with the process.
fn notes_survive_the_process(stage: &impl Stage, disk: Disk) -> Disk {
    disk.tables.note(row(b"n1", b"1")).unwrap();
    assert_eq!(get(&disk, b"n1"), Some(b"1".to_vec()));
    let seen = disk.tables.scan(Table::State, b"n", None, 9).unwrap();
    assert_eq!(seen, [(b"n1".to_vec(), b"1".to_vec())]);
    let disk = stage.kill(disk);
    assert_eq!(get(&disk, b"n1"), Some(b"1".to_vec()));
    disk.tables.note(row(b"n1", b"2")).unwrap();
    disk.tables.note(row(b"n2", b"2")).unwrap();
    disk.tables.write(row(b"n1", b"3")).unwrap();
    disk.tables.note(row(b"n4", b"4")).unwrap();
    let disk = stage.lose_power(disk);
    assert_eq!(get(&disk, b"n1"), Some(b"3".to_vec()));
    assert_eq!(get(&disk, b"n2"), Some(b"2".to_vec()));
    if stage.forgets_notes() {
        assert_eq!(get(&disk, b"n4"), None, "kinder than a disk");
    }
    disk
}

fn a_batch_is_whole_or_not_there(stage: &impl Stage, disk: Disk) -> Disk {
    let mut disk = disk;
    for n in 0..4u8 {
        if !stage.tear_after(n.into()) {
            return disk;
        }
        let two = |m: u8| {
            let mut batch = row(&[b'T', m, 1], &[n]);
            batch.put(Table::Meta, [b'T', m, 2], [n]);
            batch
        };
        let done: Vec<bool> = (0..4).map(|m| disk.tables.write(two(m)).is_ok()).collect();
        assert_eq!(done.iter().filter(|done| **done).count(), usize::from(n));
        disk = stage.lose_power(disk);
        for (m, done) in (0..4).zip(done) {
            let one = get(&disk, &[b'T', m, 1]);
            let other = disk.tables.get(Table::Meta, &[b'T', m, 2]).unwrap();
            assert_eq!(one, other, "half a batch");
            assert!(!done || one == Some(vec![n]), "written and lost");
        }
    }
    disk
}

fn failed_calls_change_nothing(stage: &impl Stage, disk: &Disk) {
    let tables = &*disk.tables;
    if stage.fill(true) {
        assert_eq!(tables.write(row(b"f", b"1")), Err(DiskError::Full));
        assert_eq!(tables.note(row(b"f", b"1")), Err(DiskError::Full));
        assert_eq!(get(disk, b"f"), None);
        stage.fill(false);
    }
    let calls: [&dyn Fn() -> bool; 5] = [
        &|| tables.get(Table::State, b"a1").is_err(),
        &|| tables.scan(Table::State, b"a", None, 9).is_err(),
        &|| tables.write(row(b"f", b"2")).is_err(),
        &|| tables.note(row(b"f", b"2")).is_err(),
        &|| tables.used().is_err(),
    ];
    for call in calls {
        if !stage.fail_call(0) {
            return;
        }
        assert!(call(), "it was to fail");
        assert_eq!(get(disk, b"f"), None, "failed and done");
    }
    stage.fail_call(1);
    assert!(tables.get(Table::State, b"a1").is_ok());
    assert!(matches!(
        tables.get(Table::State, b"a1"),
        Err(DiskError::Io(_))
    ));
    assert!(tables.get(Table::State, b"a1").is_ok(), "only once");
}

/// The suite of [`Objects`].
pub fn objects(stage: &impl Stage) {
    let disk = stage.open();
    let disk = flushed_is_durable(stage, disk);
    let disk = big_objects_survive(stage, disk);
    let disk = notes_come_before_what_follows_them(stage, disk);
    let disk = an_object_that_was_cut_off_is_none(stage, disk);
    failed_calls_put_nothing(stage, &disk);
    space_comes_back(&*disk.objects);
    unsure_keys_end_with_an_orderly_end(stage, disk);
}

fn flushed_is_durable(stage: &impl Stage, disk: Disk) -> Disk {
    let objects = &*disk.objects;
    assert!(objects.free().unwrap() > 0);
    objects.put(b"flushed", b"1").unwrap();
    objects.put(b"gone", b"2").unwrap();
    objects.flush().unwrap();
    objects.flush().unwrap();
    objects.delete(b"gone").unwrap();
    assert_eq!(objects.get(b"gone"), Ok(None));
    objects.delete(b"never there").unwrap();
    objects.flush().unwrap();
    objects.put(b"later", b"3").unwrap();
    assert_eq!(objects.get(b"later"), Ok(Some(b"3".to_vec())));
    objects.put(b"later", b"4").unwrap();
    assert_eq!(objects.get(b"later"), Ok(Some(b"4".to_vec())));
    let disk = stage.lose_power(disk);
    let objects = &*disk.objects;
    assert_eq!(objects.get(b"flushed"), Ok(Some(b"1".to_vec())));
    assert_eq!(objects.get(b"gone"), Ok(None));
    let keys = [b"gone".to_vec(), b"flushed".to_vec(), b"nowhere".to_vec()];
    let found = [Ok(None), Ok(Some(b"1".to_vec())), Ok(None)];
    assert_eq!(objects.get_many(&keys), found);
    assert_eq!(objects.get_many(&[]), []);
    disk
}

fn big_objects_survive(stage: &impl Stage, disk: Disk) -> Disk {
    let object = |n: u8| vec![n; BIG];
    for n in 0..20 {
        disk.objects.put(&[n; 64], &object(n)).unwrap();
    }
    disk.objects.flush().unwrap();
    let disk = stage.lose_power(disk);
    for n in 0..20 {
        assert_eq!(disk.objects.get(&[n; 64]), Ok(Some(object(n))));
    }
    assert_eq!(disk.objects.get(&[99; 64]), Ok(None));
    let mut seen = std::collections::BTreeSet::new();
    let mut visit = |key: &[u8]| {
        seen.insert(key.to_vec());
        Ok(())
    };
    disk.objects.each_key(Keys::All, &mut visit).unwrap();
    assert!((0..20).all(|n| seen.contains([n; 64].as_slice())));
    let stop = |_: &[u8]| Err(DiskError::Full);
    let stopped = disk.objects.each_key(Keys::All, &mut { stop });
    assert_eq!(stopped, Err(DiskError::Full));
    disk
}

/// Durable before the objects that follow them, whenever those become so.
fn notes_come_before_what_follows_them(stage: &impl Stage, disk: Disk) -> Disk {
    disk.tables.note(row(b"n3", b"3")).unwrap();
    disk.objects.put(b"after n3", b"3").unwrap();
    disk.objects.flush().unwrap();
    let disk = stage.lose_power(disk);
    assert_eq!(get(&disk, b"n3"), Some(b"3".to_vec()));
    for n in 0..20u8 {
        disk.tables.note(row(&[b'N', n], b"")).unwrap();
        disk.objects.put(&[n; 64], &vec![n; BIG]).unwrap();
        disk.objects.put(&[b'N', n], &[n]).unwrap();
    }
    let disk = stage.lose_power(disk);
    for n in 0..20u8 {
        let object = disk.objects.get(&[b'N', n]).unwrap();
        let noted = get(&disk, &[b'N', n]).is_some();
        assert!(object.is_none() || noted, "bytes whose note is lost");
    }
    disk
}

/// What was whole before stays whole.
fn an_object_that_was_cut_off_is_none(stage: &impl Stage, disk: Disk) -> Disk {
    disk.objects.put(b"whole", b"whole object").unwrap();
    disk.objects.flush().unwrap();
    if !stage.tear_after(0) {
        return disk;
    }
    assert!(disk.objects.put(b"whole", b"whole object").is_err());
    let disk = stage.lose_power(disk);
    let whole = Ok(Some(b"whole object".to_vec()));
    assert_eq!(disk.objects.get(b"whole"), whole);
    stage.tear_after(0);
    assert!(disk.objects.put(b"cut", b"cut object").is_err());
    let disk = stage.lose_power(disk);
    let cut = disk.objects.get(b"cut").unwrap();
    assert_ne!(cut, Some(b"cut object".to_vec()), "failed and done");
    disk
}

fn failed_calls_put_nothing(stage: &impl Stage, disk: &Disk) {
    let objects = &*disk.objects;
    if stage.fill(true) {
        assert_eq!(objects.put(b"f", b"1"), Err(DiskError::Full));
        assert_eq!(objects.flush(), Err(DiskError::Full));
        assert_eq!(objects.get(b"f"), Ok(None));
        let there = objects.get(b"flushed");
        assert_eq!(there, Ok(Some(b"1".to_vec())), "reads go on");
        stage.fill(false);
        objects.flush().unwrap();
    }
    let calls: [&dyn Fn() -> bool; 8] = [
        &|| objects.put(b"f", b"2").is_err(),
        &|| objects.flush().is_err(),
        &|| objects.get(b"flushed").is_err(),
        &|| objects.find(b"flushed").is_err(),
        &|| objects.delete(b"flushed").is_err(),
        &|| objects.reclaim().is_err(),
        &|| objects.used().is_err(),
        &|| objects.free().is_err(),
    ];
    for call in calls {
        if !stage.fail_call(0) {
            return;
        }
        assert!(call(), "it was to fail");
        assert_eq!(objects.get(b"f"), Ok(None), "failed and done");
        assert_eq!(objects.get(b"flushed"), Ok(Some(b"1".to_vec())));
    }
    // One that fails is not in the way of the others.
    stage.fail_call(1);
    let found = objects.get_many(&[b"flushed".to_vec(), b"x".to_vec(), b"flushed".to_vec()]);
    assert!(found[0].is_ok() && found[1].is_err() && found[2].is_ok());
}

fn space_comes_back(objects: &dyn Objects) {
    objects.flush().unwrap();
    let before = objects.used().unwrap();
    for n in 100..120u8 {
        objects.put(&[n; 64], &vec![n; BIG]).unwrap();
    }
    objects.flush().unwrap();
    let full = objects.used().unwrap();
    assert!(full > before + (50 << 20), "{before} {full}");
    for n in 100..120u8 {
        objects.delete(&[n; 64]).unwrap();
    }
    objects.flush().unwrap();
    objects.reclaim().unwrap();
    let after = objects.used().unwrap();
    assert!(after < before + (10 << 20), "{before} {full} {after}");
}

/// What may be here without its note is told after the power was lost, until it is mended.
fn unsure_keys_end_with_an_orderly_end(stage: &impl Stage, disk: Disk) {
    let unsure = |disk: &Disk| {
        let mut seen = Vec::new();
        let mut visit = |key: &[u8]| {
            seen.push(key.to_vec());
            Ok(())
        };
        disk.objects.each_key(Keys::Unsure, &mut visit).unwrap();
        seen
    };
    disk.mended().unwrap();
    assert!(!disk.damage().is_some());
    assert!(unsure(&disk).is_empty(), "while nothing happened");
    let put = |disk: &Disk, n: u8| {
        let key = [n; 64];
        disk.objects.put(&key, &[n]).unwrap();
        disk.objects.flush().unwrap();
        key.to_vec()
    };
    let killed = put(&disk, 200);
    let disk = stage.kill(disk);
    assert!(!disk.objects.damage().strays, "nothing noted was lost");
    assert!(unsure(&disk).is_empty());
    let cut = put(&disk, 201);
    let disk = stage.lose_power(disk);
    assert!(disk.objects.damage().strays);
    let keys = unsure(&disk);
    assert!(keys.contains(&cut), "put since it was opened whole");
    assert!(keys.contains(&killed), "and before the process was killed");
    let disk = stage.lose_power(disk);
    assert!(unsure(&disk).contains(&cut), "until it is mended");
    disk.mended().unwrap();
    assert!(!disk.damage().is_some() && unsure(&disk).is_empty());
}
