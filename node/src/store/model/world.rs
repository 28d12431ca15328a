//! The store, the sessions on it, and the twin that says what must be there.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SetId, SnapshotId};
use packnback_proto::machine::budget::Limits;
use packnback_proto::policy::Moment;
use packnback_proto::record::{Op, Order, Signed, Snap};

use crate::service::testkit::{NOW, Object, cert, chunk, host_key, key, object, owner};
use crate::store::memory::MemoryDisk;
use crate::store::{Access, DiskReserve, Intake, Store};

/// SplitMix64: small, seeded, the same everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }
}

/// What the twin knows of a snapshot.
#[derive(Debug, Clone)]
pub(super) struct Twin {
    pub(super) root: ObjectId,
    pub(super) held: bool,
    /// Orders that want it gone, and from when.
    pub(super) marks: BTreeMap<[u8; 16], u64>,
}

/// A session and what it was told.
pub(super) struct Session {
    pub(super) device: usize,
    pub(super) intake: Intake,
    /// Answered with yes, or put while it was here, or synced: must stay as long as this.
    pub(super) relies: BTreeSet<ObjectId>,
    pub(super) put: BTreeSet<ObjectId>,
    pub(super) base: Option<SnapshotId>,
    pub(super) began: u64,
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) engine: MemoryDisk,
    pub(super) store: Store,
    pub(super) objects: Vec<Object>,
    pub(super) refs: BTreeMap<ObjectId, Vec<ObjectId>>,
    pub(super) roots: Vec<ObjectId>,
    pub(super) sessions: Vec<Session>,
    pub(super) snaps: BTreeMap<SnapshotId, Twin>,
    pub(super) ended: BTreeSet<SnapshotId>,
    pub(super) orders: Vec<([u8; 16], Vec<SnapshotId>)>,
    pub(super) now: u64,
    pub(super) faults: bool,
    pub(super) seq: u64,
    pub(super) oid: u8,
}

pub(super) fn devices() -> [SigningKey; 2] {
    [key(2), key(4)]
}

pub(super) fn owner_id() -> OwnerId {
    owner().owner_id()
}

pub(super) fn open(engine: &MemoryDisk) -> Store {
    let store = Store::new(engine.disk(), host_key(), DiskReserve(0)).with_grace(2);
    store.mend(NOW).unwrap();
    store
}

impl World {
    pub(super) fn new(seed: u64, faults: bool) -> Self {
        let engine = MemoryDisk::default();
        let store = open(&engine);
        store.check_version().unwrap();
        let mut world = Self {
            dice: Dice(seed),
            engine,
            store,
            objects: Vec::new(),
            refs: BTreeMap::new(),
            roots: Vec::new(),
            sessions: Vec::new(),
            snaps: BTreeMap::new(),
            ended: BTreeSet::new(),
            orders: Vec::new(),
            now: NOW,
            faults,
            seq: 0,
            oid: 0,
        };
        world.make_objects();
        for device in devices() {
            let cert = packnback_proto::record::Cert {
                device: device.node_id(),
                ..cert()
            };
            let cert = Signed::sign(&cert, &owner()).unwrap();
            // Makes the owner one that is served here.
            let id = owner_id();
            let lock = world.store.owner_lock(&id);
            let mut tx = lock.write();
            tx.record_cert(&cert).unwrap();
            tx.write_charged().unwrap();
            drop(tx);
            drop(lock);
        }
        world
    }

    /// Leaves, and three layers of nodes over random things below them.
    fn make_objects(&mut self) {
        for n in 0..8u8 {
            let leaf = chunk(n);
            self.refs.insert(leaf.id, Vec::new());
            self.objects.push(leaf);
        }
        for (layer, (kind, height)) in [(Kind::Map, 1), (Kind::Segment, 2), (Kind::Root, 8)]
            .into_iter()
            .enumerate()
        {
            for n in 0..4u8 {
                let below = self.objects.len();
                let picks: BTreeSet<usize> = (0..3).map(|_| self.dice.below(below)).collect();
                let lower: Vec<&Object> = picks
                    .iter()
                    .map(|pick| &self.objects[*pick])
                    .filter(|object| self.height(&object.id) < height)
                    .collect();
                let noise = 50 + u8::try_from(layer).unwrap() * 10 + n;
                let node = object(kind, height, &lower, noise);
                let refs = lower.iter().map(|object| object.id).collect();
                self.refs.insert(node.id, refs);
                if kind == Kind::Root {
                    self.roots.push(node.id);
                }
                self.objects.push(node);
            }
        }
    }

    fn height(&self, id: &ObjectId) -> u8 {
        let bytes = &self
            .objects
            .iter()
            .find(|object| object.id == *id)
            .unwrap()
            .bytes;
        bytes[6]
    }

    pub(super) fn access(&self, device: usize) -> Access {
        Access {
            owner: owner_id(),
            device: self.device(device),
            // The second device may not see what the first put.
            sees_all: device == 0,
            limits: Limits {
                // Enough for about half of what there is.
                bytes: if device == 0 { u64::MAX } else { 8000 },
                ..Limits::NONE
            },
            owner_max: u64::MAX,
        }
    }

    pub(super) fn device(&self, device: usize) -> NodeId {
        devices()[device].node_id()
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            wall: self.now,
            boot: self.now - NOW + 1_000_000,
            boot_id: [1; 16],
        }
    }

    /// Everything below these, themselves included.
    pub(super) fn closure(&self, roots: impl IntoIterator<Item = ObjectId>) -> BTreeSet<ObjectId> {
        let mut all = BTreeSet::new();
        let mut waiting: Vec<ObjectId> = roots.into_iter().collect();
        while let Some(id) = waiting.pop() {
            if all.insert(id) {
                waiting.extend(self.refs[&id].iter().copied());
            }
        }
        all
    }

    pub(super) fn snap(&mut self, device: usize, root: ObjectId) -> Signed<Snap> {
        self.seq += 1;
        let snap = Snap {
            owner: owner_id(),
            device: self.device(device),
            seq: self.seq,
            prev: None,
            root,
            time: self.now,
            cert_serial: 1,
            set: SetId([1; 16]),
        };
        Signed::sign(&snap, &devices()[device]).unwrap()
    }

    pub(super) fn order(&mut self, op: Op) -> ([u8; 16], Vec<u8>) {
        self.oid += 1;
        let order = Order {
            owner: owner_id(),
            oid: [self.oid; 16],
            issued: self.now * 100 + u64::from(self.oid),
            audience: None,
            op,
            not_before: None,
        };
        let signed = Signed::sign(&order, &owner()).unwrap();
        (order.oid, signed.envelope().to_vec())
    }
}
