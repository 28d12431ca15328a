//! Chunker 1: where large files are cut.
//!
//! A fast secret gear hash proposes cuts, a keyed hash confirms them, so that sizes of chunks say
//! nothing about content to those who do not hold the group secret. All of this is frozen: another
//! writer that differs in one detail shares no chunk with this one. Readers do not need it.
//!
//! # Definition
//!
//! `b` is the rest of the file from the end of the last chunk, `len` its length; `GT` and `CP` are
//! the gear table and the cut key of the dedup group. Positions count bytes from the start of `b`.
//!
//! 1. If `len <= MIN`, the chunk is all of `b`.
//! 2. `end = min(len, MAX)`. Set `r = MIN - 64`, the start of the scan.
//! 3. Set `h = 0`. For `i = r, r + 1, ..` up to `end - 1`: `h = (2 * h + GT[b[i]]) mod 2^64`; the
//!    cut behind that byte, `c = i + 1`, is a candidate if `h & GEAR_MASK == 0`. If no `c < end` is
//!    a candidate, go to 5.
//! 4. The candidate is accepted if `c >= MIN` and `u & M == 0`, where
//!    `u = LE32(KH(CP, b[c - 64 .. c])[..4])` and `M = STRICT` if `c < AVG`, else `M = LOOSE`. If
//!    accepted, the chunk is `b[..c]`. If not, the scan starts anew right behind it: `r = c`, with
//!    an empty hash, and continues with 3.
//! 5. The chunk is `b[..end]`.
//!
//! `MIN`, `AVG`, `MAX` are [`CHUNK_MIN`], [`CHUNK_AVG`], [`CHUNK_MAX`]; `GEAR_MASK` has ten bits,
//! `STRICT` eleven, `LOOSE` nine (see the constants).
//!
//! # Why so
//!
//! - The mask is at the top of the 64 bits, where the gear hash depends on the last 63 bytes; the
//!   confirming hash reads the last 64. The very top bit stays out: `fastcdc` tests every other byte
//!   with a doubled hash and a doubled mask, in which it would be lost.
//! - The scan starts 64 bytes early, so that the first cut possible, at `MIN`, is judged on a full
//!   window. Candidates before `MIN` only restart the scan.
//! - A cut at `end` needs no candidate: it happens anyway. That is also why it does not matter that
//!   `fastcdc` leaves an odd last byte of its input untested.
//! - The cut depends on nothing but `b`, at most [`CHUNK_MAX`] bytes of it, hence not on how the
//!   bytes arrived.

pub mod reference;

use crate::crypto::hash::keyed_hash;
use crate::crypto::keys::ChunkKeys;
use crate::crypto::secret::Secret32;
use crate::limits::{CHUNK_AVG, CHUNK_MAX, CHUNK_MIN};
use zeroize::Zeroize;

/// Number of this way of cutting, recorded in snapshots.
pub const CHUNKER_ID: u32 = 1;
/// Bytes the confirming hash reads, and length of the warm-up before the first possible cut.
pub const WINDOW: usize = 64;
/// A cut is a candidate if these bits of the gear hash are zero: bits 53 to 62.
pub const GEAR_MASK: u64 = 0x3ff << 53;
/// Bits of the confirming hash that must be zero for a cut before [`CHUNK_AVG`].
pub const STRICT: u32 = 0x7ff;
/// Bits of the confirming hash that must be zero for a cut at or behind [`CHUNK_AVG`].
pub const LOOSE: u32 = 0x1ff;

const _: () = {
    assert!(GEAR_MASK.count_ones() == 10 && (GEAR_MASK << 1) >> 1 == GEAR_MASK);
    assert!(STRICT.count_ones() == 11 && LOOSE.count_ones() == 9);
    // fastcdc wants even limits.
    assert!(CHUNK_MAX.is_multiple_of(2) && WINDOW <= CHUNK_MIN);
};

/// Cuts files into chunks. Can be shared between threads.
pub struct Chunker {
    gear: Box<[u64; 256]>,
    gear_doubled: Box<[u64; 256]>,
    cut: Secret32,
}

impl Chunker {
    /// The chunker of a dedup group.
    #[must_use]
    pub fn new(keys: &ChunkKeys) -> Self {
        let mut gear_doubled = Box::new([0; 256]);
        gear_doubled
            .iter_mut()
            .zip(keys.gear())
            .for_each(|(d, g)| *d = g << 1);
        Self {
            gear: Box::new(*keys.gear()),
            gear_doubled,
            cut: keys.cut().duplicate(),
        }
    }

    /// Length of the chunk at the start of `buf`. `eof` says that the file ends with `buf`.
    ///
    /// `None` means that the answer needs more bytes, which is never so with [`CHUNK_MAX`] of them,
    /// or that nothing is left. Each call scans from the start: hand in as much as there is.
    #[must_use]
    pub fn cut(&self, buf: &[u8], eof: bool) -> Option<usize> {
        let end = buf.len().min(CHUNK_MAX);
        let is_final = eof || end == CHUNK_MAX;
        let window = buf.get(..end)?;
        match self.scan(window) {
            Some(cut) => Some(cut),
            None if is_final && end > 0 => Some(end),
            None => None,
        }
    }

    /// The first accepted cut before the end of `buf`.
    fn scan(&self, buf: &[u8]) -> Option<usize> {
        let mut refused = None;
        let mut start = CHUNK_MIN.checked_sub(WINDOW)?;
        loop {
            let cut = start.checked_add(self.candidate(buf.get(start..)?)?)?;
            let window = buf.get(..cut)?.last_chunk::<WINDOW>()?;
            // In a long run of equal bytes every window is the same, and so is the verdict.
            let question = Some((window, mask_at(cut)));
            if cut >= CHUNK_MIN && refused != question {
                if self.accepts(window, cut) {
                    return Some(cut);
                }
                refused = question;
            }
            start = cut;
        }
    }

    /// Where the first candidate of `rest` lies: behind the byte that completes it, and before the end.
    fn candidate(&self, rest: &[u8]) -> Option<usize> {
        let (_, at) = fastcdc::v2020::cut_gear(
            rest,
            0,
            CHUNK_MAX,
            CHUNK_MAX,
            GEAR_MASK,
            GEAR_MASK,
            GEAR_MASK << 1,
            GEAR_MASK << 1,
            &*self.gear,
            &*self.gear_doubled,
        );
        let cut = at.checked_add(1)?;
        (cut < rest.len()).then_some(cut)
    }

    fn accepts(&self, window: &[u8; WINDOW], cut: usize) -> bool {
        let [u0, u1, u2, u3, ..] = keyed_hash(self.cut.expose(), window);
        u32::from_le_bytes([u0, u1, u2, u3]) & mask_at(cut) == 0
    }
}

fn mask_at(cut: usize) -> u32 {
    if cut < CHUNK_AVG { STRICT } else { LOOSE }
}

impl Drop for Chunker {
    fn drop(&mut self) {
        self.gear.zeroize();
        self.gear_doubled.zeroize();
    }
}
