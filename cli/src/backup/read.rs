//! Reading one file: small ones whole, large ones cut as they come, holes as holes. A file that
//! changes while it is read is read once more.

use packnback_proto::limits::{CHUNK_MAX, SMALL_MAX};

use super::chunks::{FileCutter, Hands};
use super::stage::Planned;
use super::worker::is_small;
use crate::cache::DataRef;
use crate::fs::{Action, Extent, OpenFile, Problem, ReadOutcome, Stat};
use crate::pipeline::Stop;
use crate::progress::Counters;

/// Files from this size on are stored by all workers together.
const POOLED_MIN: u64 = 2 * CHUNK_MAX as u64;
/// Bytes held of a large file while it is cut.
const WINDOW: usize = 2 * CHUNK_MAX;

/// What was read.
pub(super) enum Body {
    /// Nothing.
    Empty,
    /// It is in the buffer.
    Small,
    /// It is stored.
    Large { data: DataRef, len: u64 },
}

pub(super) struct Read {
    pub(super) file: OpenFile,
    /// Attributes that belong to what was read.
    pub(super) stat: Stat,
    pub(super) content: Body,
    /// Whether it held still.
    pub(super) clean: bool,
}

type FileResult<T> = Result<Result<T, Problem>, Stop>;

/// Reads a file, twice if it changes meanwhile.
pub(super) fn file(
    hands: &mut Hands<'_, '_>,
    buf: &mut Vec<u8>,
    planned: &Planned,
) -> FileResult<Read> {
    let mut tries = 0;
    loop {
        tries += 1;
        let read = match once(hands, buf, planned)? {
            Ok(read) => read,
            // It grew past the limit of small files between two calls: once more, as it is now.
            Err(problem) if tries == 1 && !problem.vanished() && problem.action == Action::Read => {
                continue;
            }
            Err(problem) => return Ok(Err(problem)),
        };
        if read.clean || tries > 1 {
            return Ok(Ok(read));
        }
    }
}

fn once(hands: &mut Hands<'_, '_>, buf: &mut Vec<u8>, planned: &Planned) -> FileResult<Read> {
    let file = match OpenFile::open(&planned.item) {
        Ok(file) => file,
        Err(problem) => return Ok(Err(problem)),
    };
    let failed = |action, error| Problem {
        path: planned.path.clone(),
        action,
        error,
    };
    let stat = *file.stat();
    let extents = if stat.may_have_holes() {
        match file.extents() {
            Ok(extents) => extents,
            Err(error) => return Ok(Err(failed(Action::Read, error))),
        }
    } else {
        vec![Extent::Data {
            off: 0,
            len: stat.size,
        }]
    };
    let solid = matches!(extents.as_slice(), [] | [Extent::Data { .. }]);
    let (content, len) = if solid && is_small(&stat) {
        if let Err(error) = file.read_small(buf, SMALL_MAX) {
            return Ok(Err(failed(Action::Read, error)));
        }
        let len = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        Counters::add(&hands.ctx.numbers.bytes_read, len);
        (
            if buf.is_empty() {
                Body::Empty
            } else {
                Body::Small
            },
            len,
        )
    } else {
        match large(hands, buf, &file, &extents)? {
            Ok((_, 0)) => (Body::Empty, 0),
            Ok((data, len)) => (Body::Large { data, len }, len),
            Err(error) => return Ok(Err(failed(Action::Read, error))),
        }
    };
    Ok(match file.outcome(len) {
        Ok(outcome) => Ok(Read {
            file,
            stat,
            content,
            clean: outcome == ReadOutcome::Clean,
        }),
        Err(error) => Err(failed(Action::Stat, error)),
    })
}

fn large(
    hands: &mut Hands<'_, '_>,
    buf: &mut Vec<u8>,
    file: &OpenFile,
    extents: &[Extent],
) -> Result<std::io::Result<(DataRef, u64)>, Stop> {
    let mut cutter = FileCutter::new(file.stat().size >= POOLED_MIN);
    for extent in extents {
        match *extent {
            Extent::Hole { len, .. } => {
                cutter.hole(hands, len)?;
                hands.show(len);
            }
            Extent::Data { off, len } => {
                let read = |at: u64, want: usize, buf: &mut Vec<u8>| {
                    let at = off.saturating_add(at);
                    file.release(at);
                    file.append_at(at, want, buf)
                };
                match stretch(hands, buf, &mut cutter, len, read)? {
                    Ok(got) if got == len => {}
                    // Cut short: what follows is not where it was.
                    Ok(_) => break,
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
    }
    let len = cutter.len();
    Ok(Ok((cutter.finish(hands)?, len)))
}

/// Cuts `len` bytes that `read` gives (position, wanted, buffer to append to). Returns how many
/// there were.
pub(super) fn stretch(
    hands: &mut Hands<'_, '_>,
    buf: &mut Vec<u8>,
    cutter: &mut FileCutter,
    len: u64,
    mut read: impl FnMut(u64, usize, &mut Vec<u8>) -> std::io::Result<usize>,
) -> Result<std::io::Result<u64>, Stop> {
    buf.clear();
    let (mut start, mut at, mut eof) = (0usize, 0u64, false);
    loop {
        let held = buf.len().saturating_sub(start);
        if held < CHUNK_MAX && !eof {
            buf.drain(..start);
            start = 0;
            let room = WINDOW.saturating_sub(buf.len());
            let left = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX);
            let want = room.min(left);
            let got = match read(at, want, buf) {
                Ok(got) => got,
                Err(error) => return Ok(Err(error)),
            };
            at = at.saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
            eof = got < want || at >= len;
            let got = u64::try_from(got).unwrap_or(0);
            Counters::add(&hands.ctx.numbers.bytes_read, got);
            hands.show(got);
        }
        let rest = buf.get(start..).unwrap_or_default();
        match hands.ctx.chunker.cut(rest, eof) {
            Some(cut) => {
                cutter.chunk(hands, rest.get(..cut).unwrap_or_default())?;
                start = start.saturating_add(cut);
            }
            None if eof => return Ok(Ok(at)),
            None => {}
        }
    }
}
