//! kill -9 at any moment: what was acknowledged restores, and nothing else is claimed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Machine, ran};
use crate::trees;

/// Rounds in a test run; `PACKNBACK_KILL_ROUNDS` asks for more.
const ROUNDS: u64 = 6;

/// A small generator: the same moments for the same seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

fn change(tree: &Path, random: &mut Seeded) {
    for _ in 0..20 {
        let number = random.below(300);
        let len = random.below(20_000) as usize;
        fs::write(
            tree.join(format!("d{}/f{number}", number % 7)),
            trees::noise(random.0, len),
        )
        .unwrap();
    }
    fs::write(tree.join("d0/f49"), trees::noise(random.0, 3_000_000)).unwrap();
}

fn manifest(tree: &Path) -> BTreeMap<String, String> {
    let hashes = crate::support::state_of(tree).into_iter();
    hashes
        .map(|(path, hash)| {
            (
                path.strip_prefix(tree)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned(),
                hash,
            )
        })
        .collect()
}

#[test]
fn acknowledged_snapshots_survive_kill_at_any_moment() {
    let (rounds, seed) = (
        setting("PACKNBACK_KILL_ROUNDS", ROUNDS),
        setting("PACKNBACK_KILL_SEED", 1),
    );
    eprintln!("{rounds} rounds, seed {seed}");
    let mut random = Seeded(seed);
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 300);
    let mut acknowledged = BTreeMap::new();
    let started = Instant::now();
    let first = machine.backup(&tree);
    acknowledged.insert(
        first["snapshot"].as_str().unwrap().to_owned(),
        manifest(&tree),
    );
    let usual = started.elapsed();
    for round in 0..rounds {
        change(&tree, &mut random);
        let wanted = manifest(&tree);
        let node = Pid::from_raw(machine.node_pid()).unwrap();
        let child = machine
            .command(["--json".as_ref(), "backup".as_ref(), tree.as_os_str()])
            .spawn()
            .unwrap();
        let victim = if random.below(2) == 0 {
            node
        } else {
            Pid::from_child(&child)
        };
        let delay = Duration::from_micros(random.below(usual.as_micros() as u64 * 12 / 10));
        // The moment is what is tested: it is random, and nothing depends on hitting a certain one.
        std::thread::sleep(delay);
        // A victim that is gone already was faster.
        let _gone = kill_process(victim, Signal::KILL);
        let ran = ran(child);
        if ran.code == 0 {
            let id = ran.json()["snapshot"].as_str().unwrap().to_owned();
            acknowledged.insert(id, wanted);
        }
        let listed = machine.ok(["snapshots"]);
        let ids: Vec<&str> = listed["snapshots"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["id"].as_str().unwrap())
            .collect();
        for id in acknowledged.keys() {
            assert!(
                ids.contains(&id.as_str()),
                "round {round}: {id} was acknowledged and is gone"
            );
        }
    }
    let listed = machine.ok(["snapshots"]);
    let key = machine.key();
    for (number, snapshot) in listed["snapshots"].as_array().unwrap().iter().enumerate() {
        let id = snapshot["id"].as_str().unwrap();
        let target = machine.path(&format!("t{number}"));
        machine.ok([
            "restore",
            id,
            "--target",
            target.to_str().unwrap(),
            "--owner-key",
            key.to_str().unwrap(),
        ]);
        let found = manifest(&crate::support::restored(&target, &tree));
        if let Some(wanted) = acknowledged.get(id) {
            assert!(found == *wanted, "snapshot {id} restored something else");
        }
        fs::remove_dir_all(&target).unwrap();
    }
}
