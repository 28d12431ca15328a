//! The clock of a host, case by case.

use super::super::{ClockMark, ClockState, Jump, Moment, advance, cleared};
use super::{DAY_S, NOW};

const HOUR: u64 = 3600;

fn at(start: u8, boot: u64, wall: u64) -> Moment {
    Moment {
        wall,
        boot,
        boot_id: [start; 16],
    }
}

/// States seen at these moments, and the last mark.
fn run(mark: ClockMark, moments: &[Moment]) -> (ClockMark, Vec<ClockState>) {
    let mut mark = mark;
    let states = moments
        .iter()
        .map(|now| {
            let (next, state) = advance(Some(mark), *now);
            mark = next;
            state
        })
        .collect();
    (mark, states)
}

fn state(mark: ClockMark, now: Moment) -> ClockState {
    advance(Some(mark), now).1
}

/// A machine that has run for a day.
fn running() -> ClockMark {
    ClockMark::at(at(1, DAY_S, NOW))
}

const fn settling(left_s: u64) -> ClockState {
    ClockState::Settling { left_s }
}

const fn off(expected: u64, seen: u64) -> ClockState {
    ClockState::Jumped { expected, seen }
}

#[test]
fn a_new_host_believes_its_clock() {
    let now = at(1, 5, NOW);
    assert_eq!(advance(None, now), (ClockMark::at(now), ClockState::Steady));
    let kept = serde_json::to_string(&running()).unwrap();
    assert_eq!(serde_json::from_str::<ClockMark>(&kept).unwrap(), running());
}

#[test]
fn n08_within_one_start_a_day_is_the_limit() {
    let (ran, steady) = (HOUR, ClockState::Steady);
    let expected = NOW + ran;
    let moves = |wall| state(running(), at(1, DAY_S + ran, wall));
    assert_eq!(moves(expected), steady);
    assert_eq!(moves(expected + DAY_S), steady);
    assert_eq!(moves(expected - DAY_S), steady);
    for wall in [
        expected + DAY_S + 1,
        expected - DAY_S - 1,
        expected + 3653 * DAY_S,
        expected - 3653 * DAY_S,
    ] {
        assert_eq!(moves(wall), off(expected, wall));
    }
    // In small steps as in one: all are compared with the same moment.
    let steps: Vec<Moment> = (1..=26)
        .map(|n| at(1, DAY_S + n * 60, NOW + n * HOUR))
        .collect();
    let (mark, states) = run(running(), &steps);
    assert_eq!(states[23], steady);
    assert!(mark.jumped.is_some());
}

#[test]
fn n08_a_jump_stays_until_the_owner_looked() {
    let jump = off(NOW + 60, NOW + 3653 * DAY_S);
    let wrong = at(1, DAY_S + 60, NOW + 3653 * DAY_S);
    let right = |start, ran: u64| at(start, if start == 1 { DAY_S } else { 0 } + ran, NOW + ran);
    let later = [
        wrong,
        right(1, 120),
        right(1, 9 * DAY_S),
        right(2, 10 * DAY_S),
        right(3, 99 * DAY_S),
    ];
    let (_, states) = run(running(), &later);
    assert_eq!(states, [jump; 5]);
    // From the next moment on, whatever was seen when it was wrong.
    let mark = cleared(run(running(), &later[..1]).0);
    assert_eq!(mark.state(), ClockState::Steady);
    let wrong_again = at(1, DAY_S + 240, NOW);
    let (mark, states) = run(mark, &[right(1, 120), right(1, 180), wrong_again]);
    assert_eq!(states[..2], [ClockState::Steady; 2]);
    assert!(mark.jumped.is_none());
    let far = at(1, DAY_S + 300, NOW + 9 * DAY_S);
    assert_eq!(state(mark, far), off(NOW + 300, far.wall));
}

#[test]
fn n08_across_starts_behind_is_wrong_and_ahead_settles() {
    let start = |wall| state(running(), at(2, HOUR, wall));
    assert_eq!(start(NOW - DAY_S), ClockState::Steady);
    assert_eq!(start(NOW - DAY_S - 1), off(NOW, NOW - DAY_S - 1));
    assert_eq!(start(0), off(NOW, 0));
    assert_eq!(start(NOW + DAY_S), ClockState::Steady);
    assert_eq!(start(NOW + DAY_S + 1), settling(DAY_S));
    assert_eq!(start(NOW + 400 * DAY_S), settling(DAY_S));
    let most = NOW + 400 * DAY_S + 1;
    assert_eq!(start(most), off(NOW, most));
    assert_eq!(start(u64::MAX), off(NOW, u64::MAX));
}

#[test]
fn settling_ends_after_a_day_of_running() {
    let back = NOW + 10 * DAY_S;
    let ran = |n| at(2, HOUR + n, back + n);
    let moments = [
        ran(0),
        ran(HOUR),
        ran(DAY_S - 1),
        ran(DAY_S),
        ran(DAY_S + 1),
    ];
    let (mark, states) = run(running(), &moments);
    assert_eq!(
        states,
        [
            settling(DAY_S),
            settling(DAY_S - HOUR),
            settling(1),
            ClockState::Steady,
            ClockState::Steady
        ]
    );
    assert_eq!((mark.high, mark.steady_s), (back + DAY_S + 1, 0));
    // A clock that is set back while it settles is wrong all the same.
    let (mark, _) = run(running(), &moments[..2]);
    assert_eq!(state(mark, at(2, 3 * HOUR, NOW)), off(back + 2 * HOUR, NOW));
}

/// On for five hours every Saturday.
#[test]
fn a_machine_that_is_off_every_week_settles_in_the_end() {
    let (mut mark, mut steady) = (running(), 0);
    for week in 1..=30 {
        let wall = NOW + week * 7 * DAY_S;
        let hours: Vec<_> = (0..=5)
            .map(|h| at(10 + week as u8, h * HOUR, wall + h * HOUR))
            .collect();
        let (next, states) = run(mark, &hours);
        assert!(next.jumped.is_none());
        steady += states.iter().filter(|s| **s == ClockState::Steady).count();
        mark = next;
    }
    assert!(steady >= 3, "{steady}");
}

/// What ran before counts, but for one hour.
#[test]
fn an_hour_of_steady_running_comes_after_the_last_time_off() {
    let back = NOW + 10 * DAY_S;
    let (mark, _) = run(
        running(),
        &[at(2, HOUR, back), at(2, DAY_S + HOUR - 1, back + DAY_S - 1)],
    );
    assert_eq!(mark.state(), settling(1));
    let again = at(3, HOUR, back + 300 * DAY_S);
    assert_eq!(state(mark, again), settling(HOUR));
}

/// No battery: the clock starts at 1970, or where it was when the power went, and the network sets it.
#[test]
fn nothing_is_decided_in_the_first_hour() {
    let back = NOW + 10 * DAY_S;
    for first in [0, NOW, NOW + 3653 * DAY_S] {
        let moments = [
            at(2, 20, first),
            at(2, 1000, first + 980),
            at(2, 1060, back),
            at(2, HOUR - 1, back + HOUR - 1061),
            at(2, HOUR, back + HOUR - 1060),
            at(2, HOUR + DAY_S, back + HOUR - 1060 + DAY_S),
        ];
        let (mark, states) = run(running(), &moments);
        let unset = if first == NOW {
            ClockState::Steady
        } else {
            settling(DAY_S)
        };
        assert_eq!(states[..2], [unset, unset]);
        assert_eq!(states[2..5], [settling(DAY_S); 3]);
        assert_eq!((states[5], mark.jumped), (ClockState::Steady, None));
    }
    // Not set by then.
    let moments = [
        at(2, 20, 0),
        at(2, HOUR - 1, HOUR - 21),
        at(2, HOUR, HOUR - 20),
    ];
    let (mark, states) = run(running(), &moments);
    let (expected, seen) = (NOW, HOUR - 20);
    assert_eq!(states, [settling(DAY_S), settling(DAY_S), off(NOW, seen)]);
    assert_eq!(mark.jumped, Some(Jump { expected, seen }));
}

#[test]
fn clearing_does_not_cut_settling_short() {
    let (mark, _) = run(running(), &[at(2, HOUR, NOW + 9 * DAY_S)]);
    assert_eq!(cleared(mark), mark);
    assert_eq!(cleared(running()), running());
}
