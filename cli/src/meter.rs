//! The line that moves: how far a backup or restore is, how fast, how long it still takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use unicode_width::UnicodeWidthStr;

use crate::progress::{Counters, Progress};
use crate::render::{self, Voice};
use crate::tables;

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
            one_line(&bar);
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

/// A line that is cut where the terminal ends, so that it never leaves a part of itself behind.
pub fn one_line(bar: &ProgressBar) {
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
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
        let columns = render::columns(std::io::stderr()).unwrap_or(80);
        // The wheel that turns takes two.
        let columns = columns.saturating_sub(2);
        let text = message(verb, counters, started.elapsed(), speed, columns);
        bar.set_message(text);
        bar.tick();
        std::thread::park_timeout(TICK);
    }
}

#[derive(Clone, Copy)]
struct Speed {
    bytes: u64,
    time: Duration,
}

/// What matters most comes first; what does not fit into the line is left out, whole.
fn message(
    verb: &str,
    counters: &Counters,
    elapsed: Duration,
    speed: Speed,
    columns: usize,
) -> String {
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
    let left = found.saturating_sub(done);
    let eta = (all && speed.bytes > 0).then(|| {
        let millis =
            u128::from(left).saturating_mul(speed.time.as_millis()) / u128::from(speed.bytes);
        let eta = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        format!("{} left", render::duration(eta))
    });
    let parts = [
        Some(render::rate(speed.bytes, speed.time)),
        eta,
        Some(render::counted(entries, "file", "files")),
        Some(format!("stored {}", render::bytes(moved))),
        Some(render::duration(elapsed)),
    ];
    let mut text = format!("{verb}  {}{of}", render::bytes(done));
    for part in parts.iter().flatten() {
        if text.width().saturating_add(part.width()).saturating_add(2) > columns {
            break;
        }
        text.push_str("  ");
        text.push_str(part);
    }
    tables::cut(&text, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(columns: usize) -> String {
        let counters = Counters::default();
        for (counter, n) in [
            (&counters.entries_done, 1_234_567),
            (&counters.bytes_done, 1000 << 30),
            (&counters.bytes_found, 1023 << 30),
            (&counters.bytes_moved, 1000 << 30),
            (&counters.found_all, 1),
        ] {
            Counters::add(counter, n);
        }
        let speed = Speed {
            bytes: 3 << 20,
            time: Duration::from_secs(1),
        };
        message(
            "restoring",
            &counters,
            Duration::from_secs(7199),
            speed,
            columns,
        )
    }

    #[test]
    fn the_line_fits_and_says_first_how_far_and_how_long() {
        assert_eq!(
            line(78),
            "restoring  1000 GiB of 1023 GiB  3.0 MiB/s  2 h left  1,234,567 files"
        );
        assert_eq!(line(40), "restoring  1000 GiB of 1023 GiB");
        assert_eq!(line(20), "restoring  1000 GiB…");
        for columns in 0..200 {
            assert!(line(columns).width() <= columns, "{columns}");
        }
        assert!(line(200).ends_with("  119 min"));
    }
}
