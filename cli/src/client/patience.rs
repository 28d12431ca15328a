//! How long each answer may take. No wait is without a bound, and when it is over, what was waited for is
//! said.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use packnback_proto::wire::local::LocalRequest;
use parking_lot::Mutex;

/// A node that works on an answer says so every few seconds. One that says nothing at all for so long is
/// stopped, or hangs.
pub(super) const SILENCE: Duration = Duration::from_secs(45);
/// How often a wait looks at the clock.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for the node to take what is sent to it, while it says that it works.
pub(super) const TAKES: Duration = Duration::from_secs(15 * 60);

/// Answers that need no more than a look at the node's tables.
const QUICK: Duration = Duration::from_secs(90);
/// Answers that write or read much on this machine's disk.
const WORK: Duration = Duration::from_secs(15 * 60);
/// Answers of other machines; the node itself gives them up sooner.
const FAR: Duration = Duration::from_secs(5 * 60);
/// Freeing space.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// What a wait is for, and how long it may be with signs of life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) asked: &'static str,
    pub(super) most: Duration,
}

/// The wish of a request.
pub(super) fn wish(request: &LocalRequest) -> Wish {
    let (asked, most) = match request {
        LocalRequest::Hello { .. } => ("who it is", SILENCE),
        LocalRequest::Adopt { .. } => ("to take a certificate", QUICK),
        LocalRequest::Open => ("to begin a backup", QUICK),
        LocalRequest::Have => ("which objects it has", WORK),
        LocalRequest::Put { .. } => ("to take an object", WORK),
        LocalRequest::Sync => ("to write all to disk", WORK),
        LocalRequest::Commit { .. } => ("to complete the snapshot", WORK),
        LocalRequest::Records { remote: true, .. } => ("for records of a friend", FAR),
        LocalRequest::Records { .. } => ("for its records", QUICK),
        LocalRequest::Get { remote: true } => ("for objects of a friend", FAR),
        LocalRequest::Get { .. } => ("for objects", QUICK),
        LocalRequest::Copies { timeout_ms, .. } => {
            let own = Duration::from_millis(*timeout_ms);
            ("who has the snapshot", own.saturating_add(QUICK))
        }
        LocalRequest::RemoteOpen { .. } => ("to reach a friend", FAR),
        LocalRequest::RemoteGrant { .. } => ("to show a friend the permission to read", FAR),
        LocalRequest::Accept { .. } => ("to accept an invite", FAR),
        LocalRequest::Order { .. } => ("to take an order", WORK),
        LocalRequest::Retention { .. } => ("what retention says", WORK),
        LocalRequest::Stats { .. } => ("for sizes", WORK),
        LocalRequest::Collect => ("to free space", LONG),
        LocalRequest::Status => ("for its status", QUICK),
        LocalRequest::Shutdown => ("to end", QUICK),
        _ => ("for something", WORK),
    };
    Wish { asked, most }
}

/// When the node was last heard, and since when it owes the next answer.
pub(super) struct Watch(Mutex<Times>);

struct Times {
    /// Any byte arrived.
    heard: Instant,
    /// The answer that is next was asked for, or the one before it came.
    turn: Instant,
}

impl Default for Watch {
    fn default() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Times {
            heard: now,
            turn: now,
        }))
    }
}

impl Watch {
    pub(super) fn heard(&self) {
        self.0.lock().heard = Instant::now();
    }

    /// For how long nothing was heard.
    pub(super) fn silent_for(&self) -> Duration {
        self.0.lock().heard.elapsed()
    }

    /// From now on the node owes this answer.
    pub(super) fn next_turn(&self) {
        self.0.lock().turn = Instant::now();
    }

    /// Whether the answer it owes is overdue, and since when.
    pub(super) fn overdue(&self, wish: Wish) -> Option<Duration> {
        self.overdue_at(Instant::now(), wish)
    }

    fn overdue_at(&self, now: Instant, wish: Wish) -> Option<Duration> {
        let times = self.0.lock();
        let silent = now.saturating_duration_since(times.heard.max(times.turn));
        let owed = now.saturating_duration_since(times.turn);
        let late = silent >= SILENCE.min(wish.most) || owed >= wish.most;
        late.then_some(if owed >= wish.most { owed } else { silent })
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
    use super::*;

    #[test]
    fn silence_and_endless_work_are_both_bounded() {
        let watch = Watch::default();
        let start = watch.0.lock().turn;
        let at = |s: u64| start + Duration::from_secs(s);
        let short = wish(&LocalRequest::Status);
        let long = wish(&LocalRequest::Collect);
        assert_eq!(watch.overdue_at(at(44), short), None);
        assert_eq!(watch.overdue_at(at(45), long), Some(SILENCE));
        // It says that it works.
        watch.0.lock().heard = at(80);
        assert_eq!(watch.overdue_at(at(89), short), None);
        assert_eq!(watch.overdue_at(at(90), short), Some(QUICK));
        assert_eq!(watch.overdue_at(at(100), long), None);
        // A new question, long after the last answer.
        watch.0.lock().turn = at(10_000);
        assert_eq!(watch.overdue_at(at(10_044), short), None);
        assert_eq!(watch.overdue_at(at(10_045), short), Some(SILENCE));
    }

    #[test]
    fn every_request_says_what_it_is_for() {
        let name = |request| wish(&request).asked;
        assert_eq!(name(LocalRequest::Shutdown), "to end");
        assert!(wish(&LocalRequest::Peers).most <= LONG);
    }
}
