//! What a device backs up: trees of objects without content, each run sharing most of the one before.

use std::collections::BTreeMap;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SetId, SnapshotId};
use packnback_proto::record::Snap;

use crate::rng::Rng;

/// An object: its header and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Height in the tree.
    pub height: u8,
    /// What it names.
    pub refs: Vec<ObjectId>,
    /// Stored bytes.
    pub size: u64,
}

/// One backup.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Its id.
    pub id: SnapshotId,
    /// The record.
    pub snap: Snap,
    /// Everything reachable, leaves first: the order of upload.
    pub objects: Vec<ObjectId>,
}

/// A device with a folder that changes.
#[derive(Debug)]
pub struct Device {
    /// The owner.
    pub owner: OwnerId,
    /// Its key.
    pub node: NodeId,
    /// Every object it ever made.
    pub catalog: BTreeMap<ObjectId, Object>,
    segments: Vec<(ObjectId, Vec<ObjectId>)>,
    last: Option<SnapshotId>,
    seq: u64,
}

const HEIGHT_SEGMENT: u8 = 2;
const HEIGHT_ROOT: u8 = 8;

impl Device {
    /// A device with `segments` segments.
    #[must_use]
    pub fn new(rng: &mut Rng, segments: u64) -> Self {
        let mut device = Self {
            owner: OwnerId(rng.bytes32()),
            node: NodeId(rng.bytes32()),
            catalog: BTreeMap::new(),
            segments: Vec::new(),
            last: None,
            seq: 0,
        };
        for _ in 0..segments {
            let segment = device.segment(rng);
            device.segments.push(segment);
        }
        device
    }

    fn add(&mut self, rng: &mut Rng, height: u8, refs: Vec<ObjectId>, size: u64) -> ObjectId {
        let id = ObjectId(rng.bytes32());
        self.catalog.insert(id, Object { height, refs, size });
        id
    }

    fn segment(&mut self, rng: &mut Rng) -> (ObjectId, Vec<ObjectId>) {
        let leaves: Vec<ObjectId> = (0..=rng.below(6))
            .map(|_| {
                let size = 1 + rng.below(2 << 20);
                self.add(rng, 0, Vec::new(), size)
            })
            .collect();
        let id = self.add(rng, HEIGHT_SEGMENT, leaves.clone(), 60_000);
        (id, leaves)
    }

    /// Changes some of the folder and backs it up.
    pub fn backup(&mut self, rng: &mut Rng, now: u64) -> Backup {
        let count = u64::try_from(self.segments.len()).unwrap_or(0);
        let changed = rng.below(count);
        let fresh = self.segment(rng);
        if let Some(slot) = usize::try_from(changed)
            .ok()
            .and_then(|at| self.segments.get_mut(at))
        {
            *slot = fresh;
        }
        let refs: Vec<ObjectId> = self.segments.iter().map(|(id, _)| *id).collect();
        let root = self.add(rng, HEIGHT_ROOT, refs.clone(), 4_000);
        let mut objects: Vec<ObjectId> = self
            .segments
            .iter()
            .flat_map(|(_, leaves)| leaves.iter().copied())
            .collect();
        objects.extend(refs);
        objects.push(root);
        self.seq += 1;
        let snap = Snap {
            owner: self.owner,
            device: self.node,
            seq: self.seq,
            prev: self.last,
            root,
            time: now,
            cert_serial: 1,
            set: SetId([1; 16]),
        };
        let id = SnapshotId::from(rng.bytes32());
        self.last = Some(id);
        Backup { id, snap, objects }
    }
}
