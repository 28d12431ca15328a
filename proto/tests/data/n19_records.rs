//! 19: hostile envelopes. Decoding is a function of the bytes and changes nothing, so a refusal
//! leaves nothing behind; that storing refuses too is the host's test.

use packnback_proto::cbor::{CborError, Value, Writer};
use packnback_proto::limits::RECORD_MAX;
use packnback_proto::record::{
    Body, Cert, Kind, RecordError, Scope, Signed, decode, decode_record, encode_body,
    parse_envelope, sign,
};

use crate::records::signing_key;
use crate::support::*;

fn refusal(envelope: &[u8]) -> RecordError {
    decode_record(envelope).unwrap_err()
}

fn valid() -> Vec<u8> {
    Signed::sign(&cert(), &owner().sign_key())
        .unwrap()
        .envelope()
        .to_vec()
}

fn changed(change: impl FnOnce(&mut Value)) -> RecordError {
    let mut envelope = decoded(&valid());
    change(&mut envelope);
    refusal(&encoded(&envelope))
}

#[test]
fn n19_every_flipped_bit_is_refused() {
    let envelope = valid();
    for bit in 0..envelope.len() * 8 {
        let mut flipped = envelope.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_record(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..envelope.len() {
        assert_eq!(
            refusal(&envelope[..len]),
            RecordError::Cbor(CborError::Truncated)
        );
    }
    let longer = [&envelope[..], &[0]].concat();
    assert_eq!(refusal(&longer), RecordError::Cbor(CborError::Trailing));
    assert!(decode_record(&envelope).is_ok());
}

#[test]
fn n19_wrong_type_string_and_wrong_prefix() {
    for name in ["", "Cert", "certs", "cert\0", "device"] {
        assert_eq!(
            changed(|e| *item(e, 0) = text(name)),
            RecordError::UnknownType
        );
    }
    // Relabelled: the signature covers the type.
    for name in ["snap", "order", "grant", "receipt"] {
        assert_eq!(
            changed(|e| *item(e, 0) = text(name)),
            RecordError::BadSignature
        );
    }
    // Signed without the prefix, or with that of another version.
    let body = encode_body(&cert()).unwrap();
    let seed_key = owner().sign_key();
    for prefix in ["", "packnback-sig-v2\0", "packnback-sig-v1"] {
        let message = [prefix.as_bytes(), b"cert\0", &body].concat();
        let signature = seed_key.sign(&message);
        assert_eq!(
            changed(|e| *item(e, 3) = blob(&signature)),
            RecordError::BadSignature
        );
    }
    let good = [b"packnback-sig-v1\0cert\0", &body[..]].concat();
    let mut envelope = decoded(&valid());
    *item(&mut envelope, 3) = blob(&seed_key.sign(&good));
    assert!(decode_record(&encoded(&envelope)).is_ok());
}

#[test]
fn n19_small_order_and_non_canonical_keys() {
    // Encodings of points of small order, canonical and not (RFC 8032 arithmetic): the signature
    // R = key, S = 0 satisfies the plain equation for some messages under each of them.
    for key in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ] {
        let public: [u8; 32] = data_encoding::HEXLOWER
            .decode(key.as_bytes())
            .unwrap()
            .try_into()
            .unwrap();
        let forged = Cert {
            owner: public.into(),
            ..cert()
        };
        let signature = [public, [0; 32]].concat();
        let error = changed(|e| {
            *item(e, 1) = blob(&encode_body(&forged).unwrap());
            *item(e, 2) = blob(&public);
            *item(e, 3) = blob(&signature);
        });
        assert_eq!(error, RecordError::BadKey, "{key}");
    }
}

#[test]
fn n19_signature_with_s_plus_the_group_order() {
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let order = data_encoding::HEXLOWER.decode(ORDER.as_bytes()).unwrap();
    let error = changed(|e| {
        let Value::Bytes(signature) = item(e, 3) else {
            panic!()
        };
        let mut carry = 0;
        for (s, l) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*s) + u16::from(l) + carry;
            *s = sum as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
    });
    assert_eq!(error, RecordError::BadSignature);
    // R of small order.
    let error = changed(|e| {
        let Value::Bytes(signature) = item(e, 3) else {
            panic!()
        };
        signature[..32].fill(0);
        signature[0] = 1;
    });
    assert_eq!(error, RecordError::BadSignature);
}

/// Signs any bytes as the body of a certificate.
fn signed_body(body: &[u8]) -> Vec<u8> {
    sign(Kind::Cert, body, &owner().sign_key())
}

#[test]
fn n19_bodies_that_are_not_deterministic() {
    let body = encode_body(&cert()).unwrap();
    let class = |body: &[u8]| refusal(&signed_body(body)).class();
    // The owner's signature is right each time: it is the encoding that is refused.
    let open_ended = [&[0xbf], &body[1..], &[0xff]].concat();
    assert_eq!(class(&open_ended), "cbor-indefinite");
    let pair = &body[1..36];
    assert_eq!(pair[..3], [1, 0x58, 32]);
    let twice = [&[0xae], pair, &body[1..]].concat();
    assert_eq!(class(&twice), "cbor-duplicate-key");
    let moved = [&[0xad], &body[36..], pair].concat();
    assert_eq!(class(&moved), "cbor-key-order");
    let long_key = [&[0xad, 0x18, 0x01], &body[2..]].concat();
    assert_eq!(class(&long_key), "cbor-not-shortest");
    assert_eq!(class(&[&body[..], &[0]].concat()), "cbor-trailing");
    assert_eq!(class(&body[..body.len() - 1]), "cbor-truncated");
    assert_eq!(class(&[0x80]), "cbor-wrong-type");
    assert_eq!(class(&[]), "cbor-truncated");
    assert!(decode_record(&signed_body(&body)).is_ok());
}

#[test]
fn n19_nesting_at_the_limit() {
    // A body is depth 1, the value of its field depth 2.
    let nested = |depth: usize| {
        let mut value = int(0);
        for _ in 2..depth {
            value = list([value]);
        }
        let mut body = decoded(&encode_body(&cert()).unwrap());
        *at(&mut body, 3) = value;
        refusal(&signed_body(&encoded(&body))).class()
    };
    assert_eq!(nested(5), "cbor-wrong-type");
    assert_eq!(nested(6), "cbor-wrong-type");
    assert_eq!(nested(7), "cbor-too-deep");
    assert_eq!(nested(1000), "cbor-too-deep");
}

#[test]
fn n19_envelope_of_64_kib_and_one_byte() {
    let of_len = |len: usize| {
        // The body's head and the rest of the envelope take 109 bytes.
        let envelope = signed_body(&vec![0xf6; len - 109]);
        assert_eq!(envelope.len(), len);
        refusal(&envelope).class()
    };
    assert_eq!(of_len(RECORD_MAX - 1), "cbor-trailing");
    assert_eq!(of_len(RECORD_MAX), "cbor-trailing");
    assert_eq!(of_len(RECORD_MAX + 1), "cbor-too-large");
    assert!(parse_envelope(&signed_body(&vec![0; RECORD_MAX - 109])).is_ok());
}

#[test]
fn n19_envelopes_of_another_shape() {
    let class = |envelope: &[u8]| refusal(envelope).class();
    let body = encode_body(&cert()).unwrap();
    let write = |items: usize, signer: &[u8], signature: &[u8]| {
        let mut w = Writer::default();
        w.array(items);
        w.text("cert");
        w.bytes(&body);
        w.bytes(signer);
        w.bytes(signature);
        w.into_bytes()
    };
    assert_eq!(class(&write(4, &[1; 31], &[0; 64])), "cbor-out-of-range");
    assert_eq!(class(&write(4, &[1; 32], &[0; 63])), "cbor-out-of-range");
    assert_eq!(class(&write(3, &[1; 32], &[0; 64])), "cbor-out-of-range");
    assert_eq!(class(&write(5, &[1; 32], &[0; 64])), "cbor-out-of-range");
    let long_head = [&[0x98, 4], &valid()[1..]].concat();
    assert_eq!(class(&long_head), "cbor-not-shortest");
    let open_ended = [&[0x9f], &valid()[1..], &[0xff]].concat();
    assert_eq!(class(&open_ended), "cbor-indefinite");
    assert_eq!(class(&[0xa0]), "cbor-wrong-type");
}

/// A record is refused if it says something else than what its signer signed, in any field.
#[test]
fn n19_every_field_is_under_the_signature() {
    fn each<T: Body + std::fmt::Debug>(
        value: &T,
        signer: &str,
        keys: std::ops::RangeInclusive<u64>,
    ) {
        let signed = Signed::sign(value, &signing_key(signer)).unwrap();
        for key in keys {
            let mut envelope = decoded(signed.envelope());
            let Value::Bytes(body) = item(&mut envelope, 1) else {
                panic!()
            };
            let mut fields = decoded(body);
            *at(&mut fields, key) = match at(&mut fields, key) {
                Value::Integer(n) => Value::Integer(*n ^ 1),
                Value::Bytes(b) => blob(&b.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()),
                _ => int(1),
            };
            *body = encoded(&fields);
            let error = decode::<T>(&encoded(&envelope)).unwrap_err();
            assert_eq!(error, RecordError::BadSignature, "{} {key}", T::KIND.name());
        }
    }
    each(&cert(), "owner", 1..=13);
    each(&snap(), "device", 1..=8);
    each(&receipt(), "host", 1..=8);
    each(&grant(Scope::All), "owner", 1..=8);
    every_op()
        .into_iter()
        .for_each(|op| each(&order(op), "owner", 1..=7));
}
