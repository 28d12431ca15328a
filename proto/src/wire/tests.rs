#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::frame::{FrameError, FrameHead, HEAD_LEN, decode, encode, encode_whole};
use super::ids::{
    BodyError, decode_bitmap, decode_ids, encode_bitmap, encode_ids, push_record, split_records,
};
use super::invite::InviteToken;
use super::local::{Committed, EvictDays, Invited, LocalReply, LocalRequest, Tagged};
use super::store::{Head, Stand, StoreReply, StoreRequest};
use super::{Bytes, ErrorCode, Nonce16, Role, SecretBytes};
use crate::ids::{NodeId, ObjectId, OwnerId, RecordId};
use crate::limits::{FRAME_BODY_MAX, FRAME_HEADER_MAX, RECORD_MAX};

fn head_of(frame: &[u8]) -> FrameHead {
    FrameHead::parse(frame[..HEAD_LEN].try_into().unwrap()).unwrap()
}

fn round_trip<T>(message: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let frame = encode_whole(message, b"body").unwrap();
    let head = head_of(&frame);
    assert_eq!(head.body_len, 4);
    assert_eq!(frame.len(), HEAD_LEN + head.header_len + 4);
    let back: T = decode(&frame[HEAD_LEN..HEAD_LEN + head.header_len]).unwrap();
    assert_eq!(&back, message);
}

#[test]
fn messages_round_trip() {
    round_trip(&StoreRequest::Hello { version: 1 });
    round_trip(&StoreRequest::Open {
        cert: vec![1, 2].into(),
        base: Some(RecordId([3; 32])),
    });
    round_trip(&StoreRequest::Have);
    round_trip(&StoreRequest::Put {
        id: ObjectId([1; 32]),
    });
    round_trip(&StoreRequest::Records { after: None });
    round_trip(&StoreReply::Hello {
        time: 1,
        nonce: Nonce16([7; 16]),
        version: 1,
        host: NodeId([1; 32]),
    });
    round_trip(&StoreReply::Opened {
        session: 1,
        epoch: 2,
        base_complete: true,
        heads: vec![Head {
            seq: u64::MAX,
            id: RecordId([1; 32]),
        }],
        head_records: vec![Bytes(vec![2])],
        pending_orders: 0,
        quota_left: 9,
        orders: vec![Bytes(vec![1])],
        notice: None,
    });
    let order = Some(RecordId([1; 32]));
    let ended = Stand::Ended { order };
    round_trip(&StoreReply::Stands {
        stands: vec![Stand::Here, ended, Stand::Unknown],
    });
    round_trip(&StoreReply::Refused {
        code: ErrorCode::Quota,
        message: "x".into(),
        id: None,
    });
    round_trip(&LocalReply::Ok);
    round_trip(&LocalReply::Committed(Committed {
        snap: RecordId([1; 32]),
        envelope: Bytes::default(),
        receipt: vec![0; RECORD_MAX].into(),
    }));
    round_trip(&(7u64, LocalReply::Working));
}

/// As the messages were before they were made from the table: the number in front is all that is new.
#[test]
fn messages_of_the_local_socket_keep_their_bytes() {
    let bytes = |message: &LocalRequest| {
        let frame = encode(&(1u64, message), 0).unwrap();
        data_encoding::HEXLOWER.encode(&frame[HEAD_LEN..])
    };
    // [1, "Open"]
    assert_eq!(bytes(&LocalRequest::Open), "8201644f70656e");
    // [1, {"HostEvict": {"owner": h'00..', "days": [30, 7]}}]
    let evict = LocalRequest::HostEvict {
        owner: OwnerId([0; 32]),
        days: Some(EvictDays {
            warn: 30,
            frozen: 7,
        }),
    };
    let owner = format!("{}5820{}", "656f776e6572", "00".repeat(32));
    let expected = format!(
        "8201a169486f73744576696374a2{owner}64646179738218{}07",
        "1e"
    );
    assert_eq!(bytes(&evict), expected);
    let invited = LocalReply::Invited(Invited {
        token: "t".into(),
        quota: 5,
    });
    // {"Invited": {"token": "t", "quota": 5}}
    let frame = encode(&invited, 0).unwrap();
    let expected = "a167496e7669746564a265746f6b656e61746571756f746105";
    assert_eq!(data_encoding::HEXLOWER.encode(&frame[HEAD_LEN..]), expected);
}

#[test]
fn unknown_message_is_a_typed_error() {
    #[derive(serde::Serialize)]
    enum Newer {
        Teleport { to: u32 },
        Vanish,
    }
    for (message, name) in [
        (Newer::Teleport { to: 1 }, "Teleport"),
        (Newer::Vanish, "Vanish"),
    ] {
        let frame = encode(&message, 0).unwrap();
        let error = decode::<StoreRequest>(&frame[HEAD_LEN..]).unwrap_err();
        assert_eq!(error, FrameError::UnknownMessage(name.into()));
        let frame = encode(&(9u64, message), 0).unwrap();
        let error = decode::<Tagged<LocalRequest>>(&frame[HEAD_LEN..]).unwrap_err();
        assert_eq!(error, FrameError::UnknownMessage(name.into()));
    }
}

#[test]
fn unknown_field_is_ignored_and_unknown_names_are_values() {
    #[derive(serde::Serialize)]
    enum Newer {
        Refused {
            code: &'static str,
            message: &'static str,
            id: Option<ObjectId>,
            since: u32,
        },
    }
    let newer = Newer::Refused {
        code: "too-purple",
        message: "m",
        id: None,
        since: 3,
    };
    let frame = encode(&newer, 0).unwrap();
    let reply: StoreReply = decode(&frame[HEAD_LEN..]).unwrap();
    let expected = StoreReply::Refused {
        code: ErrorCode::Unknown,
        message: "m".into(),
        id: None,
    };
    assert_eq!(reply, expected);
    assert_eq!(Role::from_name("friend"), Role::Friend);
    assert_eq!(Role::from_name("boss"), Role::Unknown);
}

#[test]
fn malformed_headers_are_refused() {
    for bytes in [
        &b"\xff"[..],
        b"",
        b"\xa1\x63Put",
        b"\x64Have\x00",
        b"\x9f\x9f\x9f",
    ] {
        assert!(decode::<StoreRequest>(bytes).is_err(), "{bytes:?}");
    }
    assert!(matches!(
        decode::<StoreRequest>(b"\x01"),
        Err(FrameError::Malformed(_))
    ));
}

#[test]
fn lengths_are_bounded_at_the_limit() {
    let head = |h: usize, b: usize| {
        let (h, b) = (
            u32::try_from(h).unwrap().to_le_bytes(),
            u32::try_from(b).unwrap().to_le_bytes(),
        );
        FrameHead::parse([h[0], h[1], h[2], h[3], b[0], b[1], b[2], b[3]])
    };
    assert!(head(FRAME_HEADER_MAX - 1, FRAME_BODY_MAX - 1).is_ok());
    assert!(head(FRAME_HEADER_MAX, FRAME_BODY_MAX).is_ok());
    assert!(matches!(
        head(FRAME_HEADER_MAX + 1, 0),
        Err(FrameError::HeaderSize(_))
    ));
    assert!(matches!(
        head(1, FRAME_BODY_MAX + 1),
        Err(FrameError::BodySize(_))
    ));
    assert!(matches!(head(0, 0), Err(FrameError::HeaderSize(0))));
    assert!(encode(&StoreRequest::Have, FRAME_BODY_MAX).is_ok());
    assert!(matches!(
        encode(&StoreRequest::Have, FRAME_BODY_MAX + 1),
        Err(FrameError::BodySize(_))
    ));
    let big = StoreRequest::Commit {
        snap: vec![0; FRAME_HEADER_MAX].into(),
    };
    assert!(matches!(encode(&big, 0), Err(FrameError::HeaderSize(_))));
}

#[test]
fn secrets_are_not_printed() {
    let request = LocalRequest::RemoteOpen {
        addr: "a".into(),
        recovery_seed: Some(SecretBytes::new([0x5a; 32])),
    };
    assert!(!format!("{request:?}").contains("90"));
    let frame = encode(&request, 0).unwrap();
    match decode::<LocalRequest>(&frame[HEAD_LEN..]).unwrap() {
        LocalRequest::RemoteOpen {
            recovery_seed: Some(seed),
            ..
        } => {
            assert_eq!(seed.expose(), &[0x5a; 32]);
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn id_lists_are_bounded() {
    let ids = [ObjectId([1; 32]), ObjectId([2; 32])];
    let body = encode_ids(&ids);
    assert_eq!(decode_ids(&body, 2), Ok(ids.to_vec()));
    assert_eq!(
        decode_ids(&body, 1),
        Err(BodyError::TooMany { got: 2, max: 1 })
    );
    assert_eq!(decode_ids(&body[1..], 2), Err(BodyError::Ids(63)));
}

#[test]
fn record_lists_round_trip_and_refuse_cuts() {
    let mut body = Vec::new();
    push_record(&mut body, b"one").unwrap();
    push_record(&mut body, &vec![7; RECORD_MAX]).unwrap();
    assert_eq!(
        push_record(&mut body, &vec![7; RECORD_MAX + 1]),
        Err(BodyError::Records)
    );
    assert_eq!(
        split_records(&body).unwrap(),
        vec![&b"one"[..], &vec![7; RECORD_MAX]]
    );
    assert_eq!(
        split_records(&body[..body.len() - 1]),
        Err(BodyError::Records)
    );
    assert_eq!(split_records(&[1, 0, 0]), Err(BodyError::Records));
    let oversize = u32::try_from(RECORD_MAX + 1).unwrap().to_le_bytes();
    assert_eq!(split_records(&oversize), Err(BodyError::Records));
}

proptest! {
    #[test]
    fn bitmaps_round_trip(answers in proptest::collection::vec(any::<bool>(), 0..100)) {
        let body = encode_bitmap(&answers);
        prop_assert_eq!(decode_bitmap(&body, answers.len()), Ok(answers));
    }

    #[test]
    fn decoders_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<StoreRequest>(&bytes);
        let _ = decode::<StoreReply>(&bytes);
        let _ = decode::<LocalRequest>(&bytes);
        let _ = decode::<LocalReply>(&bytes);
        let _ = split_records(&bytes);
        let _ = decode_bitmap(&bytes, 17);
        let _ = InviteToken::from_text(&String::from_utf8_lossy(&bytes));
    }
}
