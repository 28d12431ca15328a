//! 12: everything that must not open. After a refusal no plaintext is left in the caller's buffer
//! and the contexts go on working.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use packnback_proto::crypto::CryptoError;
use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::keys::chunk_key;
use packnback_proto::crypto::primitives::derive_bytes;
use packnback_proto::crypto::seal::{OVERHEAD, open, open_into, seal, seal_in_place};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::frame::{Compressor, Decompressor, FRAME_MIN, padded_len};
use packnback_proto::format::header::{Header, Kind, ObjectError};
use packnback_proto::format::object::{
    ChunkOpening, Sealed, open_chunk, open_chunk_in_place, open_chunk_into, open_kind, open_object,
    seal_chunk, seal_object,
};
use packnback_proto::limits::{KIB, MIB, RAW_MAX};
use proptest::prelude::*;

use crate::salamander;
use crate::support::{
    bulk, compressor, decompressor, device_keys, frame, header_bytes, letters, object_class, refs,
    seal_frame, secret, session, zstd, zstd_stream,
};

fn refused(key: &Secret32, ad: &[u8], x: &[u8]) -> CryptoError {
    let mut out = b"from before".to_vec();
    let error = open_into(key, ad, x, &mut out).unwrap_err();
    assert!(out.is_empty());
    assert_eq!(open(key, ad, x).unwrap_err(), error);
    error
}

#[test]
fn n12_wrong_key_wrong_ad_and_every_flipped_bit() {
    let (key, ad, m) = (secret("right"), b"data", b"message");
    let sealed = seal(&key, ad, m).unwrap();
    assert_eq!(open(&key, ad, &sealed).unwrap(), m);
    assert_eq!(refused(&secret("wrong"), ad, &sealed), CryptoError::BadTag);
    for wrong in [&b""[..], b"dat", b"data\0", b"dbta"] {
        assert_eq!(refused(&key, wrong, &sealed), CryptoError::BadTag);
    }
    // Nonce, ciphertext and tag alike.
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refused(&key, ad, &flipped), CryptoError::BadTag);
    }
    for len in 0..sealed.len() {
        let expected = if len < OVERHEAD {
            CryptoError::TooShort
        } else {
            CryptoError::BadTag
        };
        assert_eq!(refused(&key, ad, &sealed[..len]), expected);
    }
}

#[test]
fn n12_bytes_move_between_ad_and_message_only_with_the_key() {
    let key = secret("right");
    assert_ne!(
        seal(&key, b"ab", b"c").unwrap()[..24],
        seal(&key, b"a", b"bc").unwrap()[..24]
    );
}

/// Plain XChaCha20-Poly1305 with a nonce of the caller's choice.
fn aead(key: &Secret32, nonce: [u8; 24], ad: &[u8], m: &[u8]) -> Vec<u8> {
    let mut ct = m.to_vec();
    let tag = XChaCha20Poly1305::new(key.expose().into())
        .encrypt_inout_detached(&nonce.into(), ad, (&mut ct[..]).into())
        .unwrap();
    [&nonce[..], &ct, &tag[..]].concat()
}

fn aead_opens(key: &Secret32, ad: &[u8], x: &[u8]) -> bool {
    let (nonce, rest) = x.split_first_chunk::<24>().unwrap();
    let (ct, tag) = rest.split_last_chunk::<16>().unwrap();
    let mut m = ct.to_vec();
    XChaCha20Poly1305::new(key.expose().into())
        .decrypt_inout_detached(nonce.into(), ad, (&mut m[..]).into(), tag.into())
        .is_ok()
}

#[test]
fn n12_authentic_bytes_with_a_chosen_nonce() {
    let (key, ad, m) = (secret("right"), b"data", b"message");
    let x = aead(&key, [7; 24], ad, m);
    assert!(aead_opens(&key, ad, &x));
    assert_eq!(refused(&key, ad, &x), CryptoError::BadNonce);
}

#[test]
fn n12_two_key_salamander() {
    for i in 0..5 {
        let keys = [
            secret(&format!("salamander {i} a")),
            secret(&format!("salamander {i} b")),
        ];
        let nonce = bulk(&format!("salamander {i} nonce"), 24)
            .try_into()
            .unwrap();
        let x = salamander::make(keys[0].expose(), keys[1].expose(), &nonce);
        for key in &keys {
            assert!(aead_opens(key, b"", &x), "the tag is right under both keys");
            assert_eq!(refused(key, b"", &x), CryptoError::BadNonce);
        }
        assert!(!aead_opens(&secret("third"), b"", &x));
    }
}

/// Opens a chunk where it is.
fn in_place(
    decompressor: &mut Decompressor,
    object: &Sealed,
    k: &Secret32,
    ck: &Secret32,
    len: usize,
) -> Result<Vec<u8>, ObjectError> {
    let mut bytes = object.bytes.clone();
    let mut spare = b"from before".to_vec();
    let keys = ChunkOpening { k, ck, len };
    let opened = open_chunk_in_place(decompressor, &mut bytes, &object.id, keys, &mut spare)?;
    Ok(match opened {
        Some(range) => {
            assert!(spare.is_empty());
            bytes[range].to_vec()
        }
        None => spare,
    })
}

/// A chunk opened where it is says the same as one opened into a buffer, compressed or not.
#[test]
fn n12_chunks_open_in_place_as_they_do_elsewhere() {
    let keys = device_keys().chunk_keys();
    let mut noise = vec![0; 70_000];
    derive_bytes("packnback test noise", &[], &mut noise);
    let mut decompressor = decompressor();
    for p in [noise, letters("chunk", 70_000), vec![0; 70_000], vec![7]] {
        let k = chunk_key(keys.chunk(), &p);
        let sealed = seal_chunk(&mut compressor(), &k, &p).unwrap();
        let opened = in_place(&mut decompressor, &sealed, &k, keys.chunk(), p.len());
        assert_eq!(opened.unwrap(), p);
        let mut bytes = sealed.bytes.clone();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            bytes[at] ^= 1;
            let changed = Sealed {
                id: object_id(&bytes),
                bytes: bytes.clone(),
            };
            let opened = in_place(&mut decompressor, &changed, &k, keys.chunk(), p.len());
            assert!(opened.is_err(), "byte {at}");
            let wrong = Sealed {
                id: sealed.id,
                ..changed
            };
            let opened = in_place(&mut decompressor, &wrong, &k, keys.chunk(), p.len());
            assert!(matches!(opened, Err(ObjectError::WrongId(_))));
            bytes[at] ^= 1;
        }
    }
}

/// The class of refusal of a pack with this frame, and that nothing was changed by it.
fn frame_refusal(frame: &[u8]) -> &'static str {
    let session = session();
    let header = header_bytes(&session.header(Kind::Pack, 0, vec![]));
    let object = seal_frame(&header, &session.pack, frame);
    let mut decompressor = decompressor();
    let error = open_object(&mut decompressor, &object.bytes, &object.id, &session.pack);
    let class = object_class(error.unwrap_err());

    // The same frame as a chunk, into a buffer that is in use.
    let k = secret("k");
    let object = seal_frame(&header_bytes(&Header::chunk()), &k, frame);
    let mut p = b"from before".to_vec();
    let result = open_chunk_into(
        &mut decompressor,
        &object.bytes,
        &object.id,
        &k,
        None,
        1000,
        &mut p,
    );
    assert_eq!(object_class(result.unwrap_err()), class);
    assert!(p.is_empty() && p.capacity() < 2 * RAW_MAX);
    let in_place = in_place(&mut decompressor, &object, &k, &k, 1000);
    assert_eq!(in_place.map_err(object_class), Err(class));

    // And the contexts still work.
    let good = seal_chunk(&mut compressor(), &k, b"good").unwrap();
    let opened = open_chunk(&mut decompressor, &good.bytes, &good.id, &k, None, 4);
    assert_eq!(opened.unwrap(), b"good");
    class
}

#[test]
fn n12_padding_must_be_zero() {
    for at in [109, 300, 511] {
        let mut bad = frame(0, 100, &[1; 100]);
        assert_eq!(bad.len(), FRAME_MIN);
        bad[at] = 1;
        assert_eq!(frame_refusal(&bad), "padding");
    }
}

#[test]
fn n12_frame_length_must_be_exact() {
    let mut long = frame(0, 100, &[1; 100]);
    long.resize(544, 0);
    assert_eq!(frame_refusal(&long), "frame_length");
    let mut beyond = frame(0, 600, &[1; 600]);
    beyond[5..9].copy_from_slice(&9999_u32.to_le_bytes());
    assert_eq!(frame_refusal(&beyond), "frame_length");
}

#[test]
fn n12_raw_len_lies() {
    let raw = letters("honest", 1000);
    let compressed = zstd(1, 0, false, &raw);
    let with_size = zstd(1, 0, true, &raw);
    for lie in [0, 1, 999, 1001, 4096, RAW_MAX as u32] {
        assert_eq!(frame_refusal(&frame(1, lie, &compressed)), "decompress");
        assert_eq!(frame_refusal(&frame(1, lie, &with_size)), "decompress");
        assert_eq!(frame_refusal(&frame(0, lie, &raw)), "raw_length");
    }
    for lie in [RAW_MAX as u32 + 1, u32::MAX] {
        assert_eq!(frame_refusal(&frame(0, lie, &raw)), "raw_too_large");
        assert_eq!(frame_refusal(&frame(1, lie, &compressed)), "raw_too_large");
    }
    assert_eq!(frame_refusal(&frame(2, 1000, &raw)), "unknown_codec");
}

#[test]
fn n12_zstd_bombs() {
    let bomb = zstd(19, 0, false, &vec![0; 64 * MIB]);
    assert!(bomb.len() < 64 * KIB);
    assert_eq!(frame_refusal(&frame(1, 1000, &bomb)), "decompress");
    assert_eq!(
        frame_refusal(&frame(1, RAW_MAX as u32, &bomb)),
        "decompress"
    );
    let sized = zstd(19, 0, true, &vec![0; 64 * MIB]);
    assert_eq!(
        frame_refusal(&frame(1, RAW_MAX as u32, &sized)),
        "decompress"
    );
}

#[test]
fn n12_exactly_one_zstd_frame() {
    let raw = letters("frames", 1000);
    let one = zstd(1, 0, false, &raw);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &one].concat();
    let two = [&one[..], &one].concat();
    let trailing = [&one[..], &[0]].concat();
    for (len, bad) in [
        (1000, skippable),
        (2000, two),
        (1000, trailing),
        (0, vec![]),
    ] {
        assert_eq!(frame_refusal(&frame(1, len, &bad)), "zstd_frame");
    }
    assert_eq!(
        frame_refusal(&frame(1, 1000, &one[..one.len() - 1])),
        "zstd_frame"
    );
    // Nothing but a skippable frame, which decompresses to nothing.
    assert_eq!(
        frame_refusal(&frame(1, 0, &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0])),
        "zstd_frame"
    );
    // Format 0.7 of zstd, which some builds still read.
    let legacy = [&[0x27, 0xb5, 0x2f, 0xfd][..], &one[4..]].concat();
    assert_eq!(frame_refusal(&frame(1, 1000, &legacy)), "zstd_frame");
}

#[test]
fn n12_zstd_window_limit() {
    let raw = letters("window", 1000);
    let k = secret("k");
    let header = header_bytes(&Header::chunk());
    for log in [22, 23] {
        let object = seal_frame(&header, &k, &frame(1, 1000, &zstd_stream(log, &raw)));
        let p = open_chunk(
            &mut decompressor(),
            &object.bytes,
            &object.id,
            &k,
            None,
            1000,
        );
        assert_eq!(p.unwrap(), raw);
    }
    let mut over = zstd_stream(23, &raw);
    assert_eq!(over[5], 13 << 3, "window descriptor of 8 MiB");
    over[5] |= 1;
    assert_eq!(frame_refusal(&frame(1, 1000, &over)), "zstd_window");
    assert_eq!(
        frame_refusal(&frame(1, 1000, &zstd_stream(24, &raw))),
        "zstd_window"
    );
}

#[test]
fn n12_an_object_opens_as_itself_only() {
    let session = session();
    let header = session.header(Kind::Segment, 2, refs(2));
    let Sealed { id, bytes } =
        seal_object(&mut compressor(), &header, &session.node, b"content").unwrap();
    let mut decompressor = decompressor();
    let (opened, raw) = open_kind(&mut decompressor, &bytes, &id, Kind::Segment, &session).unwrap();
    assert_eq!((opened, &raw[..]), (header, &b"content"[..]));

    let other = refs(1)[0];
    let result = open_object(&mut decompressor, &bytes, &other, &session.node);
    assert_eq!(result.unwrap_err(), ObjectError::WrongId(other));
    // Under the name of another kind with the same key.
    let result = open_kind(&mut decompressor, &bytes, &id, Kind::Root, &session);
    assert_eq!(object_class(result.unwrap_err()), "wrong_kind");
    // Every byte of the header is bound to the content, even if the id is that of the change:
    // height and kind (segment, root), epoch, epk, refs.
    for at in [12, 16, 47, 111] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let id = packnback_proto::crypto::hash::object_id(&changed);
        let result = open_object(&mut decompressor, &changed, &id, &session.node);
        assert_eq!(object_class(result.unwrap_err()), "bad_tag", "byte {at}");
    }
}

#[test]
fn n12_chunk_length_kind_and_key_are_checked() {
    let keys = device_keys().chunk_keys();
    let p = letters("chunk", 5000);
    let k = chunk_key(keys.chunk(), &p);
    let good = seal_chunk(&mut compressor(), &k, &p).unwrap();
    let mut decompressor = decompressor();
    let mut out = Vec::new();
    let mut open = |object: &Sealed, k: &Secret32, len| {
        out.extend(b"from before");
        let ck = Some(keys.chunk());
        let result = open_chunk_into(
            &mut decompressor,
            &object.bytes,
            &object.id,
            k,
            ck,
            len,
            &mut out,
        );
        assert!(result.is_ok() || out.is_empty());
        let class = result.map_err(object_class).err();
        let in_place = in_place(&mut decompressor, object, k, keys.chunk(), len);
        assert_eq!(in_place.map_err(object_class).err(), class);
        class
    };
    assert_eq!(open(&good, &k, 5000), None);
    assert_eq!(open(&good, &k, 4999), Some("content_length"));
    // Content sealed under a key that was made from other content: what a poisoner would plant.
    let planted = seal_chunk(&mut compressor(), &k, &letters("other", 5000)).unwrap();
    assert_eq!(open(&planted, &k, 5000), Some("content_key"));
    let pack = session().header(Kind::Pack, 0, vec![]);
    let pack = seal_object(&mut compressor(), &pack, &k, &p).unwrap();
    assert_eq!(open(&pack, &k, 5000), Some("wrong_kind"));
}

#[test]
fn content_limits() {
    let k = secret("k");
    let mut compressor = compressor();
    for (len, ok) in [(RAW_MAX - 1, true), (RAW_MAX, true), (RAW_MAX + 1, false)] {
        let p = bulk("limit", len);
        match seal_chunk(&mut compressor, &k, &p) {
            Ok(object) => {
                assert!(ok);
                let opened = open_chunk(
                    &mut decompressor(),
                    &object.bytes,
                    &object.id,
                    &k,
                    None,
                    len,
                );
                assert!(opened.unwrap() == p);
            }
            Err(error) => assert_eq!((object_class(error), ok), ("raw_too_large", false)),
        }
    }
}

#[test]
fn padding_costs_at_most_an_eighth_and_hides_low_bits() {
    let mut previous = 0;
    for len in 1..200_000 {
        let padded = padded_len(len);
        assert!(padded >= len && padded >= previous && padded_len(padded) == padded);
        assert!(
            len < FRAME_MIN || (padded - len) * 16 <= len,
            "{len} -> {padded}"
        );
        previous = padded;
    }
    assert_eq!(padded_len(0), FRAME_MIN);
}

#[test]
fn codec_rule_at_its_limit() {
    let mut seen = [0; 2];
    for period in 96_900..97_000 {
        let pattern = bulk("rule", period);
        let p: Vec<u8> = pattern.iter().copied().cycle().take(100_000).collect();
        let len = zstd(1, 0, false, &p).len();
        let mut frame = Vec::new();
        compressor().frame_into(&p, &mut frame).unwrap();
        assert_eq!(frame[0], u8::from(len <= 97_000), "{period}: {len}");
        match len {
            97_000 => seen[0] = period,
            97_001 => seen[1] = period,
            _ => {}
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// Content between random and uniform.
fn content() -> impl Strategy<Value = Vec<u8>> {
    (0_usize..40_000, 1_u8..=255, any::<u64>()).prop_map(|(len, modulus, label)| {
        let mut bytes = bulk(&label.to_string(), len);
        bytes.iter_mut().for_each(|b| *b %= modulus);
        bytes
    })
}

proptest! {
    #[test]
    fn seal_round_trip(key: [u8; 32], ad in prop::collection::vec(any::<u8>(), 0..100), m in prop::collection::vec(any::<u8>(), 0..2000)) {
        let key = Secret32::new(key);
        let sealed = seal(&key, &ad, &m).unwrap();
        prop_assert_eq!(sealed.len(), m.len() + OVERHEAD);
        prop_assert_eq!(&open(&key, &ad, &sealed).unwrap(), &m);
        let mut buf = [&ad[..], &[0; 24], &m].concat();
        seal_in_place(&key, &mut buf, ad.len()).unwrap();
        prop_assert_eq!(buf, [ad, sealed].concat());
    }

    #[test]
    fn chunk_round_trip(p in content()) {
        let k = secret("k");
        let object = seal_chunk(&mut compressor(), &k, &p).unwrap();
        prop_assert_eq!(object.bytes.capacity(), object.bytes.len());
        prop_assert!(object.bytes.len() <= 16 + OVERHEAD + padded_len(9 + p.len()));
        let opened = open_chunk(&mut decompressor(), &object.bytes, &object.id, &k, None, p.len());
        prop_assert_eq!(opened.unwrap(), p);
    }

    #[test]
    fn codec_rule(p in content()) {
        let mut out = b"in front".to_vec();
        compressor().frame_into(&p, &mut out).unwrap();
        prop_assert!(out.len() <= 8 + Compressor::bound(p.len()));
        let frame = &out[8..];
        let zstd = zstd(1, 0, false, &p);
        let (codec, comp) = if zstd.len() * 100 > p.len() * 97 { (0, p.len()) } else { (1, zstd.len()) };
        prop_assert_eq!(frame[0], codec);
        prop_assert_eq!(frame.len(), padded_len(9 + comp));
        let mut back = Vec::new();
        decompressor().unframe_into(frame, &mut back).unwrap();
        prop_assert_eq!(back, p);
    }

    #[test]
    fn arbitrary_frames_never_panic(codec in 0_u8..3, raw_len in 0_u32..5000, comp in prop::collection::vec(any::<u8>(), 0..1000), magic: bool) {
        let comp = if magic { [&[0x28, 0xb5, 0x2f, 0xfd][..], &comp].concat() } else { comp };
        let mut out = Vec::new();
        let result = decompressor().unframe_into(&frame(codec, raw_len, &comp), &mut out);
        prop_assert!(result.is_err() || out.len() == raw_len as usize);
        prop_assert!(result.is_ok() || out.is_empty());
    }
}
