//! The node's log: what others cause is bounded, and so is the file.
//!
//! A friend decides how often a refusal happens, so each kind of line is written a few times a minute for
//! each peer, and not more. Text of others was cleaned where it was decoded; what a library quotes is
//! cleaned here, so that one event is one line. The file that `packnback` opens for a node is changed for
//! a new one when it has grown, and one old one is kept: it takes no more than twice [`LOG_MAX`].

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use packnback_proto::text;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::config::Config;

/// Name of the log in the folder of the node, and of the one before.
const LOG_NAME: &str = "node.log";
/// The log is changed when it is longer than this.
const LOG_MAX: u64 = 4 << 20;
/// Longest line, in characters.
const LINE_MAX: usize = 2000;
/// Lines of one kind about one peer that are written in a minute.
const PER_PEER_MAX: u32 = 4;
/// Lines of one kind, whoever they are about.
const PER_KIND_MAX: u32 = 60;
/// Kinds and peers told apart in a minute.
const TOLD_APART_MAX: usize = 8192;
const MINUTE: Duration = Duration::from_secs(60);
/// Fields that say who a line is about.
const WHO: [&str; 5] = ["peer", "from", "host", "friend", "node"];

/// Starts the log of this process: to standard error, and if that is the log file of the node's home, to
/// that and its successors.
pub fn init(config: &Config) {
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let path = config
        .folders()
        .ok()
        .map(|folders| folders.node().join(LOG_NAME));
    let writer = Writer {
        sink: Arc::new(Mutex::new(Sink::of_stderr(path))),
        is_terminal: io::stderr().is_terminal(),
    };
    let layer = tracing_subscriber::fmt::layer::<Registry>()
        .with_ansi(writer.is_terminal)
        // It would say on standard error what it could not write to standard error.
        .log_internal_errors(false)
        .with_writer(writer)
        .with_filter(filter.and(Throttle::default()));
    // An error means that there is a log already.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Standard error may lead to a file that has been changed for a new one.
        tracing::error!("panic: {info}");
        usual(info);
    }));
}

/// Where lines go.
struct Sink {
    /// The log file, if standard error is that.
    file: Option<(PathBuf, File)>,
    len: u64,
}

impl Sink {
    fn of_stderr(path: Option<PathBuf>) -> Self {
        let file = path.and_then(|path| {
            let file = open(&path, false).ok()?;
            let (there, here) = (file.metadata().ok()?, rustix::fs::fstat(io::stderr()).ok()?);
            let is_same = (there.dev(), there.ino()) == (here.st_dev, here.st_ino);
            is_same.then_some((path, file))
        });
        Self::new(file)
    }

    fn new(file: Option<(PathBuf, File)>) -> Self {
        let len = file.as_ref().and_then(|(_, file)| file.metadata().ok());
        let len = len.map_or(0, |data| data.len());
        Self { file, len }
    }

    /// Writes a line. One that cannot be written is lost, and nothing else is.
    fn line(&mut self, line: &[u8]) {
        let Some((path, file)) = &mut self.file else {
            drop(io::stderr().lock().write_all(line));
            return;
        };
        let len = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.len.saturating_add(len) > LOG_MAX && self.len > 0 {
            let old = path.with_extension("log.1");
            match std::fs::rename(&*path, old).and_then(|()| open(path, true)) {
                Ok(new) => {
                    *file = new;
                    self.len = 0;
                }
                // Better no line than a disk full of them.
                Err(_) => return,
            }
        }
        if file.write_all(line).is_ok() {
            self.len = self.len.saturating_add(len);
        }
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(create)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// Makes one line of an event.
fn one_line(event: &[u8]) -> String {
    let mut line = text::clean(&String::from_utf8_lossy(event), LINE_MAX);
    line.push('\n');
    line
}

#[derive(Clone)]
struct Writer {
    sink: Arc<Mutex<Sink>>,
    is_terminal: bool,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Writer {
    /// An event comes in one piece.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // On a terminal the colours are our own, and what is quoted has been escaped.
        if self.is_terminal {
            self.sink.lock().line(event);
        } else {
            self.sink.lock().line(one_line(event).as_bytes());
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets a few lines of each kind through in a minute, for each peer.
#[derive(Default)]
struct Throttle(Mutex<Window>);

#[derive(Default)]
struct Window {
    began: Option<Instant>,
    /// How often each was said.
    lines: HashMap<Told, u32>,
}

/// A kind of line, and which peer it is about (zero: all).
#[derive(PartialEq, Eq, Hash)]
struct Told {
    kind: tracing::callsite::Identifier,
    peer: u64,
}

impl Window {
    fn has_room(&mut self, key: Told, most: u32) -> bool {
        let is_full = self.lines.len() >= TOLD_APART_MAX;
        match self.lines.get_mut(&key) {
            Some(count) if *count >= most => false,
            Some(count) => {
                *count = count.saturating_add(1);
                true
            }
            None if is_full => false,
            None => {
                self.lines.insert(key, 1);
                true
            }
        }
    }
}

#[derive(Default)]
struct Who(DefaultHasher, bool);

impl Visit for Who {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if WHO.contains(&field.name()) {
            format!("{value:?}").hash(&mut self.0);
            self.1 = true;
        }
    }
}

impl<S> Filter<S> for Throttle {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        // Who asks for more than usual gets it.
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        let mut who = Who::default();
        event.record(&mut who);
        let kind = event.metadata().callsite();
        let now = Instant::now();
        let mut window = self.0.lock();
        if window
            .began
            .is_none_or(|began| now.duration_since(began) >= MINUTE)
        {
            window.began = Some(now);
            window.lines.clear();
        }
        let of_peer = Told {
            kind: kind.clone(),
            peer: who.0.finish() | 1,
        };
        let of_peer = !who.1 || window.has_room(of_peer, PER_PEER_MAX);
        of_peer && window.has_room(Told { kind, peer: 0 }, PER_KIND_MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The lines that come of what is logged.
    fn logged(log: impl FnOnce()) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG_NAME);
        let file = open(&path, true).unwrap();
        let writer = Writer {
            sink: Arc::new(Mutex::new(Sink::new(Some((path.clone(), file))))),
            is_terminal: false,
        };
        let layer = tracing_subscriber::fmt::layer::<Registry>()
            .with_ansi(false)
            .with_writer(writer)
            .with_filter(EnvFilter::new("info").and(Throttle::default()));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn n25_a_peer_causes_a_few_lines_of_a_kind_in_a_minute() {
        let lines = logged(|| {
            for n in 0..10_000 {
                tracing::warn!(peer = "greedy", n, "refused");
            }
            tracing::warn!(peer = "honest", "something else");
        });
        let greedy = lines.iter().filter(|line| line.contains("greedy"));
        assert_eq!(greedy.count(), 4);
        assert!(lines.last().unwrap().contains("honest"));
        // Many peers, one kind.
        let lines = logged(|| {
            for n in 0..10_000 {
                tracing::info!(peer = n, "refused");
            }
        });
        assert_eq!(lines.len(), 60);
    }

    #[test]
    fn n29_an_event_is_one_line_without_tricks() {
        let lines = logged(|| {
            tracing::info!("a\n2026-11-26T00:00:00Z INFO forged\u{1b}[2J\u{202e}b");
            tracing::info!("{}", "long ".repeat(10_000));
        });
        assert_eq!(lines.len(), 2);
        assert!(!lines.iter().any(|line| line.chars().any(text::is_unfit)));
        assert!(lines.iter().all(|line| line.chars().count() <= LINE_MAX));
    }

    #[test]
    fn n25_the_log_takes_no_more_than_twice_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG_NAME);
        let file = open(&path, true).unwrap();
        let mut sink = Sink::new(Some((path.clone(), file)));
        let line = [b'x'; 1 << 20];
        for _ in 0..20 {
            sink.line(&line);
        }
        let files: Vec<u64> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(files.len(), 2);
        assert!(files.iter().all(|len| *len <= LOG_MAX && *len > 0));
    }
}
