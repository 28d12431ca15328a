//! The first line of `status`: whether the backups of this machine are safe. Pure.

use std::time::Duration;

use crate::render;

/// A newest snapshot older than this is said to be old.
pub const OLD_S: u64 = 7 * 86_400;

/// The newest snapshot of one set of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// What the set is called.
    pub set: String,
    /// When it was made, unix seconds.
    pub time: u64,
    /// Friends that have confirmed it.
    pub friends: usize,
    /// When the newest one was made that a friend has confirmed.
    pub safe_time: Option<u64>,
}

/// What the verdict goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Unix seconds.
    pub now: u64,
    /// Whether this machine backs up at all.
    pub has_owner: bool,
    /// Friends that store for this machine.
    pub friends: usize,
    /// So many friends are asked for; at least one counts as safe.
    pub wanted: usize,
    /// One for each set.
    pub newest: Vec<Newest>,
    /// Alarms that nobody has acknowledged.
    pub alarms: usize,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the newest snapshot of every set is on enough friends.
    pub safe: bool,
    /// On so many friends the newest of every set is.
    pub friends: usize,
    /// The line.
    pub text: String,
}

fn age(time: u64, now: u64) -> String {
    match now.saturating_sub(time) {
        0..=59 => "a moment".to_owned(),
        seconds => render::duration(Duration::from_secs(seconds)),
    }
}

/// Decides.
#[must_use]
pub fn verdict(facts: &Facts) -> Verdict {
    let friends = facts
        .newest
        .iter()
        .map(|newest| newest.friends)
        .min()
        .unwrap_or(0);
    let safe = friends >= facts.wanted.max(1);
    let mut text = if safe {
        of_safe(facts, friends)
    } else {
        of_unsafe(facts, friends)
    };
    match facts.alarms {
        0 => {}
        1 => text.push_str("; 1 alarm below"),
        more => text.push_str(&format!("; {more} alarms below")),
    }
    Verdict {
        safe,
        friends,
        text,
    }
}

fn of_safe(facts: &Facts, friends: usize) -> String {
    let oldest = facts.newest.iter().min_by_key(|newest| newest.time);
    let time = oldest.map_or(facts.now, |newest| newest.time);
    // A set that was given up makes nothing old: the age of each is shown below.
    let last = facts.newest.iter().map(|newest| newest.time).max();
    let is_old = facts.now.saturating_sub(last.unwrap_or(time)) > OLD_S;
    let (word, since) = if is_old {
        ("SAFE BUT OLD", "; nothing was backed up since")
    } else {
        ("SAFE", "")
    };
    let age = age(time, facts.now);
    match facts.newest.as_slice() {
        [_] => format!(
            "{word}: newest {age} old, on {friends} of {}{since}",
            of_friends(facts.friends)
        ),
        many => {
            let set = oldest.map_or("", |newest| newest.set.as_str());
            format!(
                "{word}: the newest of each of {} sets is on {friends} of {} at least; the oldest ({set}) is {age} old",
                many.len(),
                of_friends(facts.friends)
            )
        }
    }
}

fn of_unsafe(facts: &Facts, friends: usize) -> String {
    if !facts.has_owner {
        return "NOT SAFE: this machine backs nothing up (packnback init); it can store for friends".to_owned();
    }
    let worst = facts
        .newest
        .iter()
        .filter(|newest| newest.friends == friends);
    let Some(worst) = worst.min_by_key(|newest| newest.safe_time) else {
        return "NOT SAFE: nothing was backed up yet".to_owned();
    };
    let newest = match (facts.newest.len(), worst.set.as_str()) {
        (1, _) | (_, "") => "newest".to_owned(),
        (_, set) => format!("newest of {set}"),
    };
    let age = format!("{newest} {} old", age(worst.time, facts.now));
    if friends > 0 {
        let wanted = of_friends(facts.wanted);
        return format!("NOT SAFE: {age}, on {friends} of the {wanted} asked for");
    }
    if facts.friends == 0 {
        return format!("NOT SAFE: {age}, on this machine only: no friend stores for it");
    }
    let before = match worst.safe_time {
        Some(time) => format!("the one {} old is", self::age(time, facts.now)),
        None => "none is".to_owned(),
    };
    let of = of_friends(facts.friends);
    format!("NOT SAFE: {age}, on this machine only (0 of {of}); {before} on a friend")
}

fn of_friends(n: usize) -> String {
    format!("{n} {}", if n == 1 { "friend" } else { "friends" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_900_000_000;
    const HOUR: u64 = 3600;

    fn newest(set: &str, hours: u64, friends: usize, safe_hours: Option<u64>) -> Newest {
        Newest {
            set: set.to_owned(),
            time: NOW - hours * HOUR,
            friends,
            safe_time: safe_hours.map(|hours| NOW - hours * HOUR),
        }
    }

    fn facts(newest: Vec<Newest>) -> Facts {
        Facts {
            now: NOW,
            has_owner: true,
            friends: 2,
            wanted: 0,
            newest,
            alarms: 0,
        }
    }

    #[track_caller]
    fn says(facts: &Facts, safe: bool, text: &str) {
        let verdict = verdict(facts);
        assert_eq!((verdict.text.as_str(), verdict.safe), (text, safe));
    }

    #[test]
    fn on_a_friend_is_safe() {
        let on_two = facts(vec![newest("", 3, 2, Some(3))]);
        says(&on_two, true, "SAFE: newest 3 h old, on 2 of 2 friends");
        let on_one = facts(vec![newest("", 3, 1, Some(3))]);
        says(&on_one, true, "SAFE: newest 3 h old, on 1 of 2 friends");
        let alarms = Facts {
            alarms: 2,
            ..on_one
        };
        says(
            &alarms,
            true,
            "SAFE: newest 3 h old, on 1 of 2 friends; 2 alarms below",
        );
        let ahead = facts(vec![Newest {
            time: NOW + 5,
            ..newest("", 0, 1, None)
        }]);
        says(&ahead, true, "SAFE: newest a moment old, on 1 of 2 friends");
    }

    #[test]
    fn on_no_friend_is_not_safe() {
        let here = facts(vec![newest("", 3, 0, Some(50))]);
        says(
            &here,
            false,
            "NOT SAFE: newest 3 h old, on this machine only (0 of 2 friends); the one 2 days old is on a friend",
        );
        let alone = Facts {
            friends: 0,
            ..here.clone()
        };
        says(
            &alone,
            false,
            "NOT SAFE: newest 3 h old, on this machine only: no friend stores for it",
        );
        let never = facts(vec![newest("", 3, 0, None)]);
        says(
            &never,
            false,
            "NOT SAFE: newest 3 h old, on this machine only (0 of 2 friends); none is on a friend",
        );
        says(
            &facts(Vec::new()),
            false,
            "NOT SAFE: nothing was backed up yet",
        );
        let host = Facts {
            has_owner: false,
            ..facts(Vec::new())
        };
        says(
            &host,
            false,
            "NOT SAFE: this machine backs nothing up (packnback init); it can store for friends",
        );
    }

    #[test]
    fn more_can_be_asked_for() {
        let on_one = facts(vec![newest("", 3, 1, Some(3))]);
        for (wanted, safe) in [(0, true), (1, true), (2, false)] {
            assert_eq!(
                verdict(&Facts {
                    wanted,
                    ..on_one.clone()
                })
                .safe,
                safe,
                "{wanted}"
            );
        }
        let two = Facts {
            wanted: 2,
            ..on_one
        };
        says(
            &two,
            false,
            "NOT SAFE: newest 3 h old, on 1 of the 2 friends asked for",
        );
    }

    #[test]
    fn what_is_old_is_said_to_be() {
        let old = facts(vec![newest("", 24 * 9, 2, Some(24 * 9))]);
        says(
            &old,
            true,
            "SAFE BUT OLD: newest 9 days old, on 2 of 2 friends; nothing was backed up since",
        );
    }

    #[test]
    fn the_worst_set_decides() {
        let sets = facts(vec![
            newest("Pictures", 3, 2, Some(3)),
            newest("Documents", 5, 1, Some(5)),
        ]);
        says(
            &sets,
            true,
            "SAFE: the newest of each of 2 sets is on 1 of 2 friends at least; the oldest (Documents) is 5 h old",
        );
        let sets = facts(vec![
            newest("Pictures", 3, 2, Some(3)),
            newest("Documents", 5, 0, None),
        ]);
        says(
            &sets,
            false,
            "NOT SAFE: newest of Documents 5 h old, on this machine only (0 of 2 friends); none is on a friend",
        );
    }
}
