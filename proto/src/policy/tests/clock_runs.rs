//! The clock over any life of a machine: one that works is never frozen for good, one that is set wrong is always caught.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{ClockMark, ClockState, Moment, advance, cleared};
use super::{DAY_S, NOW};

const HOUR: u64 = 3600;
const MINUTE: u64 = 60;

/// What the clock shows when the machine starts, until the network sets it.
#[derive(Debug, Clone, Copy)]
enum Battery {
    Good,
    /// Time stands still while it is off.
    Stands,
    /// Back to 1970.
    Empty,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    off_s: u64,
    on_s: u64,
    set_after_s: u64,
    battery: Battery,
}

fn any_session() -> impl Strategy<Value = Session> {
    let off = prop_oneof![0..DAY_S, 0..30 * DAY_S, 0..398 * DAY_S];
    let on = prop_oneof![0..2 * HOUR, 0..12 * HOUR, 0..5 * DAY_S];
    let battery = prop_oneof![
        Just(Battery::Good),
        Just(Battery::Stands),
        Just(Battery::Empty)
    ];
    (off, on, 0..50 * MINUTE, battery).prop_map(|(off_s, on_s, set_after_s, battery)| Session {
        off_s,
        on_s,
        set_after_s,
        battery,
    })
}

/// Every minute in the first hour, then every ten.
fn ticks(on_s: u64) -> impl Iterator<Item = u64> {
    let early = (0..HOUR).step_by(60);
    let late = (HOUR..).step_by(600);
    early.chain(late).take_while(move |s| *s <= on_s)
}

/// A machine that works: the mark after these sessions, and true time.
fn live(sessions: &[Session]) -> Result<(ClockMark, u64), TestCaseError> {
    let mut now = NOW;
    let (mut mark, _) = advance(
        None,
        Moment {
            wall: now,
            boot: DAY_S,
            boot_id: [0; 16],
        },
    );
    for (n, session) in (1..).zip(sessions) {
        let stood = now;
        // Sessions that are too short to be judged add to the time off.
        let off_most = (390 * DAY_S).saturating_sub(now - mark.high);
        now += session.off_s.min(off_most);
        let begin = now;
        for boot in ticks(session.on_s) {
            now = begin + boot;
            let unset = boot < session.set_after_s;
            let wall = match session.battery {
                Battery::Stands if unset => stood + boot,
                Battery::Empty if unset => boot,
                _ => now,
            };
            let moment = Moment {
                wall,
                boot,
                boot_id: [n; 16],
            };
            let (next, state) = advance(Some(mark), moment);
            prop_assert!(
                next.jumped.is_none(),
                "{:?} {:?} {:?}",
                session,
                moment,
                state
            );
            mark = next;
        }
    }
    Ok((mark, now))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn n08_a_machine_that_works_is_not_frozen_for_good(sessions in vec(any_session(), 0..12)) {
        let (mut mark, mut now) = live(&sessions)?;
        // Two days on, and it is believed.
        let begin = now;
        let mut state = mark.state();
        for boot in ticks(2 * DAY_S) {
            now = begin + boot;
            (mark, state) = advance(Some(mark), Moment { wall: now, boot, boot_id: [99; 16] });
        }
        prop_assert_eq!(state, ClockState::Steady);
    }

    /// After the first hour, a clock that is set by more than two days is caught at once, and stays caught.
    #[test]
    fn n08_a_clock_that_is_set_wrong_is_caught(
        sessions in vec(any_session(), 0..6),
        ran in HOUR..9 * DAY_S,
        by in prop_oneof![2 * DAY_S + 1..9 * DAY_S, 0..4000 * DAY_S, any::<u64>()],
        ahead in any::<bool>(),
        then in vec((any::<u64>(), any::<u64>(), any::<u8>()), 0..9),
    ) {
        let by = by.max(2 * DAY_S + 1);
        let (mut mark, now) = live(&sessions)?;
        let boot_id = [99; 16];
        for boot in ticks(ran) {
            (mark, _) = advance(Some(mark), Moment { wall: now + boot, boot, boot_id });
        }
        let right = now + ran;
        let wall = if ahead { right.saturating_add(by) } else { right.saturating_sub(by) };
        let (mut mark, state) = advance(Some(mark), Moment { wall, boot: ran + 60, boot_id });
        let caught = matches!(state, ClockState::Jumped { seen, .. } if seen == wall);
        prop_assert!(caught, "{:?}", state);
        for (wall, boot, start) in then {
            let (next, still) = advance(Some(mark), Moment { wall, boot, boot_id: [start; 16] });
            prop_assert_eq!(still, state);
            mark = next;
        }
        prop_assert_eq!(cleared(mark).state(), ClockState::Steady);
    }

    /// Any numbers: no panic, and never believed right after going ahead by more than a day.
    #[test]
    fn any_moments_have_an_answer(
        moments in vec((any::<u64>(), any::<u64>(), 0u8..3), 1..30),
        small in any::<bool>(),
    ) {
        let mut mark = None::<ClockMark>;
        for (wall, boot, start) in moments {
            let (wall, boot) = if small { (wall % (9 * DAY_S), boot % DAY_S) } else { (wall, boot) };
            let moment = Moment { wall, boot, boot_id: [start; 16] };
            let (next, state) = advance(mark, moment);
            if let Some(before) = mark {
                let same = before.boot_id == moment.boot_id && moment.boot >= before.boot;
                let ahead = wall.saturating_sub(before.high) > DAY_S;
                prop_assert!(same || !ahead || state != ClockState::Steady);
            }
            mark = Some(next);
        }
    }
}
