//! The frame inside every sealed payload: compression, and padding that blurs the length.
//!
//! ```text
//! codec u8 (0 raw, 1 zstd) | LE32 raw_len | LE32 comp_len | comp | 00.. up to padded_len(9 + comp_len)
//! ```
//! Writers use zstd level 1 without checksum and content size, and codec 0 where that would save
//! less than 3 %: `100 * comp_len > 97 * raw_len`. Readers take any single zstd frame without a
//! dictionary whose window is at most 8 MiB.

use std::io::Cursor;

use zeroize::{Zeroize, Zeroizing};
use zstd::bulk;
use zstd::zstd_safe::{self, CParameter};

use crate::limits::{RAW_MAX, ZSTD_WINDOW_LOG_MAX};

/// Codec byte of uncompressed content.
pub const CODEC_RAW: u8 = 0;
/// Codec byte of a zstd frame.
pub const CODEC_ZSTD: u8 = 1;
/// Length of the fields in front of the content.
pub const PREFIX_LEN: usize = 9;
/// Length of the smallest frame.
pub const FRAME_MIN: usize = 512;
/// Length of the largest frame.
pub const FRAME_MAX: usize = padded_len(PREFIX_LEN + RAW_MAX);
/// zstd level of writers.
pub const ZSTD_LEVEL: i32 = 1;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why bytes are not a frame, or content cannot be framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Content larger than an object may hold.
    #[error("content of {0} bytes is too large for one object")]
    RawTooLarge(usize),
    /// Shorter than its fields say, or of a length the padding rule does not give.
    #[error("frame length does not fit its content")]
    Length,
    /// A codec this version does not know.
    #[error("unknown codec {0}")]
    UnknownCodec(u8),
    /// The padding is not all zero.
    #[error("padding is not zero")]
    Padding,
    /// Uncompressed content whose two lengths differ.
    #[error("raw and stored length differ")]
    RawLength,
    /// Not exactly one zstd frame.
    #[error("compressed content is not one zstd frame")]
    ZstdFrame,
    /// Window larger than a reader must be able to hold.
    #[error("zstd window is too large")]
    ZstdWindow,
    /// Does not decompress to exactly the declared length.
    #[error("compressed content does not decompress to its declared length")]
    Decompress,
    /// The compression library failed (out of memory).
    #[error("compression failed")]
    Compress,
}

/// `padme(L)`: rounds a length up so that only its top bits remain visible
/// ([PURBs], 4.2). `E = floor(log2 L)`, `s = floor(log2 E) + 1`, `z = 2^(E-s) - 1`, `(L+z) & !z`.
/// Lengths under 512 count as 512.
///
/// [PURBs]: https://arxiv.org/abs/1806.03160
#[must_use]
pub const fn padded_len(len: usize) -> usize {
    let len = if len < FRAME_MIN { FRAME_MIN } else { len };
    let e = len.ilog2();
    let s = e.ilog2() + 1;
    let z = (1_usize << (e - s)) - 1;
    len.saturating_add(z) & !z
}

/// Whether some frame has this length.
#[must_use]
pub const fn is_frame_len(len: usize) -> bool {
    len >= FRAME_MIN && len <= FRAME_MAX && padded_len(len) == len
}

/// A zstd compression context, to be kept per thread and reused.
pub struct Compressor(bulk::Compressor<'static>);

impl Compressor {
    /// A context with the parameters of the format.
    ///
    /// # Errors
    /// [`FrameError::Compress`] if memory runs out.
    pub fn new() -> Result<Self, FrameError> {
        let mut zstd = bulk::Compressor::new(ZSTD_LEVEL).map_err(|_| FrameError::Compress)?;
        for parameter in [
            CParameter::ChecksumFlag(false),
            CParameter::ContentSizeFlag(false),
        ] {
            zstd.set_parameter(parameter)
                .map_err(|_| FrameError::Compress)?;
        }
        Ok(Self(zstd))
    }

    /// Most bytes that [`Compressor::frame_into`] may need while it works.
    #[must_use]
    pub fn bound(raw_len: usize) -> usize {
        let zstd = PREFIX_LEN.saturating_add(zstd_safe::compress_bound(raw_len));
        zstd.max(padded_len(PREFIX_LEN.saturating_add(raw_len)))
    }

    /// Appends `frame(raw)` to `out`.
    ///
    /// # Errors
    /// [`FrameError::RawTooLarge`], [`FrameError::Compress`]; `out` is then of no use.
    pub fn frame_into(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        if raw.len() > RAW_MAX {
            return Err(FrameError::RawTooLarge(raw.len()));
        }
        let start = out.len();
        let body = start.saturating_add(PREFIX_LEN);
        out.reserve(Self::bound(raw.len()));
        out.resize(body, 0);
        self.compress_behind(raw, out)?;
        let zstd_len = out.len().saturating_sub(body);
        let is_raw = zstd_len.saturating_mul(100) > raw.len().saturating_mul(97);
        let (codec, comp_len) = if is_raw {
            out.truncate(body);
            out.extend_from_slice(raw);
            (CODEC_RAW, raw.len())
        } else {
            (CODEC_ZSTD, zstd_len)
        };
        let prefix = encode_prefix(codec, raw.len(), comp_len)?;
        out.get_mut(start..body)
            .ok_or(FrameError::Length)?
            .copy_from_slice(&prefix);
        let frame_len = padded_len(PREFIX_LEN.saturating_add(comp_len));
        out.resize(start.saturating_add(frame_len), 0);
        Ok(())
    }

    /// Compresses into the reserved room behind what `out` holds, which needs no clearing first.
    fn compress_behind(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let at = u64::try_from(out.len()).map_err(|_| FrameError::Length)?;
        let mut cursor = Cursor::new(std::mem::take(out));
        cursor.set_position(at);
        let result = self.0.compress_to_buffer(raw, &mut cursor);
        *out = cursor.into_inner();
        result.map(|_| ()).map_err(|_| FrameError::Compress)
    }
}

fn encode_prefix(codec: u8, raw: usize, comp: usize) -> Result<[u8; PREFIX_LEN], FrameError> {
    let raw = u32::try_from(raw)
        .map_err(|_| FrameError::RawTooLarge(raw))?
        .to_le_bytes();
    let comp = u32::try_from(comp)
        .map_err(|_| FrameError::Length)?
        .to_le_bytes();
    let [r0, r1, r2, r3] = raw;
    let [c0, c1, c2, c3] = comp;
    Ok([codec, r0, r1, r2, r3, c0, c1, c2, c3])
}

/// A zstd decompression context and a buffer for decrypted frames, to be kept per thread and reused.
pub struct Decompressor {
    zstd: bulk::Decompressor<'static>,
    pub(super) scratch: Zeroizing<Vec<u8>>,
}

impl Decompressor {
    /// A new context.
    ///
    /// # Errors
    /// [`FrameError::Decompress`] if memory runs out.
    pub fn new() -> Result<Self, FrameError> {
        let zstd = bulk::Decompressor::new().map_err(|_| FrameError::Decompress)?;
        Ok(Self {
            zstd,
            scratch: Zeroizing::new(Vec::new()),
        })
    }

    /// The content of a frame, replacing what is in `out`. It never grows beyond the declared and
    /// checked length. `out` is empty after an error.
    ///
    /// # Errors
    /// [`FrameError`]: what is wrong with the frame.
    pub fn unframe_into(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        unframe(&mut self.zstd, frame, out).inspect_err(|_| wipe(out))
    }

    /// Like [`Decompressor::unframe_into`], but content that is not compressed stays where it is: its
    /// length is the answer, it starts [`PREFIX_LEN`] bytes into the frame, and `out` is empty.
    pub(super) fn unframe_or_leave(
        &mut self,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, FrameError> {
        out.clear();
        match parse(frame)? {
            Parsed {
                codec: CODEC_RAW,
                raw_len,
                comp,
            } if comp.len() == raw_len => Ok(Some(raw_len)),
            _ => self.unframe_into(frame, out).map(|()| None),
        }
    }

    /// Like [`Decompressor::unframe_into`], of the frame in the scratch buffer.
    pub(super) fn unframe_scratch(&mut self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        unframe(&mut self.zstd, &self.scratch, out).inspect_err(|_| wipe(out))
    }
}

fn wipe(out: &mut Vec<u8>) {
    out.zeroize();
    out.clear();
}

/// The fields of a frame after every check that needs no decompression.
struct Parsed<'a> {
    codec: u8,
    raw_len: usize,
    comp: &'a [u8],
}

fn parse(frame: &[u8]) -> Result<Parsed<'_>, FrameError> {
    let (&[codec, r0, r1, r2, r3, c0, c1, c2, c3], body) = frame
        .split_first_chunk::<PREFIX_LEN>()
        .ok_or(FrameError::Length)?;
    let raw_len = u32::from_le_bytes([r0, r1, r2, r3]);
    let comp_len = u32::from_le_bytes([c0, c1, c2, c3]);
    let raw_len = usize::try_from(raw_len).map_err(|_| FrameError::Length)?;
    let comp_len = usize::try_from(comp_len).map_err(|_| FrameError::Length)?;
    if raw_len > RAW_MAX {
        return Err(FrameError::RawTooLarge(raw_len));
    }
    let (comp, padding) = body.split_at_checked(comp_len).ok_or(FrameError::Length)?;
    if frame.len() != padded_len(PREFIX_LEN.saturating_add(comp_len)) {
        return Err(FrameError::Length);
    }
    if padding.iter().any(|b| *b != 0) {
        return Err(FrameError::Padding);
    }
    Ok(Parsed {
        codec,
        raw_len,
        comp,
    })
}

fn unframe(
    zstd: &mut bulk::Decompressor<'static>,
    frame: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    out.clear();
    let Parsed {
        codec,
        raw_len,
        comp,
    } = parse(frame)?;
    match codec {
        CODEC_RAW if comp.len() != raw_len => return Err(FrameError::RawLength),
        CODEC_RAW => out.extend_from_slice(comp),
        CODEC_ZSTD => {
            check_zstd(comp)?;
            out.reserve_exact(raw_len);
            zstd.decompress_to_buffer(comp, out)
                .map_err(|_| FrameError::Decompress)?;
            if out.len() != raw_len {
                return Err(FrameError::Decompress);
            }
        }
        unknown => return Err(FrameError::UnknownCodec(unknown)),
    }
    Ok(())
}

/// One zstd frame, no more and no less, with a window a reader can hold ([RFC 8878], 3.1.1).
///
/// [RFC 8878]: https://www.rfc-editor.org/rfc/rfc8878
fn check_zstd(comp: &[u8]) -> Result<(), FrameError> {
    let (magic, rest) = comp.split_first_chunk::<4>().ok_or(FrameError::ZstdFrame)?;
    if *magic != ZSTD_MAGIC || zstd_safe::find_frame_compressed_size(comp) != Ok(comp.len()) {
        return Err(FrameError::ZstdFrame);
    }
    let (descriptor, rest) = rest.split_first().ok_or(FrameError::ZstdFrame)?;
    let has_window = descriptor & 0x20 == 0;
    if has_window {
        let window = rest.first().ok_or(FrameError::ZstdFrame)?;
        let (exponent, mantissa) = (u32::from(window >> 3), window & 7);
        let log = exponent.saturating_add(10);
        if log > ZSTD_WINDOW_LOG_MAX || (log == ZSTD_WINDOW_LOG_MAX && mantissa != 0) {
            return Err(FrameError::ZstdWindow);
        }
    }
    // Without a window field the window is the content size, which must equal the declared length.
    Ok(())
}
