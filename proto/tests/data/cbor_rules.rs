//! The strict CBOR rules, against `serde_cbor` as an independent twin.

use packnback_proto::cbor::{
    Bounds, CborError, Fields, Reader, Value, Writer, check, decode_value, encode_value,
};
use proptest::prelude::*;

use crate::strategies::any_value;

const BOUNDS: Bounds = Bounds {
    len: 65_536,
    depth: 6,
};

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .unwrap()
}

/// Name, bytes in hex, result.
pub(crate) const RULES: &[(&str, &str, Result<(), CborError>)] = &[
    ("smallest integer", "00", Ok(())),
    ("one byte", "17", Ok(())),
    ("two bytes", "1818", Ok(())),
    ("two bytes for 23", "1817", Err(CborError::NotShortest)),
    ("three bytes", "190100", Ok(())),
    ("three bytes for 255", "1900ff", Err(CborError::NotShortest)),
    ("five bytes", "1a00010000", Ok(())),
    (
        "five bytes for 65535",
        "1a0000ffff",
        Err(CborError::NotShortest),
    ),
    ("nine bytes", "1b0000000100000000", Ok(())),
    (
        "nine bytes for 2^32-1",
        "1b00000000ffffffff",
        Err(CborError::NotShortest),
    ),
    ("largest integer", "1bffffffffffffffff", Ok(())),
    ("smallest negative", "3bffffffffffffffff", Ok(())),
    ("long negative", "3800", Err(CborError::NotShortest)),
    (
        "long byte string head",
        "580161",
        Err(CborError::NotShortest),
    ),
    ("long text head", "780161", Err(CborError::NotShortest)),
    ("long array head", "980100", Err(CborError::NotShortest)),
    ("long map head", "b8010000", Err(CborError::NotShortest)),
    ("null, true, false", "83f6f5f4", Ok(())),
    ("undefined", "f7", Err(CborError::Forbidden)),
    ("simple value 0", "e0", Err(CborError::Forbidden)),
    ("simple value 255", "f8ff", Err(CborError::Forbidden)),
    ("false in two bytes", "f814", Err(CborError::Forbidden)),
    ("half float", "f93c00", Err(CborError::Forbidden)),
    ("single float", "fa3f800000", Err(CborError::Forbidden)),
    (
        "double float",
        "fb3ff0000000000000",
        Err(CborError::Forbidden),
    ),
    ("tag", "c000", Err(CborError::Forbidden)),
    ("self-described", "d9d9f700", Err(CborError::Forbidden)),
    ("reserved head", "1c", Err(CborError::Malformed)),
    ("reserved simple", "fc", Err(CborError::Malformed)),
    ("indefinite bytes", "5f4100ff", Err(CborError::Indefinite)),
    ("indefinite text", "7f6161ff", Err(CborError::Indefinite)),
    ("indefinite array", "9f00ff", Err(CborError::Indefinite)),
    ("indefinite map", "bf0000ff", Err(CborError::Indefinite)),
    ("lone break", "ff", Err(CborError::Indefinite)),
    ("empty", "", Err(CborError::Truncated)),
    ("cut number", "19ff", Err(CborError::Truncated)),
    ("cut bytes", "4200", Err(CborError::Truncated)),
    ("whole array of two", "820000", Ok(())),
    ("cut array of two", "8200", Err(CborError::Truncated)),
    ("cut map", "a100", Err(CborError::Truncated)),
    (
        "huge array",
        "9bffffffffffffffff",
        Err(CborError::Truncated),
    ),
    (
        "huge bytes",
        "5bffffffffffffffff",
        Err(CborError::Truncated),
    ),
    ("trailing byte", "0000", Err(CborError::Trailing)),
    ("empty map, empty array", "82a080", Ok(())),
    ("keys in order", "a2000001f6", Ok(())),
    ("key twice", "a200000001", Err(CborError::DuplicateKey)),
    ("keys out of order", "a201000000", Err(CborError::KeyOrder)),
    ("shorter text key first", "a2617a006261610a", Ok(())),
    (
        "longer text key first",
        "a262616100617a00",
        Err(CborError::KeyOrder),
    ),
    ("negative key after positive", "a200002000", Ok(())),
    (
        "negative key before positive",
        "a220000000",
        Err(CborError::KeyOrder),
    ),
    (
        "inner map unsorted",
        "a100a201000000",
        Err(CborError::KeyOrder),
    ),
    ("map as key", "a1a000", Err(CborError::WrongType)),
    ("array as key", "a18000", Err(CborError::WrongType)),
    ("null as key", "a1f600", Ok(())),
    ("text", "63e282ac", Ok(())),
    ("text not UTF-8", "61ff", Err(CborError::NotUtf8)),
    ("surrogate in text", "63eda080", Err(CborError::NotUtf8)),
    ("depth 6", "818181818100", Ok(())),
    ("depth 7", "81818181818100", Err(CborError::TooDeep)),
    (
        "depth 7 in maps",
        "a100a100a100a100a100a100a0",
        Err(CborError::TooDeep),
    ),
];

#[test]
fn n19_each_rule() {
    for (name, bytes, expected) in RULES {
        let bytes = hex(bytes);
        assert_eq!(check(&bytes, BOUNDS), *expected, "{name}");
        assert_eq!(decode_value(&bytes, BOUNDS).map(drop), *expected, "{name}");
    }
}

#[test]
fn n19_deep_nesting_ends_before_the_stack_does() {
    for step in [&[0x81][..], &[0xa1, 0x00]] {
        let deep = step.repeat(1 << 22);
        let bounds = Bounds {
            len: deep.len(),
            depth: 6,
        };
        assert_eq!(check(&deep, bounds), Err(CborError::TooDeep));
    }
}

#[test]
fn n19_size_at_the_limit() {
    for (len, ok) in [
        (BOUNDS.len - 1, true),
        (BOUNDS.len, true),
        (BOUNDS.len + 1, false),
    ] {
        let mut writer = Writer::default();
        writer.bytes(&vec![0; len - 3 - if len > 65_538 { 2 } else { 0 }]);
        let bytes = writer.into_bytes();
        assert_eq!(bytes.len(), len);
        let expected = if ok { Ok(()) } else { Err(CborError::TooLarge) };
        assert_eq!(check(&bytes, BOUNDS), expected);
    }
}

#[test]
fn writer_and_reader_agree_at_every_step_in_length() {
    for bits in 0..64 {
        for n in [
            (1u64 << bits) - 1,
            1 << bits,
            (1 << bits) + 1,
            u64::MAX - (1 << bits),
        ] {
            let mut w = Writer::default();
            w.uint(n);
            let signed = i64::from_ne_bytes(n.to_ne_bytes());
            w.int(signed);
            let bytes = w.into_bytes();
            let mut r = Reader::new(&bytes);
            assert_eq!(r.uint(), Ok(n));
            assert_eq!(r.i64(), Ok(signed));
            assert_eq!(r.finish(), Ok(()));
        }
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let cases = [("1b8000000000000000", false), ("1b7fffffffffffffff", true)];
    for (bytes, ok) in cases
        .into_iter()
        .chain([("3b8000000000000000", false), ("3b7fffffffffffffff", true)])
    {
        assert_eq!(Reader::new(&hex(bytes)).i64().is_ok(), ok, "{bytes}");
    }
    assert_eq!(Reader::new(&hex("1a00010000")).u32(), Ok(65_536));
    assert_eq!(
        Reader::new(&hex("1b0000000100000000")).u32(),
        Err(CborError::OutOfRange)
    );
    assert_eq!(Reader::new(&hex("20")).uint(), Err(CborError::WrongType));
}

#[test]
fn fields_are_all_known_and_all_there() {
    let value = decode_value(&hex("a2010a030b"), BOUNDS).unwrap();
    let mut fields = Fields::new(value).unwrap();
    assert_eq!(fields.get::<u64>(2), Err(CborError::MissingKey(2)));
    assert_eq!(fields.optional::<u64>(2), Ok(None));
    assert_eq!(fields.get::<u64>(1), Ok(10));
    assert_eq!(fields.finish(), Err(CborError::UnknownKey(3)));
    let text_key = decode_value(&hex("a1616100"), BOUNDS).unwrap();
    assert_eq!(
        Fields::new(text_key).unwrap().finish(),
        Err(CborError::WrongType)
    );
    assert!(Fields::new(Value::Null).is_err());
}

/// A second encoder, by the direct writer.
fn write(w: &mut Writer, value: &Value) {
    match value {
        Value::Null => w.null(),
        Value::Integer(n) if *n < 0 => w.int(i64::try_from(*n).unwrap()),
        Value::Integer(n) => w.uint(u64::try_from(*n).unwrap()),
        Value::Bytes(b) => w.bytes(b),
        Value::Text(t) => w.text(t),
        Value::Array(items) => {
            w.array(items.len());
            items.iter().for_each(|item| write(w, item));
        }
        Value::Map(map) => {
            w.map(map.len());
            for (k, v) in map {
                write(w, k);
                write(w, v);
            }
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn values_come_back_and_both_encoders_agree(value in any_value()) {
        let bytes = encode_value(&value).unwrap();
        prop_assert_eq!(&decode_value(&bytes, Bounds { len: 1 << 20, depth: 8 }).unwrap(), &value);
        let mut writer = Writer::default();
        write(&mut writer, &value);
        prop_assert_eq!(writer.into_bytes(), bytes);
    }

    /// What the check lets through is exactly what an encoder of deterministic CBOR makes.
    #[test]
    fn accepted_bytes_are_canonical(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        if check(&bytes, BOUNDS).is_ok() {
            let twin: Value = serde_cbor::from_slice(&bytes).unwrap();
            prop_assert_eq!(serde_cbor::to_vec(&twin).unwrap(), bytes);
        }
    }

    /// One changed byte either gives other valid CBOR in canonical form, or is refused.
    #[test]
    fn changed_bytes_never_panic(value in any_value(), at in any::<prop::sample::Index>(), new in any::<u8>()) {
        let mut bytes = encode_value(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = new;
        if let Ok(value) = decode_value(&bytes, Bounds { len: 1 << 20, depth: 8 }) {
            prop_assert_eq!(encode_value(&value).unwrap(), bytes);
        }
    }
}
