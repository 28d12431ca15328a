//! The time of a copied snapshot.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{DAY_S, effective_time};
use super::{NOW, host};

const BEGUN: u64 = NOW - 100 * DAY_S;
const TRUE: u64 = BEGUN + 3600;

/// Of a copy that came now, of a backup begun at [`BEGUN`]. Hosts 1, 2 and 3 are listed; 9 is this one.
fn time(receipts: &[(u8, u64)]) -> u64 {
    let receipts: Vec<_> = receipts.iter().map(|(n, t)| (host(*n), *t)).collect();
    let listed = [host(1), host(2), host(3)];
    effective_time(NOW, true, BEGUN, &receipts, Some(&listed), &host(9))
}

#[test]
fn what_the_device_brought_has_the_time_it_came() {
    let receipts = [(host(1), TRUE)];
    let listed = [host(1)];
    let own = effective_time(NOW, false, BEGUN, &receipts, Some(&listed), &host(9));
    assert_eq!(own, NOW);
}

#[test]
fn n08_a_copy_keeps_the_earliest_receipt_of_a_listed_host() {
    assert_eq!(time(&[(1, TRUE)]), TRUE);
    assert_eq!(time(&[(2, TRUE + 5), (1, TRUE), (3, TRUE + 9)]), TRUE);
    // Hosts that are not listed do not count, and neither does one from after it came.
    assert_eq!(time(&[(4, TRUE), (1, TRUE + 7)]), TRUE + 7);
    assert_eq!(time(&[(4, TRUE)]), NOW);
    assert_eq!(time(&[(1, NOW + 1)]), NOW);
    assert_eq!(time(&[(1, u64::MAX)]), NOW);
    assert_eq!(time(&[]), NOW);
    // What this host signed before it lost its disk counts.
    assert_eq!(time(&[(9, TRUE)]), TRUE);
    // No list, nobody counts.
    let receipts = [(host(1), TRUE)];
    assert_eq!(
        effective_time(NOW, true, BEGUN, &receipts, None, &host(9)),
        NOW
    );
}

#[test]
fn n08_a_receipt_from_before_the_backup_is_not_believed() {
    assert_eq!(time(&[(1, 0), (2, TRUE)]), TRUE);
    assert_eq!(time(&[(1, BEGUN - DAY_S - 1), (2, TRUE)]), TRUE);
    assert_eq!(time(&[(1, BEGUN - DAY_S), (2, TRUE)]), BEGUN - DAY_S);
    // The device's clock was ahead: the latest.
    let (early, late) = (BEGUN - 9 * DAY_S, BEGUN - 8 * DAY_S);
    assert_eq!(time(&[(1, early), (2, late), (3, 0)]), late);
    // The only one.
    assert_eq!(time(&[(1, 5)]), 5);
}

proptest! {
    /// With one true receipt, liars that are listed move the time by a day and the length of the backup, no more.
    #[test]
    fn n08_liars_move_the_time_of_a_copy_by_little(
        lies in vec((1u8..6, any::<u64>()), 0..6),
        near in vec((1u8..6, NOW - 120 * DAY_S..NOW + 9), 0..6),
        at in 0usize..12,
    ) {
        let mut receipts: Vec<_> = lies.into_iter().chain(near).collect();
        receipts.insert(at.min(receipts.len()), (2, TRUE));
        let t = time(&receipts);
        prop_assert!(t <= TRUE, "{t}");
        prop_assert!(t >= BEGUN - DAY_S, "{t}");
    }

    #[test]
    fn any_numbers_give_a_time_not_after_it_came(
        came in any::<u64>(),
        started in any::<u64>(),
        receipts in vec((1u8..6, any::<u64>()), 0..6),
    ) {
        let receipts: Vec<_> = receipts.into_iter().map(|(n, t)| (host(n), t)).collect();
        let listed = [host(1), host(2)];
        let t = effective_time(came, true, started, &receipts, Some(&listed), &host(9));
        prop_assert!(t <= came);
    }
}
