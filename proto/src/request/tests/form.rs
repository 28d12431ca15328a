use super::super::{
    OrderTextError, RequestError, Wanted, decode, encode, order_from_text, order_to_text, verify,
};
use super::*;
use crate::limits::{REQUEST_MAX, REQUEST_RECEIPTS_MAX, REQUEST_WANTED_MAX};
use crate::record::{PolicyArg, decode_order};

fn every_op(ids: Vec<SnapshotId>) -> Vec<Op> {
    vec![
        Op::DeleteIds(ids.clone()),
        Op::DeleteRange {
            device: device(),
            recv_from: START,
            recv_to: START + 3 * DAY,
            max_count: 9,
        },
        Op::Policy(PolicyArg {
            pseq: 3,
            device: None,
            min_age_d: 30,
            keep: [0, 7, 4, 12, 10],
            keep_last: 3,
            grace_d: 7,
        }),
        Op::Revoke {
            device: device(),
            reason: "stolen".into(),
        },
        Op::Hold(ids.clone()),
        Op::Unhold(ids),
        Op::Cancel(vec![[9; 16]]),
        Op::Hosts {
            hseq: 2,
            hosts: vec![key(30).node_id()],
        },
        Op::DropOwner,
    ]
}

#[test]
fn every_operation_comes_back() {
    let mut request = request(&[0]);
    let ids = vec![id_of(&request.devices[0].snaps[0])];
    let wanted = |op| Wanted {
        audience: Some(vec![key(30).node_id()]),
        op,
        not_before: Some(START + DAY),
    };
    request.wanted = every_op(ids).into_iter().map(wanted).collect();
    request.orders = vec![order(9, Op::Cancel(vec![[1; 16]]))];
    request.devices[0].more = 12;
    let bytes = encode(&request).unwrap();
    assert_eq!(decode(&bytes).unwrap(), request);
}

/// The bytes are frozen: a request made by one version is signed by another.
#[test]
fn the_bytes_are_those_of_version_one() {
    let bytes = encode(&request(&[0, 2])).unwrap();
    assert_eq!(&bytes[..12], b"\x83\x67PNBREQ1\x59\x0f\x8b");
    assert_eq!(
        blake3::hash(&bytes).to_hex().as_str(),
        "f3dad1304231dff09b650b25dcb67fe0afd40cba666add93c214242e81b8043f"
    );
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let bytes = encode(&request(&[0])).unwrap();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut flipped = bytes.clone();
            flipped[at] ^= bit;
            assert!(decode(&flipped).is_err(), "byte {at}");
        }
    }
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(decode(&longer).is_err());
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let mut w = crate::cbor::Writer::default();
    w.array(3);
    w.text("PNBREQ1");
    w.bytes(body);
    w.bytes(blake3::hash(body).as_bytes());
    w.into_bytes()
}

/// The checksum is no defence against the maker: what decodes in spite of a change has one encoding,
/// and no change makes anything panic.
#[test]
fn a_changed_body_with_a_right_checksum_has_one_encoding() {
    let mut whole = request(&[0]);
    whole.orders = vec![order(9, Op::Cancel(vec![[1; 16]]))];
    let bytes = encode(&whole).unwrap();
    let body = &bytes[12..bytes.len() - 34];
    assert_eq!(sealed(body), bytes);
    for at in 0..body.len() {
        for value in [0x80, body[at] ^ 1, body[at].wrapping_add(1)] {
            let mut changed = body.to_vec();
            changed[at] = value;
            let changed = sealed(&changed);
            if let Ok(request) = decode(&changed) {
                assert_eq!(encode(&request).unwrap(), changed, "byte {at} as {value}");
                if at % 16 == 0 {
                    drop(verify(&request, owner()));
                }
            }
        }
        assert!(decode(&sealed(&body[..at])).is_err());
    }
}

#[test]
fn another_version_and_other_files_are_named_as_such() {
    let bytes = encode(&request(&[0])).unwrap();
    let mut later = bytes.clone();
    later[8] = b'2';
    assert_eq!(decode(&later), Err(RequestError::UnknownVersion));
    later[2] = b'Q';
    assert_eq!(decode(&later), Err(RequestError::NotRequest));
    assert_eq!(decode(&[]), Err(RequestError::NotRequest));
    let order = order(1, Op::Cancel(vec![[1; 16]]));
    assert_eq!(decode(&order), Err(RequestError::NotRequest));
    let mut wrong_sum = bytes;
    *wrong_sum.last_mut().unwrap() ^= 1;
    assert_eq!(decode(&wrong_sum), Err(RequestError::Checksum));
}

#[test]
fn limits_hold_at_their_edge() {
    assert_eq!(
        decode(&vec![0; REQUEST_MAX + 1]),
        Err(RequestError::TooLarge)
    );
    assert_eq!(decode(&vec![0; REQUEST_MAX]), Err(RequestError::NotRequest));
    let mut many = request(&[0]);
    many.wanted = vec![many.wanted[0].clone(); REQUEST_WANTED_MAX];
    decode(&encode(&many).unwrap()).unwrap();
    many.wanted.push(many.wanted[0].clone());
    assert_eq!(encode(&many), Err(RequestError::Limit("wanted")));
    let mut none = request(&[0]);
    none.wanted.clear();
    assert_eq!(encode(&none), Err(RequestError::Limit("wanted")));
    let mut receipts = request(&[0]);
    let one = receipts.devices[0].snaps[0].receipts[0].clone();
    receipts.devices[0].snaps[0].receipts = vec![one; REQUEST_RECEIPTS_MAX + 1];
    assert_eq!(encode(&receipts), Err(RequestError::Limit("receipts")));
    let mut twice = request(&[0]);
    twice.devices.push(twice.devices[0].clone());
    assert_eq!(encode(&twice), Err(RequestError::DeviceOrder));
    let mut bad = request(&[0]);
    bad.wanted = vec![Wanted::any_host(Op::DropOwner)];
    assert_eq!(encode(&bad).unwrap_err().class(), "wanted");
}

#[test]
fn a_signed_order_travels_as_text() {
    let envelope = order(5, Op::Hold(vec![SnapshotId::from([7; 32])]));
    let signed = decode_order(&envelope).unwrap();
    let text = order_to_text(&signed);
    assert!(text.starts_with("PNBO1:"));
    assert!(
        text.bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b':')
    );
    assert_eq!(order_from_text(&text).unwrap(), signed);
    assert_eq!(
        order_from_text(&format!("  {}\n", text.to_lowercase())).unwrap(),
        signed
    );
    for at in 6..text.len() {
        let mut wrong = text.clone().into_bytes();
        wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
        assert!(
            order_from_text(std::str::from_utf8(&wrong).unwrap()).is_err(),
            "{at}"
        );
    }
    assert_eq!(order_from_text("PNB1:AAAA"), Err(OrderTextError::Prefix));
    assert_eq!(order_from_text("PNBO1:A1"), Err(OrderTextError::Digits));
}

#[test]
fn an_order_for_twenty_snapshots_fits_one_code() {
    let ids = (0..20).map(|n| SnapshotId::from([n; 32])).collect();
    let text = order_to_text(&decode_order(&order(5, Op::DeleteIds(ids))).unwrap());
    // Version 40 of a QR code with medium error correction holds 3,391 characters of this kind.
    assert!(text.len() < 1500, "{}", text.len());
}
