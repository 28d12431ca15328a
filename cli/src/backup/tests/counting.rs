//! What the display is told while files are worked on.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;

use super::end_to_end::noise;
use super::stub::World;
use crate::cache::Cache;
use crate::progress::{Counters, Progress};
use crate::restore;

/// Looks how far it is whenever something is counted.
#[derive(Default)]
struct Watched {
    counters: Counters,
    seen: Mutex<BTreeSet<u64>>,
}

impl Progress for Watched {
    fn counters(&self) -> &Counters {
        let done = Counters::get(&self.counters.bytes_done);
        self.seen.lock().insert(done);
        &self.counters
    }
}

impl Watched {
    /// It moved within files, and the sum is right.
    #[track_caller]
    fn counted(&self, files: usize) {
        let counters = self.counters();
        let seen = self.seen.lock();
        assert!(seen.len() > files + 2, "only whole files: {seen:?}");
        let done = Counters::get(&counters.bytes_done);
        assert_eq!(done, Counters::get(&counters.bytes_found));
    }
}

#[test]
fn bytes_of_a_large_file_are_counted_while_it_is_read_and_written() {
    let world = World::new();
    world.write("large", &noise(40 << 20, 1));
    world.write("small", b"small");
    world.write("sparse", b"");
    let sparse = std::fs::File::options()
        .write(true)
        .open(world.source().join("sparse"))
        .unwrap();
    sparse.set_len(5 << 20).unwrap();
    sparse.write_all_at(b"data", 2 << 20).unwrap();
    drop(sparse);
    let watched = Watched::default();
    let cache = Cache::open_kept(&world.cache_dir(), &world.places());
    let report =
        crate::backup::run(world.options(), &world.keys, &world.node, &cache, &watched).unwrap();
    watched.counted(3);
    let watched = Watched::default();
    let options = world.restore_options(report.snapshot.unwrap());
    let restored = restore::run(&options, &world.reader, &world.node, &watched).unwrap();
    assert_eq!(restored.damage, Vec::new());
    watched.counted(3);
}
