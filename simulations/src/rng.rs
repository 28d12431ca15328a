//! Random numbers that replay from a seed.

/// SplitMix64: small, fast, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[must_use]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    #[must_use]
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    /// True `parts` times in `of`.
    #[must_use]
    pub fn chance(&mut self, parts: u64, of: u64) -> bool {
        self.below(of) < parts
    }

    /// Fills a buffer.
    pub fn fill(&mut self, out: &mut [u8]) {
        for some in out.chunks_mut(8) {
            for (to, from) in some.iter_mut().zip(self.draw().to_le_bytes()) {
                *to = from;
            }
        }
    }

    /// So many bytes.
    #[must_use]
    pub fn bytes(&mut self, len: u64) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(len).unwrap_or(0)];
        self.fill(&mut out);
        out
    }

    /// A generator of its own, for what must not depend on how often others draw.
    #[must_use]
    pub fn branch(&mut self, what: u64) -> Self {
        Self(self.draw() ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// 32 bytes, for ids.
    #[must_use]
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        for eight in out.as_chunks_mut::<8>().0 {
            *eight = self.draw().to_le_bytes();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn same_seed_same_numbers() {
        let (mut a, mut b, mut c) = (Rng::new(7), Rng::new(7), Rng::new(8));
        let first: Vec<u64> = (0..9).map(|_| a.draw()).collect();
        assert_eq!(first, (0..9).map(|_| b.draw()).collect::<Vec<_>>());
        assert_ne!(first, (0..9).map(|_| c.draw()).collect::<Vec<_>>());
        assert_eq!(a.below(0), 0);
        assert!((0..100).all(|_| a.below(5) < 5));
    }
}
