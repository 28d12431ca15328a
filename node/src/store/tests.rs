#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod charges;
mod collect;
mod costs;
mod damage;
mod unclaimed;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::frame::padded_len;
use packnback_proto::format::header::Header;
use packnback_proto::ids::{ObjectId, OwnerId};

use parking_lot::Mutex;

use super::disk::{Disk, DiskError, Keys};
use super::memory::MemoryDisk;
use super::rocks;
use super::suite::{self, Stage};
use super::{Access, DiskReserve, Store, StoreError};

impl Stage for MemoryDisk {
    fn open(&self) -> Disk {
        self.disk()
    }
    fn kill(&self, disk: Disk) -> Disk {
        MemoryDisk::kill(self);
        disk
    }
    fn lose_power(&self, disk: Disk) -> Disk {
        self.crash();
        disk
    }
    fn forgets_notes(&self) -> bool {
        true
    }
    fn fill(&self, full: bool) -> bool {
        self.set_full(full);
        true
    }
    fn fail_call(&self, calls: u64) -> bool {
        MemoryDisk::fail_call(self, Some(calls));
        true
    }
    fn tear_after(&self, writes: u64) -> bool {
        MemoryDisk::tear_after(self, writes);
        true
    }
}

/// Folders, the last one in use. A process is killed by going on with a copy of what it had given to
/// the system: the database would put itself in order if it were closed.
struct Folders(Mutex<Vec<tempfile::TempDir>>);

impl Folders {
    fn go_on(&self, disk: Disk, change: impl FnOnce(&Path)) -> Disk {
        let mut all = self.0.lock();
        let new = tempfile::tempdir().unwrap();
        copy(all.last().unwrap().path(), new.path());
        drop(disk);
        change(new.path());
        all.push(new);
        rocks::open(all.last().unwrap().path()).unwrap()
    }
}

/// All files and their lengths.
fn listing(dir: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut all = BTreeSet::new();
    let mut waiting = vec![dir.to_path_buf()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => waiting.push(path),
                Ok(meta) => drop(all.insert((path, meta.len()))),
                Err(_) => {}
            }
        }
    }
    all
}

/// As it is at one moment: again, if the database changed something meanwhile.
fn copy(from: &Path, to: &Path) {
    loop {
        std::fs::remove_dir_all(to).unwrap();
        std::fs::create_dir(to).unwrap();
        let before = listing(from);
        let copied = before.iter().try_for_each(|(path, _)| {
            let to = to.join(path.strip_prefix(from).unwrap());
            std::fs::create_dir_all(to.parent().unwrap())?;
            std::fs::copy(path, to).map(|_| ())
        });
        if copied.is_ok() && listing(from) == before {
            return;
        }
    }
}

/// As after another start of the machine.
fn restart_machine(dir: &Path) {
    std::fs::write(dir.join("boot"), "another start").unwrap();
}

impl Stage for Folders {
    fn open(&self) -> Disk {
        let all = self.0.lock();
        rocks::open(all.last().unwrap().path()).unwrap()
    }
    fn kill(&self, disk: Disk) -> Disk {
        self.go_on(disk, |_| {})
    }
    fn lose_power(&self, disk: Disk) -> Disk {
        self.go_on(disk, restart_machine)
    }
}

fn folders() -> Folders {
    Folders(Mutex::new(vec![tempfile::tempdir().unwrap()]))
}

#[test]
fn memory_conforms() {
    suite::tables(&MemoryDisk::default());
    suite::objects(&MemoryDisk::default());
}

#[test]
fn rocks_conforms() {
    suite::tables(&folders());
    suite::objects(&folders());
}

/// After an orderly end nothing is looked at again, whatever happened to the machine since.
#[test]
fn after_an_orderly_end_every_object_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let disk = rocks::open(dir.path()).unwrap();
    disk.objects.put(&[7; 64], b"object").unwrap();
    drop(disk);
    restart_machine(dir.path());
    let disk = rocks::open(dir.path()).unwrap();
    assert!(!disk.damage().is_some());
    let mut none = |_: &[u8]| Err(DiskError::Full);
    assert_eq!(disk.objects.each_key(Keys::Unsure, &mut none), Ok(()));
    assert_eq!(disk.objects.get(&[7; 64]), Ok(Some(b"object".to_vec())));
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
    Store::new(
        rocks::open(dir).unwrap(),
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
    let _first = rocks::open(dir.path()).unwrap();
    let second = rocks::open(dir.path()).err();
    assert!(matches!(second, Some(DiskError::InUse(_))), "{second:?}");
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
