//! What must be true after every step.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::ids::ObjectId;

use super::world::{World, owner_id};
use crate::store::engine::{Engine as _, Table};
use crate::store::keys;
use crate::store::stored::ObjectMeta;

impl World {
    fn metas(&self) -> BTreeMap<ObjectId, ObjectMeta> {
        let rows = self
            .engine
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

    /// Every snapshot that should be there is whole, to the last byte; none is there that ended.
    fn check_snapshots(&self, metas: &BTreeMap<ObjectId, ObjectMeta>) {
        let owner = owner_id();
        for (snap, twin) in &self.snaps {
            let row = self.store.snap(&owner, snap).unwrap();
            assert!(row.is_some(), "snapshot {} is gone", snap.short());
            for id in self.closure([twin.root]) {
                assert!(metas.contains_key(&id), "a row below a snapshot is gone");
                let bytes = self.engine.get_object(&keys::object(&owner, &id)).unwrap();
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
            let bytes = self.engine.get_object(&keys::object(&owner, id)).unwrap();
            assert!(bytes.is_some(), "a row without its bytes");
        }
        let listed = self
            .engine
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
                .get_object(&keys::object(&owner_id(), &object.id))
                .unwrap();
            assert_eq!(
                bytes.is_some(),
                needed.contains(&object.id),
                "bytes nobody needs"
            );
        }
        let count = |prefix: &[u8]| {
            self.engine
                .scan(Table::State, prefix, None, 9)
                .unwrap()
                .len()
        };
        assert_eq!(count(keys::DROPS), 0, "notes of bytes to drop");
        let lots = self
            .engine
            .scan(Table::Lots, &[], None, usize::MAX)
            .unwrap();
        assert_eq!(lots.len(), needed.len(), "lots");
    }
}
