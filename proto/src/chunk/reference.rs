//! Chunker 1 word by word as in the definition, a byte at a time: the twin that tests compare with.

use super::{GEAR_MASK, LOOSE, STRICT, WINDOW};
use crate::crypto::hash::keyed_hash;
use crate::crypto::keys::ChunkKeys;
use crate::limits::{CHUNK_AVG, CHUNK_MAX, CHUNK_MIN};

/// Length of the first chunk of `b`, the rest of a file.
#[must_use]
pub fn cut(keys: &ChunkKeys, b: &[u8]) -> usize {
    if b.len() <= CHUNK_MIN {
        return b.len();
    }
    let end = b.len().min(CHUNK_MAX);
    let mut h: u64 = 0;
    for c in CHUNK_MIN - WINDOW + 1..end {
        let byte = b.get(c - 1).copied().unwrap_or_default();
        h = (h << 1).wrapping_add(
            keys.gear()
                .get(usize::from(byte))
                .copied()
                .unwrap_or_default(),
        );
        if h & GEAR_MASK != 0 {
            continue;
        }
        if c >= CHUNK_MIN && is_confirmed(keys, b.get(c - WINDOW..c).unwrap_or_default(), c) {
            return c;
        }
        h = 0;
    }
    end
}

fn is_confirmed(keys: &ChunkKeys, window: &[u8], c: usize) -> bool {
    let [u0, u1, u2, u3, ..] = keyed_hash(keys.cut().expose(), window);
    let mask = if c < CHUNK_AVG { STRICT } else { LOOSE };
    u32::from_le_bytes([u0, u1, u2, u3]) & mask == 0
}
