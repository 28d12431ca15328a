//! 1: what a host must refuse without a key. Storing nothing is then the host's part.

use packnback_proto::crypto::hash::object_id;
use packnback_proto::format::frame::{FRAME_MAX, FRAME_MIN, padded_len};
use packnback_proto::format::header::{Header, Kind, ObjectError, parse_header, verify_object};
use packnback_proto::format::object::seal_object;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{OBJECT_MAX, REFS_MAX};
use proptest::prelude::*;

use crate::support::{compressor, header_bytes, object_class, refs, samples, session};

fn valid() -> Vec<(Header, Vec<u8>)> {
    let mut compressor = compressor();
    let seal = |(header, key): (Header, _)| {
        let sealed = seal_object(&mut compressor, &header, &key, b"some content").unwrap();
        (header, sealed.bytes)
    };
    samples().into_iter().map(seal).collect()
}

fn of_kind(kind: Kind) -> Vec<u8> {
    valid()
        .into_iter()
        .find(|(header, _)| header.kind == kind)
        .unwrap()
        .1
}

/// What the host says to these bytes under their own id.
fn refusal(bytes: &[u8]) -> &'static str {
    let error = verify_object(&object_id(bytes), bytes).unwrap_err();
    assert_eq!(parse_header(bytes).unwrap_err(), error);
    object_class(error)
}

fn with(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

#[test]
fn every_kind_is_accepted_and_parsed_back() {
    for (header, bytes) in valid() {
        assert_eq!(
            verify_object(&object_id(&bytes), &bytes),
            Ok(header.clone())
        );
        let (parsed, at) = parse_header(&bytes).unwrap();
        assert_eq!((parsed, at), (header.clone(), header.encoded_len()));
    }
}

#[test]
fn n01_wrong_id_and_every_flipped_byte() {
    let (header, bytes) = valid().remove(3);
    let id = object_id(&bytes);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert_eq!(verify_object(&id, &flipped), Err(ObjectError::WrongId(id)));
    }
    let other = ObjectId([9; 32]);
    assert_eq!(
        verify_object(&other, &bytes),
        Err(ObjectError::WrongId(other))
    );
    assert_eq!(verify_object(&id, &bytes), Ok(header));
}

#[test]
fn n01_unknown_magic_kind_suite_and_reserved_byte() {
    for (_, bytes) in valid() {
        assert_eq!(refusal(&with(bytes.clone(), 0, b"PNB2")), "magic");
        assert_eq!(refusal(&with(bytes.clone(), 3, b"0")), "magic");
        for kind in 6..=255 {
            assert_eq!(refusal(&with(bytes.clone(), 4, &[kind])), "unknown_kind");
        }
        for suite in [0, 2, 255] {
            assert_eq!(refusal(&with(bytes.clone(), 5, &[suite])), "unknown_suite");
        }
        assert_eq!(refusal(&with(bytes.clone(), 7, &[1])), "reserved");
    }
}

#[test]
fn n01_height_must_fit_the_kind() {
    for (header, bytes) in valid() {
        for height in 0..=255 {
            let changed = with(bytes.clone(), 6, &[height]);
            if header.kind.allows_height(height) {
                parse_header(&changed).unwrap();
            } else {
                assert_eq!(refusal(&changed), "height");
            }
        }
    }
    let legal = |kind: Kind| {
        (0..=255)
            .filter(|h| kind.allows_height(*h))
            .collect::<Vec<u8>>()
    };
    assert_eq!(legal(Kind::Chunk), [0]);
    assert_eq!(legal(Kind::Pack), [0]);
    assert_eq!(legal(Kind::Map), [1]);
    assert_eq!(legal(Kind::Segment), [2]);
    assert_eq!(legal(Kind::Index), [3, 4, 5, 6, 7]);
    assert_eq!(legal(Kind::Root), [8]);
}

#[test]
fn n01_unsorted_and_duplicate_refs() {
    let segment = of_kind(Kind::Segment);
    let (first, second) = (segment[48..80].to_vec(), segment[80..112].to_vec());
    let swapped = with(with(segment.clone(), 48, &second), 80, &first);
    assert_eq!(refusal(&swapped), "ref_order");
    assert_eq!(refusal(&with(segment, 80, &first)), "ref_order");
}

#[test]
fn n01_ref_count_limits() {
    let payload = vec![0; padded_len(0) + 40];
    let object = |kind, height, n| {
        let mut bytes = header_bytes(&session().header(kind, height, refs(n)));
        bytes.extend(&payload);
        bytes
    };
    for n in [REFS_MAX - 1, REFS_MAX] {
        assert_eq!(
            parse_header(&object(Kind::Segment, 2, n))
                .unwrap()
                .0
                .refs
                .len(),
            n
        );
    }
    let over = u32::try_from(REFS_MAX).unwrap() + 1;
    let mut bytes = with(object(Kind::Segment, 2, REFS_MAX), 8, &over.to_le_bytes());
    bytes.splice(48..48, [0; 32]);
    assert_eq!(refusal(&bytes), "ref_count");
    assert_eq!(
        refusal(&with(bytes, 8, &u32::MAX.to_le_bytes())),
        "ref_count"
    );
    // Chunks and packs name nothing.
    for kind in [Kind::Chunk, Kind::Pack] {
        assert_eq!(refusal(&with(of_kind(kind), 8, &[1, 0, 0, 0])), "ref_count");
    }
}

#[test]
fn n01_chunks_have_no_session() {
    assert_eq!(
        refusal(&with(of_kind(Kind::Chunk), 12, &[1, 0, 0, 0])),
        "session"
    );
    let mut compressor = compressor();
    for (mut header, key) in samples() {
        header.epk = if header.epk.is_some() {
            None
        } else {
            Some([1; 32])
        };
        let result = seal_object(&mut compressor, &header, &key, b"x");
        assert_eq!(result, Err(ObjectError::Session));
    }
}

#[test]
fn n01_truncated_anywhere() {
    for (header, bytes) in valid() {
        for len in 0..bytes.len() {
            let expected = if len < header.encoded_len() + 40 + FRAME_MIN {
                "truncated"
            } else {
                "payload_length"
            };
            assert_eq!(refusal(&bytes[..len]), expected, "{:?} {len}", header.kind);
        }
    }
}

#[test]
fn n01_trailing_bytes() {
    for (_, mut bytes) in valid() {
        // Frames of 512 bytes are followed by frames of 544: what lies between is no frame.
        for _ in 0..31 {
            bytes.push(0);
            assert_eq!(refusal(&bytes), "payload_length");
        }
    }
}

#[test]
fn n01_oversize() {
    let header = header_bytes(&Header::chunk());
    let object = |payload: usize| {
        let mut bytes = header.clone();
        bytes.resize(header.len() + payload, 0);
        bytes
    };
    parse_header(&object(FRAME_MAX + 40)).unwrap();
    let next = padded_len(FRAME_MAX + 1);
    assert_eq!(refusal(&object(next + 40)), "payload_length");
    assert_eq!(
        refusal(&object(OBJECT_MAX - header.len())),
        "payload_length"
    );
    assert_eq!(refusal(&object(OBJECT_MAX + 1 - header.len())), "too_large");
}

#[test]
fn n01_writers_refuse_what_readers_refuse() {
    let session = session();
    let mut compressor = compressor();
    let mut seal = |header: &Header| {
        seal_object(&mut compressor, header, &session.node, b"x")
            .map_err(object_class)
            .err()
    };
    let segment = |n| session.header(Kind::Segment, 2, refs(n));
    assert_eq!(seal(&segment(REFS_MAX + 1)), Some("ref_count"));
    assert_eq!(seal(&segment(REFS_MAX)), None);
    let mut repeated = segment(2);
    repeated.refs[1] = repeated.refs[0];
    assert_eq!(seal(&repeated), Some("ref_order"));
    assert_eq!(
        seal(&session.header(Kind::Segment, 3, vec![])),
        Some("height")
    );
    assert_eq!(
        seal(&session.header(Kind::Pack, 0, refs(1))),
        Some("ref_count")
    );
}

proptest! {
    /// Any header written is read back, and any bytes are either refused or written back the same.
    #[test]
    fn header_round_trip(kind in 0_u8..6, index_height in 3_u8..=7, epoch: u32, epk: [u8; 32], n in 0_usize..50) {
        let kind = Kind::from_byte(kind).unwrap();
        let height = match kind { Kind::Chunk | Kind::Pack => 0, Kind::Map => 1, Kind::Segment => 2,
            Kind::Index => index_height, Kind::Root => 8 };
        let header = if kind == Kind::Chunk { Header::chunk() } else {
            Header { kind, height, epoch, epk: Some(epk), refs: if kind == Kind::Pack { vec![] } else { refs(n) } }
        };
        let mut bytes = header_bytes(&header);
        bytes.resize(bytes.len() + 40 + FRAME_MIN, 7);
        let (parsed, at) = parse_header(&bytes).unwrap();
        prop_assert_eq!(&parsed, &header);
        prop_assert_eq!(header_bytes(&parsed), &bytes[..at]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(prefix in 0_usize..20, bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let mut object = of_kind(Kind::Map)[..prefix].to_vec();
        object.extend(bytes);
        if let Ok((header, at)) = parse_header(&object) {
            prop_assert_eq!(header_bytes(&header), &object[..at]);
        }
    }
}
