//! Every hash the cache uses, keyed with a key of this device alone: what is in the cache can be
//! compared with, not read.

use packnback_proto::crypto::hash::keyed_hash;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::SEGMENT_ENTRIES_AVG;

use crate::fs::Stat;

/// Shortened keyed hash of something large or secret.
pub type Hash16 = [u8; 16];
/// Which directory: common start of the keys of what is in it.
pub type DirKey = [u8; 8];
/// Where the record of a file is: its directory, then its own path.
pub type FileKey = [u8; 16];

/// The cache key of a device.
pub struct CacheKey(Secret32);

/// The keyed hash of a path, cut up by use.
#[derive(Clone, Copy)]
pub struct PathHash([u8; 32]);

impl PathHash {
    /// Whether a segment starts here.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d]).is_multiple_of(SEGMENT_ENTRIES_AVG)
    }

    /// Key of the record of this path, in directory `dir`.
    #[must_use]
    pub fn file_key(&self, dir: DirKey) -> FileKey {
        let mut key = [0; 16];
        let own = self.0.iter().skip(8).take(8);
        key.iter_mut()
            .zip(dir.iter().chain(own))
            .for_each(|(k, b)| *k = *b);
        key
    }

    /// Key of this path as a directory.
    #[must_use]
    pub fn dir_key(&self) -> DirKey {
        let mut key = [0; 8];
        key.iter_mut()
            .zip(self.0.iter().skip(16))
            .for_each(|(k, b)| *k = *b);
        key
    }

    /// A number below `of` that follows from the path: whose turn it is.
    #[must_use]
    pub fn turn(&self, of: u32) -> u32 {
        let [.., a, b, c, d] = self.0;
        u32::from_le_bytes([a, b, c, d])
            .checked_rem(of)
            .unwrap_or_default()
    }

    /// All of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn first<const N: usize>(hash: [u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(hash).for_each(|(o, h)| *o = h);
    out
}

impl CacheKey {
    /// Takes over the key.
    #[must_use]
    pub fn new(key: Secret32) -> Self {
        Self(key)
    }

    fn hash(&self, m: &[u8]) -> [u8; 32] {
        keyed_hash(self.0.expose(), m)
    }

    /// Of a stored path. The format rests on this: segments are cut by it.
    #[must_use]
    pub fn path(&self, path: &[u8]) -> PathHash {
        PathHash(self.hash(path))
    }

    /// Of everything `stat` says that changes when content or attributes do. The number of the device is not
    /// among it: the same disk has another one in another port or after a restart.
    #[must_use]
    pub fn stat(&self, stat: &Stat) -> Hash16 {
        let words = [
            stat.ino,
            stat.size,
            stat.mtime_ns.cast_unsigned(),
            stat.ctime_ns.cast_unsigned(),
            (u64::from(stat.uid) << 32) | u64::from(stat.gid),
            (u64::from(stat.mode) << 32) | (stat.rdev & 0xffff_ffff),
        ];
        let mut bytes = [0; 48];
        let (slots, _) = bytes.as_chunks_mut::<8>();
        slots
            .iter_mut()
            .zip(words)
            .for_each(|(slot, word)| *slot = word.to_le_bytes());
        first(self.hash(&bytes))
    }

    /// Of the content of a small file.
    #[must_use]
    pub fn small(&self, content: &[u8]) -> Hash16 {
        first(self.hash(content))
    }

    /// Of the key of a chunk.
    #[must_use]
    pub fn chunk(&self, k: &Secret32) -> Hash16 {
        first(self.hash(k.expose()))
    }

    /// Group number of the hard links of one file: by its number on its file system, and by the first path
    /// seen on that file system.
    #[must_use]
    pub fn hard_link(&self, file_system: &PathHash, ino: u64) -> [u8; 8] {
        first(self.hash(&[file_system.as_bytes().as_slice(), &ino.to_le_bytes()].concat()))
    }

    /// Of everything a segment is made from.
    #[must_use]
    pub fn segment(&self, described: &[u8]) -> Hash16 {
        first(self.hash(described))
    }

    /// Of everything a segment holds, whatever run it is of: its description without what only that run could seal, and
    /// the objects it refers to.
    #[must_use]
    pub fn content(&self, epoch: u32, raw: &[u8], refs: &[ObjectId]) -> Hash16 {
        let mut ids = Vec::with_capacity(refs.len().saturating_mul(32));
        refs.iter()
            .for_each(|id| ids.extend_from_slice(id.as_bytes()));
        let mut text = b"segment".to_vec();
        text.extend_from_slice(&epoch.to_le_bytes());
        text.extend_from_slice(&self.hash(raw));
        text.extend_from_slice(&self.hash(&ids));
        first(self.hash(&text))
    }

    /// Which roots a run had: what it did not find below them is gone.
    #[must_use]
    pub fn scope(&self, roots: &[Vec<u8>]) -> [u8; 8] {
        let mut text = b"scope".to_vec();
        for root in roots {
            text.extend_from_slice(root);
            text.push(0);
        }
        first(self.hash(&text))
    }
}
