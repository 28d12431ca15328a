//! Deterministic inputs and hand-made objects.

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::keys::{DeviceKeys, OwnerSeed, SessionKeys};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::{CryptoError, seal};
use packnback_proto::format::frame::{Compressor, Decompressor, FrameError, padded_len};
use packnback_proto::format::header::{Header, Kind, ObjectError};
use packnback_proto::format::object::Sealed;
use packnback_proto::ids::ObjectId;

/// `len` bytes of the BLAKE3 extended output of `label`: the generator of all bulk test data.
pub(crate) fn bulk(label: &str, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new()
        .update(label.as_bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

/// [`bulk`] with each byte replaced by one of 16 letters: compresses to about half.
pub(crate) fn letters(label: &str, len: usize) -> Vec<u8> {
    let mut out = bulk(label, len);
    for byte in &mut out {
        *byte = b"etaoinshrdlu .,\n"[usize::from(*byte & 15)];
    }
    out
}

pub(crate) fn bytes32(label: &str) -> [u8; 32] {
    bulk(label, 32).try_into().unwrap()
}

pub(crate) fn secret(label: &str) -> Secret32 {
    Secret32::new(bytes32(label))
}

pub(crate) fn seed() -> OwnerSeed {
    OwnerSeed::from_bytes(bytes32("owner seed"))
}

pub(crate) fn device_keys() -> DeviceKeys {
    seed().device_keys(0, 0)
}

pub(crate) fn session() -> SessionKeys {
    SessionKeys::start(&device_keys(), secret("session secret")).unwrap()
}

pub(crate) fn compressor() -> Compressor {
    Compressor::new().unwrap()
}

pub(crate) fn decompressor() -> Decompressor {
    Decompressor::new().unwrap()
}

/// Ascending ids.
pub(crate) fn refs(n: usize) -> Vec<ObjectId> {
    let mut refs: Vec<_> = (0..n)
        .map(|i| ObjectId(bytes32(&format!("ref {i}"))))
        .collect();
    refs.sort();
    refs
}

/// A frame with fields as given, whether they make sense or not.
pub(crate) fn frame(codec: u8, raw_len: u32, comp: &[u8]) -> Vec<u8> {
    let mut frame = vec![codec];
    frame.extend(raw_len.to_le_bytes());
    frame.extend(u32::try_from(comp.len()).unwrap().to_le_bytes());
    frame.extend(comp);
    frame.resize(padded_len(frame.len()), 0);
    frame
}

/// Seals any frame behind any header bytes.
pub(crate) fn seal_frame(header: &[u8], key: &Secret32, frame: &[u8]) -> Sealed {
    let mut bytes = header.to_vec();
    bytes.extend(seal::seal(key, header, frame).unwrap());
    Sealed {
        id: object_id(&bytes),
        bytes,
    }
}

pub(crate) fn header_bytes(header: &Header) -> Vec<u8> {
    let mut out = Vec::new();
    header.write(&mut out).unwrap();
    out
}

/// zstd with parameters of the caller's choice.
pub(crate) fn zstd(level: i32, window_log: u32, content_size: bool, raw: &[u8]) -> Vec<u8> {
    use zstd::zstd_safe::CParameter;
    let mut compressor = zstd::bulk::Compressor::new(level).unwrap();
    compressor
        .set_parameter(CParameter::ContentSizeFlag(content_size))
        .unwrap();
    if window_log > 0 {
        compressor
            .set_parameter(CParameter::WindowLog(window_log))
            .unwrap();
    }
    compressor.compress(raw).unwrap()
}

/// zstd as a stream of unknown length, so that the window is as large as asked for.
pub(crate) fn zstd_stream(window_log: u32, raw: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

/// A small legal object of each kind, with the key that opens it.
pub(crate) fn samples() -> Vec<(Header, Secret32)> {
    let session = session();
    let mut samples = vec![(Header::chunk(), secret("a chunk key"))];
    for (kind, height, n) in [
        (Kind::Pack, 0, 0),
        (Kind::Map, 1, 2),
        (Kind::Segment, 2, 3),
        (Kind::Index, 3, 2),
        (Kind::Index, 7, 1),
        (Kind::Root, 8, 1),
    ] {
        let key = session.object_key(kind).unwrap().duplicate();
        samples.push((session.header(kind, height, refs(n)), key));
    }
    samples
}

/// The failure class of the golden vectors.
pub(crate) fn crypto_class(error: CryptoError) -> &'static str {
    match error {
        CryptoError::TooShort => "too_short",
        CryptoError::BadTag => "bad_tag",
        CryptoError::BadNonce => "bad_nonce",
        CryptoError::TooLong => "too_long",
        CryptoError::NonContributory => "non_contributory",
        CryptoError::BadPublicKey => "bad_public_key",
        CryptoError::BadSignature => "bad_signature",
        CryptoError::KdfParams => "kdf_params",
    }
}

/// The failure class of the golden vectors.
pub(crate) fn object_class(error: ObjectError) -> &'static str {
    match error {
        ObjectError::WrongId(_) => "wrong_id",
        ObjectError::TooLarge(_) => "too_large",
        ObjectError::Truncated => "truncated",
        ObjectError::Magic => "magic",
        ObjectError::UnknownKind(_) => "unknown_kind",
        ObjectError::UnknownSuite(_) => "unknown_suite",
        ObjectError::Height { .. } => "height",
        ObjectError::Reserved => "reserved",
        ObjectError::RefCount(_) => "ref_count",
        ObjectError::RefOrder => "ref_order",
        ObjectError::Session => "session",
        ObjectError::PayloadLength(_) => "payload_length",
        ObjectError::WrongKind { .. } => "wrong_kind",
        ObjectError::Crypto(error) => crypto_class(error),
        ObjectError::Frame(error) => match error {
            FrameError::RawTooLarge(_) => "raw_too_large",
            FrameError::Length => "frame_length",
            FrameError::UnknownCodec(_) => "unknown_codec",
            FrameError::Padding => "padding",
            FrameError::RawLength => "raw_length",
            FrameError::ZstdFrame => "zstd_frame",
            FrameError::ZstdWindow => "zstd_window",
            FrameError::Decompress => "decompress",
            FrameError::Compress => "compress",
        },
        ObjectError::ContentLength { .. } => "content_length",
        ObjectError::ContentKey => "content_key",
    }
}
