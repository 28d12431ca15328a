//! Small requests to the system: random numbers, the clock, hardening of this process, Ctrl-C.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use packnback_proto::crypto::secret::Secret32;
use packnback_sys::say::note;
use parking_lot::Mutex;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::Cancel;

/// Random bytes from the system.
///
/// # Errors
/// When the system has none.
pub fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// A random secret, never held anywhere else.
///
/// # Errors
/// When the system has no random numbers.
pub fn random_secret() -> Outcome<Secret32> {
    Secret32::try_init_with(|out| fill(out))
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn fill(out: &mut [u8]) -> Outcome<()> {
    getrandom::fill(out)
        .map_err(|e| Failure::failed("random", format!("the system gave no random numbers: {e}")))
}

/// Unix seconds.
#[must_use]
pub fn now() -> u64 {
    since_epoch().as_secs()
}

/// The clock, as time since 1970; zero before that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn since_epoch() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Keeps the memory of this process, which holds keys, out of core dumps. Best effort by nature.
///
/// A limit of one byte stops dumps to files and, unlike zero, also dumps to a program that collects
/// them. Root is hidden from tracing as well; for other users the system would then hide
/// `/proc/self/fd` from this very process, which needs it to reach attributes of files.
pub fn harden() {
    let one = Rlimit {
        current: Some(1),
        maximum: Some(1),
    };
    let dumps_off = rustix::process::setrlimit(Resource::Core, one).is_ok();
    let hidden = !rustix::process::geteuid().is_root()
        || rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok();
    if !dumps_off || !hidden {
        note("note: this system does not let programs switch off core dumps");
    }
}

static CANCEL: OnceLock<Cancel> = OnceLock::new();
/// What is safe when the run is stopped now; `None`: there is something to clean up.
static SAFE: Mutex<Option<&'static str>> = Mutex::new(None);

/// Ctrl-C (and SIGTERM) ask the run to end and say what is safe; the second one ends it at once.
///
/// # Errors
/// When the system refuses to tell of signals.
pub fn cancel_on_signal(safe: &'static str) -> Outcome<Cancel> {
    say_when_stopped(safe);
    listen()
}

/// From now on something else is true when the run is stopped.
pub fn say_when_stopped(safe: &'static str) {
    *SAFE.lock() = Some(safe);
}

/// Ctrl-C asks the run to end, however often it is pressed: there is something to clean up.
///
/// # Errors
/// When the system refuses to tell of signals.
pub fn cancel_and_clean_up() -> Outcome<Cancel> {
    *SAFE.lock() = None;
    listen()
}

#[expect(
    clippy::disallowed_methods,
    reason = "who presses Ctrl-C twice is told that nothing is cleaned up"
)]
fn listen() -> Outcome<Cancel> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let cancel = CANCEL.get_or_init(Cancel::default).clone();
    let refused = |e| Failure::failed("signal", format!("cannot listen for Ctrl-C: {e}"));
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
    let flag = cancel.clone();
    let wait = move || {
        for _ in signals.forever() {
            let safe = *SAFE.lock();
            match safe {
                Some(_) if flag.is_cancelled() => {
                    std::process::exit(Exit::Interrupted.number().into())
                }
                Some(safe) => {
                    note(&format!(
                        "\nStopping. {safe} Press Ctrl-C again to stop at once."
                    ));
                }
                None => note("\nStopping and cleaning up."),
            }
            flag.cancel();
        }
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(wait)
        .map_err(refused)?;
    Ok(cancel)
}
