//! Dice that fall the same way each time.

use parking_lot::Mutex;

use crate::ports::{Dice, NoDice};

/// The stream of bytes that belongs to a seed.
#[derive(Debug)]
pub struct SeededDice(Mutex<blake3::OutputReader>);

impl SeededDice {
    /// From the start of the stream.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        Self(Mutex::new(hasher.finalize_xof()))
    }
}

impl Dice for SeededDice {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoDice> {
        self.0.lock().fill(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_seed_says_how_they_fall() {
        let thrown = |seed| {
            let dice = SeededDice::new(seed);
            let (mut first, mut second) = ([0; 16], [0; 100]);
            dice.fill(&mut first).unwrap();
            dice.fill(&mut second).unwrap();
            (first, second)
        };
        assert_eq!(thrown(1), thrown(1));
        assert_ne!(thrown(1), thrown(2));
    }
}
