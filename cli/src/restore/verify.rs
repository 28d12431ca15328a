//! `--verify`: what was written, or was there already, is read back and compared with the snapshot.
//! Chunks are compared by their keys, which are made from their content.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use packnback_proto::crypto::keys::chunk_key;
use packnback_proto::format::entry::Entry;

use super::ctx::Ctx;
use crate::snapshot::Place;

/// Bytes of a hole looked at together.
const PIECE: u64 = 1 << 20;

/// What a stretch of a file must be.
pub(super) enum Check {
    /// The content this key was made from.
    Chunk { off: u64, place: Place },
    /// Zeros.
    Hole { off: u64, len: u64 },
}

/// Compares a small file with its content.
pub(super) fn small(ctx: &Ctx<'_>, entry: &Entry, content: &[u8]) {
    let limit = u64::try_from(content.len())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    compare(ctx, entry, |file| {
        let mut bytes = Vec::with_capacity(content.len());
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes == content)
    });
}

/// Compares a large file with what its chunks must be.
pub(super) fn large(ctx: &Ctx<'_>, entry: &Entry, checks: &[Check]) {
    compare(ctx, entry, |file| {
        let mut buf = Vec::new();
        for check in checks {
            let same = match check {
                Check::Chunk { off, place } => {
                    buf.resize(usize::try_from(place.len).unwrap_or(0), 0);
                    file.read_exact_at(&mut buf, *off)?;
                    chunk_key(&place.ck, &buf).expose() == place.k.expose()
                }
                Check::Hole { off, len } => is_zero(file, *off, *len, &mut buf)?,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(file.metadata()?.len() == entry.size)
    });
}

fn compare(ctx: &Ctx<'_>, entry: &Entry, same: impl FnOnce(&File) -> io::Result<bool>) {
    let opened = ctx
        .target
        .open_existing(&entry.path)
        .map_err(|e| e.to_string());
    let result = opened.and_then(|fd| same(&File::from(fd)).map_err(|e| e.to_string()));
    match result {
        Ok(true) => {}
        Ok(false) => ctx.damaged(
            &entry.path,
            "read back, it differs from the snapshot".into(),
        ),
        Err(error) => ctx.damaged(&entry.path, format!("cannot be read back: {error}")),
    }
}

/// Whether a stretch reads as zeros; real holes cost nothing.
fn is_zero(file: &File, off: u64, len: u64, buf: &mut Vec<u8>) -> io::Result<bool> {
    let end = off.saturating_add(len);
    let mut at = off;
    while at < end {
        match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => at = data.max(at),
            // No more data, or a file system that cannot tell.
            Err(rustix::io::Errno::NXIO) => return Ok(true),
            Err(_) => {}
        }
        let piece = end.saturating_sub(at).min(PIECE);
        if piece == 0 {
            break;
        }
        buf.resize(usize::try_from(piece).unwrap_or(0), 0);
        file.read_exact_at(buf, at)?;
        if buf.iter().any(|b| *b != 0) {
            return Ok(false);
        }
        at = at.saturating_add(piece);
    }
    Ok(true)
}
