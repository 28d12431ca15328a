//! What happened in a run, in order: a number that depends on all of it, and the last events for people.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Events kept to be shown when a promise is broken.
const LAST: usize = 60;

/// FNV-1a, 64 bits: the same on every machine.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

struct Inner {
    start: Instant,
    /// Of the last event.
    time: String,
    hash: u64,
    count: u64,
    last: VecDeque<String>,
    /// Is told everything as it happens.
    tell: Option<Tell>,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Events.
    pub events: u64,
    /// A number that depends on every event.
    pub trace: u64,
    /// Backups acknowledged.
    pub made: usize,
    /// Backups that failed.
    pub failed: u64,
    /// Faults.
    pub faults: u64,
}

/// Is told of each event.
pub type Tell = fn(&str);

/// See the module. Clones write into the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}

impl Trace {
    /// An empty trace that begins now.
    #[must_use]
    pub fn new(tell: Option<Tell>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            start: Instant::now(),
            time: String::new(),
            hash: FNV_START,
            count: 0,
            last: VecDeque::new(),
            tell,
        })))
    }

    /// Something happened, now.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let mut inner = self.0.lock();
        inner.time = Passed(inner.start.elapsed().as_millis()).to_string();
        let line = format!("{} {what}", inner.time);
        for byte in line.bytes() {
            inner.hash = (inner.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        inner.count += 1;
        if let Some(tell) = inner.tell {
            tell(&line);
        }
        if inner.last.len() >= LAST {
            inner.last.pop_front();
        }
        inner.last.push_back(line);
    }

    /// How many events there were.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.lock().count
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that depends on every event and on its time.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.0.lock().hash
    }

    /// When the last event was, for people.
    #[must_use]
    pub fn time(&self) -> String {
        self.0.lock().time.clone()
    }

    /// The last events.
    #[must_use]
    pub fn last(&self) -> Vec<String> {
        self.0.lock().last.iter().cloned().collect()
    }
}

/// Milliseconds as days, hours, minutes and seconds.
struct Passed(u128);

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.0 / 1000, self.0 % 1000);
        let (m, h, d) = (s / 60 % 60, s / 3600 % 24, s / 86_400);
        write!(f, "{d:02}d {h:02}:{m:02}:{:02}.{ms:03}", s % 60)
    }
}
