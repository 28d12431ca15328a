//! A short fuzz of every decoder: bytes at random, and valid bytes with a few changes. A decoder
//! may refuse or accept; what it accepts must encode to the same bytes again.

use packnback_proto::format::{index, map as maps, root as roots, segment};
use packnback_proto::keyfile::{inspect, open_unprotected, seal_unprotected};
use packnback_proto::record::{
    Body, Cert, Grant, Order, Receipt, Snap, decode_body, decode_record, encode_body,
    parse_envelope,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies::{self, N_REFS};
use crate::support::owner;

fn body<T: Body>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = decode_body::<T>(bytes) {
        prop_assert_eq!(encode_body(&value).unwrap(), bytes);
    }
    Ok(())
}

/// Runs every decoder.
pub(crate) fn decode_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = segment::decode(bytes, N_REFS) {
        prop_assert_eq!(segment::encode(&value).unwrap(), bytes);
    }
    if let Ok(value) = maps::decode(bytes, N_REFS) {
        prop_assert_eq!(maps::encode(&value).unwrap(), bytes);
    }
    if let Ok(value) = index::decode(bytes, N_REFS) {
        prop_assert_eq!(index::encode(&value).unwrap(), bytes);
    }
    if let Ok(value) = roots::decode(bytes, N_REFS) {
        prop_assert_eq!(roots::encode(&value).unwrap(), bytes);
    }
    body::<Cert>(bytes)?;
    body::<Snap>(bytes)?;
    body::<Receipt>(bytes)?;
    body::<Order>(bytes)?;
    body::<Grant>(bytes)?;
    prop_assert!(decode_record(bytes).is_err(), "an unsigned record");
    prop_assert!(parse_envelope(bytes).is_ok() || parse_envelope(bytes).is_err());
    prop_assert!(inspect(bytes).is_ok() || open_unprotected(bytes).is_err());
    Ok(())
}

/// Valid bytes of one of the decoders.
fn valid() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        strategies::segment().prop_map(|v| segment::encode(&v).unwrap()),
        strategies::map().prop_map(|v| maps::encode(&v).unwrap()),
        strategies::children(1).prop_map(|v| index::encode(&v).unwrap()),
        strategies::root().prop_map(|v| roots::encode(&v).unwrap()),
        strategies::cert().prop_map(|v| encode_body(&v).unwrap()),
        strategies::snap().prop_map(|v| encode_body(&v).unwrap()),
        strategies::receipt().prop_map(|v| encode_body(&v).unwrap()),
        strategies::order().prop_map(|v| encode_body(&v).unwrap()),
        strategies::grant().prop_map(|v| encode_body(&v).unwrap()),
        Just(seal_unprotected(&owner()).to_vec()),
    ]
}

#[derive(Debug, Clone)]
enum Change {
    Flip(u8),
    Set(u8),
    Insert(u8),
    Remove,
    Cut,
    Repeat(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0u8..8).prop_map(Change::Flip),
        any::<u8>().prop_map(Change::Set),
        any::<u8>().prop_map(Change::Insert),
        Just(Change::Remove),
        Just(Change::Cut),
        any::<u8>().prop_map(Change::Repeat),
    ]
}

fn apply(bytes: &mut Vec<u8>, at: prop::sample::Index, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    match *change {
        Change::Flip(bit) => bytes[at] ^= 1 << bit,
        Change::Set(byte) => bytes[at] = byte,
        Change::Insert(byte) => bytes.insert(at, byte),
        Change::Remove => drop(bytes.remove(at)),
        Change::Cut => bytes.truncate(at),
        Change::Repeat(len) => {
            let end = bytes.len().min(at + usize::from(len));
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        decode_all(&bytes)?;
    }

    #[test]
    fn changed_bytes_never_panic(
        bytes in valid(),
        changes in vec((any::<prop::sample::Index>(), change()), 1..5),
    ) {
        let mut bytes = bytes;
        for (at, change) in &changes {
            apply(&mut bytes, *at, change);
        }
        decode_all(&bytes)?;
    }
}
