//! What a commit costs the node: a snapshot of 80,000 files of which ten changed, each in another
//! segment of a thousand. Twice: small files, twenty to an object, and files that have an object each.
//!
//! `cargo run --release -p packnback-node --example commit_cost`

use anyhow::{Context as _, ensure};
use packnback_node::store::{CommitOutcome, DiskReserve, Intake, Store, rocks};
use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::frame::FRAME_MIN;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::ids::{ObjectId, SetId};
use packnback_proto::record::{Cert, SEALED_LABEL_LEN, Signed, perms};

const SEGMENTS: u32 = 80;
const CHANGED: u32 = 10;
const NOW: u64 = 1_790_000_000;

fn object(kind: Kind, height: u8, mut refs: Vec<ObjectId>, noise: u32) -> anyhow::Result<Vec<u8>> {
    refs.sort();
    let header = Header {
        kind,
        height,
        epoch: 0,
        epk: (kind != Kind::Chunk).then_some([7; 32]),
        refs,
    };
    let mut bytes = Vec::new();
    header
        .write(&mut bytes)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    bytes.extend(noise.to_le_bytes());
    bytes.resize(bytes.len().saturating_add(FRAME_MIN + OVERHEAD - 4), 0);
    Ok(bytes)
}

struct Here {
    store: Store,
    intake: Intake,
}

impl Here {
    fn put(&self, bytes: &[u8]) -> anyhow::Result<ObjectId> {
        let id = object_id(bytes);
        self.store.put(&self.intake, &id, bytes, NOW)?;
        Ok(id)
    }

    fn segment(&self, leaves: std::ops::Range<u32>, changed: u32) -> anyhow::Result<ObjectId> {
        let mut refs = Vec::new();
        for leaf in leaves.skip(usize::try_from(changed.min(1))?).chain(
            // One of them is another one now.
            (changed > 0).then_some(changed),
        ) {
            refs.push(self.put(&object(Kind::Chunk, 0, Vec::new(), leaf)?)?);
        }
        self.put(&object(Kind::Segment, 2, refs, changed)?)
    }

    fn snapshot(&self, segments: &[ObjectId], noise: u32) -> anyhow::Result<ObjectId> {
        let root = self.put(&object(Kind::Root, 8, segments.to_vec(), noise)?)?;
        self.store.sync(&self.intake, NOW)?;
        Ok(root)
    }

    fn commit(&self, root: ObjectId) -> anyhow::Result<u64> {
        let before = cpu_ns()?;
        let done = self.store.commit_own(root, SetId([1; 16]), NOW, NOW)?;
        let took = cpu_ns()?.saturating_sub(before);
        ensure!(
            matches!(done, CommitOutcome::Accepted(_)),
            "not accepted: {done:?}"
        );
        Ok(took)
    }
}

/// Processor time of this thread.
fn cpu_ns() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().context("no time in schedstat")?;
    Ok(first.parse()?)
}

fn measure(objects: u32) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let key = SigningKey::from_seed(&Secret32::new([3; 32]));
    let owner = SigningKey::from_seed(&Secret32::new([4; 32]));
    let cert = Cert {
        owner: owner.owner_id(),
        device: key.node_id(),
        serial: 1,
        perms: perms::ALL,
        not_before: NOW,
        expires: NOW + 1000,
        quota_bytes: u64::MAX / 4,
        new_bytes_per_day: u64::MAX / 4,
        snaps_per_day: 48,
        group: 0,
        epoch: 0,
        sealed_label: vec![0; SEALED_LABEL_LEN],
        recovery: SigningKey::from_seed(&Secret32::new([5; 32])).node_id(),
    };
    let store = Store::new(rocks::open(dir.path())?, key, DiskReserve(0));
    store.check_version()?;
    store.adopt(&Signed::sign(&cert, &owner)?)?;
    let intake = store.intake(store.own_access(&owner.owner_id()))?;
    let here = Here { store, intake };
    let mut segments = Vec::new();
    for n in 0..SEGMENTS {
        segments.push(here.segment(n * objects..(n + 1) * objects, 0)?);
    }
    let first = here.commit(here.snapshot(&segments, 1)?)?;
    let mut best = u64::MAX;
    for round in 0..5 {
        for n in 0..CHANGED {
            let changed = 1_000_000 + round * CHANGED + n;
            let at = usize::try_from(n)?;
            let segment = here.segment(n * objects..(n + 1) * objects, changed)?;
            *segments.get_mut(at).context("too few segments")? = segment;
        }
        best = best.min(here.commit(here.snapshot(&segments, 2 + round)?)?);
    }
    println!(
        "{objects:>4} objects in each of {SEGMENTS} segments: first commit {:.1} ms, with {CHANGED} changed {:.1} ms",
        milliseconds(first),
        milliseconds(best)
    );
    Ok(())
}

fn milliseconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64() * 1000.0
}

fn main() -> anyhow::Result<()> {
    measure(50)?;
    measure(1000)
}
