//! A node in memory, and a device and an owner around it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::header::{Kind, verify_object};
use packnback_proto::ids::{ObjectId, OwnerId, SetId, SnapshotId};
use packnback_proto::record::{Cert, Signed, Snap, perms, seal_label};
use parking_lot::Mutex;

use crate::backup::{BackupError, BackupOptions, BackupReport, Dedup};
use crate::cache::{Cache, CacheKey};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::local::{CommitAnswer, Committed, Opened};

use crate::client::{ClientError, NodeLink};
use crate::fs::WalkOptions;
use crate::keys::{DeviceBundleKeys, ReaderKeys};
use crate::pipeline::Cancel;
use crate::progress::Silent;
use crate::records::LoadedSnapshot;
use crate::restore::{self, RestoreOptions, RestoreReport};
use crate::snapshot::{self, ObjectSource};

pub(crate) const SEED: [u8; 32] = [7; 32];
pub(crate) const CACHE_KEY: [u8; 32] = [9; 32];

/// Objects and records; commits only what is complete.
pub(crate) struct MemoryNode {
    pub(crate) objects: Mutex<BTreeMap<ObjectId, Vec<u8>>>,
    records: Mutex<Vec<Vec<u8>>>,
    snaps: Mutex<Vec<(SnapshotId, ObjectId)>>,
    owner: SigningKey,
    device: SigningKey,
    /// Refuses puts once this many were taken.
    pub(crate) puts_left: AtomicUsize,
    /// Told when there are none left, instead of refusing.
    pub(crate) cancel: Mutex<Option<Cancel>>,
}

impl MemoryNode {
    fn new(seed: &OwnerSeed) -> Self {
        let owner = seed.sign_key();
        let device = SigningKey::from_seed(&Secret32::new([3; 32]));
        let (owner_id, device_id) = (owner.owner_id(), device.node_id());
        let sealed_label = seal_label(&seed.label_key(0), &owner_id, &device_id, "box").unwrap();
        let cert = Cert {
            owner: owner_id,
            device: device_id,
            serial: 1,
            perms: perms::ALL,
            not_before: 0,
            expires: 90 * 86_400,
            quota_bytes: 1 << 40,
            new_bytes_per_day: 1 << 40,
            snaps_per_day: 48,
            group: 0,
            epoch: 0,
            sealed_label,
            recovery: seed.recovery_id(),
        };
        let cert = Signed::sign(&cert, &owner).unwrap().envelope().to_vec();
        Self {
            objects: Mutex::default(),
            records: Mutex::new(vec![cert]),
            snaps: Mutex::default(),
            owner,
            device,
            puts_left: AtomicUsize::new(usize::MAX),
            cancel: Mutex::default(),
        }
    }

    pub(crate) fn ids(&self) -> BTreeSet<ObjectId> {
        self.objects.lock().keys().copied().collect()
    }

    /// Objects of a kind, with their bytes.
    pub(crate) fn of_kind(&self, kind: Kind) -> Vec<(ObjectId, Vec<u8>)> {
        let objects = self.objects.lock();
        let of_kind = objects
            .iter()
            .filter(|(id, bytes)| verify_object(id, bytes).unwrap().kind == kind);
        of_kind.map(|(id, bytes)| (*id, bytes.clone())).collect()
    }

    fn missing(&self, root: ObjectId) -> Vec<ObjectId> {
        let objects = self.objects.lock();
        let (mut missing, mut waiting, mut seen) = (Vec::new(), vec![root], BTreeSet::new());
        while let Some(id) = waiting.pop() {
            match objects.get(&id) {
                Some(bytes) => {
                    let header = verify_object(&id, bytes).unwrap();
                    waiting.extend(header.refs.into_iter().filter(|r| seen.insert(*r)));
                }
                None => missing.push(id),
            }
        }
        missing
    }
}

impl NodeLink for MemoryNode {
    fn open(&self) -> Result<Opened, ClientError> {
        Ok(Opened::default())
    }

    fn have(&self, ids: &[ObjectId]) -> Result<Vec<bool>, ClientError> {
        Ok(ids.iter().map(|id| self.missing(*id).is_empty()).collect())
    }

    fn put(&self, id: ObjectId, object: Vec<u8>) -> Result<(), ClientError> {
        verify_object(&id, &object).unwrap();
        let left = self
            .puts_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match (&*self.cancel.lock(), left) {
            (Some(cancel), Err(_)) => cancel.cancel(),
            (None, Err(_)) => return Err(ClientError::Closed),
            _ => {}
        }
        self.objects.lock().insert(id, object);
        Ok(())
    }

    fn sync(&self) -> Result<u64, ClientError> {
        Ok(0)
    }

    fn commit(&self, root: ObjectId, set: SetId, time: u64) -> Result<CommitAnswer, ClientError> {
        let missing = self.missing(root);
        if !missing.is_empty() {
            return Ok(CommitAnswer::Missing(missing));
        }
        let mut snaps = self.snaps.lock();
        let snap = Snap {
            owner: self.owner.owner_id(),
            device: self.device.node_id(),
            seq: u64::try_from(snaps.len()).unwrap() + 1,
            prev: snaps.last().map(|(id, _)| *id),
            root,
            time,
            cert_serial: 1,
            set,
        };
        let signed = Signed::sign(&snap, &self.device).unwrap();
        snaps.push((signed.id(), root));
        self.records.lock().push(signed.envelope().to_vec());
        Ok(CommitAnswer::Committed(Committed {
            snap: signed.id(),
            envelope: signed.envelope().into(),
            receipt: Bytes::default(),
        }))
    }
}

impl ObjectSource for MemoryNode {
    fn records(&self, _: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError> {
        Ok(self.records.lock().clone())
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        let objects = self.objects.lock();
        Ok(ids.iter().map(|id| objects.get(id).cloned()).collect())
    }
}

/// A device with something to save, its node and its owner.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) node: MemoryNode,
    pub(crate) reader: ReaderKeys,
    pub(crate) keys: DeviceBundleKeys,
    restores: AtomicUsize,
    /// When its backups start.
    pub(crate) time: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let seed = OwnerSeed::from_bytes(SEED);
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            node: MemoryNode::new(&seed),
            time: Self::later(),
            keys: DeviceBundleKeys {
                device: seed.device_keys(0, 0),
                cache_key: Secret32::new(CACHE_KEY),
            },
            reader: ReaderKeys::new(seed),
            restores: AtomicUsize::new(0),
        };
        std::fs::create_dir(world.source()).unwrap();
        world
    }

    /// What is saved.
    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    /// Takes a cache key under which no path that is there now is where a segment is cut, so that
    /// a backup makes one segment. With any fixed key one run in a few hundred would make two: the
    /// names of temporary folders differ each time.
    pub(crate) fn cut_nowhere(&mut self) {
        let files = std::fs::read_dir(self.source()).unwrap();
        let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        let source = self.source();
        let paths: Vec<&Path> = source
            .ancestors()
            .chain(files.iter().map(PathBuf::as_path))
            .collect();
        let uncut = |key: &[u8; 32]| {
            let key = CacheKey::new(Secret32::new(*key));
            let cut = |path: &Path| key.path(path.as_os_str().as_encoded_bytes()).is_cut();
            !paths
                .iter()
                .any(|path| cut(path) || path.strip_prefix("/").is_ok_and(cut))
        };
        let key = (0..=u8::MAX).map(|n| [n; 32]).find(uncut).unwrap();
        self.keys.cache_key = Secret32::new(key);
    }

    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Where the second list of places is.
    pub(crate) fn places(&self) -> PathBuf {
        self.dir.path().join("places")
    }

    /// Bytes the node stores.
    pub(crate) fn stored(&self) -> usize {
        self.node.objects.lock().values().map(Vec::len).sum()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.source().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Long after everything that was written: nothing is too new to be believed.
    pub(crate) fn later() -> u64 {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        now.as_secs() + 100
    }

    pub(crate) fn options(&self) -> BackupOptions {
        BackupOptions {
            roots: vec![self.source()],
            cwd: PathBuf::from("/"),
            walk: WalkOptions::default(),
            stdin: None,
            label: "test".into(),
            set: None,
            time: self.time,
            tool: "test".into(),
            full: false,
            reread: true,
            dedup: Dedup::Owner,
            dry_run: false,
            threads: 2,
            cancel: Cancel::default(),
        }
    }

    pub(crate) fn run(&self, options: BackupOptions) -> Result<BackupReport, BackupError> {
        let cache = Cache::open_kept(&self.cache_dir(), &self.places());
        assert_eq!(cache.warning(), None);
        super::super::run(options, &self.keys, &self.node, &cache, &Silent::default())
    }

    pub(crate) fn backup(&self) -> BackupReport {
        let report = self.run(self.options()).unwrap();
        assert_eq!(report.problems, Vec::new());
        assert_eq!(report.warnings, Vec::<String>::new());
        report
    }

    pub(crate) fn snapshot(&self, id: SnapshotId) -> LoadedSnapshot {
        let snaps = snapshot::snapshots(&self.node, &self.reader).unwrap();
        snaps.into_iter().find(|snap| snap.id == id).unwrap()
    }

    pub(crate) fn restore_options(&self, id: SnapshotId) -> RestoreOptions {
        let n = self.restores.fetch_add(1, Ordering::Relaxed);
        RestoreOptions {
            snapshot: self.snapshot(id),
            below: None,
            include: None,
            exclude: None,
            target: self.dir.path().join(format!("target{n}")),
            write: crate::fs::RestoreOptions::default(),
            delete: false,
            ignore_space: false,
            dry_run: false,
            verify: false,
            threads: 2,
            cancel: Cancel::default(),
        }
    }

    pub(crate) fn restore(&self, id: SnapshotId) -> (RestoreReport, PathBuf) {
        let options = self.restore_options(id);
        let report = restore::run(&options, &self.reader, &self.node, &Silent::default()).unwrap();
        (report, Self::inside(&options.target, &self.source()))
    }

    /// Where a saved folder is below a target.
    pub(crate) fn inside(target: &Path, saved: &Path) -> PathBuf {
        target.join(saved.strip_prefix("/").unwrap())
    }
}

/// Fails unless both trees are equal in everything a backup keeps.
pub(crate) fn assert_same(left: &Path, right: &Path) {
    let compared = packnback_compare::compare_trees(left, right).unwrap();
    assert_eq!(compared.differences, Vec::new());
}
