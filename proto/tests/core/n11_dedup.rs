//! 11: equal content is equal bytes only if everything about it is equal; nothing is ever sealed
//! twice under one key and nonce.

use packnback_proto::crypto::keys::{SessionKeys, chunk_key};
use packnback_proto::format::header::Header;
use packnback_proto::format::object::{open_chunk, seal_chunk};

use crate::support::{
    bulk, compressor, decompressor, device_keys, frame, header_bytes, letters, seal_frame, secret,
    seed, session, zstd,
};

const NONCE: std::ops::Range<usize> = 16..40;

#[test]
fn n11_two_compressors_give_two_nonces_and_both_open() {
    let keys = device_keys().chunk_keys();
    let p = letters("log file", 300_000);
    let k = chunk_key(keys.chunk(), &p);
    let mut compressor = compressor();
    let ours = seal_chunk(&mut compressor, &k, &p).unwrap();
    let len = u32::try_from(p.len()).unwrap();
    let header = header_bytes(&Header::chunk());
    let other = seal_frame(&header, &k, &frame(1, len, &zstd(9, 0, true, &p)));
    let raw = seal_frame(&header, &k, &frame(0, len, &p));
    for (a, b) in [(&ours, &other), (&ours, &raw), (&other, &raw)] {
        assert_ne!(a.id, b.id);
        assert_ne!(a.bytes[NONCE], b.bytes[NONCE]);
        // A shared key stream would show as equal distances between the two ciphertexts' frames.
        assert_ne!(a.bytes[40..48], b.bytes[40..48]);
    }
    for object in [ours, other, raw] {
        let ck = Some(keys.chunk());
        let opened = open_chunk(
            &mut decompressor(),
            &object.bytes,
            &object.id,
            &k,
            ck,
            p.len(),
        );
        assert_eq!(opened.unwrap(), p);
    }
}

#[test]
fn n11_same_content_same_group_same_bytes_on_any_machine_in_any_session() {
    for p in [
        letters("shared", 500_000),
        bulk("shared", 500_000),
        vec![0; 300_000],
        vec![1],
    ] {
        let mut laptop = compressor();
        let mut desktop = compressor();
        // The desktop's context has worked before.
        desktop
            .frame_into(&letters("other", 700_000), &mut Vec::new())
            .unwrap();
        let seal = |compressor: &mut _, group| {
            let keys = seed().device_keys(0, group).chunk_keys();
            seal_chunk(compressor, &chunk_key(keys.chunk(), &p), &p).unwrap()
        };
        let (a, b) = (seal(&mut laptop, 0), seal(&mut desktop, 0));
        assert_eq!(a.id, b.id);
        assert_eq!(a.bytes, b.bytes);
        assert_ne!(
            a.id,
            seal(&mut laptop, 1).id,
            "another group shares nothing"
        );
    }
}

#[test]
fn n11_private_chunks_are_shared_with_no_other_session() {
    let p = letters("private", 100_000);
    let first = session();
    let second = SessionKeys::start(&device_keys(), secret("another session")).unwrap();
    let mut compressor = compressor();
    let [a, b] = [&first, &second].map(|session| {
        seal_chunk(&mut compressor, &chunk_key(&session.chunk_priv, &p), &p).unwrap()
    });
    assert_ne!(a.id, b.id);
}

#[test]
fn sealing_the_same_object_again_gives_the_same_bytes() {
    let session = session();
    let header = session.header(packnback_proto::format::header::Kind::Pack, 0, vec![]);
    let mut compressor = compressor();
    let mut seal = |raw: &[u8]| {
        packnback_proto::format::object::seal_object(&mut compressor, &header, &session.pack, raw)
            .unwrap()
    };
    assert_eq!(seal(b"once"), seal(b"once"));
    assert_ne!(seal(b"once").bytes[48..72], seal(b"twice").bytes[48..72]);
}
