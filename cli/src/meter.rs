//! The line that moves: how far a backup or restore is, how fast, how long it still takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::progress::{Counters, Progress};
use crate::render::{self, Voice};

const TICK: Duration = Duration::from_millis(100);
/// The rate shown is that of the last few seconds.
const WINDOW: usize = 50;
const PROBLEMS_SHOWN: usize = 20;

/// Shows progress on a terminal; in a pipe only problems.
pub struct Meter {
    counters: Arc<Counters>,
    bar: ProgressBar,
    voice: Voice,
    shown: Mutex<usize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Meter {
    /// Starts showing. `verb` names what is being done.
    #[must_use]
    pub fn start(voice: Voice, verb: &'static str) -> Self {
        let counters = Arc::<Counters>::default();
        let stop = Arc::<AtomicBool>::default();
        let bar = if voice.shows_progress() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        let thread = voice.shows_progress().then(|| {
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            }
            let (bar, counters, stop) = (bar.clone(), Arc::clone(&counters), Arc::clone(&stop));
            std::thread::spawn(move || run(verb, &bar, &counters, &stop))
        });
        Self {
            counters,
            bar,
            voice,
            shown: Mutex::new(0),
            stop,
            thread,
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only draws: if it failed, there is nothing to undo.
            drop(thread.join());
        }
        self.bar.finish_and_clear();
    }
}

impl Progress for Meter {
    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn problem(&self, path: &[u8], reason: &str) {
        let mut shown = self.shown.lock();
        *shown = shown.saturating_add(1);
        if *shown <= PROBLEMS_SHOWN || self.voice.verbose > 0 {
            self.bar.suspend(|| {
                self.voice
                    .problem(&format!("/{}: {reason}", render::path(path)))
            });
        }
    }

    fn file(&self, path: &[u8]) {
        if self.voice.verbose > 0 {
            self.bar
                .suspend(|| self.voice.note(&format!("/{}", render::path(path))));
        }
    }
}

fn run(verb: &str, bar: &ProgressBar, counters: &Counters, stop: &AtomicBool) {
    let started = Instant::now();
    let mut window = VecDeque::with_capacity(WINDOW);
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let done = Counters::get(&counters.bytes_done);
        if window.len() == WINDOW {
            window.pop_front();
        }
        window.push_back((now, done));
        let (since, before) = window.front().copied().unwrap_or((now, done));
        let speed = Speed {
            bytes: done.saturating_sub(before),
            time: now.saturating_duration_since(since),
        };
        bar.set_message(message(verb, counters, started.elapsed(), speed));
        bar.tick();
        std::thread::park_timeout(TICK);
    }
}

#[derive(Clone, Copy)]
struct Speed {
    bytes: u64,
    time: Duration,
}

fn message(verb: &str, counters: &Counters, elapsed: Duration, speed: Speed) -> String {
    let entries = Counters::get(&counters.entries_done);
    let done = Counters::get(&counters.bytes_done);
    let found = Counters::get(&counters.bytes_found);
    let all = Counters::get(&counters.found_all) > 0;
    let of = if found == 0 {
        String::new()
    } else {
        format!(" of {}{}", render::bytes(found), if all { "" } else { "+" })
    };
    let moved = Counters::get(&counters.bytes_moved);
    let mut text = format!(
        "{verb}  {}  {}{of}  {}  stored {}  {}",
        render::counted(entries, "file", "files"),
        render::bytes(done),
        render::rate(speed.bytes, speed.time),
        render::bytes(moved),
        render::duration(elapsed),
    );
    let left = found.saturating_sub(done);
    if all && speed.bytes > 0 {
        let millis =
            u128::from(left).saturating_mul(speed.time.as_millis()) / u128::from(speed.bytes);
        let eta = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        text.push_str(&format!("  {} left", render::duration(eta)));
    }
    text
}
