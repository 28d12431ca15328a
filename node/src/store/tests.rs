#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod charges;
mod collect;
mod costs;
mod damage;
mod unclaimed;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::frame::padded_len;
use packnback_proto::format::header::Header;
use packnback_proto::ids::{ObjectId, OwnerId};

use super::conformance::suite;
use super::memory::MemoryEngine;
use super::rocks::RocksEngine;
use super::{Access, DiskReserve, Store, StoreError};

#[test]
fn memory_conforms() {
    let lose = |what: fn(&MemoryEngine)| {
        move |engine| {
            what(&engine);
            engine
        }
    };
    let (power, process) = (MemoryEngine::crash, MemoryEngine::kill);
    suite(MemoryEngine::default, lose(power), lose(process));
}

#[test]
fn rocks_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let open = || RocksEngine::open(dir.path()).unwrap();
    let again = |engine: RocksEngine| {
        drop(engine);
        open()
    };
    suite(open, again, again);
}

impl Store {
    /// An object and everything below it.
    pub(crate) fn all_below(
        &self,
        owner: &OwnerId,
        id: &ObjectId,
    ) -> Result<BTreeSet<ObjectId>, StoreError> {
        let gone = StoreError::AddressMismatch { id: *id };
        let meta = self.object_meta(owner, id)?.ok_or(gone)?;
        let mut all = BTreeSet::from([*id]);
        if meta.height > 0 {
            for child in self.refs(owner, id)? {
                all.append(&mut self.all_below(owner, &child)?);
            }
        }
        Ok(all)
    }
}

fn open(dir: &Path) -> Store {
    let engine = Arc::new(RocksEngine::open(dir).unwrap());
    Store::new(
        engine,
        SigningKey::from_seed(&Secret32::new([3; 32])),
        DiskReserve(0),
    )
}

fn access(store: &Store) -> Access {
    store.own_access(&OwnerId([1; 32]))
}

fn chunk(noise: u8) -> (ObjectId, Vec<u8>) {
    let mut bytes = Vec::new();
    Header::chunk().write(&mut bytes).unwrap();
    bytes.extend(vec![noise; padded_len(1_000_000) + OVERHEAD]);
    (object_id(&bytes), bytes)
}

fn put(store: &Store, noise: u8) -> ObjectId {
    let intake = store.intake(access(store)).unwrap();
    let (id, bytes) = chunk(noise);
    store.put(&intake, &id, &bytes, 1).unwrap();
    store.sync(&intake, 1).unwrap();
    id
}

#[test]
fn a_second_node_cannot_open_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let _first = RocksEngine::open(dir.path()).unwrap();
    let second = RocksEngine::open(dir.path()).err();
    assert!(
        matches!(second, Some(super::engine::EngineError::InUse(_))),
        "{second:?}"
    );
}

#[test]
fn without_a_sync_nothing_is_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let intake = store.intake(access(&store)).unwrap();
    let (id, bytes) = chunk(1);
    store.put(&intake, &id, &bytes, 1).unwrap();
    assert_eq!(
        store.have(&store.intake(access(&store)).unwrap(), &[id], 1),
        Ok(vec![false])
    );
    assert_eq!(store.get(&OwnerId([1; 32]), &id), Ok(None));
    drop((intake, store));
    let store = open(dir.path());
    assert_eq!(
        store.have(&store.intake(access(&store)).unwrap(), &[id], 1),
        Ok(vec![false])
    );
    assert_eq!(put(&store, 1), id);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.get(&OwnerId([1; 32]), &id), Ok(Some(bytes)));
}

/// One bit flipped in the file that holds the object, wherever it is.
#[test]
fn a_flipped_bit_on_disk_is_an_address_mismatch() {
    for place in [10, 500, 999_000] {
        let dir = tempfile::tempdir().unwrap();
        let id = put(&open(dir.path()), 7);
        let (_, bytes) = chunk(7);
        let files = std::fs::read_dir(dir.path().join("objects")).unwrap();
        let mut flipped = 0;
        for file in files.map(|file| file.unwrap().path()) {
            let mut content = std::fs::read(&file).unwrap();
            let found = content
                .windows(64)
                .position(|window| window == &bytes[..64]);
            if let Some(at) = found {
                content[at + place] ^= 4;
                std::fs::write(&file, content).unwrap();
                flipped += 1;
            }
        }
        assert_eq!(flipped, 1);
        let store = open(dir.path());
        let owner = OwnerId([1; 32]);
        assert_eq!(
            store.get(&owner, &id),
            Err(StoreError::AddressMismatch { id })
        );
        assert_eq!(
            store.have(&store.intake(access(&store)).unwrap(), &[id], 1),
            Ok(vec![false])
        );
        assert_eq!(put(&store, 7), id);
        assert_eq!(store.get(&owner, &id), Ok(Some(bytes)));
    }
}
