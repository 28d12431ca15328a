#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! One suite for every implementation of the port. `reopen` loses what is not durable, as far as the
//! implementation can be made to; `restart` loses the process only.

use super::engine::{Batch, Engine, Table};

pub(super) fn suite<E: Engine>(
    open: impl Fn() -> E,
    reopen: impl Fn(E) -> E,
    restart: impl Fn(E) -> E,
) {
    let engine = reading_and_scanning(open());
    let engine = batches_are_durable(reopen(engine));
    let engine = objects_are_durable_after_flush(reopen(engine), &reopen);
    let engine = big_objects_survive(engine, &reopen);
    let engine = notes_come_before_what_follows_them(engine, &reopen, &restart);
    space_comes_back(engine);
}

fn reading_and_scanning<E: Engine>(engine: E) -> E {
    assert_eq!(engine.get(Table::State, b"a"), Ok(None));
    assert_eq!(engine.scan(Table::State, b"", None, 9), Ok(vec![]));
    let mut batch = Batch::default();
    for key in [b"a1", b"a2", b"a3", b"b1"] {
        batch.put(Table::State, *key, *key);
    }
    batch.put(Table::Meta, *b"a9", *b"other table");
    engine.write(batch).unwrap();
    let keys = |prefix: &[u8], after: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
        let rows = engine.scan(Table::State, prefix, after, limit).unwrap();
        rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(b"a", None, 9), [b"a1", b"a2", b"a3"]);
    assert_eq!(keys(b"a", None, 2), [b"a1", b"a2"]);
    assert_eq!(keys(b"a", Some(b"a1"), 9), [b"a2", b"a3"]);
    assert_eq!(keys(b"a", Some(b"a0"), 1), [b"a1"]);
    assert_eq!(keys(b"a", Some(b"a3"), 9), Vec::<Vec<u8>>::new());
    assert_eq!(keys(b"b", Some(b"a3"), 9), [b"b1"]);
    assert_eq!(keys(b"c", None, 9), Vec::<Vec<u8>>::new());
    let mut batch = Batch::default();
    batch.delete(Table::State, *b"a2");
    batch.put(Table::State, *b"a1", *b"new");
    engine.write(batch).unwrap();
    assert_eq!(engine.get(Table::State, b"a1"), Ok(Some(b"new".to_vec())));
    assert_eq!(engine.get(Table::State, b"a2"), Ok(None));
    engine
}

fn batches_are_durable<E: Engine>(engine: E) -> E {
    assert_eq!(engine.get(Table::State, b"a1"), Ok(Some(b"new".to_vec())));
    assert_eq!(engine.get(Table::State, b"a2"), Ok(None));
    assert_eq!(
        engine.get(Table::Meta, b"a9"),
        Ok(Some(b"other table".to_vec()))
    );
    assert!(engine.free_space().unwrap() > 0);
    engine
}

fn objects_are_durable_after_flush<E: Engine>(engine: E, reopen: &impl Fn(E) -> E) -> E {
    engine.put_object(b"flushed", b"1").unwrap();
    engine.put_object(b"gone", b"2").unwrap();
    engine.flush_objects().unwrap();
    engine.flush_objects().unwrap();
    engine.delete_object(b"gone").unwrap();
    assert_eq!(engine.get_object(b"gone"), Ok(None));
    engine.flush_objects().unwrap();
    engine.put_object(b"later", b"3").unwrap();
    assert_eq!(engine.get_object(b"later"), Ok(Some(b"3".to_vec())));
    let engine = reopen(engine);
    assert_eq!(engine.get_object(b"flushed"), Ok(Some(b"1".to_vec())));
    assert_eq!(engine.get_object(b"gone"), Ok(None));
    engine
}

fn big_objects_survive<E: Engine>(engine: E, reopen: &impl Fn(E) -> E) -> E {
    let object = |n: u8| vec![n; 3 << 20];
    for n in 0..20 {
        engine.put_object(&[n; 64], &object(n)).unwrap();
    }
    engine.flush_objects().unwrap();
    let engine = reopen(engine);
    for n in 0..20 {
        assert_eq!(engine.get_object(&[n; 64]), Ok(Some(object(n))));
    }
    assert_eq!(engine.get_object(&[99; 64]), Ok(None));
    engine
}

fn note(engine: &impl Engine, key: &[u8], value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(Table::State, key, value);
    engine.note(batch).unwrap();
}

fn notes_come_before_what_follows_them<E: Engine>(
    engine: E,
    reopen: &impl Fn(E) -> E,
    restart: &impl Fn(E) -> E,
) -> E {
    let get = |engine: &E, key: &[u8]| engine.get(Table::State, key).unwrap();
    note(&engine, b"n1", b"1");
    assert_eq!(get(&engine, b"n1"), Some(b"1".to_vec()));
    let seen = engine.scan(Table::State, b"n", None, 9).unwrap();
    assert_eq!(seen, [(b"n1".to_vec(), b"1".to_vec())]);
    let engine = restart(engine);
    assert_eq!(get(&engine, b"n1"), Some(b"1".to_vec()));
    // In order with what is written, and durable with it.
    note(&engine, b"n1", b"2");
    note(&engine, b"n2", b"2");
    let mut batch = Batch::default();
    batch.put(Table::State, *b"n1", *b"3");
    engine.write(batch).unwrap();
    let engine = reopen(engine);
    assert_eq!(get(&engine, b"n1"), Some(b"3".to_vec()));
    assert_eq!(get(&engine, b"n2"), Some(b"2".to_vec()));
    // Durable before the objects that follow it, whenever those become so.
    note(&engine, b"n3", b"3");
    engine.put_object(b"after n3", b"3").unwrap();
    engine.flush_objects().unwrap();
    let engine = reopen(engine);
    assert_eq!(get(&engine, b"n3"), Some(b"3".to_vec()));
    for n in 0..20u8 {
        note(&engine, &[b'N', n], b"");
        engine.put_object(&[n; 64], &vec![n; 3 << 20]).unwrap();
        engine.put_object(&[b'N', n], &[n]).unwrap();
    }
    let engine = reopen(engine);
    for n in 0..20u8 {
        let object = engine.get_object(&[b'N', n]).unwrap();
        assert!(
            object.is_none() || get(&engine, &[b'N', n]).is_some(),
            "bytes whose note is lost"
        );
    }
    engine
}

fn space_comes_back<E: Engine>(engine: E) {
    let before = engine.disk_size().unwrap();
    for n in 100..120u8 {
        engine.put_object(&[n; 64], &vec![n; 3 << 20]).unwrap();
    }
    engine.flush_objects().unwrap();
    let full = engine.disk_size().unwrap();
    assert!(full > before + (50 << 20), "{before} {full}");
    for n in 100..120u8 {
        engine.delete_object(&[n; 64]).unwrap();
    }
    engine.flush_objects().unwrap();
    engine.reclaim().unwrap();
    let after = engine.disk_size().unwrap();
    assert!(after < before + (10 << 20), "{before} {full} {after}");
}
