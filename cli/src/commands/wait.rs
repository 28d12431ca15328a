//! Waiting until enough friends have a snapshot.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use packnback_proto::ids::SnapshotId;
use packnback_proto::wire::local::HostCopy;

use crate::args::WaitFor;
use crate::client::Client;
use crate::exit::Outcome;
use crate::render::Voice;

/// The node is asked again at least this often, for progress.
const POLL_MS: u64 = 1000;

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Waited {
    /// Whether enough have it, or nobody asked.
    pub enough: bool,
    /// Every host.
    pub hosts: Vec<HostCopy>,
    /// How long it took.
    pub time: Duration,
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

/// Waits, if asked to.
///
/// # Errors
/// When the node is lost.
pub fn run(
    voice: Voice,
    client: &Client,
    snap: SnapshotId,
    wait: Option<WaitFor>,
    timeout_s: u64,
) -> Outcome<Waited> {
    let (_, hosts) = client.copies(snap, 0, 0)?;
    let Some(wait) = wait else {
        return Ok(Waited {
            enough: true,
            hosts,
            time: Duration::ZERO,
        });
    };
    let started = Instant::now();
    let limit = Duration::from_secs(timeout_s);
    let bar = if voice.shows_progress() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut hosts = hosts;
    loop {
        let done =
            u32::try_from(hosts.iter().filter(|copy| copy.receipt).count()).unwrap_or(u32::MAX);
        let wanted = match wait {
            WaitFor::Hosts(n) => n,
            // Nobody is not everybody: without friends nothing is safe.
            WaitFor::All => u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1),
        };
        let time = started.elapsed();
        let left = limit.saturating_sub(time);
        if done >= wanted || left.is_zero() || cannot_be(wanted, &hosts) {
            bar.finish_and_clear();
            return Ok(Waited {
                enough: done >= wanted,
                hosts,
                time,
            });
        }
        bar.set_message(format!(
            "sending to friends: {done} of {wanted} done; {}",
            super::status::left(&hosts)
        ));
        let pause = u64::try_from(left.as_millis())
            .unwrap_or(u64::MAX)
            .clamp(1, POLL_MS);
        hosts = client.copies(snap, wanted, pause)?.1;
    }
}

/// More friends asked for than there are: waiting would not help.
fn cannot_be(wanted: u32, hosts: &[HostCopy]) -> bool {
    usize::try_from(wanted).unwrap_or(usize::MAX) > hosts.len()
}
