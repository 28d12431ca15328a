//! What must be true after every step.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::{NodeId, ObjectId};

use super::world::{World, owner_id};
use crate::store::disk::Table;
use crate::store::keys;
use crate::store::stored::ObjectMeta;
use crate::store::unclaimed::{NOBODY, Note, note_key};

impl World {
    fn metas(&self) -> BTreeMap<ObjectId, ObjectMeta> {
        let rows = self
            .engine
            .disk()
            .tables
            .scan(Table::Meta, &owner_id().0, None, usize::MAX)
            .unwrap();
        rows.into_iter()
            .map(|(key, row)| {
                let id = ObjectId::from_slice(&key[32..]).unwrap();
                (id, ObjectMeta::decode(&row).unwrap())
            })
            .collect()
    }

    pub(super) fn check(&self) {
        let metas = self.metas();
        self.check_snapshots(&metas);
        self.check_counts(&metas);
        self.check_sessions(&metas);
    }

    /// Every byte on the disk is claimed or noted, what is noted is counted, and no device has more of
    /// both than its quota.
    pub(super) fn check_unclaimed(&self) {
        let metas = self.metas();
        let owner = owner_id();
        let notes = self
            .engine
            .disk()
            .tables
            .scan(Table::State, keys::DROPS, None, usize::MAX)
            .unwrap();
        let mut by_device: BTreeMap<NodeId, u64> = BTreeMap::new();
        let mut noted = BTreeSet::new();
        for (key, note) in notes {
            noted.insert(note_key(&key).unwrap().1);
            let note = Note::decode(&note);
            *by_device.entry(note.device).or_default() += u64::from(note.size);
        }
        for object in &self.objects {
            let key = keys::object(&owner, &object.id);
            let there = self.engine.disk().objects.get(&key).unwrap().is_some();
            let known = metas.contains_key(&object.id) || noted.contains(&object.id);
            assert!(!there || known, "bytes nobody knows of");
        }
        let sums = self.store.unclaimed(&owner).unwrap();
        for device in 0..2 {
            let access = self.access(device);
            let device = access.device;
            let counted = sums.lock().of(&device);
            let in_notes = by_device.get(&device).copied().unwrap_or(0);
            // Dropped, and not given back yet because a round was broken off.
            let waiting = self.store.reclaim().not_given_back(&owner, &device);
            assert_eq!(counted, in_notes + waiting, "unclaimed bytes of a device");
            let used = self.store.usage(&owner, &device).unwrap().bytes;
            assert!(used + counted <= access.limits.bytes, "over the quota");
        }
        assert_eq!(self.store.charged(&owner), self.store.records_taken(&owner));
        let waiting = (0..2).map(|n| self.store.reclaim().not_given_back(&owner, &self.device(n)));
        let nobodys = self.store.reclaim().not_given_back(&owner, &NOBODY);
        let total: u64 = by_device.values().sum::<u64>() + waiting.sum::<u64>() + nobodys;
        assert_eq!(sums.lock().total(), total);
    }

    /// Every snapshot that should be there is whole, to the last byte; none is there that ended.
    fn check_snapshots(&self, metas: &BTreeMap<ObjectId, ObjectMeta>) {
        let owner = owner_id();
        for (snap, twin) in &self.snaps {
            let row = self.store.snap(&owner, snap).unwrap();
            assert!(row.is_some(), "snapshot {} is gone", snap.short());
            for id in self.closure([twin.root]) {
                assert!(metas.contains_key(&id), "a row below a snapshot is gone");
                let bytes = self
                    .engine
                    .disk()
                    .objects
                    .get(&keys::object(&owner, &id))
                    .unwrap();
                let object = self.objects.iter().find(|object| object.id == id).unwrap();
                assert_eq!(
                    bytes.as_ref(),
                    Some(&object.bytes),
                    "bytes below a snapshot"
                );
            }
        }
        for snap in &self.ended {
            assert!(self.store.snap(&owner, snap).unwrap().is_none());
        }
    }

    /// Counts, completeness and the list of loose objects, counted anew.
    fn check_counts(&self, metas: &BTreeMap<ObjectId, ObjectMeta>) {
        let owner = owner_id();
        let mut needed: BTreeMap<ObjectId, u32> = BTreeMap::new();
        for (id, _) in metas
            .iter()
            .filter(|(_, meta)| meta.complete && meta.height > 0)
        {
            for child in &self.refs[id] {
                assert!(metas.contains_key(child), "a complete node lacks a child");
                *needed.entry(*child).or_default() += 1;
            }
        }
        for snap in self.store.all_snaps(&owner).unwrap() {
            let row = self.store.snap(&owner, &snap).unwrap().unwrap();
            assert!(
                metas[&row.root].complete,
                "a snapshot over an incomplete root"
            );
            *needed.entry(row.root).or_default() += 1;
        }
        let mut loose = BTreeSet::new();
        for (id, meta) in metas {
            assert_eq!(meta.refs, needed.get(id).copied().unwrap_or(0), "count");
            assert_eq!(meta.refs == 0, meta.due > 0, "due");
            if meta.due > 0 {
                loose.insert(keys::loose(&owner, meta.due, id));
            }
            let bytes = self
                .engine
                .disk()
                .objects
                .get(&keys::object(&owner, id))
                .unwrap();
            assert!(bytes.is_some(), "a row without its bytes");
        }
        let listed = self
            .engine
            .disk()
            .tables
            .scan(Table::State, &keys::loose_of(&owner), None, usize::MAX)
            .unwrap();
        let listed: BTreeSet<_> = listed.into_iter().map(|(key, _)| key).collect();
        assert_eq!(listed, loose, "list of loose objects");
        let totals = self.store.totals(&owner).unwrap();
        let bytes: u64 = metas.values().map(|meta| u64::from(meta.size)).sum();
        assert_eq!(
            (totals.objects, totals.bytes),
            (u64::try_from(metas.len()).unwrap(), bytes)
        );
    }

    /// What an open session was told is still true.
    fn check_sessions(&self, metas: &BTreeMap<ObjectId, ObjectMeta>) {
        for session in &self.sessions {
            for id in &session.relies {
                assert!(metas.contains_key(id), "freed under an open session");
            }
            if let Some(twin) = session.base.and_then(|base| self.snaps.get(&base)) {
                for id in self.closure([twin.root]) {
                    assert!(metas.contains_key(&id), "the base of a session was freed");
                }
            }
        }
    }

    pub(super) fn check_nothing_left(&self) {
        let needed = self.closure(self.snaps.values().map(|twin| twin.root));
        let rows: BTreeSet<ObjectId> = self.metas().into_keys().collect();
        assert_eq!(rows, needed, "rows nobody needs");
        for object in &self.objects {
            let bytes = self
                .engine
                .disk()
                .objects
                .get(&keys::object(&owner_id(), &object.id))
                .unwrap();
            assert_eq!(
                bytes.is_some(),
                needed.contains(&object.id),
                "bytes nobody needs"
            );
        }
        let count = |prefix: &[u8]| {
            self.engine
                .disk()
                .tables
                .scan(Table::State, prefix, None, 9)
                .unwrap()
                .len()
        };
        assert_eq!(count(keys::DROPS), 0, "notes of bytes to drop");
        assert_eq!(self.store.unclaimed_bytes(&owner_id()), Ok(0));
        let lots = self
            .engine
            .disk()
            .tables
            .scan(Table::Lots, &[], None, usize::MAX)
            .unwrap();
        assert_eq!(lots.len(), needed.len(), "lots");
    }
}
