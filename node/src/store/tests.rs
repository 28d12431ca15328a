#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::conformance::suite;
use super::memory::MemoryEngine;
use super::rocks::RocksEngine;

#[test]
fn memory_conforms() {
    suite(MemoryEngine::default, |engine| {
        engine.crash();
        engine
    });
}

#[test]
fn rocks_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let open = || RocksEngine::open(dir.path()).unwrap();
    suite(open, |engine| {
        drop(engine);
        open()
    });
}
