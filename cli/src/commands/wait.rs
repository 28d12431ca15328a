//! Waiting until enough friends have a snapshot.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use packnback_proto::ids::SnapshotId;
use packnback_proto::wire::local::HostCopy;

use crate::args::WaitFor;
use crate::client::{Client, ClientError};
use crate::meter::one_line;
use crate::pipeline::Cancel;
use crate::render::Voice;

/// The node is asked again at least this often, for progress and for Ctrl-C.
const POLL_MS: u64 = 500;
/// What Ctrl-C means once the snapshot is made.
pub const SAFE_TO_STOP: &str = "The snapshot is made and complete on this machine; it goes out to friends by itself while the node runs.";

/// Why waiting ended before enough friends had it, other than by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// More friends were asked for than there are.
    TooFew,
    /// Ctrl-C.
    Stopped,
    /// The node is lost: nobody knows how far it got.
    Lost(String),
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Waited {
    /// Whether enough have it, or nobody asked.
    pub enough: bool,
    /// Every host.
    pub hosts: Vec<HostCopy>,
    /// How long it took.
    pub time: Duration,
    /// Why it ended early.
    pub ended: Option<Ended>,
}

impl Waited {
    /// There is nothing to wait for.
    #[must_use]
    pub fn nobody_asked() -> Self {
        Self {
            enough: true,
            ..Self::default()
        }
    }

    /// Hosts whose receipt is here.
    #[must_use]
    pub fn done(&self) -> usize {
        self.hosts.iter().filter(|copy| copy.receipt).count()
    }
}

/// What to wait for, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// How many friends; `None`: whoever has it already.
    pub wait: Option<WaitFor>,
    /// Longest wait, seconds.
    pub timeout_s: u64,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
}

/// Waits, if asked to. The snapshot is made already: nothing that happens here is a failure of the backup.
pub fn run(voice: Voice, client: &Client, snap: SnapshotId, wish: Wish<'_>) -> Waited {
    let started = Instant::now();
    let mut waited = Waited::default();
    let asked = client.copies(snap, 0, 0);
    let ended = asked.and_then(|copies| {
        waited.hosts = copies.hosts;
        match wish.wait {
            Some(wait) => follow(voice, client, snap, wish, wait, &mut waited),
            None => {
                waited.enough = true;
                Ok(None)
            }
        }
    });
    waited.ended = match ended {
        Ok(ended) => ended,
        Err(error) => {
            // Who did not ask for friends has what was asked for.
            waited.enough = wish.wait.is_none();
            Some(Ended::Lost(error.to_string()))
        }
    };
    waited.time = started.elapsed();
    waited
}

fn follow(
    voice: Voice,
    client: &Client,
    snap: SnapshotId,
    wish: Wish<'_>,
    wait: WaitFor,
    waited: &mut Waited,
) -> Result<Option<Ended>, ClientError> {
    let started = Instant::now();
    let limit = Duration::from_secs(wish.timeout_s);
    let bar = if voice.shows_progress() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    one_line(&bar);
    bar.enable_steady_tick(Duration::from_millis(100));
    let ended = loop {
        let done = u32::try_from(waited.done()).unwrap_or(u32::MAX);
        let wanted = match wait {
            WaitFor::Hosts(n) => n,
            // Nobody is not everybody: without friends nothing is safe.
            WaitFor::All => u32::try_from(waited.hosts.len()).unwrap_or(u32::MAX).max(1),
        };
        let left = limit.saturating_sub(started.elapsed());
        waited.enough = done >= wanted;
        if waited.enough || left.is_zero() {
            break None;
        }
        if wish.cancel.is_cancelled() {
            break Some(Ended::Stopped);
        }
        if cannot_be(wanted, &waited.hosts) {
            break Some(Ended::TooFew);
        }
        bar.set_message(format!(
            "sending to friends: {done} of {wanted} done; {}",
            super::status::left(&waited.hosts)
        ));
        let pause = u64::try_from(left.as_millis())
            .unwrap_or(u64::MAX)
            .clamp(1, POLL_MS);
        waited.hosts = client.copies(snap, wanted, pause)?.hosts;
    };
    bar.finish_and_clear();
    Ok(ended)
}

/// More friends asked for than there are: waiting would not help.
fn cannot_be(wanted: u32, hosts: &[HostCopy]) -> bool {
    usize::try_from(wanted).unwrap_or(usize::MAX) > hosts.len()
}

/// Says that friends take no more of this device today.
pub fn say_day(voice: Voice, reason: &str) {
    voice.problem(&format!("Not safe yet: {reason}."));
    voice.problem(
        "  safe: the snapshot is complete on this machine, and goes out by itself on another day.",
    );
    voice.problem(
        "  next: back up less often, or have the owner allow more: packnback device limits",
    );
}
