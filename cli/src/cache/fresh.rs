//! What was written to a cache that was empty when it was opened: a filter of a fixed size in memory, so that a first
//! backup, which finds nothing but new things, does not look for each of them in the tables it has just written.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of 64 bits: 4 MiB. A million rows give one wrong "perhaps" in some thousands, ten million one in four.
const WORDS: u64 = 1 << 19;
/// Bits set for one row.
const PROBES: u32 = 4;

/// A filter that may say "perhaps" for what is not there, and never "no" for what is.
pub(super) struct Fresh {
    hasher: RandomState,
    words: Box<[AtomicU64]>,
}

impl Default for Fresh {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Fresh {
    /// The bits of a key: a word and a bit in it, for each probe.
    fn bits<'a>(&'a self, key: &[u8]) -> impl Iterator<Item = (&'a AtomicU64, u64)> {
        let hash = self.hasher.hash_one(key);
        let step = hash.rotate_left(32) | 1;
        (0..PROBES).filter_map(move |n| {
            let at = hash.wrapping_add(step.wrapping_mul(n.into()));
            let word = usize::try_from((at >> 6) % WORDS).ok()?;
            Some((self.words.get(word)?, 1 << (at & 63)))
        })
    }

    /// From now on it may be there.
    pub(super) fn note(&self, key: &[u8]) {
        self.bits(key).for_each(|(word, bit)| {
            word.fetch_or(bit, Ordering::Relaxed);
        });
    }

    /// Whether it may be there: not, if it was not noted.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        self.bits(key)
            .all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_may_be_there_and_hardly_anything_else() {
        let fresh = Fresh::default();
        let key = |n: u32| [b"s".as_slice(), &n.to_le_bytes()].concat();
        let wrong = |from: u32| (from..from + 10_000).filter(|n| fresh.may_have(&key(*n)));
        assert_eq!(wrong(0).count(), 0);
        (0..200_000).for_each(|n| fresh.note(&key(n)));
        assert!((0..200_000).all(|n| fresh.may_have(&key(n))));
        assert!(wrong(1_000_000).count() < 100);
    }
}
