//! 24, the measured part: what do the sizes of stored chunks tell somebody who knows the exact
//! content of a file AND has stolen the gear table (but not the cut key)?
//!
//! The game: the owner stores one of two files of equal length, the known one or another. The
//! distinguisher sees only the stored sizes, in order, and computes how likely they are for each:
//! cuts of the known file can only lie at candidates, which the gear table reveals. Content is
//! random, hence incompressible, which is the distinguisher's best case: the stored size is then a
//! function of the plain length alone, blurred by padding only.
//!
//! Measured with 200 trials each (standard error about 0.05): advantage 0.16 for files of 4 MiB and
//! 0.16 for 16 MiB with the stolen table; 0.05 and 0.02, which is noise, without it. So the table is
//! a secret worth keeping: padding leaves about 30 candidates per cut to choose from, not
//! arbitrarily many. `PACKNBACK_KPA_TRIALS=200` repeats this.

use packnback_proto::chunk::{Chunker, GEAR_MASK};
use packnback_proto::crypto::keys::ChunkKeys;
use packnback_proto::format::frame::padded_len;
use packnback_proto::limits::{CHUNK_AVG, CHUNK_MAX, CHUNK_MIN, MIB};

use crate::n24_chunker::{cuts, keys};
use crate::support::bulk;

/// Share of bytes behind which a cut is a candidate.
const DENSITY: f64 = 1.0 / 1024.0;

/// All candidates, as the scan finds them when nothing is ever accepted.
fn candidates(gear: &[u64; 256], data: &[u8]) -> Vec<usize> {
    let (mut h, mut found) = (0_u64, Vec::new());
    for (i, byte) in data.iter().enumerate() {
        h = (h << 1).wrapping_add(gear[usize::from(*byte)]);
        if h & GEAR_MASK == 0 {
            found.push(i + 1);
            h = 0;
        }
    }
    found
}

/// Probability that a scan meets `strict` and `loose` candidates without a cut.
fn survival(strict: f64, loose: f64) -> f64 {
    (strict * (1.0 - 1.0 / 2048.0_f64).ln() + loose * (1.0 - 1.0 / 512.0_f64).ln()).exp()
}

fn accept(len: usize) -> f64 {
    if len < CHUNK_AVG {
        1.0 / 2048.0
    } else {
        1.0 / 512.0
    }
}

/// The first length that is stored in `size` bytes or more.
fn first_length(size: usize) -> usize {
    let (mut low, mut high) = (0, CHUNK_MAX + 1);
    while low < high {
        let middle = usize::midpoint(low, high);
        if padded_len(9 + middle) < size {
            low = middle + 1
        } else {
            high = middle
        }
    }
    low
}

/// Plain lengths that are stored in this size.
fn lengths(stored: usize) -> std::ops::RangeInclusive<usize> {
    first_length(stored)..=first_length(stored + 1) - 1
}

/// Likelihood of the sizes if cuts can lie anywhere: the other file, of which nothing is known.
fn likelihood_blind(sizes: &[usize]) -> f64 {
    let one = |len: usize| {
        let strict = (len.min(CHUNK_AVG) - CHUNK_MIN) as f64 * DENSITY;
        let loose = len.saturating_sub(CHUNK_AVG) as f64 * DENSITY;
        survival(strict, loose) * accept(len) * DENSITY
    };
    let sum = |stored| {
        lengths(stored)
            .filter(|len| (CHUNK_MIN..CHUNK_MAX).contains(len))
            .map(one)
            .sum::<f64>()
    };
    sizes.iter().map(|stored| sum(*stored)).product()
}

/// Likelihood of the sizes if cuts lie at these candidates, summed over all ways to get there.
fn likelihood_known(candidates: &[usize], sizes: &[usize]) -> f64 {
    let mut ends = vec![(0_usize, 1.0_f64)];
    for stored in sizes {
        let range = lengths(*stored);
        let mut next = std::collections::BTreeMap::new();
        for (start, weight) in ends {
            let index = |len: usize| candidates.partition_point(|c| *c < start + len);
            let (min, avg) = (index(CHUNK_MIN), index(CHUNK_AVG));
            for (i, cut) in candidates.iter().enumerate().skip(index(*range.start())) {
                let len = cut - start;
                if len > *range.end() || len >= CHUNK_MAX {
                    break;
                }
                if len >= CHUNK_MIN {
                    let strict = i.min(avg).saturating_sub(min) as f64;
                    let loose = i.saturating_sub(avg) as f64;
                    *next.entry(*cut).or_default() +=
                        weight * survival(strict, loose) * accept(len);
                }
            }
        }
        ends = next.into_iter().collect();
    }
    ends.iter().map(|(_, weight)| weight).sum()
}

/// Stored sizes up to the first chunk that no candidate ended.
fn observe(group: &ChunkKeys, data: &[u8]) -> Vec<usize> {
    let mut lens = cuts(&Chunker::new(group), data);
    lens.pop();
    let lens = lens.into_iter().take_while(|len| *len < CHUNK_MAX);
    lens.map(|len| padded_len(9 + len)).collect()
}

/// Share of right guesses for the known file minus share of wrong ones for others: 0 is guessing,
/// 1 is certainty. `stolen` tells whether the gear table is the right one or any.
fn advantage(trials: usize, len: usize, stolen: bool) -> f64 {
    let guess = |group: &ChunkKeys, gear: &ChunkKeys, known: &[u8], stored: &[u8]| {
        let sizes = observe(group, stored);
        let is_known =
            likelihood_known(&candidates(gear.gear(), known), &sizes) > likelihood_blind(&sizes);
        f64::from(u8::from(is_known))
    };
    let one = |trial| {
        let group = keys(&format!("kpa {trial}"));
        let gear = keys(&format!(
            "kpa {}",
            if stolen { trial } else { trial + trials }
        ));
        let known = bulk(&format!("kpa known {trial}"), len);
        let other = bulk(&format!("kpa other {trial}"), len);
        guess(&group, &gear, &known, &known) - guess(&group, &gear, &known, &other)
    };
    (0..trials).map(one).sum::<f64>() / trials as f64
}

/// The inputs are fixed, so this is a record and not a gamble. Without padding the advantage with
/// the gear table is close to 1.
#[test]
fn n24_sizes_only_distinguisher() {
    let trials = std::env::var("PACKNBACK_KPA_TRIALS")
        .ok()
        .and_then(|n| n.parse().ok());
    let lens: &[usize] = if trials.is_some() { &[4, 16, 64] } else { &[8] };
    for len in lens {
        let [with, without] =
            [true, false].map(|stolen| advantage(trials.unwrap_or(30), len * MIB, stolen));
        println!("{len} MiB: advantage {with:.3} with the gear table, {without:.3} without");
        assert!(with < 0.5 && without.abs() < 0.2, "{with} {without}");
    }
}
