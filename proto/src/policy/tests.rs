#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod calendar;
mod clock;
mod clock_runs;
mod evaluate;
mod expiry;
mod extremes;
mod fork;
mod guarantee;
mod timing;
mod twin;

use super::{DAY_S, Rules, SnapFact};
use crate::ids::{NodeId, SetId, SnapshotId};

/// 2026-11-25 07:33:20 UTC, a Wednesday.
const NOW: u64 = 1_795_592_000;

fn id(n: u64) -> SnapshotId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    SnapshotId::from(bytes)
}

fn host(n: u8) -> NodeId {
    NodeId([n; 32])
}

/// A snapshot that came from the device itself: number `n`, at `t`.
fn snap(n: u64, t: u64) -> SnapFact {
    SnapFact {
        id: id(n),
        set: SetId([0; 16]),
        t,
        arrival: n,
        held: false,
    }
}

/// Snapshots that came one after the other.
fn snaps(times: impl IntoIterator<Item = u64>) -> Vec<SnapFact> {
    (1..).zip(times).map(|(n, t)| snap(n, t)).collect()
}

/// One a day for `days` days, the last one yesterday.
fn daily(days: u64) -> Vec<SnapFact> {
    snaps((1..=days).rev().map(|back| NOW - back * DAY_S))
}

/// The same snapshot in another backup set.
fn in_set(set: u8, snap: SnapFact) -> SnapFact {
    SnapFact {
        set: SetId([set; 16]),
        ..snap
    }
}

/// Keeps nothing but what must be kept.
const NOTHING: Rules = Rules {
    min_age_d: 0,
    keep: [0; 5],
    keep_last: 0,
};
