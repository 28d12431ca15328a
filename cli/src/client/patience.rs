//! How long each answer may take. No wait is without a bound, and when it is over, what was waited for is
//! said.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use packnback_proto::wire::local::Rule;

/// A node that works on an answer says so every few seconds. One that says nothing at all for so long is
/// stopped, or hangs.
pub(super) const SILENCE: Duration = Duration::from_secs(45);
/// How often a wait looks at the clock.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for the node to take what is sent to it, while it says that it works.
pub(super) const TAKES: Duration = Duration::from_secs(15 * 60);

/// An answer that is owed for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// What the node was asked.
    pub(super) asked: &'static str,
    /// How long ago, or for how long it has said nothing of it.
    pub(super) waited: Duration,
}

/// When the node was last heard about a request, and since when it owes the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// It said something of it.
    heard: Instant,
    /// It was asked, or answered another that was to be answered before.
    turn: Instant,
}

impl Times {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            turn: now,
        }
    }

    /// The node says that it works on this.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The node came a step nearer to the answer.
    pub(super) fn turned(&mut self, now: Instant) {
        self.turn = now;
    }

    /// Whether the answer is overdue.
    pub(super) fn overdue(&self, now: Instant, rule: &Rule) -> Option<Due> {
        let silent = now.saturating_duration_since(self.heard.max(self.turn));
        let owed = now.saturating_duration_since(self.turn);
        let late = silent >= SILENCE.min(rule.within) || owed >= rule.within;
        late.then_some(Due {
            asked: rule.asked,
            waited: if owed >= rule.within { owed } else { silent },
        })
    }
}

/// The process behind a socket, as the system knows it.
pub(super) fn process_of(stream: &UnixStream) -> Option<i32> {
    let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

/// A time limit of the socket was over, or a signal came.
pub(super) fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use packnback_proto::wire::local::{LocalRequest, QUICK};

    use super::*;

    #[test]
    fn silence_and_endless_work_are_both_bounded() {
        let start = Instant::now();
        let mut times = Times::new(start);
        let at = |s: u64| start + Duration::from_secs(s);
        let (short, long) = (LocalRequest::Status.rule(), LocalRequest::Collect.rule());
        let waited = |times: &Times, s, rule| times.overdue(at(s), rule).map(|due| due.waited);
        assert_eq!(waited(&times, 44, &short), None);
        assert_eq!(waited(&times, 45, &long), Some(SILENCE));
        // It says that it works.
        times.heard(at(80));
        assert_eq!(waited(&times, 89, &short), None);
        assert_eq!(waited(&times, 90, &short), Some(QUICK));
        assert_eq!(waited(&times, 100, &long), None);
        // One before it was answered, long after.
        times.turned(at(10_000));
        assert_eq!(waited(&times, 10_044, &short), None);
        assert_eq!(waited(&times, 10_045, &short), Some(SILENCE));
    }

    #[test]
    fn what_is_overdue_is_said() {
        let start = Instant::now();
        let rule = LocalRequest::Shutdown.rule();
        let due = Times::new(start).overdue(start + SILENCE, &rule);
        assert_eq!(due.map(|due| due.asked), Some("to end"));
    }
}
