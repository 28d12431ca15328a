//! Of dice.

use std::collections::BTreeSet;

use anyhow::ensure;

use crate::ports::Dice;

/// Rows of bytes of any length are filled, and none is like another.
///
/// # Errors
/// What does not hold.
pub fn dice(dice: &dyn Dice) -> anyhow::Result<()> {
    let mut rows = BTreeSet::new();
    for _ in 0..256 {
        ensure!(rows.insert(dice.bytes::<16>()?), "the same 16 bytes twice");
    }
    for len in [0, 1, 3, 31, 32, 33, 1000, 100_000] {
        let mut out = vec![0; len];
        dice.fill(&mut out)?;
        ensure!(
            !out.windows(16).any(|row| row.iter().all(|byte| *byte == 0)),
            "a part of {len} bytes was not filled"
        );
    }
    let mut out = vec![0; 100_000];
    dice.fill(&mut out)?;
    let ones: u32 = out.iter().map(|byte| byte.count_ones()).sum();
    ensure!((390_000..410_000).contains(&ones), "{ones} bits of 800,000");
    let values: BTreeSet<u8> = out.into_iter().collect();
    ensure!(values.len() == 256, "some bytes never come");
    let jitters: BTreeSet<u32> = (0..100).map(|_| dice.jitter()).collect();
    ensure!(jitters.len() > 90, "pauses are all alike");
    let before: Vec<u32> = (0..100).collect();
    let mut items = before.clone();
    dice.shuffle(&mut items);
    ensure!(items != before, "nothing was shuffled");
    items.sort_unstable();
    ensure!(items == before, "shuffling lost something");
    Ok(())
}
