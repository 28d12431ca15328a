//! Random trees, changed between runs, always come back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::end_to_end::noise;
use super::stub::{World, assert_same};

/// Name -> length and seed of the content.
type Shape = BTreeMap<String, (usize, u64)>;

fn shape() -> impl Strategy<Value = Shape> {
    let name = proptest::collection::vec("[a-c]{1,2}", 1..4).prop_map(|parts| parts.join("/d"));
    let len = prop_oneof![
        4 => 0..2000usize,
        2 => 60_000..70_000usize,
        1 => 200_000..600_000usize,
        1 => Just(9usize << 20),
    ];
    proptest::collection::btree_map(name, (len, 0..6u64), 0..12)
}

fn apply(world: &World, shape: &Shape) {
    std::fs::remove_dir_all(world.source()).unwrap();
    std::fs::create_dir(world.source()).unwrap();
    for (name, (len, seed)) in shape {
        world.write(&format!("{name}.f"), &noise(*len, *seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn trees_come_back(before in shape(), after in shape()) {
        let world = World::new();
        for shape in [&before, &after] {
            apply(&world, shape);
            let report = world.backup();
            let (restored, target) = world.restore(report.snapshot.unwrap());
            prop_assert_eq!(restored.damage, Vec::new());
            assert_same(&world.source(), &target);
        }
    }
}
