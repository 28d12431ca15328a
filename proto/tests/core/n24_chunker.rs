//! 24 (and the cuts of 11): where files are cut.

use packnback_proto::chunk::{Chunker, GEAR_MASK, reference};
use packnback_proto::crypto::keys::ChunkKeys;
use packnback_proto::limits::{CHUNK_AVG, CHUNK_MAX, CHUNK_MIN, KIB, MIB};
use proptest::prelude::*;

use crate::support::{bulk, letters, secret};

pub(crate) fn keys(label: &str) -> ChunkKeys {
    ChunkKeys::new(&secret(label))
}

pub(crate) fn cuts(chunker: &Chunker, mut data: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while let Some(len) = chunker.cut(data, true) {
        assert!(len > 0 && len <= CHUNK_MAX && (len >= CHUNK_MIN || len == data.len()));
        lens.push(len);
        data = &data[len..];
    }
    assert!(data.is_empty());
    lens
}

pub(crate) fn reference_cuts(keys: &ChunkKeys, mut data: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while !data.is_empty() {
        lens.push(reference::cut(keys, data));
        data = &data[lens[lens.len() - 1]..];
    }
    lens
}

/// Cuts with a buffer that is filled in steps of `step` bytes.
fn cuts_in_steps(chunker: &Chunker, data: &[u8], step: usize) -> Vec<usize> {
    let (mut start, mut end, mut lens) = (0, 0, Vec::new());
    loop {
        match chunker.cut(&data[start..end], end == data.len()) {
            Some(len) => {
                lens.push(len);
                start += len;
            }
            None if end == data.len() => return lens,
            None => {
                assert!(end - start < CHUNK_MAX);
                end = data.len().min(end + step);
            }
        }
    }
}

#[test]
fn n24_cuts_do_not_depend_on_buffer_sizes() {
    let chunker = Chunker::new(&keys("a"));
    for data in [
        bulk("steps", 12 * MIB + 1),
        letters("steps", 9 * MIB),
        vec![0; 9 * MIB + 3],
    ] {
        let expected = cuts(&chunker, &data);
        for step in [100_003, 262_143, MIB, 4 * MIB, 5 * MIB - 1] {
            assert_eq!(
                cuts_in_steps(&chunker, &data, step),
                expected,
                "steps of {step}"
            );
        }
    }
}

#[test]
fn n24_cuts_differ_for_different_groups() {
    let data = bulk("groups", 24 * MIB);
    let boundaries = |label: &str| {
        let lens = cuts(&Chunker::new(&keys(label)), &data);
        lens.iter()
            .scan(0, |at, len| {
                *at += len;
                Some(*at)
            })
            .collect::<Vec<_>>()
    };
    let (a, b) = (boundaries("a"), boundaries("b"));
    assert!(a.len() > 10 && b.len() > 10);
    let common = a.iter().filter(|at| b.contains(at)).count();
    assert_eq!(common, 1, "only the end of the file");
}

#[test]
fn n24_uniform_and_periodic_input_is_bounded() {
    let chunker = Chunker::new(&keys("a"));
    for period in [1, 2, 3, 61, 64, 100, 1000, 4096, 100_000] {
        let pattern = bulk("period", period);
        let data: Vec<u8> = pattern.iter().copied().cycle().take(9 * MIB).collect();
        let lens = cuts(&chunker, &data);
        assert!(lens.len() <= 9 * MIB / CHUNK_MIN);
        assert_eq!(lens, reference_cuts(&keys("a"), &data));
        // Equal content, equal verdict: all chunks but the last are as long as the first one, for
        // periods that divide it.
        if CHUNK_MAX.is_multiple_of(period) && lens[0] == CHUNK_MAX {
            assert_eq!(lens, [CHUNK_MAX, CHUNK_MAX, MIB]);
        }
    }
    assert_eq!(
        cuts(&chunker, &vec![0; 9 * MIB]),
        [CHUNK_MAX, CHUNK_MAX, MIB]
    );
}

/// A group whose gear table makes every zero byte a candidate: the worst case for speed.
#[test]
fn n24_degenerate_gear_table_still_cuts_like_the_reference() {
    let mask = packnback_proto::chunk::GEAR_MASK;
    let unlucky = (0..)
        .map(|i| keys(&format!("unlucky {i}")))
        .find(|k| k.gear()[0] & mask == 0);
    let keys = unlucky.unwrap();
    let data = vec![0; 5 * MIB];
    assert_eq!(
        cuts(&Chunker::new(&keys), &data),
        reference_cuts(&keys, &data)
    );
}

/// A label whose [`bulk`] bytes have a candidate in the warm-up that the cut key would confirm: only
/// the rule that no cut lies before `CHUNK_MIN` refuses it.
pub(crate) fn label_with_tempting_warm_up(keys: &ChunkKeys) -> String {
    let tempts = |label: &String| {
        let mut noise = [0; 128];
        let mut reader = blake3::Hasher::new()
            .update(label.as_bytes())
            .finalize_xof();
        reader.set_position(CHUNK_MIN as u64 - 128);
        reader.fill(&mut noise);
        let mut h = 0_u64;
        (65..128).any(|end| {
            h = (h << 1).wrapping_add(keys.gear()[usize::from(noise[end - 1])]);
            let is_candidate = h & GEAR_MASK == 0;
            h = if is_candidate { 0 } else { h };
            let u = || blake3::keyed_hash(keys.cut().expose(), &noise[end - 64..end]);
            is_candidate && u16::from_le_bytes([u().as_bytes()[0], u().as_bytes()[1]]) & 0x7ff == 0
        })
    };
    (0..).map(|i| format!("warm-up {i}")).find(tempts).unwrap()
}

#[test]
fn no_cut_in_the_warm_up() {
    let keys = keys("group a");
    let data = bulk(&label_with_tempting_warm_up(&keys), 6 * MIB);
    let lens = cuts(&Chunker::new(&keys), &data);
    assert_eq!(lens, reference_cuts(&keys, &data));
}

/// Labels found by search, for group `a`: a candidate exactly at `CHUNK_MIN` that the strict rule
/// confirms, and one exactly at `CHUNK_AVG` that only the loose rule does.
pub(crate) const AT_MIN: &str = "first possible cut 8826407";
pub(crate) const AT_AVG: &str = "relaxed from here 741684";

#[test]
fn first_cut_at_the_minimum_and_loose_rule_at_the_average() {
    let chunker = Chunker::new(&keys("group a"));
    for (label, at) in [(AT_MIN, CHUNK_MIN), (AT_AVG, CHUNK_AVG)] {
        assert_eq!(chunker.cut(&bulk(label, at + 1), false), Some(at));
    }
}

#[test]
fn lengths_around_the_limits() {
    let keys = keys("a");
    let chunker = Chunker::new(&keys);
    let zeros = vec![0; 2 * CHUNK_MAX + 2];
    assert_eq!(chunker.cut(&[], true), None);
    assert_eq!(chunker.cut(&[], false), None);
    for limit in [
        1,
        CHUNK_MIN - 64,
        CHUNK_MIN,
        CHUNK_AVG,
        CHUNK_MAX,
        2 * CHUNK_MAX,
    ] {
        for len in [limit - 1, limit, limit + 1] {
            let data = &zeros[..len];
            assert_eq!(cuts(&chunker, data), reference_cuts(&keys, data));
            if len > 0 && len <= CHUNK_MAX {
                assert_eq!(chunker.cut(data, true), Some(len));
            }
            let needs_more = len < CHUNK_MAX;
            assert_eq!(chunker.cut(data, false).is_none(), needs_more);
        }
    }
}

#[test]
fn sizes_are_as_designed() {
    let lens = cuts(&Chunker::new(&keys("a")), &bulk("sizes", 128 * MIB));
    let average = 128 * MIB / lens.len();
    assert!((MIB..2 * MIB).contains(&average), "average {average}");
    let largest = lens.iter().filter(|len| **len == CHUNK_MAX).count();
    assert!(
        largest * 20 < lens.len(),
        "{largest} of {} at the limit",
        lens.len()
    );
}

#[test]
fn insertions_change_few_chunks() {
    let chunker = Chunker::new(&keys("a"));
    let data = bulk("insert", 64 * MIB);
    let ids = |data: &[u8]| {
        let mut rest = data;
        let mut ids = std::collections::HashSet::new();
        for len in cuts(&chunker, data) {
            ids.insert(blake3::hash(&rest[..len]));
            rest = &rest[len..];
        }
        ids
    };
    let before = ids(&data);
    let mut edited = data.clone();
    for i in 1..8 {
        edited.splice(i * 8_000_001..i * 8_000_001, *b"inserted");
    }
    let new = ids(&edited).difference(&before).count();
    assert!(new <= 7 * 2, "{new} new chunks for 7 insertions");
}

/// Data with candidates close together, so that restarts and window effects are met often.
fn dense() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0..3 * MIB, 1_usize..200, 0_u8..=255).prop_map(|(label, len, period, mix)| {
        let noise = bulk(&label.to_string(), len);
        let byte = |(i, n): (usize, u8)| if n < mix { n } else { (i % period) as u8 };
        noise.into_iter().enumerate().map(byte).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn chunker_equals_its_reference(data in dense(), group in 0..8) {
        let keys = keys(&format!("group {group}"));
        let chunker = Chunker::new(&keys);
        prop_assert_eq!(cuts(&chunker, &data), reference_cuts(&keys, &data));
        prop_assert_eq!(cuts_in_steps(&chunker, &data, 300 * KIB + 1), cuts(&chunker, &data));
    }
}
