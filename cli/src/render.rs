//! Putting things before people: sizes, times, tables, and JSON for programs.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::Duration;

use packnback_proto::text::is_unfit;
use packnback_sys::say;
use serde_json::Value;

use crate::exit::{Failure, Outcome};
use crate::tables;

/// How a command talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Voice {
    /// One JSON object instead of text.
    pub json: bool,
    /// Nothing but errors and problems.
    pub quiet: bool,
    /// How much more than usual.
    pub verbose: u8,
    /// The command has done what it was asked to: see [`Voice::after_deed`].
    pub done: bool,
}

impl Voice {
    /// For what is said once something was done that stays done, like a snapshot: an answer nobody can be
    /// given does not make it a failure.
    #[must_use]
    pub fn after_deed(self) -> Self {
        Self { done: true, ..self }
    }

    /// Says a line to the person, on standard output.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub fn say(self, text: &str) -> Outcome<()> {
        if self.json || self.quiet {
            return Ok(());
        }
        self.answer(text)
    }

    /// A remark beside the result, on standard error.
    pub fn note(self, text: &str) {
        if !self.quiet {
            say::note(text);
        }
    }

    /// Something a person has to know, however quiet the command was told to be: on standard error.
    pub fn problem(self, text: &str) {
        say::note(text);
    }

    /// The same voice where a person has to know, however quiet the command was told to be.
    #[must_use]
    pub fn aloud(self) -> Self {
        Self {
            quiet: false,
            ..self
        }
    }

    /// The result for programs: one line of JSON. Nothing without `--json`.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub fn result(self, value: &Value) -> Outcome<()> {
        if self.json {
            self.answer(&value.to_string())
        } else {
            Ok(())
        }
    }

    fn answer(self, text: &str) -> Outcome<()> {
        match say::line(text) {
            Err(error) if self.done => {
                self.answer_lost(text, &error);
                Ok(())
            }
            written => written.map_err(|e| output_failure(&e)),
        }
    }

    /// What was done is done. A reader who left did not want to know; else it is said where it can be.
    fn answer_lost(self, text: &str, error: &io::Error) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            say::note(&format!(
                "note: it is done, but standard output cannot be written ({error}). This was to be there:\n{text}"
            ));
        }
    }

    /// Whether progress is shown: on standard error, so that `--json` keeps standard output to itself.
    #[must_use]
    pub fn shows_progress(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// Writes a line to standard output. A closed pipe ends the command quietly, as with other tools.
///
/// # Errors
/// When it cannot be written.
pub fn print_line(text: &str) -> Outcome<()> {
    say::line(text).map_err(|e| output_failure(&e))
}

/// Standard output could not be written.
#[must_use]
pub fn output_failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::failed("broken-pipe", "");
    }
    Failure::failed("output", format!("cannot write the output: {error}"))
}

/// Bytes, with three digits and a binary unit.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut tenths = u128::from(n).saturating_mul(10);
    let mut unit = "B";
    for next in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths = tenths.div_ceil(1024);
        unit = next;
    }
    if tenths < 1000 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

/// Bytes per second.
#[must_use]
pub fn rate(n: u64, time: Duration) -> String {
    let millis = time.as_millis().max(1);
    let per_second = u128::from(n).saturating_mul(1000) / millis;
    format!("{}/s", bytes(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// A number with its digits in groups of three.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len().saturating_mul(2));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with the right form of its noun.
#[must_use]
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A duration as people say it.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=9 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        10..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Unix seconds in local time.
#[must_use]
pub fn time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || format!("@{seconds}"),
            |stamp| {
                stamp
                    .to_zoned_datetime(jiff::tz::TimeZone::system())
                    .strftime("%Y-%m-%d %H:%M:%S")
                    .to_string()
            },
        )
}

/// Unix seconds as RFC 3339 in UTC, for programs.
#[must_use]
pub fn time_utc(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("@{seconds}"), |stamp| stamp.to_string())
}

/// How long ago something was.
#[must_use]
pub fn ago(then: u64, now: u64) -> String {
    if then > now {
        "just now".into()
    } else {
        format!(
            "{} ago",
            duration(Duration::from_secs(now.saturating_sub(then)))
        )
    }
}

/// Raw bytes for a terminal: what is not printable is escaped, so that a file name cannot move the
/// cursor or hide a line.
#[must_use]
pub fn path(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unfit(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ok = write!(out, "\\x{byte:02x}").is_ok();
        }
    }
    out
}

/// A table for standard output: the first row is the head, `right` names the columns of numbers. Where it is wider
/// than the terminal, cells take several lines; words are never broken.
#[must_use]
pub fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    table_indented(rows, right, 0)
}

/// The same where the caller puts so many blanks before each line.
#[must_use]
pub fn table_indented(rows: &[Vec<String>], right: &[usize], blanks: usize) -> String {
    let room = columns(io::stdout()).map(|columns| columns.saturating_sub(blanks));
    tables::layout(rows, right, room)
}

/// How many columns a terminal has; `None` for anything else.
#[must_use]
pub fn columns(output: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(output).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

/// Unix seconds as a day, in local time.
#[must_use]
pub fn day(seconds: u64) -> String {
    let text = time(seconds);
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_times_and_counts_read_well() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (102_400, "100 KiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(rate(1 << 20, Duration::from_millis(500)), "2.0 MiB/s");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(duration(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(7199)), "119 min");
        assert_eq!(time_utc(0), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_file_name_cannot_play_with_the_terminal() {
        assert_eq!(
            path(b"a\x1b[2Jb\n\xff\xe2\x80\xae"),
            "a\\u{1b}[2Jb\\n\\xff\\u{202e}"
        );
        assert_eq!(path("grün".as_bytes()), "grün");
    }
}
