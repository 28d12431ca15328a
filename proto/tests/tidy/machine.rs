//! Who may ask the machine for the time, for random bytes and for threads: the implementations of the ports. All
//! others ask the ports, or a run over simulated ones does not repeat itself.

use crate::rules::{Finding, finding};
use crate::source::Source;

/// A question to the machine, and who may ask it.
struct Question {
    /// How it is spelled.
    calls: &'static [&'static str],
    may: &'static [&'static str],
    instead: &'static str,
}

/// libp2p lives with the machine; the log says how often it says something, which nothing depends on.
const QUESTIONS: &[Question] = &[
    Question {
        calls: &["SystemTime::", "UNIX_EPOCH", "now_s("],
        may: &["node/src/ports/system.rs", "node/src/net/"],
        instead: "Clock::now",
    },
    Question {
        calls: &["Instant::now", ".elapsed()"],
        may: &[
            "node/src/ports/clock.rs",
            "node/src/ports/memory/",
            "node/src/net/",
            "node/src/log.rs",
        ],
        instead: "Clock::instant",
    },
    Question {
        calls: &["getrandom", "random_", "thread_rng", "rand::"],
        may: &["node/src/ports/system.rs", "node/src/net/"],
        instead: "Dice",
    },
    Question {
        calls: &[
            "spawn_blocking",
            "thread::spawn",
            "thread::sleep",
            "block_in_place",
        ],
        may: &["node/src/ports/blocking.rs", "node/src/store/"],
        instead: "Blocking, or sleep_until of the Clock",
    },
];

/// Where product code asks the machine although it should not.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    if !source.path.starts_with("node/src/") {
        return found;
    }
    for question in QUESTIONS {
        if question.may.iter().any(|may| source.path.starts_with(may)) {
            continue;
        }
        for (line, text) in source.product_lines() {
            if let Some(call) = question.calls.iter().find(|call| has(text, call)) {
                let what = format!("asks the machine with {call}: use {}", question.instead);
                found.push(finding("machine", source, line, what));
            }
        }
    }
    found
}

/// Whether the text has the call, and not as the end of another word.
fn has(text: &str, call: &str) -> bool {
    text.match_indices(call).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        call.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}
