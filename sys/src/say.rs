//! Saying things on standard output and standard error.
//!
//! What the standard macros do when nobody can be told any more is to panic: a backup would end because a
//! log is on a full disk. Here a remark that cannot be written is lost and nothing else is, and an answer
//! that cannot be written is an error the caller decides about.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static SAID: AtomicBool = AtomicBool::new(false);

/// A remark, on standard error, in one piece. If nobody can be told, it is lost.
pub fn note(text: &str) {
    let mut line = String::with_capacity(text.len().saturating_add(1));
    line.push_str(text);
    line.push('\n');
    note_raw(&line);
}

/// As [`note`], without an end of line: before somebody types something.
pub fn note_raw(text: &str) {
    SAID.store(true, Ordering::Relaxed);
    let mut err = io::stderr().lock();
    // Nobody to be told is no reason to stop what is being done.
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}

/// Whether anything was said on standard error so far.
#[must_use]
pub fn was_anything_noted() -> bool {
    SAID.load(Ordering::Relaxed)
}

/// A line of the answer, on standard output.
///
/// # Errors
/// When it cannot be written.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Standard error for a log: it takes everything, whether it can be written or not.
#[derive(Debug, Default, Clone, Copy)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log that cannot be written must not end what it tells about.
        drop(io::stderr().lock().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
