//! The store.

pub mod engine;
pub mod memory;
pub mod rocks;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod conformance;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
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
}
